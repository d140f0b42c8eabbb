"""How much there is to see in a photo: gradients, edges and histogram entropy, one number per image.

These measure what a photo *looks* like. Whether a picture that looks busy also needs more denoising steps is an
empirical question, which ``evaluate.gain`` answers. Knows neither networks nor files.

Gradients depend on the pixel grid, so they are taken of the luma (Rec. 601) at a longer side of 512 pixels, smoothed by
a Gaussian of sigma 1 against sensor noise; derivatives are Sobel's divided by 8, in grey levels of [0, 1] per pixel.
Pixels whose filters would reach over the border don't count. Entropy ignores layout and is taken of the pixels given.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, fields

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

from latentdepth.core.modality import fit_size, resize

_LONGER_SIDE_PX = 512
_LUMA = (0.299, 0.587, 0.114)
_BLUR_RADIUS_PX = 3
_LEAST_SIDE_PX = 2 * _BLUR_RADIUS_PX + 3  # one pixel is left by a 7-tap blur and a 3-tap derivative
_EDGE_SLOPE = 0.05  # a sharp step of a seventh of the grey range is this steep after the blur
_LEVELS = 256

PerImage = Float[Tensor, " n"]


@dataclass(frozen=True)
class Complexity:
    """Measures of ``n`` images, float64; all are 0 for a picture of one colour and rise with detail."""

    gradient_energy: PerImage
    """Mean of Ix^2 + Iy^2, per squared pixel."""
    mean_gradient: PerImage
    """Mean of sqrt(Ix^2 + Iy^2), per pixel."""
    laplacian_variance: PerImage
    """Variance of the four-neighbour Laplacian: the usual measure of sharpness."""
    edge_density: PerImage
    """Share of pixels steeper than 0.05 per pixel, in [0, 1]: Canny's first threshold, without thinning."""
    entropy_bits: PerImage
    """Entropy of the histogram of luma over 256 levels, in [0, 8]."""

    def named(self) -> dict[str, PerImage]:
        """Measures by name, in the order above."""
        return {field.name: getattr(self, field.name) for field in fields(self)}


def luma(images: Float[Tensor, "n 3 h w"]) -> Float[Tensor, "n 1 h w"]:
    """Rec. 601 luma of sRGB images in [0, 1]: 0.299 R + 0.587 G + 0.114 B."""
    weights = images.new_tensor(_LUMA).view(1, 3, 1, 1)
    return (images * weights).sum(1, keepdim=True)


def complexity(images: Float[Tensor, "n 3 h w"]) -> Complexity:
    """All measures of a batch of images in [0, 1], all of one size; no image depends on the others.

    Raises ValueError for an image so thin that fewer than 9 pixels are left across when its longer side is 512.
    """
    height, width = images.shape[-2:]
    size = fit_size(height, width, _LONGER_SIDE_PX)
    if min(size) < _LEAST_SIDE_PX:
        raise ValueError(
            f"the images are {width} x {height} pixels; at a longer side of {_LONGER_SIDE_PX} the other is "
            f"{min(size)}, and {_LEAST_SIDE_PX} are needed. Crop them"
        )
    grey = luma(images)
    smooth = _blurred(resize(grey, size))
    right, down = _sobel(smooth)
    squared = (right.square() + down.square()).flatten(1).double()
    slope = squared.sqrt()
    return Complexity(
        gradient_energy=squared.mean(1),
        mean_gradient=slope.mean(1),
        laplacian_variance=_laplacian(smooth).flatten(1).double().var(1, unbiased=False),
        edge_density=(slope > _EDGE_SLOPE).double().mean(1),
        entropy_bits=entropy_bits(grey),
    )


def entropy_bits(values: Float[Tensor, "n 1 h w"]) -> PerImage:
    """-sum p log2 p over a histogram of 256 levels of values in [0, 1]; 8-bit values k / 255 each have their own."""
    n = values.shape[0]
    level = (values.flatten(1) * (_LEVELS - 1)).round().long().clamp(0, _LEVELS - 1)
    level = level + _LEVELS * torch.arange(n, device=level.device)[:, None]
    share = torch.bincount(level.flatten(), minlength=n * _LEVELS).view(n, _LEVELS).double()
    share = share / share.sum(1, keepdim=True)
    return (torch.xlogy(share, share).sum(1) / -math.log(2)).clamp_min(0)


@dataclass(frozen=True)
class Calibration:
    """Ranges (low, high) of energy and entropy over a set of photos, by which ``mixed`` puts them on one scale."""

    gradient_energy: tuple[float, float]
    entropy_bits: tuple[float, float]

    def __post_init__(self) -> None:
        for name, (low, high) in (("gradient_energy", self.gradient_energy), ("entropy_bits", self.entropy_bits)):
            if not (math.isfinite(low) and math.isfinite(high) and low < high):
                raise ValueError(f"{name} ranges from {low} to {high}; calibrate on photos that differ")


def calibrate(measured: Complexity, *, tails: float = 0.05) -> Calibration:
    """Quantiles ``tails`` and 1 - ``tails`` of a calibration set: extremes would let one odd photo set the scale.

    Raises ValueError when the photos don't differ.
    """
    if not 0 <= tails < 0.5:
        raise ValueError(f"tails is {tails}; allowed is from 0 to below 0.5")
    at = torch.tensor([tails, 1 - tails], dtype=torch.float64)
    energy = torch.quantile(measured.gradient_energy.cpu(), at).tolist()
    entropy = torch.quantile(measured.entropy_bits.cpu(), at).tolist()
    return Calibration((energy[0], energy[1]), (entropy[0], entropy[1]))


def mixed(measured: Complexity, calibration: Calibration, *, energy_share: float = 0.5) -> PerImage:
    """energy_share * E + (1 - energy_share) * H, both brought to [0, 1] by the calibration and clipped."""
    if not 0 <= energy_share <= 1:
        raise ValueError(f"energy_share is {energy_share}; allowed is 0 to 1")
    parts = []
    for values, (low, high) in (
        (measured.gradient_energy, calibration.gradient_energy),
        (measured.entropy_bits, calibration.entropy_bits),
    ):
        parts.append(((values - low) / (high - low)).clamp(0, 1))
    return energy_share * parts[0] + (1 - energy_share) * parts[1]


def _blurred(grey: Float[Tensor, "n 1 h w"]) -> Float[Tensor, "n 1 hb wb"]:
    """Gaussian of sigma 1 cut at 3 pixels, the border left out."""
    taps = torch.exp(-0.5 * torch.arange(-_BLUR_RADIUS_PX, _BLUR_RADIUS_PX + 1, dtype=torch.float64).square())
    taps = (taps / taps.sum()).to(grey)
    return F.conv2d(F.conv2d(grey, taps.view(1, 1, 1, -1)), taps.view(1, 1, -1, 1))


def _sobel(grey: Float[Tensor, "n 1 h w"]) -> tuple[Float[Tensor, "n 1 hs ws"], Float[Tensor, "n 1 hs ws"]]:
    """Derivatives to the right and down, per pixel."""
    across = grey[..., 2:] - grey[..., :-2]
    down = grey[..., 2:, :] - grey[..., :-2, :]
    right = (across[..., :-2, :] + 2 * across[..., 1:-1, :] + across[..., 2:, :]) / 8
    return right, (down[..., :-2] + 2 * down[..., 1:-1] + down[..., 2:]) / 8


def _laplacian(grey: Float[Tensor, "n 1 h w"]) -> Float[Tensor, "n 1 hs ws"]:
    inner = grey[..., 1:-1, 1:-1]
    beside = grey[..., 1:-1, 2:] + grey[..., 1:-1, :-2]
    return beside + grey[..., 2:, 1:-1] + grey[..., :-2, 1:-1] - 4 * inner
