"""Examples as the frozen autoencoder sees them. Knows no losses and no files."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from diffusers import AutoencoderKL
from jaxtyping import Bool, Float
from torch import Tensor
from torch.nn import functional as F

from latentdepth.data.batch import Batch
from latentdepth.models.diffusion import DiffusionModel, posterior


@dataclass(frozen=True)
class LatentBatch:
    """Encoded examples; ``image`` is None when the photo itself is the target (image prior).

    ``target`` has 4 channels for each picture that is predicted, one picture for depth, disparity and normals.
    """

    target: Float[Tensor, "n k hl wl"]
    image: Float[Tensor, "n ci hl wl"] | None
    """The photos' latents, and behind these the guide's map where the model has one."""
    valid: Bool[Tensor, "n 1 hl wl"]
    features: tuple[Float[Tensor, "n _ _ _"], ...] = ()
    """What a teacher network sees in the photos, where alignment with it is trained."""

    def to(self, device: torch.device | str) -> LatentBatch:
        """The same batch elsewhere."""
        image = None if self.image is None else self.image.to(device)
        features = tuple(f.to(device) for f in self.features)
        return LatentBatch(self.target.to(device), image, self.valid.to(device), features)


def latent_mask(valid: Bool[Tensor, "n 1 h w"], stride: int) -> Bool[Tensor, "n 1 hl wl"]:
    """A latent cell is valid only if all of its pixels are (max-pool of the invalid mask)."""
    return F.max_pool2d((~valid).float(), stride) < 0.5


@torch.no_grad()
def encoded(model: DiffusionModel, batch: Batch) -> LatentBatch:
    """``batch`` as ``model`` sees it: means of latents, scaled. A cell is valid where all of its pixels are.

    A target of one channel is encoded as a grey picture, of 3k channels as k pictures whose latents are stacked.
    Raises ValueError for other numbers of channels and for sides that the autoencoder's stride doesn't divide.
    """
    n, channels, h, w = batch.target.shape
    if channels != 1 and channels % 3:
        raise ValueError(f"the target has {channels} channels; allowed are 1 and multiples of 3")
    if h % model.stride or w % model.stride:
        raise ValueError(
            f"the batch is {w} x {h} pixels; both must be multiples of {model.stride}, the autoencoder's stride: "
            "choose another size in the recipe"
        )
    pictures = batch.target.expand(-1, 3, -1, -1) if channels == 1 else batch.target
    pictures = pictures.reshape(-1, 3, h, w)
    latents = latent_mean(model.vae, torch.cat((batch.image, pictures))) * model.scale
    image, target = model.condition(batch.image, latents[:n]), latents[n:].reshape(n, -1, *latents.shape[-2:])
    return LatentBatch(target, image, latent_mask(batch.valid.to(target.device), model.stride))


def latent_mean(vae: AutoencoderKL, images: Float[Tensor, "n 3 h w"]) -> Float[Tensor, "n 4 hl wl"]:
    """Unscaled mean latent of images in [-1, 1], float32, on the autoencoder's device and in its dtype."""
    weight = next(vae.parameters())
    return posterior(vae, images.to(weight).contiguous(memory_format=torch.channels_last)).mode().float()
