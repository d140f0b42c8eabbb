"""Folders of one's own as a benchmark: ``rgb/`` beside ``depth/``, or any files that a ``manifest.jsonl`` names.

A line of the manifest is a JSON table with ``source``, ``rgb`` and ``depth`` (paths), ``kind``, ``value_per_count``,
``group``, and perhaps ``intrinsics`` (fx, fy, cx, cy) with the size ``intrinsics_image`` they hold for, ``sparse``,
``scale_assumed``. Frames are called SOURCE/NAME, so that tables can be made by source. Knows no published data set.
"""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from latentdepth.core.types import Camera
from latentdepth.data.benchmarks.benchmark import Facts
from latentdepth.data.benchmarks.container import Missing
from latentdepth.data.folders import FolderFrames
from latentdepth.data.pairs import in_range, read_bytes
from latentdepth.data.sample import Sample
from latentdepth.data.training import Pair, manifest_pairs

FOLDER = Facts(
    key="folder:PATH",
    title="a folder of your own",
    truth="depth",
    frames=None,
    near_m=1e-3,
    far_m=None,
    crop=None,
    layout=(
        "rgb/NAME.jpg and depth/NAME.png|npy|exr|tif, with depth.toml (docs/conventions.md)\n"
        "or manifest.jsonl: lines {source, rgb, depth, kind, value_per_count, group, ...} beside the files it names"
    ),
    source="your own data; `folder:PATH+PATH` takes several as one, `folder:PATH#SOURCE+SOURCE` some of the sources",
)
_MANIFEST = "manifest.jsonl"
_METRIC = "depth"
_SCALED = ("depth_relative", "disparity")
_NO_TRUTH = "disparity_affine"
"""Disparity with an unknown shift is no truth that depth can be scored by."""


@dataclass(frozen=True)
class ManifestFrame:
    """A row of a manifest."""

    pair: Pair
    frame: str
    camera: Camera | None
    """For the size that the manifest says, which the photo may not have."""
    metric: bool
    """Whether its unit is known, and not just taken to be what the format's usually is."""
    sparse: bool
    """Whether depth is scattered points (LiDAR), where edges mean nothing."""

    @property
    def source(self) -> str:
        """Where the frame comes from."""
        return self.pair.source

    def read(self) -> Sample:
        """Decode it. ValueError names the file."""
        sample = self.pair.read()
        height, width = sample.image.shape[-2:]
        camera = None if self.camera is None else self.camera.resized(width, height)
        group = self.pair.group if self.pair.group.startswith(self.source) else f"{self.source}/{self.pair.group}"
        return replace(sample, camera=camera, group=group)


@dataclass(frozen=True)
class PlainFrame:
    """A frame of ``rgb/`` beside ``depth/``."""

    frames: FolderFrames
    index: int
    source: str

    metric = True
    sparse = False

    @property
    def frame(self) -> str:
        """The folder's name and the file's."""
        return f"{self.source}/{self.frames.key(self.index)}"

    def read(self) -> Sample:
        """Decode it. ValueError names the file."""
        return self.frames[self.index]


@dataclass(frozen=True)
class FolderBenchmark:
    """Frames of one folder or of several. Truth is depth in metres only where that holds for every frame."""

    facts: Facts
    frames: tuple[ManifestFrame | PlainFrame, ...] = field(repr=False)
    notice: str | None = None
    """What is not scored, for the report; None where everything is."""

    def __len__(self) -> int:
        return len(self.frames)

    def frame(self, index: int) -> str:
        """Unique name of a frame: its source, ``/``, and the file's name without suffix."""
        return self.frames[index].frame

    def source(self, index: int) -> str:
        """Where a frame comes from: the manifest's word, or the folder's name."""
        return self.frames[index].source

    def sparse(self, index: int) -> bool:
        """Whether a frame's depth is scattered points, on which figures of edges mean nothing."""
        return self.frames[index].sparse

    def __getitem__(self, index: int) -> Sample:
        """Decode a frame; metres below 0.001 aren't valid, nor is sky. ValueError names the file and its fault."""
        frame = self.frames[index]
        return in_range(frame.read(), frame.frame, near_m=self.facts.near_m, far_m=math.inf, keep_sky=False)


def open_folders(paths: Sequence[Path], *, sources: Sequence[str] = ()) -> FolderBenchmark:
    """One benchmark of all folders in ``paths``, of the named ``sources`` or of all.

    Rows whose kind is ``disparity_affine`` are left out, which ``notice`` says. Raises ``Missing`` for a folder that is
    neither, ValueError for damaged manifests, unknown kinds, sources that aren't there, frames of the same name, and
    when nothing is left.
    """
    names = "+".join(path.resolve().name for path in paths)
    chosen = "#" + "+".join(sources) if sources else ""
    facts = replace(FOLDER, key=f"folder:{names}{chosen}", title=names + chosen)
    frames: list[ManifestFrame | PlainFrame] = []
    left_out = 0
    for path in paths:
        if (path / _MANIFEST).is_file():
            found, without_truth = _manifest(path)
            frames += [one for one in found if not sources or one.source in sources]
            left_out += sum(source in sources or not sources for source in without_truth)
        elif (path / "rgb").is_dir():
            plain = FolderFrames(path)
            source = path.resolve().name
            if not sources or source in sources:
                frames += [PlainFrame(plain, index, source) for index in range(len(plain))]
        else:
            raise Missing(
                facts, path, f"there is no {_MANIFEST} and no rgb/" if path.is_dir() else f"there is no {path}"
            )
    _check(frames, paths, sources)
    if not all(one.metric for one in frames):
        facts = replace(facts, truth="scaled_depth", near_m=0.0)  # an unknown unit may be as large as it likes
    notice = f"{facts.title}: {left_out} rows of kind {_NO_TRUTH} can't score depth and are left out"
    return FolderBenchmark(facts, tuple(frames), notice if left_out else None)


def _check(frames: Sequence[ManifestFrame | PlainFrame], paths: Iterable[Path], sources: Sequence[str]) -> None:
    places = " and ".join(map(str, paths))
    present = dict.fromkeys(one.source for one in frames)
    if absent := [source for source in sources if source not in present]:
        raise ValueError(f"{places}: no frames of {', '.join(absent)} that could be scored")
    if not frames:
        raise ValueError(f"{places}: no frame could be scored; {FOLDER.layout}")
    if twice := [name for name, count in Counter(one.frame for one in frames).items() if count > 1]:
        raise ValueError(
            f"{places}: {len(twice)} names stand for two frames each, such as {twice[0]}; rename them, or evaluate the "
            "folders one by one"
        )


def _manifest(folder: Path) -> tuple[list[ManifestFrame], list[str]]:
    """The rows that depth can be scored by, and the sources of those that it can't."""
    path = folder / _MANIFEST
    pairs = manifest_pairs(folder)  # checks every line, so what follows asks for what it doesn't know alone
    rows = [json.loads(line) for line in read_bytes(path, remedy="write it again").splitlines()]
    frames, without_truth = [], []
    for number, (pair, row) in enumerate(zip(pairs, rows, strict=True), 1):
        kind = row["kind"]
        if kind == _NO_TRUTH:
            without_truth.append(pair.source)
            continue
        if kind not in (_METRIC, *_SCALED):
            raise ValueError(
                f"{path}: line {number} has the kind {kind!r}; allowed are {', '.join((_METRIC, *_SCALED, _NO_TRUTH))}"
            )
        name = Path(row["rgb"]).with_suffix("").as_posix()
        frames.append(
            ManifestFrame(
                pair,
                name if name.startswith(f"{pair.source}/") else f"{pair.source}/{name}",
                _camera(row, f"{path}: line {number}"),
                metric=kind == _METRIC and not row.get("scale_assumed", False),
                sparse=bool(row.get("sparse", False)),
            )
        )
    return frames, without_truth


def _camera(row: dict[str, Any], where: str) -> Camera | None:
    intrinsics: Any = row.get("intrinsics")
    size: Any = row.get("intrinsics_image")
    if intrinsics is None:
        return None
    try:
        fx_px, fy_px, cx_px, cy_px = (float(number) for number in intrinsics)
        width_px, height_px = (int(number) for number in size)
    except (TypeError, ValueError):
        raise ValueError(
            f"{where} has intrinsics {intrinsics!r} for the size {size!r}; expected are [fx, fy, cx, cy] in pixels of "
            "intrinsics_image, [width, height]"
        ) from None
    return Camera(fx_px, fy_px, cx_px, cy_px, width_px, height_px)
