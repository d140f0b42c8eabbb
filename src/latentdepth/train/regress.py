"""A feed-forward teacher: disparity in one pass, learnt up to scale and shift. Its network stands in ``models``.

Papers: MiDaS (arXiv 1907.01341) for the losses, Depth Anything V2 (2406.09414) for teaching on synthetic truth.
"""

from __future__ import annotations

from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

from latentdepth.core.types import AFFINE_DISPARITY, Prediction
from latentdepth.data.batch import Batch
from latentdepth.data.options import TargetKind
from latentdepth.models.feedforward import DepthPyramid, load_imagenet, load_pyramid
from latentdepth.models.teacher import LONG_SIDE_PX, framed
from latentdepth.train.losses import scale_shift_invariant
from latentdepth.train.options import RegressOptions
from latentdepth.train.task import Task


class Regress(Task[Batch]):
    """``DepthPyramid`` by scale-and-shift-invariant L1 and gradient matching."""

    kind: TargetKind = "disparity"
    sides_px = (1, 32)

    def __init__(self, network: DepthPyramid, options: RegressOptions | None = None) -> None:
        self.network, self.options = network, options or RegressOptions()

    def loss(self, batch: Batch, draw: torch.Generator) -> dict[str, Tensor]:
        """``l1``, ``gradient`` and their weighted sum."""
        image = ((batch.image + 1) / 2).contiguous(memory_format=torch.channels_last)
        predicted = self.network(image).float()
        options = self.options
        return scale_shift_invariant(
            predicted, batch.target, batch.valid, trim=options.trim, gradient_weight=options.gradient_weight
        )

    def predict(self, image: Float[Tensor, "n 3 h w"]) -> Prediction:
        """Disparity of photos in [0, 1]."""
        network = self._bare()
        said = F.interpolate(seen_whole(network, image), image.shape[-2:], mode="bilinear")
        return Prediction(unit_range(said).cpu(), AFFINE_DISPARITY)

    def save(self, folder: Path) -> None:
        """``model.safetensors``."""
        self._bare().save(folder)

    def _bare(self) -> DepthPyramid:
        if not isinstance(self.network, DepthPyramid):
            raise TypeError(f"the network is a {type(self.network).__name__}: unwrap it before saving or predicting")
        return self.network


def new_teacher(options: RegressOptions) -> DepthPyramid:
    """Random weights, but for the encoder's where ImageNet's are given. ValueError for any other file."""
    network = DepthPyramid(encoder=options.encoder)
    if options.imagenet is not None:
        if not options.imagenet.is_file():
            raise ValueError(
                f"regress.imagenet: {options.imagenet} does not exist; give the .pth file, or leave it out"
            )
        load_imagenet(network.encoder, options.imagenet)
    return network


def load_teacher(folder: Path) -> DepthPyramid:
    """The network of a folder that ``Regress`` saved, ready to predict. ValueError where there is none."""
    if not (folder / "model.safetensors").is_file():
        raise ValueError(
            f"{folder / 'model.safetensors'} is missing; give the model of a teacher, such as runs/tiny-teacher/model "
            "after `latentdepth train tiny-teacher`"
        )
    return load_pyramid(folder)


def seen_whole(
    network: DepthPyramid, image: Float[Tensor, "n 3 h w"], *, long_side_px: int = LONG_SIDE_PX
) -> Float[Tensor, "n 1 hp wp"]:
    """What ``network`` says of photos in [0, 1] at about ``long_side_px``, without its dark rim."""
    h, w = image.shape[-2:]
    inner = [max(64, round(s * long_side_px / max(h, w) / 32) * 32) for s in (h, w)]
    small = F.interpolate(image.to(next(network.parameters()).device), inner, mode="bilinear", antialias=True)
    return framed(network, small)


def unit_range(value: Float[Tensor, "n 1 h w"]) -> Float[Tensor, "n 1 h w"]:
    """Each map less its minimum, divided by its range."""
    low, high = value.amin((1, 2, 3), keepdim=True), value.amax((1, 2, 3), keepdim=True)
    return (value - low) / (high - low).clamp(min=1e-6)
