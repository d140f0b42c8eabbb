"""One-step fine-tuning through the frozen decoder, to a loss on the values themselves.

The network is called once at the last timestep on zeros in the noise's place; its clean latent is decoded and compared
with the target as what it is: depth up to scale and shift, or directions. Paper: E2E-FT (arXiv 2409.11355).
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from latentdepth.core.noise import annealed_strength, multires_as_paper
from latentdepth.data.batch import Batch
from latentdepth.models.diffusion import DiffusionModel, decoded
from latentdepth.train.latents import LatentBatch, latent_mean
from latentdepth.train.losses import affine_l1, angular, gradient_matching, half_range, least_squares_fitted
from latentdepth.train.model_task import ModelTask
from latentdepth.train.options import EndToEndOptions


class EndToEnd(ModelTask):
    """Affine-invariant L1 for depth and disparity, the mean angle for normals; needs batches of pixels.

    The saved folder says that it takes one step and what it starts from.
    """

    def __init__(self, model: DiffusionModel, options: EndToEndOptions | None = None) -> None:
        self.options = options or EndToEndOptions()
        normals = model.facts.modality == "normals"
        if normals and self.options.gradient_weight > 0:
            raise ValueError(
                f"gradient_weight is {self.options.gradient_weight} for normals; gradient matching is for depth and "
                "disparity: leave it at 0"
            )
        start = "zeros" if self.options.start == "zeros" else "noise"
        super().__init__(model, image_enters="beside", start=start, sampler="one_step", steps=1, timestep=None)
        if self.targets != 1:
            raise ValueError(f"the network predicts {self.targets} pictures at once; EndToEnd has a loss for 1")
        self.normals = normals
        if model.unet.is_gradient_checkpointing:  # the decoder's activations at full size are most of the memory
            model.vae.enable_gradient_checkpointing()

    def value(self, image_latent: Float[Tensor, "n ci hl wl"], draw: torch.Generator) -> Float[Tensor, "n c h w"]:
        """The decoded answer, with gradients: the mean channel in [-1, 1], or three channels for normals."""
        n, last = image_latent.shape[0], self.model.schedule.length - 1
        x = self._start((n, self.model.latent_channels, *image_latent.shape[2:]), draw).to(image_latent)
        t = torch.full((n,), last, device=image_latent.device)
        predicted = self.called(self.network, torch.cat((image_latent, x), 1), t)
        latent = self.model.schedule.x0(predicted, x, t) / self.model.scale
        picture = decoded(self.model.vae, latent.contiguous(memory_format=torch.channels_last)).float()
        return picture if self.normals else picture.mean(1, keepdim=True).clamp(-1, 1)

    def loss(self, batch: Batch | LatentBatch, draw: torch.Generator) -> dict[str, Tensor]:
        """``affine`` (and ``gradient``) or ``angle`` in radians, and their weighted sum."""
        if not isinstance(batch, Batch):
            raise ValueError("EndToEnd compares decoded values: give it pixels, not latents encoded before")
        batch = batch.to(self.device)
        with torch.no_grad():
            image = self.model.condition(batch.image, latent_mean(self.model.vae, batch.image) * self.model.scale)
        value = self.value(image, draw)
        if self.normals:
            angle = angular(value, batch.target, batch.valid)
            return {"loss": angle, "angle": angle.detach()}
        terms = {"affine": affine_l1(value, batch.target, batch.valid)}
        total = terms["affine"]
        if self.options.gradient_weight > 0:
            unit = half_range(batch.target, batch.valid)
            fitted = least_squares_fitted(value, batch.target, batch.valid)
            terms["gradient"] = gradient_matching(fitted / unit, batch.target / unit, batch.valid)
            total = total + self.options.gradient_weight * terms["gradient"]
        return {"loss": total, **{name: term.detach() for name, term in terms.items()}}

    def _start(self, shape: tuple[int, ...], draw: torch.Generator) -> Tensor:
        n, c, h, w = shape
        if self.options.start == "zeros":
            return torch.zeros(shape)
        if self.options.start == "gaussian":
            return torch.randn(shape, generator=draw)
        last = torch.full((n,), self.model.schedule.length - 1)
        return multires_as_paper((n, c, h, w), annealed_strength(last, self.model.schedule.length), draw)
