"""The affine-invariant normalisation, and what a sample must be."""

from dataclasses import replace
from typing import Any

import pytest
import torch

from latentdepth.core.noise import generator
from latentdepth.core.types import Camera, Quantity
from latentdepth.data.sample import Sample, assembled, checked, filled_from_nearest, normalised


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


def test_square_root_and_names_instead_of_quantities():
    value = normalised(sample(ramp().square()), "sqrt_depth")
    torch.testing.assert_close(value, normalised(sample(ramp()), "depth"), atol=1e-6, rtol=0)
    assert torch.equal(normalised(sample(ramp()), "log_depth"), normalised(sample(ramp()), Quantity.LOG_DEPTH))


def holed() -> Sample:
    depth, valid = ramp(), torch.ones(20, 20, dtype=torch.bool)
    depth[4:9, 3:10], valid[4:9, 3:10] = 0.0, False
    depth[0] = torch.inf
    return sample(depth, valid)


@pytest.mark.parametrize(("kind", "near"), [("depth", -1.0), ("sqrt_depth", -1.0), ("disparity", 1.0)])
def test_invalid_pixels_at_the_near_end_as_published(kind: Any, near: float):
    value = normalised(holed(), kind, filling="near")
    assert (value[~holed().valid] == near).all()
    # what the published code does: zeros in, clipped
    clipped = normalised(replace(holed(), valid=torch.ones(1, 20, 20, dtype=torch.bool)), kind)
    assert (clipped[~holed().valid] == near).all()


@pytest.mark.parametrize("kind", ["depth", "log_depth", "disparity"])
def test_filling_changes_invalid_pixels_only(kind: Any):
    middle, nearest = (normalised(holed(), kind, filling=f) for f in ("middle", "nearest"))
    assert torch.equal(middle[holed().valid], nearest[holed().valid])
    assert float(nearest[0, 4, 5]) == float(nearest[0, 3, 5])  # the pixel above is nearest
    assert float(nearest[0, 6, 3]) == float(nearest[0, 6, 2])


@pytest.mark.parametrize(("h", "w", "share"), [(9, 13, 0.1), (16, 5, 0.5), (1, 12, 0.2), (12, 12, 0.02)])
def test_filling_is_from_the_nearest_by_city_blocks(h: int, w: int, share: float):
    valid = torch.rand(1, h, w, generator=generator("fill", h, w)) < share
    valid[0, 0, -1] = True
    where = torch.stack(torch.meshgrid(torch.arange(h), torch.arange(w), indexing="ij")).float()
    found = filled_from_nearest(where, valid)
    known = where[:, valid[0]]  # 2 k
    distance = (where[:, :, :, None] - known[:, None, None, :]).abs().sum(0).amin(-1)
    assert torch.equal((found - where).abs().sum(0), distance)
    assert bool(valid[0][found[0].long(), found[1].long()].all())
    with pytest.raises(ValueError, match="nothing to fill from"):
        filled_from_nearest(where, torch.zeros(1, h, w, dtype=torch.bool))


def test_samples_that_do_not_fit_together_are_refused():
    good = sample(ramp())
    assert checked(good, "x") is good
    wrong: list[tuple[dict[str, Any], str]] = [
        ({"depth_m": torch.where(ramp()[None] > 8, torch.nan, ramp()[None])}, "NaN or not above 0"),
        ({"depth_m": -ramp()[None]}, "NaN or not above 0"),
        ({"valid": torch.zeros(1, 20, 20, dtype=torch.bool)}, "no pixel has a valid depth"),
        ({"camera": Camera.from_focal(30.0, 40, 40)}, "camera is for 40 x 40 pixels, the photo has 20 x 20"),
    ]
    for change, message in wrong:
        with pytest.raises(ValueError, match=f"a/b.png: .*{message}"):
            checked(replace(good, **change), "a/b.png")
    checked(replace(good, depth_m=torch.full((1, 20, 20), torch.inf)), "all sky is an answer")


def test_parts_of_other_sizes_are_refused_and_masks_narrow_what_is_valid():
    whole = holed()
    mask = torch.zeros(1, 20, 20, dtype=torch.bool)
    mask[0, 3:8] = True
    made = assembled(whole.image, whole.depth_m.clamp(min=1), whole.valid, name="m", mask=mask)
    assert torch.equal(made.valid, whole.valid & mask)
    with pytest.raises(ValueError, match="m: the mask has 19 x 20 pixels, the photo 20 x 20"):
        assembled(whole.image, whole.depth_m, whole.valid, name="m", mask=mask[..., 1:])
    with pytest.raises(ValueError, match="m: the depth has 20 x 18 pixels"):
        assembled(whole.image, whole.depth_m[:, 2:], whole.valid[:, 2:], name="m")
    with pytest.raises(ValueError, match="m: the picture of normals has 1 x 20 pixels"):
        assembled(whole.image, whole.depth_m, whole.valid, name="m", normals=torch.zeros(3, 20, 1))
