"""What can be trained: the autoencoder, and the denoiser (as an image prior, then for depth).

A task owns a network and its loss; it knows no devices, optimisers or files beyond saving itself.
Papers: latent diffusion (arXiv 2112.10752) for the autoencoder, Marigold (2312.02145) for the denoiser.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch
from diffusers import AutoencoderKL, UNet2DConditionModel
from jaxtyping import Bool, Float
from torch import Tensor
from torch.nn import functional as F

from latentdepth.core.noise import annealed_strength, multires_as_paper
from latentdepth.core.schedule import Schedule
from latentdepth.models.diffusion import decoded, posterior


@dataclass(frozen=True)
class LatentBatch:
    """Encoded examples; ``image`` is None when the photo itself is the target (image prior)."""

    target: Float[Tensor, "n 4 hl wl"]
    image: Float[Tensor, "n 4 hl wl"] | None
    valid: Bool[Tensor, "n 1 hl wl"]


def gradient_l1(a: Float[Tensor, "n c h w"], b: Float[Tensor, "n c h w"]) -> Tensor:
    """Mean absolute difference of horizontal and vertical finite differences, at full and half size."""
    total = a.new_zeros(())
    for _ in range(2):
        difference = a - b
        total = total + difference.diff(dim=-1).abs().mean() + difference.diff(dim=-2).abs().mean()
        a, b = F.avg_pool2d(a, 2), F.avg_pool2d(b, 2)
    return total


class Autoencode:
    """Reconstruct photos and depth maps: L1, gradient L1, and a light pull of the latent to the unit normal."""

    def __init__(self, vae: AutoencoderKL, *, kl_weight: float = 1e-4, gradient_weight: float = 0.5) -> None:
        self.network = vae
        self.kl_weight, self.gradient_weight = kl_weight, gradient_weight

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
        return {"loss": total, "l1": l1, "gradient": gradient, "kl": kl}

    def save(self, folder: Path) -> None:
        """A ``vae`` component folder."""
        self.network.save_pretrained(folder, safe_serialization=True)


class Denoise:
    """Marigold's objective: predict v (or eps, or x0) of a noised target latent, beside the photo's latent.

    ``last_share`` of the samples are drawn at the last timestep, where one-step inference lives; 0 is the published
    protocol. The remaining timesteps are uniform. Loss on latent cells whose pixels are all valid (section 3.3).
    """

    def __init__(
        self,
        unet: UNet2DConditionModel,
        schedule: Schedule,
        empty_prompt: Float[Tensor, "1 k d"],
        *,
        multires_strength: float = 0.9,
        last_share: float = 0.0,
    ) -> None:
        self.network, self.schedule, self.empty_prompt = unet, schedule, empty_prompt
        self.multires_strength, self.last_share = multires_strength, last_share

    def loss(self, batch: LatentBatch, draw: torch.Generator) -> dict[str, Tensor]:
        """MSE of the network's output against the schedule's target."""
        n, length = batch.target.shape[0], self.schedule.length
        t = torch.randint(0, length, (n,), generator=draw)
        t = torch.where(torch.rand(n, generator=draw) < self.last_share, length - 1, t)
        c, h, w = batch.target.shape[1:]
        if self.multires_strength > 0:
            strength = annealed_strength(t, length, self.multires_strength)
            noise = multires_as_paper((n, c, h, w), strength, draw)
        else:
            noise = torch.randn((n, c, h, w), generator=draw)
        noisy = self.schedule.add_noise(batch.target, noise, t)
        network_in = noisy if batch.image is None else torch.cat((batch.image, noisy), 1)
        predicted = self.network(
            network_in.contiguous(memory_format=torch.channels_last),
            t,
            encoder_hidden_states=self.empty_prompt.expand(n, -1, -1),
        ).sample.float()
        error = (predicted - self.schedule.target(batch.target, noise, t)).square()
        weight = batch.valid.float().expand_as(error)
        return {"loss": (error * weight).sum() / weight.sum().clamp(min=1)}

    def save(self, folder: Path) -> None:
        """A ``unet`` component folder."""
        self.network.save_pretrained(folder, safe_serialization=True)
