"""Fit predictions of unknown scale and shift to measured depth, and give them a meaning in metres.

A fit is linear in one space of the truth (depth, disparity, log depth): ``space(truth) = scale * prediction + shift``.
Here are the fits by least squares and by medians; those that withstand outliers are in ``robust``. Least squares are
float64 from moments; each image is fitted alone and the aligned depth is float32. No gradients flow through a fit.
Knows neither benchmarks nor their crops.

In every fit a pixel counts where ``valid`` is true, both values are finite and (disparity, log depth) the truth is
positive. An image with fewer than two such pixels gets NaN for scale, shift and depth, and the rest of the batch is
unharmed. A constant prediction gets scale 0 and the mean of the target, which is the best constant.
"""

from __future__ import annotations

import dataclasses
from typing import Literal

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from latentdepth.core.linefit import (
    Aligned,
    Fit,
    Space,
    least_disparity,
    least_squares,
    masked_median,
    rows,
)
from latentdepth.core.robust import fit_l1, fit_ransac, fit_robust, fit_scale_l1
from latentdepth.core.types import METRIC_DEPTH, Invariance, Prediction, Quantity, SparseDepth

__all__ = [
    "Aligned",
    "Fit",
    "Space",
    "fit_depth",
    "fit_disparity",
    "fit_l1",
    "fit_log_depth",
    "fit_ransac",
    "fit_robust",
    "fit_scale",
    "fit_scale_l1",
    "to_metric",
]

Method = Literal["least_squares", "robust", "ransac"]

_NEAREST_M = 1e-3


def fit_depth(
    prediction: Float[Tensor, "n 1 h w"], truth: Float[Tensor, "n 1 h w"], valid: Bool[Tensor, "n 1 h w"]
) -> Aligned:
    """Least-squares scale and shift in depth: Marigold's protocol for affine-invariant depth."""
    fit = least_squares(prediction, truth, valid, "depth")
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
    fit = least_squares(prediction, truth, valid, "disparity")
    if floor is not None:
        fit = dataclasses.replace(fit, floor=torch.full_like(fit.scale, floor))
    return fit.apply(prediction), fit


def fit_log_depth(
    prediction: Float[Tensor, "n 1 h w"], truth: Float[Tensor, "n 1 h w"], valid: Bool[Tensor, "n 1 h w"]
) -> Aligned:
    """Least-squares scale and shift against log(truth), for predictions that are linear in log depth."""
    fit = least_squares(prediction, truth, valid, "log_depth")
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
    x, y, weight = rows(prediction, truth, valid, space)
    if method == "least_squares":
        scale = (weight * x * y).sum(1) / (weight * x * x).sum(1)
    elif method == "median":
        scale = masked_median(y, weight) / masked_median(x, weight)
    else:
        raise ValueError(f'method is {method!r}; allowed are "least_squares" and "median"')
    scale = torch.where(((weight > 0).sum(1) < 2) | scale.isinf(), torch.nan, scale)
    fit = Fit(scale, scale * 0, space, least_disparity(y, weight, space))
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
