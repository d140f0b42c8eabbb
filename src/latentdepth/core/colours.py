"""Values to colours for looking at: depth by ColorBrewer's Spectral (near red), normals, uncertainty.

Only for eyes; nothing reads a depth back from these.
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from latentdepth.core.types import Kind, Quantity

# ColorBrewer "Spectral", 11 classes (Cynthia Brewer, Apache-2.0), red to blue
_SPECTRAL = (
    (158, 1, 66),
    (213, 62, 79),
    (244, 109, 67),
    (253, 174, 97),
    (254, 224, 139),
    (255, 255, 191),
    (230, 245, 152),
    (171, 221, 164),
    (102, 194, 165),
    (50, 136, 189),
    (94, 79, 162),
)
_HEAT = ((0, 0, 0), (66, 10, 104), (147, 38, 103), (221, 81, 58), (252, 165, 10), (252, 255, 164))


def _interpolate(value: Float[Tensor, "n 1 h w"], anchors: tuple[tuple[int, int, int], ...]) -> Float[Tensor, "n 3 h w"]:
    table = torch.tensor(anchors, dtype=torch.float32) / 255
    position = value[:, 0].clamp(0, 1) * (len(anchors) - 1)
    low = position.floor().long().clamp(max=len(anchors) - 2)
    share = (position - low)[..., None]
    return (table[low] * (1 - share) + table[low + 1] * share).movedim(-1, 1)


def spectral(value: Float[Tensor, "n 1 h w"]) -> Float[Tensor, "n 3 h w"]:
    """0 red, 1 violet blue. Values outside [0, 1] take the end colours."""
    return _interpolate(value, _SPECTRAL)


def normals_colours(value: Float[Tensor, "n 3 h w"]) -> Float[Tensor, "n 3 h w"]:
    """x, y, z of [-1, 1] to red, green, blue."""
    return (value.clamp(-1, 1) + 1) / 2


def uncertainty_colours(value: Float[Tensor, "n 1 h w"]) -> Float[Tensor, "n 3 h w"]:
    """Black is certain; each image's 95th percentile and all above it are brightest."""
    flat = value.flatten(1)
    top = flat.kthvalue(max(1, int(flat.shape[1] * 0.95)), dim=1).values.clamp(min=1e-6)
    return _interpolate(value / top[:, None, None, None], _HEAT)


def stretched(value: Float[Tensor, "n 1 h w"]) -> Float[Tensor, "n 1 h w"]:
    """Each image's least finite value at 0 and its greatest at 1; all 0 where they are equal."""
    flat = value.flatten(1)
    finite = flat.isfinite()
    low = torch.where(finite, flat, torch.inf).amin(1)[:, None, None, None]
    high = torch.where(finite, flat, -torch.inf).amax(1)[:, None, None, None]
    return torch.nan_to_num((value - low) / (high - low).clamp(min=1e-12), nan=1.0, posinf=1.0, neginf=0.0).clamp(0, 1)


def preview(value: Float[Tensor, "n c h w"], kind: Kind) -> Float[Tensor, "n 3 h w"]:
    """The picture to look at: near is red for depth and disparity alike."""
    if kind.quantity is Quantity.NORMALS:
        return normals_colours(value)
    near_low = stretched(value)
    return spectral(1 - near_low if kind.near_is == "high" else near_low)
