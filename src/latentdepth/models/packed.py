"""Weights as eight-bit integers with one scale for each output channel: a quarter of float32's size on disk.

A safetensors file has ``NAME`` (int8) and ``NAME.scale`` (float32, the same number of axes, one entry along the first
axis for each channel) for every tensor so packed; the rest stays as it is. Storage only: the network computes with the
floats that come out again, so nothing but the rounding differs.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

SCALE = ".scale"
_LEAST = 4096  # values; smaller tensors are too few to matter


def packed(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """``weights`` with its large matrices and kernels as integers of -127 to 127.

    Norms, biases and whatever has one entry along its first axis (a learnt token, a grid of positions) stay as they
    are. The largest relative error of a channel's largest weight is 1/254.
    """
    small: dict[str, Tensor] = {}
    for name, tensor in weights.items():
        if tensor.ndim not in (2, 4) or tensor.shape[0] == 1 or tensor.numel() < _LEAST:
            small[name] = tensor
            continue
        whole = tensor.float()
        scale = whole.abs().amax(tuple(range(1, whole.ndim)), keepdim=True) / 127
        scale = torch.where(scale > 0, scale, torch.ones_like(scale))
        small[name] = (whole / scale).round().to(torch.int8)
        small[name + SCALE] = scale
    return small


def unpacked(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The floats again (float32), of weights packed or not. ValueError for integers with missing or misfit scales."""
    whole = [name for name, tensor in weights.items() if tensor.dtype == torch.int8]
    for name in whole:
        scale, axes = weights.get(name + SCALE), weights[name].ndim
        if scale is None or scale.shape != (len(weights[name]), *[1] * (axes - 1)):
            found = "missing" if scale is None else f"of shape {tuple(scale.shape)}"
            raise ValueError(f"{name} is packed as int8 and its scales ({name}{SCALE}) are {found}")
    floats = {name: weights[name].float() * weights[name + SCALE].float() for name in whole}
    scales = {name + SCALE for name in whole}
    return {name: floats.get(name, tensor) for name, tensor in weights.items() if name not in scales}
