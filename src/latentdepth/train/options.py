"""What a recipe may say of a task: plain numbers and names. Knows no tensors, so that ``--help`` needs no torch."""

from __future__ import annotations

from dataclasses import dataclass
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
