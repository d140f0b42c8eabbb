"""What a training run can be told: frozen dataclasses that are recipe, command-line options and record alike.

Knows no torch, so that ``latentdepth train --help`` is quick. Numbers that can be judged without looking at data or
devices are judged here.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatch
from pathlib import Path
from typing import Any, Literal, get_args

from latentdepth.config import to_dict
from latentdepth.data.options import Augmentation, Target
from latentdepth.options import DEFAULT_MODEL, Device
from latentdepth.train.options import ConsistencyOptions, DenoiseOptions, EndToEndOptions, LoraOptions, LotusOptions

TaskName = Literal["denoise", "end_to_end", "consistency", "lotus"]
TargetName = Literal["depth", "disparity", "normals"]
DataFormat = Literal["shards", "folder", "hypersim", "vkitti2", "interiorverse"]
ScheduleName = Literal["published", "cosine", "constant"]
OptimiserName = Literal["adam", "adamw", "adamw8bit"]
Precision = Literal["float32", "bfloat16"]

FREE_ON_RESUME = (
    "loop.steps", "loop.minutes", "loop.save_every", "loop.keep", "loop.workers", "loop.device", "loop.shard",
    "loop.recompute", "log.*", "validate.*", "data_root", "data.*.path",
)  # fmt: skip
"""What may differ between a checkpoint and the command that resumes it: everything else would be another run."""


@dataclass(frozen=True)
class OptimConfig:
    """The optimiser and the learning rate over time."""

    name: OptimiserName = "adamw"
    """adam is the published one; adamw8bit needs bitsandbytes and a CUDA device."""
    lr: float = 3e-5
    """Peak learning rate."""
    schedule: ScheduleName = "published"
    """After the warm-up: published falls exponentially, cosine along half a cosine, both to ``final``."""
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
        _at_least(self, "optim", warmup=0, eps=0, weight_decay=0)
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
        _at_least(self, "ema", snapshot_every=1)


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
        _at_least(self, "loop", steps=1, batch=1, micro_batch=1, workers=0, save_every=1, keep=1)
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
        _at_least(self, "log", every=1)


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


@dataclass(frozen=True)
class BaseConfig:
    """What the training starts from."""

    model: str = DEFAULT_MODEL
    """builtin:NAME, dir:PATH or hub:ORG/REPO[@REV]."""
    kind: Literal["model", "stable_diffusion"] = "model"
    """model: a depth, disparity or normals model. stable_diffusion: a text-to-image folder, which is given room for the
    photo's latent first (surgery)."""
    schedule: Literal["base", "zero_snr"] = "zero_snr"
    """stable_diffusion only: keep the folder's noise schedule (Marigold v1.0), or rescale it to zero terminal SNR with
    trailing steps (v1.1)."""
    resolution: int = 768
    """stable_diffusion only: longer side in pixels that the trained model works at by default."""


@dataclass(frozen=True)
class DataConfig:
    """One data set."""

    name: str
    """Short name, which also seeds the order of its samples."""
    path: Path
    """Folder (or pattern of shards); relative to ``data_root``."""
    format: DataFormat = "shards"
    """shards: tar files. folder: rgb/ and depth/. The others: those sets as `latentdepth prepare` leaves them."""
    weight: float = 1.0
    """Share of the micro-batches, relative to the other sets' weights."""
    height: int = 480
    """Of training views, in pixels; a multiple of 8."""
    width: int = 640
    split: str = "train"
    """hypersim, vkitti2, interiorverse: the split."""
    list_file: Path | None = None
    """A list of your own instead of a split; relative to ``data_root``."""
    crop: bool = True
    """vkitti2: keep the part that the KITTI benchmark shows, 1216 x 352, as published."""
    sky: Literal["invalid", "infinite"] = "invalid"
    """vkitti2: sky is left out, as published, or infinitely far."""
    hold_out: int = 0
    """Last samples of the set that are not trained on; ``validate.held_out`` measures them."""
    augment: Augmentation = field(default_factory=Augmentation)

    def __post_init__(self) -> None:
        for key, pixels in (("height", self.height), ("width", self.width)):
            if pixels < 8 or pixels % 8:
                near = max(8, round(pixels / 8) * 8)
                raise ValueError(f"data {self.name}: {key} is {pixels}; allowed are multiples of 8, such as {near}")
        _at_least(self, f"data {self.name}", hold_out=0, weight=0)


@dataclass(frozen=True)
class ValidateConfig:
    """Measurements on the way: AbsRel and delta1 after the least-squares fit, or the mean angle of normals."""

    every: int = 500
    """Steps."""
    frames: int = 32
    """At most so many samples, evenly spaced over all there are."""
    pictures: int = 6
    """Rows of the picture sheet: photo, prediction, truth, error."""
    held_out: bool = True
    """Measure the samples that the training sets hold out."""
    data: tuple[DataConfig, ...] = ()
    """Further sets to measure."""

    def __post_init__(self) -> None:
        _at_least(self, "validate", every=1, frames=1, pictures=0)


@dataclass(frozen=True)
class TrainConfig:
    """A recipe: everything that decides a run."""

    task: TaskName = "denoise"
    """denoise: Marigold. end_to_end: one step, loss on values. consistency: distil few steps. lotus: Lotus-D."""
    base: BaseConfig = field(default_factory=BaseConfig)
    target: Target = field(default_factory=Target)
    data_root: Path = Path()
    """Folder that relative paths of data sets start from; by default where the command is given."""
    data: tuple[DataConfig, ...] = ()
    """Data sets, mixed by weight."""
    skip_bad: int = 0
    """So many files that can't be read are reported and replaced; one more is an error."""
    validate: ValidateConfig = field(default_factory=ValidateConfig)
    denoise: DenoiseOptions = field(default_factory=DenoiseOptions)
    end_to_end: EndToEndOptions = field(default_factory=EndToEndOptions)
    consistency: ConsistencyOptions = field(default_factory=ConsistencyOptions)
    lotus: LotusOptions = field(default_factory=LotusOptions)
    lora: LoraOptions | None = None
    """Train low-rank adapters instead of the weights; off where the recipe has no [lora]."""
    loop: LoopConfig = field(default_factory=LoopConfig)
    optim: OptimConfig = field(default_factory=OptimConfig)
    ema: EmaConfig = field(default_factory=EmaConfig)
    log: LogConfig = field(default_factory=LogConfig)

    def __post_init__(self) -> None:
        _at_least(self, "recipe", skip_bad=0)
        if self.target.kind not in (None, *get_args(TargetName)):
            raise ValueError(f"target.kind is {self.target.kind}; a model is one of {', '.join(get_args(TargetName))}")
        for name in get_args(TaskName):
            options = getattr(self, name)
            if name != self.task and options != type(options)():
                raise ValueError(f"{name} has settings, but task is {self.task}, which does not read them; remove them")
        if self.task == "consistency" and self.loop.shard:
            raise ValueError(
                "loop.shard spreads the student, but not the moving average that is its target; leave it out"
            )

    @property
    def fit(self) -> FitConfig:
        """What the loop needs."""
        return FitConfig(self.loop, self.optim, self.ema, self.log)


def flat(table: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested tables and lists of tables as dotted keys: ``{"data": [{"path": 1}]}`` is ``{"data.0.path": 1}``."""
    keys: dict[str, Any] = {}
    for name, item in table.items():
        if isinstance(item, Mapping):
            keys |= flat(item, f"{prefix}{name}.")
        elif isinstance(item, list | tuple) and item and isinstance(item[0], Mapping):
            keys |= flat({str(i): one for i, one in enumerate(item)}, f"{prefix}{name}.")
        else:
            keys[prefix + name] = list(item) if isinstance(item, tuple) else item
    return keys


def fixed_keys(config: Any) -> dict[str, Any]:
    """The part of a configuration that a checkpoint and the command that resumes it must agree on."""
    return {k: v for k, v in flat(to_dict(config)).items() if not any(fnmatch(k, free) for free in FREE_ON_RESUME)}


def _at_least(config: Any, table: str, **least: float) -> None:
    for key, bound in least.items():
        if not getattr(config, key) >= bound:
            raise ValueError(f"{table}.{key} is {getattr(config, key)}; allowed is {bound} or more")


def _near_multiple(number: int, unit: int) -> str:
    below, above = number // unit * unit, (number // unit + 1) * unit
    return f"{above}" if below == 0 else f"{below} or {above}"
