"""Least absolute error against SciPy's linear programming, and its corners. Huber and RANSAC: see test_align."""

from __future__ import annotations

from typing import Any

import jaxtyping
import numpy as np
import pytest
import torch
from scipy.optimize import linprog
from torch import Tensor

from latentdepth.core import align
from latentdepth.core.robust import fit_l1, fit_scale_l1


def scene(seed: int, h: int = 9, w: int = 11) -> tuple[Tensor, Tensor, Tensor]:
    """Prediction, truth in metres and mask [2 1 h w]: a noisy line, a fifth of it far off, a quarter masked."""
    generator = torch.Generator().manual_seed(seed)
    prediction = torch.rand(2, 1, h, w, generator=generator)
    truth = 4 * prediction + 1 + 0.2 * torch.rand(prediction.shape, generator=generator)
    truth = torch.where(torch.rand(truth.shape, generator=generator) < 0.2, truth * 3, truth)
    return prediction, truth, torch.rand(truth.shape, generator=generator) > 0.25


def loss(line: Any, x: np.ndarray, y: np.ndarray) -> float:
    return float((np.abs(float(line[0]) * x + float(line[1]) - y) / y).sum())


def by_linear_programming(x: np.ndarray, y: np.ndarray, affine: bool) -> np.ndarray:
    """Scale and shift of least sum of |s x + t - y| / y: the sum of bounds on the errors, as a linear program."""
    design = np.stack([x, np.ones_like(x) if affine else np.zeros_like(x)], 1) / y[:, None]
    bounds, ones = np.eye(len(x)), np.ones(len(x))
    found = linprog(
        np.concatenate([np.zeros(2), ones]),
        A_ub=np.block([[design, -bounds], [-design, -bounds]]),
        b_ub=np.concatenate([ones, -ones]),
        bounds=[(None, None)] * 2 + [(0, None)] * len(x),
    )
    return found.x[:2]


@pytest.mark.parametrize("space", ["depth", "disparity"])
@pytest.mark.parametrize("affine", [True, False])
def test_least_absolute_error_equals_linear_programming(space: Any, affine: bool) -> None:
    for seed in range(4):
        prediction, truth, valid = scene(seed)
        truth[~valid] = torch.nan  # what is masked must not be read
        _, found = (fit_l1 if affine else fit_scale_l1)(prediction, truth, valid, space=space)
        for k in range(2):
            x, y = prediction[k][valid[k]].double().numpy(), truth[k][valid[k]].double().numpy()
            y = 1 / y if space == "disparity" else y
            expected = by_linear_programming(x, y, affine)
            line = (found.scale[k], found.shift[k])
            # The solver stops at feasibility 1e-7; ours may only be better than it.
            assert loss(line, x, y) <= loss(expected, x, y) * (1 + 1e-9)
            np.testing.assert_allclose(line, [expected[0], expected[1] if affine else 0], rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("levels", [3, 5])
def test_minimum_is_found_among_repeated_values(levels: int) -> None:
    """Few distinct values put many pixels on one line and make many lines equally good."""
    for seed in range(10):
        generator = torch.Generator().manual_seed(seed)
        x = torch.randint(0, levels, (1, 1, 6, 8), generator=generator).float()
        y = torch.randint(1, levels + 1, (1, 1, 6, 8), generator=generator).float()
        _, found = fit_l1(x, y, torch.ones_like(x, dtype=torch.bool))
        p, g = x.double().numpy().ravel(), y.double().numpy().ravel()
        # Every line through two pixels, among which one of the best must be.
        i, j = np.triu_indices(len(p), 1)
        i, j = i[p[i] != p[j]], j[p[i] != p[j]]
        slope = (g[j] - g[i]) / (p[j] - p[i])
        least = min(loss((s, t), p, g) for s, t in set(zip(slope, g[i] - slope * p[i], strict=True)))
        assert loss((found.scale, found.shift), p, g) <= least * (1 + 1e-12)  # float64


def test_exact_inliers_give_the_exact_line() -> None:
    prediction = torch.rand(1, 1, 40, 50, generator=torch.Generator().manual_seed(0))
    truth = 2 * prediction + 3
    spoiled = torch.where(torch.rand(truth.shape, generator=torch.Generator().manual_seed(1)) < 0.3, truth * 5, truth)
    valid = torch.ones_like(truth, dtype=torch.bool)
    aligned, _ = fit_l1(prediction, spoiled, valid)
    torch.testing.assert_close(aligned, truth, rtol=1e-6, atol=1e-6)  # float32
    scaled, found = fit_scale_l1(truth / 4, spoiled, valid)
    torch.testing.assert_close(scaled, truth, rtol=1e-6, atol=1e-6)
    assert found.shift == 0


def test_large_offsets_lose_no_digits() -> None:
    prediction, truth, valid = scene(7)
    plain = fit_l1(prediction, truth, valid)[0]
    moved = fit_l1(prediction.double() * 1e-3 + 1e4, truth.double(), valid)[0]
    torch.testing.assert_close(moved, plain, rtol=1e-6, atol=1e-6)  # float32 of the depth


def test_cells_are_stood_for_by_the_valid_pixel_nearest_to_their_middle() -> None:
    prediction, truth = (
        torch.rand(1, 1, 8, 12, generator=torch.Generator().manual_seed(2)),
        torch.full((1, 1, 8, 12), 9.0),
    )
    valid = torch.ones_like(truth, dtype=torch.bool)
    # Cells of 4 x 6 pixels, so the middle of the first is between rows 1 and 2 and columns 2 and 3.
    chosen = torch.zeros_like(valid)
    valid[:, :, :4, :6] = False
    valid[0, 0, 0, 5] = valid[0, 0, 1, 4] = True  # (1, 4) is nearer
    chosen[0, 0, 1, 4] = chosen[0, 0, 1, 8] = chosen[0, 0, 5, 2] = True  # of equally near ones the first
    valid[:, :, 4:, 6:] = False  # nothing stands for an empty cell
    truth[chosen] = torch.tensor([2.0, 3.0, 5.0])
    _, found = fit_l1(prediction, truth, valid, resolution=2)
    _, expected = fit_l1(prediction, truth, chosen, resolution=None)
    torch.testing.assert_close((found.scale, found.shift), (expected.scale, expected.shift), rtol=1e-12, atol=0)
    whole = fit_l1(prediction, truth, valid, resolution=None)[1]
    assert whole.scale != found.scale, "the resolution must matter for this test to mean anything"


@pytest.mark.parametrize("fit", [fit_l1, fit_scale_l1])
def test_what_cannot_be_fitted_is_nan_and_spares_the_others(fit: Any) -> None:
    prediction, truth, valid = scene(3)
    expected = fit(prediction, truth, valid)[0]
    for count in (0, 1):
        emptied = valid.clone()
        emptied[1] = False
        emptied[1, 0, 0, :count] = True
        for space in ("depth", "disparity"):
            aligned, found = fit(prediction, truth, emptied, space=space)
            assert torch.isnan(found.scale[1])
            assert torch.isnan(found.shift[1])
            assert torch.isnan(aligned[1]).all()
        torch.testing.assert_close(fit(prediction, truth, emptied)[0][0], expected[0], rtol=0, atol=0)
    bad = truth.clone()
    bad[1] = -1.0  # no truth is positive
    assert torch.isnan(fit(prediction, bad, valid)[1].scale[1])


def test_constant_predictions() -> None:
    _, truth, valid = scene(4)
    aligned, found = fit_l1(torch.full_like(truth, 0.3), truth, valid)
    assert torch.equal(found.scale, torch.zeros(2).double())
    for k in range(2):
        y = truth[k][valid[k]].double().numpy()
        # The best constant is one of the values, by trying them all.
        assert loss((0, found.shift[k]), y, y) == pytest.approx(min(loss((0, v), y, y) for v in y), rel=1e-12)
    assert torch.isfinite(aligned).all()
    assert torch.isnan(fit_scale_l1(torch.zeros_like(truth), truth, valid)[1].scale).all()


def test_disparity_is_bounded_by_the_farthest_truth() -> None:
    prediction, truth, valid = scene(5)
    aligned, found = fit_l1(prediction, truth, valid, space="disparity", resolution=3)
    farthest = truth.where(valid, torch.tensor(0.0)).amax((1, 2, 3))
    assert found.floor is not None
    torch.testing.assert_close(1 / found.floor, farthest.double(), rtol=1e-12, atol=0)
    assert (aligned.amax((1, 2, 3)) <= farthest * (1 + 1e-6)).all()  # float32


def test_wrong_words_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    # The type checker that the tests run under would stop the calls first; users run without it.
    monkeypatch.setattr(jaxtyping.config, "jaxtyping_disable", True)
    prediction, truth, valid = scene(6)
    wrong: Any = "log_depth"
    with pytest.raises(ValueError, match="where the error is relative"):
        fit_l1(prediction, truth, valid, space=wrong)
    with pytest.raises(ValueError, match="resolution is 0"):
        fit_l1(prediction, truth, valid, resolution=0)
    with pytest.raises(ValueError, match="resize the prediction"):
        fit_scale_l1(prediction[..., 1:], truth, valid)


def test_all_fits_are_found_in_align() -> None:
    assert align.fit_l1 is fit_l1
    assert align.fit_scale_l1 is fit_scale_l1
