"""A benchmark whose truth near holes doesn't count.

Depth that was warped or resized by interpolation holds, along every hole and along the picture's edge, mixtures of a
distance and of "nothing", which is stored as 0: a rim of values nearer than anything there. In disparity a hundredth of
such pixels can rule a least-squares fit. Knows no files and no figures.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from jaxtyping import Bool
from torch import Tensor
from torch.nn import functional as F

from latentdepth.data.benchmarks.benchmark import DENSE_SHARE, Benchmark, Facts, OrdinalSample
from latentdepth.data.sample import Sample

WIDEST = 32


@dataclass(frozen=True)
class WithMargin:
    """``benchmark`` without the truth that is ``margin_px`` or less from a hole or from the picture's edge.

    Scattered truth (LiDAR), which is all holes, stays as it is, and so do pairs of points.
    """

    benchmark: Benchmark
    margin_px: int

    def __post_init__(self) -> None:
        if not 1 <= self.margin_px <= WIDEST:
            raise ValueError(f"margin is {self.margin_px} pixels; allowed is 1 to {WIDEST}")

    @property
    def facts(self) -> Facts:
        """Those of the benchmark; the margin is part of the crop."""
        facts, margin = self.benchmark.facts, f"{self.margin_px} px from holes"
        return replace(facts, crop=margin if facts.crop is None else f"{facts.crop}, {margin}")

    @property
    def notice(self) -> str | None:
        """What a report must say."""
        said = f"truth within {self.margin_px} pixels of a hole or of the edge left out"
        return said if self.benchmark.notice is None else f"{self.benchmark.notice}; {said}"

    def __len__(self) -> int:
        return len(self.benchmark)

    def frame(self, index: int) -> str:
        """As in the benchmark."""
        return self.benchmark.frame(index)

    def __getitem__(self, index: int) -> Sample | OrdinalSample:
        """As in the benchmark. ValueError, too, for a frame of which nothing would be left."""
        sample = self.benchmark[index]
        if isinstance(sample, OrdinalSample) or float(sample.valid.float().mean()) < DENSE_SHARE:
            return sample
        kept = away_from_holes(sample.valid, self.margin_px)
        if not bool(kept.any()):
            raise ValueError(f"{self.frame(index)}: a margin of {self.margin_px} pixels leaves no truth; give less")
        return replace(sample, valid=kept)


def away_from_holes(valid: Bool[Tensor, "1 h w"], margin_px: int) -> Bool[Tensor, "1 h w"]:
    """Valid pixels all of whose neighbours up to ``margin_px`` away, in any direction, are valid and in the picture."""
    around = F.pad((~valid).float(), (margin_px,) * 4, value=1.0)
    return F.max_pool2d(around[None], 2 * margin_px + 1, stride=1)[0] == 0
