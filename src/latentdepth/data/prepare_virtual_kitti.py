"""Virtual KITTI 2 as its archives unpack, to what training reads: every pair checked, lists and cameras written.

The pictures stay where they are unless a copy or links are asked for. ``virtual_kitti`` reads the result.
"""

from __future__ import annotations

import os
import re
import shutil
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from latentdepth.core.types import Camera
from latentdepth.data.filelists import FrameRow, frame_row
from latentdepth.data.pairs import read_pair
from latentdepth.data.prepare import Dropped, OnFrame, OnStart, Report, prepare_frames
from latentdepth.data.virtual_kitti import (
    CENTIMETRES,
    FAR_M,
    INTRINSICS_HEADER,
    NEAR_M,
    PUBLISHED_CAMERA,
    SPLIT_SCENES,
    VARIATIONS,
    frame_paths,
    write_vkitti_lists,
)

Place = Literal["leave", "link", "copy"]
Intrinsics = tuple[float, float, float, float]
ALL_VARIATIONS = (*VARIATIONS, "30-deg-left", "30-deg-right", "fog", "rain")
OFFICIAL_FRAMES = {"Scene01": 447, "Scene02": 233, "Scene06": 270, "Scene18": 339, "Scene20": 837}
_CAMERAS = (0, 1)
_NUMBER = re.compile(r"_(\d{5,})\.(?:jpg|png)$")
_UNPACK = "unpack vkitti_2.0.3_rgb and vkitti_2.0.3_depth again"


@dataclass(frozen=True)
class VirtualKittiChoices:
    """What to prepare and how."""

    splits: tuple[str, ...] = ("train", "val")
    variations: tuple[str, ...] = VARIATIONS
    place: Place = "leave"
    """Leave the pictures in the raw folder, link them into the output folder, or copy them there."""


@dataclass(frozen=True)
class _Job:
    raw: Path
    out: Path
    rgb: str
    depth: str
    place: Place
    intrinsics: Intrinsics | None
    """fx, fy, cx, cy, or the published camera."""


def prepare_virtual_kitti(
    raw: Path,
    out: Path,
    choices: VirtualKittiChoices | None = None,
    *,
    workers: int = 1,
    overwrite: bool = False,
    on_start: OnStart = lambda frames: None,
    on_frame: OnFrame = lambda key, outcome, text: None,
) -> Report:
    """Decode and check every pair of the chosen splits in ``raw``; write lists, cameras and a report into ``out``.

    Lists come last, and only when all frames were reached. See ``prepare_frames`` for stopping and going on.
    Raises ValueError when the raw folder holds no frame of them.
    """
    choices = choices or VirtualKittiChoices()
    _check_choices(raw, choices)
    jobs, notes = _jobs(raw, out, choices)
    if not jobs:
        raise ValueError(
            f"{raw}: holds no frame of {', '.join(choices.splits)}; expected are folders such as "
            f"{raw / 'Scene01/clone/frames/rgb/Camera_0'}, or rgb and depth with these inside"
        )
    on_start(len(jobs))
    report = prepare_frames(
        jobs,
        _prepare_pair,
        lambda key: out,
        out,
        {"data_set": "vkitti2", "place": choices.place, "raw": str(raw.resolve())},
        workers=workers,
        overwrite=overwrite,
        on_frame=on_frame,
    )
    report.notes += notes
    if report.stopped is None:
        by_split = {split: [r for k, r in report.rows.items() if k.startswith(f"{split}/")] for split in choices.splits}
        write_vkitti_lists(out, {split: rows for split, rows in by_split.items() if rows})
    report.write(out)
    return report


def _jobs(raw: Path, out: Path, choices: VirtualKittiChoices) -> tuple[dict[str, _Job], list[str]]:
    """Every frame of the choice that is there, and a line for each sequence that isn't whole."""
    jobs: dict[str, _Job] = {}
    notes = []
    for split, scene in [(name, scene) for name in choices.splits for scene in SPLIT_SCENES[name]]:
        short, before = [], len(jobs)
        for variation in choices.variations:
            intrinsics = _read_intrinsics(raw, scene, variation)
            for index in _CAMERAS:
                found = _sequence(raw, scene, variation, index)
                if len(found) != OFFICIAL_FRAMES[scene]:
                    short.append(
                        f"{scene}/{variation}/Camera_{index}: {len(found)} of {OFFICIAL_FRAMES[scene]} frames are there"
                    )
                for frame, (rgb, depth) in found.items():
                    key = f"{split}/{scene}/{variation}/Camera_{index}/{frame:05d}"
                    jobs[key] = _Job(raw, out, rgb, depth, choices.place, intrinsics.get((frame, index)))
        notes += short if len(jobs) > before else [f"{scene}: not in {raw}"]
    return jobs, notes


def _check_choices(raw: Path, choices: VirtualKittiChoices) -> None:
    if not raw.is_dir():
        raise ValueError(f"{raw}: there is no such folder; name the one that holds Scene01 or rgb and depth")
    for given, allowed, what in (
        (choices.splits, tuple(SPLIT_SCENES), "splits"),
        (choices.variations, ALL_VARIATIONS, "variations"),
        ((choices.place,), ("leave", "link", "copy"), "place"),
    ):
        if not given or set(given) - set(allowed):
            raise ValueError(f"{what}: given {', '.join(given) or 'none'}; allowed are {', '.join(allowed)}")


def _sequence(raw: Path, scene: str, variation: str, index: int) -> dict[int, tuple[str, str]]:
    """Photo and depth of every frame that has at least one of them, relative to ``raw``."""
    nested = (raw / "rgb" / scene).is_dir() or (raw / "depth" / scene).is_dir()
    prefixes = ("rgb/", "depth/") if nested else ("", "")
    numbers: set[int] = set()
    for prefix, path in zip(prefixes, frame_paths(scene, variation, index, 0), strict=True):
        place = (raw / f"{prefix}{path}").parent
        names = os.listdir(place) if place.is_dir() else []
        numbers |= {int(found.group(1)) for found in map(_NUMBER.search, names) if found}
    pairs = {}
    for number in sorted(numbers):
        rgb, depth = frame_paths(scene, variation, index, number)
        pairs[number] = (prefixes[0] + rgb, prefixes[1] + depth)
    return pairs


def _read_intrinsics(raw: Path, scene: str, variation: str) -> dict[tuple[int, int], Intrinsics]:
    """By (frame, camera index) from ``intrinsic.txt``; empty where it isn't unpacked."""
    places = (raw / prefix / scene / variation / "intrinsic.txt" for prefix in (".", "textgt", "rgb", "depth"))
    path = next((place for place in places if place.is_file()), None)
    if path is None:
        return {}
    lines = [line.split() for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]
    intrinsics = {}
    try:
        if lines[0] != INTRINSICS_HEADER.split():
            raise ValueError(f"its first line is {' '.join(lines[0])!r}")
        for frame, index, *numbers in lines[1:]:
            fx, fy, cx, cy = (float(n) for n in numbers)
            # the first pixel's centre is 0 there and 0.5 here
            intrinsics[int(frame), int(index)] = (fx, fy, cx + 0.5, cy + 0.5)
    except (ValueError, IndexError) as error:
        raise ValueError(f"{path}: no table of intrinsics ({error}); unpack vkitti_2.0.3_textgt again") from None
    return intrinsics


def _prepare_pair(job: _Job) -> FrameRow | Dropped:
    rgb, depth = job.raw / job.rgb, job.raw / job.depth
    sample = read_pair(rgb, depth, CENTIMETRES, camera=None, group="", remedy=_UNPACK)
    height, width = sample.image.shape[-2:]
    camera = Camera(*job.intrinsics, width, height) if job.intrinsics else PUBLISHED_CAMERA.resized(width, height)
    if not (sample.valid & (sample.depth_m > NEAR_M) & (sample.depth_m < FAR_M)).any():
        return Dropped(f"no depth below {FAR_M:g} m")
    if job.place == "leave":
        names = [os.path.relpath(path.resolve(), job.out.resolve()) for path in (rgb, depth)]
    else:
        names = [job.rgb, job.depth]
        for name in names:
            _put(job.raw / name, job.out / name, job.place)
    return frame_row(
        replace(sample, camera=camera), rgb_path=Path(names[0]).as_posix(), depth_path=Path(names[1]).as_posix()
    )


def _put(source: Path, target: Path, place: Place) -> None:
    """Copy or link, so that the target is whole or not there. A file put onto itself stays."""
    if source.resolve() == target.resolve() and not target.is_symlink():
        return
    target.parent.mkdir(parents=True, exist_ok=True)
    part = target.with_name(f"{target.name}.part")
    part.unlink(missing_ok=True)
    if place == "link":
        part.symlink_to(source.resolve())
    else:
        shutil.copyfile(source, part)
    os.replace(part, target)
