"""What a student's head knows of a photo, beside the photo's latent: a denoiser's second look at it.

A small U-Net that has seen some thousand photos has no prior to speak of; a student with a pretrained encoder has one.
Its head's map at the latent's stride goes into the U-Net's first convolution, behind the image latent, and the U-Net
stays what it was: a denoiser of depth latents. (GeoWizard, arXiv 2403.12013, shows its U-Net an embedding of the photo
by CLIP; BetterDepth, 2407.17952, a feed-forward network's depth.) Knows no noise and no schedule.
"""

from __future__ import annotations

import hashlib
import shutil
from pathlib import Path

import torch
from diffusers import UNet2DConditionModel
from jaxtyping import Float
from torch import Tensor, nn

from latentdepth.core.modality import pad
from latentdepth.models.facts import Facts
from latentdepth.models.source import BUILTIN, resolve
from latentdepth.models.student import FUSED_STRIDES, Student, folded, load_student

FOLDER = "guide"
"""Of the student, inside a model's folder."""
_SIZE = 0.25
"""Brings the map to about unit variance, as latents are."""
_FILES = ("config.json", "model.safetensors")


class Guide(nn.Module):
    """A frozen student, up to its head's map at ``stride``. ``folder`` is where it was read from."""

    def __init__(self, student: Student, stride: int, folder: Path) -> None:
        super().__init__()
        if stride not in FUSED_STRIDES:
            raise ValueError(
                f"the autoencoder's stride is {stride}; a guide has maps at strides of "
                f"{', '.join(map(str, FUSED_STRIDES))}: leave the guide out"
            )
        self.student = folded(student).requires_grad_(False)  # its norms are fixed, so that is no other function
        self.stride, self.folder = stride, folder

    @property
    def channels(self) -> int:
        """Of the map."""
        return self.student.facts.width

    @torch.no_grad()
    def forward(self, images: Float[Tensor, "n 3 h w"]) -> Float[Tensor, "n c hl wl"]:
        """The map of images in [-1, 1] whose sides are multiples of ``stride``, float32."""
        height, width = images.shape[-2:]
        image = pad(((images + 1) / 2).clamp(0, 1), self.student.stride)
        image = image.to(self.student.value.weight.dtype).contiguous(memory_format=torch.channels_last)
        seen = self.student.fused(image, self.stride)
        return _SIZE * seen[..., : height // self.stride, : width // self.stride].float()

    def save(self, folder: Path) -> dict[str, str | None]:
        """Put the student's files into ``folder``, a model's; returns what the model's facts say of it.

        A student that ships with the package is named instead of copied.
        """
        if self.folder.parent == BUILTIN:
            return {"guide": f"builtin:{self.folder.name}", "guide_sha256": _sha256(self.folder)}
        place = folder / FOLDER
        if place.resolve() != self.folder.resolve():
            place.mkdir(parents=True, exist_ok=True)
            for name in _FILES:
                shutil.copyfile(self.folder / name, place / name)
        return {"guide": FOLDER, "guide_sha256": None}


def load_guide(folder: Path, stride: int) -> Guide:
    """The student of ``folder`` as a guide for latents of ``stride``. Raises ValueError as ``load_student`` does."""
    return Guide(load_student(folder), stride, folder).eval()


def guide_of(folder: Path, facts: Facts, stride: int) -> Guide | None:
    """The guide that the facts of a model's ``folder`` name.

    Raises ValueError for one that is not there, and for a student of the package that is not the one of the training.
    """
    if facts.guide is None:
        return None
    if not facts.guide.startswith("builtin:"):
        return load_guide(folder / facts.guide, stride)
    place = resolve(facts.guide)
    if facts.guide_sha256 not in (None, _sha256(place)):
        raise ValueError(
            f"{folder} was trained beside another {facts.guide} than this release has (sha256 of its weights "
            f"{facts.guide_sha256}): install the release that it was trained with, or train it again"
        )
    return load_guide(place, stride)


def _sha256(folder: Path) -> str:
    return hashlib.sha256((folder / _FILES[-1]).read_bytes()).hexdigest()


def guided(unet: UNet2DConditionModel, channels: int, *, latent_channels: int) -> UNet2DConditionModel:
    """The network with room for a guide's ``channels`` behind the image latent, to which it gives no weight yet.

    Returns a new network with copies of the other weights.
    """
    before = int(unet.config["in_channels"])
    wider = UNet2DConditionModel.from_config(dict(unet.config) | {"in_channels": before + channels})
    assert isinstance(wider, UNet2DConditionModel)
    weights = dict(unet.state_dict())
    kernel = weights["conv_in.weight"]
    zeros = kernel.new_zeros((kernel.shape[0], channels, *kernel.shape[2:]))
    weights["conv_in.weight"] = torch.cat((kernel[:, :latent_channels], zeros, kernel[:, latent_channels:]), 1)
    wider.load_state_dict(weights)
    return wider
