"""Where the frames of a scene lie on disk: our shards, the layouts of Hypersim and Virtual KITTI 2, or plain folders.

Each layout is read back by the reader of its name in ``data``. Knows nothing of rendering.
"""

from __future__ import annotations

import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, get_args

import numpy as np
import tifffile
from jaxtyping import Float

from latentdepth.data.filelists import FrameRow
from latentdepth.data.hypersim import write_hypersim_frame, write_hypersim_lists
from latentdepth.data.rasters import camera_facts, encode_photo
from latentdepth.data.shards import ShardWriter, shard_path
from latentdepth.data.virtual_kitti import write_vkitti_frame, write_vkitti_intrinsics, write_vkitti_lists
from latentdepth.synth.kinds import Layout
from latentdepth.synth.make import Made, Settings, scene_name
from latentdepth.whole import write_whole

Rows = Sequence[Mapping[str, Any]]
_VARIATION = "clone"
_EVERY = 20  # one scene of so many goes to the validation list, where a layout has one
_SHARD = "scene"


def write_scene(out: Path, layout: Layout, settings: Settings, number: int, made: Made) -> list[dict[str, Any]]:
    """Write a scene's frames, over what a run that was cut off left. Returns JSON rows for ``write_lists``."""
    if layout == "shards":
        return _shard(out, settings, number, made)
    if layout == "hypersim":
        return _hypersim(out, settings, number, made)
    if layout == "vkitti":
        return _vkitti(out, settings, number, made)
    if layout == "folder":
        return _folder(out, settings, number, made)
    raise ValueError(f"layout {layout!r} is unknown; allowed are {', '.join(get_args(Layout))}")


def write_lists(out: Path, layout: Layout, scenes: Mapping[int, Rows]) -> None:
    """What a layout keeps about all scenes together: lists, cameras. ``scenes`` holds the rows of each scene."""
    if layout == "hypersim":
        for split in ("train", "val"):
            rows = [FrameRow(**row) for n, scene in sorted(scenes.items()) if _split(n) == split for row in scene]
            if rows:
                write_hypersim_lists(out, split, rows)
    elif layout == "vkitti":
        listed: dict[str, list[FrameRow]] = {"train": [], "val": []}
        for number, scene in scenes.items():
            listed[_split(number)] += [FrameRow(**row) for row in scene]
        write_vkitti_lists(out, {split: rows for split, rows in listed.items() if rows})
    elif layout == "folder":
        cameras = {row["name"]: row["camera"] for _, scene in sorted(scenes.items()) for row in scene}
        write_whole(out / "camera.json", (json.dumps(cameras, indent=1) + "\n").encode())


def scene_shard(out: Path, number: int) -> Path:
    """The shard of one scene."""
    return shard_path(out, number, name=_SHARD)


def _split(number: int) -> str:
    return "val" if number % _EVERY == _EVERY - 1 else "train"


def _shard(out: Path, settings: Settings, number: int, made: Made) -> list[dict[str, Any]]:
    scene_shard(out, number).unlink(missing_ok=True)  # whole, but its run ended before it was noted
    with ShardWriter(out, name=_SHARD, first=number, samples_per_shard=len(made.frames)) as writer:
        for index, frame in enumerate(made.frames):
            writer.add(f"{scene_name(settings, number)}-{index}", frame.sample, facts=frame.facts)
    return []


def _hypersim(out: Path, settings: Settings, number: int, made: Made) -> list[dict[str, Any]]:
    return [
        asdict(write_hypersim_frame(out, _split(number), scene_name(settings, number), "cam_00", index, frame.sample))
        for index, frame in enumerate(made.frames)
    ]


def _vkitti(out: Path, settings: Settings, number: int, made: Made) -> list[dict[str, Any]]:
    name = scene_name(settings, number)
    cameras = {(k, 0): f.sample.camera for k, f in enumerate(made.frames) if f.sample.camera is not None}
    write_vkitti_intrinsics(out, name, _VARIATION, cameras)
    return [
        asdict(write_vkitti_frame(out, name, _VARIATION, 0, index, frame.sample))
        for index, frame in enumerate(made.frames)
    ]


def _folder(out: Path, settings: Settings, number: int, made: Made) -> list[dict[str, Any]]:
    rows = []
    for index, frame in enumerate(made.frames):
        sample, name = frame.sample, f"{scene_name(settings, number)}/{index:02d}"
        depth = np.where(sample.valid[0].numpy(), sample.depth_m[0].numpy(), 0).astype(np.float32)
        write_whole(out / "rgb" / f"{name}.jpg", encode_photo(sample.image, form="jpg"))
        if sample.normals is not None:
            write_whole(out / "normals" / f"{name}.tif", _tiff(sample.normals.permute(1, 2, 0).numpy()))
        write_whole(out / "depth" / f"{name}.tif", _tiff(depth))
        assert sample.camera is not None  # make_scene always gives it
        rows.append({"name": name, "camera": camera_facts(sample.camera)})
    return rows


def _tiff(array: Float[np.ndarray, "h w *c"]) -> bytes:
    """float32, losslessly compressed."""
    buffer = io.BytesIO()
    planes = "rgb" if array.ndim == 3 else "minisblack"
    tifffile.imwrite(buffer, np.ascontiguousarray(array), compression="zlib", photometric=planes)
    return buffer.getvalue()
