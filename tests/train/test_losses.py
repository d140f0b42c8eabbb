"""Losses against closed forms; what stands at invalid pixels is never read."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from latentdepth.core.noise import generator
from latentdepth.train.losses import (
    affine_l1,
    angular,
    gradient_matching,
    least_squares_fitted,
    masked_mean,
    median_mad,
    pseudo_huber,
    scale_shift_invariant,
    trimmed_l1,
)

DRAW = generator("losses")
A, B = torch.randn(3, 1, 8, 10, generator=DRAW), torch.randn(3, 1, 8, 10, generator=DRAW)
VALID = torch.rand(3, 1, 8, 10, generator=DRAW) < 0.7
# float32 sums of about 80 numbers of size 1
CLOSE: dict[str, Any] = {"atol": 2e-6, "rtol": 2e-6}


def turned(normals: Tensor, angle: float) -> Tensor:
    """About the y axis."""
    x, y, z = normals.unbind(1)
    c, s = math.cos(angle), math.sin(angle)
    return torch.stack((c * x + s * z, y, -s * x + c * z), 1)


def test_masked_mean_counts_cells_or_images():
    error = torch.tensor([1.0, 3.0, 5.0, 7.0]).view(2, 1, 1, 2).expand(2, 4, 1, 2)
    valid = torch.tensor([True, True, True, False]).view(2, 1, 1, 2)
    assert float(masked_mean(error, valid)) == 3.0  # (1 + 3 + 5) / 3
    assert float(masked_mean(error, valid, over="images")) == 3.5  # (2 + 5) / 2
    nobody = torch.zeros_like(valid)
    assert float(masked_mean(error, nobody)) == float(masked_mean(error, nobody, over="images")) == 0.0
    first = valid & torch.tensor([True, False]).view(2, 1, 1, 1)
    assert float(masked_mean(error, first, over="images")) == 2.0  # an image without valid cells is not averaged in


def test_pseudo_huber_is_square_near_zero_and_linear_far_off():
    near, far = pseudo_huber(torch.tensor([1e-3, 100.0]).view(2, 1, 1, 1), 0.1).flatten().tolist()
    assert near == pytest.approx(1e-6 / 0.2, rel=1e-2)  # d^2 / 2c, less terms of order d^4; float32 keeps 1 % here
    assert far == pytest.approx(100 - 0.1, abs=1e-4)


def test_the_fit_is_the_least_squares_one_of_each_image():
    fitted = least_squares_fitted(A, B, VALID)
    for k in range(3):
        chosen = VALID[k].numpy()
        slope, offset = np.polyfit(A[k].numpy()[chosen], B[k].numpy()[chosen], 1)
        np.testing.assert_allclose(fitted[k].numpy()[chosen], slope * A[k].numpy()[chosen] + offset, atol=2e-6)


def test_affine_loss_ignores_scale_and_shift_of_either_map():
    loss = affine_l1(A, B, VALID)
    assert float(loss) > 0.1
    torch.testing.assert_close(affine_l1(A, 3 * B - 7, VALID), loss, **CLOSE)
    torch.testing.assert_close(affine_l1(-0.2 * A + 1, B, VALID), loss, **CLOSE)
    assert float(affine_l1(0.5 * B + 2, B, VALID)) < 2e-6
    constant = torch.full_like(A, 0.3).requires_grad_()
    flat = affine_l1(constant, B, VALID)
    flat.backward()
    assert constant.grad is not None
    assert bool(torch.isfinite(constant.grad).all())
    assert float(flat.detach()) > float(loss)  # no better than the mean


def test_affine_loss_against_a_hand_count():
    truth = torch.tensor([-1.0, 0.0, 0.0, 1.0]).view(1, 1, 1, 4)
    predicted = torch.tensor([0.0, 1.0, -1.0, 0.0]).view(1, 1, 1, 4)  # uncorrelated: the fit is the mean, 0
    assert float(affine_l1(predicted, truth, torch.ones_like(truth).bool())) == 0.5


def test_the_angle_of_turned_normals_is_the_angle():
    normals = torch.nn.functional.normalize(torch.randn(2, 3, 6, 6, generator=generator("n")), dim=1)
    normals[:, 1] = 0  # turning about y, vectors across it turn by the whole angle
    normals = torch.nn.functional.normalize(normals, dim=1)
    everywhere = torch.ones(2, 1, 6, 6, dtype=torch.bool)
    for degrees in (0.0, 0.01, 30.0, 90.0, 179.0):
        found = float(angular(5 * turned(normals, math.radians(degrees)), normals, everywhere))
        assert math.degrees(found) == pytest.approx(degrees, abs=1e-4)  # float32 of vectors of length 5


def test_the_slope_of_the_angle_is_bounded_at_a_perfect_direction():
    normals = torch.nn.functional.normalize(torch.randn(1, 3, 4, 4, generator=generator("m")), dim=1)
    predicted = normals.clone()
    predicted[..., 0] = 0
    predicted.requires_grad_()
    angular(predicted, normals, torch.ones(1, 1, 4, 4, dtype=torch.bool)).backward()
    assert predicted.grad is not None
    # moving the end of a unit vector turns it by as much at most; arccos would give infinity here. The column of
    # vectors without length is not counted among the other 12, and not moved.
    assert float(predicted.grad.norm(dim=1).max()) < 1.001 / 12
    assert float(predicted.grad[..., 0].abs().max()) == 0


@pytest.mark.parametrize("name", ["affine", "gradient", "ssi", "angular", "latent"])
def test_invalid_pixels_are_never_read(name: str):
    n, c = (3, 3) if name == "angular" else (3, 1)
    predicted, truth = (torch.randn(n, c, 8, 10, generator=generator(name, k)) for k in range(2))

    def run(predicted: Tensor, truth: Tensor, valid: Tensor) -> tuple[Tensor, Tensor]:
        predicted = predicted.clone().requires_grad_()
        loss = {
            "affine": lambda: affine_l1(predicted, truth, valid),
            "gradient": lambda: gradient_matching(predicted, truth, valid),
            "ssi": lambda: scale_shift_invariant(predicted, truth, valid)["loss"],
            "angular": lambda: angular(predicted, truth, valid),
            "latent": lambda: masked_mean(pseudo_huber(predicted - truth, 0.1), valid),
        }[name]()
        loss.backward()
        assert predicted.grad is not None
        return loss.detach(), predicted.grad

    loss, slope = run(predicted, truth, VALID)
    assert float(loss) > 0
    # latents come from an encoder that NaN in its picture would have spoilt everywhere
    other_loss, other_slope = run(predicted, truth.where(VALID, 9.0 if name == "latent" else torch.nan), VALID)
    assert torch.equal(loss, other_loss)
    assert torch.equal(slope, other_slope)
    assert float(slope[~VALID.expand_as(slope)].abs().max()) == 0
    moved_loss, _ = run(torch.where(VALID, predicted, 9.0), truth, VALID)
    assert torch.equal(loss, moved_loss)
    none_loss, none_slope = run(predicted, truth, torch.zeros_like(VALID))
    assert float(none_loss) == 0
    assert float(none_slope.abs().max()) == 0


def test_median_mad_ignores_scale_and_shift_and_has_its_moments():
    scaled = median_mad(A, VALID)
    torch.testing.assert_close(median_mad(4 * A - 3, VALID)[VALID], scaled[VALID], **CLOSE)
    for k in range(3):
        inside = scaled[k][VALID[k]]
        assert float(inside.abs().mean()) == pytest.approx(1, abs=1e-5)
        assert float(inside.median()) == 0.0


def test_trimming_leaves_out_the_largest_errors():
    truth = torch.zeros(1, 1, 1, 10)
    predicted = torch.arange(10.0).view(1, 1, 1, 10)
    everywhere = torch.ones_like(truth).bool()
    assert float(trimmed_l1(predicted, truth, everywhere, 0.0)) == 4.5
    assert float(trimmed_l1(predicted, truth, everywhere, 0.2)) == 3.5  # without 8 and 9


def test_gradient_matching_of_a_ramp():
    ramp = torch.arange(16.0).view(1, 1, 1, 16).expand(1, 1, 16, 16)
    everywhere = torch.ones(1, 1, 16, 16, dtype=torch.bool)
    # every 1st, 2nd, 4th and 8th pixel: neighbours differ by 1, 2, 4 and 8 across, by nothing down
    assert float(gradient_matching(ramp, torch.zeros(1, 1, 16, 16), everywhere)) == 15.0
    assert float(gradient_matching(ramp, ramp + 3, everywhere)) == 0.0
    # no two pixels are 16 or 32 apart here: scales beyond the picture add nothing
    assert float(gradient_matching(ramp, torch.zeros(1, 1, 16, 16), everywhere, scales=6)) == 15.0


def test_more_scales_see_what_lies_farther_apart():
    step = (torch.arange(64) >= 32).float().view(1, 1, 1, 64).expand(1, 1, 64, 64)
    ones, zero = torch.ones(1, 1, 64, 64, dtype=torch.bool), torch.zeros(1, 1, 64, 64)
    # one of 63 neighbours across differs, by 1; of those 32 pixels apart the only pair of each row
    wanted = [sum(1 / (64 // 2**k - 1) for k in range(scales)) for scales in (4, 6)]
    found = [float(gradient_matching(step, zero, ones, scales=scales)) for scales in (4, 6)]
    assert found == pytest.approx(wanted, rel=1e-6)
    flat = scale_shift_invariant(step, step.flip(-1), ones, gradient_weight=1.0, gradient_scales=6)
    assert float(flat["loss"]) == pytest.approx(float(flat["l1"] + flat["gradient"]), rel=1e-6)
    near = scale_shift_invariant(step, step.flip(-1), ones, gradient_weight=1.0)
    assert float(flat["gradient"]) > 4 * float(near["gradient"])
