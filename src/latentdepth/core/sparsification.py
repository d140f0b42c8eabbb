"""Is a prediction wrong where it is uncertain: sparsification curves (Ilg et al., 2018, arXiv 1802.07095).

Pixels are removed, the most uncertain first, and the error of the rest is drawn over the share removed. The oracle
removes by the true error. AUSE is the area between the two curves (0: uncertainty ranks pixels as the error does), AURG
the area between the curve and the error that removing at random leaves (0: no better than chance, negative: worse).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from latentdepth.core.precision import in_float64

Error = Literal["abs_rel", "rmse"]

STEPS = 50
"""Removed shares: 0, 1/50, ... 49/50. At 1 nothing is left that could have an error."""


@dataclass(frozen=True)
class Sparsification:
    """One image's curves over the share of pixels removed, as shares of the error of all pixels (so both start at 1).

    ``oracle`` is a curve that no ranking can be below. All values are NaN where no pixel counts; curves of a perfect
    prediction, which has no error to take shares of, are 0.
    """

    removed: Float[Tensor, " s"]
    curve: Float[Tensor, " s"]
    oracle: Float[Tensor, " s"]
    whole: Float[Tensor, ""]
    """The error of all pixels that count, in its own unit."""

    @property
    def ause(self) -> Float[Tensor, ""]:
        """Area between curve and oracle, by trapezia over [0, 1 - 1/steps]."""
        return torch.trapezoid(self.curve - self.oracle, self.removed)

    @property
    def aurg(self) -> Float[Tensor, ""]:
        """Area between chance and curve, by trapezia over [0, 1 - 1/steps]."""
        return torch.trapezoid(self.curve[0] - self.curve, self.removed)


def sparsification(
    prediction: Float[Tensor, "1 1 h w"],
    truth: Float[Tensor, "1 1 h w"],
    valid: Bool[Tensor, "1 1 h w"],
    uncertainty: Float[Tensor, "1 1 h w"],
    *,
    error: Error = "abs_rel",
    steps: int = STEPS,
) -> Sparsification:
    """The curves of one image's aligned depth. Any increasing function of the uncertainty gives the same ones.

    ``error``: mean of |p - g| / g, or root of the mean of (p - g)^2. A pixel counts where ``valid`` is true and the
    truth is finite and positive. Equally uncertain pixels are removed in no order: each stands for the mean of all of
    them, so constant uncertainty is worth what chance is. ValueError where a counted uncertainty is NaN, for sizes that
    differ, other errors and fewer than two steps.
    """
    if not prediction.shape == truth.shape == valid.shape == uncertainty.shape:
        raise ValueError(
            f"prediction, truth, valid and uncertainty are {tuple(prediction.shape)}, {tuple(truth.shape)}, "
            f"{tuple(valid.shape)} and {tuple(uncertainty.shape)}; allowed is one size"
        )
    if error not in get_args(Error) or steps < 2:
        raise ValueError(f'error is {error!r}, steps {steps}; allowed are "abs_rel" and "rmse", and 2 steps or more')
    home = in_float64(truth).device
    p, g, doubt = (in_float64(values).flatten().to(home) for values in (prediction, truth, uncertainty))
    counts = valid.flatten().to(home) & g.isfinite() & (g > 0)
    p, g, doubt = p[counts], g[counts], doubt[counts]
    if bool(doubt.isnan().any()):
        raise ValueError(
            f"{int(doubt.isnan().sum())} uncertainties of pixels that count are NaN; give a number for each"
        )
    off = (p - g).abs() / g if error == "abs_rel" else (p - g).square()
    removed = torch.arange(steps, dtype=torch.float64, device=home) / steps
    if len(off) == 0:
        nothing = removed + torch.nan
        return Sparsification(removed, nothing, nothing, nothing[0])
    curves = [_left(off, ranked, steps) for ranked in (doubt, off)]
    if error == "rmse":
        curves = [curve.sqrt() for curve in curves]
    whole = curves[0][0]
    shares = [torch.where(whole == 0, 0.0, curve / whole) for curve in curves]
    return Sparsification(removed, *shares, whole)


def uncertainty_metrics(
    prediction: Float[Tensor, "1 1 h w"],
    truth: Float[Tensor, "1 1 h w"],
    valid: Bool[Tensor, "1 1 h w"],
    uncertainty: Float[Tensor, "1 1 h w"],
) -> dict[str, float]:
    """AUSE and AURG by AbsRel and by RMSE: ``ause_abs_rel``, ``aurg_abs_rel``, ``ause_rmse``, ``aurg_rmse``."""
    figures = {}
    for error in get_args(Error):
        curves = sparsification(prediction, truth, valid, uncertainty, error=error)
        figures |= {f"ause_{error}": float(curves.ause), f"aurg_{error}": float(curves.aurg)}
    return figures


def _left(off: Tensor, ranked: Tensor, steps: int) -> Tensor:
    """Mean of ``off`` over what is left after each removal of the highest ``ranked``; ties stand for their mean."""
    ordered, order = ranked.sort()
    _, group, sizes = ordered.unique_consecutive(return_inverse=True, return_counts=True)
    means = torch.zeros(len(sizes), dtype=off.dtype, device=off.device).index_add_(0, group, off[order]) / sizes
    below = means[group].cumsum(0)
    left = torch.tensor([max(len(off) - k * len(off) // steps, 1) for k in range(steps)], device=off.device)
    return below[left - 1] / left
