"""Composed scenes: sound meshes of every kind, true sizes, budgets, and the same scene for the same numbers."""

import inspect

import numpy as np
import pytest

from latentdepth.core.types import Camera
from latentdepth.synth.compose import KINDS, compose, kind_of
from latentdepth.synth.crops import crop_rows
from latentdepth.synth.landscapes import landscape
from latentdepth.synth.palette import Palette
from latentdepth.synth.proposals import from_car
from latentdepth.synth.roads import road
from latentdepth.synth.scene import Scene, SceneKind
from latentdepth.synth.stage import Stage
from latentdepth.synth.tabletops import workplace

MADE: list[tuple[SceneKind, int]] = [*((kind, 0) for kind in KINDS), ("room", 1), ("overhead", 1)]


@pytest.fixture(scope="module")
def scenes() -> dict[tuple[SceneKind, int], Scene]:
    return {(kind, number): compose(11, number, kind=kind) for kind, number in MADE}


def extent(scene: Scene) -> tuple[np.ndarray, np.ndarray]:
    low = np.min([mesh.vertices.min(0) for mesh in scene.meshes], axis=0)
    return low, np.max([mesh.vertices.max(0) for mesh in scene.meshes], axis=0)


@pytest.mark.parametrize(("kind", "number"), MADE)
def test_meshes_are_sound(scenes: dict[tuple[SceneKind, int], Scene], kind: SceneKind, number: int) -> None:
    for mesh in scenes[kind, number].meshes:
        assert np.isfinite(mesh.vertices).all()
        assert mesh.faces.min() >= 0
        assert mesh.faces.max() < len(mesh.vertices)
        a, b, c = (mesh.vertices[mesh.faces[:, k]].astype(float) for k in range(3))
        assert (np.linalg.norm(np.cross(b - a, c - a), axis=1) > 0).all()
        if mesh.uv is not None:
            assert np.isfinite(mesh.uv).all()
        if mesh.material.texture is not None:
            assert mesh.uv is not None
        assert all(0 <= x <= 1 for x in mesh.material.colour)
        assert (max(mesh.material.emission) > 0) == (mesh.material.look == "light")


@pytest.mark.parametrize(("kind", "number"), MADE)
def test_budgets_are_kept(scenes: dict[tuple[SceneKind, int], Scene], kind: SceneKind, number: int) -> None:
    scene = scenes[kind, number]
    assert 1500 < sum(len(mesh.faces) for mesh in scene.meshes) < 260_000
    textures = {id(mesh.material.texture) for mesh in scene.meshes if mesh.material.texture is not None}
    lights = [mesh for mesh in scene.meshes if mesh.material.look == "light"]
    assert len(textures) + len(lights) < 120


@pytest.mark.parametrize(("kind", "number"), MADE)
def test_views_are_rigid_and_enough(scenes: dict[tuple[SceneKind, int], Scene], kind: SceneKind, number: int) -> None:
    views = scenes[kind, number].views
    assert 8 <= len(views) <= 24
    for view in views:
        turn = view.world_from_camera[:3, :3]
        np.testing.assert_allclose(turn @ turn.T, np.eye(3), atol=1e-9)
        assert np.linalg.det(turn) == pytest.approx(1)
        assert (view.camera.width_px, view.camera.height_px) == (384, 288)
        assert 34.9 < view.camera.fov_deg < 100.1


@pytest.mark.parametrize(("kind", "number"), [("room", 0), ("room", 1), ("corridor", 0)])
def test_rooms_have_the_size_of_rooms(scenes: dict[tuple[SceneKind, int], Scene], kind: SceneKind, number: int) -> None:
    """The floor is the largest level rectangle at z = 0; inside its walls nothing reaches more than 1 cm below it."""
    scene = scenes[kind, number]
    floors = []
    for mesh in scene.meshes:
        corners = mesh.vertices[mesh.faces]
        level = (np.abs(corners[..., 2]) < 1e-6).all(1)
        across = np.cross(corners[level, 1] - corners[level, 0], corners[level, 2] - corners[level, 0])
        floors.append(float(np.linalg.norm(across, axis=1).sum() / 2))
    limits_m2 = {"room": (2.4 * 2.8, 8 * 10), "corridor": (1.3 * 7, 14 * 40)}[kind]
    assert limits_m2[0] * 0.99 <= max(floors) <= limits_m2[1] * 1.01
    views = np.stack([view.world_from_camera[:3, 3] for view in scene.views])
    low, high = views.min(0), views.max(0)
    for mesh in scene.meshes:
        inside = ((mesh.vertices[:, :2] > low[:2]) & (mesh.vertices[:, :2] < high[:2])).all(1)
        below = mesh.vertices[inside, 2]
        # the ground that windows look out on lies whole metres away
        assert ((below > -0.01) | (below < -0.25)).all()
    assert (views[:, 2] > 0.2).all()


def test_overhead_views_look_down(scenes: dict[tuple[SceneKind, int], Scene]) -> None:
    for number in (0, 1):
        down = np.array([-view.world_from_camera[2, 2] for view in scenes["overhead", number].views])
        assert (down > np.cos(np.radians(51))).all()
        assert (down > 0.999).any()


def test_some_cameras_know_no_upright() -> None:
    """Robots, drones, cameras under ceilings: any edge may be the upper one of a view from above; rolls indoors."""
    overhead = [view.world_from_camera for k in range(3) for view in compose(7, k, kind="overhead").views]
    tilted = [pose for pose in overhead if pose[2, 2] > -0.99]
    upside_down = [pose for pose in tilted if pose[2, 1] > 0.05]  # the picture's lower edge points upwards
    assert 0 < len(upside_down) < 0.4 * len(tilted)
    indoors = [view.world_from_camera for kind in ("room", "corridor") for view in compose(7, 0, kind=kind).views]
    rolled = [pose for pose in indoors if abs(pose[2, 0]) > np.sin(np.radians(8))]
    assert 0 < len(rolled) < 0.4 * len(indoors)


def test_workplaces_are_seen_from_above_either_way_up() -> None:
    """What is near may stand at any edge of the picture: half of these cameras hang upside down."""
    views = [view.world_from_camera for number in range(8) for view in compose(7, number, kind="workplace").views]
    assert all(-1 <= pose[2, 2] < -0.1 for pose in views)
    upside_down = sum(pose[2, 1] > 0.05 for pose in views) / len(views)
    assert 0.3 < upside_down < 0.7


def test_somebody_sits_at_a_workplace() -> None:
    """Between seat and head something stands beside the table: within a metre of its middle, above its top."""
    for number in range(3):
        stage, (middle, half), _ = _workplace(number)
        points = np.concatenate([part.vertices for part in stage.parts])
        beside = np.abs(points[:, :2] - middle[:2]).max(1) < max(half) + 1.0
        over_table = (np.abs(points[:, :2] - middle[:2]) < half).all(1)
        assert (beside & ~over_table & (points[:, 2] > 0.95) & (points[:, 2] < 1.7)).sum() > 100


def _workplace(number: int) -> tuple[Stage, tuple[np.ndarray, np.ndarray], float]:
    stage, surface, height = workplace(Palette(np.random.default_rng(number)))
    return stage, (np.array(surface.middle), np.array(surface.half_m)), height


def test_half_of_the_workplaces_are_pale_and_large() -> None:
    halves = [half for _, (_, half), _ in map(_workplace, range(12))]
    large = sum(2 * half.max() >= 1.4 and 2 * half.min() >= 0.8 for half in halves)
    assert 3 <= large <= 11


@pytest.mark.parametrize("number", range(4))
def test_cameras_on_a_car_see_the_road_and_far_beyond(number: int) -> None:
    """Eyes in reach of the car's roof and outside everything; headings to all sides; buildings and trees past 60 m."""
    stage, (x, y, roof) = road(Palette(np.random.default_rng(number)))
    points = np.concatenate([part.vertices for part in stage.parts])
    assert 1.2 < roof < 1.9
    standing = points[(points[:, 2] > 2) & (points[:, 2] < 30)]
    assert (np.hypot(standing[:, 0] - x, standing[:, 1] - y) > 60).sum() > 100
    views = from_car((x, y, roof), np.random.default_rng(5), lambda a, b: Camera.from_fov((a + b) / 2, 384, 288), 40)
    eyes = np.stack([view.world_from_camera[:3, 3] for view in views])
    assert all(stage.clear_at(*map(float, eye), gap_m=0.0) for eye in eyes)
    assert np.abs(eyes - (x, y, roof)).max() < 1.3
    ahead = np.stack([view.world_from_camera[:3, 2] for view in views])
    assert (np.abs(ahead[:, 2]) < 0.35).all()
    assert (ahead[:, 1] > 0.7).sum() > (ahead[:, 1] < -0.7).sum() > 0


@pytest.mark.parametrize("number", range(6))
def test_crops_stand_in_rows_beside_the_camera(number: int) -> None:
    stage, ground, rows = crop_rows(Palette(np.random.default_rng(number)))
    base = float(ground(np.zeros(1), np.zeros(1))[0])
    points = np.concatenate([part.vertices for part in stage.parts])
    points[:, 2] -= base
    near = (np.abs(points[:, 1]) < 1.0) & (points[:, 2] > rows.bed_m + 0.03) & (points[:, 2] < 2.5)
    for side in (-1, 1):
        in_row = np.abs(points[:, 0] - side * rows.gap_m / 2) < 0.25
        assert (near & in_row).sum() > 200
    for view in compose(7, number, kind="crops").views:
        eye = view.world_from_camera[:3, 3]
        assert abs(eye[0]) < 1.2 - 0.35  # never inside a row: the widest gap is 2.4 m


def test_farmland_leaves_its_middle_to_the_crops_of_others() -> None:
    """Its own rows of bushes stand within 9 m of the origin, where `crops` has its aisle."""
    near: dict[bool, list[int]] = {True: [], False: []}
    for planted, counts in near.items():
        for seed in range(4):
            stage, _, _ = landscape(Palette(np.random.default_rng(seed)), "farmland", planted=planted)
            small = [part.vertices.mean(0) for part in stage.parts if np.ptp(part.vertices[:, 0]) < 1.5]
            counts.append(sum(abs(x) < 9.5 and 1 < y < 27 for x, y, _ in small))
    assert max(near[True]) > 100
    assert max(near[False]) < 50


def test_open_country_reaches_far(scenes: dict[tuple[SceneKind, int], Scene]) -> None:
    low, high = extent(scenes["landscape", 0])
    assert (high - low)[:2].min() > 2000
    low, high = extent(scenes["street", 0])
    assert (high - low)[:2].min() > 1000


@pytest.mark.parametrize("kind", ["room", "landscape"])
def test_equal_numbers_give_equal_scenes(scenes: dict[tuple[SceneKind, int], Scene], kind: SceneKind) -> None:
    first, again = scenes[kind, 0], compose(11, 0, kind=kind)
    assert len(first.meshes) == len(again.meshes)
    for a, b in zip(first.meshes, again.meshes, strict=True):
        np.testing.assert_array_equal(a.vertices, b.vertices)
        np.testing.assert_array_equal(a.faces, b.faces)
        assert a.material.colour == b.material.colour
    np.testing.assert_array_equal(first.sky.picture, again.sky.picture)
    poses = [np.stack([v.world_from_camera for v in scene.views]) for scene in (first, again)]
    np.testing.assert_array_equal(poses[0], poses[1])


def test_other_numbers_give_other_scenes(scenes: dict[tuple[SceneKind, int], Scene]) -> None:
    for kind in ("room", "overhead"):
        a, b = scenes[kind, 0], scenes[kind, 1]
        assert sum(len(m.faces) for m in a.meshes) != sum(len(m.faces) for m in b.meshes)
        assert not np.array_equal(a.views[0].world_from_camera, b.views[0].world_from_camera)


def test_kinds_come_in_their_shares() -> None:
    drawn = [kind_of(3, number) for number in range(1500)]
    for kind, share in KINDS.items():
        # four standard deviations of a binomial
        assert abs(drawn.count(kind) / 1500 - share) < 4 * np.sqrt(share * (1 - share) / 1500)
    assert sum(KINDS.values()) == pytest.approx(1)


def test_size_and_count_of_views_are_followed() -> None:
    views = compose(1, 0, kind="corridor", width_px=64, height_px=48, candidates=5).views
    assert 1 <= len(views) <= 5
    assert {(v.camera.width_px, v.camera.height_px) for v in views} == {(64, 48)}


def test_given_tiles_are_used() -> None:
    tile = np.full((8, 8, 3), 77, np.uint8)
    facades = [Palette(np.random.default_rng(seed), [tile]).facade() for seed in range(40)]
    assert 3 < sum(facade.texture is tile for facade in facades) < 25


def test_bad_input_is_named() -> None:
    unchecked = inspect.unwrap(compose)  # the types of the tests would refuse the kind before it is looked at
    with pytest.raises(ValueError, match="allowed are room, street"):
        unchecked(0, 0, kind="cave")
    with pytest.raises(ValueError, match="0 or more"):
        compose(-1, 0)
    with pytest.raises(ValueError, match="1 or more"):
        compose(0, 0, candidates=0)


@pytest.mark.parametrize(("kind", "number"), [key for key in MADE if key[0] not in ("street", "landscape", "crops")])
def test_every_interior_has_light(scenes: dict[tuple[SceneKind, int], Scene], kind: SceneKind, number: int) -> None:
    """A lamp or a bright window, unless day comes in through open ones; else the photographs would be black."""
    scene = scenes[kind, number]
    lit = any(mesh.material.look == "light" for mesh in scene.meshes)
    assert lit or scene.sky.picture.mean() > 0.1
