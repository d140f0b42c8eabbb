"""Pieces of a photo that may be too large for memory: rows, windows, and the whole at a smaller size.

A photo is a float tensor in [0, 1], or an 8-bit array that may be mapped from a file. Knows nothing of networks.
"""

from __future__ import annotations

from typing import TypeAlias

import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from latentdepth.core.context import within
from latentdepth.core.modality import resize
from latentdepth.core.tiles import Window

Pixels: TypeAlias = Float[Tensor, "1 3 h w"] | UInt8[np.ndarray, "h w 3"]
_STRIP = 256  # rows


def shrink(image: Pixels, size: tuple[int, int]) -> Float[Tensor, "1 3 hr wr"]:
    """The photo at another size, antialiased, in [0, 1]; reads a strip of rows at a time.

    The filter separates, so rows can be narrowed strip by strip before columns are shortened.
    """
    height, _ = size_of(image)
    strips = []
    for top in range(0, height, _STRIP):
        strip = _rows(image, top, min(top + _STRIP, height))
        strips.append(resize(strip, (strip.shape[-2], size[1])))
    return resize(torch.cat(strips, -2), size).clamp(0, 1)


def size_of(image: Pixels) -> tuple[int, int]:
    return (image.shape[0], image.shape[1]) if isinstance(image, np.ndarray) else (image.shape[-2], image.shape[-1])


def _rows(image: Pixels, first: int, last: int) -> Float[Tensor, "1 3 hr w"]:
    if isinstance(image, np.ndarray):
        return torch.from_numpy(np.array(image[first:last])).permute(2, 0, 1)[None].float() / 255
    return image[..., first:last, :].float()


def crop(image: Pixels, window: Window) -> Float[Tensor, "1 3 hw ww"]:
    if isinstance(image, np.ndarray):
        rows = np.arange(window.top, window.top + window.height) % image.shape[0]
        columns = np.arange(window.left, window.left + window.width) % image.shape[1]
        part = image[rows[:, None], columns]
        return torch.from_numpy(np.ascontiguousarray(part)).permute(2, 0, 1)[None].float() / 255
    return within(image, window).float().contiguous()


def longer_side(height: int, width: int, longer: int) -> tuple[int, int]:
    """Like ``fit_size``, but a side never vanishes: a photo one pixel high stays so."""
    new = [max(1, round(side * longer / max(height, width))) for side in (height, width)]
    return new[0], new[1]
