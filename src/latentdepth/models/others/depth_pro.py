"""Depth Pro through transformers: canonical inverse depth and a field of view, to metres.

Paper: Depth Pro (arXiv 2410.02073), equation 1. Its processor exists for torchvision only; its few steps are repeated
here in torch: normalise, stretch to a square without antialiasing, and back.
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch.nn import functional as F

from latentdepth.models.others.estimate import Estimate, Request

_NEAREST_M, _FARTHEST_M = 1e-4, 1e4
_PILLOW_BILINEAR = 2


@dataclass(frozen=True)
class Square:
    """The part of ``preprocessor_config.json`` that Depth Pro uses."""

    size: tuple[int, int]
    """(height, width) that the network sees."""
    mean: tuple[float, ...]
    """For each of three channels, as ``spread``."""
    spread: tuple[float, ...]


def read_square(folder: Path) -> Square:
    """From ``preprocessor_config.json``. Raises ValueError where it is missing or asks for something else."""
    path = folder / "preprocessor_config.json"
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        size, mean, spread = found["size"], found["image_mean"], found["image_std"]
        square = Square((int(size["height"]), int(size["width"])), tuple(map(float, mean)), tuple(map(float, spread)))
    except FileNotFoundError:
        raise ValueError(f"{folder} has no preprocessor_config.json, which says how the network sees a photo") from None
    except (json.JSONDecodeError, UnicodeDecodeError, KeyError, TypeError, ValueError) as error:
        raise ValueError(f"{path}: wanted are size.height, size.width, image_mean and image_std: {error!r}") from error
    if len(square.mean) != 3 or len(square.spread) != 3:
        raise ValueError(f"{path}: image_mean is {mean}, image_std is {spread}; wanted are three numbers each")
    if found.get("resample", _PILLOW_BILINEAR) != _PILLOW_BILINEAR:
        raise ValueError(f"{path}: resample is {found['resample']}; allowed is {_PILLOW_BILINEAR}, bilinear")
    return square


def estimate(network: Any, square: Square, request: Request) -> Estimate:
    """Values in metres and the focal length in pixels of the photo.

    Depth = f / (width · C), with C the canonical inverse depth and f the predicted focal length; without the part that
    predicts the field of view, 1 / C. Raises ValueError when a resolution is asked for: the network has one.
    """
    if request.resolution is not None:
        raise ValueError(
            f"resolution is {request.resolution}; Depth Pro always sees {square.size[1]} x {square.size[0]} pixels: "
            "leave it out"
        )
    mean, spread = (torch.tensor(three)[None, :, None, None] for three in (square.mean, square.spread))
    image = F.interpolate((request.image - mean) / spread, square.size, mode="bilinear", align_corners=False)
    seen = network(pixel_values=image.to(network.device, network.dtype))
    inverse = seen.predicted_depth.float().cpu()
    focal_px = None
    if seen.field_of_view is not None:
        width = request.size[1]
        focal_px = 0.5 * width / math.tan(0.5 * math.radians(float(seen.field_of_view[0])))
        inverse = inverse * (width / focal_px)
    if request.match_input:
        inverse = F.interpolate(inverse[None], request.size, mode="bilinear", align_corners=False)[0]
    return Estimate(1 / inverse[0].clamp(1 / _FARTHEST_M, 1 / _NEAREST_M), focal_px)
