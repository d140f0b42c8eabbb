"""Readers of RGB-D pairs and photos on disk, for training and development measurements.

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

import numpy as np
import torch
from PIL import Image

from latentdepth.data.sample import Sample

PHOTO_SUFFIXES = (".jpg", ".jpeg", ".png", ".webp")
_LOG_NEAR_M, _LOG_SPAN = 0.05, math.log(8000.0)


@dataclass(frozen=True)
class Pair:
    """Where one RGB-D pair lies and how its 16-bit counts become metres (0 = invalid, or sky in log-coded frames)."""

    rgb: Path
    depth: Path
    source: str
    group: str
    coding: Literal["metres", "disparity", "log"]
    per_count: float = 1.0

    def read(self) -> Sample:
        """Decode the pair. A disparity row gives depth up to an unknown scale."""
        image = np.asarray(Image.open(self.rgb).convert("RGB"), dtype=np.float32) / 255
        with Image.open(self.depth) as png:
            counts = np.asarray(png).astype(np.float64)
        if counts.ndim != 2 or counts.shape != image.shape[:2]:
            raise ValueError(f"{self.depth}: shape {counts.shape} doesn't match the photo's {image.shape[:2]}")
        valid = counts > 0
        if self.coding == "log":
            depth = np.where(valid, _LOG_NEAR_M * np.exp((counts - 1) / 65534 * _LOG_SPAN), np.inf)
            valid = np.ones_like(valid)
        elif self.coding == "disparity":
            depth = 1 / np.where(valid, counts * self.per_count, 1.0)
        else:
            depth = counts * self.per_count
        return Sample(
            torch.from_numpy(image).permute(2, 0, 1).contiguous(),
            torch.from_numpy(depth).float()[None],
            torch.from_numpy(valid)[None],
            self.group,
        )


def read_photo(path: Path) -> Sample:
    """A photo without depth: one metre and valid everywhere."""
    image = torch.from_numpy(np.asarray(Image.open(path).convert("RGB"), dtype=np.float32) / 255).permute(2, 0, 1)
    everywhere = torch.ones(1, *image.shape[-2:])
    return Sample(image, everywhere, everywhere.bool())


def log_coded_pairs(folder: Path) -> list[Pair]:
    """Frames ``SCENE_VIEW.jpg`` with ``SCENE_VIEW.png`` where z = 0.05 exp((u - 1) / 65534 ln 8000) metres, 0 = sky."""
    return [
        Pair(rgb, rgb.with_suffix(".png"), folder.name, rgb.stem.split("_")[0], "log")
        for rgb in sorted(folder.glob("*.jpg"))
    ]


def manifest_pairs(
    folder: Path, *, sources: Sequence[str] = (), shipped_only: bool = False, min_agreement: float = -1.0
) -> list[Pair]:
    """Rows of ``manifest.jsonl``; ``shipped_only`` keeps those that weights we ship may be trained on.

    ``min_agreement`` leaves out rows whose teacher agreed less with itself; rows without a teacher count as certain.
    """
    pairs = []
    for line in (folder / "manifest.jsonl").read_text().splitlines():
        row = json.loads(line)
        if (sources and row["source"] not in sources) or (shipped_only and not row["may_train_shipped"]):
            continue
        if row.get("agreement", 1.0) < min_agreement:
            continue
        coding: Literal["metres", "disparity"] = "disparity" if row["kind"].startswith("disparity") else "metres"
        pairs.append(
            Pair(
                folder / row["rgb"],
                folder / row["depth"],
                row["source"],
                str(row["group"]),
                coding,
                float(row["value_per_count"]),
            )
        )
    return pairs


def photo_paths(folder: Path) -> list[Path]:
    """All photos below ``folder``, sorted."""
    return sorted(p for p in folder.rglob("*") if p.suffix.lower() in PHOTO_SUFFIXES)
