"""Blur of a camera that moved or wasn't focused, as the published normals models were trained with.

Photos only: where a pixel's depth is asked for doesn't move with the blur. Knows no randomness.
"""

from __future__ import annotations

import math
from typing import Literal, TypeAlias

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

Aperture: TypeAlias = Literal["gaussian", "disc"]


def motion_kernel(length_px: int, angle_deg: float) -> Float[Tensor, "k k"]:
    """Weights of a straight, even movement over ``length_px`` (odd) pixels; sum 1, centre of mass in the middle.

    The angle is counted from x towards y (down). Raises ValueError for an even or non-positive length.
    """
    if length_px < 1 or length_px % 2 == 0:
        raise ValueError(f"length of motion blur is {length_px} pixels; allowed are odd numbers from 1")
    reach = (length_px - 1) / 2
    along = torch.linspace(-reach, reach, 16 * length_px + 1)
    angle = math.radians(angle_deg)
    centres = torch.arange(length_px) - reach
    # each point of the path is shared between its four neighbours, so that any angle is equally long
    weight_x = (1 - (centres[:, None] - along * math.cos(angle)).abs()).clamp(min=0)
    weight_y = (1 - (centres[:, None] - along * math.sin(angle)).abs()).clamp(min=0)
    kernel = weight_y @ weight_x.T
    return kernel / kernel.sum()


def disc_kernel(radius_px: float) -> Float[Tensor, "k k"]:
    """An evenly lit disc, each pixel by its covered share; sum 1."""
    if radius_px < 0:
        raise ValueError(f"radius of a blur disc is {radius_px} pixels; allowed is 0 or more")
    reach, fine = math.ceil(radius_px), 8
    offsets = (torch.arange((2 * reach + 1) * fine) + 0.5) / fine - reach - 0.5
    inside = (offsets[:, None] ** 2 + offsets**2 <= max(radius_px, 0.5) ** 2).float()
    covered = F.avg_pool2d(inside[None, None], fine)[0, 0]
    return covered / covered.sum()


def motion_blur(image: Float[Tensor, "3 h w"], *, length_px: int, angle_deg: float) -> Float[Tensor, "3 h w"]:
    """The camera moved evenly while the shutter was open."""
    return _convolved(image, motion_kernel(length_px, angle_deg))


def defocus_blur(
    image: Float[Tensor, "3 h w"], *, sigma_px: float, aperture: Aperture = "gaussian"
) -> Float[Tensor, "3 h w"]:
    """Out of focus everywhere alike. A disc of radius 2 sigma spreads light as widely as a Gaussian of ``sigma_px``."""
    if sigma_px < 0:
        raise ValueError(f"sigma of a defocus blur is {sigma_px} pixels; allowed is 0 or more")
    if sigma_px == 0:
        return image
    if aperture == "disc":
        return _convolved(image, disc_kernel(2 * sigma_px))
    reach = math.ceil(4 * sigma_px)  # the published kernel of 33 pixels for the largest sigma, 4
    line = torch.exp(-0.5 * ((torch.arange(2 * reach + 1) - reach) / sigma_px) ** 2)
    line = line / line.sum()
    return _convolved(_convolved(image, line[None, :]), line[:, None])


def _convolved(image: Float[Tensor, "3 h w"], kernel: Float[Tensor, "kh kw"]) -> Float[Tensor, "3 h w"]:
    """Borders repeat the outermost pixel: black ones would darken the edge, mirrored ones need large pictures."""
    reach_y, reach_x = kernel.shape[0] // 2, kernel.shape[1] // 2
    padded = F.pad(image[:, None], (reach_x, reach_x, reach_y, reach_y), mode="replicate")
    return F.conv2d(padded, kernel.to(image)[None, None])[:, 0]
