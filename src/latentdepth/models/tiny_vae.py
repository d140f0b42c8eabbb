"""Published tiny autoencoders (TAESD), as teachers of our own: read from their files, never shipped."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from diffusers import AutoencoderTiny
from jaxtyping import Float
from safetensors.torch import load_file
from torch import Tensor


def load_tiny_vae(folder: Path, prefix: str = "taesdxl") -> AutoencoderTiny:
    """A published tiny autoencoder from ``PREFIX_encoder.safetensors`` and ``PREFIX_decoder.safetensors``.

    Raises ValueError when a file is missing or its weights are of another shape.
    """
    vae = AutoencoderTiny()
    for name, part, first in (("encoder", vae.encoder, 0), ("decoder", vae.decoder, 1)):
        path = folder / f"{prefix}_{name}.safetensors"
        if not path.exists():
            raise ValueError(
                f"{path} is missing; expected {prefix}_encoder.safetensors and {prefix}_decoder.safetensors"
            )
        # The published decoder counts a clamp as its layer 0; diffusers has none there.
        weights = {
            f"layers.{int(k.split('.')[0]) - first}.{k.split('.', 1)[1]}": v.float() for k, v in load_file(path).items()
        }
        try:
            part.load_state_dict(weights)
        except RuntimeError as error:
            raise ValueError(f"{path} is no tiny autoencoder with 4 latent channels: {error}") from None
    return vae.eval().requires_grad_(False)


def tiny_latent(vae: AutoencoderTiny, images: Float[Tensor, "n 3 h w"]) -> Float[Tensor, "n c hl wl"]:
    """The latent of images in [-1, 1], already of about unit variance, float32."""
    encoded: Any = vae.encode(images)
    return encoded.latents.float()
