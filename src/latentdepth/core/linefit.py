"""A line through each image's pixels: ``space(truth) = scale * prediction + shift``, solved and applied.

Everything is float64 and centred, so large offsets lose no digits. Knows neither robust losses nor units; the fits that
others call are in ``align`` and ``robust``.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from latentdepth.core.pixels import Piece, Pixels, check_one_size, slices
from latentdepth.core.precision import in_float64

Space = Literal["depth", "disparity", "log_depth"]
Maps = Float[Tensor, "n 1 h w"]
Mask = Bool[Tensor, "n 1 h w"]


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
        rows = prediction.detach().flatten(1)
        depth = torch.empty(rows.shape, dtype=torch.float32, device=rows.device)
        for k, row in enumerate(rows):
            scale, shift = float(self.scale[k]), float(self.shift[k])
            floor = 0.0 if self.floor is None else float(self.floor[k])
            for part in slices(len(row), row.device):
                fitted = (in_float64(row[part]) * scale).add_(shift)
                if self.space == "disparity":
                    fitted.clamp_min_(floor).reciprocal_()
                elif self.space == "log_depth":
                    fitted.exp_()
                depth[k, part] = fitted
        return depth.view(prediction.shape)


Aligned = tuple[Float[Tensor, "n 1 h w"], Fit]


def least_squares(prediction: Maps, truth: Maps, valid: Mask, space: Space) -> Fit:
    """The line of least squared error in ``space``; its floor is the disparity of the farthest pixel that counts."""
    check(prediction, truth, valid, space)
    lines = [_moments_line(*image, space) for image in zip(prediction, truth, valid, strict=True)]
    solved = torch.tensor(lines, dtype=torch.float64, device=in_float64(truth[:0]).device).view(-1, 3)
    scale, shift, floor = solved.unbind(1)
    return Fit(scale, shift, space, floor if space == "disparity" else None)


def _moments_line(prediction: Tensor, truth: Tensor, valid: Tensor, space: Space) -> list[float]:
    """Scale, shift and floor of one image from its moments about the mean of the first piece: one pass, all digits."""
    pixels = Pixels(prediction, truth, valid, positive_truth=space != "depth", finite_prediction=True)
    first = pixels.first()
    if first is None:
        return [math.nan] * 3
    pivot_x, pivot_y = (float((v * first.counts).sum()) / first.number for v in _in_space(first, space))

    def moments(piece: Piece) -> Tensor:
        x, y = _in_space(piece, space)
        x.sub_(pivot_x).mul_(piece.counts)
        y.sub_(pivot_y).mul_(piece.counts)
        farthest = (piece.truth * piece.counts).amax() if space == "disparity" else x[0]
        sums = [x.sum(), y.sum(), y.mul_(x).sum(), x.square_().sum()]
        return torch.stack((x.new_tensor(piece.number), farthest.double(), *sums))

    table = pixels.table(moments)
    total, sum_x, sum_y, product, power = table[:, [0, 2, 3, 4, 5]].sum(0).tolist()
    if total < 2:
        return [math.nan] * 3
    power, product = power - sum_x * sum_x / total, product - sum_x * sum_y / total
    mean_x, mean_y = pivot_x + sum_x / total, pivot_y + sum_y / total
    scale = 0.0 if power <= total * (1e-12 * mean_x) ** 2 else product / power
    return [scale, mean_y - scale * mean_x, 1 / float(table[:, 1].amax()) if space == "disparity" else math.nan]


def _in_space(piece: Piece, space: Space) -> tuple[Tensor, Tensor]:
    """Prediction, and truth in ``space``, in fresh float64."""
    x, y = (values.to(torch.float64, copy=True) for values in (piece.prediction, piece.truth))
    if space == "disparity":
        y.reciprocal_()
    elif space == "log_depth":
        y.log_()
    return x, y


def rows(prediction: Tensor, truth: Tensor, valid: Tensor, space: Space) -> tuple[Tensor, Tensor, Tensor]:
    """Prediction, truth in ``space`` and weight 1 or 0, each [n p] in float64; zeros where a pixel doesn't count."""
    check(prediction, truth, valid, space)
    x, y = in_float64(prediction).flatten(1), in_float64(truth).flatten(1)
    counts = valid.flatten(1).to(x.device) & x.isfinite() & y.isfinite()
    if space != "depth":
        counts = counts & (y > 0)
        y = torch.where(counts, y, 1.0)
        y = 1 / y if space == "disparity" else y.log()
    return torch.where(counts, x, 0.0), torch.where(counts, y, 0.0), counts.double()


def solve(x: Tensor, y: Tensor, weight: Tensor) -> tuple[Tensor, Tensor]:
    """Weighted least-squares scale and shift of each row [n p]."""
    total = weight.sum(1)
    mean_x, mean_y = (weight * x).sum(1) / total, (weight * y).sum(1) / total
    centred = x - mean_x[:, None]
    power = (weight * centred.square()).sum(1)
    flat = power <= total * (1e-12 * mean_x).square()
    scale = torch.where(flat, 0.0, (weight * centred * (y - mean_y[:, None])).sum(1) / power)
    scale = torch.where((weight > 0).sum(1) < 2, torch.nan, scale)
    return scale, mean_y - scale * mean_x


def least_disparity(y: Tensor, weight: Tensor, space: Space) -> Tensor | None:
    """The disparity of each image's farthest counted truth, the floor of a fit in disparity; None in other spaces."""
    return torch.where(weight > 0, y, math.inf).amin(1) if space == "disparity" else None


def masked_median(values: Tensor, weight: Tensor) -> Tensor:
    """The median of each row where ``weight`` is positive; of an even count the lower of the middle two."""
    return torch.where(weight > 0, values, torch.nan).nanmedian(1).values


def check(prediction: Tensor, truth: Tensor, valid: Tensor, space: str) -> None:
    """ValueError unless sizes agree and the space is one of the three."""
    check_one_size(prediction, truth, valid)
    if space not in ("depth", "disparity", "log_depth"):
        raise ValueError(f'space is {space!r}; allowed are "depth", "disparity" and "log_depth"')
