"""Is the nearer of two points predicted nearer: pairs of points against people's judgement.

Pairs are those of DA-2K (arXiv 2406.09414), where one point is always nearer, and of Depth in the Wild (arXiv
1604.03901) and Zoran et al. (2015), where the two may also be equally far. Nothing is fitted: order survives scale and
shift, and ratios survive scale. Points are (x, y) in pixels of the prediction and read the pixel they lie in.
"""

from __future__ import annotations

from typing import Literal

import torch
from jaxtyping import Float, Int
from torch import Tensor

from latentdepth.core.precision import in_float64


def ordinal_accuracy(
    prediction: Float[Tensor, "1 h w"],
    nearer_px: Float[Tensor, "p 2"],
    farther_px: Float[Tensor, "p 2"],
    *,
    near_is: Literal["low", "high"],
) -> Float[Tensor, ""]:
    """Share of point pairs whose nearer point the prediction puts nearer; a tie is a miss. NaN without pairs.

    DA-2K's file has rows first: turn its points round.
    """
    nearer, farther = _values_at(prediction, (nearer_px, farther_px), near_is)
    right = nearer < farther if near_is == "low" else nearer > farther
    return in_float64(right).mean()


def whdr(
    prediction: Float[Tensor, "1 h w"],
    first_px: Float[Tensor, "p 2"],
    second_px: Float[Tensor, "p 2"],
    relation: Int[Tensor, " p"],
    *,
    near_is: Literal["low", "high"],
    tau: float = 0.1,
    weight: Float[Tensor, " p"] | None = None,
) -> Float[Tensor, ""]:
    """Weighted human disagreement rate: the weight of the pairs judged otherwise, over all weight; 0 is best.

    ``relation`` is what people said: 1 where the first point is farther, -1 where it is nearer, 0 where they are
    equally far. The prediction says 1 where the first point's depth is more than 1 + ``tau`` times the second's (of
    disparity the other way round), -1 in the reverse case, else 0; so zero must mean zero. Depth in the Wild itself
    knows no equal pairs: ``tau`` 0 then. A pair with a NaN is a miss. ``weight`` None: all pairs alike. NaN where the
    weights sum to 0. ValueError for other relations, negative weights or a negative ``tau``.
    """
    if tau < 0:
        raise ValueError(f"tau is {tau:g}; allowed is 0 or more: 0.1 calls depths within 10 % of each other equal")
    if bool((relation.abs() > 1).any()):
        raise ValueError("a relation is not among -1 (first is nearer), 0 (equally far) and 1 (first is farther)")
    first, second = _values_at(prediction, (first_px, second_px), near_is)
    if near_is == "high":
        first, second = second, first
    said = (first > (1 + tau) * second).long() - (second > (1 + tau) * first).long()
    wrong = (said != relation.to(said)) | first.isnan() | second.isnan()
    weight = torch.ones_like(first) if weight is None else in_float64(weight).to(first.device)
    if bool((weight < 0).any()):
        raise ValueError(f"the least weight is {float(weight.min()):g}; allowed is 0 or more")
    return (weight * wrong).sum() / weight.sum()


def _values_at(prediction: Tensor, points_px: tuple[Tensor, Tensor], near_is: str) -> tuple[Tensor, Tensor]:
    if near_is not in ("low", "high"):
        raise ValueError(f'near_is is {near_is!r}; allowed are "low" (depth) and "high" (disparity)')
    h, w = prediction.shape[-2:]
    values = []
    for points in points_px:
        column, row = points.floor().long().to(prediction.device).unbind(1)
        if bool(((column < 0) | (column >= w) | (row < 0) | (row >= h)).any()):
            raise ValueError(f"a point lies outside the {w} x {h} prediction; give (x, y) in its pixels")
        values.append(in_float64(prediction[0, row, column]))
    return values[0], values[1]
