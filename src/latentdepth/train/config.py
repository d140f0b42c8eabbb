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
from latentdepth.data.options import Augmentation, LabelChoice, Target, TargetKind
from latentdepth.options import DIFFUSION_MODEL
from latentdepth.train.loop_config import EmaConfig, FitConfig, LogConfig, LoopConfig, OptimConfig, at_least
from latentdepth.train.options import (
    AlignOptions,
    AutoencodeOptions,
    ConsistencyOptions,
    DenoiseOptions,
    EndToEndOptions,
    LoraOptions,
    LotusOptions,
    RegressOptions,
)
from latentdepth.train.student_config import (
    FEED_FORWARD,
    DistillOptions,
    MetricOptions,
    StudentConfig,
    check_student,
)

TaskName = Literal["denoise", "end_to_end", "consistency", "lotus", "autoencode", "regress", "distill", "metric"]
TargetName = Literal["depth", "disparity", "normals"]
DataFormat = Literal["shards", "folder", "hypersim", "vkitti2", "interiorverse", "photos", "manifest", "log_coded"]

FREE_ON_RESUME = (
    "loop.steps", "loop.minutes", "loop.save_every", "loop.keep", "loop.workers", "loop.device", "loop.shard",
    "loop.recompute", "log.*", "validate.*", "data_root", "data.*.path",
)  # fmt: skip
"""What may differ between a checkpoint and the command that resumes it: everything else would be another run."""


@dataclass(frozen=True)
class BaseConfig:
    """What the training starts from."""

    model: str = DIFFUSION_MODEL
    """builtin:NAME, dir:PATH or hub:ORG/REPO[@REV]; empty where training starts from nothing."""
    kind: Literal["model", "stable_diffusion", "autoencoder", "nothing"] = "model"
    """model: a depth, disparity or normals model. stable_diffusion: a text-to-image folder, which is given room for the
    photo's latent first (surgery). autoencoder: the vae/ of a folder, under a new U-Net of the embedded diffusion
    model's form. nothing: new networks of that form, for the tasks autoencode and regress."""
    schedule: Literal["base", "zero_snr"] = "zero_snr"
    """stable_diffusion only: keep the folder's noise schedule (Marigold v1.0), or rescale it to zero terminal SNR with
    trailing steps (v1.1)."""
    resolution: int | None = None
    """Longer side in pixels that the trained model works at by default, if not as the base model; 768 where that is no
    depth model. Not for Depth Anything, which always works at 518."""
    steps: int | None = None
    """Denoising steps that it takes by default, if not as the base model; 4 (leading: 10) where that is no depth
    model."""
    guide: str | None = None
    """A student (builtin:NAME or dir:PATH) whose head's map the U-Net shall see behind the photo's latent; it stays
    as it is. For tasks on a U-Net that sees the photo beside the noise."""

    def __post_init__(self) -> None:
        if (self.kind == "nothing") != (self.model == ""):
            raise ValueError(
                f"base.kind is {self.kind} and base.model is {self.model!r}; an empty model is for kind nothing alone, "
                'which has model = ""'
            )
        for key, least in (("steps", 1), ("resolution", 0)):
            if getattr(self, key) is not None:
                at_least(self, "base", **{key: least})
        for key in ("steps", "resolution", "guide"):
            if self.kind == "nothing" and getattr(self, key) is not None:
                raise ValueError(
                    f"base.{key} is {getattr(self, key)}, and base.kind is nothing, which doesn't read it: leave it out"
                )


@dataclass(frozen=True)
class ManifestConfig:
    """Which rows of a manifest.jsonl are read."""

    sources: tuple[str, ...] = ()
    """By their ``source``; all by default."""
    shipped_only: bool = False
    """Only rows that weights which are handed on may be trained on (``may_train_shipped``)."""


@dataclass(frozen=True)
class DataConfig:
    """One data set."""

    name: str
    """Short name, which also seeds the order of its samples."""
    path: Path
    """Folder (or pattern of shards); relative to ``data_root``."""
    format: DataFormat = "shards"
    """shards: tar files, of `latentdepth synth` or `latentdepth predict --to shards`. folder: rgb/ and depth/.
    hypersim, vkitti2, interiorverse: those sets as `latentdepth prepare` leaves them. photos: any folder of photos,
    without depth. manifest: a folder with manifest.jsonl. log_coded: frames N_V.jpg with N_V.png in a logarithmic
    code."""
    target: TargetKind | None = None
    """What this set teaches, where it is not ``target.kind``: for autoencode, which learns several kinds of picture."""
    views: int = 0
    """Encode so many random views of each sample once, before the first step, and train on these; 0 encodes a new view
    whenever one is needed. Quicker where encoding costs as much as the step; for all sets or none."""
    weight: float = 1.0
    """Share of the micro-batches, relative to the other sets' weights."""
    height: int = 480
    """Of training views, in pixels; a multiple of 8 (of 14 for Depth Anything)."""
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
    by_teacher: bool = False
    """Its depth was told by a teacher instead of measured: distill leaves out the largest errors."""
    manifest: ManifestConfig = field(default_factory=ManifestConfig)
    labels: LabelChoice = field(default_factory=LabelChoice)
    """shards of labels: which are good enough."""
    augment: Augmentation = field(default_factory=Augmentation)

    def __post_init__(self) -> None:
        for key, pixels in (("height", self.height), ("width", self.width)):
            if pixels < 8 or (pixels % 8 and pixels % 14):
                near = max(8, round(pixels / 8) * 8)
                raise ValueError(
                    f"data {self.name}: {key} is {pixels}; allowed are multiples of 8, such as {near}, or of 14 for "
                    "Depth Anything"
                )
        at_least(self, f"data {self.name}", hold_out=0, weight=0, views=0)
        if self.format != "manifest" and self.manifest != ManifestConfig():
            raise ValueError(f"data {self.name}: manifest has settings, but format is {self.format}; remove them")
        if self.format != "shards" and self.labels != LabelChoice():
            raise ValueError(f"data {self.name}: labels has settings, but format is {self.format}; labels are shards")


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
        at_least(self, "validate", every=1, frames=1, pictures=0)


@dataclass(frozen=True)
class TrainConfig:
    """A recipe: everything that decides a run."""

    task: TaskName = "denoise"
    """denoise: Marigold, or an image prior where the target is photo. end_to_end: one step, loss on values.
    consistency: distil few steps. lotus: Lotus-D. autoencode: a new autoencoder. regress: a feed-forward teacher.
    distill: a feed-forward student, relative disparity. metric: a feed-forward network's metres."""
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
    autoencode: AutoencodeOptions = field(default_factory=AutoencodeOptions)
    regress: RegressOptions = field(default_factory=RegressOptions)
    student: StudentConfig = field(default_factory=StudentConfig)
    distill: DistillOptions = field(default_factory=DistillOptions)
    metric: MetricOptions = field(default_factory=MetricOptions)
    align: AlignOptions | None = None
    """denoise only: also draw the U-Net's features to a teacher's; off where the recipe has no [align]."""
    lora: LoraOptions | None = None
    """Train low-rank adapters instead of the weights; off where the recipe has no [lora]."""
    loop: LoopConfig = field(default_factory=LoopConfig)
    optim: OptimConfig = field(default_factory=OptimConfig)
    ema: EmaConfig = field(default_factory=EmaConfig)
    log: LogConfig = field(default_factory=LogConfig)

    def __post_init__(self) -> None:
        at_least(self, "recipe", skip_bad=0)
        self._check_start()
        self._check_targets()
        check_student(self.task, self.base.kind, self.target.kind, self.student, self.metric)
        for name in get_args(TaskName):
            options = getattr(self, name)
            if name != self.task and options != type(options)():
                raise ValueError(f"{name} has settings, but task is {self.task}, which does not read them; remove them")
        if self.task == "consistency" and self.loop.shard:
            raise ValueError(
                "loop.shard spreads the student, but not the moving average that is its target; leave it out"
            )

    def _check_start(self) -> None:
        """What the task and what it starts from have to do with each other."""
        task, kind = self.task, self.base.kind
        small = task in ("autoencode", "regress")
        if small and kind != "nothing":
            raise ValueError(f'base.kind is {kind}; {task} starts from nothing: write kind = "nothing" and model = ""')
        if kind == "nothing" and not small and task != "distill":
            raise ValueError(
                f"base.kind is nothing, from which autoencode, regress and distill start; {task} needs a base.model"
            )
        for key in ("steps", "guide") if task in FEED_FORWARD else ():
            if getattr(self.base, key) is not None:
                raise ValueError(f"base.{key} is for denoisers, and task {task} trains none: leave it out")
        if task in (*FEED_FORWARD, "autoencode") and self.lora is not None:
            raise ValueError(f"lora adapts a U-Net, and {task} trains none; remove [lora]")
        if self.align is not None and (task != "denoise" or self.target.kind == "photo"):
            raise ValueError("align draws a denoiser of depth to a teacher; remove [align]")
        if self.align is not None and (self.loop.shard or self.loop.recompute):
            raise ValueError(
                "align looks into layers as they are computed, which loop.shard and loop.recompute take apart; leave "
                "these out"
            )

    def _check_targets(self) -> None:
        """What the task learns, and from which sets."""
        task, kind = self.task, self.target.kind
        if kind == "photo" and task not in ("denoise", "autoencode"):
            raise ValueError(f"target.kind is photo, which denoise and autoencode can learn; the task is {task}")
        if kind == "photo" and task == "denoise" and self.base.kind != "autoencoder":
            raise ValueError(f'base.kind is {self.base.kind}; an image prior starts from kind = "autoencoder"')
        if task == "regress" and kind not in (None, "disparity"):
            raise ValueError(f"target.kind is {kind}; regress learns disparity")
        if task != "autoencode" and kind not in (None, "photo", *get_args(TargetName)):
            raise ValueError(f"target.kind is {kind}; a model is one of {', '.join(get_args(TargetName))}")
        own = [data.name for data in self.data if data.target is not None]
        if own and task != "autoencode":
            raise ValueError(f"data {own[0]}: target is given, which only autoencode reads; {task} has one target.kind")
        stored = [data.views > 0 for data in self.data]
        if any(stored) and (task not in ("denoise", "consistency", "lotus") or not all(stored)):
            raise ValueError("views are encoded once for all sets or for none, and for tasks that train on latents")

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
