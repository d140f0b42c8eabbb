"""Losses on latents and on values. Pure torch; knows no networks.

What stands at invalid pixels has no influence and gets no gradient; where truth is compared, it may be NaN there. A
batch without any valid pixel has the loss 0, with a gradient of zeros. Papers: MiDaS (arXiv 1907.01341) for the
median/MAD loss and gradient matching, Depth Anything V2 (2406.09414) for leaving out the largest errors of each image,
E2E-FT (2409.11355) for the loss after a least-squares fit and for angles, improved consistency training (2310.14189)
for the pseudo-Huber loss, Depth Anything (2401.10891) for feature alignment, Eigen et al. (1406.2283) for SiLog.
"""

from __future__ import annotations

from typing import Literal

import torch
from jaxtyping import Bool, Float
from torch import Tensor

MeanOver = Literal["cells", "images"]


def median_mad(value: Float[Tensor, "n 1 h w"], valid: Bool[Tensor, "n 1 h w"]) -> Float[Tensor, "n 1 h w"]:
    """Each map less its median, divided by its mean absolute deviation from it, both over valid pixels.

    Any positive scale and any shift of the input give the same output (MiDaS, equation 6). Invalid pixels come out
    as numbers without meaning. The median's own gradient is left out, as a single pixel would carry it.
    """
    inside = torch.where(valid, value.detach(), torch.nan).flatten(1)
    middle = torch.nanmedian(inside, dim=1).values.nan_to_num()[:, None, None, None]
    count = valid.flatten(1).sum(1).clamp(min=1)[:, None, None, None]
    centred = value - middle
    spread = torch.where(valid, centred.abs(), 0.0).sum((1, 2, 3), keepdim=True) / count
    return centred / spread.clamp(min=1e-6)


def trimmed_l1(
    predicted: Float[Tensor, "n 1 h w"],
    truth: Float[Tensor, "n 1 h w"],
    valid: Bool[Tensor, "n 1 h w"],
    trim: float | Float[Tensor, " n"],
) -> Tensor:
    """Mean absolute error of each image without its ``trim`` share of largest errors, averaged over images."""
    error = torch.where(valid, (predicted - truth).abs(), 0.0).flatten(1)
    count = valid.flatten(1).sum(1)
    if isinstance(trim, Tensor) or trim > 0:
        # Invalid pixels are the zeros that come first, so what is cut are the largest errors of valid pixels.
        cut = (count * trim).long()
        error = error.sort(dim=1).values
        kept = torch.arange(error.shape[1], device=error.device)[None] < (error.shape[1] - cut)[:, None]
        error, count = error * kept.to(error), count - cut
    return (error.sum(1) / count.clamp(min=1)).mean()


def gradient_matching(
    predicted: Float[Tensor, "n 1 h w"],
    truth: Float[Tensor, "n 1 h w"],
    valid: Bool[Tensor, "n 1 h w"],
    *,
    scales: int = 4,
) -> Tensor:
    """Mean absolute difference of neighbouring pixels' differences, every 1st, 2nd, 4th ... pixel (MiDaS, equation 11).

    MiDaS' four scales reach to eight pixels; more of them compare what lies farther apart, up to ``2**(scales - 1)``.
    """
    total = predicted.new_zeros(())
    for k in range(scales):
        step = 2**k
        difference, mask = (predicted - truth)[..., ::step, ::step], valid[..., ::step, ::step]
        for dim in (-1, -2):
            size = difference.shape[dim] - 1
            both = mask.narrow(dim, 0, size) & mask.narrow(dim, 1, size)
            total = total + torch.where(both, difference.diff(dim=dim).abs(), 0.0).sum() / both.sum().clamp(min=1)
    return total


def scale_shift_invariant(
    predicted: Float[Tensor, "n 1 h w"],
    truth: Float[Tensor, "n 1 h w"],
    valid: Bool[Tensor, "n 1 h w"],
    *,
    trim: float | Float[Tensor, " n"] = 0.0,
    gradient_weight: float = 0.5,
    gradient_scales: int = 4,
) -> dict[str, Tensor]:
    """Trimmed L1 and gradient matching of both maps after ``median_mad``; ``loss`` is their weighted sum."""
    a, b = median_mad(predicted, valid), median_mad(truth, valid)
    l1, gradient = trimmed_l1(a, b, valid, trim), gradient_matching(a, b, valid, scales=gradient_scales)
    return {"loss": l1 + gradient_weight * gradient, "l1": l1, "gradient": gradient}


def masked_mean(
    error: Float[Tensor, "n c h w"], valid: Bool[Tensor, "n 1 h w"], *, over: MeanOver = "cells"
) -> Float[Tensor, ""]:
    """Mean error where ``valid``.

    cells: every valid cell of the batch counts alike, so an image with more of them counts more (as published for
    latents). images: the mean of each image's mean, over the images that have a valid cell.
    """
    inside = torch.where(valid, error, 0.0)
    if over == "cells":
        return inside.sum() / (valid.sum() * error.shape[1]).clamp(min=1)
    count = valid.sum((1, 2, 3)) * error.shape[1]
    return (inside.sum((1, 2, 3)) / count.clamp(min=1)).sum() / (count > 0).sum().clamp(min=1)


def pseudo_huber(difference: Float[Tensor, "n c h w"], c: float) -> Float[Tensor, "n c h w"]:
    """sqrt(d^2 + c^2) - c: square near zero, then linear; every element by itself."""
    return (difference.square() + c**2).sqrt() - c


def least_squares_fitted(
    predicted: Float[Tensor, "n 1 h w"], truth: Float[Tensor, "n 1 h w"], valid: Bool[Tensor, "n 1 h w"]
) -> Float[Tensor, "n 1 h w"]:
    """Each prediction under the scale and shift that bring it closest to the truth, over valid pixels.

    The gradient goes through scale and shift too, as in E2E-FT. A constant prediction becomes the truth's mean. The
    scale may come out negative: a network that starts from an image prior has to be told what is near by its targets'
    correlation with what it already predicts, or by a start from depth weights.
    """
    count = valid.sum((1, 2, 3), keepdim=True).clamp(min=1)

    def mean(value: Tensor) -> Tensor:
        return torch.where(valid, value, 0.0).sum((1, 2, 3), keepdim=True) / count

    # Cut what invalid pixels hold before any product: 0 times NaN is NaN, in the gradient too.
    x, y = torch.where(valid, predicted, 0.0), torch.where(valid, truth, 0.0)
    mean_x, mean_y = mean(x), mean(y)
    power, shared = mean((x - mean_x).square()), mean((x - mean_x) * (y - mean_y))
    flat = power <= 1e-12
    scale = torch.where(flat, 0.0, shared / torch.where(flat, 1.0, power))
    return scale * (x - mean_x) + mean_y


def affine_l1(
    predicted: Float[Tensor, "n 1 h w"], truth: Float[Tensor, "n 1 h w"], valid: Bool[Tensor, "n 1 h w"]
) -> Float[Tensor, ""]:
    """Mean absolute error of each image after its least-squares fit, averaged over images with a valid pixel (E2E-FT).

    In units of half of the truth's range over valid pixels, so that any scale (but 0) and shift of the prediction, of
    the truth or of both change nothing; targets of a batch, clipped to [-1, 1], have about that range.
    """
    difference = least_squares_fitted(predicted, truth, valid) - torch.where(valid, truth, 0.0)
    return masked_mean(difference.abs() / half_range(truth, valid), valid, over="images")


def half_range(truth: Float[Tensor, "n 1 h w"], valid: Bool[Tensor, "n 1 h w"]) -> Float[Tensor, "n 1 1 1"]:
    """Half of what lies between the least and the largest valid value of each image; 1 where that is nothing."""
    low = torch.where(valid, truth, torch.inf).amin((1, 2, 3), keepdim=True)
    high = torch.where(valid, truth, -torch.inf).amax((1, 2, 3), keepdim=True)
    return torch.where(high > low, (high - low) / 2, 1.0)


def angular(
    predicted: Float[Tensor, "n 3 h w"], truth: Float[Tensor, "n 3 h w"], valid: Bool[Tensor, "n 1 h w"]
) -> Float[Tensor, ""]:
    """Mean angle between vectors of any length, in radians; each image's mean, averaged over images (E2E-FT).

    By arctan of cross and dot product, whose gradient stays bounded at no angle, where that of arccos does not.
    A vector without length has no direction and doesn't count.
    """
    towards = torch.tensor([0.0, 0.0, 1.0], device=truth.device).view(1, 3, 1, 1)
    counts = valid & (predicted.detach().norm(dim=1, keepdim=True) > 1e-6) & (truth.norm(dim=1, keepdim=True) > 1e-6)
    a, b = torch.where(counts, predicted, towards), torch.where(counts, truth, towards)
    across, along = torch.linalg.cross(a, b, dim=1).norm(dim=1, keepdim=True), (a * b).sum(1, keepdim=True)
    return masked_mean(torch.atan2(across, along), counts, over="images")


def feature_alignment(
    features: Float[Tensor, "n c h w"], wanted: Float[Tensor, "n c h w"], *, margin: float = 0.85
) -> Float[Tensor, ""]:
    """1 - cos between features, over the places where cos is below ``margin``; 0 where there are none.

    What already looks alike is left free, since depth differs where meaning doesn't (Depth Anything, equation 8).
    """
    cosine = torch.cosine_similarity(features, wanted, dim=1)
    apart = cosine.detach() < margin
    return torch.where(apart, 1 - cosine, 0.0).sum() / apart.sum().clamp(min=1)


def silog(
    predicted_m: Float[Tensor, "n 1 h w"],
    truth_m: Float[Tensor, "n 1 h w"],
    valid: Bool[Tensor, "n 1 h w"],
    *,
    variance_share: float = 0.5,
) -> Float[Tensor, ""]:
    """sqrt(mean(g^2) - variance_share mean(g)^2) over the batch's valid pixels, g = log truth - log prediction.

    At ``variance_share`` 1 a common factor costs nothing, at 0 it is the RMSE of log depth. Depths must be positive
    where valid; predictions below a tenth of a millimetre count as that.
    """
    g = torch.where(valid, truth_m, 1.0).log() - torch.where(valid, predicted_m, 1.0).clamp(min=1e-4).log()
    count = valid.sum().clamp(min=1)
    mean, square = g.sum() / count, g.square().sum() / count
    # the root's slope is infinite at 0, where there is no error or nothing valid
    return (square - variance_share * mean.square()).clamp(min=1e-12).sqrt()
