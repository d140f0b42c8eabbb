"""Which autoencoder a model predicts through, by name: its own, the small one of its folder, or one from elsewhere.

Published tiny autoencoders are read in diffusers' ``AutoencoderTiny`` layout, or as the pair of files that TAESD's
authors publish. Does not know diffusion models.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from diffusers import AutoencoderTiny
from jaxtyping import Float
from torch import Tensor, nn

from latentdepth.models.small_vae import ARCHITECTURE, FOLDER, Coder, load_small_vae
from latentdepth.models.source import resolve
from latentdepth.models.student import fill, read_weights
from latentdepth.models.tiny_vae import load_tiny_vae, tiny_latent

_WEIGHTS = ("diffusion_pytorch_model.safetensors", "diffusion_pytorch_model.fp16.safetensors")
_PAIR = "_encoder.safetensors"


class PublishedVae(nn.Module):
    """A published tiny autoencoder, whose latents are already those that a U-Net sees."""

    channels = 3

    def __init__(self, vae: AutoencoderTiny) -> None:
        super().__init__()
        self.vae = vae
        self.factor = float(vae.config["scaling_factor"])

    @property
    def latent_channels(self) -> int:
        """Of the latents."""
        return int(self.vae.config["latent_channels"])

    @property
    def stride(self) -> int:
        """Pixels of the photo for one cell of the latent."""
        return 2 ** (len(self.vae.config["encoder_block_out_channels"]) - 1)

    def encode(self, images: Float[Tensor, "n 3 h w"]) -> Float[Tensor, "n c hl wl"]:
        """The scaled latent of images in [-1, 1]."""
        return tiny_latent(self.vae, images) * self.factor

    def decode(self, latent: Float[Tensor, "n c hl wl"]) -> Float[Tensor, "n 3 h w"]:
        """The picture of a scaled latent, about [-1, 1]."""
        picture: Any = self.vae.decode(latent / self.factor)  # diffusers: a tuple or an object; it is the object
        return picture.sample


def load_vae(choice: str, model: str) -> Coder:
    """The autoencoder that ``choice`` names (small, dir:PATH, hub:ORG/REPO[@REV]) for ``model`` (builtin:, dir:, hub:).

    Raises ValueError, saying what to type, when there is none, or its files won't do.
    """
    if choice == "small":
        folder = resolve(model) / FOLDER
        if not folder.is_dir():
            raise ValueError(
                f"vae is small, and {model} has no small autoencoder ({folder} is missing). Make one: "
                f"`latentdepth distill-vae {model} --data SHARDS --photos PHOTOS --out OUT`, then give --vae small, or "
                "--vae dir:OUT/model where the model's own folder is not to be written to"
            )
        return load_small_vae(folder)
    folder = resolve(choice)
    for place in (folder, folder / FOLDER, folder / "vae"):
        config = _config(place)
        if config.get("architecture") == ARCHITECTURE:
            return load_small_vae(place)
        if config.get("_class_name") == "AutoencoderTiny":
            return _published(place, config)
    pairs = sorted(folder.glob(f"*{_PAIR}"))
    if len(pairs) == 1:
        return PublishedVae(load_tiny_vae(folder, pairs[0].name.removesuffix(_PAIR)))
    raise ValueError(
        f"vae {choice}: {folder} holds no small autoencoder; wanted is a folder that `latentdepth distill-vae` left "
        "(such as dir:OUT/model), or a tiny autoencoder of diffusers, with config.json that says AutoencoderTiny and "
        f"{_WEIGHTS[0]} (such as hub:madebyollin/taesd). The model's own is --vae full"
    )


def _config(folder: Path) -> dict[str, Any]:
    try:
        config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    except OSError:
        return {}
    except ValueError as error:
        raise ValueError(f"{folder / 'config.json'} is not valid JSON: {error}") from error
    return config if isinstance(config, dict) else {}


def _published(folder: Path, config: dict[str, Any]) -> PublishedVae:
    vae = AutoencoderTiny.from_config(config)
    assert isinstance(vae, AutoencoderTiny)
    path = next((folder / name for name in _WEIGHTS if (folder / name).is_file()), folder / _WEIGHTS[0])
    fill(vae, read_weights(path), path)
    return PublishedVae(vae.eval().requires_grad_(False))
