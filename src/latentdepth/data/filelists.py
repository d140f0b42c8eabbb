"""Lists of frames as published data sets carry them: lines ``rgb depth``, and a CSV of facts beside them.

Paths in a list are relative to the folder that the list is for. Knows one data set's layout as little as another's.
"""

from __future__ import annotations

import csv
import io
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields
from pathlib import Path

from latentdepth.core.types import Camera
from latentdepth.data.sample import Sample
from latentdepth.whole import write_whole

_MAX_NAMED = 3  # absent files that an error spells out


@dataclass(frozen=True)
class FrameRow:
    """One prepared frame: its files, relative to the list's folder, and what they hold.

    Photo values are counts from 0 to 255; depth is in metres over the valid pixels that are not sky.
    """

    rgb_path: str
    depth_path: str
    normals_path: str
    """Empty where there are none."""
    rgb_mean: float
    rgb_std: float
    rgb_min: float
    rgb_max: float
    depth_mean: float
    depth_std: float
    depth_min: float
    depth_max: float
    invalid_ratio: float
    fx_px: float
    fy_px: float
    cx_px: float
    cy_px: float
    width_px: int
    height_px: int

    @property
    def camera(self) -> Camera:
        """The frame's intrinsics."""
        return Camera(self.fx_px, self.fy_px, self.cx_px, self.cy_px, self.width_px, self.height_px)


def frame_row(sample: Sample, *, rgb_path: str, depth_path: str, normals_path: str = "") -> FrameRow:
    """The row of a sample that is, or will be, in these files. Raises ValueError when no depth is valid."""
    counts = (sample.image * 255).round().double()
    known = sample.depth_m[sample.valid & sample.depth_m.isfinite()].double()
    if known.numel() == 0:
        raise ValueError(f"{depth_path}: no pixel of it holds a valid depth; leave the frame out")
    camera = sample.camera
    if camera is None:
        raise ValueError(f"{rgb_path}: the sample has no camera; give it one (Sample.camera)")
    return FrameRow(
        rgb_path,
        depth_path,
        normals_path,
        *(float(f) for f in (counts.mean(), counts.std(correction=0), counts.min(), counts.max())),
        *(float(f) for f in (known.mean(), known.std(correction=0), known.min(), known.max())),
        invalid_ratio=1 - float(sample.valid.double().mean()),
        fx_px=camera.fx_px,
        fy_px=camera.fy_px,
        cx_px=camera.cx_px,
        cy_px=camera.cy_px,
        width_px=camera.width_px,
        height_px=camera.height_px,
    )


@dataclass(frozen=True)
class FrameLimits:
    """What a frame must hold to stay in a filtered list: the rule by which the published lists were made."""

    min_depth_range_m: float = 0.5
    """Metres between the nearest and the farthest valid pixel."""
    min_rgb_range: float = 10.0
    """Counts (0 to 255) between the darkest and the brightest value."""
    max_invalid: float = 0.03
    """Share of pixels without valid depth, 0 to 1."""

    def violated(self, row: FrameRow) -> str:
        """Which limit the frame breaks, in words; empty when none."""
        if not row.depth_max - row.depth_min >= self.min_depth_range_m:
            return f"depth range below {self.min_depth_range_m:g} m"
        if not row.rgb_max - row.rgb_min >= self.min_rgb_range:
            return f"rgb range below {self.min_rgb_range:g}"
        if not row.invalid_ratio <= self.max_invalid:
            return f"invalid ratio above {self.max_invalid:g}"
        return ""


def write_list(path: Path, rows: Iterable[FrameRow]) -> None:
    """Lines ``rgb depth``, in the rows' order."""
    write_whole(path, "".join(f"{row.rgb_path} {row.depth_path}\n" for row in rows).encode())


def write_meta(path: Path, rows: Iterable[FrameRow]) -> None:
    """A CSV with one column per field of FrameRow."""
    text = io.StringIO()
    names = [f.name for f in fields(FrameRow)]
    table = csv.writer(text, lineterminator="\n")
    table.writerow(names)
    table.writerows([getattr(row, name) for name in names] for row in rows)
    write_whole(path, text.getvalue().encode())


def read_list(path: Path, *, columns: int, remedy: str) -> list[list[str]]:
    """The first ``columns`` words of every line that isn't empty.

    Raises ValueError for a list that is missing, empty or has shorter lines; ``remedy`` says how such a list is made.
    """
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except FileNotFoundError:
        raise ValueError(f"{path}: there is no such list; {remedy}") from None
    except (OSError, UnicodeDecodeError) as error:
        raise ValueError(f"{path}: can't be read as a list ({error}); {remedy}") from error
    entries = []
    for number, line in enumerate(lines, 1):
        words = line.split()
        if words and len(words) < columns:
            raise ValueError(f"{path}: line {number} is {line!r}; a line holds {columns} paths; {remedy}")
        if words:
            entries.append(words[:columns])
    if not entries:
        raise ValueError(f"{path}: the list is empty; {remedy}")
    return entries


@dataclass(frozen=True)
class FrameFacts:
    """What a reader keeps of a row of the CSV."""

    camera: Camera
    normals_path: str


def read_facts(path: Path) -> dict[str, FrameFacts]:
    """Cameras and normals by the photo's path; empty when there is no such CSV, or it is the published one, without
    cameras. Equal cameras are one object, so that a large set travels cheaply to worker processes."""
    if not path.is_file():
        return {}
    cameras: dict[Camera, Camera] = {}
    facts = {}
    with path.open(newline="", encoding="utf-8") as file:
        table = csv.DictReader(file)
        if not {"rgb_path", "fx_px"} <= set(table.fieldnames or ()):
            return {}
        for number, line in enumerate(table, 2):
            try:
                camera = Camera(
                    *(float(line[name]) for name in ("fx_px", "fy_px", "cx_px", "cy_px")),
                    width_px=int(line["width_px"]),
                    height_px=int(line["height_px"]),
                )
            except (KeyError, TypeError, ValueError) as error:
                raise ValueError(
                    f"{path}: line {number} holds no camera ({error}); write it again (latentdepth prepare)"
                ) from None
            facts[line["rgb_path"]] = FrameFacts(cameras.setdefault(camera, camera), line.get("normals_path") or "")
    return facts


def absent(folder: Path, names: Iterable[str]) -> list[str]:
    """The names that are no files below ``folder``. Lists each folder once, which is quicker than asking for each."""
    contents: dict[str, frozenset[str]] = {}
    missing = []
    for name in names:
        parent, base = os.path.split(name)
        if parent not in contents:
            place = folder / parent
            contents[parent] = frozenset(os.listdir(place)) if place.is_dir() else frozenset()
        if base not in contents[parent]:
            missing.append(name)
    return missing


def check_present(folder: Path, names: Sequence[str], list_path: Path, *, remedy: str) -> None:
    """Raises ValueError when a list names files that aren't there."""
    missing = absent(folder, names)
    if missing:
        more = f" and {len(missing) - _MAX_NAMED} more" if len(missing) > _MAX_NAMED else ""
        raise ValueError(
            f"{list_path}: of {len(names)} files that it names, {len(missing)} are not in {folder}: "
            f"{', '.join(missing[:_MAX_NAMED])}{more}; {remedy}"
        )
