"""Colours: against Matplotlib's Spectral, the direction of depth, and bad pixels."""

from __future__ import annotations

import matplotlib
import numpy as np
import pytest
import torch

from latentdepth.core.colours import (
    depth_colours,
    grey,
    near_to_far,
    normals_colours,
    quantile,
    spectral,
    uncertainty_colours,
)
from latentdepth.core.types import AFFINE_DEPTH, AFFINE_DISPARITY, METRIC_DEPTH, NORMALS


def _ramp(count: int = 256) -> torch.Tensor:
    return torch.linspace(0, 1, count).reshape(1, 1, 1, count)


def test_spectral_is_matplotlibs_spectral() -> None:
    theirs = matplotlib.colormaps["Spectral"](np.linspace(0, 1, 256))[:, :3].T
    # both interpolate the same eleven colours; Matplotlib's table has the same 256 positions
    np.testing.assert_allclose(spectral(_ramp())[0, :, 0].numpy(), theirs, atol=1e-5)


def test_near_is_red_for_depth_and_for_disparity() -> None:
    far = torch.tensor([[[[0.0, 1.0]]]])
    near_pixel = depth_colours(far, AFFINE_DEPTH)[0, :, 0, 0]
    assert near_pixel[0] > 2 * near_pixel[2]
    assert torch.equal(near_pixel, depth_colours(1 - far, AFFINE_DISPARITY)[0, :, 0, 0])
    far_pixel = depth_colours(far, AFFINE_DEPTH)[0, :, 0, 1]
    assert far_pixel[2] > far_pixel[0]


def test_values_beyond_the_range_take_the_end_colours() -> None:
    beyond = torch.tensor([[[[-3.0, 0.0, 1.0, 7.0]]]])
    picture = spectral(beyond)
    assert torch.equal(picture[..., 0], picture[..., 1])
    assert torch.equal(picture[..., 2], picture[..., 3])
    assert torch.equal(grey(beyond)[0, :, 0, 3], torch.ones(3))


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), float("-inf")])
def test_bad_pixels_are_black(bad: float) -> None:
    values = torch.tensor([[[[0.2, bad, 0.8]]]])
    for picture in (
        spectral(values),
        grey(values),
        uncertainty_colours(values),
        depth_colours(values, METRIC_DEPTH),
        normals_colours(values.expand(1, 3, 1, 3)),
    ):
        assert torch.equal(picture[0, :, 0, 1], torch.zeros(3))
        assert picture[0, :, 0, 2].sum() > 0.1
        assert ((picture >= 0) & (picture <= 1)).all()


def test_metric_depth_is_stretched_per_image_without_its_outliers() -> None:
    near, far = torch.rand(2, 1, 40, 50, generator=torch.Generator().manual_seed(0)).split(1)
    depth_m = torch.cat([1 + near, 30 + 20 * far])
    depth_m[0, 0, 0, 0] = 1e6
    position = near_to_far(depth_m, METRIC_DEPTH).clamp(0, 1)
    assert (position.flatten(1).mean(1) - 0.5).abs().max() < 0.05  # uniform values spread over the whole ramp


def test_a_flat_metric_map_is_drawn_in_the_middle() -> None:
    assert torch.equal(near_to_far(torch.full((1, 1, 3, 3), 2.0), METRIC_DEPTH), torch.full((1, 1, 3, 3), 0.5))


def test_normals_facing_the_viewer_are_light_violet() -> None:
    facing = torch.tensor([0.0, 0.0, 1.0]).reshape(1, 3, 1, 1)
    assert torch.equal(normals_colours(facing).flatten(), torch.tensor([0.5, 0.5, 1.0]))
    with pytest.raises(ValueError, match="normals_colours"):
        near_to_far(torch.zeros(1, 1, 2, 2), NORMALS)


def test_uncertainty_saturates_at_the_95th_percentile() -> None:
    values = _ramp(1001)
    picture = uncertainty_colours(values)
    assert torch.equal(picture[..., 950:], picture[..., 950:951].expand_as(picture[..., 950:]))
    assert not torch.equal(picture[..., 900], picture[..., 950])
    assert torch.equal(uncertainty_colours(values * 1e-3), picture) or torch.allclose(
        uncertainty_colours(values * 1e-3),
        picture,
        atol=1e-4,  # float32 rounding of the division
    )
    certain = uncertainty_colours(torch.zeros(1, 1, 4, 4))
    assert certain.max() < 0.1


def test_quantile_is_the_nearest_rank() -> None:
    values = torch.arange(101.0)[torch.randperm(101, generator=torch.Generator().manual_seed(1))]
    assert quantile(values, 0.95) == 95
    assert quantile(values[:1], 0.5) == values[0]
