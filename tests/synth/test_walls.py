"""Walls with holes against the area that must remain, and what stages, views and terrain promise."""

import numpy as np
import pytest

from latentdepth.core.types import Camera
from latentdepth.synth import terrain
from latentdepth.synth.palette import Palette
from latentdepth.synth.scene import Material
from latentdepth.synth.shapes import bounds, box, merged_as_one
from latentdepth.synth.stage import Footprint, Stage, merged
from latentdepth.synth.views import any_camera, looking
from latentdepth.synth.walls import Opening, pierced_wall


def test_pierced_wall_loses_the_openings_and_gains_their_reveals() -> None:
    holes = [Opening(0.5, 1.5, 0.0, 2.0), Opening(2.0, 3.2, 0.9, 2.1)]
    (wall,) = pierced_wall(Material(), 5.0, 2.5, holes, thickness_m=0.2)
    corners = wall.vertices[wall.faces]
    across = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    area = np.linalg.norm(across, axis=1) / 2
    in_plane = (corners[..., 1] == 0).all(1)
    assert area[in_plane].sum() == pytest.approx(5 * 2.5 - 1 * 2 - 1.2 * 1.2)
    assert area[~in_plane].sum() == pytest.approx(0.2 * (2 * (1 + 2) + 2 * (1.2 + 1.2)))
    # the face looks to the room, which lies at negative y
    assert (across[in_plane, 1] < 0).all()


def test_stage_refuses_overlap_and_what_leaves_it() -> None:
    stage = Stage(Palette(np.random.default_rng(0)), (0, 5), (0, 5))
    cube = [box(Material(), (1, 1, 1))]
    assert stage.put(cube, (1, 1, 0), 0.0)
    assert not stage.put(cube, (1.8, 1.8, 0), 0.0)
    assert not stage.put(cube, (4.8, 3, 0), 0.0)
    assert stage.put(cube, (1, 1, 1.5), 0.0)
    assert not stage.clear_at(1, 1, 0.5)
    assert stage.clear_at(1, 1, 1.25, gap_m=0.1)
    stage.clear_away((1, 1), 0.7)
    # what hangs above stays
    assert [float(part.vertices[:, 2].min()) for part in stage.parts] == [1.5]


def test_footprints_above_each_other_do_not_overlap() -> None:
    low, high = Footprint((0, 1), (0, 1), 0.5), Footprint((0, 1), (0, 1), 2.0, 1.0)
    assert not low.overlaps(high)
    assert low.overlaps(high.shifted(0.5, 0.5)) is False
    assert low.overlaps(Footprint((0.9, 2), (0.9, 2), 3.0))


def test_merging_keeps_materials_apart_and_drops_empty_triangles() -> None:
    first, second = Material(), Material(colour=(1, 0, 0))
    flat = box(first, (1, 1, 0))
    parts = merged([box(first, (1, 1, 1)), box(second, (1, 1, 1)), flat])
    assert [mesh.material for mesh in parts] == [first, second]
    # of the flat box the four upright sides have no area: 12 + 4 triangles remain
    assert [len(mesh.faces) for mesh in parts] == [16, 12]
    assert parts[0].vertices.dtype == np.float32


def test_looking_puts_the_target_on_the_axis() -> None:
    camera = Camera.from_fov(60, 64, 48)
    view = looking(camera, (1.0, 2.0, 3.0), (4.0, -1.0, 2.0))
    seen = np.linalg.inv(view.world_from_camera) @ [4.0, -1.0, 2.0, 1.0]
    np.testing.assert_allclose(seen[:3], [0, 0, np.sqrt(19)], atol=1e-12)
    # y is down: a point above the axis has negative y
    above = np.linalg.inv(view.world_from_camera) @ [1.0, 2.0, 4.0, 1.0]
    assert above[1] < 0


def test_looking_straight_down_has_a_heading() -> None:
    view = looking(Camera.from_fov(60, 64, 48), (0, 0, 2), (0, 0, 0), heading_rad=np.pi / 2)
    # the upper edge (minus y) points north
    np.testing.assert_allclose(-view.world_from_camera[:3, 1], [0, 1, 0], atol=1e-9)


def test_clockwise_roll_lowers_the_right_side() -> None:
    view = looking(Camera.from_fov(60, 64, 48), (0, 0, 0), (0, 1, 0), roll_deg=10)
    assert view.world_from_camera[2, 0] == pytest.approx(-np.sin(np.radians(10)))


def test_same_eye_and_target_are_refused() -> None:
    with pytest.raises(ValueError, match="same point"):
        looking(Camera.from_fov(60, 64, 48), (0, 0, 0), (0, 0, 0))


def test_cameras_keep_to_their_angles() -> None:
    rng = np.random.default_rng(1)
    angles = [any_camera(rng, 64, 48, fov_deg=(40, 70)).fov_deg for _ in range(200)]
    assert min(angles) >= 40 - 1e-9
    assert max(angles) <= 70 + 1e-9
    assert np.std(angles) > 4


def test_ground_covers_its_square_and_follows_the_heights() -> None:
    relief = terrain.Relief(20.0, 300.0, 0.2, 10.0)
    height = terrain.hills(np.random.default_rng(2), relief)
    stone, turf = Material(), Material(colour=(0, 1, 0))
    parts = terrain.ground(height, 200.0, [stone, turf], lambda middle, slope: (middle[:, 0] > 0).astype(int), count=40)
    whole = merged_as_one(parts)
    low, high = bounds(parts)
    np.testing.assert_allclose([low[0], high[0]], [-200, 200])
    np.testing.assert_allclose(whole.vertices[:, 2], height(whole.vertices[:, 0], whole.vertices[:, 1]))
    corners = whole.vertices[whole.faces]
    seen_from_above = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])[:, 2] / 2
    assert seen_from_above.sum() == pytest.approx(400.0**2)
    assert parts[0].vertices[:, 0].max() < parts[1].vertices[:, 0].max()


def test_hills_leave_the_middle_flat() -> None:
    height = terrain.hills(np.random.default_rng(3), terrain.Relief(50.0, 500.0, 0.0, 40.0))
    x = np.linspace(-28, 28, 20)
    np.testing.assert_allclose(height(x, x), 0, atol=1e-9)
    assert np.abs(height(np.linspace(100, 600, 50), np.zeros(50))).max() > 5
