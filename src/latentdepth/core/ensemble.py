"""Merge the members of an ensemble into one map and say, per pixel, how far they disagree.

Paper: Marigold (arXiv 2312.02145), section 3.4 and equation 4. The default here is not the paper's joint
optimisation but a closed form of the same idea: every member is fitted to the running consensus by least squares,
which needs two moments a member, and the consensus is taken again, a few times. ``merge_joint`` is the paper's.

Knows neither networks nor what the values mean; it is told which freedom (scale, shift) the members have.
Every function takes ``n`` images of ``e`` members each and treats each image alone. The order of the members does
not matter. Fits run on the CPU in float64 (not every accelerator has it) on a grid of pixels; values stay float32.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor

from latentdepth.core.median import median_

Reduction = Literal["median", "mean"]
JointForm = Literal["sum_of_rmse", "rms_over_pairs"]

# Two unknowns a member are known to far better than the noise of a member from this many pixels.
_FIT_PIXELS = 128 * 128
# Pixels reduced at once: ten members of float32 then stay in a core's cache, which makes the median 2-3x faster.
_CHUNK_PIXELS = 16384
# Below this spread, relative to its size, a float32 member holds rounding noise and no shape.
_FLAT = 1e-6

_Fit = Callable[[Tensor], tuple[Tensor, Tensor]]


def merge_affine(
    members: Float[Tensor, "n e c h w"], *, reduction: Reduction = "median", rounds: int = 4
) -> tuple[Float[Tensor, "n c h w"], Float[Tensor, "n 1 h w"]]:
    """Members known up to scale and shift -> their consensus in [0, 1] and its uncertainty in the same unit.

    Uncertainty is the median absolute deviation (median) or the standard deviation (mean) of the aligned members;
    zero where there is one member. A constant member has no shape and is left out; a member that contradicts the
    consensus (negative fitted scale) is flattened to the consensus' mean. All members constant: zeros.
    """
    fit = functools.partial(_fit_to_consensus, reduction=reduction, rounds=rounds, with_shift=True)
    return _merge(members, fit, reduction=reduction, step=_grid_step(members), with_shift=True)


def merge_scale(
    members: Float[Tensor, "n e c h w"], *, reduction: Reduction = "median", rounds: int = 4
) -> tuple[Float[Tensor, "n c h w"], Float[Tensor, "n 1 h w"]]:
    """Members known up to scale: as ``merge_affine``, but zero stays zero and the largest value becomes one."""
    fit = functools.partial(_fit_to_consensus, reduction=reduction, rounds=rounds, with_shift=False)
    return _merge(members, fit, reduction=reduction, step=_grid_step(members), with_shift=False)


def merge_absolute(
    members: Float[Tensor, "n e c h w"], *, reduction: Reduction = "median"
) -> tuple[Float[Tensor, "n c h w"], Float[Tensor, "n 1 h w"]]:
    """Members that already share one unit: no alignment; value and uncertainty stay in that unit."""
    _check(members, reduction)
    n, e, c, h, w = members.shape
    value = torch.empty(n, c * h * w, device=members.device)
    deviation = torch.empty_like(value)
    for index, rows in enumerate(members.float().reshape(n, e, -1)):
        _low_high(rows, image_index=index)
        value[index], deviation[index] = _reduce(rows, torch.ones(e), torch.zeros(e), reduction)
    return value.view(n, c, h, w), deviation.view(n, c, h, w).mean(1, keepdim=True)


def merge_normals(
    members: Float[Tensor, "n e 3 h w"], *, reduction: Literal["closest", "mean"] = "closest"
) -> tuple[Float[Tensor, "n 3 h w"], Float[Tensor, "n 1 h w"]]:
    """Unit normals -> the member closest to the mean direction (or the mean direction), and mean angle / pi.

    Members equally close are told apart by their value (larger z, then y, then x), never by their place. Where the
    members cancel, there is no mean direction; both reductions then give the member that this rule picks.
    """
    if reduction not in ("closest", "mean"):
        raise ValueError(f'reduction is {reduction!r}; allowed are "closest" and "mean"')
    members = members.float()
    for index, rows in enumerate(members.flatten(2)):
        _low_high(rows, image_index=index)
    # Fixed point makes the sum exact, so that it can't depend on the order of the members.
    total = (members * 2.0**30).long().sum(1).float()
    length = total.norm(dim=1, keepdim=True)
    mean = total / length.clamp_min(1.0)
    chosen = _closest(members, mean)
    if reduction == "mean":
        chosen = torch.where(length > 2.0**30 * 1e-6, mean, chosen)
    # The angle from the chord: acos of a cosine rounded to float32 would be off by up to 3e-4 rad near zero.
    chord = (members - chosen[:, None]).norm(dim=2, keepdim=True)
    return chosen, (2 * torch.asin((chord / 2).clamp(max=1.0))).mean(1) / math.pi


def merge_joint(
    members: Float[Tensor, "n e c h w"],
    *,
    reduction: Reduction = "median",
    form: JointForm = "sum_of_rmse",
    regularizer: float = 0.02,
    iterations: int = 5,
    max_px: int = 1024,
) -> tuple[Float[Tensor, "n c h w"], Float[Tensor, "n 1 h w"]]:
    """The paper's joint optimisation of all scales and shifts (see ``joint_cost``), for comparison.

    Stopping early is part of the method, so ``iterations`` is small: the regulariser only holds the reduced map's
    ends, the pairwise term falls with every scale, and at full convergence the members shrink to flat maps whose
    error is many times that of a single member. ``max_px`` bounds the longer side of the grid used for the fit.
    """
    if form not in ("sum_of_rmse", "rms_over_pairs"):
        raise ValueError(f'form is {form!r}; allowed are "sum_of_rmse" and "rms_over_pairs"')
    fit = functools.partial(
        _fit_jointly, reduction=reduction, form=form, regularizer=regularizer, iterations=iterations
    )
    step = math.ceil(max(members.shape[-2:]) / max_px)
    return _merge(members, fit, reduction=reduction, step=step, with_shift=True)


def joint_cost(
    scale: Float[Tensor, " e"],
    shift: Float[Tensor, " e"],
    members: Float[Tensor, "e p"],
    *,
    reduction: Reduction = "median",
    form: JointForm = "sum_of_rmse",
    regularizer: float = 0.02,
) -> Float[Tensor, ""]:
    """Disagreement of all pairs of ``scale * member + shift`` plus ``regularizer * (|min| + |1 - max|)`` of their
    reduction; differentiable in scale and shift.

    ``sum_of_rmse`` adds the pairs' root mean squares, as Marigold's code does; ``rms_over_pairs`` is equation 4 of the
    paper: the root of the mean, over pairs, of the mean square. The mean squares come exact from the members' moments,
    so one evaluation costs little more than finding the two pixels where the reduction is lowest and highest.
    """
    return _JointCost(members, reduction, form, regularizer)(scale, shift)


def _merge(members: Tensor, fit: _Fit, *, reduction: Reduction, step: int, with_shift: bool) -> tuple[Tensor, Tensor]:
    """Normalise members, ``fit`` scales and shifts on every ``step``-th pixel, reduce all pixels, rescale to [0, 1]."""
    _check(members, reduction)
    n, e, c, h, w = members.shape
    value = torch.zeros(n, c * h * w, device=members.device)
    deviation = torch.zeros_like(value)
    for index, image in enumerate(members.float()):
        low, high = _low_high(image.reshape(e, -1), image_index=index)
        size = torch.maximum(low.abs(), high.abs())
        spread = high - low if with_shift else size
        has_shape = spread > _FLAT * size
        if not bool(has_shape.any()):
            continue
        origin = low if with_shift else torch.zeros_like(low)
        unit = (image - origin.view(e, 1, 1, 1)).div_(spread.view(e, 1, 1, 1))[has_shape]
        grid = unit[:, :, ::step, ::step].reshape(len(unit), -1)
        scale, shift = fit(grid.cpu().double())
        merged, apart = _reduce(unit.reshape(len(unit), -1), scale, shift, reduction)
        bottom = merged.min() if with_shift else torch.zeros_like(merged[0])
        extent = merged.max() - bottom
        # Members that cancel out leave a flat consensus; its deviation then stays in units of the normalised members.
        extent = torch.where(extent > _FLAT, extent, torch.ones_like(extent))
        value[index] = merged.sub_(bottom).div_(extent)
        deviation[index] = apart.div_(extent)
    return value.view(n, c, h, w), deviation.view(n, c, h, w).mean(1, keepdim=True)


def _grid_step(members: Tensor) -> int:
    return max(1, math.ceil(math.sqrt(members.shape[-1] * members.shape[-2] / _FIT_PIXELS)))


def _fit_to_consensus(members: Tensor, *, reduction: Reduction, rounds: int, with_shift: bool) -> tuple[Tensor, Tensor]:
    """Scale and shift of each normalised member [e p] that bring it closest to the consensus of all, in rounds."""
    scale, shift = torch.ones(len(members)).double(), torch.zeros(len(members)).double()
    mean = members.mean(1) if with_shift else torch.zeros_like(shift)
    centred = members - mean[:, None]
    power = centred.square().mean(1)
    for _ in range(rounds):
        consensus = _middle(members, scale, shift, reduction)
        level = consensus.mean() if with_shift else torch.zeros_like(consensus[0])
        consensus = consensus - level
        if consensus.square().mean() < _FLAT**2:
            break
        fitted = ((centred * consensus).mean(1) / power.clamp_min(_FLAT**2)).clamp_min(0)
        known = power > _FLAT**2  # flat on the grid though not everywhere: keep what it has
        scale = torch.where(known, fitted, scale)
        shift = torch.where(known, level - fitted * mean, shift)
    return scale, shift


def _fit_jointly(
    members: Tensor, *, reduction: Reduction, form: JointForm, regularizer: float, iterations: int
) -> tuple[Tensor, Tensor]:
    """Scale and shift of each normalised member [e p] after a few quasi-Newton steps on ``joint_cost``."""
    scale = torch.ones(len(members)).double().requires_grad_()
    shift = torch.zeros(len(members)).double().requires_grad_()
    cost = _JointCost(members, reduction, form, regularizer)
    optimizer = torch.optim.LBFGS([scale, shift], max_iter=iterations, line_search_fn="strong_wolfe")

    def evaluate() -> Tensor:
        optimizer.zero_grad()
        value = cost(scale, shift)
        value.backward()
        return value

    with torch.enable_grad():
        optimizer.step(evaluate)
    return scale.detach(), shift.detach()


class _JointCost:
    """``joint_cost`` with the members' moments held, since they don't change between evaluations."""

    def __init__(self, members: Tensor, reduction: Reduction, form: JointForm, regularizer: float) -> None:
        self.members, self.regularizer = members, regularizer
        self.reduction: Reduction = reduction
        self.form: JointForm = form
        self.mean = members.mean(1)
        centred = members - self.mean[:, None]
        self.covariance = centred @ centred.T / members.shape[1]
        self.pairs = torch.triu_indices(len(members), len(members), 1)

    def __call__(self, scale: Tensor, shift: Tensor) -> Tensor:
        i, j = self.pairs
        level = scale * self.mean + shift
        power = scale.square() * self.covariance.diagonal()
        mean_square = power[i] + power[j] - 2 * scale[i] * scale[j] * self.covariance[i, j] + (level[i] - level[j]) ** 2
        # The floor keeps the root's slope finite for members that agree exactly.
        mean_square = mean_square.clamp_min(1e-20)
        count = max(1, len(mean_square))  # one member has no pair, and no disagreement
        disagreement = mean_square.sqrt().sum() if self.form == "sum_of_rmse" else (mean_square.sum() / count).sqrt()
        with torch.no_grad():
            reduced = _middle(self.members, scale, shift, self.reduction)
            ends = torch.stack([reduced.argmin(), reduced.argmax()])
        low, high = _middle_sorted(self.members[:, ends] * scale[:, None] + shift[:, None], self.reduction)
        return disagreement + self.regularizer * (low.abs() + (1 - high).abs())


def _middle_sorted(members: Tensor, reduction: Reduction) -> Tensor:
    """Median or mean over members [e p] by sorting: slower than the network, but differentiable."""
    ordered, half = members.sort(0).values, len(members) // 2
    return members.mean(0) if reduction == "mean" else (ordered[half] + ordered[-half - 1]) / 2


def _middle(members: Tensor, scale: Tensor, shift: Tensor, reduction: Reduction) -> Tensor:
    """Median or mean over members [e p] of ``scale * member + shift``, all in float64."""
    aligned = torch.addcmul(shift[:, None], members, scale[:, None])
    return aligned.mean(0) if reduction == "mean" else median_(aligned)


def _reduce(members: Tensor, scale: Tensor, shift: Tensor, reduction: Reduction) -> tuple[Tensor, Tensor]:
    """Middle and deviation over members [e p] of ``scale * member + shift``, in float32."""
    scale, shift = scale.to(members)[:, None], shift.to(members)[:, None]
    middle = torch.empty_like(members[0])
    deviation = torch.empty_like(middle)
    for start in range(0, members.shape[1], _CHUNK_PIXELS):
        part = slice(start, start + _CHUNK_PIXELS)
        aligned = torch.addcmul(shift, members[:, part], scale)
        if reduction == "mean":
            middle[part] = aligned.mean(0)
            square = aligned.sub_(middle[part]).square_().sum(0)
            deviation[part] = square.div_(max(1, len(members) - 1)).sqrt_()
        else:
            middle[part] = median_(aligned.clone())
            deviation[part] = median_(aligned.sub_(middle[part]).abs_())
    return middle, deviation


def _closest(members: Tensor, mean: Tensor) -> Tensor:
    """Per pixel the member [n e 3 h w] with the largest cosine to ``mean``; ties go to larger z, then y, then x."""
    best, best_cosine = members[:, 0], (members[:, 0] * mean).sum(1, keepdim=True)
    for member in members.unbind(1)[1:]:
        cosine = (member * mean).sum(1, keepdim=True)
        better, equal = cosine > best_cosine, cosine == best_cosine
        for axis in (2, 1, 0):
            ours, theirs = member[:, axis : axis + 1], best[:, axis : axis + 1]
            better = better | (equal & (ours > theirs))
            equal = equal & (ours == theirs)
        best, best_cosine = torch.where(better, member, best), torch.where(better, cosine, best_cosine)
    return best


def _check(members: Tensor, reduction: str) -> None:
    if reduction not in ("median", "mean"):
        raise ValueError(f'reduction is {reduction!r}; allowed are "median" and "mean"')
    if members.ndim != 5 or 0 in members.shape:
        raise ValueError(f"members have shape {tuple(members.shape)}; give n images x e members x c x h x w, none zero")


def _low_high(rows: Tensor, *, image_index: int) -> tuple[Tensor, Tensor]:
    """Least and largest value of every member [e p]; both are non-finite if any pixel is, which is an error."""
    low, high = rows.aminmax(dim=1)
    bad = ~(torch.isfinite(low) & torch.isfinite(high))
    if bool(bad.any()):
        raise ValueError(
            f"member {int(bad.nonzero()[0])} of image {image_index} holds NaN or infinite values; "
            "members must be finite: drop it, or mask and fill before merging"
        )
    return low, high
