"""A modality is a value: what the decoded picture means, how members merge, how the result is resized.

One core for depth, disparity and normals; nothing here knows networks or files.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

from latentdepth.core.ensemble import merge_absolute, merge_affine, merge_normals, merge_scale
from latentdepth.core.types import Invariance, Kind, Quantity

Merge = Callable[[Float[Tensor, "n e c h w"]], tuple[Float[Tensor, "n c h w"], Float[Tensor, "n 1 h w"]]]
Resample = Literal["nearest", "nearest-exact", "bilinear", "bicubic", "area"]


@dataclass(frozen=True)
class Modality:
    """How one kind of dense value passes through an image autoencoder."""

    kind: Kind
    from_decoded: Callable[[Float[Tensor, "n 3 h w"]], Float[Tensor, "n c h w"]]
    """Decoded picture, about [-1, 1], to values."""
    to_latent_image: Callable[[Float[Tensor, "n c h w"]], Float[Tensor, "n 3 h w"]]
    """Values to the picture that the autoencoder encodes; the inverse of ``from_decoded``."""
    merge: Merge
    """Members to one value and its uncertainty."""
    finish: Callable[[Float[Tensor, "n c h w"]], Float[Tensor, "n c h w"]]
    """Restore what resizing breaks: the range of depth, the length of normals."""


def _mean_channel(decoded: Float[Tensor, "n 3 h w"]) -> Float[Tensor, "n 1 h w"]:
    return (decoded.mean(1, keepdim=True).clamp(-1, 1) + 1) / 2


def _grey(value: Float[Tensor, "n 1 h w"]) -> Float[Tensor, "n 3 h w"]:
    return (value * 2 - 1).expand(-1, 3, -1, -1)


def _unit_range(value: Float[Tensor, "n c h w"]) -> Float[Tensor, "n c h w"]:
    return value.clamp(0, 1)


def _unit_length(value: Float[Tensor, "n 3 h w"]) -> Float[Tensor, "n 3 h w"]:
    return value / value.norm(dim=1, keepdim=True).clamp(min=1e-6)


def _decoded_normals(decoded: Float[Tensor, "n 3 h w"]) -> Float[Tensor, "n 3 h w"]:
    return _unit_length(decoded.clamp(-1, 1))


def depth_like(quantity: Quantity, *, scale_invariant: bool = True, shift_invariant: bool = True) -> Modality:
    """Depth or disparity in [0, 1]. The two flags are those of a model folder: what is *not* known."""
    if shift_invariant:
        invariance, merge = Invariance.AFFINE, merge_affine
    elif scale_invariant:
        invariance, merge = Invariance.SCALE, merge_scale
    else:
        # known scale, but of a network that outputs [0, 1]: still relative to its own range, so members merge as
        # they are and the value is called scale-invariant until somebody supplies the metres of that range
        invariance, merge = Invariance.SCALE, merge_absolute
    return Modality(Kind(quantity, invariance), _mean_channel, _grey, merge, _unit_range)


def normals() -> Modality:
    """Unit normals, x right, y up, z towards the viewer."""
    kind = Kind(Quantity.NORMALS, Invariance.METRIC)
    return Modality(kind, _decoded_normals, lambda value: value, merge_normals, _unit_length)


def resize(
    value: Float[Tensor, "n c h w"], size: tuple[int, int], *, mode: Resample = "bilinear", antialias: bool = True
) -> Float[Tensor, "n c hr wr"]:
    """Resize to (height, width). ``antialias`` applies to bilinear and bicubic and matters when shrinking."""
    if tuple(value.shape[-2:]) == tuple(size):
        return value
    return F.interpolate(value, size, mode=mode, antialias=antialias and mode in ("bilinear", "bicubic"))


def fit_size(height: int, width: int, longer: int) -> tuple[int, int]:
    """Size with the longer side ``longer`` (0: unchanged), each side rounded down, as the published pipelines do.

    Raises ValueError when a side would vanish: an image 1 pixel high and 5000 wide has no shape left at 768.
    """
    if longer == 0:
        return height, width
    new = height * longer // max(height, width), width * longer // max(height, width)
    if min(new) < 1:
        raise ValueError(
            f"the image is {width} x {height} pixels; with its longer side at {longer} the other would vanish. "
            "Crop it, or give resolution 0 to keep its own size"
        )
    return new


def pad(images: Float[Tensor, "n c h w"], stride: int) -> Float[Tensor, "n c hp wp"]:
    """Repeat the right and bottom edge until both sides are multiples of ``stride``."""
    h, w = images.shape[-2:]
    return F.pad(images, (0, -w % stride, 0, -h % stride), mode="replicate")


def to_float(images: Tensor) -> Float[Tensor, "n 3 h w"]:
    """Checked network input: finite float images in [0, 1], grey repeated to three channels."""
    if images.ndim != 4 or images.shape[1] not in (1, 3):
        raise ValueError(f"images have shape {tuple(images.shape)}; allowed is (n, 3, h, w) or (n, 1, h, w)")
    if not images.is_floating_point():
        raise ValueError(f"images are {images.dtype}; allowed is float in [0, 1] (latentdepth.read scales integers)")
    images = images.float()
    if not bool(torch.isfinite(images).all()):
        raise ValueError("images hold NaN or infinity; replace those pixels first (torch.nan_to_num)")
    low, high = float(images.min()), float(images.max())
    if low < -1e-6 or high > 1 + 1e-6:
        raise ValueError(f"images range from {low:.4g} to {high:.4g}; allowed is 0 to 1")
    return images.expand(-1, 3, -1, -1).clamp(0, 1)
