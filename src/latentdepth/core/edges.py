"""Are depth edges where they belong: boundary F1, and distances between edges.

Boundaries are Depth Pro's (arXiv 2410.02073). Edge errors are those of iBims-1 (arXiv 1805.01328): distances, cut at 10
pixels, between Canny edges of the prediction and edges of the truth. ``canny`` is Canny's detector (1986) with the
choices of scikit-image, which iBims-1's own script calls. Knows neither fits nor files; sizes are in pixels of the map.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torch.nn import functional as F

from latentdepth.core.metrics import LEAST
from latentdepth.core.pixels import check_one_size
from latentdepth.core.precision import in_float64

FARTHEST_PX = 10
"""Edges farther apart than this have nothing to do with each other, says iBims-1."""

Maps = Float[Tensor, "n 1 h w"]
Mask = Bool[Tensor, "n 1 h w"]
PerImage = Float[Tensor, " n"]


@dataclass(frozen=True)
class Boundaries:
    """Agreement on occlusion boundaries, each 0 to 1 and NaN where the truth has none at the least ratio."""

    f1: PerImage
    precision: PerImage
    recall: PerImage


def boundary_f1(prediction: Maps, truth: Maps, valid: Mask) -> PerImage:
    """Depth Pro's F1 over depth ratios 1.05 to 1.25; see ``boundaries``."""
    return boundaries(prediction, truth, valid).f1


def boundaries(prediction: Maps, truth: Maps, valid: Mask) -> Boundaries:
    """Depth Pro's F1, precision and recall of occlusion boundaries.

    A boundary is a neighbour (of four) nearer by more than the ratio. Precision and recall are averaged over the four
    directions; they and F1 are averaged over ten ratios t with weight t. A pixel counts where ``valid`` is true and the
    truth is finite and positive.
    """
    check_one_size(prediction, truth, valid)
    true = in_float64(truth)
    counts = valid.to(true.device) & true.isfinite() & (true > 0)
    true = torch.where(counts, true, 1.0)
    predicted = torch.where(counts, in_float64(prediction).to(true.device), 1.0).clamp_min(LEAST)
    ratios = torch.linspace(1.05, 1.25, 10, dtype=torch.float64, device=true.device)
    scores, has_boundary = [], torch.zeros_like(counts[:, 0, 0, 0])
    for ratio in ratios.tolist():
        precision, recall = [], []
        for axis in (-1, -2):
            size = truth.shape[axis] - 1
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
        scores.append(torch.stack((2 * p * r / (p + r).clamp_min(1e-300), p, r)))
    mean = (torch.stack(scores) * (ratios / ratios.sum())[:, None, None]).sum(0)
    return Boundaries(*torch.where(has_boundary, mean, torch.nan).unbind(0))


def canny(depth: Maps, *, sigma_px: float = 2**0.5, low: float = 0.15, high: float = 0.3) -> Mask:
    """Edges of each map after stretching it to [0, 1]; the defaults are those of iBims-1's script.

    Gaussian of ``sigma_px``; Sobel's gradient, whose weights sum to 4 a side; ridges of at least ``low``, of which
    those stay that hang together, by eight neighbours, with one of at least ``high``. The border pixel is never an
    edge, and constant maps have none. ValueError for maps that are not finite: fill them first.
    """
    z = in_float64(depth)
    if not bool(z.isfinite().all()):
        raise ValueError("the map holds NaN or infinite values; edges need a value at every pixel: fill them first")
    if not 0 <= low <= high:
        raise ValueError(f"low and high are {low:g} and {high:g}; allowed is 0 <= low <= high")
    z = z - z.amin((1, 2, 3), keepdim=True)
    z = z / z.amax((1, 2, 3), keepdim=True).clamp_min(1e-300)
    z = _blurred(z, sigma_px)
    padded = F.pad(z, (1, 1, 1, 1), mode="replicate")
    smooth, step = [1.0, 2.0, 1.0], [-1.0, 0.0, 1.0]
    down = _correlated(_correlated(padded, smooth, -1), step, -2)
    right = _correlated(_correlated(padded, smooth, -2), step, -1)
    strength = (down.square() + right.square()).sqrt()
    ridge = _on_ridge(strength, down, right) & (strength >= low) & (strength > 0)
    ridge[..., 0, :] = ridge[..., -1, :] = ridge[..., 0] = ridge[..., -1] = False
    return _connected(ridge & (strength >= high), ridge)


def edge_distance(edges: Mask, *, farthest_px: int = FARTHEST_PX) -> Maps:
    """Euclidean distance from each pixel to the nearest edge pixel, in pixels, cut at ``farthest_px``; float32, exact.

    Squared distances along columns first, then their least sum with those along rows.
    """
    square = torch.where(edges, 0.0, math.inf)
    for axis in (-2, -1):
        length = edges.shape[axis]
        nearest = square.clone()
        for away in range(1, min(farthest_px, length - 1) + 1):
            rest = length - away
            for here, there in ((0, away), (away, 0)):
                part = nearest.narrow(axis, here, rest)
                torch.minimum(part, square.narrow(axis, there, rest) + away * away, out=part)
        square = nearest
    return square.sqrt_().clamp_max_(farthest_px)


def edge_errors(predicted: Mask, true: Mask, *, farthest_px: int = FARTHEST_PX) -> dict[str, PerImage]:
    """Distances between predicted and true edges in pixels, 0 (best) to ``farthest_px``; NaN without true edges.

    - ``accuracy_px``: mean distance from predicted edges to the nearest true one, over those nearer than
      ``farthest_px``: predicted edges far from any true one are not held against the prediction.
    - ``completeness_px``: mean cut distance from true edges to the nearest predicted one: the paper's definition.
    - ``chamfer_px``: mean cut distance over the edges of both: what iBims-1's script prints as completeness.

    All are ``farthest_px`` where no predicted edge lies near a true one, as in iBims-1's script.
    """
    if predicted.shape != true.shape:
        raise ValueError(f"the edges are {tuple(predicted.shape)} and {tuple(true.shape)}; allowed is one size")
    to_true, to_predicted = (in_float64(edge_distance(e, farthest_px=farthest_px)) for e in (true, predicted))
    found, real = predicted.to(to_true.device), true.to(to_true.device)
    near = found & (to_true < farthest_px)
    n_near, n_found, n_real = (edges.flatten(1).sum(1) for edges in (near, found, real))
    from_near, from_found, from_real = (
        torch.where(edges, distance, 0.0).flatten(1).sum(1)
        for edges, distance in ((near, to_true), (found, to_true), (real, to_predicted))
    )
    errors = {
        "accuracy_px": from_near / n_near,
        "completeness_px": from_real / n_real,
        "chamfer_px": (from_found + from_real) / (n_found + n_real),
    }
    missed = {name: torch.where(n_near == 0, float(farthest_px), error) for name, error in errors.items()}
    return {name: torch.where(n_real == 0, torch.nan, error) for name, error in missed.items()}


def _blurred(z: Tensor, sigma_px: float) -> Tensor:
    """Gaussian to four standard deviations; beyond the border nothing is there, and weights are renormalised."""
    reach = int(4 * sigma_px + 0.5)
    kernel = torch.exp(-0.5 * (torch.arange(-reach, reach + 1).double() / sigma_px).square())
    weights = (kernel / kernel.sum()).tolist()
    sums = [
        _correlated(_correlated(F.pad(values, (reach,) * 4), weights, -2), weights, -1)
        for values in (z, torch.ones_like(z[:1]))
    ]
    return sums[0] / (sums[1] + torch.finfo(z.dtype).eps)


def _correlated(z: Tensor, weights: list[float], axis: int) -> Tensor:
    """Weighted sums of neighbours along one axis, where all are there; torch's float64 convolution takes longer."""
    size = z.shape[axis] - len(weights) + 1
    total = z.narrow(axis, 0, size) * weights[0]
    for k, weight in enumerate(weights[1:], start=1):
        if weight:
            total.add_(z.narrow(axis, k, size), alpha=weight)
    return total


def _on_ridge(strength: Tensor, down: Tensor, right: Tensor) -> Tensor:
    """Whether the gradient is no stronger one pixel up or down the slope, between two of the eight neighbours."""
    h, w = strength.shape[-2:]
    padded = F.pad(strength, (1, 1, 1, 1)).flatten(1)
    here = ((torch.arange(h) + 1)[:, None] * (w + 2) + torch.arange(w) + 1).to(strength.device)
    steep = down.abs() >= right.abs()
    diagonal = down.sign() * (w + 2) + right.sign()
    straight = torch.where(steep, down.sign() * (w + 2), right.sign())
    share = torch.minimum(down.abs(), right.abs()) / torch.maximum(down.abs(), right.abs()).clamp_min(1e-300)
    on_ridge = torch.ones_like(steep)
    for way in (1, -1):
        across, along = (
            padded.gather(1, (here + way * offset.long()).flatten(1)).view(strength.shape)
            for offset in (diagonal, straight)
        )
        on_ridge &= across * share + along * (1 - share) <= strength
    return on_ridge


def _connected(seeds: Tensor, within: Tensor) -> Tensor:
    """The pixels of ``within`` that hang together with a seed by eight neighbours."""
    reached = seeds
    while True:
        grown = reached
        for axis in (-2, -1):
            size, before = grown.shape[axis] - 1, grown
            grown = before.clone()
            grown.narrow(axis, 1, size).logical_or_(before.narrow(axis, 0, size))
            grown.narrow(axis, 0, size).logical_or_(before.narrow(axis, 1, size))
        grown &= within
        if torch.equal(grown, reached):
            return reached
        reached = grown
