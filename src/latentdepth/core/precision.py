"""Where sums and least squares are done: float64, on the processor where a device has none."""

from __future__ import annotations

import torch
from torch import Tensor


def in_float64(tensor: Tensor) -> Tensor:
    """The tensor in float64; moved to the CPU from Apple's GPUs, which have no float64."""
    return tensor.cpu().double() if tensor.device.type == "mps" else tensor.to(torch.float64)
