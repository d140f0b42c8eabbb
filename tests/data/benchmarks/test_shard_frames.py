"""Shards as a benchmark: frames by kind of scene, sky not scored, and what is no truth refused."""

from pathlib import Path

import pytest
import torch

from latentdepth.data.benchmarks.benchmark import Benchmark
from latentdepth.data.benchmarks.catalogue import open_benchmark
from latentdepth.data.benchmarks.container import Missing
from latentdepth.data.sample import Sample
from latentdepth.data.shards import ShardWriter

H, W = 6, 8


def write(folder: Path, *kinds: str | None, label: bool = False) -> Path:
    depth = torch.full((1, H, W), 2.0)
    depth[:, :2] = torch.inf
    with ShardWriter(folder, samples_per_shard=2) as writer:
        for k, kind in enumerate(kinds):
            facts = ({} if kind is None else {"kind": kind}) | ({"label": {}} if label else {})
            writer.add(f"s-{k}", Sample(torch.rand(3, H, W), depth, torch.ones(1, H, W).bool(), f"g{k}"), facts=facts)
    return folder


def test_frames_are_called_after_their_kind(tmp_path: Path):
    benchmark = open_benchmark(f"shards:{write(tmp_path / 'held', 'room', 'street', None)}")
    assert isinstance(benchmark, Benchmark)
    assert (benchmark.facts.key, benchmark.facts.truth, len(benchmark)) == ("shards:held", "depth", 3)
    assert [benchmark.frame(k) for k in range(3)] == ["room/s-0", "street/s-1", "held/s-2"]
    sample = benchmark[1]
    assert isinstance(sample, Sample)
    assert sample.group == "g1"
    assert not bool(sample.valid[:, :2].any())
    assert bool(sample.valid[:, 2:].all())
    assert len(open_benchmark(f"shards:{tmp_path}/held/*1.tar")) == 1
    assert len(open_benchmark(f"shards:{tmp_path}/held/shard-00000[1].tar")) == 1


def test_what_can_not_be_scored_is_named(tmp_path: Path):
    with pytest.raises(Missing, match=r"there is no .*gone\nexpected in "):
        open_benchmark(f"shards:{tmp_path / 'gone'}")
    (tmp_path / "empty").mkdir()
    with pytest.raises(Missing, match=r"there is no \*\.tar"):
        open_benchmark(f"shards:{tmp_path / 'empty'}")
    with pytest.raises(ValueError, match=r"'shards:' names no place; say shards:PATH"):
        open_benchmark("shards:")
    with pytest.raises(ValueError, match="holds labels that a network told"):
        open_benchmark(f"shards:{write(tmp_path / 'labels', 'room', label=True)}")
    with ShardWriter(tmp_path / "twice", first=0) as writer:
        writer.add("a", Sample(torch.rand(3, H, W), torch.ones(1, H, W), torch.ones(1, H, W).bool()))
    with ShardWriter(tmp_path / "twice", first=1) as writer:
        writer.add("a", Sample(torch.rand(3, H, W), torch.ones(1, H, W), torch.ones(1, H, W).bool()))
    with pytest.raises(ValueError, match="1 names stand for two frames each, such as twice/a"):
        open_benchmark(f"shards:{tmp_path / 'twice'}")
