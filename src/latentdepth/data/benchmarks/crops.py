"""The regions in which depth benchmarks are scored, by name: windows in whole pixels, and masks of them.

Knows no files. Eigen et al. (arXiv 1406.2283) for NYUv2 and KITTI, Garg et al. (arXiv 1603.04992), and the window of
the KITTI depth benchmark. The digits of the fractions are the published code's, cut off where that cuts them: on
pictures of 370 rows, Eigen's first row is 122, not 123.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Bool
from torch import Tensor

Crop = Literal["eigen-nyu", "eigen-kitti", "garg-kitti", "kitti-benchmark"]

_NYU_SIZE = (480, 640)
_KITTI_BENCHMARK_SIZE = (352, 1216)
# first and last row, first and last column, as fractions of height and width
_FRACTIONS = {
    "eigen-kitti": (0.3324324, 0.91351351, 0.0359477, 0.96405229),
    "garg-kitti": (0.40810811, 0.99189189, 0.03594771, 0.96405229),
}


@dataclass(frozen=True)
class Window:
    """Rows ``top`` to ``bottom`` and columns ``left`` to ``right`` of a picture, ends excluded."""

    top: int
    bottom: int
    left: int
    right: int


def window(crop: Crop, height: int, width: int) -> Window:
    """Where a crop lies in a picture of ``height`` x ``width``.

    ``eigen-nyu``: rows 45 to 470 and columns 41 to 600, both ends in, of 480 x 640. ``eigen-kitti``, ``garg-kitti``:
    fractions of the picture, rounded down. ``kitti-benchmark``: the bottom 352 rows, the middle 1216 columns.
    Raises ValueError for a size at which the crop isn't defined, and for unknown names.
    """
    if crop == "eigen-nyu":
        if (height, width) != _NYU_SIZE:
            raise ValueError(f"the Eigen crop of NYUv2 is counted in pixels of 640 x 480; this is {width} x {height}")
        return Window(45, 471, 41, 601)
    if crop == "kitti-benchmark":
        rows, columns = _KITTI_BENCHMARK_SIZE
        if height < rows or width < columns:
            raise ValueError(f"{width} x {height} is smaller than the KITTI benchmark's window, {columns} x {rows}")
        left = (width - columns) // 2
        return Window(height - rows, height, left, left + columns)
    if crop not in _FRACTIONS:
        raise ValueError(f"there is no crop {crop!r}; allowed are eigen-nyu, kitti-benchmark, {', '.join(_FRACTIONS)}")
    top, bottom, left, right = _FRACTIONS[crop]
    return Window(int(top * height), int(bottom * height), int(left * width), int(right * width))


def inside(crop: Crop, height: int, width: int) -> Bool[Tensor, "1 h w"]:
    """True within the crop of a picture of ``height`` x ``width``. Raises ValueError as ``window`` does."""
    place = window(crop, height, width)
    mask = torch.zeros(1, height, width, dtype=torch.bool)
    mask[:, place.top : place.bottom, place.left : place.right] = True
    return mask
