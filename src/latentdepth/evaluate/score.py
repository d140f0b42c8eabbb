"""Figures of one image: a prediction fitted to the truth by a rule, then measured; what is wrong is named.

Knows neither files nor networks. The fits are ``core.align``'s, the figures those of ``core``.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from latentdepth.core import align
from latentdepth.core.metrics import LEAST, depth_metrics, normals_metrics
from latentdepth.core.ordinal import ordinal_accuracy
from latentdepth.core.types import Invariance, Prediction, Quantity
from latentdepth.data.benchmarks.benchmark import Facts, OrdinalSample
from latentdepth.data.sample import Sample
from latentdepth.evaluate.extra import extra_figures, nothing
from latentdepth.evaluate.protocol import Rule, refusal

Fault = Literal["size", "not_finite", "no_truth", "few_pixels", "no_fit", "constant", "flipped"]
"""``constant`` and ``flipped`` (near and far swapped by the fit) are scored and flagged; the others score NaN."""
LEAST_PIXELS = 10

Maps = Float[Tensor, "1 1 h w"]
Mask = Bool[Tensor, "1 1 h w"]


@dataclass(frozen=True)
class Scored:
    """One image's figures by name; NaN where a fault leaves nothing to measure."""

    figures: dict[str, float]
    depth_m: Float[Tensor, "1 1 h w"] | None
    """Aligned depth in the unit of the truth; None for normals, point pairs and faults that leave none."""
    valid_pixels: int
    """Pixels of truth that count; for point pairs, pairs."""
    fault: str | None = None
    """One of ``Fault``, to be counted."""
    note: str = ""
    """The fault in words."""


def score(
    prediction: Prediction, sample: Sample | OrdinalSample, facts: Facts, rule: Rule, *, extra: Sequence[str] = ()
) -> Scored:
    """Align by ``rule`` and measure. ``extra`` names figures of ``extra.EXTRA``.

    Raises ValueError when the rule can't be applied to such a prediction on such truth (``protocol.refusal``).
    """
    reason = refusal(rule, prediction.kind, facts.truth)
    if reason is not None:
        raise ValueError(f"{facts.key}: {reason}")
    if isinstance(sample, OrdinalSample):
        return _score_pairs(prediction, sample)
    if facts.truth == "normals":
        return _score_normals(prediction, sample)
    return _score_depth(prediction, sample, facts, rule, extra)


def _score_depth(prediction: Prediction, sample: Sample, facts: Facts, rule: Rule, extra: Sequence[str]) -> Scored:
    value = prediction.value.detach().cpu().float()
    truth = sample.depth_m[None].float()
    valid = sample.valid[None] & truth.isfinite() & (truth > 0)  # sky is a valid answer, but no number
    pixels = int(valid.sum())
    found = _fault(value, sample, valid)
    if found is not None and found[0] != "constant":
        return Scored(_nothing(extra), None, pixels, *found)
    truth = torch.where(valid, truth, 1.0)
    depth_m, scale = aligned(prediction, truth, valid, rule)
    if not bool(depth_m[valid].isfinite().all()):
        return Scored(_nothing(extra), None, pixels, "no_fit", f"protocol {rule.key} finds no finite fit")
    if found is None and scale is not None and scale < 0:
        found = ("flipped", f"the fit swaps near and far: its scale is {scale:.4g}; is the kind declared right?")
    if rule.clip:
        depth_m = depth_m.clamp(facts.near_m, facts.far_m)
    depth_m = depth_m.clamp_min(LEAST)
    figures = {name: float(row) for name, row in depth_metrics(depth_m, truth, valid).items()}
    figures |= extra_figures(extra, depth_m, sample, valid, prediction, metres=facts.truth == "depth")

    return Scored(figures, depth_m, pixels, *(found or ()))


def aligned(prediction: Prediction, truth: Maps, valid: Mask, rule: Rule) -> tuple[Maps, float | None]:
    """Depth in the truth's unit, float32, neither clipped nor positive everywhere; and the fit's scale, if any.

    ``truth`` is finite and positive where ``valid``, the prediction finite there.
    """
    kind, value = prediction.kind, prediction.value.detach().cpu().float()
    space: align.Space = "disparity" if kind.quantity is Quantity.DISPARITY else "depth"
    if rule.fit == "none":
        return _as_depth(prediction), None
    if rule.fit == "affine_as_declared" and kind.quantity is Quantity.LOG_DEPTH:
        depth_m, fit = align.fit_log_depth(value, truth, valid)
    elif rule.fit == "affine_as_declared" and space == "depth":
        depth_m, fit = align.fit_depth(value, truth, valid)
    elif rule.fit in ("affine_as_declared", "affine_in_disparity"):
        disparity = value if space == "disparity" else 1 / _positive(_as_depth(prediction))
        depth_m, fit = align.fit_disparity(disparity, truth, valid, floor=rule.floor)
    elif rule.fit == "ransac_in_log_depth":
        logarithm = value if kind.quantity is Quantity.LOG_DEPTH else _positive(_as_depth(prediction)).log()
        depth_m, fit = align.fit_ransac(logarithm, truth, valid, space="log_depth")
    elif rule.fit == "affine_l1":
        depth_m, fit = align.fit_l1(_as_depth(prediction), truth, valid)
    else:
        method = "median" if rule.fit == "median_scale" else "least_squares"
        value = value.exp() if kind.quantity is Quantity.LOG_DEPTH else value
        depth_m, fit = align.fit_scale(value, truth, valid, method=method, space=space)
    return depth_m, float(fit.scale)


def _as_depth(prediction: Prediction) -> Maps:
    """The same in depth: of affine-invariant depth the value itself, of the rest what is meant."""
    value = prediction.value.detach().cpu().float()
    if prediction.kind.quantity is Quantity.DISPARITY:
        return 1 / _positive(value)
    if prediction.kind.quantity is Quantity.LOG_DEPTH and prediction.kind.invariance is Invariance.METRIC:
        return value.exp()
    return value


def _positive(value: Maps) -> Maps:
    """Kept at a ten-thousandth of its largest value or more, since a single 0 would otherwise rule an inverse."""
    return value.clamp_min(max(1e-4 * float(value.where(value.isfinite(), torch.zeros(())).amax()), 1e-30))


def _score_normals(prediction: Prediction, sample: Sample) -> Scored:
    value, truth = prediction.value.detach().cpu().float(), sample.normals
    if truth is None:
        return Scored({}, None, 0, "no_truth", "the frame has no normals")
    valid = sample.valid[None] & (truth[None].norm(dim=1, keepdim=True) > 0.5)
    pixels = int(valid.sum())
    found = _fault(value, sample, valid)
    figures = dict.fromkeys(_NORMALS_NAMES.values(), math.nan)
    if found is not None and found[0] != "constant":
        return Scored(figures, None, pixels, *found)
    measured = normals_metrics(value, truth[None], valid)
    return Scored({_NORMALS_NAMES[k]: float(v) for k, v in measured.items()}, None, pixels, *(found or ()))


_NORMALS_NAMES = {"mean": "mean_deg", "median": "median_deg"} | {
    f"below_{limit}": f"below_{limit}" for limit in ("5", "7.5", "11.25", "22.5", "30")
}


def _score_pairs(prediction: Prediction, sample: OrdinalSample) -> Scored:
    value, pairs = prediction.value.detach().cpu().float(), len(sample.nearer_px)
    h, w = sample.image.shape[-2:]
    near_is = prediction.kind.near_is
    assert near_is is not None  # normals are refused before
    found = _fault(value, sample, torch.ones(1, 1, h, w, dtype=torch.bool))
    if pairs == 0:
        found = ("no_truth", "the frame has no point pairs")
    if found is not None and found[0] != "constant":
        return Scored({"ordinal": math.nan, "whdr": math.nan}, None, pairs, *found)
    accuracy = float(ordinal_accuracy(value[0], sample.nearer_px, sample.farther_px, near_is=near_is))
    return Scored({"ordinal": accuracy, "whdr": 1 - accuracy}, None, pairs, *(found or ()))


def _fault(value: Float[Tensor, "_n _c _h _w"], sample: Sample | OrdinalSample, valid: Mask) -> tuple[str, str] | None:
    """What is wrong with prediction or truth before any fit: the fault and its words."""
    h, w = sample.image.shape[-2:]
    pixels = int(valid.sum())
    if value.shape[0] != 1 or tuple(value.shape[-2:]) != (h, w):
        given = f"{len(value)} images of {value.shape[-1]} x {value.shape[-2]}"
        return "size", f"the prediction is {given}, the truth {w} x {h}"
    if pixels == 0:
        return "no_truth", "no pixel of the truth is valid"
    if pixels < LEAST_PIXELS:
        return "few_pixels", f"{pixels} valid pixels; at least {LEAST_PIXELS} are needed"
    seen = value[valid.expand_as(value)]
    broken = int((~seen.isfinite()).sum())
    if broken:
        return "not_finite", f"{broken} of {seen.numel()} predicted values that count are NaN or infinite"
    # of normals every channel would have to be constant, which a wall facing the viewer may rightly be
    if value.shape[1] == 1 and bool((seen == seen[0]).all()):
        return "constant", f"the prediction is {float(seen[0]):.4g} everywhere"
    return None


def _nothing(extra: Sequence[str]) -> dict[str, float]:
    """Every figure of depth, NaN."""
    one = torch.ones(1, 1, 1, 1)
    return dict.fromkeys(depth_metrics(one, one, one.bool()), math.nan) | nothing(extra)
