"""``latentdepth prepare``: raw downloads of data sets to what training reads.

Options and what is printed; ``data.prepare_hypersim`` and ``data.prepare_virtual_kitti`` do the work.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal, Union

from tyro.conf import Positional, arg, subcommand

from latentdepth.verbs.progress import bar

if TYPE_CHECKING:
    from latentdepth.data.prepare import OnFrame, OnStart, Report

_LINES = 20  # failures that are printed; the report holds all of them
_RAW = arg(metavar="RAW")
_OUT = arg(metavar="OUT")


@dataclass(frozen=True)
class PrepareHypersim:
    """Hypersim: tone-map HDF5 radiance, turn distances into planar depth, write PNG files, lists and a report.

    The same command goes on where an earlier one stopped."""

    raw: Annotated[Positional[Path], _RAW]
    """Folder of the scenes (ai_001_001, ...) as they were downloaded."""
    out: Annotated[Positional[Path], _OUT]
    """Folder for train, val and test; training reads it."""
    splits: tuple[Literal["train", "val", "test"], ...] = ("train", "val", "test")
    """Splits to prepare."""
    split_file: Path | None = None
    """metadata_images_split_scene_v1.csv; by default it is looked for in RAW and beside it."""
    camera_file: Path | None = None
    """metadata_camera_parameters.csv, for scenes with tilted lenses; looked for in the same places."""
    max_depth: float | None = None
    """Make pixels beyond so many metres invalid; by default they are clamped to 65.535 m, the last 16-bit count."""
    min_depth_range: float = 0.5
    """Leave frames of less range of depth, in metres, out of the filtered lists."""
    min_rgb_range: float = 10.0
    """Leave frames of less range of colour, in counts of 0 to 255, out of the filtered lists."""
    max_invalid: float = 0.03
    """Leave frames with a larger share of invalid pixels, 0 to 1, out of the filtered lists."""
    workers: int | None = None
    """Processes; by default one for each processor core."""
    overwrite: bool = False
    """Start afresh, even where frames are finished."""


@dataclass(frozen=True)
class PrepareVirtualKitti:
    """Virtual KITTI 2: check every pair of the unpacked archives, write lists, cameras and a report.

    The same command goes on where an earlier one stopped."""

    raw: Annotated[Positional[Path], _RAW]
    """Folder of Scene01 to Scene20 as the archives unpack, or of rgb and depth with these inside."""
    out: Annotated[Positional[Path], _OUT]
    """Folder for the lists; training reads it."""
    splits: tuple[Literal["train", "val"], ...] = ("train", "val")
    """Splits to prepare: train is Scene02, 06, 18 and 20, val is Scene01."""
    variations: tuple[str, ...] = ("clone", "morning", "overcast", "sunset", "15-deg-left", "15-deg-right")
    """Weather and camera variations to take; the default is what the published lists have."""
    place: Literal["leave", "link", "copy"] = "leave"
    """Leave the pictures where they are, link them into OUT, or copy them there."""
    workers: int | None = None
    """Processes; by default one for each processor core."""
    overwrite: bool = False
    """Start afresh, even where frames are finished."""


@dataclass(frozen=True)
class Prepare:
    """Turn the raw download of a data set into what training reads."""

    data_set: Union[  # noqa: UP007  (evaluated when the module is read)
        Annotated[PrepareHypersim, subcommand("hypersim", prefix_name=False)],
        Annotated[PrepareVirtualKitti, subcommand("vkitti2", prefix_name=False)],
    ]


def run(verb: Prepare) -> int:
    """Prepare, with a progress bar on standard error; returns the exit status.

    0: all is well; 1: frames failed, the disk is full or a worker died; 130: Ctrl-C. ValueError and OSError for what
    is wrong before the first frame.
    """
    chosen = verb.data_set
    workers = os.cpu_count() or 1 if chosen.workers is None else chosen.workers
    if isinstance(chosen, PrepareHypersim):
        report = _with_progress(chosen.out, lambda start, frame: _hypersim(chosen, workers, start, frame))
    else:
        report = _with_progress(chosen.out, lambda start, frame: _virtual_kitti(chosen, workers, start, frame))
    return _conclude(report, chosen.out)


def _hypersim(verb: PrepareHypersim, workers: int, on_start: OnStart, on_frame: OnFrame) -> Report:
    from latentdepth.data.filelists import FrameLimits
    from latentdepth.data.prepare_hypersim import HypersimChoices, prepare_hypersim

    choices = HypersimChoices(
        splits=verb.splits,
        split_file=verb.split_file,
        camera_file=verb.camera_file,
        max_depth_m=verb.max_depth,
        limits=FrameLimits(verb.min_depth_range, verb.min_rgb_range, verb.max_invalid),
    )
    return prepare_hypersim(
        verb.raw, verb.out, choices, workers=workers, overwrite=verb.overwrite, on_start=on_start, on_frame=on_frame
    )


def _virtual_kitti(verb: PrepareVirtualKitti, workers: int, on_start: OnStart, on_frame: OnFrame) -> Report:
    from latentdepth.data.prepare_virtual_kitti import VirtualKittiChoices, prepare_virtual_kitti

    choices = VirtualKittiChoices(verb.splits, verb.variations, verb.place)
    return prepare_virtual_kitti(
        verb.raw, verb.out, choices, workers=workers, overwrite=verb.overwrite, on_start=on_start, on_frame=on_frame
    )


def _with_progress(out: Path, work: Callable[[OnStart, OnFrame], Report]) -> Report:
    with bar("preparing", unit="frames/s") as shown:

        def on_frame(key: str, outcome: str, text: str) -> None:
            shown.advance(worked=outcome != "there already")
            if outcome == "failed" and shown.lines < _LINES:
                last = shown.lines == _LINES - 1
                more = f"\nFurther failures are only in {out / 'report.json'}." if last else ""
                shown.say(f"failed: {key}: {text}{more}")

        return work(shown.of, on_frame)


def _conclude(report: Report, out: Path) -> int:
    """A few lines on what became of the frames, and the exit status that fits."""
    dropped = {reason: len(keys) for reason, keys in report.dropped.items()}
    counts = {
        "prepared": len(report.prepared),
        "there already": len(report.there_already),
        "dropped": sum(dropped.values()),
        "failed": len(report.failed),
        "not reached": report.not_reached,
    }
    lines = [", ".join(f"{count} {word}" for word, count in counts.items() if count) or "nothing to do"]
    lines += [f"  dropped: {count} x {reason}" for reason, count in dropped.items()]
    lines += [f"  left out of the filtered lists: {len(names)} x {why}" for why, names in report.left_out.items()]
    lines += [f"  note: {note}" for note in report.notes[:_LINES]]
    if report.stopped == "disk full":
        lines.append(f"The disk of {out} is full: free some space, then the same command goes on from here.")
    elif report.stopped == "worker died":
        lines.append("A worker process died, mostly for want of memory: try fewer --workers; finished frames are kept.")
    elif report.stopped == "interrupted":
        lines.append("Stopped by Ctrl-C; the same command goes on from here. Lists are written at the end.")
    elif report.failed:
        lines.append("The lists lack the failed frames; the same command tries those again.")
    lines.append(f"Report: {out / 'report.json'}")
    print("\n".join(lines), file=sys.stderr)
    if report.stopped == "interrupted":
        return 130
    return int(bool(report.failed or report.stopped))
