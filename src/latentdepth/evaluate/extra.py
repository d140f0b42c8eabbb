"""Figures beyond those of every table, by the names behind ``--extra``: boundaries, edges, point clouds, uncertainty.

All are taken of the aligned depth, by the same rule as the rest. NaN says that a frame doesn't have the figure: truth
too sparse for edges, no camera, no ensemble. Knows no files.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torch.nn import functional as F

from latentdepth.core.clouds import cloud_metrics
from latentdepth.core.edges import boundary_f1, canny, edge_errors
from latentdepth.core.sparsification import sparsification
from latentdepth.core.types import Prediction, Quantity
from latentdepth.data.benchmarks.benchmark import DENSE_SHARE
from latentdepth.data.sample import Sample, filled_from_nearest

Maps = Float[Tensor, "1 1 h w"]
Mask = Bool[Tensor, "1 1 h w"]

EXTRA: Mapping[str, tuple[str, ...]] = {
    "boundary_f1": ("boundary_f1",),
    "edges": ("edge_accuracy_px", "edge_completeness_px"),
    "cloud": ("chamfer_m", "cloud_accuracy_m", "cloud_completeness_m", "f_score"),
    "ause": ("ause", "aurg", "ause_gradient"),
}
"""Names of figures by the word that asks for them."""


def extra_figures(
    names: Sequence[str], depth_m: Maps, sample: Sample, valid: Mask, prediction: Prediction, *, metres: bool
) -> dict[str, float]:
    """Figures of one frame; ``metres``: the truth's unit is known. Raises ValueError for an unknown name."""
    figures = nothing(names)
    truth = torch.where(valid, sample.depth_m[None].float(), 1.0)
    dense = float(valid.float().mean()) >= DENSE_SHARE
    if "boundary_f1" in names and dense:
        figures["boundary_f1"] = float(boundary_f1(depth_m, truth, valid))
    if "edges" in names and dense:
        # the truth's own edges: only iBims-1 has annotated ones. Where truth is unknown, neither map's edges count
        filled = filled_from_nearest(truth[0], valid[0])[None]
        errors = edge_errors(canny(depth_m) & valid, canny(filled) & valid)
        figures["edge_accuracy_px"] = float(errors["accuracy_px"])
        figures["edge_completeness_px"] = float(errors["completeness_px"])
    if "cloud" in names and metres and sample.camera is not None:
        clouds = cloud_metrics(depth_m, truth, valid, sample.camera)
        figures |= {figure: clouds[figure] for figure in EXTRA["cloud"]}
    if "ause" in names:
        # the control: whoever doubts every edge of the photo needs no ensemble
        busy = gradient_magnitude(sample.image[None])
        figures["ause_gradient"] = float(sparsification(depth_m, truth, valid, busy).ause)
    if "ause" in names and prediction.uncertainty is not None:
        doubt = _relative_doubt(prediction, depth_m)
        curves = sparsification(depth_m, truth, valid, doubt)
        figures |= {"ause": float(curves.ause), "aurg": float(curves.aurg)}
    return figures


def gradient_magnitude(images: Float[Tensor, "n 3 h w"]) -> Float[Tensor, "n 1 h w"]:
    """How fast the luminance of photos changes from pixel to pixel, by central differences (0 across the border)."""
    luminance = (images.cpu().float() * torch.tensor([0.299, 0.587, 0.114])[:, None, None]).sum(1, keepdim=True)
    beyond = F.pad(luminance, (1, 1, 1, 1), mode="replicate")
    across = (beyond[..., 1:-1, 2:] - beyond[..., 1:-1, :-2]) / 2
    down = (beyond[..., 2:, 1:-1] - beyond[..., :-2, 1:-1]) / 2
    return torch.hypot(across, down)


def _relative_doubt(prediction: Prediction, depth_m: Maps) -> Maps:
    """What the spread of the values means for depth, as a share of depth, up to one factor: errors are such shares.

    With y the value and s its spread: depth a y + b is off by a s, disparity by a s depth squared, log depth by a s
    depth. The factor a is the fit's and changes no order.
    """
    assert prediction.uncertainty is not None
    spread = prediction.uncertainty.detach().cpu().float()
    power = {Quantity.DEPTH: -1, Quantity.DISPARITY: 1, Quantity.LOG_DEPTH: 0}[prediction.kind.quantity]
    return spread * depth_m**power


def nothing(names: Sequence[str]) -> dict[str, float]:
    """The figures of ``names``, all NaN. Raises ValueError for an unknown name."""
    unknown = [name for name in names if name not in EXTRA]
    if unknown:
        raise ValueError(f"there is no extra figure {unknown[0]!r}; allowed are {', '.join(EXTRA)}")
    return {figure: math.nan for name in names for figure in EXTRA[name]}
