"""How a data set's samples become training views: which window, which blur, which colours.

One ``Augmentation`` per data set; every draw comes from the generator that is handed in. Knows no normalisation.
"""

from __future__ import annotations

from dataclasses import replace

import torch

from latentdepth.data.augment import colour_jitter, crop_and_flip, mirrored, photometric, resized, turned
from latentdepth.data.blur import defocus_blur, motion_blur
from latentdepth.data.options import Augmentation
from latentdepth.data.sample import Sample

PUBLISHED_NORMALS = Augmentation(motion_blur=0.3, defocus=0.3, colours="jitter", recolour=0.3)
"""The chances of the published normals recipe; its blurs and colours act on the view, after the resize."""


def view(sample: Sample, height: int, width: int, augmentation: Augmentation, draw: torch.Generator) -> Sample:
    """One random view of ``height`` x ``width``."""
    if augmentation.turn > 0 and _happens(augmentation.turn, draw):
        sample = turned(sample, (1, 2, 2, 3)[int(torch.randint(4, (), generator=draw))])
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
