"""Depth that a network told instead of a measurement, in shards: how sure it was, and which of it is read.

A labelled sample is a shard's sample with ``KEY.uncertainty.png`` and the table ``label`` among its facts. Paper:
Depth Anything V2 (arXiv 2406.09414), whose students see labelled photos. Knows no networks.
"""

from __future__ import annotations

import io
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
import torch
from jaxtyping import Float
from PIL import Image
from torch import Tensor

from latentdepth.config import from_dict, to_dict
from latentdepth.data.options import LabelChoice, TargetKind
from latentdepth.data.rasters import decode_array
from latentdepth.data.sample import Sample
from latentdepth.data.shards import ShardFrames, ShardWriter

UNCERTAINTY = "uncertainty.png"


@dataclass(frozen=True)
class Label:
    """What is known of one label."""

    quantity: Literal["depth", "disparity"]
    invariance: Literal["affine", "scale", "metric"]
    """What is unknown of it. The shard holds depth, and for affine-invariant labels that is a way of writing alone:
    the inverse of a disparity whose shift is unknown, or depth whose shift is unknown."""
    agreement: float
    """Correlation between what was told of the photo and of its mirror image: 1 is the same."""
    uncertainty: float
    """Mean over pixels of the map beside it."""
    sky: float
    """Share of the picture that is taken for sky."""
    model: str
    members: int
    photo: str
    """Path of the photo as it was given."""

    def refusal(self, choice: LabelChoice) -> str | None:
        """Why ``choice`` leaves the label out; None where it doesn't."""
        if not self.agreement >= choice.min_agreement:  # NaN of a flat map agrees with nothing
            return f"agreement {self.agreement:.3f} is below {choice.min_agreement:g}"
        if choice.max_uncertainty is not None and not self.uncertainty <= choice.max_uncertainty:
            return f"uncertainty {self.uncertainty:.4f} is above {choice.max_uncertainty:g}"
        return None


def add_label(writer: ShardWriter, key: str, sample: Sample, label: Label, uncertainty: Float[Tensor, "1 h w"]) -> None:
    """Append a label and its uncertainty, a share of the range of the label's values. ValueError as the writer's."""
    writer.add(key, sample, facts={"label": to_dict(label)}, extra={UNCERTAINTY: encode_uncertainty(uncertainty)})


def encode_uncertainty(uncertainty: Float[Tensor, "1 h w"]) -> bytes:
    """8-bit PNG, u = (count / 255)^2: steps of 0.4 % of full scale at the top, finer where it is small."""
    counts = (uncertainty[0].clamp(0, 1).sqrt() * 255).round().byte().numpy()
    buffer = io.BytesIO()
    Image.fromarray(counts).save(buffer, "PNG", compress_level=4)
    return buffer.getvalue()


def decode_uncertainty(content: bytes, name: str) -> Float[Tensor, "1 h w"]:
    """Inverse of ``encode_uncertainty``. ValueError, opening with ``name``, for what is no such picture."""
    counts = decode_array(content, ".png", name)
    if counts.ndim != 2 or counts.dtype != np.uint8:
        raise ValueError(f"{name}: {counts.dtype} of shape {counts.shape}; uncertainty is one channel of 8 bits")
    return (torch.from_numpy(counts.astype(np.float32)) / 255).square()[None]


def is_labelled(frames: ShardFrames) -> bool:
    """Whether its first sample is a label."""
    return "label" in frames.facts(0)


class LabelFrames:
    """The labels of a set of shards that ``choice`` keeps, without the pixels that it masks.

    Raises ValueError for a sample that is no label, and where none is left.
    """

    def __init__(self, frames: ShardFrames, choice: LabelChoice | None = None) -> None:
        self.frames, self.name, self.choice = frames, frames.name, choice or LabelChoice()
        labels = [_label(frames, index) for index in range(len(frames))]
        self._kept = [i for i, label in enumerate(labels) if label.refusal(self.choice) is None]
        self._kinds = sorted({(labels[i].quantity, labels[i].invariance) for i in self._kept})
        if not self._kept:
            reasons = labels[0].refusal(self.choice)
            raise ValueError(
                f"data {self.name}: none of {len(labels)} labels is left (the first: {reasons}); lower "
                "labels.min_agreement, or raise labels.max_uncertainty"
            )

    def __len__(self) -> int:
        return len(self._kept)

    def __getitem__(self, index: int) -> Sample:
        """Decode one label; pixels above ``choice.mask_uncertainty`` are not valid. ValueError names the member."""
        place = self._kept[index]
        sample, limit = self.frames[place], self.choice.mask_uncertainty
        if limit is None:
            return sample
        uncertainty = self.uncertainty(index)
        if uncertainty.shape != sample.valid.shape:
            name = self.frames.label(place, UNCERTAINTY)
            raise ValueError(
                f"{name}: {tuple(uncertainty.shape[1:])} pixels, the photo {tuple(sample.valid.shape[1:])}"
            )
        return replace(sample, valid=sample.valid & (uncertainty <= limit))

    def uncertainty(self, index: int) -> Float[Tensor, "1 h w"]:
        """Per pixel, as a share of the range of the label's values. ValueError where a label came without."""
        place = self._kept[index]
        content, name = self.frames.member(place, UNCERTAINTY), self.frames.label(place, UNCERTAINTY)
        if content is None:
            raise ValueError(f"{name} is missing; make the label again, or leave out labels.mask_uncertainty")
        return decode_uncertainty(content, name)

    def label(self, index: int) -> Label:
        """What is known of label ``index``."""
        return _label(self.frames, self._kept[index])

    def check_target(self, kind: TargetKind) -> None:
        """ValueError where a label can't say ``kind``: shift and scale that it lacks, and normals."""
        for quantity, invariance in self._kinds:
            known = {
                "affine": {quantity},
                "scale": {"depth", "log_depth", "sqrt_depth", "disparity"},
                "metric": {"depth", "log_depth", "sqrt_depth", "disparity", "metric_depth"},
            }[invariance] | {"photo"}
            if kind not in known:
                raise ValueError(
                    f"data {self.name}: its labels are {invariance}-invariant {quantity}, of which {kind} does not "
                    f"follow; train {', '.join(sorted(known))} on them"
                )


def _label(frames: ShardFrames, index: int) -> Label:
    table: Any = frames.facts(index).get("label")
    name = frames.label(index, "json")
    if not isinstance(table, dict):
        raise ValueError(f"{name}: no label; shards of labels are what `latentdepth predict --to shards` writes")
    try:
        return from_dict(Label, table)
    except ValueError as error:
        raise ValueError(f"{name}: {error}") from error
