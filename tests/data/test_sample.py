"""The affine-invariant normalisation."""

import pytest
import torch

from latentdepth.core.types import Quantity
from latentdepth.data.sample import Sample, normalised


def sample(depth: torch.Tensor, valid: torch.Tensor | None = None) -> Sample:
    h, w = depth.shape
    mask = torch.ones(1, h, w, dtype=torch.bool) if valid is None else valid[None]
    return Sample(torch.zeros(3, h, w), depth[None], mask)


def ramp() -> torch.Tensor:
    return torch.linspace(1, 9, 400).reshape(20, 20)


@pytest.mark.parametrize("quantity", [Quantity.DEPTH, Quantity.LOG_DEPTH, Quantity.DISPARITY])
def test_quantiles_land_on_the_ends(quantity: Quantity):
    value = normalised(sample(ramp()), quantity)
    assert float((value <= -1).float().mean()) == pytest.approx(0.02, abs=0.005)
    assert float((value >= 1).float().mean()) == pytest.approx(0.02, abs=0.005)
    far = value[0, -1, -1] if quantity is not Quantity.DISPARITY else value[0, 0, 0]
    assert float(far) == 1.0  # far is high for depth, near is high for disparity


def test_depth_is_affine_in_between():
    value = normalised(sample(ramp()), Quantity.DEPTH)[0].flatten()[20:-20]
    torch.testing.assert_close(value.diff(), torch.full((359,), float(value.diff().mean())), atol=1e-5, rtol=1e-4)


def test_scale_and_shift_change_nothing():
    a = normalised(sample(ramp()), Quantity.DEPTH)
    torch.testing.assert_close(normalised(sample(ramp() * 3 + 7), Quantity.DEPTH), a, atol=1e-5, rtol=0)


def test_sky_is_the_far_end():
    depth = ramp()
    depth[0] = torch.inf
    assert normalised(sample(depth), Quantity.DEPTH)[0, 0].tolist() == [1.0] * 20
    assert normalised(sample(depth), Quantity.DISPARITY)[0, 0].tolist() == [-1.0] * 20


def test_invalid_pixels_are_in_the_middle_and_out_of_the_quantiles():
    depth, valid = ramp(), torch.ones(20, 20, dtype=torch.bool)
    depth[5, 5], valid[5, 5] = 1e6, False
    value = normalised(sample(depth, valid), Quantity.DEPTH)
    assert float(value[0, 5, 5]) == 0.0
    torch.testing.assert_close(value[0, 6], normalised(sample(ramp(), valid), Quantity.DEPTH)[0, 6])


def test_samples_without_a_range_are_refused():
    with pytest.raises(ValueError, match="are equal"):
        normalised(sample(torch.ones(20, 20)), Quantity.DEPTH)
    with pytest.raises(ValueError, match="only 9 pixels"):
        normalised(sample(ramp()[:3, :3]), Quantity.DEPTH)
    with pytest.raises(ValueError, match="normals"):
        normalised(sample(ramp()), Quantity.NORMALS)
