"""Representation alignment: a denoiser's inner features are drawn to those of a network that knows photographs.

A small U-Net that learns from few photos sees shapes but no things; a classifier's features are a dense, rich second
target on the same photos. The projections serve in training alone. Paper: REPA (arXiv 2410.06940).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import torch
from diffusers import UNet2DConditionModel
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from latentdepth.core.schedule import Schedule
from latentdepth.train.denoise import Denoise
from latentdepth.train.latents import LatentBatch


class Alignment(nn.Module):
    """One projection for each pair of a U-Net layer and a map of the teacher's features, at equal resolution."""

    def __init__(self, unet: UNet2DConditionModel, taps: Mapping[str, tuple[int, int]]) -> None:
        """``taps``: name of a U-Net module -> (its channels, the teacher's channels), in the order of the features."""
        super().__init__()
        self.project = nn.ModuleList(
            nn.Sequential(nn.Conv2d(ours, 2 * theirs, 1), nn.SiLU(), nn.Conv2d(2 * theirs, theirs, 1))
            for ours, theirs in taps.values()
        )
        # Without this the few channels that are large everywhere would decide the angle.
        self.standardise = nn.ModuleList(nn.BatchNorm2d(theirs, affine=False) for _, theirs in taps.values())
        self._seen: dict[str, Tensor] = {}
        self._names = tuple(taps)
        for name in taps:
            unet.get_submodule(name).register_forward_hook(partial(self._keep, name))

    def _keep(self, name: str, _module: nn.Module, _args: Any, result: Any) -> None:
        if isinstance(result, Tensor):
            self._seen[name] = result
        else:
            self._seen[name] = result.sample if hasattr(result, "sample") else result[0]

    def forward(self, features: Sequence[Float[Tensor, "_ _ _ _"]]) -> Float[Tensor, ""]:
        """1 - cosine of the angle between both, averaged over places and layers, for the U-Net's latest call."""
        losses = []
        for name, project, standardise, wanted in zip(
            self._names, self.project, self.standardise, features, strict=True
        ):
            ours = project(self._seen.pop(name)).float()
            if ours.shape != wanted.shape:
                raise ValueError(f"{name} gives {tuple(ours.shape)}, the teacher's features are {tuple(wanted.shape)}")
            losses.append(1 - F.cosine_similarity(ours, standardise(wanted.float()), dim=1).mean())
        return torch.stack(losses).mean()


class AlignedDenoise(Denoise):
    """``Denoise`` with alignment on batches that carry a teacher's features."""

    def __init__(
        self,
        unet: UNet2DConditionModel,
        schedule: Schedule,
        empty_prompt: Float[Tensor, "1 k d"],
        *,
        taps: Mapping[str, tuple[int, int]],
        weight: float = 0.5,
        multires_strength: float = 0.9,
        last_share: float = 0.0,
    ) -> None:
        super().__init__(unet, schedule, empty_prompt, multires_strength=multires_strength, last_share=last_share)
        self.alignment, self.weight = Alignment(unet, taps), weight
        self.network = nn.ModuleDict({"unet": unet, "alignment": self.alignment})

    def loss(self, batch: LatentBatch, draw: torch.Generator) -> dict[str, Tensor]:
        """The denoising loss plus ``weight`` times the alignment's."""
        denoising = super().loss(batch, draw)["loss"]
        alignment = self.alignment(batch.features)
        return {"loss": denoising + self.weight * alignment, "denoising": denoising, "alignment": alignment}
