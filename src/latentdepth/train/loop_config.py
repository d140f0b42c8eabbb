"""What the training loop can be told: how long, in what portions, how fast, what is averaged and written down.

Knows no torch, no task and no data. Numbers that can be judged without looking at devices are judged here.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

from latentdepth.options import Device

ScheduleName = Literal["published", "cosine", "polynomial", "constant"]
OptimiserName = Literal["adam", "adamw", "adamw8bit"]
Precision = Literal["float32", "bfloat16"]


def at_least(config: Any, table: str, **least: float) -> None:
    """ValueError for a field of ``config`` below its bound; ``table`` is what the recipe calls ``config``."""
    for key, bound in least.items():
        if not getattr(config, key) >= bound:
            raise ValueError(f"{table}.{key} is {getattr(config, key)}; allowed is {bound} or more")


@dataclass(frozen=True)
class OptimConfig:
    """The optimiser and the learning rate over time."""

    name: OptimiserName = "adamw"
    """adam is the published one; adamw8bit needs bitsandbytes and a CUDA device."""
    lr: float = 3e-5
    """Peak learning rate."""
    schedule: ScheduleName = "published"
    """After the warm-up: published falls exponentially, cosine along half a cosine, polynomial as (1 - done)^0.9, all
    to ``final``."""
    warmup: int = 100
    """Steps of linear rise from lr / warmup to lr; never 0."""
    final: float = 0.01
    """Last learning rate as a share of the peak."""
    decay_steps: int | None = None
    """Step at which ``final`` is reached; by default the last one of the run."""
    betas: tuple[float, float] = (0.9, 0.999)
    eps: float = 1e-8
    weight_decay: float = 0.0
    clip: float = 1.0
    """Gradients are clipped to this norm; 0 is off."""
    master: bool = True
    """Where the weights are bfloat16: keep a float32 copy that takes the updates, which else are rounded away."""

    def __post_init__(self) -> None:
        at_least(self, "optim", warmup=0, eps=0, weight_decay=0)
        if not self.lr > 0:
            raise ValueError(f"optim.lr is {self.lr}; allowed is a number above 0, such as 3e-5")
        if not 0 < self.final <= 1:
            raise ValueError(f"optim.final is {self.final}; allowed is more than 0 and at most 1, a share of the peak")
        if self.decay_steps is not None and self.decay_steps <= self.warmup:
            raise ValueError(f"optim.decay_steps is {self.decay_steps}; allowed is more than warmup, {self.warmup}")
        if self.clip < 0:
            raise ValueError(f"optim.clip is {self.clip}; allowed is a norm above 0, or 0 for no clipping")


@dataclass(frozen=True)
class EmaConfig:
    """Moving averages of the weights. A checkpoint's model is the average where there is one."""

    decay: float = 0.0
    """Of the exponential average that is validated and saved; 0 is off (as published)."""
    widths: tuple[float, ...] = ()
    """Relative widths of the two power-function averages that are kept as snapshots, such as 0.05 0.1; from them any
    width can be made afterwards: ``latentdepth export-checkpoint --ema-width``."""
    snapshot_every: int = 1000
    """Steps between those snapshots."""

    def __post_init__(self) -> None:
        if not 0 <= self.decay < 1:
            raise ValueError(f"ema.decay is {self.decay}; allowed is 0 (off) to less than 1, such as 0.9999")
        if len(self.widths) == 1 or any(not 0 < width < 0.28 for width in self.widths):
            raise ValueError(
                f"ema.widths is {list(self.widths)}; allowed are none, or two or more numbers above 0 and below 0.28, "
                "such as 0.05 and 0.1"
            )
        at_least(self, "ema", snapshot_every=1)


@dataclass(frozen=True)
class LoopConfig:
    """How long, in what portions, and where."""

    steps: int = 20_000
    """Optimiser steps."""
    minutes: float | None = None
    """Stop (saving first) after this long; the same command goes on from there."""
    batch: int = 32
    """Samples per optimiser step, over all processes."""
    micro_batch: int = 2
    """Samples that one device computes at once. Gradients of batch / micro_batch portions are added up."""
    seed: int = 2024
    precision: Precision = "bfloat16"
    """What networks compute in (autocast)."""
    weights: Precision = "float32"
    """What the trained weights are stored in."""
    recompute: bool = False
    """Compute activations again in the backward pass (gradient checkpointing): slower, much less memory."""
    shard: bool = False
    """Several GPUs: spread weights and optimiser over them (FSDP) instead of copying them to each (DDP)."""
    device: Device = "auto"
    workers: int = 2
    """Processes that read data for each device; 0 reads in the training process."""
    save_every: int = 1000
    """Steps between checkpoints."""
    keep: int = 2
    """Newest checkpoints that are kept. The best model is kept besides."""

    def __post_init__(self) -> None:
        at_least(self, "loop", steps=1, batch=1, micro_batch=1, workers=0, save_every=1, keep=1)
        if self.minutes is not None and self.minutes <= 0:
            raise ValueError(f"loop.minutes is {self.minutes}; allowed is a number above 0, or none for no limit")
        if self.batch % self.micro_batch:
            raise ValueError(
                f"loop.batch is {self.batch}, which loop.micro_batch = {self.micro_batch} does not divide; "
                f"take --loop.batch {_near_multiple(self.batch, self.micro_batch)}"
            )
        if self.device == "mps" and self.shard:
            raise ValueError("loop.shard needs several CUDA devices or processes; leave it out on mps")

    def portions(self, processes: int) -> int:
        """Micro-batches of one step on each process. ValueError when they can't be shared out evenly."""
        portions = self.batch // self.micro_batch
        if portions % processes:
            unit = self.micro_batch * processes
            raise ValueError(
                f"loop.batch is {self.batch}: with micro_batch {self.micro_batch} that is {portions} portions, which "
                f"{processes} processes can't share evenly; take --loop.batch {_near_multiple(self.batch, unit)}"
            )
        return portions // processes


@dataclass(frozen=True)
class LogConfig:
    """What is written down on the way."""

    every: int = 20
    """Steps between lines of the log."""
    tensorboard: bool = True
    """Curves and pictures for TensorBoard, besides log.jsonl."""

    def __post_init__(self) -> None:
        at_least(self, "log", every=1)


@dataclass(frozen=True)
class FitConfig:
    """All that the loop itself needs."""

    loop: LoopConfig = field(default_factory=LoopConfig)
    optim: OptimConfig = field(default_factory=OptimConfig)
    ema: EmaConfig = field(default_factory=EmaConfig)
    log: LogConfig = field(default_factory=LogConfig)

    def __post_init__(self) -> None:
        if self.loop.shard and self.optim.name == "adamw8bit":
            raise ValueError("optim.name is adamw8bit, whose moments can't be spread by loop.shard; take adamw")


def _near_multiple(number: int, unit: int) -> str:
    below, above = number // unit * unit, (number // unit + 1) * unit
    return f"{above}" if below == 0 else f"{below} or {above}"
