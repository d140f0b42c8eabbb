"""Random views of a sample: crop, flip, colour. Every draw comes from the generator that is handed in."""

from __future__ import annotations

import math

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

from latentdepth.data.sample import Sample


def _uniform(draw: torch.Generator, low: float, high: float) -> float:
    return low + (high - low) * float(torch.rand((), generator=draw))


def crop_and_flip(
    sample: Sample, height: int, width: int, draw: torch.Generator, *, smallest: float = 0.55, stretch: float = 1.2
) -> Sample:
    """A random window of about the wanted aspect, resized to ``height`` x ``width``, mirrored half of the time.

    ``smallest`` is the least share of the largest possible window's side; ``stretch`` the most that the aspect may be
    bent. Depth is resized by nearest neighbour, so that no value is invented at an occlusion edge.
    """
    h, w = sample.image.shape[-2:]
    aspect = width / height * math.exp(_uniform(draw, -math.log(stretch), math.log(stretch)))
    side = _uniform(draw, smallest, 1.0)
    crop_w = max(2, int(min(w, h * aspect) * side))
    crop_h = max(2, int(min(h, w / aspect) * side))
    top = int(_uniform(draw, 0, h - crop_h + 1 - 1e-6))
    left = int(_uniform(draw, 0, w - crop_w + 1 - 1e-6))
    window = (..., slice(top, top + crop_h), slice(left, left + crop_w))
    image = F.interpolate(sample.image[window][None], (height, width), mode="bilinear", antialias=True)[0]
    depth = F.interpolate(sample.depth_m[window][None], (height, width), mode="nearest-exact")[0]
    valid = F.interpolate(sample.valid[window][None].float(), (height, width), mode="nearest-exact")[0] > 0.5
    if float(torch.rand((), generator=draw)) < 0.5:
        image, depth, valid = image.flip(-1), depth.flip(-1), valid.flip(-1)
    return Sample(image.clamp(0, 1), depth, valid, sample.group)


def photometric(image: Float[Tensor, "3 h w"], draw: torch.Generator) -> Float[Tensor, "3 h w"]:
    """Exposure, white balance, saturation, contrast, gamma, and now and then grey, blur or sensor noise."""
    balance = torch.tensor([math.exp(_uniform(draw, -0.15, 0.15)) for _ in range(3)])
    image = image * (balance * math.exp(_uniform(draw, -0.4, 0.3)))[:, None, None]
    image = image.clamp(1e-4, 1) ** math.exp(_uniform(draw, -0.35, 0.35))
    grey = (image * torch.tensor([0.299, 0.587, 0.114])[:, None, None]).sum(0, keepdim=True)
    saturation = 0.0 if _uniform(draw, 0, 1) < 0.05 else _uniform(draw, 0.4, 1.4)
    image = grey + (image - grey) * saturation
    image = image.mean() + (image - image.mean()) * _uniform(draw, 0.75, 1.25)
    if _uniform(draw, 0, 1) < 0.25:
        h, w = image.shape[-2:]
        shrink = _uniform(draw, 1.2, 3.0)
        small = F.interpolate(image[None], (int(h / shrink), int(w / shrink)), mode="bilinear", antialias=True)
        image = F.interpolate(small, (h, w), mode="bilinear")[0]
    if _uniform(draw, 0, 1) < 0.4:
        image = image + torch.randn(image.shape, generator=draw) * _uniform(draw, 0, 0.05)
    return image.clamp(0, 1)
