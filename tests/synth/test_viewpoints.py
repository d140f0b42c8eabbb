"""Choosing cameras: what is refused, what is preferred, and that chance decides within that."""

from __future__ import annotations

import math

import numpy as np
import pytest

from latentdepth.core.types import Camera
from latentdepth.synth.cast import RayScene
from latentdepth.synth.labels import Labels, label
from latentdepth.synth.scene import Material, Mesh, Scene, Sky, View
from latentdepth.synth.viewpoints import Limits, choose, drawn, fault, preview, resized, score, turned

SKY = Sky(np.ones((2, 4, 3)))
FACES = np.array([(0, 2, 3, 1), (4, 5, 7, 6), (0, 1, 5, 4), (2, 6, 7, 3), (0, 4, 6, 2), (1, 3, 7, 5)])


def box(low: tuple[float, float, float], high: tuple[float, float, float]) -> Mesh:
    corners = np.array([[(low, high)[k >> axis & 1][axis] for axis in range(3)] for k in range(8)], float)
    return Mesh(corners, FACES[:, [[0, 1, 2], [0, 2, 3]]].reshape(-1, 3), Material())


def view(eye: tuple[float, float, float], azimuth_deg: float, tilt_deg: float = 0.0, fov_deg: float = 60.0) -> View:
    pose = np.eye(4)
    pose[:3, :3], pose[:3, 3] = turned(math.radians(azimuth_deg), math.radians(tilt_deg), 0.0), eye
    return View(Camera.from_fov(fov_deg, 320, 240), pose)


@pytest.fixture(scope="module")
def yard() -> RayScene:
    """A floor 20 m wide, a wall to the north, boxes in front of it, a block to be inside of."""
    meshes = (
        box((-10, -10, -0.1), (10, 10, 0)),
        box((-10, 9.8, 0), (10, 10, 4)),
        *(box((x, 5 + 0.5 * x, 0), (x + 0.6, 5.6 + 0.5 * x, 0.5 + 0.3 * x * x)) for x in (-2.0, -0.5, 1.0)),
        box((-9, -9, 0.01), (-5, -5, 4)),
    )
    return RayScene(Scene("street", meshes, SKY))


def flat_labels(depth_m: np.ndarray) -> Labels:
    shape = depth_m.shape
    return Labels(
        depth_m.astype(np.float32),
        np.zeros((*shape, 3), np.float32),
        np.ones(shape, bool),
        np.zeros(shape, np.int64),
    )


def test_turned_looks_where_it_says():
    north = turned(math.pi / 2, 0.0, 0.0)
    np.testing.assert_allclose(north, np.array([[1.0, 0, 0], [0, 0, 1], [0, -1, 0]]), atol=1e-12)
    up = turned(0.3, 0.5, 0.2)
    np.testing.assert_allclose(up.T @ up, np.eye(3), atol=1e-12)
    assert np.linalg.det(up) == pytest.approx(1)
    np.testing.assert_allclose(up[:, 2], [math.cos(0.3) * math.cos(0.5), math.sin(0.3) * math.cos(0.5), math.sin(0.5)])


def test_previews_are_the_labels_seen_small(yard: RayScene):
    at = view((0, -3, 1.5), 90)
    small, full = preview(yard, at), label(yard, at)
    assert small.depth_m.shape == (48, 64)
    # a preview's pixel centres are the corners between four pixels of a five times larger picture's middle ones
    np.testing.assert_allclose(small.depth_m, full.depth_m[2::5, 2::5], rtol=1e-6)


@pytest.mark.parametrize(
    ("depth", "told"),
    [
        (np.full((48, 64), 3.0), ""),
        (np.where(np.arange(64)[None] < 3, 0.1, np.full((48, 64), 3.0)), "something is too near"),
        (np.where(np.arange(48)[:, None] < 40, np.inf, np.full((48, 64), 3.0)), "mostly sky"),
        (np.full((48, 64), 0.3), "all too near or too far"),
        (np.full((48, 64), 900.0), "all too near or too far"),
        (np.where(np.indices((48, 64)).sum(0) % 2, 2.0, np.full((48, 64), 3.0)), "all edges"),
    ],
)
def test_what_makes_a_view_useless(depth: np.ndarray, told: str):
    assert fault(flat_labels(depth), Limits()) == told


def test_clutter_scores_above_a_wall():
    wall = flat_labels(np.full((48, 64), 3.0))
    steps = flat_labels(np.where(np.arange(64)[None] // 8 % 2, 2.0, np.full((48, 64), 5.0)))
    assert score(wall) == pytest.approx(0, abs=1e-6)  # float32
    # half at ln 2, half at ln 5: spread ln(2.5) / 2; 7 of 63 steps along x, none along y
    edges = 7 * 48 / (63 * 48 + 64 * 47)
    assert score(steps) == pytest.approx(math.log(2.5) / 2 + 3 * edges, rel=1e-4)


def test_useless_proposals_are_never_chosen(yard: RayScene):
    useless = [
        view((-7, -7, 2), 90),  # inside the block
        view((0, 0, 1.5), 90, 80),  # the sky
        view((0, 0, 0.1), 90, -60),  # nose on the floor
    ]
    good = [view((0.2 * k, -2, 1.4), 80 + 4 * k, -5) for k in range(5)]
    chosen = choose(yard, [*useless, *good], np.random.default_rng(0), count=8, width_px=64, height_px=48)
    eyes = {tuple(v.world_from_camera[:3, 3]) for v in chosen}
    assert eyes <= {tuple(v.world_from_camera[:3, 3]) for v in good}
    assert 1 <= len(chosen) <= 5
    assert len(eyes) == len(chosen)  # none twice
    with pytest.raises(ValueError, match=r"none of 3 views shows anything .*inside a thing, mostly sky"):
        choose(yard, useless, np.random.default_rng(0), count=2, width_px=64, height_px=48)


def test_the_camera_keeps_its_angle_at_another_size(yard: RayScene):
    ((chosen),) = choose(
        yard, [view((0, -2, 1.4), 90, fov_deg=77)], np.random.default_rng(0), count=1, width_px=50, height_px=90
    )
    assert (chosen.camera.width_px, chosen.camera.height_px) == (50, 90)
    assert chosen.camera.fov_deg == pytest.approx(77)
    assert resized(chosen, 320, 240).camera.fov_deg == pytest.approx(77)


def test_views_of_one_scene_are_unlike_each_other(yard: RayScene):
    same = [view((0.01 * k, -2, 1.4), 90, -5) for k in range(20)]
    other = view((5, 0, 1.6), 130, -10)
    for seed in range(5):
        chosen = choose(yard, [*same, other], np.random.default_rng(seed), count=2, width_px=64, height_px=48)
        # of 20 all but equal ones at most one comes, then the other place is the only one left
        assert any(v.world_from_camera[0, 3] == 5 for v in chosen)


def test_the_choice_depends_on_the_generator_alone(yard: RayScene):
    proposals = [view((0.8 * k - 4, -2, 1.4), 60 + 6 * k, -5) for k in range(10)]

    def picks(seed: int) -> list[tuple[float, ...]]:
        chosen = choose(yard, proposals, np.random.default_rng(seed), count=4, width_px=64, height_px=48)
        return [tuple(v.world_from_camera[:3, 3]) for v in chosen]

    assert picks(3) == picks(3)
    assert any(picks(3) != picks(seed) for seed in range(4, 8))


def test_cameras_drawn_from_the_space_itself(yard: RayScene):
    views = drawn(yard, np.random.default_rng(0), count=200)
    eyes = np.array([v.world_from_camera[:3, 3] for v in views])
    assert (eyes > yard.low).all()
    assert (eyes < yard.high).all()
    assert all(35 <= v.camera.fov_deg <= 100 for v in views)
    roll_deg = np.degrees([math.asin(v.world_from_camera[2, 0]) for v in views])  # of the x axis above the horizon
    assert np.std(roll_deg) == pytest.approx(2.0, rel=0.2)
    assert choose(yard, (), np.random.default_rng(1), count=3, width_px=64, height_px=48)
