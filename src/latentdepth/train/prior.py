"""An image prior from nothing: Marigold's objective where the photo itself is what is denoised, and nothing beside it.

The folder that is saved has the layout of a text-to-image model, so that a depth model starts from it by the same
surgery as from Stable Diffusion. Paper: latent diffusion (arXiv 2112.10752).
"""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor

from latentdepth.core.noise import generator
from latentdepth.data.batch import Batch
from latentdepth.data.options import TargetKind
from latentdepth.models.diffusion import DiffusionModel
from latentdepth.train.denoise import denoising_loss
from latentdepth.train.latents import LatentBatch, latent_mean
from latentdepth.train.model_task import ModelTask
from latentdepth.train.options import DenoiseOptions
from latentdepth.train.task import Judged

_SHOWN_AT = 0.5
"""Share of the schedule at which validation shows what the network makes of a noised photo."""


class ImagePrior(ModelTask):
    """The denoiser of photos' latents; ``model``'s U-Net takes and gives the autoencoder's channels."""

    def __init__(self, model: DiffusionModel, options: DenoiseOptions | None = None) -> None:
        super().__init__(model, image_enters="as_latent")
        self.options = options or DenoiseOptions()

    @property
    def kind(self) -> TargetKind:
        """Photos."""
        return "photo"

    @torch.no_grad()
    def encoded(self, batch: Batch) -> LatentBatch:
        """The photos' latents as the target, and no image beside them."""
        latent = latent_mean(self.model.vae, batch.image) * self.model.scale
        return LatentBatch(latent, None, torch.ones_like(latent[:, :1], dtype=torch.bool))

    def loss(self, batch: Batch | LatentBatch, draw: torch.Generator) -> dict[str, Tensor]:
        """MSE of the network's output against the schedule's target."""
        latents = self.encoded(batch) if isinstance(batch, Batch) else batch.to(self.device)
        return {"loss": denoising_loss(self._predict, self.model.schedule, latents, self.options, draw)}

    def _predict(self, noisy: Tensor, t: Tensor) -> Tensor:
        return self.called(self.network, noisy, t)

    def judge(self, batch: Batch) -> Judged:
        """``loss`` at fixed timesteps with fixed noise; the photo, as the autoencoder has it, and denoised half way."""
        clean, schedule, unet = self.encoded(batch), self.model.schedule, self._bare()
        last = schedule.length - 1
        noise = torch.randn(clean.target.shape, generator=generator("judge")).to(clean.target)
        losses, shown = [], clean.target
        for share in (0.1, 0.3, _SHOWN_AT, 0.7, 0.9, 1.0):
            t = torch.full((len(noise),), round(share * last), device=noise.device)
            noisy = schedule.add_noise(clean.target, noise, t)
            said = self.called(unet, noisy, t)
            losses.append(float((said - schedule.target(clean.target, noise, t)).square().mean()))
            shown = schedule.x0(said, noisy, t) if share == _SHOWN_AT else shown
        pictures = [batch.image, *(self.model.decode(latent) for latent in (clean.target, shown))]
        seen = tuple(((picture[0].cpu() + 1) / 2).clamp(0, 1) for picture in pictures)
        return Judged({"loss": sum(losses) / len(losses)}, seen)

    def save(self, folder: Path) -> None:
        """A folder in a text-to-image model's layout."""
        super().save(folder)
        for name in ("model_index.json", "latentdepth.json"):  # they would make it pass for a depth model
            (folder / name).unlink()
