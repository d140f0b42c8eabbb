"""The embedded model's networks and schedule, new: small enough to be trained on two processor cores. Knows no data."""

from __future__ import annotations

from pathlib import Path
from typing import Any, TypeVar

import torch
from diffusers import AutoencoderKL, UNet2DConditionModel
from torch import Tensor, nn

from latentdepth.core.noise import generator
from latentdepth.core.schedule import Schedule, scaled_linear, zero_terminal_snr
from latentdepth.models.diffusion import DiffusionModel
from latentdepth.models.facts import Facts

PROMPT_WIDTH = 64
PROMPT_TOKENS = 2


def new_vae() -> AutoencoderKL:
    """1.8 M parameters, 8x, 4 channels, no attention: full-resolution layers are what costs time on a CPU."""
    construct: Any = AutoencoderKL  # its annotations allow one level only
    return construct(
        block_out_channels=(32, 48, 64, 96),
        down_block_types=("DownEncoderBlock2D",) * 4,
        up_block_types=("UpDecoderBlock2D",) * 4,
        layers_per_block=1,
        norm_num_groups=16,
        latent_channels=4,
        mid_block_add_attention=False,
    )


def new_unet(in_channels: int) -> UNet2DConditionModel:
    """13.3 M parameters; attention at the two lower resolutions, where it is cheap and sees the whole image."""
    construct: Any = UNet2DConditionModel  # as above
    return construct(
        in_channels=in_channels,
        out_channels=4,
        block_out_channels=(64, 128, 224),
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"),
        layers_per_block=1,
        cross_attention_dim=PROMPT_WIDTH,
        attention_head_dim=(2, 4, 7),  # diffusers takes this for the *number* of heads; 32 channels each
        use_linear_projection=True,
    )


ModuleT = TypeVar("ModuleT", bound=nn.Module)


def channels_last(network: ModuleT) -> ModuleT:
    """The memory layout that bf16 convolutions on a CPU are fastest in; in place."""
    nn.Module.to(network, memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]
    return network


def schedule() -> Schedule:
    """Stable Diffusion's betas with zero terminal SNR, v-prediction, trailing."""
    return Schedule(zero_terminal_snr(scaled_linear()))


def empty_prompt() -> Tensor:
    """A fixed random stand-in for the embedded empty prompt: the network only needs a constant."""
    return torch.randn(1, PROMPT_TOKENS, PROMPT_WIDTH, generator=generator("empty prompt"))


def model_on(folder: Path, *, channels: int, facts: Facts) -> DiffusionModel:
    """A new U-Net of ``channels`` inputs on the autoencoder in ``folder``/vae; weights from torch's global generator.

    Raises ValueError where there is no autoencoder.
    """
    if not (folder / "vae" / "config.json").is_file():
        raise ValueError(
            f"{folder / 'vae' / 'config.json'} is missing; base.kind autoencoder starts from a folder with vae/, such "
            "as runs/tiny-vae/model after `latentdepth train tiny-vae`"
        )
    vae = AutoencoderKL.from_pretrained(folder / "vae", local_files_only=True)
    return DiffusionModel(new_unet(channels), vae, schedule(), empty_prompt(), facts)
