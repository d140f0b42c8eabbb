"""One training example, and how a depth map becomes what the network is asked for.

Knows no files. Paper: Marigold (arXiv 2312.02145), section 3.2, the affine-invariant normalisation.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from latentdepth.core.types import Quantity


@dataclass(frozen=True)
class Sample:
    """A photo with its planar depth.

    ``depth_m`` is +inf where there is sky (a valid answer: infinitely far) and meaningless where not ``valid``.
    """

    image: Float[Tensor, "3 h w"]
    depth_m: Float[Tensor, "1 h w"]
    valid: Bool[Tensor, "1 h w"]
    group: str = ""
    """The scene: samples of one group never stand on both sides of a split."""


def normalised(sample: Sample, quantity: Quantity, *, tails: float = 0.02) -> Float[Tensor, "1 h w"]:
    """The sample's truth as ``quantity``, its 2 % and 98 % quantiles over valid pixels at -1 and +1, clipped.

    Depth and log depth take sky as the far end, disparity as zero. Invalid pixels become 0, the middle, because the
    autoencoder smears them into their neighbours and the middle harms least. Raises ValueError when fewer than ten
    pixels are valid or all values are equal.
    """
    depth = sample.depth_m.double()
    if quantity is Quantity.DISPARITY:
        value = torch.where(depth.isinf(), torch.zeros_like(depth), 1 / depth)
    elif quantity is Quantity.DEPTH:
        value = depth
    elif quantity is Quantity.LOG_DEPTH:
        value = depth.log()
    else:
        raise ValueError(f"a depth map can't be turned into {quantity.value}; allowed are depth, disparity, log_depth")
    measured = value[sample.valid & value.isfinite()]
    if measured.numel() < 10:
        raise ValueError(f"only {measured.numel()} pixels of this sample are valid; at least 10 are needed")
    low, high = torch.quantile(
        measured[:: max(1, measured.numel() // 100_000)], torch.tensor([tails, 1 - tails]).double()
    )
    if high <= low:
        raise ValueError(f"all valid {quantity.value} values of this sample are equal ({float(low):.4g})")
    scaled = ((value - low) / (high - low) * 2 - 1).clamp(-1, 1)
    return torch.where(sample.valid, scaled, torch.zeros_like(scaled)).float()
