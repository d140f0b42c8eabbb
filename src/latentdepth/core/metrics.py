"""How far a prediction is from the truth: one number per image, from (prediction, truth, valid).

Depth metrics are those of Eigen et al. (2014) and KITTI; boundaries are Depth Pro's (arXiv 2410.02073); point pairs are
those of DA-2K (arXiv 2406.09414). Metrics neither fit nor crop nor clip to a range: ``align`` and the benchmark's
protocol do that before. Sums are float64.

A pixel counts where ``valid`` is true and the truth is finite and positive. An image in which none counts scores NaN,
never 0, so a mean over images has to decide what to do with it. A NaN prediction at a pixel that counts makes errors
NaN and is outside every delta. Logarithms, ratios and inverses take predictions below 1e-6 as 1e-6.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from latentdepth.core.precision import in_float64

_LEAST = 1e-6
_NORMAL_SHARES_DEG = (5.0, 7.5, 11.25, 22.5, 30.0)

Maps = Float[Tensor, "n 1 h w"]
Mask = Bool[Tensor, "n 1 h w"]
Normals = Float[Tensor, "n 3 h w"]
PerImage = Float[Tensor, " n"]


def abs_rel(prediction: Maps, truth: Maps, valid: Mask) -> PerImage:
    """Mean of |p - g| / g."""
    return _Pixels.of(prediction, truth, valid).abs_rel


def sq_rel(prediction: Maps, truth: Maps, valid: Mask) -> PerImage:
    """Mean of (p - g)^2 / g, in the truth's unit."""
    return _Pixels.of(prediction, truth, valid).sq_rel


def rmse(prediction: Maps, truth: Maps, valid: Mask) -> PerImage:
    """Root of the mean of (p - g)^2, in the truth's unit."""
    return _Pixels.of(prediction, truth, valid).rmse


def rmse_log(prediction: Maps, truth: Maps, valid: Mask) -> PerImage:
    """Root of the mean of (ln p - ln g)^2."""
    return _Pixels.of(prediction, truth, valid).rmse_log


def log10(prediction: Maps, truth: Maps, valid: Mask) -> PerImage:
    """Mean of |log10 p - log10 g|."""
    return _Pixels.of(prediction, truth, valid).log10


def si_log(prediction: Maps, truth: Maps, valid: Mask) -> PerImage:
    """100 times the standard deviation of ln p - ln g: KITTI's scale-invariant error."""
    return _Pixels.of(prediction, truth, valid).si_log


def i_rmse(prediction: Maps, truth: Maps, valid: Mask) -> PerImage:
    """Root of the mean of (1/p - 1/g)^2, in 1 / the truth's unit (KITTI's tables give 1/km)."""
    return _Pixels.of(prediction, truth, valid).i_rmse


def delta(prediction: Maps, truth: Maps, valid: Mask, threshold: float = 1.25) -> PerImage:
    """Share of pixels with max(p / g, g / p) < ``threshold``; delta2 and delta3 are 1.25**2 and 1.25**3."""
    return _Pixels.of(prediction, truth, valid).delta(threshold)


def depth_metrics(prediction: Maps, truth: Maps, valid: Mask) -> dict[str, PerImage]:
    """All of the above, logarithms taken once; delta1, delta2, delta3 under those names."""
    pixels = _Pixels.of(prediction, truth, valid)
    names = ("abs_rel", "sq_rel", "rmse", "rmse_log", "log10", "si_log", "i_rmse")
    errors = {name: getattr(pixels, name) for name in names}
    return errors | {f"delta{k}": pixels.delta(1.25**k) for k in (1, 2, 3)}


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


def ordinal_accuracy(
    prediction: Float[Tensor, "1 h w"],
    nearer_px: Float[Tensor, "p 2"],
    farther_px: Float[Tensor, "p 2"],
    *,
    near_is: Literal["low", "high"],
) -> Float[Tensor, ""]:
    """Share of point pairs whose nearer point the prediction puts nearer; a tie is a miss. NaN without pairs.

    Points are (x, y) in pixels of the prediction and read the pixel they lie in. (DA-2K's file has rows first.)
    """
    if near_is not in ("low", "high"):
        raise ValueError(f'near_is is {near_is!r}; allowed are "low" (depth) and "high" (disparity)')
    h, w = prediction.shape[-2:]
    values = []
    for points in (nearer_px, farther_px):
        column, row = points.floor().long().unbind(1)
        if bool(((column < 0) | (column >= w) | (row < 0) | (row >= h)).any()):
            raise ValueError(f"a point lies outside the {w} x {h} prediction; give (x, y) in its pixels")
        values.append(prediction[0, row, column])
    right = values[0] < values[1] if near_is == "low" else values[0] > values[1]
    return in_float64(right).mean()


def boundary_f1(prediction: Maps, truth: Maps, valid: Mask) -> PerImage:
    """Agreement on occlusion boundaries, 0 to 1: Depth Pro's F1 over depth ratios 1.05 to 1.25.

    A boundary is a neighbour (of four) nearer by more than the ratio. Precision and recall are averaged over the four
    directions; F1 is averaged over ten ratios t with weight t. NaN where the truth has no boundary at the least ratio.
    """
    pixels = _Pixels.of(prediction, truth, valid)
    shape = truth.shape
    predicted, true = pixels.positive.view(shape), pixels.truth.view(shape)
    counts = pixels.counts.view(shape)
    ratios = torch.linspace(1.05, 1.25, 10, dtype=torch.float64).tolist()
    scores, has_boundary = [], torch.zeros_like(counts[:, 0, 0, 0])
    for ratio in ratios:
        precision, recall = [], []
        for axis in (-1, -2):
            size = shape[axis] - 1
            both = counts.narrow(axis, 0, size) & counts.narrow(axis, 1, size)
            for here, there in ((0, 1), (1, 0)):
                found, real = (
                    (both & (z.narrow(axis, here, size) > ratio * z.narrow(axis, there, size))).flatten(1)
                    for z in (predicted, true)
                )
                hits = (found & real).sum(1).double()
                precision.append(hits / found.sum(1).clamp_min(1))
                recall.append(hits / real.sum(1).clamp_min(1))
                has_boundary = has_boundary | real.any(1)
        p, r = torch.stack(precision).mean(0), torch.stack(recall).mean(0)
        scores.append(2 * p * r / (p + r).clamp_min(1e-300))
    weight = torch.tensor(ratios, dtype=torch.float64)
    score = (torch.stack(scores) * (weight / weight.sum())[:, None].to(scores[0])).sum(0)
    return torch.where(has_boundary, score, torch.nan)


@dataclass(frozen=True)
class _Pixels:
    """Prediction and truth as rows of pixels in float64, 1 where a pixel doesn't count, and what is shared."""

    prediction: Tensor
    truth: Tensor
    counts: Tensor

    @classmethod
    def of(cls, prediction: Tensor, truth: Tensor, valid: Tensor) -> _Pixels:
        _check_shapes(prediction, truth, valid)
        p, g = in_float64(prediction).flatten(1), in_float64(truth).flatten(1)
        counts = valid.flatten(1).to(g.device) & g.isfinite() & (g > 0)
        return cls(torch.where(counts, p, 1.0), torch.where(counts, g, 1.0), counts)

    def mean(self, values: Tensor) -> Tensor:
        return _masked_mean(values, self.counts)

    @cached_property
    def positive(self) -> Tensor:
        return self.prediction.clamp_min(_LEAST)

    @cached_property
    def log_error(self) -> Tensor:
        return self.positive.log() - self.truth.log()

    @property
    def abs_rel(self) -> Tensor:
        return self.mean((self.prediction - self.truth).abs() / self.truth)

    @property
    def sq_rel(self) -> Tensor:
        return self.mean((self.prediction - self.truth).square() / self.truth)

    @property
    def rmse(self) -> Tensor:
        return self.mean((self.prediction - self.truth).square()).sqrt()

    @property
    def rmse_log(self) -> Tensor:
        return self.mean(self.log_error.square()).sqrt()

    @property
    def log10(self) -> Tensor:
        return self.mean(self.log_error.abs()) / torch.log(self.truth.new_tensor(10.0))

    @property
    def si_log(self) -> Tensor:
        # From the deviations: the difference of two large means would lose the digits of a nearly perfect map.
        return 100 * self.mean((self.log_error - self.mean(self.log_error)[:, None]).square()).sqrt()

    @property
    def i_rmse(self) -> Tensor:
        return self.mean((1 / self.positive - 1 / self.truth).square()).sqrt()

    def delta(self, threshold: float) -> Tensor:
        within = torch.maximum(self.positive / self.truth, self.truth / self.positive) < threshold
        return self.mean(within.double())


def _angles_deg(prediction: Tensor, truth: Tensor, valid: Tensor) -> tuple[Tensor, Tensor]:
    """Angle at every pixel [n p] and whether it counts."""
    _check_shapes(prediction[:, :1], truth[:, :1], valid)
    p, g = in_float64(prediction).flatten(2), in_float64(truth).flatten(2)
    counts = valid.flatten(1).to(g.device) & g.isfinite().all(1) & (g.abs().amax(1) > 0)
    # atan2 keeps its digits near 0 and 180 degrees, where acos of a cosine does not.
    angle = torch.atan2(torch.linalg.cross(p, g, dim=1).norm(dim=1), (p * g).sum(1)).rad2deg()
    return angle, counts


def _masked_mean(values: Tensor, counts: Tensor) -> Tensor:
    """Mean of each row over the pixels that count; 0 / 0 = NaN where none does."""
    return torch.where(counts, values, 0.0).sum(1) / counts.sum(1)


def _check_shapes(prediction: Tensor, truth: Tensor, valid: Tensor) -> None:
    if not prediction.shape == truth.shape == valid.shape:
        raise ValueError(
            f"prediction, truth and valid are {tuple(prediction.shape)}, {tuple(truth.shape)} and "
            f"{tuple(valid.shape)}; allowed is one size: resize the prediction to the truth"
        )
