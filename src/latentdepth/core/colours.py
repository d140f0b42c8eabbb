"""Colours for people: dense values in, pictures in [0, 1] out.

Depth is drawn near = red, far = blue, the custom of the field, with the eleven colours of ColorBrewer's Spectral scheme
(C. Brewer, M. Harrower, colorbrewer2.org). Knows neither files nor plotting libraries. Pixels that are not finite
are drawn black, which no ramp but the darkest uncertainty contains.
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from latentdepth.core.types import Invariance, Kind, Quantity

SPECTRAL_RGB = (
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
"""Anchors of ``spectral``, evenly spaced from 0 to 1."""

EMBER_RGB = ((8, 6, 20), (66, 18, 92), (150, 40, 96), (226, 92, 58), (250, 178, 68), (255, 250, 205))
"""Anchors of ``ember``: dark where all is well (no error, no disagreement of members), bright where it isn't."""


def _ramp(values: Float[Tensor, "n 1 h w"], anchors_rgb: tuple[tuple[int, int, int], ...]) -> Float[Tensor, "n 3 h w"]:
    """Straight lines between evenly spaced anchors."""
    anchors = torch.tensor(anchors_rgb, dtype=torch.float32, device=values.device) / 255
    finite = values.isfinite()
    position = values.float().where(finite, torch.zeros_like(values)).clamp(0, 1)[:, 0] * (len(anchors) - 1)
    left = position.floor().clamp(max=len(anchors) - 2).long()
    share = (position - left)[..., None]
    colours = torch.lerp(anchors[left], anchors[left + 1], share).movedim(-1, 1)
    return colours * finite


def spectral(values: Float[Tensor, "n 1 h w"]) -> Float[Tensor, "n 3 h w"]:
    """0 is red (near), 1 is blue (far); values beyond [0, 1] take the end colours."""
    return _ramp(values, SPECTRAL_RGB)


def grey(values: Float[Tensor, "n 1 h w"]) -> Float[Tensor, "n 3 h w"]:
    """0 is black, 1 is white; values beyond [0, 1] take the end colours."""
    return _ramp(values, ((0, 0, 0), (255, 255, 255)))


def ember(values: Float[Tensor, "n 1 h w"]) -> Float[Tensor, "n 3 h w"]:
    """0 is dark, 1 is bright; values beyond [0, 1] take the end colours."""
    return _ramp(values, EMBER_RGB)


def near_to_far(value: Float[Tensor, "n 1 h w"], kind: Kind) -> Float[Tensor, "n 1 h w"]:
    """Any depth-like value to a drawable position: 0 at each image's nearest pixel, 1 at its farthest.

    Affine-invariant values lie in [0, 1] already and keep their place. The rest is stretched between each image's
    2nd and 98th percentile, so that a few far pixels don't flatten the picture.
    """
    if kind.quantity is Quantity.NORMALS:
        raise ValueError("normals have no near and far; draw them with normals_colours")
    if kind.invariance is Invariance.AFFINE:
        position = value.float()
    else:
        position = torch.stack([_stretched(image, 0.02, 0.98) for image in value.float()])
    return 1 - position if kind.near_is == "high" else position


def depth_colours(value: Float[Tensor, "n 1 h w"], kind: Kind) -> Float[Tensor, "n 3 h w"]:
    """Depth, disparity or log depth with near in red, whatever the direction of its values."""
    return spectral(near_to_far(value, kind))


def normals_colours(normals: Float[Tensor, "n 3 h w"]) -> Float[Tensor, "n 3 h w"]:
    """x, y, z in [-1, 1] as red, green, blue in [0, 1]: a wall that faces the viewer is light violet."""
    finite = normals.isfinite().all(1, keepdim=True)
    colours = (normals.float().clamp(-1, 1) + 1) / 2
    return colours.where(finite, torch.zeros_like(colours))


def uncertainty_colours(uncertainty: Float[Tensor, "n 1 h w"]) -> Float[Tensor, "n 3 h w"]:
    """Dark is certain; each image's 95th percentile and all above it is brightest, so one wild pixel hides nothing."""
    values = uncertainty.float()
    scaled = []
    for image in values:
        finite = image[image.isfinite()]
        top = quantile(finite, 0.95) if len(finite) else 0.0
        scaled.append(image / top if top > 0 else torch.zeros_like(image).where(image.isfinite(), image))
    return ember(torch.stack(scaled))


def quantile(values: Float[Tensor, " p"], share: float) -> float:
    """The value below which ``share`` of the values lie (nearest rank).

    ``torch.quantile`` refuses more than 2**24 values, which a 17-megapixel photo exceeds.
    """
    rank = 1 + round(share * (values.numel() - 1))
    return float(values.kthvalue(rank).values)


def _stretched(image: Float[Tensor, "1 h w"], low_share: float, high_share: float) -> Float[Tensor, "1 h w"]:
    finite = image[image.isfinite()]
    if not len(finite):
        return image
    low, high = quantile(finite, low_share), quantile(finite, high_share)
    if high <= low:
        return torch.full_like(image, 0.5).where(image.isfinite(), image)
    return ((image - low) / (high - low)).where(image.isfinite(), image)


def preview(value: Float[Tensor, "n c h w"], kind: Kind) -> Float[Tensor, "n 3 h w"]:
    """The picture to look at, whatever the kind."""
    return normals_colours(value) if kind.quantity is Quantity.NORMALS else depth_colours(value, kind)
