"""How a data set's samples become training views: which window, which blur, which colours.

One ``Augmentation`` per data set; every draw comes from the generator that is handed in. Knows no normalisation.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

import torch

from latentdepth.data.augment import colour_jitter, crop_and_flip, mirrored, photometric, resized
from latentdepth.data.blur import defocus_blur, motion_blur
from latentdepth.data.sample import Sample


@dataclass(frozen=True)
class Augmentation:
    """Chances are in [0, 1]. The default is the published depth recipe: the whole picture, every other one mirrored."""

    window: Literal["whole", "random"] = "whole"
    """``whole``: the picture stretched to the size. ``random``: a window of about its aspect, resized."""
    flip: float = 0.5
    """Chance of exchanging left and right."""
    smallest: float = 0.55
    """Least side of a random window, as a share of the largest possible one."""
    stretch: float = 1.2
    """Most that a random window's aspect is bent, as a factor of at least 1."""
    motion_blur: float = 0.0
    """Chance of a straight camera shake of 3 to 11 pixels at any angle."""
    defocus: float = 0.0
    """Chance of defocus with sigma from 0 to 4 pixels, half Gaussian, half disc."""
    colours: Literal["photometric", "jitter"] = "photometric"
    """``photometric``: exposure, white balance, gamma, noise and more. ``jitter``: as the published normals recipe."""
    recolour: float = 0.0
    """Chance that the colours are changed."""

    def __post_init__(self) -> None:
        for name in ("flip", "motion_blur", "defocus", "recolour"):
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f"{name} is {getattr(self, name)}; a chance lies from 0 to 1")
        if not 0 < self.smallest <= 1:
            raise ValueError(f"smallest is {self.smallest}; allowed is above 0 up to 1")
        if self.stretch < 1:
            raise ValueError(f"stretch is {self.stretch}; allowed is 1 or more")


PUBLISHED_NORMALS = Augmentation(motion_blur=0.3, defocus=0.3, colours="jitter", recolour=0.3)
"""The chances of the published normals recipe; its blurs and colours act on the view, after the resize."""


def view(sample: Sample, height: int, width: int, augmentation: Augmentation, draw: torch.Generator) -> Sample:
    """One random view of ``height`` x ``width``."""
    if augmentation.window == "random":
        seen = crop_and_flip(
            sample,
            height,
            width,
            draw,
            smallest=augmentation.smallest,
            stretch=augmentation.stretch,
            flip=augmentation.flip,
        )
    else:
        seen = resized(sample, height, width)
        seen = mirrored(seen) if _happens(augmentation.flip, draw) else seen
    image = seen.image
    if _happens(augmentation.motion_blur, draw):
        length, turn = int(torch.randint(1, 6, (), generator=draw)), float(torch.rand((), generator=draw))
        image = motion_blur(image, length_px=2 * length + 1, angle_deg=180 * turn)
    if _happens(augmentation.defocus, draw):
        sigma, disc = 4 * float(torch.rand((), generator=draw)), _happens(0.5, draw)
        image = defocus_blur(image, sigma_px=sigma, aperture="disc" if disc else "gaussian")
    if _happens(augmentation.recolour, draw):
        image = photometric(image, draw) if augmentation.colours == "photometric" else colour_jitter(image, draw)
    return replace(seen, image=image.clamp(0, 1))


def _happens(chance: float, draw: torch.Generator) -> bool:
    """Always draws, so that a chance that is changed leaves the later draws as they were."""
    return float(torch.rand((), generator=draw)) < chance
