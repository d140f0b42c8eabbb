"""Marigold's objective: predict v, noise or x0 of a noised target latent, beside the photo's latent.

Which of them, and on which noise schedule, stands in the model's folder: Stable Diffusion 2's own for Marigold v1.0,
rescaled to zero terminal SNR and trailing for v1.1. Paper: Marigold (arXiv 2312.02145), section 3.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from jaxtyping import Float, Int
from torch import Tensor

from latentdepth.core.noise import annealed_strength, multires_as_original, multires_as_paper
from latentdepth.core.schedule import Schedule
from latentdepth.data.batch import Batch
from latentdepth.models.diffusion import DiffusionModel
from latentdepth.train.latents import LatentBatch
from latentdepth.train.losses import masked_mean
from latentdepth.train.model_task import ModelTask
from latentdepth.train.options import DenoiseOptions


def training_noise(
    shape: tuple[int, int, int, int],
    t: Int[Tensor, " n"],
    length: int,
    options: DenoiseOptions,
    draw: torch.Generator,
) -> Float[Tensor, "n c hl wl"]:
    """Noise of about unit variance for samples at timesteps ``t`` (on the CPU) of ``length``."""
    if options.noise == "gaussian" or options.strength == 0:
        return torch.randn(shape, generator=draw)
    strength = annealed_strength(t, length, options.strength) if options.annealed else options.strength
    if options.noise == "paper":
        return multires_as_paper(shape, strength, draw)
    return multires_as_original(shape, strength, draw, strategy=options.noise)


def timesteps(n: int, length: int, options: DenoiseOptions, draw: torch.Generator) -> Int[Tensor, " n"]:
    """Uniform from 0 to ``length`` - 1, but for ``last_share`` of them, which are the last."""
    t = torch.randint(0, length, (n,), generator=draw)
    return torch.where(torch.rand(n, generator=draw) < options.last_share, length - 1, t)


def denoising_loss(
    predict: Callable[[Tensor, Tensor], Tensor],
    schedule: Schedule,
    batch: LatentBatch,
    options: DenoiseOptions,
    draw: torch.Generator,
) -> Float[Tensor, ""]:
    """Squared error of ``predict(noisy latent, t)`` against the schedule's target at random timesteps.

    Mean over valid cells, as ``options.mean_over`` says. The numbers drawn are the same on every device.
    """
    n, c, h, w = batch.target.shape
    t = timesteps(n, schedule.length, options, draw)
    noise = training_noise((n, c, h, w), t, schedule.length, options, draw).to(batch.target)
    t = t.to(batch.target.device)
    predicted = predict(schedule.add_noise(batch.target, noise, t), t)
    error = (predicted - schedule.target(batch.target, noise, t)).square()
    return masked_mean(error, batch.valid, over=options.mean_over)


class Marigold(ModelTask):
    """The same objective on a whole model, whose folder it saves. Several target pictures are predicted at once."""

    def __init__(self, model: DiffusionModel, options: DenoiseOptions | None = None) -> None:
        super().__init__(model, image_enters="beside")
        self.options = options or DenoiseOptions()

    def loss(self, batch: Batch | LatentBatch, draw: torch.Generator) -> dict[str, Tensor]:
        """MSE of the network's output against the schedule's target, on latent cells whose pixels are all valid."""
        latents, image = self.latents(batch)

        def predict(noisy: Tensor, t: Tensor) -> Tensor:
            return self.called(self.network, torch.cat((image, noisy), 1), t)

        return {"loss": denoising_loss(predict, self.model.schedule, latents, self.options, draw)}
