"""Sparsification against removing pixels one by one, closed forms, ties and nothing."""

from __future__ import annotations

from typing import Any

import jaxtyping
import numpy as np
import pytest
import torch
from torch import Tensor

from latentdepth.core.sparsification import sparsification, uncertainty_metrics


def scene(seed: int = 0) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Prediction, truth, mask and an uncertainty that knows something [1 1 12 15]."""
    generator = torch.Generator().manual_seed(seed)
    truth = 2 + torch.rand(1, 1, 12, 15, generator=generator)
    prediction = truth * (1 + 0.1 * torch.randn(truth.shape, generator=generator))
    doubt = (prediction - truth).abs() + 0.2 * torch.rand(truth.shape, generator=generator)
    return prediction, truth, torch.rand(truth.shape, generator=generator) > 0.2, doubt


def naive(p: np.ndarray, g: np.ndarray, ranked: np.ndarray, error: str, steps: int) -> np.ndarray:
    """The error of what is left, share after share, for values without ties."""
    worst_first = np.argsort(-ranked)
    curve = []
    for k in range(steps):
        left = worst_first[k * len(p) // steps :]
        off = p[left] - g[left]
        curve.append(np.mean(np.abs(off) / g[left]) if error == "abs_rel" else np.sqrt(np.mean(off**2)))
    return np.array(curve) / curve[0]


@pytest.mark.parametrize("error", ["abs_rel", "rmse"])
def test_curves_equal_removing_pixels(error: Any) -> None:
    prediction, truth, valid, doubt = scene()
    truth[0, 0, 0, :3] = torch.tensor([torch.nan, 0.0, -1.0])  # don't count
    doubt[0, 0, 0, 0] = torch.nan  # nor is what they hold read
    counts = valid & (truth > 0)
    found = sparsification(prediction, truth, valid, doubt, error=error, steps=20)
    p, g, u = (values[counts].double().numpy() for values in (prediction, truth, doubt))
    curve = naive(p, g, u, error, 20)
    oracle = naive(p, g, np.abs(p - g) / g if error == "abs_rel" else np.abs(p - g), error, 20)
    # Sums in float64 in another order.
    np.testing.assert_allclose(found.curve, curve, rtol=1e-12)
    np.testing.assert_allclose(found.oracle, oracle, rtol=1e-12)
    removed = np.arange(20) / 20
    assert float(found.ause) == pytest.approx(np.trapezoid(curve - oracle, removed), rel=1e-12)
    assert float(found.aurg) == pytest.approx(np.trapezoid(1 - curve, removed), rel=1e-12)
    assert float(found.ause) > 0
    assert float(found.aurg) > 0
    table = uncertainty_metrics(prediction, truth, valid, doubt)
    assert table[f"ause_{error}"] == float(sparsification(prediction, truth, valid, doubt, error=error).ause)


def test_constant_uncertainty_is_worth_chance() -> None:
    prediction, truth, valid, doubt = scene(1)
    for error in ("abs_rel", "rmse"):
        found = sparsification(prediction, truth, valid, torch.full_like(doubt, 0.7), error=error)
        torch.testing.assert_close(found.curve, torch.ones(50).double(), rtol=1e-12, atol=0)  # rounding of sums
        assert abs(float(found.aurg)) < 1e-12


def test_knowing_the_error_is_the_oracle_and_its_reverse_is_worse_than_chance() -> None:
    prediction, truth, valid, _ = scene(2)
    off = (prediction - truth).abs() / truth
    best, worst = (sparsification(prediction, truth, valid, doubt) for doubt in (off.exp(), -off))
    assert float(best.ause) == pytest.approx(0, abs=1e-9)  # float32 uncertainty may tie what float64 tells apart
    assert float(worst.aurg) < 0 < float(best.aurg)
    assert (worst.curve >= best.curve).all()


def test_linear_errors_have_a_closed_form() -> None:
    """|p - g| / g = 1 ... n of n pixels: after removing a share r of them the mean is (n (1 - r) + 1) / 2."""
    n, steps = 100, 10
    truth = torch.ones(1, 1, 10, 10).double()
    prediction = 1 + torch.arange(1, n + 1).double().view_as(truth)
    found = sparsification(prediction, truth, truth > 0, prediction, steps=steps)
    removed = torch.arange(steps).double() / steps
    torch.testing.assert_close(found.curve, (n * (1 - removed) + 1) / (n + 1), rtol=1e-12, atol=0)  # float64
    assert float(found.whole) == pytest.approx((n + 1) / 2)
    assert float(found.ause) == 0


def test_tied_pixels_stand_for_their_mean() -> None:
    truth = torch.ones(1, 1, 1, 4).double()
    prediction = truth + torch.tensor([4.0, 0.0, 2.0, 2.0]).double()
    doubt = torch.tensor([1.0, 1.0, 0.0, 0.0]).double().view_as(truth)
    for order in (torch.tensor([0, 1, 2, 3]), torch.tensor([1, 0, 3, 2]), torch.tensor([2, 1, 3, 0])):
        maps = (values[..., order] for values in (prediction, truth, truth > 0, doubt))
        found = sparsification(*maps, steps=4)
        # The doubtful two have mean 2 as the others, so nothing is gained; the oracle removes 4, 2, 2.
        torch.testing.assert_close(found.curve, torch.ones(4).double(), rtol=1e-12, atol=0)
        torch.testing.assert_close(
            found.oracle, torch.tensor([1, 2 / 3, 0.5, 0], dtype=torch.float64), rtol=1e-12, atol=0
        )


def test_nothing_and_perfection() -> None:
    prediction, truth, valid, doubt = scene(3)
    assert all(np.isnan(value) for value in uncertainty_metrics(prediction, truth, valid & False, doubt).values())
    assert all(value == 0 for value in uncertainty_metrics(truth, truth, valid, doubt).values())
    one = torch.zeros_like(valid)
    one[0, 0, 3, 3] = True
    found = sparsification(prediction, truth, one, doubt)
    assert (found.curve == 1).all(), "the last pixel is never removed"


def test_what_makes_no_sense_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    # The type checker that the tests run under would stop some calls first; users run without it.
    monkeypatch.setattr(jaxtyping.config, "jaxtyping_disable", True)
    prediction, truth, valid, doubt = scene(4)
    wrong: Any = "mae"
    with pytest.raises(ValueError, match='"abs_rel" and "rmse"'):
        sparsification(prediction, truth, valid, doubt, error=wrong)
    with pytest.raises(ValueError, match="2 steps or more"):
        sparsification(prediction, truth, valid, doubt, steps=1)
    with pytest.raises(ValueError, match="allowed is one size"):
        sparsification(prediction, truth, valid, doubt[..., 1:])
    with pytest.raises(ValueError, match="are NaN"):
        sparsification(prediction, truth, valid, doubt * torch.nan)
