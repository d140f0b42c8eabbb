"""Truth near holes and edges left out: by hand, on scattered truth, and what it mends."""

from dataclasses import dataclass, replace

import pytest
import torch

from latentdepth.core.types import AFFINE_DISPARITY, Prediction
from latentdepth.data.benchmarks.benchmark import Benchmark, Facts, OrdinalSample
from latentdepth.data.benchmarks.margin import WithMargin, away_from_holes
from latentdepth.data.sample import Sample
from latentdepth.evaluate.protocol import PROTOCOLS
from latentdepth.evaluate.score import score

FACTS = Facts("one", "One", "depth", None, 0.001, None, None, "", "")


@dataclass(frozen=True)
class One:
    """A benchmark of one frame."""

    sample: Sample | OrdinalSample
    facts: Facts = FACTS
    notice: str | None = None

    def __len__(self) -> int:
        return 1

    def frame(self, index: int) -> str:
        return f"one/{index}"

    def __getitem__(self, index: int) -> Sample | OrdinalSample:
        return self.sample


def smeared() -> Sample:
    """A wall at 2 to 4 m whose depth was halved in size by averaging, holes (0) and edge (0 beyond) included."""
    depth = torch.linspace(2, 4, 96).expand(1, 1, 64, 96).clone()
    depth[..., 20:30, 40:60] = 0
    edged = torch.nn.functional.pad(depth, (1, 1, 1, 1))
    small = torch.nn.functional.avg_pool2d(edged, 3, stride=2)[0]
    return Sample(torch.rand(3, *small.shape[1:]), small, small > 0, "wall")


def sampled(benchmark: Benchmark) -> Sample:
    sample = benchmark[0]
    assert isinstance(sample, Sample)
    return sample


def test_pixels_that_stay_by_hand():
    valid = torch.ones(1, 7, 9, dtype=torch.bool)
    valid[0, 3, 4] = False
    kept = away_from_holes(valid, 1)
    wanted = torch.zeros(1, 7, 9, dtype=torch.bool)
    wanted[0, 1:6, 1:8] = True
    wanted[0, 2:5, 3:6] = False
    assert torch.equal(kept, wanted)
    assert not away_from_holes(valid, 4).any()


def test_a_smeared_rim_no_longer_rules_the_fit():
    exact = smeared()
    disparity = torch.linspace(1 / 2, 1 / 4, 48).expand(1, 1, 32, 48)  # near the truth's own, which is bent
    prediction = Prediction(disparity, AFFINE_DISPARITY)
    plain, within = One(exact), WithMargin(One(exact), 1)
    before = score(prediction, sampled(plain), plain.facts, PROTOCOLS["disparity"])
    after = score(prediction, sampled(within), within.facts, PROTOCOLS["disparity"])
    assert after.figures["delta1"] == 1
    assert after.figures["abs_rel"] < 0.05 < before.figures["abs_rel"]
    assert after.valid_pixels < before.valid_pixels


def test_scattered_truth_and_pairs_stay_whole():
    points = torch.rand(1, 40, 60, generator=torch.Generator().manual_seed(0)) < 0.05
    lidar = Sample(torch.rand(3, 40, 60), torch.full((1, 40, 60), 9.0), points)
    assert torch.equal(sampled(WithMargin(One(lidar), 2)).valid, points)
    pairs = OrdinalSample(torch.rand(3, 8, 8), torch.zeros(1, 2), torch.ones(1, 2))
    assert WithMargin(One(pairs), 2)[0] is pairs


def test_the_report_says_so_and_nonsense_is_refused():
    seen = WithMargin(One(smeared(), replace(FACTS, crop="eigen-nyu"), "two rows left out"), 2)
    assert isinstance(seen, Benchmark)
    assert seen.facts.crop == "eigen-nyu, 2 px from holes"
    assert seen.notice == "two rows left out; truth within 2 pixels of a hole or of the edge left out"
    assert WithMargin(One(smeared()), 2).facts.crop == "2 px from holes"
    assert (len(seen), seen.frame(0)) == (1, "one/0")
    with pytest.raises(ValueError, match="margin is 40 pixels; allowed is 1 to 32"):
        WithMargin(One(smeared()), 40)
    with pytest.raises(ValueError, match="one/0: a margin of 20 pixels leaves no truth"):
        WithMargin(One(smeared()), 20)[0]
