"""Fits of scale and shift that a few wrong pixels can't move: Huber's loss, sample consensus, and least absolute error.

Huber (1964) by reweighting; random sample consensus (Fischler and Bolles, 1981) with a truncated quadratic score; the
exact minimiser of the weighted absolute error (MoGe's alignment, arXiv 2410.19115). Which pixels count, what too few of
them give and what a constant prediction gives is the same for all fits and stated in ``align``.
"""

from __future__ import annotations

import math
from typing import Literal

import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torch.nn import functional as F

from latentdepth.core.linefit import Aligned, Fit, Space, check, least_disparity, masked_median, rows, solve
from latentdepth.core.precision import in_float64

# Pixels that score a RANSAC hypothesis: an inlier share of 0.5 is known from them to 0.01.
_SCORED_PIXELS = 4096
# Each step ends at a line with a smaller error; tens are usual for thousands of pixels.
_MOST_STEPS = 10_000


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
    x, y, mask = rows(prediction, truth, valid, space)
    scale, shift = solve(x, y, mask)
    smallest = 1e-12 * (mask * y.abs()).amax(1).clamp_min(1e-300)  # an exact fit leaves residuals of rounding only
    for _ in range(rounds):
        residual = (y - scale[:, None] * x - shift[:, None]).abs()
        if delta is None:
            knee = torch.maximum(1.345 * 1.4826 * masked_median(residual, mask), smallest)
        else:
            knee = torch.full_like(scale, delta)
        previous = scale
        scale, shift = solve(x, y, mask * knee[:, None] / torch.maximum(residual, knee[:, None]))
        if bool(((scale - previous).abs().nan_to_num() <= 1e-12 * scale.abs().nan_to_num()).all()):
            break
    fit = Fit(scale, shift, space, least_disparity(y, mask, space))
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
    x, y, mask = rows(prediction, truth, valid, space)
    size = torch.full_like(y, threshold) if space == "log_depth" else threshold * y.abs()
    scale, shift = solve(x, y, mask)
    for index in range(len(x)):
        used = mask[index] > 0
        if int(used.sum()) >= 2:
            best = _best_line(x[index][used], y[index][used], size[index][used], trials, seed)
            scale[index], shift[index] = best if best is not None else (scale[index], shift[index])
    for _ in range(3):
        agrees = mask * ((y - scale[:, None] * x - shift[:, None]).abs() <= size)
        refitted = solve(x, y, agrees)
        enough = refitted[0].isfinite()
        scale, shift = torch.where(enough, refitted[0], scale), torch.where(enough, refitted[1], shift)
    fit = Fit(scale, shift, space, least_disparity(y, mask, space))
    return fit.apply(prediction), fit


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


def fit_l1(
    prediction: Float[Tensor, "n 1 h w"],
    truth: Float[Tensor, "n 1 h w"],
    valid: Bool[Tensor, "n 1 h w"],
    *,
    space: Literal["depth", "disparity"] = "depth",
    resolution: int | None = 64,
) -> Aligned:
    """Scale and shift of least sum of |scale * p + shift - g| / g, g being the truth in ``space``: found exactly.

    MoGe's robust alignment. As there, the fit sees at most ``resolution`` x ``resolution`` pixels, in each cell of the
    picture the valid one nearest to its middle; None takes every pixel, and time grows a little faster than their
    number. Truth must be positive in depth too, since it divides. The result is applied to every pixel.
    """
    images, floor = _representatives(prediction, truth, valid, space, resolution)
    lines = [_least_absolute_line(x, y, 1 / y) if len(x) >= 2 else (math.nan, math.nan) for x, y in images]
    fit = _fit(lines, space, floor)
    return fit.apply(prediction), fit


def fit_scale_l1(
    prediction: Float[Tensor, "n 1 h w"],
    truth: Float[Tensor, "n 1 h w"],
    valid: Bool[Tensor, "n 1 h w"],
    *,
    space: Literal["depth", "disparity"] = "depth",
    resolution: int | None = 64,
) -> Aligned:
    """Scale of least sum of |scale * p - g| / g, shift 0: the median of g / p with weights |p| / g.

    Pixels as in ``fit_l1``. NaN where the prediction is all 0.
    """
    images, floor = _representatives(prediction, truth, valid, space, resolution)
    lines = []
    for x, y in images:
        used = x != 0
        ratio, weight = (y / x)[used], (x.abs() / y)[used]
        usable = len(x) >= 2 and len(ratio) > 0
        lines.append((float(ratio[_middle(ratio, weight)]), 0.0) if usable else (math.nan, math.nan))
    fit = _fit(lines, space, floor)
    return fit.apply(prediction), fit


def _fit(lines: list[tuple[float, float]], space: Space, floor: Tensor) -> Fit:
    scale, shift = torch.tensor(lines, dtype=torch.float64, device=floor.device).view(-1, 2).unbind(1)
    return Fit(scale, shift, space, floor if space == "disparity" else None)


def _representatives(
    prediction: Tensor, truth: Tensor, valid: Tensor, space: Space, resolution: int | None
) -> tuple[list[tuple[Tensor, Tensor]], Tensor]:
    """Of each image prediction and truth in ``space`` at the pixels that stand for it; 1 / farthest truth [n]."""
    check(prediction, truth, valid, space)
    if space == "log_depth":
        raise ValueError('space is "log_depth"; allowed are "depth" and "disparity", where the error is relative')
    if resolution is not None and resolution < 1:
        raise ValueError(f"resolution is {resolution}; allowed is 1 or more pixels a side, or None for every pixel")
    h, w = truth.shape[-2:]
    counts = valid.to(truth.device) & prediction.to(truth.device).isfinite() & truth.isfinite() & (truth > 0)
    kept = counts.flatten(1)
    if resolution is not None:
        rows_px, columns_px = math.ceil(h / resolution), math.ceil(w / resolution)
        off_y = torch.arange(h, device=truth.device) % rows_px - (rows_px - 1) / 2
        off_x = torch.arange(w, device=truth.device) % columns_px - (columns_px - 1) / 2
        nearness = -(off_y.square()[:, None] + off_x.square()).float()
        scored = torch.where(counts, nearness, -math.inf)
        cells = F.max_pool2d(scored, (rows_px, columns_px), ceil_mode=True, return_indices=True)[1].flatten(1)
        kept = kept & torch.zeros_like(kept).scatter_(1, cells, torch.ones_like(cells, dtype=torch.bool))
    chosen = []
    for p_row, g_row, kept_row in zip(prediction.flatten(1), truth.flatten(1), kept, strict=True):
        y = in_float64(g_row[kept_row])
        chosen.append((in_float64(p_row.to(g_row.device)[kept_row]), 1 / y if space == "disparity" else y))
    farthest = in_float64(torch.where(counts, truth, 0.0).flatten(1).amax(1))
    return chosen, 1 / farthest


def _least_absolute_line(x: Tensor, y: Tensor, weight: Tensor) -> tuple[float, float]:
    """Scale and shift of least sum of weight * |scale * x + shift - y|.

    The error is convex in (scale, shift) and linear between the lines that pass through a pixel, so a best line passes
    through two pixels. From an anchor pixel the best slope is a weighted median; of the pixels on the line so found,
    that one becomes the next anchor about which turning lowers the error fastest. A line that turning about none of
    its pixels improves is the minimum.
    """
    middle = x.mean()
    x = x - middle
    size = x.abs().max()
    if size <= 1e-12 * middle.abs():
        return 0.0, float(y[_middle(y, weight)])
    x = x / size
    scale, shift = (float(v) for v in solve(x[None], y[None], weight[None]))
    anchor, error = _middle(y - scale * x, weight), math.inf
    for _ in range(_MOST_STEPS):
        run = x - x[anchor]
        away = run != 0
        slopes = (y - y[anchor])[away] / run[away]
        slope = slopes[_middle(slopes, weight[away] * run[away].abs())]
        off = y - y[anchor] - slope * run
        found = float((weight * off.abs()).sum())
        if found < error:
            scale, shift = float(slope), float(y[anchor] - slope * x[anchor])
        on = (off.abs() <= 1e-12 * y.abs().max()).nonzero()[:, 0]
        gain = _turning_gain(x, weight, off, on)
        best = int(gain.argmax())
        if found >= error or gain[best] <= 1e-12 * weight.sum():
            break
        anchor, error = int(on[best]), found
    return scale / float(size), shift - scale * float(middle / size)


def _turning_gain(x: Tensor, weight: Tensor, off: Tensor, on: Tensor) -> Tensor:
    """How fast the error falls when the line turns about each of the pixels ``on`` it, the better way; negative: grows.

    Pixels off the line pull one way; those on it resist, by weight times distance from the pivot.
    """
    pull = weight * off.sign()
    pull[on] = 0
    force, torque = pull.sum(), (pull * x).sum()
    order = x[on].argsort()
    pivots, mass = x[on][order], weight[on][order]
    mass_below, moment_below = mass.cumsum(0), (mass * pivots).cumsum(0)
    resistance = pivots * (2 * mass_below - mass_below[-1]) - (2 * moment_below - moment_below[-1])
    gain = torch.empty_like(pivots)
    gain[order] = (torque - force * pivots).abs() - resistance
    return gain


def _middle(values: Tensor, weight: Tensor) -> int:
    """Where the weighted median lies: the first value with half of the weight at or below it."""
    ordered, order = values.sort()
    below = weight[order].cumsum(0)
    return int(order[torch.searchsorted(below, below[-1] / 2).clamp_max(len(ordered) - 1)])
