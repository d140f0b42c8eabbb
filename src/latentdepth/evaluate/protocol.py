"""Protocols as data: how a prediction is fitted to the truth before figures are taken.

Alignment moves figures as much as models do, so a figure without its protocol says nothing, and figures of two
protocols never stand in one column. Which pixels count (range, mask, crop) belongs to the benchmark, not to the
protocol. Knows neither files nor networks; ``score`` carries the rules out.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from latentdepth.core.types import Invariance, Kind, Quantity
from latentdepth.data.benchmarks.benchmark import Truth

FitName = Literal[
    "affine_as_declared", "affine_in_disparity", "ransac_in_log_depth", "median_scale", "least_squares_scale",
    "affine_l1", "none",
]  # fmt: skip


@dataclass(frozen=True)
class Rule:
    """One protocol."""

    key: str
    """The word behind ``--protocol``."""
    title: str
    """As a table's head."""
    fit: FitName
    clip: bool
    """Aligned depth is clipped to the benchmark's range before figures are taken."""
    floor: float | None
    """Least disparity (1/m) of a fit in disparity; None: 1 / the farthest valid truth of the image."""
    source: str
    """Where the protocol is from."""
    applies: str
    """What it can be applied to, and how."""


_RULES = (
    Rule(
        key="marigold",
        title="least squares, scale and shift",
        fit="affine_as_declared",
        clip=True,
        floor=1e-3,
        source="Marigold (arXiv 2312.02145, section 4.1, and its code); MiDaS's (arXiv 1907.01341) for disparity",
        applies="relative and metric predictions, each in the space it declares: depth in depth, log depth in log "
        "depth; disparity in disparity, kept at 1e-3 / m or more and inverted",
    ),
    Rule(
        key="disparity",
        title="least squares in disparity, clamped",
        fit="affine_in_disparity",
        clip=True,
        floor=None,
        source="MiDaS (arXiv 1907.01341), with the clamp at the farthest truth of Depth Anything's and MoGe's code",
        applies="disparity; scale-invariant and metric depth after 1/x. Affine-invariant depth has no disparity",
    ),
    Rule(
        key="log-ransac",
        title="RANSAC in log depth",
        fit="ransac_in_log_depth",
        clip=True,
        floor=None,
        source="Pixel-Perfect Depth, and Marigold V2 (arXiv 2609.08084); that a pixel agrees within 5 % is our choice",
        applies="log depth; scale-invariant and metric depth or disparity through their logarithm. Affine-invariant "
        "depth and disparity have no logarithm",
    ),
    Rule(
        key="median",
        title="median scaling",
        fit="median_scale",
        clip=True,
        floor=None,
        source="SfMLearner (arXiv 1704.07813) and self-supervised depth since: median(truth) / median(prediction)",
        applies="scale-invariant and metric predictions, in the space they declare",
    ),
    Rule(
        key="scale",
        title="least squares, scale only",
        fit="least_squares_scale",
        clip=True,
        floor=None,
        source="Eigen et al. (arXiv 1406.2283) ask for scale invariance; the least-squares scale is the plain answer",
        applies="scale-invariant and metric predictions, in the space they declare",
    ),
    Rule(
        key="metric",
        title="no alignment",
        fit="none",
        clip=True,
        floor=None,
        source="Eigen et al. (arXiv 1406.2283); zero-shot as in ZoeDepth (arXiv 2302.12288)",
        applies="metric predictions on truth in metres",
    ),
    Rule(
        key="moge",
        title="robust L1, scale and shift",
        fit="affine_l1",
        clip=False,
        floor=None,
        source="MoGe (arXiv 2410.19115): scale and shift of least |error| / truth, found exactly; no clipping",
        applies="depth; scale-invariant and metric disparity after 1/x. MoGe fits affine-invariant disparity by the "
        "protocol `disparity`",
    ),
    Rule(
        key="ordinal",
        title="point pairs, no fit",
        fit="none",
        clip=False,
        floor=None,
        source="DA-2K (arXiv 2406.09414); WHDR as in Chen et al. (arXiv 1604.03901)",
        applies="depth, log depth and disparity of any kind, on benchmarks of point pairs",
    ),
    Rule(
        key="normals",
        title="angles, no fit",
        fit="none",
        clip=False,
        floor=None,
        source="Fouhey et al. (2013); angles per image, then their mean over images, as Marigold's code does",
        applies="normals, on benchmarks with normals",
    ),
)
PROTOCOLS: Mapping[str, Rule] = {rule.key: rule for rule in _RULES}


def protocol(key: str) -> Rule:
    """The rule of that name. ValueError names those there are."""
    if key not in PROTOCOLS:
        raise ValueError(f"protocol is {key!r}; allowed are {', '.join(PROTOCOLS)}")
    return PROTOCOLS[key]


def default_rule(truth: Truth, kind: Kind) -> Rule:
    """The rule a benchmark's truth and a prediction's kind ask for, where the user names none.

    Metric depth in metres is taken as it is; all else that is depth goes by Marigold's protocol.
    """
    if truth == "point_pairs":
        return PROTOCOLS["ordinal"]
    if truth == "normals" or kind.quantity is Quantity.NORMALS:
        return PROTOCOLS["normals"]
    metric = kind.invariance is Invariance.METRIC and truth == "depth"
    return PROTOCOLS["metric" if metric else "marigold"]


def refusal(rule: Rule, kind: Kind, truth: Truth) -> str | None:
    """Why the rule can't be applied to such a prediction on such truth, in one line; None where it can."""
    if kind.quantity is Quantity.NORMALS and truth != "normals":
        return f"the prediction is {kind} and the truth is {truth.replace('_', ' ')}: nothing to compare"
    if truth == "normals" and (kind.quantity is not Quantity.NORMALS or rule.key != "normals"):
        return f"the truth is normals: only protocol normals and predicted normals apply, not {rule.key} and {kind}"
    if (truth == "point_pairs") != (rule.key == "ordinal") or (truth != "normals" and rule.key == "normals"):
        return f"protocol {rule.key} doesn't apply to truth of the form {truth.replace('_', ' ')}"
    if rule.key == "metric" and kind.invariance is not Invariance.METRIC:
        return f"the prediction is {kind}, not in metres; protocol metric allows metric predictions alone"
    if rule.key == "metric" and truth != "depth":
        return "the truth is known up to scale, so there are no metres to compare; take protocol median or scale"
    if _knows_zero(kind):
        return None
    if rule.fit in ("median_scale", "least_squares_scale"):
        return f"the prediction is {kind}: its zero is unknown, so a scale alone can't align it; take protocol marigold"
    if rule.fit == "affine_in_disparity" and kind.quantity is not Quantity.DISPARITY:
        return f"the prediction is {kind}: without its shift it has no inverse, so no disparity; take protocol marigold"
    if rule.fit == "ransac_in_log_depth" and kind.quantity is not Quantity.LOG_DEPTH:
        return f"the prediction is {kind}: without its zero it has no logarithm; take protocol marigold"
    if rule.fit == "affine_l1" and kind.quantity is not Quantity.DEPTH:
        return f"the prediction is {kind}: MoGe fits depth by this rule; take protocol disparity or marigold"
    return None


def _knows_zero(kind: Kind) -> bool:
    """Whether depth is known up to a factor. Log depth up to a factor of the logarithm is not."""
    if kind.quantity is Quantity.LOG_DEPTH:
        return kind.invariance is Invariance.METRIC
    return kind.invariance is not Invariance.AFFINE
