"""Hypersim's raw download (arXiv 2011.02523) to what training reads: every frame of the chosen splits.

Knows which frames there are and where their tables lie; ``hypersim_raw`` decodes one, ``hypersim`` writes it.
"""

from __future__ import annotations

import csv
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from latentdepth.data.filelists import FrameLimits, FrameRow
from latentdepth.data.hypersim import SPLITS, write_hypersim_frame, write_hypersim_lists
from latentdepth.data.hypersim_raw import RawFrame, read_projections, read_raw_frame
from latentdepth.data.prepare import Dropped, OnFrame, OnStart, Report, prepare_frames

SPLIT_FILE, CAMERA_FILE = "metadata_images_split_scene_v1.csv", "metadata_camera_parameters.csv"
FARTHEST_M = 65.535
_COLUMNS = ("scene_name", "camera_name", "frame_id", "included_in_public_release", "split_partition_name")
_PLACES = (".", "..", "analysis", "../analysis")  # from the scenes' folder: beside them, or as in the repository


@dataclass(frozen=True)
class HypersimChoices:
    """What to prepare and how."""

    splits: tuple[str, ...] = SPLITS
    split_file: Path | None = None
    """``metadata_images_split_scene_v1.csv``; None looks in and beside the raw folder."""
    camera_file: Path | None = None
    """``metadata_camera_parameters.csv``; None looks in the same places, and does without where there is none."""
    max_depth_m: float | None = None
    """Farther pixels become invalid; None clamps them to 65.535 m."""
    limits: FrameLimits = field(default_factory=FrameLimits)


@dataclass(frozen=True, eq=False)
class _Job:
    out: Path
    split: str
    source: RawFrame
    cam_from_uv: np.ndarray | None
    max_depth_m: float | None


def prepare_hypersim(
    raw: Path,
    out: Path,
    choices: HypersimChoices | None = None,
    *,
    workers: int = 1,
    overwrite: bool = False,
    on_start: OnStart = lambda frames: None,
    on_frame: OnFrame = lambda key, outcome, text: None,
) -> Report:
    """Prepare the frames of public scenes that are in ``raw``, into ``out``/SPLIT, and write lists and a report.

    Lists come last, and only when all frames were reached. See ``prepare_frames`` for stopping and going on.
    Raises ValueError when the raw folder, its table of splits or all of its scenes are missing.
    """
    choices = choices or HypersimChoices()
    _check_choices(raw, choices)
    split_file = choices.split_file or _beside(raw, SPLIT_FILE)
    if split_file is None or not split_file.is_file():
        raise ValueError(
            f"{split_file or raw / SPLIT_FILE}: there is no such file; it is in the repository apple/ml-hypersim, "
            "folder evermotion_dataset/analysis: put it into RAW or name it with --split-file"
        )
    camera_file = choices.camera_file or _beside(raw, CAMERA_FILE)
    matrices = read_projections(camera_file) if camera_file else {}
    frames, absent_scenes = _frames(raw, split_file, choices.splits)
    jobs = {
        _key(split, source): _Job(out, split, source, matrices.get(source.scene), choices.max_depth_m)
        for split, source in frames
    }
    on_start(len(jobs))
    settings = {
        "data_set": "hypersim",
        "max_depth_m": choices.max_depth_m,
        "projection": "per scene" if matrices else "published",
    }
    report = prepare_frames(
        jobs,
        _prepare_frame,
        lambda key: out / key.split("/")[0],
        out,
        settings,
        workers=workers,
        overwrite=overwrite,
        on_frame=on_frame,
    )
    if camera_file is None:
        report.notes.append(
            f"{CAMERA_FILE} is not there, so scenes with tilted lenses have bent depth, as in the published files; it "
            "is in the repository apple/ml-hypersim, folder contrib/mikeroberts3000"
        )
    unknown = sorted({source.scene for _, source in frames if matrices and source.scene not in matrices})
    if unknown:
        report.notes.append(f"{camera_file} lacks {', '.join(unknown)}: the published camera was taken for them")
    for scene, keys in absent_scenes.items():
        report.dropped.setdefault("scene is not in RAW", []).extend(keys)
        report.notes.append(f"{raw / scene}: not there, {len(keys)} frames")
    if report.stopped is None:
        for split in choices.splits:
            rows = [row for key, row in report.rows.items() if key.startswith(f"{split}/")]
            if rows:
                for reason, names in write_hypersim_lists(out, split, rows, limits=choices.limits).items():
                    report.left_out.setdefault(reason, []).extend(f"{split}/{name}" for name in names)
    report.write(out)
    return report


def _check_choices(raw: Path, choices: HypersimChoices) -> None:
    if not raw.is_dir():
        raise ValueError(f"{raw}: there is no such folder; name the one that holds the scenes (ai_001_001, ...)")
    wrong = sorted(set(choices.splits) - set(SPLITS))
    if wrong or not choices.splits:
        raise ValueError(f"splits are {', '.join(choices.splits) or 'none'}; allowed are {', '.join(SPLITS)}")
    if choices.max_depth_m is not None and not 0 < choices.max_depth_m <= FARTHEST_M:
        raise ValueError(
            f"max depth is {choices.max_depth_m:g} m; allowed is more than 0 and at most {FARTHEST_M}, the last count"
        )
    if choices.camera_file is not None and not choices.camera_file.is_file():
        raise ValueError(f"{choices.camera_file}: there is no such file; leave --camera-file out to do without")


def _beside(raw: Path, name: str) -> Path | None:
    places = (raw / place / name for place in _PLACES)
    return next((path for path in places if path.is_file()), None)


def _frames(
    raw: Path, split_file: Path, splits: Sequence[str]
) -> tuple[list[tuple[str, RawFrame]], dict[str, list[str]]]:
    """Split and source of every public frame whose scene is here; keys of the others by scene."""
    here: dict[str, bool] = {}
    frames: list[tuple[str, RawFrame]] = []
    absent_scenes: dict[str, list[str]] = {}
    with split_file.open(newline="", encoding="utf-8") as file:
        table = csv.DictReader(file)
        missing = set(_COLUMNS) - set(table.fieldnames or ())
        if missing:
            raise ValueError(f"{split_file}: lacks the columns {', '.join(sorted(missing))}; download it again")
        for number, line in enumerate(table, 2):
            split = line["split_partition_name"]
            if line["included_in_public_release"].lower() != "true" or split not in splits:
                continue
            try:
                source = RawFrame(raw, line["scene_name"], line["camera_name"], int(line["frame_id"]))
            except ValueError:
                raise ValueError(f"{split_file}: line {number} has the frame {line['frame_id']!r}") from None
            if source.scene not in here:
                here[source.scene] = (raw / source.scene / "images").is_dir()
            if here[source.scene]:
                frames.append((split, source))
            else:
                absent_scenes.setdefault(source.scene, []).append(_key(split, source))
    if not frames:
        named = next(iter(absent_scenes), "ai_001_001")
        raise ValueError(
            f"{raw}: holds none of the scenes that {split_file.name} puts into {', '.join(splits)}; expected are "
            f"folders such as {raw / named / 'images'}"
        )
    return frames, absent_scenes


def _key(split: str, source: RawFrame) -> str:
    return f"{split}/{source.scene}/{source.camera_name}/{source.frame:04d}"


def _prepare_frame(job: _Job) -> FrameRow | Dropped:
    sample = read_raw_frame(job.source, job.cam_from_uv, max_depth_m=job.max_depth_m)
    if not sample.valid.any():
        return Dropped("no valid depth")
    source = job.source
    return write_hypersim_frame(job.out, job.split, source.scene, source.camera_name, source.frame, sample)
