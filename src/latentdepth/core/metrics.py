"""How far a prediction is from the truth: one number per image, from (prediction, truth, valid).

Depth metrics are those of Eigen et al. (2014) and KITTI. Metrics neither fit nor crop nor clip to a range: ``align``
and the benchmark's protocol do that before. Errors are float32 (float64 where a map is) and their sums float64, so
figures are good to 1e-6 of themselves, and SILog to 1e-5 where a map is right up to scale. Boundaries are in ``edges``,
point pairs in ``ordinal``, point clouds in ``clouds``, uncertainty in ``sparsification``.

A pixel counts where ``valid`` is true and the truth is finite and positive. An image in which none counts scores NaN,
never 0, so a mean over images has to decide what to do with it. A NaN prediction at a pixel that counts makes errors
NaN and is outside every delta. Logarithms, ratios and inverses take predictions below 1e-6 as 1e-6. No gradients flow.
"""

from __future__ import annotations

import math

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from latentdepth.core.pixels import Piece, Pixels, check_one_size
from latentdepth.core.precision import in_float64

LEAST = 1e-6
"""What ratios, logarithms and inverses take smaller predictions as."""
_FAR = 8.0
_NORMAL_SHARES_DEG = (5.0, 7.5, 11.25, 22.5, 30.0)
_DELTAS = {"delta05": 1.25**0.5, "delta1": 1.25, "delta2": 1.25**2, "delta3": 1.25**3}

Maps = Float[Tensor, "n 1 h w"]
Mask = Bool[Tensor, "n 1 h w"]
Normals = Float[Tensor, "n 3 h w"]
PerImage = Float[Tensor, " n"]


def abs_rel(prediction: Maps, truth: Maps, valid: Mask) -> PerImage:
    """Mean of |p - g| / g."""
    return depth_metrics(prediction, truth, valid)["abs_rel"]


def sq_rel(prediction: Maps, truth: Maps, valid: Mask) -> PerImage:
    """Mean of (p - g)^2 / g, in the truth's unit."""
    return depth_metrics(prediction, truth, valid)["sq_rel"]


def mae(prediction: Maps, truth: Maps, valid: Mask) -> PerImage:
    """Mean of |p - g|, in the truth's unit."""
    return depth_metrics(prediction, truth, valid)["mae"]


def rmse(prediction: Maps, truth: Maps, valid: Mask) -> PerImage:
    """Root of the mean of (p - g)^2, in the truth's unit."""
    return depth_metrics(prediction, truth, valid)["rmse"]


def rmse_log(prediction: Maps, truth: Maps, valid: Mask) -> PerImage:
    """Root of the mean of (ln p - ln g)^2."""
    return depth_metrics(prediction, truth, valid)["rmse_log"]


def log10(prediction: Maps, truth: Maps, valid: Mask) -> PerImage:
    """Mean of |log10 p - log10 g|."""
    return depth_metrics(prediction, truth, valid)["log10"]


def si_log(prediction: Maps, truth: Maps, valid: Mask) -> PerImage:
    """100 times the standard deviation of ln p - ln g: KITTI's scale-invariant error."""
    return depth_metrics(prediction, truth, valid)["si_log"]


def i_mae(prediction: Maps, truth: Maps, valid: Mask) -> PerImage:
    """Mean of |1/p - 1/g|, in 1 / the truth's unit (KITTI's tables give 1/km)."""
    return depth_metrics(prediction, truth, valid)["i_mae"]


def i_rmse(prediction: Maps, truth: Maps, valid: Mask) -> PerImage:
    """Root of the mean of (1/p - 1/g)^2, in 1 / the truth's unit (KITTI's tables give 1/km)."""
    return depth_metrics(prediction, truth, valid)["i_rmse"]


def delta(prediction: Maps, truth: Maps, valid: Mask, threshold: float = 1.25) -> PerImage:
    """Share of pixels with max(p / g, g / p) < ``threshold``; delta2 and delta3 are 1.25**2 and 1.25**3."""
    return _measure(prediction, truth, valid, {"delta": threshold})["delta"]


def depth_metrics(prediction: Maps, truth: Maps, valid: Mask) -> dict[str, PerImage]:
    """All of the above in one pass over the pixels; delta05 (1.25**0.5), delta1, delta2, delta3 under those names."""
    return _measure(prediction, truth, valid, _DELTAS)


def angular_error(prediction: Normals, truth: Normals, valid: Mask) -> PerImage:
    """Mean angle between normals in degrees. A true normal of length zero doesn't count."""
    return _masked_mean(*_angles_deg(prediction, truth, valid))


def normals_metrics(prediction: Normals, truth: Normals, valid: Mask) -> dict[str, PerImage]:
    """Mean and median angle in degrees, and the share of pixels below 5, 7.5, 11.25, 22.5 and 30 degrees."""
    angle, counts = _angles_deg(prediction, truth, valid)
    # By sorting, since torch.quantile refuses large pictures; the mean of the middle two for even counts.
    ordered, used = torch.where(counts, angle, torch.nan).sort(1).values, counts.sum(1, keepdim=True)
    medians = (ordered.gather(1, (used - 1).clamp_min(0) // 2) + ordered.gather(1, used // 2))[:, 0] / 2
    shares = {f"below_{limit:g}": _masked_mean((angle < limit).double(), counts) for limit in _NORMAL_SHARES_DEG}
    return {"mean": _masked_mean(angle, counts), "median": medians} | shares


def _measure(prediction: Tensor, truth: Tensor, valid: Tensor, thresholds: dict[str, float]) -> dict[str, Tensor]:
    check_one_size(prediction, truth, valid)
    images = [_measure_image(*image, thresholds) for image in zip(prediction, truth, valid, strict=True)]
    names = (*_ERRORS, *thresholds)
    table = torch.tensor(images, dtype=torch.float64, device=in_float64(truth[:0]).device).view(-1, len(names))
    return dict(zip(names, table.unbind(1), strict=True))


_ERRORS = ("abs_rel", "sq_rel", "mae", "rmse", "rmse_log", "log10", "si_log", "i_mae", "i_rmse")


def _measure_image(prediction: Tensor, truth: Tensor, valid: Tensor, thresholds: dict[str, float]) -> list[float]:
    """The errors in the order of ``_ERRORS``, then a share for each threshold."""
    pixels = Pixels(prediction, truth, valid, positive_truth=True, finite_prediction=False)
    if pixels.first() is None:
        return [math.nan] * (len(_ERRORS) + len(thresholds))
    table = pixels.table(lambda piece: _sums(piece, list(thresholds.values())))
    numbers, total = table[:, 0], float(table[:, 0].sum())
    part, off, log, inverse, sq_rel, *squares, within, drift = (table[:, 1:11].sum(0) / total).tolist()
    # The spread within pieces and that of their means: from the mean of squares, a map that is right up to scale would
    # lose its digits.
    between = (numbers * (table[:, 10] / numbers - drift).square()).sum()
    si_log = 100 * math.sqrt(within + float(between) / total)
    shares = (table[:, 11:].sum(0) / total).tolist()
    roots = [math.sqrt(value) for value in squares]
    return [part, sq_rel, off, roots[0], roots[1], log / math.log(10), si_log, inverse, roots[2], *shares]


def _errors(piece: Piece) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    """p - g, (p - g) / g, ln(p / g), 1/g - 1/p and max(p / g, g / p) - 1 of every pixel; 0 where one doesn't count."""
    p, g = piece.prediction, piece.truth
    off = p - g
    part = off / g
    p = p.clamp_min(LEAST)
    # From the difference, which is exact where p and g are near: no digits are lost where a map is good.
    gap, both = p - g, p + g
    beyond = gap.abs().div_(torch.minimum(p, g))
    log = _log_ratio(gap, both, beyond)
    return off, part, log, gap.div_(p.mul_(g)), beyond


def _sums(piece: Piece, limits: list[float]) -> Tensor:
    """One piece: pixels that count; sums of errors, squares, spread and logarithms; pixels within each limit."""
    off, part, log, inverse, beyond = _errors(piece)
    # Float32 adds up a few neighbours, float64 the rest: over thousands of equal errors float32 rounds one way.
    few = math.gcd(len(off), 64)
    mean_log = log.view(-1, few).sum(1).sum(dtype=torch.float64) / piece.number
    spread = (log - mean_log.to(log.dtype)).mul_(piece.counts)
    absolute = [values.abs() for values in (part, off, log, inverse)]
    squares = [part.mul_(off), off.square(), log.square(), inverse.square_(), spread.square_()]
    totals = torch.stack([values.view(-1, few).sum(1) for values in (*absolute, *squares, log)])
    within = torch.empty_like(beyond)
    # Pixels that don't count are off by nothing, which is within every limit above 1.
    aside = len(off) - piece.number
    shares = [torch.lt(beyond, limit - 1, out=within).sum() - (aside if limit > 1 else 0) for limit in limits]
    number = totals.new_tensor([piece.number], dtype=torch.float64)
    return torch.cat((number, totals.sum(1, dtype=torch.float64), torch.stack(shares).double()))


def _angles_deg(prediction: Tensor, truth: Tensor, valid: Tensor) -> tuple[Tensor, Tensor]:
    """Angle at every pixel [n p] and whether it counts."""
    check_one_size(prediction[:, :1], truth[:, :1], valid)
    p, g = in_float64(prediction).flatten(2), in_float64(truth).flatten(2)
    counts = valid.flatten(1).to(g.device) & g.isfinite().all(1) & (g.abs().amax(1) > 0)
    # atan2 keeps its digits near 0 and 180 degrees, where acos of a cosine does not.
    angle = torch.atan2(torch.linalg.cross(p, g, dim=1).norm(dim=1), (p * g).sum(1)).rad2deg()
    return angle, counts


def _masked_mean(values: Tensor, counts: Tensor) -> Tensor:
    """Mean of each row over the pixels that count; 0 / 0 = NaN where none does."""
    return torch.where(counts, values, 0.0).sum(1) / counts.sum(1)


def _log_ratio(gap: Tensor, both: Tensor, beyond: Tensor) -> Tensor:
    """ln(p / g) from p - g, p + g and max(p / g, g / p) - 1.

    2 atanh((p - g) / (p + g)) loses digits where one is many times the other; there, and only there, it is log1p,
    which torch spreads over threads even where that costs more than it gains.
    """
    log = gap.div(both).atanh_().mul_(2)
    if float(beyond.amax()) > _FAR:
        log = torch.where(beyond > _FAR, torch.copysign(beyond.log1p(), gap), log)
    return log
