"""Readers of RGB-D pairs that a list names, and of photos without depth, for training and development measurements.

Three layouts: log-coded frames (``NNN_v.jpg`` beside ``NNN_v.png``), a folder with ``manifest.jsonl`` (rows with
``rgb``, ``depth``, ``value_per_count``), and any folder of photos. Does not know networks.
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import torch

from latentdepth.data.filelists import check_present
from latentdepth.data.pairs import read_bytes, read_pair
from latentdepth.data.rasters import DepthCoding, decode_photo
from latentdepth.data.sample import Sample

PHOTO_SUFFIXES = (".jpg", ".jpeg", ".png", ".webp")
_SKY_IS_ZERO = DepthCoding("log", near_m=0.05, step=math.log(8000.0) / 65534)
"""Log-coded frames: z = 0.05 exp((u - 1) / 65534 ln 8000) metres. Their 0 is sky and they have no invalid pixels."""
_REMEDY = "make or copy it again, or take it off the list"


@dataclass(frozen=True)
class Pair:
    """Where one RGB-D pair lies and how its 16-bit counts become metres."""

    rgb: Path
    depth: Path
    source: str
    group: str
    coding: DepthCoding

    def read(self) -> Sample:
        """Decode the pair. A disparity row gives depth up to an unknown scale. ValueError names the bad file."""
        sample = read_pair(self.rgb, self.depth, self.coding, camera=None, group=self.group, remedy=_REMEDY)
        if self.coding != _SKY_IS_ZERO:
            return sample
        last_m = torch.where(sample.depth_m.isinf(), 400.0, sample.depth_m)  # 65535, our own code's sky
        depth_m = torch.where(sample.valid, last_m, torch.inf)
        return Sample(sample.image, depth_m, torch.ones_like(sample.valid), sample.group)


class PairFrames:
    """Pairs as a data set. ValueError for none at all, and for files that are not there."""

    def __init__(self, pairs: Sequence[Pair], *, folder: Path, name: str) -> None:
        if not pairs:
            raise ValueError(f"data {name}: {folder} holds no pairs, or its choice leaves none")
        self.pairs, self.name = tuple(pairs), name
        files = [str(path) for pair in self.pairs for path in (pair.rgb, pair.depth)]
        check_present(Path(), files, folder, remedy=_REMEDY)

    def __len__(self) -> int:
        return len(self.pairs)

    def __getitem__(self, index: int) -> Sample:
        """Decode one pair; its group is the scene that its list or file name says."""
        return self.pairs[index].read()


class PhotoFrames:
    """Photos without depth below a folder: no pixel of their samples is valid. ValueError where there are none."""

    def __init__(self, folder: Path, *, name: str) -> None:
        self.folder, self.name, self.paths = folder, name, photo_paths(folder)
        if not self.paths:
            raise ValueError(f"data {name}: {folder} holds no photos ({', '.join(PHOTO_SUFFIXES)})")

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, index: int) -> Sample:
        """Decode one photo. ValueError names it."""
        return read_photo(self.paths[index])


def read_photo(path: Path) -> Sample:
    """A photo without depth, nowhere valid. ValueError names a file that can't be read."""
    content = read_bytes(path, remedy=_REMEDY)
    image = decode_photo(content, path.suffix.lower(), str(path)).pixels[0]
    unknown = torch.ones(1, *image.shape[-2:])
    return Sample(image, unknown, torch.zeros_like(unknown).bool())


def log_coded_pairs(folder: Path) -> list[Pair]:
    """Frames ``SCENE_VIEW.jpg`` with ``SCENE_VIEW.png`` where z = 0.05 exp((u - 1) / 65534 ln 8000) metres, 0 = sky."""
    return [
        Pair(rgb, rgb.with_suffix(".png"), folder.name, rgb.stem.split("_")[0], _SKY_IS_ZERO)
        for rgb in sorted(folder.glob("*.jpg"))
    ]


def manifest_pairs(folder: Path, *, sources: Sequence[str] = (), shipped_only: bool = False) -> list[Pair]:
    """Rows of ``manifest.jsonl``; ``shipped_only`` keeps those that weights we ship may be trained on.

    Raises ValueError for a manifest that is missing or has a line that is no row, and for sources it does not have.
    """
    path = folder / "manifest.jsonl"
    pairs, seen = [], set()
    for number, line in enumerate(read_bytes(path, remedy="give the folder that holds it").splitlines(), 1):
        try:
            row = json.loads(line)
            seen.add(row["source"])
            if (sources and row["source"] not in sources) or (shipped_only and not row["may_train_shipped"]):
                continue
            kind: Literal["depth", "disparity"] = "disparity" if row["kind"].startswith("disparity") else "depth"
            coding = DepthCoding(kind, float(row["value_per_count"]))
            pairs.append(Pair(folder / row["rgb"], folder / row["depth"], row["source"], str(row["group"]), coding))
        except (KeyError, TypeError, ValueError) as error:
            raise ValueError(f"{path}: line {number} is no row of a manifest ({error!r}); write it again") from None
    absent = sorted(set(sources) - seen)
    if absent:
        raise ValueError(f"{path}: no rows of {', '.join(absent)}; its sources are {', '.join(sorted(seen))}")
    return pairs


def photo_paths(folder: Path) -> list[Path]:
    """All photos below ``folder``, sorted."""
    return sorted(p for p in folder.rglob("*") if p.suffix.lower() in PHOTO_SUFFIXES)
