"""The small tasks: an autoencoder, and a feed-forward network. Those of whole diffusion models have files of their own.

A task owns a network and its loss; it knows no optimisers, no wrappers and no files beyond saving itself.
Paper: latent diffusion (arXiv 2112.10752) for the autoencoder.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch
from diffusers import AutoencoderKL, AutoencoderTiny
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.nn import functional as F

from latentdepth.models.diffusion import decoded, posterior
from latentdepth.models.feedforward import DepthPyramid
from latentdepth.models.tiny_vae import tiny_latent
from latentdepth.train.denoise import Denoise
from latentdepth.train.latents import LatentBatch
from latentdepth.train.losses import scale_shift_invariant
from latentdepth.train.task import Task

__all__ = ["Autoencode", "Denoise", "LatentBatch", "PixelBatch", "Regress", "gradient_l1"]


@dataclass(frozen=True)
class PixelBatch:
    """Photos in [0, 1] with what a feed-forward network is to say of them."""

    image: Float[Tensor, "n 3 h w"]
    truth: Float[Tensor, "n 1 h w"]
    valid: Bool[Tensor, "n 1 h w"]

    def to(self, device: torch.device | str) -> PixelBatch:
        """The same batch elsewhere."""
        return PixelBatch(self.image.to(device), self.truth.to(device), self.valid.to(device))


def gradient_l1(a: Float[Tensor, "n c h w"], b: Float[Tensor, "n c h w"]) -> Tensor:
    """Mean absolute difference of horizontal and vertical finite differences, at full and half size."""
    total = a.new_zeros(())
    for _ in range(2):
        difference = a - b
        total = total + difference.diff(dim=-1).abs().mean() + difference.diff(dim=-2).abs().mean()
        a, b = F.avg_pool2d(a, 2), F.avg_pool2d(b, 2)
    return total


class Autoencode(Task[Tensor]):
    """Reconstruct photos and depth maps: L1, gradient L1, and a light pull of the latent to the unit normal.

    With ``teacher``, the latent is also drawn to what that published autoencoder says of the same picture: a latent
    space that was learnt from millions of photos, whose weights need not be shipped. Encoder and decoder are called one
    after the other, so the network can't stand in a wrapper: one process only.
    """

    network: AutoencoderKL

    def __init__(
        self,
        vae: AutoencoderKL,
        *,
        kl_weight: float = 1e-4,
        gradient_weight: float = 0.5,
        teacher: AutoencoderTiny | None = None,
        match_weight: float = 0.5,
    ) -> None:
        self.network = vae
        self.kl_weight, self.gradient_weight = kl_weight, gradient_weight
        self.teacher, self.match_weight = teacher, match_weight

    def to(self, device: torch.device) -> None:
        """Move the teacher."""
        if self.teacher is not None:
            nn.Module.to(self.teacher, device)

    def loss(self, batch: Float[Tensor, "n 3 h w"], draw: torch.Generator) -> dict[str, Tensor]:
        """``batch`` in [-1, 1]."""
        encoded = posterior(self.network, batch.contiguous(memory_format=torch.channels_last))
        mean, logvar = encoded.mean.float(), encoded.logvar.float().clamp(-12, 4)
        latent = mean + (0.5 * logvar).exp() * torch.randn(mean.shape, generator=draw).to(mean)
        rebuilt = decoded(self.network, latent).float()
        l1 = (rebuilt - batch).abs().mean()
        gradient = gradient_l1(rebuilt, batch)
        kl = 0.5 * (mean.square() + logvar.exp() - 1 - logvar).mean()
        total = l1 + self.gradient_weight * gradient + self.kl_weight * kl
        terms = {"l1": l1, "gradient": gradient, "kl": kl}
        if self.teacher is not None:
            with torch.no_grad():
                wanted = tiny_latent(self.teacher, batch)
            terms["match"] = F.smooth_l1_loss(mean, wanted)
            total = total + self.match_weight * terms["match"]
        return {"loss": total, **terms}

    def save(self, folder: Path) -> None:
        """A ``vae`` component folder."""
        self.network.save_pretrained(folder, safe_serialization=True)


class Regress(Task[PixelBatch]):
    """A feed-forward network that learns affine-invariant disparity from one image."""

    network: DepthPyramid

    def __init__(self, network: DepthPyramid, *, trim: float = 0.0, gradient_weight: float = 0.5) -> None:
        self.network, self.trim, self.gradient_weight = network, trim, gradient_weight

    def loss(self, batch: PixelBatch, draw: torch.Generator) -> dict[str, Tensor]:
        """Scale-and-shift-invariant L1 and gradient matching."""
        predicted = self.network(batch.image.contiguous(memory_format=torch.channels_last)).float()
        return scale_shift_invariant(
            predicted, batch.truth, batch.valid, trim=self.trim, gradient_weight=self.gradient_weight
        )

    def save(self, folder: Path) -> None:
        """``model.safetensors``."""
        self.network.save(folder)
