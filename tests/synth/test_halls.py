"""Halls and the robots' cameras in them: wide, true to their walls, and seen from close over the floor."""

import numpy as np
import pytest

from latentdepth.core.types import Camera
from latentdepth.synth.cast import RayScene
from latentdepth.synth.compose import compose
from latentdepth.synth.halls import hall, partition, stand
from latentdepth.synth.on_floor import over_floor
from latentdepth.synth.palette import Palette
from latentdepth.synth.shapes import bounds
from latentdepth.synth.stage import Stage
from latentdepth.synth.viewpoints import preview


def _camera(least_deg: float, most_deg: float) -> Camera:
    return Camera.from_fov((least_deg + most_deg) / 2, 64, 48)


@pytest.fixture(scope="module", params=range(4))
def made(request: pytest.FixtureRequest) -> tuple[Stage, float]:
    return hall(Palette(np.random.default_rng(request.param)))


def test_what_stands_in_a_hall_keeps_within_its_walls(made: tuple[Stage, float]) -> None:
    stage, height = made
    assert stage.x_m[1] >= 6
    assert stage.y_m[1] >= 9
    for spot in stage.taken:
        assert spot.top_m <= height + 0.05
        assert spot.x_m[0] >= -0.3
        assert spot.x_m[1] <= stage.x_m[1] + 0.3
    standing = [f for f in stage.taken if f.bottom_m < 0.01]
    assert len(standing) >= 3


def test_cameras_are_low_and_inside_nothing(made: tuple[Stage, float]) -> None:
    stage, height = made
    views = over_floor(stage, height, np.random.default_rng(0), _camera, 24)
    assert 16 <= len(views) <= 24
    eyes = np.array([view.world_from_camera[:3, 3] for view in views])
    low = eyes[:, 2] < 0.85
    assert 0.5 < low.mean() < 1.0
    assert (eyes[:, 2] > 0.15).all()
    assert (eyes[:, 2] < height - 0.35).all()
    for view, x in zip(views, eyes, strict=True):
        assert stage.x_m[0] < x[0] < stage.x_m[1]
        assert stage.y_m[0] < x[1] < stage.y_m[1]
        assert stage.clear_at(*map(float, x), gap_m=0.0)
        if x[2] < 0.85:
            assert -0.65 < view.world_from_camera[2, 2] < 0.15  # level or down, never at the ceiling


def test_the_floor_reaches_far() -> None:
    """Over several halls the low views have most of their depth range: a step to a dozen metres."""
    spans = []
    for number in range(2):
        scene = compose(5, number, kind="hall", candidates=12)
        rays = RayScene(scene)
        for view in scene.views:
            if view.world_from_camera[2, 3] < 0.85:
                seen = preview(rays, view)
                depth = seen.depth_m[np.isfinite(seen.depth_m) & seen.valid]
                spans.append(np.quantile(depth, 0.95) / np.quantile(depth, 0.05))
    assert len(spans) > 10
    assert np.median(spans) > 5


@pytest.mark.parametrize("number", range(8))
def test_stands_and_partitions_stand_on_the_floor(number: int) -> None:
    palette = Palette(np.random.default_rng(number))
    low, high = bounds(stand(palette))
    assert low[2] == pytest.approx(0.0, abs=0.01)
    assert 0.7 <= high[2] < 2.8
    low, high = bounds(partition(palette, 3.0))
    assert low[2] == pytest.approx(0.0, abs=1e-9)
    assert high[2] <= 3.0
    assert high[0] - low[0] >= 1.2
