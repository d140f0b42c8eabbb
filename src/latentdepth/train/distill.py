"""Feed-forward students: disparity from a teacher's labels or from truth, and metres by fine-tuning.

Papers: Depth Anything V2 (arXiv 2406.09414) for the students and for metric fine-tuning, Depth Anything (2401.10891)
for feature alignment, MiDaS (1907.01341) for the losses in their median/MAD form. Knows networks as ``DenseNetwork``.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor, nn

from latentdepth.core.types import Prediction
from latentdepth.data.batch import Batch
from latentdepth.data.options import TargetKind
from latentdepth.models.dense import DenseNetwork, Seen
from latentdepth.models.student_predictor import StudentPredictor
from latentdepth.train.lora import without_adapters
from latentdepth.train.losses import feature_alignment, scale_shift_invariant, silog
from latentdepth.train.student_config import DistillOptions, MetricOptions
from latentdepth.train.task import Task


class DenseTask(Task[Batch]):
    """What tasks on a feed-forward network share: its call, saving, predicting, the encoder's own learning rate."""

    kind: TargetKind

    def __init__(self, network: DenseNetwork, *, encoder_rate: float) -> None:
        self.network: nn.Module = network
        self.encoder_rate = encoder_rate
        self.sides_px = (network.stride, network.stride)
        self._prefix = network.encoder_prefix

    def rates(self) -> Mapping[str, float]:
        """The encoder's weights learn at their own share of the run's rate."""
        return {self._prefix: self.encoder_rate}

    def seen(self, batch: Batch) -> tuple[Float[Tensor, "n 3 h w"], Seen]:
        """The photos in [0, 1], and what the network (in whatever wrapper) says of them."""
        image = ((batch.image + 1) / 2).contiguous(memory_format=torch.channels_last)
        return image, self.network(image)

    def predict(self, image: Float[Tensor, "n 3 h w"]) -> Prediction:
        """What the saved folder gives by default for photos in [0, 1]."""
        return StudentPredictor(self._bare(), "in training")(image)

    def save(self, folder: Path) -> None:
        """The folder of the network's own kind, adapters merged into its weights."""
        without_adapters(self._bare()).save(folder)

    def _bare(self) -> DenseNetwork:
        if not isinstance(self.network, DenseNetwork):
            raise TypeError(f"the network is a {type(self.network).__name__}: unwrap it before saving or predicting")
        return self.network


class Distill(DenseTask):
    """Scale-and-shift-invariant L1, gradient matching, and where asked features drawn to a frozen network's.

    ``teacher`` is that network, of the student's own form; by default a copy of the student as it is now.
    """

    kind: TargetKind = "disparity"

    def __init__(
        self, network: DenseNetwork, options: DistillOptions | None = None, *, teacher: DenseNetwork | None = None
    ) -> None:
        self.options = options or DistillOptions()
        super().__init__(network, encoder_rate=self.options.encoder_rate)
        if network.max_depth_m is not None:
            raise ValueError("this network gives metres; distill learns relative disparity: start from a relative one")
        self.teacher: DenseNetwork | None = None
        if self.options.feature_weight > 0:
            self.teacher = (teacher or copy.deepcopy(network)).requires_grad_(False).eval()

    def rates(self) -> Mapping[str, float]:
        """Shares of the encoder's parts before its own: a weight has the first that fits its name."""
        parts = {"transformer": self.options.transformer_rate, "lite": self.options.convolution_rate}
        # nothing of a part with a rate of 0 is trained
        return {f"{self._prefix}{part}.": rate for part, rate in parts.items() if rate} | dict(super().rates())

    def to(self, device: torch.device) -> None:
        """Move the frozen network."""
        if self.teacher is not None:
            self.teacher.to(device)

    def loss(self, batch: Batch, draw: torch.Generator) -> dict[str, Tensor]:
        """``l1``, ``gradient``, ``features`` where they are aligned, and their weighted sum.

        Of pictures that a teacher labelled, the largest errors of the L1 are left out.
        """
        image, seen = self.seen(batch)
        options = self.options
        trim = 0.0 if batch.by_teacher is None else options.trim * batch.by_teacher.float()
        terms = scale_shift_invariant(
            seen.value.float(),
            batch.target,
            batch.valid,
            trim=trim,
            gradient_weight=options.gradient_weight,
            gradient_scales=options.gradient_scales,
        )
        if self.teacher is not None:
            with torch.no_grad():
                wanted = self.teacher.features(image)
            if wanted.shape != seen.features.shape:
                raise ValueError(
                    f"the frozen network's features are {tuple(wanted.shape[1:])}, the student's "
                    f"{tuple(seen.features.shape[1:])}; give distill.feature_teacher of the student's own form"
                )
            aligned = feature_alignment(seen.features.float(), wanted.float(), margin=options.feature_margin)
            terms["features"] = aligned
            terms["loss"] = terms["loss"] + options.feature_weight * aligned
        return terms


class Metric(DenseTask):
    """SiLog on metres. The network's largest output is ``options.max_depth_m``; truth beyond it is left out."""

    kind: TargetKind = "metric_depth"

    def __init__(self, network: DenseNetwork, options: MetricOptions) -> None:
        super().__init__(network, encoder_rate=options.encoder_rate)
        self.options = options
        if options.max_depth_m is None:
            raise ValueError("max_depth_m is None; give the metres that the network's largest output stands for")
        self.max_depth_m = options.max_depth_m
        if network.max_depth_m != self.max_depth_m:
            raise ValueError(
                f"the network's largest depth is {network.max_depth_m}, the recipe's metric.max_depth_m "
                f"{self.max_depth_m}; they have to be one"
            )

    def loss(self, batch: Batch, draw: torch.Generator) -> dict[str, Tensor]:
        """SiLog over the batch's pixels whose truth lies within the recipe's metres."""
        truth_m = batch.target
        valid = batch.valid & (truth_m >= self.options.nearest_m) & (truth_m <= self.max_depth_m)
        predicted_m = self.seen(batch)[1].value.float()
        return {"loss": silog(predicted_m, truth_m, valid, variance_share=self.options.variance_share)}
