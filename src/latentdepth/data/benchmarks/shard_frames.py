"""Shards of one's own as a benchmark, such as scenes that `latentdepth synth` made and no training saw.

Frames are called KIND/KEY where the shards' facts name a kind of scene, so that tables can be made by kind. Knows no
published data set.
"""

from __future__ import annotations

import glob
import math
from collections import Counter
from dataclasses import dataclass, field, replace
from pathlib import Path

from latentdepth.data.benchmarks.benchmark import Facts
from latentdepth.data.benchmarks.container import Missing
from latentdepth.data.pairs import in_range
from latentdepth.data.sample import Sample
from latentdepth.data.shards import ShardFrames

SHARDS = Facts(
    key="shards:PATH",
    title="shards of your own",
    truth="depth",
    frames=None,
    near_m=1e-3,
    far_m=None,
    crop=None,
    layout="*.tar: KEY.jpg|png|webp and KEY.depth.png|npy|exr|tif, perhaps KEY.json; what `latentdepth synth` writes",
    source="your own data; PATH is a folder, a .tar file or a pattern such as 'data/synthetic/*9.tar'",
)


@dataclass(frozen=True)
class ShardBenchmark:
    """Samples of shards. Sky has no number and is not scored."""

    facts: Facts
    shards: ShardFrames = field(repr=False)
    names: tuple[str, ...] = field(repr=False)
    notice: str | None = None

    def __len__(self) -> int:
        return len(self.names)

    def frame(self, index: int) -> str:
        """Unique name of a frame: its kind of scene or the shards' name, ``/``, and its key."""
        return self.names[index]

    def __getitem__(self, index: int) -> Sample:
        """Decode a frame; metres below 0.001 aren't valid, nor is sky. ValueError names the shard and its fault."""
        name = self.names[index]
        return in_range(self.shards[index], name, near_m=self.facts.near_m, far_m=math.inf, keep_sky=False)


def open_shards(source: Path) -> ShardBenchmark:
    """The benchmark of a folder with shards, a tar file or a pattern.

    Raises ``Missing`` where there are none, ValueError for damaged shards, labels that a network told, and two frames
    of one name.
    """
    if not any(source.glob("*.tar")) and not source.is_file() and not glob.has_magic(str(source)):
        raise Missing(SHARDS, source, "there is no *.tar" if source.is_dir() else f"there is no {source}")
    shards = ShardFrames(source)
    facts = [shards.facts(index) for index in range(len(shards))]
    if any("label" in one for one in facts):
        raise ValueError(f"{source} holds labels that a network told; truth is needed to score against")
    names = tuple(f"{one.get('kind', shards.name)}/{shards.key(index)}" for index, one in enumerate(facts))
    if twice := [name for name, count in Counter(names).items() if count > 1]:
        raise ValueError(
            f"{source}: {len(twice)} names stand for two frames each, such as {twice[0]}; take fewer shards"
        )
    return ShardBenchmark(replace(SHARDS, key=f"shards:{shards.name}", title=shards.name), shards, names)
