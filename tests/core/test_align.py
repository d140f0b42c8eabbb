"""Fits against NumPy's and SciPy's, on batches, with outliers, and where there is nothing to fit."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jaxtyping
import numpy as np
import pytest
import torch
from scipy.optimize import least_squares
from torch import Tensor

from latentdepth.core.align import fit_depth, fit_disparity, fit_log_depth, fit_ransac, fit_robust, fit_scale, to_metric
from latentdepth.core.types import (
    AFFINE_DEPTH,
    AFFINE_DISPARITY,
    METRIC_DEPTH,
    NORMALS,
    Camera,
    Invariance,
    Kind,
    Prediction,
    Quantity,
    SparseDepth,
)

Align = Callable[..., Any]
SPACES: list[Any] = ["depth", "disparity", "log_depth"]
LEAST_SQUARES: list[Any] = [(fit_depth, "depth"), (fit_disparity, "disparity"), (fit_log_depth, "log_depth")]
AFFINE_FITS: list[Any] = [fit_depth, fit_disparity, fit_log_depth, fit_robust, fit_ransac]


def scene(seed: int = 0, images: int = 3, noise: float = 0.05) -> tuple[Tensor, Tensor, Tensor]:
    """Prediction, truth in metres and mask [n 1 24 32]: truth = 4 * prediction + 1 plus noise, a quarter masked."""
    generator = torch.Generator().manual_seed(seed)
    prediction = torch.rand(images, 1, 24, 32, generator=generator)
    truth = 4 * prediction + 1 + noise * torch.randn(prediction.shape, generator=generator)
    return prediction, truth, torch.rand(prediction.shape, generator=generator) > 0.25


def into(truth: np.ndarray, space: str) -> np.ndarray:
    if space == "depth":
        return truth
    return 1 / truth if space == "disparity" else np.log(truth)


@pytest.mark.parametrize(("fit", "space"), LEAST_SQUARES)
def test_least_squares_equals_numpy(fit: Align, space: str) -> None:
    prediction, truth, valid = scene()
    truth[~valid] = torch.nan  # what is masked must not be read
    aligned, found = fit(prediction, truth, valid)
    assert aligned.dtype == torch.float32
    for k in range(len(prediction)):
        x, y = prediction[k][valid[k]].double().numpy(), truth[k][valid[k]].double().numpy()
        expected = np.linalg.lstsq(np.stack([x, np.ones_like(x)], 1), into(y, space), rcond=None)[0]
        # Two solutions of one well-conditioned system in float64.
        np.testing.assert_allclose([found.scale[k], found.shift[k]], expected, rtol=1e-10)
        line = expected[0] * prediction[k].double().numpy() + expected[1]
        depth = {"depth": line, "disparity": 1 / np.maximum(line, 1 / y.max()), "log_depth": np.exp(line)}[space]
        np.testing.assert_allclose(aligned[k].numpy(), depth, rtol=1e-6)  # float32


@pytest.mark.parametrize("space", SPACES)
def test_huber_equals_scipy(space: Any) -> None:
    prediction, truth, valid = scene(1, images=2)
    truth = torch.where(torch.rand(truth.shape, generator=torch.Generator().manual_seed(2)) < 0.1, truth + 6, truth)
    _, found = fit_robust(prediction, truth, valid, space=space, delta=0.05, rounds=500)
    for k in range(len(prediction)):
        x, y = prediction[k][valid[k]].double().numpy(), into(truth[k][valid[k]].double().numpy(), space)

        def residual(line: np.ndarray, x: np.ndarray = x, y: np.ndarray = y) -> np.ndarray:
            return line[0] * x + line[1] - y

        reference = least_squares(residual, [1.0, 0.0], loss="huber", f_scale=0.05, xtol=1e-14, ftol=1e-14, gtol=1e-12)
        # SciPy stops on its own tolerances; the minimum is flat to about the root of them.
        np.testing.assert_allclose([found.scale[k], found.shift[k]], reference.x, rtol=1e-5)


@pytest.mark.parametrize("method", ["least_squares", "median"])
@pytest.mark.parametrize("space", ["depth", "disparity"])
def test_scale_only_equals_numpy(method: Any, space: Any) -> None:
    prediction, truth, valid = scene(3)
    prediction = prediction + 0.2
    _, found = fit_scale(prediction, truth, valid, method=method, space=space)
    for k in range(len(prediction)):
        x, y = prediction[k][valid[k]].double().numpy(), into(truth[k][valid[k]].double().numpy(), space)
        if method == "least_squares":
            expected = (x * y).sum() / (x * x).sum()
        else:  # torch's median of an even count is the lower of the middle two
            expected = np.sort(y)[(len(y) - 1) // 2] / np.sort(x)[(len(x) - 1) // 2]
        np.testing.assert_allclose(found.scale[k], expected, rtol=1e-12)  # sums in float64
        assert found.shift[k] == 0


@pytest.mark.parametrize("fit", AFFINE_FITS)
def test_aligned_depth_ignores_affine_maps_of_the_prediction(fit: Align) -> None:
    prediction, truth, valid = scene(4)
    before, _ = fit(prediction, truth, valid)
    after, _ = fit(prediction * 0.25 + 0.5, truth, valid)
    # 0.25 * p + 0.5 is rounded to float32 steps of 6e-8, which fitting back makes 16 times larger.
    torch.testing.assert_close(before, after, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("fit", [*AFFINE_FITS, fit_scale])
def test_batch_equals_each_image_alone(fit: Align) -> None:
    prediction, truth, valid = scene(5)
    together, _ = fit(prediction, truth, valid)
    for k in range(len(prediction)):
        alone, _ = fit(prediction[k : k + 1], truth[k : k + 1], valid[k : k + 1])
        # Huber's rounds end when the slowest image has settled; float32 of the rest.
        torch.testing.assert_close(together[k], alone[0], rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("space", SPACES)
def test_ransac_finds_the_line_among_thirty_percent_outliers(space: Any) -> None:
    generator = torch.Generator().manual_seed(6)
    prediction = torch.rand(2, 1, 60, 80, generator=generator)
    line = {"depth": 4 * prediction + 1, "disparity": 1 / (0.8 * prediction + 0.1), "log_depth": prediction.exp() * 2}
    truth = line[space]
    gross = torch.rand(truth.shape, generator=generator) < 0.3
    spoiled = torch.where(gross, truth * (2 + 3 * torch.rand(truth.shape, generator=generator)), truth)
    valid = torch.ones_like(gross)
    aligned, _ = fit_ransac(prediction, spoiled, valid, space=space)
    # Every outlier is off by a factor of 2 or more, far outside the 5 % of an inlier: what is left is exact in float32,
    # up to the farthest measured value bounding the inverse.
    assert ((aligned - truth).abs() / truth).max() < 1e-5
    plain = dict(zip(SPACES, (fit_depth, fit_disparity, fit_log_depth), strict=True))[space](prediction, spoiled, valid)
    assert ((plain[0] - truth).abs() / truth).max() > 0.05, "the outliers must matter for this test to mean anything"


def test_ransac_is_repeatable_and_leaves_the_global_generator_alone() -> None:
    prediction, truth, valid = scene(7)
    state = torch.get_rng_state()
    first, second = fit_ransac(prediction, truth, valid, seed=3), fit_ransac(prediction, truth, valid, seed=3)
    assert torch.equal(first[0], second[0])
    assert torch.equal(torch.get_rng_state(), state)


def test_huber_with_its_own_scale_resists_outliers() -> None:
    prediction, truth, valid = scene(8, noise=0.01)
    gross = torch.rand(truth.shape, generator=torch.Generator().manual_seed(9)) < 0.1
    spoiled = torch.where(gross, truth + 20, truth)
    robust, plain = fit_robust(prediction, spoiled, valid)[1], fit_depth(prediction, spoiled, valid)[1]
    # One tenth on one side pulls Huber's level by about 0.1 / 0.9 * 1.345 = 0.15 of the noise of 0.01; 6 times that.
    torch.testing.assert_close(robust.shift, torch.ones(3).double(), atol=0.01, rtol=0)
    assert (plain.shift - 1).abs().min() > 0.5


def test_exact_fit_stays_exact_under_huber() -> None:
    prediction, _, valid = scene(10)
    aligned, _ = fit_robust(prediction, 4 * prediction + 1, valid)
    torch.testing.assert_close(aligned, 4 * prediction + 1, rtol=1e-6, atol=1e-6)  # float32


@pytest.mark.parametrize("fit", [*AFFINE_FITS, fit_scale])
@pytest.mark.parametrize("count", [0, 1])
def test_image_with_too_few_pixels_is_nan_and_spares_the_others(fit: Align, count: int) -> None:
    prediction, truth, valid = scene(11)
    expected, _ = fit(prediction, truth, valid)
    valid[1] = False
    valid[1, 0, 0, :count] = True
    aligned, found = fit(prediction, truth, valid)
    assert torch.isnan(aligned[1]).all()
    assert torch.isnan(found.scale[1])
    assert torch.isnan(found.shift[1])
    # The other images are solved as before, to float32.
    torch.testing.assert_close(aligned[[0, 2]], expected[[0, 2]], rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("fit", AFFINE_FITS)
def test_constant_prediction_gets_the_best_constant(fit: Align) -> None:
    _, truth, valid = scene(12)
    aligned, found = fit(torch.full_like(truth, 0.3), truth, valid)
    assert torch.equal(found.scale, torch.zeros(3).double())
    assert torch.isfinite(aligned).all()
    assert (aligned.amax((1, 2, 3)) == aligned.amin((1, 2, 3))).all()
    if fit is fit_depth:
        means = torch.stack([truth[k][valid[k]].double().mean() for k in range(3)])
        torch.testing.assert_close(found.shift, means, rtol=1e-12, atol=0)  # float64 sums in another order


def test_non_finite_values_do_not_count() -> None:
    prediction, truth, valid = scene(13)
    expected = fit_disparity(prediction, truth, valid & (torch.arange(32) >= 4))[1]
    prediction[..., 0] = torch.nan
    truth[..., 1], truth[..., 2], truth[..., 3] = torch.inf, -1.0, 0.0
    found = fit_disparity(prediction, truth, valid)[1]
    torch.testing.assert_close(found.scale, expected.scale, rtol=1e-12, atol=0)  # the same float64 sums
    torch.testing.assert_close(found.floor, expected.floor, rtol=0, atol=0)


def test_disparity_floor_bounds_the_depth() -> None:
    prediction, truth, valid = scene(14)
    farthest = truth.where(valid, torch.tensor(0.0)).amax((1, 2, 3))
    aligned, found = fit_disparity(prediction, truth, valid)
    assert (aligned.amax((1, 2, 3)) <= farthest * (1 + 1e-6)).all()  # float32
    behind_infinity = torch.full_like(prediction, 9.0)
    # A falling line at 9 is negative: its depth is the farthest measured one.
    torch.testing.assert_close(found.apply(behind_infinity).amax((1, 2, 3)), farthest, rtol=1e-6, atol=0)
    assert fit_disparity(prediction, truth, valid, floor=0.5)[0].max() == 2


def test_wrong_shapes_and_names_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    # The type checker that the tests run under would stop the calls first; users run without it.
    monkeypatch.setattr(jaxtyping.config, "jaxtyping_disable", True)
    prediction, truth, valid = scene(15)
    wrong: Any = "inverse"
    with pytest.raises(ValueError, match="resize the prediction to the truth"):
        fit_depth(prediction[..., :-1], truth, valid)
    with pytest.raises(ValueError, match='allowed are "depth", "disparity" and "log_depth"'):
        fit_robust(prediction, truth, valid, space=wrong)
    with pytest.raises(ValueError, match='allowed are "least_squares" and "median"'):
        fit_scale(prediction, truth, valid, method=wrong)


def relative(kind: Kind) -> tuple[Prediction, Tensor, SparseDepth]:
    """A prediction of ``kind`` [1 1 30 40], the depth in metres behind it and 60 anchors of that depth."""
    generator = torch.Generator().manual_seed(16)
    depth_m = 2 + 6 * torch.rand(1, 1, 30, 40, generator=generator)
    spaces = {Quantity.DEPTH: depth_m, Quantity.DISPARITY: 1 / depth_m, Quantity.LOG_DEPTH: depth_m.log()}
    target = spaces[kind.quantity]
    least = torch.zeros(()) if kind.invariance is Invariance.SCALE else target.min()
    value = (target - least) / (target.max() - least)
    points_px = torch.rand(60, 2, generator=generator) * torch.tensor([40.0, 30.0])
    column, row = points_px.floor().long().unbind(1)
    made = Prediction(value, kind, torch.full_like(value, 0.01), Camera.from_fov(60, 40, 30), {"model": "m"})
    return made, depth_m, SparseDepth(points_px, depth_m[0, 0, row, column])


RELATIVE_KINDS = [AFFINE_DEPTH, AFFINE_DISPARITY, Kind(Quantity.LOG_DEPTH, Invariance.AFFINE)]
RELATIVE_KINDS += [Kind(Quantity.DEPTH, Invariance.SCALE), Kind(Quantity.DISPARITY, Invariance.SCALE)]


@pytest.mark.parametrize("method", ["least_squares", "robust", "ransac"])
@pytest.mark.parametrize("kind", RELATIVE_KINDS, ids=str)
def test_anchors_make_any_relative_kind_metric(kind: Kind, method: Any) -> None:
    prediction, depth_m, anchors = relative(kind)
    metric = to_metric(prediction, anchors, method=method)
    assert (metric.kind, metric.camera) == (METRIC_DEPTH, prediction.camera)
    assert (metric.made_with["model"], metric.made_with["anchors"]) == ("m", 60)
    torch.testing.assert_close(metric.value, depth_m, rtol=1e-5, atol=1e-5)  # float32 through two maps


def test_bad_anchors_do_not_move_the_robust_fits() -> None:
    prediction, depth_m, anchors = relative(AFFINE_DEPTH)
    spoiled = anchors.depth_m.clone()
    spoiled[:6] = 100.0
    spoiled[6:9] = torch.tensor([0.0, torch.nan, -1.0])  # missing returns
    bad = SparseDepth(anchors.points_px, spoiled)
    ransac = to_metric(prediction, bad, method="ransac")
    torch.testing.assert_close(ransac.value, depth_m, rtol=1e-5, atol=1e-5)  # float32 through two maps
    assert ransac.made_with["anchors"] == 57
    # The inliers are exact, so the knee shrinks with their residuals, round after round.
    torch.testing.assert_close(to_metric(prediction, bad).value, depth_m, rtol=1e-3, atol=1e-3)
    assert (to_metric(prediction, bad, method="least_squares").value - depth_m).abs().mean() > 1


@pytest.mark.parametrize("kind", RELATIVE_KINDS[:3], ids=str)
def test_uncertainty_becomes_metres(kind: Kind) -> None:
    prediction, _, anchors = relative(kind)
    metric = to_metric(prediction, anchors)
    scale, shift = metric.made_with["scale"], metric.made_with["shift"]
    assert isinstance(scale, float)
    assert isinstance(shift, float)
    line = prediction.value.double() * scale + shift
    into_depth = {Quantity.DEPTH: torch.clone, Quantity.DISPARITY: torch.reciprocal, Quantity.LOG_DEPTH: torch.exp}
    start, moved = (into_depth[kind.quantity](line + step * scale) for step in (0, 1e-5))
    assert metric.uncertainty is not None
    # The uncertainty is 0.01, a thousand steps of 1e-5; a one-sided difference is off by its second order, below 1e-3.
    torch.testing.assert_close(metric.uncertainty.double(), (moved - start).abs() * 1000, rtol=1e-3, atol=0)


def test_depth_stays_between_a_millimetre_and_the_farthest() -> None:
    value = torch.linspace(-1, 1, 100).view(1, 1, 10, 10)
    points = torch.tensor([[5.5, 5.5], [9.5, 5.5], [2.5, 7.5]])
    column, row = points.floor().long().unbind(1)
    depth = SparseDepth(points, 5 * value[0, 0, row, column])
    metric = to_metric(Prediction(value, AFFINE_DEPTH), depth, farthest_m=3.0)
    assert metric.value.min() == pytest.approx(1e-3)  # float32
    assert metric.value.max() == 3
    assert metric.uncertainty is None


def test_what_cannot_be_made_metric_is_refused() -> None:
    prediction, _, anchors = relative(AFFINE_DEPTH)
    value = prediction.value
    with pytest.raises(ValueError, match="give relative depth, disparity or log depth"):
        to_metric(Prediction(value.expand(1, 3, 30, 40), NORMALS), anchors)
    with pytest.raises(ValueError, match="give relative depth"):
        to_metric(Prediction(value, METRIC_DEPTH), anchors)
    with pytest.raises(ValueError, match="one image at a time"):
        to_metric(Prediction(value.expand(2, 1, 30, 40), AFFINE_DEPTH), anchors)
    with pytest.raises(ValueError, match="lie outside the 40 x 30 picture"):
        to_metric(prediction, SparseDepth(anchors.points_px + 20, anchors.depth_m))
    with pytest.raises(ValueError, match="give at least 2"):
        to_metric(prediction, SparseDepth(anchors.points_px, torch.zeros(60)))
    with pytest.raises(ValueError, match="near and far are swapped"):
        to_metric(prediction, SparseDepth(anchors.points_px, 10 - anchors.depth_m))
