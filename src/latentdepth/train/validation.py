"""How good a model in training is: errors over held-out samples, and a sheet of pictures to look at.

Knows a task only by what it predicts. The errors are those of Marigold's protocol (arXiv 2312.02145, section 4.1).
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace

import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torch.nn import functional as F

from latentdepth.core.align import fit_depth, fit_disparity
from latentdepth.core.colours import normals_colours, quantile, spectral, uncertainty_colours
from latentdepth.core.metrics import depth_metrics, normals_metrics
from latentdepth.core.types import METRIC_DEPTH, Prediction, Quantity
from latentdepth.data.augment import resized
from latentdepth.data.batch import Batch
from latentdepth.data.mixing import Portion, UnusableError, taught
from latentdepth.data.options import Target
from latentdepth.data.sample import Sample
from latentdepth.train.fit import Validated
from latentdepth.train.task import Judged, Predicts

_CELL_PX = (180, 240)  # height, width
_GAP_PX = 4


def measure(task: Predicts, samples: Iterable[Sample], *, pictures: int) -> Validated:
    """Mean figures over samples; the score is AbsRel, or the mean angle in degrees for normals.

    Samples without a usable pixel don't count. Raises ValueError when none counts.
    """

    def judged(sample: Sample) -> Judged:
        prediction = task.predict(sample.image[None])
        normals = prediction.kind.quantity is Quantity.NORMALS
        return judge_normals(prediction, sample) if normals else judge_depth(prediction, sample)

    return collected(map(judged, samples), pictures=pictures)


def collected(judged: Iterable[Judged], *, pictures: int) -> Validated:
    """The mean of every figure over those that have it; the first is the score. What is not finite doesn't count.

    Raises ValueError when none counts.
    """
    figures: dict[str, list[float]] = {}
    sheet = []
    for one in judged:
        if all(math.isfinite(value) for value in one.figures.values()):
            for name, value in one.figures.items():
                figures.setdefault(name, []).append(value)
            sheet += [one.pictures] if len(sheet) < pictures else []
    if not figures:
        raise ValueError("no sample of the validation sets has a usable pixel; look at their depth and masks")
    metrics = {name: sum(values) / len(values) for name, values in figures.items()}
    return Validated(metrics, next(iter(metrics.values())), contact_sheet(sheet) if sheet else None)


def whole_views(chosen: Iterable[tuple[Portion, int]], target: Target) -> Iterator[Batch]:
    """Samples of sets as batches of one: the whole picture at the set's size. Unusable ones are left out."""
    for portion, index in chosen:
        seen = resized(portion.frames[index], portion.height, portion.width)
        wanted = replace(target, kind=portion.kind or target.kind)
        with contextlib.suppress(UnusableError):
            yield taught(seen, wanted, f"sample {index} of data set {portion.frames.name}")


def judge_depth(prediction: Prediction, sample: Sample) -> Judged:
    """AbsRel and delta1 after the least-squares fit of scale and shift in the prediction's own space; sky is left out.
    Metric depth is measured as it is.

    Truth and fitted prediction are drawn between the 2 % and 98 % quantiles of the truth.
    """
    truth, valid = sample.depth_m[None], (sample.valid & sample.depth_m.isfinite())[None]
    value = prediction.value.cpu().float()
    if not bool(valid.any()):
        return Judged({"abs_rel": math.nan, "delta1": math.nan}, ())
    if prediction.kind == METRIC_DEPTH:
        depth = value
    else:
        fit = fit_disparity if prediction.kind.quantity is Quantity.DISPARITY else fit_depth
        depth = fit(value, torch.where(valid, truth, 1.0), valid)[0].float()
    figures = depth_metrics(depth, truth, valid)
    low, high = (quantile(truth[valid], share) for share in (0.02, 0.98))

    def drawn(metres: Float[Tensor, "1 1 h w"], mask: Bool[Tensor, "1 1 h w"]) -> Float[Tensor, "3 h w"]:
        return spectral(torch.where(mask, (metres - low) / max(high - low, 1e-6), torch.nan))[0]

    error = torch.where(valid, (depth - truth).abs() / truth, torch.nan)
    pictures = (sample.image, drawn(depth, torch.ones_like(valid)), drawn(truth, valid), uncertainty_colours(error)[0])
    return Judged({name: float(figures[name]) for name in ("abs_rel", "delta1")}, pictures)


def judge_normals(prediction: Prediction, sample: Sample) -> Judged:
    """Mean angle in degrees and the share of pixels below 11.25 degrees."""
    if sample.normals is None:
        raise ValueError("a validation set has no normals; give one that has, or --validate.no-held-out")
    value, truth = prediction.value.cpu().float(), sample.normals[None]
    valid = sample.valid[None] & (truth.norm(dim=1, keepdim=True) > 0.5)
    figures = normals_metrics(value, truth, valid)
    angle = torch.rad2deg((value * truth).sum(1, keepdim=True).clamp(-1, 1).acos())
    known = torch.where(valid, truth, torch.nan)
    error = uncertainty_colours(torch.where(valid, angle, torch.nan))[0]
    pictures = (sample.image, normals_colours(value)[0], normals_colours(known)[0], error)
    return Judged({"mean_deg": float(figures["mean"]), "below_11.25": float(figures["below_11.25"])}, pictures)


def contact_sheet(rows: Sequence[Sequence[Float[Tensor, "3 _h _w"]]]) -> Float[Tensor, "3 h w"]:
    """One row for each sample, every picture fitted into 240 x 180 pixels, on white."""
    height, width = _CELL_PX
    columns = max(len(row) for row in rows)
    sheet = torch.ones(3, len(rows) * (height + _GAP_PX) - _GAP_PX, columns * (width + _GAP_PX) - _GAP_PX)
    for i, row in enumerate(rows):
        for j, picture in enumerate(row):
            h, w = picture.shape[-2:]
            scale = min(height / h, width / w)
            size = max(1, round(h * scale)), max(1, round(w * scale))
            small = F.interpolate(picture[None].float(), size, mode="bilinear", antialias=True)[0]
            top, left = i * (height + _GAP_PX), j * (width + _GAP_PX)
            sheet[:, top : top + size[0], left : left + size[1]] = small
    return sheet.clamp(0, 1)
