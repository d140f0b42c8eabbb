"""What somebody else's network outputs, from the words of its own folder: quantity times invariance.

Reads JSON, never weights, and decides nothing by looking at values: a network that is not known and does not say what
it outputs is refused, because every protocol of evaluation depends on the answer. Knows no network code.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jaxtyping import Float
from torch import Tensor

from latentdepth.config import read_json
from latentdepth.core.ensemble import merge_absolute
from latentdepth.core.modality import Modality, depth_like, normals
from latentdepth.core.types import AFFINE_DISPARITY, METRIC_DEPTH, Invariance, Kind, Quantity
from latentdepth.models.facts import OWN_FILE

SUPPORTED = {
    "DPTForDepthEstimation": "DPT and MiDaS: affine-invariant disparity; with a DINOv2 head (add_projection): metric",
    "DepthAnythingForDepthEstimation": "Depth Anything V1 and V2: relative (affine-invariant disparity) or metric",
    "ZoeDepthForDepthEstimation": "ZoeDepth: metric depth",
    "DepthProForDepthEstimation": "Depth Pro: metric depth and the field of view",
    "GLPNForDepthEstimation": "GLPN: metric depth",
}
"""Architectures whose output is known, with what it is."""
PROMPTED = "PromptDepthAnythingForDepthEstimation"


@dataclass(frozen=True)
class Statement:
    """``latentdepth.json`` beside a ``config.json``: what the network outputs, in a person's words."""

    quantity: Quantity
    invariance: Invariance


def read_config(folder: Path) -> dict[str, Any]:
    """``config.json`` of a transformers folder. Raises ValueError when it is missing or not a JSON table."""
    path = folder / "config.json"
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ValueError(f"{folder} has no config.json; wanted is a folder that transformers wrote") from None
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise ValueError(f"{path}: not JSON: {error}") from error
    if not isinstance(config, dict):
        raise ValueError(f"{path} holds {type(config).__name__}; wanted is a table")
    return config


def architecture(folder: Path, config: Mapping[str, Any]) -> str:
    """Name of the network class that ``config`` asks for. Raises ValueError where it says none."""
    named = config.get("architectures")
    if isinstance(named, list) and len(named) == 1 and isinstance(named[0], str):
        return named[0]
    raise ValueError(
        f"{folder}/config.json: architectures is {named!r}; wanted is a list with the one class of the network, "
        f"of {supported()}"
    )


def output_kind(folder: Path, config: Mapping[str, Any], name: str) -> Kind:
    """What the network class ``name`` of ``folder`` outputs.

    In this order: the folder's own ``latentdepth.json``, what is published about the class, and
    ``depth_estimation_type`` in ``config.json``. Raises ValueError, listing what is supported, where none of them says.
    """
    stated = folder / OWN_FILE
    if name == PROMPTED:
        raise ValueError(f"{folder}: {name} needs measured depth as a prompt, which a photo alone does not give")
    if stated.exists():
        statement = read_json(Statement, stated)
        if statement.quantity is Quantity.NORMALS:
            raise ValueError(f"{stated}: quantity is normals; {name} gives one value a pixel")
        return Kind(statement.quantity, statement.invariance)
    if name == "DPTForDepthEstimation":
        # The DINOv2 heads on DPT were trained on metres, and only they project before the head.
        return METRIC_DEPTH if config.get("add_projection") else AFFINE_DISPARITY
    if name in SUPPORTED and name != "DepthAnythingForDepthEstimation":
        return METRIC_DEPTH
    by_config = {"relative": AFFINE_DISPARITY, "metric": METRIC_DEPTH}
    # the configuration of Depth Anything V1 was published before the key existed, and is relative
    said = config.get("depth_estimation_type", "relative" if name in SUPPORTED else None)
    if said in by_config:
        return by_config[said]
    raise ValueError(
        f"{folder}: what {name} outputs is not known. Supported are {supported()}; for another class of "
        f"AutoModelForDepthEstimation put a file {OWN_FILE} into the folder, such as "
        '{"quantity": "depth", "invariance": "metric"} (quantity: depth, disparity or log_depth; invariance: '
        "affine, scale or metric)"
    )


def modality_of(kind: Kind) -> Modality:
    """How values of ``kind`` merge and are resized."""
    if kind.quantity is Quantity.NORMALS:
        return normals()
    if kind.invariance is Invariance.METRIC:
        return Modality(kind, _grey_to_value, _value_to_grey, merge_absolute, _as_it_is)
    return depth_like(kind.quantity, shift_invariant=kind.invariance is Invariance.AFFINE)


def _grey_to_value(picture: Float[Tensor, "n 3 h w"]) -> Float[Tensor, "n 1 h w"]:
    return picture.mean(1, keepdim=True)


def _value_to_grey(value: Float[Tensor, "n 1 h w"]) -> Float[Tensor, "n 3 h w"]:
    return value.expand(-1, 3, -1, -1)


def _as_it_is(value: Float[Tensor, "n c h w"]) -> Float[Tensor, "n c h w"]:
    return value


def supported() -> str:
    """The supported classes in one line, for messages."""
    return "; ".join(f"{name} ({what})" for name, what in SUPPORTED.items())
