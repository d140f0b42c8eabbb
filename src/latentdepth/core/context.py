"""How fine an image may be looked at before its parts lack context, and where it holds detail.

The search is that of BoostingMonocularDepth (arXiv 2105.14021, section 4): at the resolution R_x, a share x of the
pixels lies farther from every contour of the image than the network can see. Knows neither networks nor their results.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torch.nn import functional as F

from latentdepth.core.complexity import luma
from latentdepth.core.tiles import Window

EDGE_SHARE = 0.4
"""A contour is where the gradient exceeds its least value by this share of its range."""
LACKING = 0.2
"""Share of pixels that may lack context: R_20."""
MOST_SCALE = 3.0
MOST_PX = 3000


def contours(images: Float[Tensor, "n 3 h w"]) -> Bool[Tensor, "n 1 h w"]:
    """Strong edges: Sobel's |gx| + |gy| of the grey image at least at 40 % of its range. None in a flat image."""
    gradient = gradients(images)
    low, high = gradient.amin((1, 2, 3), keepdim=True), gradient.amax((1, 2, 3), keepdim=True)
    return (gradient >= low + EDGE_SHARE * (high - low)) & (high - low > 1e-6)


def gradients(images: Float[Tensor, "n 3 h w"]) -> Float[Tensor, "n 1 h w"]:
    """Sobel's |gx| + |gy| of the grey image, edges repeated outwards."""
    grey = luma(images)
    smooth, slope = grey.new_tensor([1.0, 2.0, 1.0]), grey.new_tensor([-1.0, 0.0, 1.0])
    kernels = torch.stack((smooth[:, None] * slope, slope[:, None] * smooth))[:, None]
    return F.conv2d(F.pad(grey, (1, 1, 1, 1), mode="replicate"), kernels).abs().sum(1, keepdim=True)


def context_resolution(image: Float[Tensor, "1 3 h w"], *, sees_px: int, longer_px: int) -> int:
    """Longer side in pixels at which at most a fifth of the pixels lack context, for a network that sees ``sees_px``.

    ``image`` is the photo at any smaller size, in which contours are looked for; ``longer_px`` is the photo's own
    longer side. Grows from ``sees_px`` by half of it, up to 3 times the photo or 3000 pixels. Raises ValueError for
    sides below 1.
    """
    if min(sees_px, longer_px) < 1:
        raise ValueError(f"the network sees {sees_px} pixels of {longer_px}; allowed is 1 or more for both")
    edges = contours(image).float()
    longer = max(image.shape[-2:])
    limit = min(MOST_PX, int(MOST_SCALE * longer_px))
    found = min(sees_px, limit)
    while found + sees_px // 2 + 1 <= limit:
        larger = found + max(1, sees_px // 2)
        if 1 - float(_grown(edges, math.floor(sees_px / 2 * longer / larger)).mean()) > LACKING:
            break
        found = larger
    return found


def dense_windows(
    windows: Sequence[Window], image: Float[Tensor, "1 3 h w"], uncertainty: Float[Tensor, "1 1 h w"] | None
) -> list[Window]:
    """The windows with at least the image's mean gradient, or, where it is given, its mean uncertainty.

    ``windows`` are in pixels of ``image``'s own size; they may wrap.
    """
    gradient = gradients(image)
    kept = []
    for window in windows:
        enough = float(within(gradient, window).mean()) >= float(gradient.mean())
        if not enough and uncertainty is not None:
            enough = float(within(uncertainty, window).mean()) > float(uncertainty.mean())
        kept += [window] if enough else []
    return kept


def within(value: Float[Tensor, "n c h w"], window: Window) -> Float[Tensor, "n c hw ww"]:
    """The part of a map inside a window, which may wrap."""
    height, width = value.shape[-2:]
    if window.top + window.height <= height and window.left + window.width <= width:
        return value[..., window.top : window.top + window.height, window.left : window.left + window.width]
    rows = torch.arange(window.top, window.top + window.height) % height
    columns = torch.arange(window.left, window.left + window.width) % width
    return value[..., rows[:, None], columns]


def _grown(mask: Float[Tensor, "1 1 h w"], radius: int) -> Float[Tensor, "1 1 h w"]:
    """Dilated by a square; one axis after the other, since a square's maximum separates."""
    radius_y, radius_x = (min(radius, side - 1) for side in mask.shape[-2:])
    wide = F.max_pool2d(mask, (1, 2 * radius_x + 1), 1, (0, radius_x))
    return F.max_pool2d(wide, (2 * radius_y + 1, 1), 1, (radius_y, 0))
