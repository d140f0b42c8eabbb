"""Representation alignment: a denoiser's inner features are drawn to those of a network that knows photographs.

A small U-Net that learns from few photos sees shapes but no things; a classifier's features are a dense, rich second
target on the same photos. The projections serve in training alone. Paper: REPA (arXiv 2410.06940).
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

import torch
from diffusers import UNet2DConditionModel
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional as F

from latentdepth.data.batch import Batch
from latentdepth.models.diffusion import DiffusionModel
from latentdepth.models.feedforward import DepthPyramid
from latentdepth.train.denoise import Marigold, denoising_loss
from latentdepth.train.latents import LatentBatch
from latentdepth.train.options import AlignOptions, DenoiseOptions


class Watch:
    """Keeps what named layers of a U-Net gave in its latest call. ValueError for a layer that isn't there."""

    def __init__(self, unet: UNet2DConditionModel, layers: Sequence[str]) -> None:
        self.layers = tuple(layers)
        self._seen: dict[str, Tensor] = {}
        self._hooks = []
        for name in self.layers:
            try:
                layer = unet.get_submodule(name)
            except AttributeError:
                raise ValueError(f"align.layers: the U-Net has no layer {name}; mid_block is one") from None
            self._hooks.append(layer.register_forward_hook(partial(self._keep, name)))

    def _keep(self, name: str, _module: nn.Module, _args: Any, result: Any) -> None:
        if isinstance(result, Tensor):
            self._seen[name] = result
        else:
            self._seen[name] = result.sample if hasattr(result, "sample") else result[0]

    def take(self) -> list[Tensor]:
        """Once for each call of the U-Net, in the order of the layers."""
        seen, self._seen = self._seen, {}
        return [seen[name] for name in self.layers]

    def end(self) -> None:
        """Take the hooks off."""
        for hook in self._hooks:
            hook.remove()


class Aligned(nn.Module):
    """A U-Net with one projection for each watched layer, called as one, which wrappers for several processes need."""

    def __init__(self, unet: UNet2DConditionModel, layers: Sequence[str], channels: Sequence[tuple[int, int]]) -> None:
        """``channels``: of each layer, and of the teacher's features at equal resolution."""
        super().__init__()
        self.unet = unet
        self.project = nn.ModuleList(
            nn.Sequential(nn.Conv2d(ours, 2 * theirs, 1), nn.SiLU(), nn.Conv2d(2 * theirs, theirs, 1))
            for ours, theirs in channels
        )
        # Without this the few channels that are large everywhere would decide the angle.
        self.standardise = nn.ModuleList(nn.BatchNorm2d(theirs, affine=False) for _, theirs in channels)
        self._watch = Watch(unet, layers)

    def forward(
        self,
        latent: Float[Tensor, "n c hl wl"],
        t: Int[Tensor, " n"],
        prompt: Float[Tensor, "n k d"],
        features: Sequence[Float[Tensor, "_ _ _ _"]],
    ) -> tuple[Float[Tensor, "n k2 hl wl"], Float[Tensor, ""]]:
        """What the U-Net says, float32, and 1 - cosine of the angle to the features: the mean of places and layers."""
        said = self.unet(latent, t, encoder_hidden_states=prompt).sample.float()
        losses = []
        for name, inner, project, standardise, wanted in zip(
            self._watch.layers, self._watch.take(), self.project, self.standardise, features, strict=True
        ):
            ours = project(inner).float()
            if ours.shape != wanted.shape:
                raise ValueError(f"{name} gives {tuple(ours.shape)}, the teacher's features are {tuple(wanted.shape)}")
            losses.append(1 - F.cosine_similarity(ours, standardise(wanted.float()), dim=1).mean())
        return said, torch.stack(losses).mean()


class AlignedMarigold(Marigold):
    """Marigold's objective beside alignment; latents encoded before have to bring the teacher's features.

    Raises ValueError for layers that are not there, or not of the resolution of the teacher's features.
    """

    def __init__(
        self, model: DiffusionModel, options: DenoiseOptions, teacher: DepthPyramid, align: AlignOptions
    ) -> None:
        super().__init__(model, options)
        self.teacher, self.weight = teacher.eval().requires_grad_(False), align.weight
        self.network = Aligned(model.unet, align.layers, self._channels(align.layers))

    @torch.no_grad()
    def _channels(self, layers: Sequence[str]) -> list[tuple[int, int]]:
        """Found by one small call of both networks."""
        model, side = self.model, 2 * self.sides_px[1]
        watch = Watch(model.unet, layers)
        cells = side // model.stride
        latent = torch.zeros(1, int(model.unet.config["in_channels"]), cells, cells)
        model.unet(latent.to(model.device, model.dtype), 0, encoder_hidden_states=model.prompt)
        watch.end()
        pairs = list(zip(layers, watch.take(), self._features(torch.zeros(1, 3, side, side)), strict=True))
        for name, ours, theirs in pairs:
            if ours.shape[-2:] != theirs.shape[-2:]:
                raise ValueError(
                    f"align.layers: {name} gives {ours.shape[-1]} columns where the teacher's features have "
                    f"{theirs.shape[-1]}; name layers at strides 16 and 32 of the picture"
                )
        return [(ours.shape[1], theirs.shape[1]) for _, ours, theirs in pairs]

    def _features(self, image: Float[Tensor, "n 3 h w"]) -> list[Tensor]:
        """The teacher's encoder at strides 16 and 32, of photos in [-1, 1]."""
        device = next(self.teacher.parameters()).device
        return [f.float() for f in self.teacher.features(((image + 1) / 2).to(device))[-2:]]

    @property
    def frozen(self) -> tuple[nn.Module, ...]:
        """The autoencoder and the teacher."""
        return (*super().frozen, self.teacher)

    @torch.no_grad()
    def encoded(self, batch: Batch) -> LatentBatch:
        """Latents with the teacher's features."""
        latents = super().encoded(batch)
        return LatentBatch(latents.target, latents.image, latents.valid, tuple(self._features(batch.image)))

    def loss(self, batch: Batch | LatentBatch, draw: torch.Generator) -> dict[str, Tensor]:
        """The ``denoising`` loss plus ``weight`` times the ``alignment``."""
        latents, image = self.latents(batch)
        alignment = []

        def predict(noisy: Tensor, t: Tensor) -> Tensor:
            latent = torch.cat((image, noisy), 1).contiguous(memory_format=torch.channels_last)
            prompt = self.model.prompt.expand(latent.shape[0], -1, -1)
            said, angle = self.network(latent, t, prompt, latents.features)
            alignment.append(angle)
            return said

        denoising = denoising_loss(predict, self.model.schedule, latents, self.options, draw)
        return {"loss": denoising + self.weight * alignment[0], "denoising": denoising, "alignment": alignment[0]}

    def _bare(self) -> UNet2DConditionModel:
        if not isinstance(self.network, Aligned):
            raise TypeError(f"the network is a {type(self.network).__name__}: unwrap it before saving or predicting")
        return self.network.unet
