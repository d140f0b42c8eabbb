"""What every benchmark reader gives: facts of the data set, and frames by number.

Knows no protocol: how a prediction is fitted to the truth and which figures are taken is ``evaluate``'s.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, Protocol, TypeAlias, runtime_checkable

from jaxtyping import Float
from torch import Tensor

from latentdepth.data.sample import Sample

Truth: TypeAlias = Literal["depth", "scaled_depth", "normals", "point_pairs"]
"""What is known of a frame: depth in metres, depth up to one scale, normals, or which of two points is nearer."""

DENSE_SHARE = 0.3
"""Share of valid pixels below which truth is scattered points (LiDAR), which have neither edges nor holes."""


@dataclass(frozen=True)
class Facts:
    """A data set as published. ``key`` is the word behind ``--on``."""

    key: str
    title: str
    """As a table's head, split included: ``NYUv2 (Eigen test)``."""
    truth: Truth
    frames: int | None
    """Frames of the published split; None where the user's folder decides."""
    near_m: float
    far_m: float | None
    """Range in which truth counts and to which predictions are clipped; None: no limit."""
    crop: str | None
    """Name of the region in which truth counts (``crops``), for the report."""
    layout: str
    """The files expected below the root, in lines to print when they are missing."""
    source: str
    """Where the data set is had, and under which terms."""


@dataclass(frozen=True)
class OrdinalSample:
    """A photo and pairs of points of which the first is nearer: (x, y) in pixels of the photo."""

    image: Float[Tensor, "3 h w"]
    nearer_px: Float[Tensor, "p 2"]
    farther_px: Float[Tensor, "p 2"]
    group: str = ""


@runtime_checkable
class Benchmark(Protocol):
    """A data set on disk, opened. Holds paths and offsets, never open handles."""

    @property
    def facts(self) -> Facts:
        """What is published of it."""
        ...

    @property
    def notice(self) -> str | None:
        """What a report must say of this copy (frames that are absent, rows left out); None for the whole split."""
        ...

    def __len__(self) -> int:
        """Number of frames here."""
        ...

    def frame(self, index: int) -> str:
        """Unique name of a frame, ``/`` between its parts, no suffix: the rule by which prediction files are found."""
        ...

    def __getitem__(self, index: int) -> Sample | OrdinalSample:
        """Decode a frame; ``valid`` already holds range, mask and crop. ValueError names the file and its fault."""
        ...
