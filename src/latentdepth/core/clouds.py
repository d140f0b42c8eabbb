"""How far a predicted point cloud is from the true one: distances in space, which see bent walls that ratios forgive.

Chamfer distance, its two halves (accuracy and completeness), and the F-score at a distance (Knapitsch et al., 2017).
Depth becomes points through the pinhole camera; nothing is fitted here.
"""

from __future__ import annotations

from typing import Literal

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from latentdepth.core.geometry import rays
from latentdepth.core.precision import in_float64
from latentdepth.core.types import Camera

POINTS = 20_000
"""Points a cloud that distances are taken between; a share of that many is known to 0.0035."""
_QUERIES = 256


def cloud_metrics(
    prediction_m: Float[Tensor, "1 1 h w"],
    truth_m: Float[Tensor, "1 1 h w"],
    valid: Bool[Tensor, "1 1 h w"],
    camera: Camera,
    *,
    predicted_camera: Camera | None = None,
    threshold: float = 0.05,
    threshold_is: Literal["metres", "share of range"] = "metres",
    points: int = POINTS,
) -> dict[str, float]:
    """Distances between the clouds of one image's aligned and true depth, in metres and shares.

    - ``cloud_accuracy_m``: mean distance from predicted points to the nearest true one;
    - ``cloud_completeness_m``: mean distance from true points to the nearest predicted one;
    - ``chamfer_m``: the mean of the two;
    - ``cloud_precision``, ``cloud_recall``: shares of predicted, true points nearer than ``threshold``;
    - ``f_score``: their harmonic mean, 0 where both are 0.

    ``threshold`` is 5 cm, or that share of the farthest valid truth. A pixel counts where ``valid`` is true and the
    truth is finite and positive; both clouds are made of the same pixels, at most ``points`` of them, evenly spaced in
    the order of rows. The fewer the points, the larger the distances between two unequal clouds, so figures compare at
    one number of points alone. ``predicted_camera`` None: the true one. Every figure is NaN where no pixel counts or a
    prediction that counts is not finite. ValueError for sizes that differ, and limits that are not positive.
    """
    if not threshold > 0 or points < 1:
        raise ValueError(f"threshold is {threshold:g} and points {points}; allowed is more than 0 and 1 or more")
    if threshold_is not in ("metres", "share of range"):
        raise ValueError(f'threshold_is is {threshold_is!r}; allowed are "metres" and "share of range"')
    if not prediction_m.shape == truth_m.shape == valid.shape:
        raise ValueError(
            f"prediction, truth and valid are {tuple(prediction_m.shape)}, {tuple(truth_m.shape)} and "
            f"{tuple(valid.shape)}; allowed is one size: resize the prediction to the truth"
        )
    counts = (valid.to(truth_m.device) & truth_m.isfinite() & (truth_m > 0)).flatten()
    chosen = evenly_spaced(counts.nonzero()[:, 0], points)
    clouds = [
        _points_at(depth, seen_by, chosen)
        for depth, seen_by in ((prediction_m, predicted_camera or camera), (truth_m, camera))
    ]
    predicted, true = clouds[0].to(clouds[1].device), clouds[1]
    names = ("cloud_accuracy_m", "cloud_completeness_m", "chamfer_m", "cloud_precision", "cloud_recall", "f_score")
    if len(true) == 0 or not bool(predicted.isfinite().all()):
        return dict.fromkeys(names, float("nan"))
    if threshold_is == "share of range":
        threshold = threshold * float(truth_m.flatten()[counts].max())
    to_true, to_predicted = nearest_distances(predicted, true), nearest_distances(true, predicted)
    accuracy, completeness = float(to_true.mean()), float(to_predicted.mean())
    precision, recall = (float((distance < threshold).double().mean()) for distance in (to_true, to_predicted))
    f_score = 2 * precision * recall / (precision + recall) if precision + recall else 0.0
    figures = (accuracy, completeness, (accuracy + completeness) / 2, precision, recall, f_score)
    return dict(zip(names, figures, strict=True))


def _points_at(depth: Tensor, camera: Camera, pixels: Tensor) -> Tensor:
    """Points [p 3] of the chosen pixels of one map, float64; the rest of a large map is not unprojected."""
    directions = rays(camera)
    if directions.shape[-2:] != depth.shape[-2:]:
        raise ValueError(
            f"depth is {depth.shape[-1]} x {depth.shape[-2]}, the camera {camera.width_px} x {camera.height_px}; "
            "use camera.resized(width, height)"
        )
    pixels = pixels.to(depth.device)
    chosen = in_float64(depth.flatten()[pixels])
    return in_float64(directions.flatten(2)[0].T[pixels.cpu()]).to(chosen.device) * chosen[:, None]


def evenly_spaced(values: Tensor, most: int) -> Tensor:
    """At most ``most`` of the values, evenly spaced, the same ones every time."""
    if len(values) <= most:
        return values
    return values[torch.arange(most, device=values.device) * len(values) // most]


def nearest_distances(
    points: Float[Tensor, "p 3"], others: Float[Tensor, "q 3"], *, queries: int = _QUERIES
) -> Float[Tensor, " p"]:
    """Distance of each point to the nearest of the others, exact, float64. ValueError without others.

    Both are sorted along the axis of the others' greatest spread. Points go in runs of ``queries``: the neighbour in
    the order bounds each one's distance, and only others within the bounds of the run are looked at.
    """
    if len(others) == 0:
        raise ValueError("there are no other points to be near to")
    points, others = in_float64(points), in_float64(others).to(in_float64(points).device)
    axis = int((others.amax(0) - others.amin(0)).argmax())
    others = others[others[:, axis].argsort()]
    order, line = points[:, axis].argsort(), others[:, axis].contiguous()
    distances = torch.empty_like(points[:, 0])
    for run in order.split(queries):
        here = points[run]
        bound = _rough(here, others, line, axis).max()
        first = int(torch.searchsorted(line, here[0, axis] - bound))
        last = int(torch.searchsorted(line, here[-1, axis] + bound, right=True))
        near = others[first : max(last, first + 1)]
        # By differences, not by a matrix product: equal points must be at distance 0.
        distances[run] = torch.cdist(here, near, compute_mode="donot_use_mm_for_euclid_dist").amin(1)
    return distances


def _rough(here: Tensor, others: Tensor, line: Tensor, axis: int) -> Tensor:
    """An upper bound of each point's distance: to the nearest of 32 others about its place in the order."""
    place = torch.searchsorted(line, here[:, axis].contiguous())
    index = (place[:, None] + torch.arange(-16, 16, device=place.device)).clamp(0, len(line) - 1)
    return (others[index] - here[:, None]).norm(dim=2).amin(1)
