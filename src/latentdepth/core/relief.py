"""From relative values to distances, for pictures and meshes: the caller says where near and far shall be.

An affine-invariant map has no metres; a relief is a choice, and every file made from one says so.
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from latentdepth.core.types import Invariance, Kind, Prediction, Quantity

DEFAULT_RELIEF = (1.0, 4.0)
"""Near and far in arbitrary units: deep enough to look solid, shallow enough not to tear."""
DEFAULT_FOV_DEG = 55.0
"""Field of view that is assumed where no focal length is known: about a 35 mm lens on full frame."""


def check_relief(kind: Kind, near_far: tuple[float, float] | None) -> None:
    """Raise ValueError where ``relief_depth`` can't give distances: before any work is done, if asked before."""
    if kind.quantity is Quantity.NORMALS:
        raise ValueError("normals hold no distances; a mesh or point cloud needs depth or disparity")
    if kind.invariance is Invariance.METRIC:
        return
    if near_far is None:
        raise ValueError(
            f"{kind} has no scale; say where near and far shall be: near_far=({DEFAULT_RELIEF[0]}, "
            f"{DEFAULT_RELIEF[1]}) in Python, --near-far {DEFAULT_RELIEF[0]} {DEFAULT_RELIEF[1]} on the command line"
        )
    near, far = near_far
    if not 0 < near < far < float("inf"):
        raise ValueError(f"near_far is ({near}, {far}); allowed is 0 < near < far")


def relief_depth(prediction: Prediction, near_far: tuple[float, float] | None) -> Float[Tensor, "n 1 h w"]:
    """Planar depth: metric values as they are, relative ones spread between near and far.

    Relative disparity is spread linearly between 1 / far and 1 / near, relative depth between near and far. Raises
    ValueError for normals, for relative values without ``near_far``, and unless 0 < near < far.
    """
    check_relief(prediction.kind, near_far)
    quantity, value = prediction.kind.quantity, prediction.value
    if prediction.kind.invariance is Invariance.METRIC:
        return {
            Quantity.DEPTH: lambda: value,
            Quantity.DISPARITY: lambda: 1 / value.clamp(min=1e-6),
            Quantity.LOG_DEPTH: lambda: value.exp(),
        }[quantity]()
    assert near_far is not None  # checked above
    near, far = near_far
    low = torch.nan_to_num(value).amin(dim=(1, 2, 3), keepdim=True)
    high = torch.nan_to_num(value).amax(dim=(1, 2, 3), keepdim=True)
    share = (value - low) / (high - low).clamp(min=1e-12)
    if quantity is Quantity.DISPARITY:
        return 1 / (1 / far + share * (1 / near - 1 / far))
    if quantity is Quantity.LOG_DEPTH:
        return near * (far / near) ** share
    return near + share * (far - near)
