"""Weights as eight-bit integers with one scale for each output channel: a quarter of float32's size on disk.

A safetensors file has ``NAME`` (int8) and ``NAME.scale`` (float32, as many axes, one entry for each channel along the
first axis that is longer than 1) for every tensor so packed; the rest stays as it is. Storage only: the network
computes with the floats that come out again, so nothing but the rounding differs.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

SCALE = ".scale"
_LEAST = 4096  # values; smaller tensors are too few to matter


def packed(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """``weights`` with its large matrices and kernels as integers of -127 to 127.

    Norms, biases and small tensors stay as they are. The largest error is 1/254 of a channel's largest weight.
    """
    small: dict[str, Tensor] = {}
    for name, tensor in weights.items():
        if tensor.ndim < 2 or tensor.numel() < _LEAST:
            small[name] = tensor
            continue
        whole = tensor.float()
        others = [axis for axis in range(whole.ndim) if axis != _channels(whole)]
        scale = whole.abs().amax(others, keepdim=True) / 127
        scale = torch.where(scale > 0, scale, torch.ones_like(scale))
        small[name] = (whole / scale).round().to(torch.int8)
        small[name + SCALE] = scale
    return small


def _channels(tensor: Tensor) -> int:
    """The axis whose entries have scales of their own."""
    return next((axis for axis, n in enumerate(tensor.shape) if n > 1), 0)


def unpacked(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The floats again (float32), of weights packed or not. ValueError for integers with missing or misfit scales."""
    whole = [name for name, tensor in weights.items() if tensor.dtype == torch.int8]
    for name in whole:
        scale, one = weights.get(name + SCALE), weights[name]
        wanted = [n if axis == _channels(one) else 1 for axis, n in enumerate(one.shape)]
        if scale is None or list(scale.shape) != wanted:
            found = "missing" if scale is None else f"of shape {tuple(scale.shape)}"
            raise ValueError(f"{name} is packed as int8 and its scales ({name}{SCALE}) are {found}")
    floats = {name: weights[name].float() * weights[name + SCALE].float() for name in whole}
    scales = {name + SCALE for name in whole}
    return {name: floats.get(name, tensor) for name, tensor in weights.items() if name not in scales}
