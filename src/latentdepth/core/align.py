"""Fit predictions of unknown scale and shift to measured depth, and give them a meaning in metres.

A fit is linear in one space of the truth (depth, disparity, log depth): ``space(truth) = scale * prediction + shift``.
Fits are solved in float64 from moments, a batch at a time; each image is fitted alone and the aligned depth is float32.
Robust fits: Huber (1964) by reweighting, and random sample consensus (Fischler and Bolles, 1981) with a truncated
quadratic score. Knows neither benchmarks nor their crops.

In every function a pixel counts where ``valid`` is true, both values are finite and (disparity, log depth) the truth
is positive. An image with fewer than two such pixels gets NaN for scale, shift and depth, and the rest of the batch is
unharmed. A constant prediction gets scale 0 and the mean of the target, which is the best constant.
"""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from latentdepth.core.precision import in_float64
from latentdepth.core.types import METRIC_DEPTH, Invariance, Prediction, Quantity, SparseDepth

Space = Literal["depth", "disparity", "log_depth"]
Method = Literal["least_squares", "robust", "ransac"]

# Pixels that score a RANSAC hypothesis: an inlier share of 0.5 is known from them to 0.01.
_SCORED_PIXELS = 4096
_NEAREST_M = 1e-3


@dataclass(frozen=True)
class Fit:
    """``scale * prediction + shift`` is the truth in ``space``; one scale and shift an image, float64."""

    scale: Float[Tensor, " n"]
    shift: Float[Tensor, " n"]
    space: Space
    floor: Float[Tensor, " n"] | None = None
    """Least disparity, so that what the fit puts behind infinity gets a depth; only where ``space`` is disparity."""

    def apply(self, prediction: Float[Tensor, "n 1 h w"]) -> Float[Tensor, "n 1 h w"]:
        """Depth, float32, in the unit of the truth that was fitted."""
        scale, shift = self.scale.view(-1, 1, 1, 1), self.shift.view(-1, 1, 1, 1)
        fitted = in_float64(prediction).to(scale.device) * scale + shift
        if self.space == "disparity":
            floor = torch.zeros_like(shift) if self.floor is None else self.floor.view(-1, 1, 1, 1)
            fitted = 1 / torch.maximum(fitted, floor)
        elif self.space == "log_depth":
            fitted = fitted.exp()
        return fitted.to(prediction.device, torch.float32)


Aligned = tuple[Float[Tensor, "n 1 h w"], Fit]


def fit_depth(
    prediction: Float[Tensor, "n 1 h w"], truth: Float[Tensor, "n 1 h w"], valid: Bool[Tensor, "n 1 h w"]
) -> Aligned:
    """Least-squares scale and shift in depth: Marigold's protocol for affine-invariant depth."""
    x, y, weight = _pixels(prediction, truth, valid, "depth")
    fit = Fit(*_solve(x, y, weight), "depth")
    return fit.apply(prediction), fit


def fit_disparity(
    prediction: Float[Tensor, "n 1 h w"],
    truth: Float[Tensor, "n 1 h w"],
    valid: Bool[Tensor, "n 1 h w"],
    *,
    floor: float | None = None,
) -> Aligned:
    """Least-squares scale and shift against 1 / truth, clamped from below by ``floor`` and inverted to depth.

    ``floor`` None: 1 / (farthest valid truth of the image), so nothing lies farther than what was measured.
    """
    x, y, weight = _pixels(prediction, truth, valid, "disparity")
    fit = Fit(*_solve(x, y, weight), "disparity", _floor(y, weight, floor))
    return fit.apply(prediction), fit


def fit_log_depth(
    prediction: Float[Tensor, "n 1 h w"], truth: Float[Tensor, "n 1 h w"], valid: Bool[Tensor, "n 1 h w"]
) -> Aligned:
    """Least-squares scale and shift against log(truth), for predictions that are linear in log depth."""
    x, y, weight = _pixels(prediction, truth, valid, "log_depth")
    fit = Fit(*_solve(x, y, weight), "log_depth")
    return fit.apply(prediction), fit


def fit_scale(
    prediction: Float[Tensor, "n 1 h w"],
    truth: Float[Tensor, "n 1 h w"],
    valid: Bool[Tensor, "n 1 h w"],
    *,
    method: Literal["least_squares", "median"] = "least_squares",
    space: Literal["depth", "disparity"] = "depth",
) -> Aligned:
    """Scale only, shift 0: least squares, or median(truth) / median(prediction). NaN where the prediction is all 0."""
    x, y, weight = _pixels(prediction, truth, valid, space)
    if method == "least_squares":
        scale = (weight * x * y).sum(1) / (weight * x * x).sum(1)
    elif method == "median":
        scale = _masked_median(y, weight) / _masked_median(x, weight)
    else:
        raise ValueError(f'method is {method!r}; allowed are "least_squares" and "median"')
    scale = torch.where(((weight > 0).sum(1) < 2) | scale.isinf(), torch.nan, scale)
    fit = Fit(scale, scale * 0, space, _floor(y, weight, None) if space == "disparity" else None)
    return fit.apply(prediction), fit


def fit_robust(
    prediction: Float[Tensor, "n 1 h w"],
    truth: Float[Tensor, "n 1 h w"],
    valid: Bool[Tensor, "n 1 h w"],
    *,
    space: Space = "depth",
    delta: float | None = None,
    rounds: int = 50,
) -> Aligned:
    """Scale and shift of least Huber loss, by iteratively reweighted least squares from the plain fit.

    ``delta`` is where the loss turns from square to linear, in units of ``space``. None: 1.345 robust standard
    deviations of the residuals (from their median), which costs 5 % efficiency on Gaussian noise.
    """
    x, y, mask = _pixels(prediction, truth, valid, space)
    scale, shift = _solve(x, y, mask)
    smallest = 1e-12 * (mask * y.abs()).amax(1).clamp_min(1e-300)  # an exact fit leaves residuals of rounding only
    for _ in range(rounds):
        residual = (y - scale[:, None] * x - shift[:, None]).abs()
        if delta is None:
            knee = torch.maximum(1.345 * 1.4826 * _masked_median(residual, mask), smallest)
        else:
            knee = torch.full_like(scale, delta)
        previous = scale
        scale, shift = _solve(x, y, mask * knee[:, None] / torch.maximum(residual, knee[:, None]))
        if bool(((scale - previous).abs().nan_to_num() <= 1e-12 * scale.abs().nan_to_num()).all()):
            break
    fit = Fit(scale, shift, space, _floor(y, mask, None) if space == "disparity" else None)
    return fit.apply(prediction), fit


def fit_ransac(
    prediction: Float[Tensor, "n 1 h w"],
    truth: Float[Tensor, "n 1 h w"],
    valid: Bool[Tensor, "n 1 h w"],
    *,
    space: Space = "depth",
    threshold: float = 0.05,
    trials: int = 512,
    seed: int = 0,
) -> Aligned:
    """Scale and shift that most pixels agree on: lines through two random pixels, refitted to the best one's inliers.

    A pixel agrees when it is off by less than ``threshold`` of the truth's value in ``space``; in log depth, by less
    than ``threshold`` itself, which is the same share of depth. The same ``seed`` gives the same fit, image by image.
    """
    x, y, mask = _pixels(prediction, truth, valid, space)
    size = torch.full_like(y, threshold) if space == "log_depth" else threshold * y.abs()
    scale, shift = _solve(x, y, mask)
    for index in range(len(x)):
        used = mask[index] > 0
        if int(used.sum()) >= 2:
            best = _best_line(x[index][used], y[index][used], size[index][used], trials, seed)
            scale[index], shift[index] = best if best is not None else (scale[index], shift[index])
    for _ in range(3):
        agrees = mask * ((y - scale[:, None] * x - shift[:, None]).abs() <= size)
        refitted = _solve(x, y, agrees)
        enough = refitted[0].isfinite()
        scale, shift = torch.where(enough, refitted[0], scale), torch.where(enough, refitted[1], shift)
    fit = Fit(scale, shift, space, _floor(y, mask, None) if space == "disparity" else None)
    return fit.apply(prediction), fit


def to_metric(
    prediction: Prediction, anchors: SparseDepth, *, method: Method = "robust", farthest_m: float = 1000.0
) -> Prediction:
    """One image's relative prediction -> metric depth through a few measured points, uncertainty in metres.

    Affine-invariant values get scale and shift. Scale-invariant depth or disparity gets a scale alone: by least
    squares, or by medians for the other two methods. Each point reads the pixel it lies in. Anchors whose depth is
    not positive and finite (a sensor's missing return) are left out. Depth is kept between 1 mm and ``farthest_m``.
    """
    x, y, space = _at_anchors(prediction, anchors)
    valid = torch.ones_like(x, dtype=torch.bool)
    if prediction.kind.invariance is Invariance.SCALE and space != "log_depth":
        _, fit = fit_scale(x, y, valid, method="least_squares" if method == "least_squares" else "median", space=space)
    elif method == "least_squares":
        solver = {"depth": fit_depth, "disparity": fit_disparity, "log_depth": fit_log_depth}[space]
        _, fit = solver(x, y, valid)
    elif method in ("robust", "ransac"):
        _, fit = (fit_robust if method == "robust" else fit_ransac)(x, y, valid, space=space)
    else:
        raise ValueError(f'method is {method!r}; allowed are "least_squares", "robust" and "ransac"')
    scale, shift = float(fit.scale), float(fit.shift)
    if not scale >= 0:
        raise ValueError(
            f"the anchors fit the prediction with scale {scale:.3g}; allowed is 0 or more: near and far are swapped, "
            "so check that the anchors hold depth in metres and that points_px are (x, y)"
        )
    if space == "disparity":
        fit = dataclasses.replace(fit, floor=torch.full_like(fit.scale, 1 / farthest_m))
    depth_m = fit.apply(prediction.value).clamp(_NEAREST_M, farthest_m)
    slope = {"depth": torch.ones_like(depth_m), "disparity": depth_m.square(), "log_depth": depth_m}[space]
    uncertainty = None if prediction.uncertainty is None else prediction.uncertainty * scale * slope
    note = {"alignment": f"{method} in {space}", "anchors": x.numel(), "scale": scale, "shift": shift}
    made_with = {**prediction.made_with, **note}
    return Prediction(depth_m, METRIC_DEPTH, uncertainty, prediction.camera, made_with)


def _at_anchors(prediction: Prediction, anchors: SparseDepth) -> tuple[Tensor, Tensor, Space]:
    """Predicted value and measured depth at every usable anchor [1 1 1 p], and the space they are related in."""
    kind, (n, _, h, w) = prediction.kind, prediction.value.shape
    spaces: dict[Quantity, Space] = {
        Quantity.DEPTH: "depth",
        Quantity.DISPARITY: "disparity",
        Quantity.LOG_DEPTH: "log_depth",
    }
    if kind.quantity not in spaces or kind.invariance is Invariance.METRIC:
        raise ValueError(f"the prediction is {kind}; give relative depth, disparity or log depth")
    if n != 1:
        raise ValueError(f"the prediction holds {n} images; anchors belong to one: give one image at a time")
    measured = anchors.depth_m.isfinite() & (anchors.depth_m > 0)
    points_px, depth_m = anchors.points_px[measured], anchors.depth_m[measured]
    column, row = points_px.floor().long().unbind(1)
    outside = int(((column < 0) | (column >= w) | (row < 0) | (row >= h)).sum())
    if outside:
        raise ValueError(f"{outside} anchors lie outside the {w} x {h} picture; give (x, y) in pixels of this picture")
    if len(depth_m) < 2:
        raise ValueError(f"{len(depth_m)} anchors have a positive, finite depth; give at least 2, at unequal depths")
    value = prediction.value[0, 0, row.to(prediction.value.device), column.to(prediction.value.device)]
    return value.view(1, 1, 1, -1), depth_m.to(value).view(1, 1, 1, -1), spaces[kind.quantity]


def _pixels(prediction: Tensor, truth: Tensor, valid: Tensor, space: Space) -> tuple[Tensor, Tensor, Tensor]:
    """Prediction, truth in ``space`` and weight 1 or 0, each [n p] in float64; zeros where a pixel doesn't count."""
    if not prediction.shape == truth.shape == valid.shape or prediction.ndim != 4:
        raise ValueError(
            f"prediction, truth and valid are {tuple(prediction.shape)}, {tuple(truth.shape)} and "
            f"{tuple(valid.shape)}; allowed is one shape n x 1 x h x w: resize the prediction to the truth"
        )
    if space not in ("depth", "disparity", "log_depth"):
        raise ValueError(f'space is {space!r}; allowed are "depth", "disparity" and "log_depth"')
    x, y = in_float64(prediction).flatten(1), in_float64(truth).flatten(1)
    counts = valid.flatten(1).to(x.device) & x.isfinite() & y.isfinite()
    if space != "depth":
        counts = counts & (y > 0)
        y = torch.where(counts, y, 1.0)
        y = 1 / y if space == "disparity" else y.log()
    return torch.where(counts, x, 0.0), torch.where(counts, y, 0.0), counts.double()


def _solve(x: Tensor, y: Tensor, weight: Tensor) -> tuple[Tensor, Tensor]:
    """Weighted least-squares scale and shift of each row; centred, so large offsets lose no digits."""
    total = weight.sum(1)
    mean_x, mean_y = (weight * x).sum(1) / total, (weight * y).sum(1) / total
    centred = x - mean_x[:, None]
    power = (weight * centred.square()).sum(1)
    flat = power <= total * (1e-12 * mean_x).square()
    scale = torch.where(flat, 0.0, (weight * centred * (y - mean_y[:, None])).sum(1) / power)
    scale = torch.where((weight > 0).sum(1) < 2, torch.nan, scale)
    return scale, mean_y - scale * mean_x


def _best_line(x: Tensor, y: Tensor, size: Tensor, trials: int, seed: int) -> tuple[Tensor, Tensor] | None:
    """Scale and shift through two of the pixels [p] with the least truncated squared error; None if all x are equal."""
    generator = torch.Generator().manual_seed(seed)
    first, second = torch.randint(len(x), (2, trials), generator=generator).to(x.device)
    run = x[second] - x[first]
    sloped = run.abs() > 1e-9 * x.abs().max()
    if not bool(sloped.any()):
        return None
    scale = (y[second] - y[first])[sloped] / run[sloped]
    shift = y[first][sloped] - scale * x[first][sloped]
    if len(x) > _SCORED_PIXELS:
        scored = torch.randint(len(x), (_SCORED_PIXELS,), generator=generator).to(x.device)
        x, y, size = x[scored], y[scored], size[scored]
    off = (y - scale[:, None] * x - shift[:, None]) / size.clamp_min(1e-300)
    best = off.square().clamp_max(1).sum(1).argmin()
    return scale[best], shift[best]


def _floor(y: Tensor, weight: Tensor, floor: float | None) -> Tensor:
    """The least disparity of each image: what was asked for, or its farthest counted truth."""
    if floor is not None:
        return torch.full_like(y[:, 0], floor)
    return torch.where(weight > 0, y, math.inf).amin(1)


def _masked_median(values: Tensor, weight: Tensor) -> Tensor:
    return torch.where(weight > 0, values, torch.nan).nanmedian(1).values
