"""Racks and the hand before them: what is in a bay stays there, and a hand is near its own camera alone."""

import numpy as np
import pytest

from latentdepth.core.types import Camera
from latentdepth.synth.cast import RayScene
from latentdepth.synth.compose import compose
from latentdepth.synth.in_hand import before_bays, hand
from latentdepth.synth.make import Settings, make_scene
from latentdepth.synth.palette import Palette
from latentdepth.synth.shapes import bounds
from latentdepth.synth.shelves import Bay, shelf_room
from latentdepth.synth.stage import Stage
from latentdepth.synth.viewpoints import preview


def _camera(least_deg: float, most_deg: float) -> Camera:
    return Camera.from_fov((least_deg + most_deg) / 2, 64, 48)


def _within_bay(bay: Bay, point: np.ndarray) -> tuple[float, float, float]:
    """Across, outward and up from the middle of the mouth."""
    cos, sin = np.cos(bay.outward_rad), np.sin(bay.outward_rad)
    x, y, z = (point - np.array(bay.mouth)).tolist()
    return -sin * x + cos * y, cos * x + sin * y, z


@pytest.mark.parametrize("number", range(8))
def test_what_a_rack_holds_keeps_inside_it(number: int) -> None:
    """Beyond the plane of the mouths nothing of the rack stands but lips, posts and half of a post's width."""
    stage, bays = shelf_room(Palette(np.random.default_rng(number)))
    rack = stage.taken[-1]
    depth = rack.y_m[1] - rack.y_m[0] if abs(np.sin(bays[0].outward_rad)) > 0.5 else rack.x_m[1] - rack.x_m[0]
    assert bays[0].size_m[1] - 1e-6 <= depth < bays[0].size_m[1] + 0.06
    assert all(bay.mouth[2] + bay.size_m[2] / 2 < rack.top_m for bay in bays)
    assert rack.top_m < 3.2
    for bay in bays:
        middle = np.array(bay.mouth) - 0.5 * bay.size_m[1] * np.array(
            [np.cos(bay.outward_rad), np.sin(bay.outward_rad), 0]
        )
        assert not stage.clear_at(*map(float, middle))


@pytest.mark.parametrize("number", range(8))
def test_cameras_stand_before_a_bay_and_look_into_it(number: int) -> None:
    stage, bays = shelf_room(Palette(np.random.default_rng(number)))
    views = before_bays(stage, bays, np.random.default_rng(number), _camera, 24)
    assert 8 <= len(views) <= 24
    for view in views:
        eye, ahead = view.world_from_camera[:3, 3], view.world_from_camera[:3, 2]
        assert stage.clear_at(*map(float, eye), gap_m=0.0)
        _, outward, _ = min((_within_bay(bay, eye) for bay in bays), key=lambda at: abs(at[0]) + abs(at[2]))
        assert 0.1 <= outward <= 0.6
        # towards the rack
        assert ahead @ [np.cos(bays[0].outward_rad), np.sin(bays[0].outward_rad), 0] < -0.3


def test_hands_reach_into_the_picture_and_leave_its_middle_free() -> None:
    """Most reach into a view of 80 degrees; those that cover its middle are cups on tubes, a quarter of all."""
    seen = middle = 0
    for number in range(60):
        parts = hand(Palette(np.random.default_rng(number)))
        low, high = bounds(parts)
        assert low[2] > -0.05
        assert high[2] < 0.4
        points = np.concatenate([part.vertices for part in parts])
        points = points[points[:, 2] > 0.05]
        sideways = np.abs(points[:, :2]).max(1) / points[:, 2]
        seen += bool((sideways < np.tan(np.radians(40))).any())
        middle += bool((sideways < 0.1).any())
    assert seen > 45
    assert middle < 25


def test_some_views_have_a_hand_and_some_none() -> None:
    """Nearer than 0.2 m nothing stands but hands: the camera is at least 0.1 m before the shelf and mostly farther."""
    near = []
    for number in range(6):
        scene = compose(7, number, kind="shelf")
        rays = RayScene(scene)
        near += [float((preview(rays, view).depth_m < 0.22).mean()) for view in scene.views]
    held = sum(0.03 < share < 0.7 for share in near) / len(near)
    assert 0.15 < held < 0.85
    assert sum(share < 0.005 for share in near) / len(near) > 0.1


def test_photographs_from_a_hand_are_made_though_the_hand_is_near() -> None:
    """Elsewhere a view is refused when something is nearer than 0.25 m."""
    settings = Settings(seed=91, width_px=64, height_px=48, views=3, samples=1, denoise=False, kinds=("shelf",))
    nearest = [
        float(frame.sample.depth_m[frame.sample.valid].min())
        for number in range(2)
        for frame in make_scene(settings, number).frames
    ]
    assert len(nearest) >= 4
    assert min(nearest) < 0.25


def test_the_same_rack_for_the_same_numbers() -> None:
    one, two = (shelf_room(Palette(np.random.default_rng(5))) for _ in range(2))
    assert one[1] == two[1]
    assert isinstance(one[0], Stage)
    for a, b in zip(one[0].parts, two[0].parts, strict=True):
        np.testing.assert_array_equal(a.vertices, b.vertices)
