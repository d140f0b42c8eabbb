"""Small autoencoders that stand in for a model's own: photo -> latent, latent -> depth, in a fraction of the work.

Ours (``SmallVae``) are plain convolutions and decode to one channel. Layers at full resolution, which cost a large
autoencoder most of its time, are left out: the photo enters as 2 x 2 blocks of pixels, and depth leaves as such. That a
tiny autoencoder can be distilled from a full one was shown by TAESD (github.com/madebyollin/taesd). Knows no training.

Latents are the model's own: scaled, of about unit variance, what ``DiffusionModel.encode`` gives.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Float
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.nn import functional as F

from latentdepth.config import read_json, to_dict
from latentdepth.core.noise import generator
from latentdepth.models.student import fill, read_weights

ARCHITECTURE = "latentdepth small vae"
FOLDER = "vae_small"
"""Where a model's folder keeps the one that was distilled for it."""
_WEIGHTS = "model.safetensors"
_BOUND = 3.0  # latents are of unit variance: what lies far beyond is bent back before it is decoded


@runtime_checkable
class Coder(Protocol):
    """What turns photos into a model's latents and these into pictures; a module."""

    @property
    def latent_channels(self) -> int:
        """Of the latents."""
        ...

    @property
    def stride(self) -> int:
        """Pixels of the photo for one cell of the latent."""
        ...

    @property
    def channels(self) -> int:
        """Of the decoded picture: 1 (depth, disparity) or 3."""
        ...

    def encode(self, images: Float[Tensor, "n 3 h w"]) -> Float[Tensor, "n c hl wl"]:
        """The scaled latent of images in [-1, 1] whose sides are multiples of ``stride``."""
        ...

    def decode(self, latent: Float[Tensor, "n c hl wl"]) -> Float[Tensor, "n p h w"]:
        """The picture of a scaled latent, about [-1, 1], not clipped."""
        ...


@dataclass(frozen=True)
class SmallVaeFacts:
    """What ``config.json`` says."""

    architecture: str = ARCHITECTURE
    latent_channels: int = 4
    stride: int = 8
    """Pixels of the photo for one cell of the latent: 2, 4, 8 or 16."""
    channels: int = 1
    """Of the decoded picture: 1 for depth and disparity, 3 for normals."""
    width: int = 64
    """Channels at stride 2 and below the last one; twice as many at the last, where they cost little."""
    deep_blocks: int = 4
    """Residual blocks at the last stride, in each half; there are 1 at stride 2 and 2 at those between."""
    distilled_from: str = ""
    """The model whose autoencoder it learnt from; for the reader."""

    def __post_init__(self) -> None:
        if self.architecture != ARCHITECTURE:
            raise ValueError(f"architecture is {self.architecture!r}; allowed is {ARCHITECTURE!r}")
        if self.channels not in (1, 3):
            raise ValueError(f"channels is {self.channels}; allowed are 1 (depth, disparity) and 3 (normals)")
        if self.stride not in (2, 4, 8, 16):
            raise ValueError(f"stride is {self.stride}; allowed are 2, 4, 8 and 16")
        for key, least in (("latent_channels", 1), ("width", 4), ("deep_blocks", 1)):
            if getattr(self, key) < least:
                raise ValueError(f"{key} is {getattr(self, key)}; allowed is {least} or more")


class SmallVae(nn.Module):
    """Encoder and decoder of ``facts``; both work at stride 2 and coarser."""

    def __init__(self, facts: SmallVaeFacts) -> None:
        super().__init__()
        self.facts = facts
        levels = facts.stride.bit_length() - 1
        widths = [facts.width] * (levels - 1) + [2 * facts.width]
        blocks = [*[1, 2, 2][: levels - 1], facts.deep_blocks]
        down: list[nn.Module] = [nn.PixelUnshuffle(2), _conv(12, widths[0])]
        for level in range(levels):
            down += [_conv(widths[level - 1], widths[level], stride=2)] if level else []
            down += _blocks(widths[level], blocks[level])
        self.encoder = nn.Sequential(*down, _conv(widths[-1], facts.latent_channels))
        up: list[nn.Module] = [_conv(facts.latent_channels, widths[-1]), nn.ReLU()]
        for level in reversed(range(levels)):
            up += _blocks(widths[level], blocks[level])
            finer = widths[level - 1] if level else facts.channels
            up += [_conv(widths[level], 4 * finer), nn.PixelShuffle(2)]
        self.decoder = nn.Sequential(*up)

    @property
    def stride(self) -> int:
        """Pixels of the photo for one cell of the latent."""
        return self.facts.stride

    @property
    def latent_channels(self) -> int:
        """Of the latents."""
        return self.facts.latent_channels

    @property
    def channels(self) -> int:
        """Of the decoded picture."""
        return self.facts.channels

    def encode(self, images: Float[Tensor, "n 3 h w"]) -> Float[Tensor, "n c hl wl"]:
        """The scaled latent of images in [-1, 1] whose sides are multiples of ``stride``."""
        return self.encoder(images)

    def decode(self, latent: Float[Tensor, "n c hl wl"]) -> Float[Tensor, "n p h w"]:
        """The picture of a scaled latent, about [-1, 1], not clipped."""
        return self.decoder(_BOUND * torch.tanh(latent / _BOUND))

    def save(self, folder: Path) -> None:
        """``config.json`` and ``model.safetensors``."""
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "config.json").write_text(json.dumps(to_dict(self.facts), indent=2) + "\n")
        weights = {name: tensor.detach().cpu().contiguous() for name, tensor in self.state_dict().items()}
        save_file(weights, folder / _WEIGHTS, metadata={"format": "pt"})


class _Block(nn.Module):
    """Two convolutions beside the identity."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.first, self.second = _conv(channels, channels), _conv(channels, channels)
        with torch.no_grad():  # a deep chain of such sums starts near the identity
            self.second.weight.mul_(0.5)

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(x + self.second(F.relu(self.first(x))))


def _conv(inputs: int, outputs: int, *, stride: int = 1) -> nn.Conv2d:
    return nn.Conv2d(inputs, outputs, 3, stride=stride, padding=1)


def _blocks(channels: int, count: int) -> list[_Block]:
    return [_Block(channels) for _ in range(count)]


def new_small_vae(
    latent_channels: int = 4,
    *,
    stride: int = 8,
    channels: int = 1,
    width: int = 64,
    deep_blocks: int = 4,
    distilled_from: str = "",
    seed: int = 0,
) -> SmallVae:
    """A small autoencoder with random weights of ``seed``, float32, in evaluation mode; see ``SmallVaeFacts``."""
    with torch.random.fork_rng():
        torch.manual_seed(generator("small vae", seed).initial_seed())  # modules take no generator
        facts = SmallVaeFacts(
            latent_channels=latent_channels,
            stride=stride,
            channels=channels,
            width=width,
            deep_blocks=deep_blocks,
            distilled_from=distilled_from,
        )
        return SmallVae(facts).eval()


def load_small_vae(folder: Path) -> SmallVae:
    """The small autoencoder that ``SmallVae.save`` wrote, float32, ready to predict.

    Raises ValueError, naming the file, for missing, damaged, mismatched or non-finite weights and unknown facts.
    """
    path = folder / "config.json"
    if not path.is_file():
        raise ValueError(f"{path} is missing; wanted is a folder that `latentdepth distill-vae` left")
    vae = SmallVae(read_json(SmallVaeFacts, path))
    fill(vae, read_weights(folder / _WEIGHTS), folder / _WEIGHTS)
    return vae.eval().requires_grad_(False)
