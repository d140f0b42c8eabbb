"""Contact sheets: photographs above their inverse depth in colours, to see at a glance what a set holds."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from jaxtyping import UInt8
from PIL import Image
from torch.nn import functional as F

from latentdepth.core.colours import depth_colours
from latentdepth.core.types import Invariance, Kind, Quantity
from latentdepth.data.sample import Sample

_DISPARITY = Kind(Quantity.DISPARITY, Invariance.SCALE)
_GAP_PX = 4
_WHITE = 255


def strip(samples: Sequence[Sample], *, width_px: int = 160) -> UInt8[np.ndarray, "h w 3"]:
    """Samples side by side, each ``width_px`` wide: the photo, and its inverse depth below (near is red, sky blue).

    Invalid pixels are black.
    """
    columns = []
    for sample in samples:
        height_px = max(1, round(sample.image.shape[-2] * width_px / sample.image.shape[-1]))
        photo = F.interpolate(sample.image[None], (height_px, width_px), mode="bilinear", antialias=True)
        disparity = torch.where(sample.valid, 1 / sample.depth_m, torch.nan)[None]
        disparity = F.interpolate(disparity, (height_px, width_px), mode="nearest-exact")
        both = torch.cat((photo.clamp(0, 1), depth_colours(disparity, _DISPARITY)), dim=2)
        columns.append((both[0] * 255).round().byte().permute(1, 2, 0).numpy())
    return _joined(columns, axis=1)


def _joined(pictures: Sequence[np.ndarray], axis: int) -> np.ndarray:
    """In a row (axis 1) or a column (axis 0), smaller ones padded with white."""
    side = max(p.shape[1 - axis] for p in pictures)
    padded = []
    for picture in pictures:
        widths = [(0, 0), (0, 0), (0, 0)]
        widths[1 - axis] = (0, side - picture.shape[1 - axis])
        widths[axis] = (0, _GAP_PX)
        padded.append(np.pad(picture, widths, constant_values=_WHITE))
    return np.concatenate(padded, axis)


def write_sheet(strips: Sequence[Path], path: Path, *, most: int = 16) -> Path:
    """Stack strips (pictures on disk), at most ``most`` of them evenly spread over the list, into one JPEG.

    ValueError when there are none.
    """
    if not strips:
        raise ValueError(f"{path}: there is no strip to put on the sheet")
    picked = [strips[round(k)] for k in np.linspace(0, len(strips) - 1, min(most, len(strips)))]
    sheet = _joined([np.asarray(Image.open(p).convert("RGB")) for p in picked], axis=0)
    part = path.with_name(path.name + ".part")
    Image.fromarray(sheet).save(part, "JPEG", quality=88)
    part.replace(path)
    return path
