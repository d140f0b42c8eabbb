"""Random views of a sample: crop, flip, colour. Every draw comes from the generator that is handed in.

Photo, depth, mask, normals and camera are cut, stretched, mirrored and turned together.
"""

from __future__ import annotations

import math
from dataclasses import replace

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

from latentdepth.data.sample import Sample


def _uniform(draw: torch.Generator, low: float, high: float) -> float:
    return low + (high - low) * float(torch.rand((), generator=draw))


def cut(sample: Sample, left: int, top: int, width: int, height: int) -> Sample:
    """A window in whole pixels; the camera's principal point moves with it. Raises ValueError outside the picture."""
    h, w = sample.image.shape[-2:]
    if left < 0 or top < 0 or width < 1 or height < 1 or left + width > w or top + height > h:
        raise ValueError(f"a window of {width} x {height} at ({left}, {top}) is not inside {w} x {h} pixels")
    window = (..., slice(top, top + height), slice(left, left + width))
    return replace(
        sample,
        image=sample.image[window],
        depth_m=sample.depth_m[window],
        valid=sample.valid[window],
        camera=None if sample.camera is None else sample.camera.cropped(left, top, width, height),
        normals=None if sample.normals is None else sample.normals[window],
    )


def resized(sample: Sample, height: int, width: int) -> Sample:
    """Another size of the same picture; where the aspect changes, the camera's focal lengths do so apart.

    The photo is filtered; depth and normals are taken from the nearest pixel, so that no value is invented at an
    occlusion edge. Normals are those of the scene, so a stretch of the picture leaves them as they are.
    """

    def nearest(tensor: Float[Tensor, "c h w"]) -> Float[Tensor, "c ho wo"]:
        return F.interpolate(tensor[None], (height, width), mode="nearest-exact")[0]

    image = F.interpolate(sample.image[None], (height, width), mode="bilinear", antialias=True)[0]
    return replace(
        sample,
        image=image.clamp(0, 1),
        depth_m=nearest(sample.depth_m),
        valid=nearest(sample.valid.float()) > 0.5,
        camera=None if sample.camera is None else sample.camera.resized(width, height),
        normals=None if sample.normals is None else nearest(sample.normals),
    )


def mirrored(sample: Sample) -> Sample:
    """Left and right exchanged: x of the normals changes its sign, the principal point its side."""
    normals = sample.normals
    return replace(
        sample,
        image=sample.image.flip(-1),
        depth_m=sample.depth_m.flip(-1),
        valid=sample.valid.flip(-1),
        camera=None if sample.camera is None else sample.camera.mirrored(),
        normals=None if normals is None else normals.flip(-1) * normals.new_tensor([-1.0, 1.0, 1.0])[:, None, None],
    )


def turned(sample: Sample, quarters: int) -> Sample:
    """The picture turned counter-clockwise by so many quarters, as of a camera held on its side or upside down."""
    normals = sample.normals
    for _ in range(quarters % 4):
        if normals is not None:
            x, y, z = normals.rot90(1, (-2, -1)).unbind(0)
            normals = torch.stack((-y, x, z))  # what pointed right points up now
    return replace(
        sample,
        image=sample.image.rot90(quarters, (-2, -1)),
        depth_m=sample.depth_m.rot90(quarters, (-2, -1)),
        valid=sample.valid.rot90(quarters, (-2, -1)),
        camera=None if sample.camera is None else sample.camera.turned(quarters),
        normals=normals,
    )


def crop_and_flip(
    sample: Sample,
    height: int,
    width: int,
    draw: torch.Generator,
    *,
    smallest: float = 0.55,
    stretch: float = 1.2,
    flip: float = 0.5,
) -> Sample:
    """A random window of about the wanted aspect, resized to ``height`` x ``width``, mirrored with chance ``flip``.

    ``smallest`` is the least share of the largest possible window's side; ``stretch`` the most that the aspect may be
    bent.
    """
    h, w = sample.image.shape[-2:]
    aspect = width / height * math.exp(_uniform(draw, -math.log(stretch), math.log(stretch)))
    side = _uniform(draw, smallest, 1.0)
    crop_w = max(2, int(min(w, h * aspect) * side))
    crop_h = max(2, int(min(h, w / aspect) * side))
    top = int(_uniform(draw, 0, h - crop_h + 1 - 1e-6))
    left = int(_uniform(draw, 0, w - crop_w + 1 - 1e-6))
    view = resized(cut(sample, left, top, crop_w, crop_h), height, width)
    return mirrored(view) if float(torch.rand((), generator=draw)) < flip else view


def photometric(image: Float[Tensor, "3 h w"], draw: torch.Generator) -> Float[Tensor, "3 h w"]:
    """Exposure, white balance, saturation, contrast, gamma, and now and then grey, blur or sensor noise.

    Darker more often than brighter: rendered frames are lit to be seen, photographs have shadows that show nothing.
    """
    balance = torch.tensor([math.exp(_uniform(draw, -0.15, 0.15)) for _ in range(3)])
    image = image * (balance * math.exp(_uniform(draw, -0.6, 0.3)))[:, None, None]
    image = image.clamp(1e-4, 1) ** math.exp(_uniform(draw, -0.35, 0.75))
    grey = (image * torch.tensor([0.299, 0.587, 0.114])[:, None, None]).sum(0, keepdim=True)
    saturation = 0.0 if _uniform(draw, 0, 1) < 0.15 else _uniform(draw, 0.4, 1.4)
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


def colour_jitter(image: Float[Tensor, "3 h w"], draw: torch.Generator) -> Float[Tensor, "3 h w"]:
    """Brightness, contrast and saturation by factors of 0.5 to 1.5, hue by up to a fifth of the circle.

    The strengths that the published normals models were trained with. Hue is turned about the grey axis of RGB,
    which unlike a turn in HSV has no seam where a colour is nearly grey.
    """
    luma = image.new_tensor([0.299, 0.587, 0.114])[:, None, None]
    image = (image * _uniform(draw, 0.5, 1.5)).clamp(0, 1)
    grey_mean = (image * luma).sum(0).mean()
    image = (grey_mean + (image - grey_mean) * _uniform(draw, 0.5, 1.5)).clamp(0, 1)
    grey = (image * luma).sum(0, keepdim=True)
    image = (grey + (image - grey) * _uniform(draw, 0.5, 1.5)).clamp(0, 1)
    angle = _uniform(draw, -0.2, 0.2) * 2 * math.pi
    # Rodrigues' rotation about (1, 1, 1) / sqrt 3
    along, across = (1 - math.cos(angle)) / 3, math.sin(angle) / math.sqrt(3)
    turn = torch.full((3, 3), along) + torch.eye(3) * math.cos(angle)
    turn = turn + across * torch.tensor([[0.0, -1.0, 1.0], [1.0, 0.0, -1.0], [-1.0, 1.0, 0.0]])
    return torch.einsum("ij,jhw->ihw", turn.to(image), image).clamp(0, 1)
