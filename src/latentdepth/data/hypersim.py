"""Hypersim (arXiv 2011.02523) as Marigold's preparation lays it out: its reader, and a writer of single frames.

``FOLDER/SPLIT/SCENE/{rgb,depth_plane,normals}_CAMERA_frNNNN.png`` with lists of them in ``FOLDER/SPLIT``. Depth is
planar, 16 bits, millimetres, 0 = invalid; normals are 8 bits, 128 + 127 n. Doesn't know the raw download.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from latentdepth.core.types import Camera
from latentdepth.data.filelists import (
    FrameLimits,
    FrameRow,
    check_present,
    frame_row,
    read_facts,
    read_list,
    write_list,
    write_meta,
)
from latentdepth.data.pairs import encode_counts, in_range, read_bytes, read_pair
from latentdepth.data.rasters import DepthCoding, decode_normals, encode_normals, encode_photo
from latentdepth.data.sample import Sample
from latentdepth.whole import write_whole

SPLITS = ("train", "val", "test")
FOV_DEG = 60.0
"""Across the width, in scenes without tilt or shift: 886.81 px at 1024 x 768."""
NEAR_M, FAR_M = 1e-5, 65.0
MILLIMETRES = DepthCoding("depth", 1e-3)
_LAST_MM = 65535
_REMEDY = "make it with `latentdepth prepare hypersim RAW OUT`"
_NORMALS_CENTRE = 128.0


def published_camera(width_px: int, height_px: int) -> Camera:
    """The camera that the published preparation takes every scene for."""
    return Camera.from_fov(FOV_DEG, width_px, height_px)


class HypersimFrames:
    """The frames of one split, or of a list of your own.

    ``folder`` holds the splits, or is one itself. ``list_file`` overrides ``split`` and ``filtered``; its paths are
    relative to the split's folder, as in the published lists. Depth from 1e-5 to 65 m is valid, as published. The
    camera comes from ``filename_meta_SPLIT.csv`` where there is one, else it is ``published_camera``.

    Raises ValueError for missing or empty lists, and lists that name absent files.
    """

    def __init__(
        self,
        folder: Path,
        *,
        split: str = "train",
        filtered: bool = True,
        list_file: Path | None = None,
        name: str = "hypersim",
    ) -> None:
        self._name = name
        self.folder = folder / split if (folder / split).is_dir() else folder
        suffix = "_filtered" if filtered else ""
        self.list_file = list_file or self.folder / f"filename_list_{split}{suffix}.txt"
        self._pairs = read_list(self.list_file, columns=2, remedy=_REMEDY)
        self._facts = read_facts(self.folder / f"filename_meta_{split}.csv")
        normals = [self._facts[rgb].normals_path for rgb, _ in self._pairs if rgb in self._facts]
        named = [*(path for pair in self._pairs for path in pair), *filter(None, normals)]
        check_present(self.folder, named, self.list_file, remedy=_REMEDY)

    @property
    def name(self) -> str:
        """Short name for mixing weights and reports."""
        return self._name

    def __len__(self) -> int:
        return len(self._pairs)

    def __getitem__(self, index: int) -> Sample:
        """Decode one frame; its group is the scene. ValueError names the file and what is wrong with it."""
        rgb, depth = self._pairs[index]
        facts = self._facts.get(rgb)
        sample = read_pair(
            self.folder / rgb,
            self.folder / depth,
            MILLIMETRES,
            camera=facts.camera if facts else None,
            group=rgb.split("/")[0],
            remedy=_REMEDY,
        )
        height, width = sample.image.shape[-2:]
        sample = replace(sample, camera=sample.camera or published_camera(width, height))
        sample = in_range(sample, str(self.folder / depth), near_m=NEAR_M, far_m=FAR_M, keep_sky=False)
        return sample if not facts or not facts.normals_path else self._with_normals(sample, facts.normals_path)

    def _with_normals(self, sample: Sample, normals_path: str) -> Sample:
        path = self.folder / normals_path
        content = read_bytes(path, remedy=_REMEDY)
        normals = decode_normals(content, path.suffix, str(path), centre=_NORMALS_CENTRE)
        if normals.shape != sample.image.shape:
            raise ValueError(f"{path}: {tuple(normals.shape)}, the photo is {tuple(sample.image.shape)}; {_REMEDY}")
        return replace(sample, normals=normals)


def write_hypersim_frame(
    folder: Path, split: str, scene: str, camera_name: str, frame: int, sample: Sample
) -> FrameRow:
    """Write one frame of ``FOLDER/SPLIT`` and return its row, for ``write_hypersim_lists``.

    Depth is rounded to millimetres; what is farther than 65.535 m, sky too, becomes 65.535 m and never wraps around.
    A sample without camera gets the published one. The depth file comes last: a frame that has it is whole.
    Raises ValueError when no depth is valid.
    """
    height, width = sample.image.shape[-2:]
    sample = replace(sample, camera=sample.camera or published_camera(width, height))
    base = f"{camera_name}_fr{frame:04d}.png"
    rgb_path, depth_path = f"{scene}/rgb_{base}", f"{scene}/depth_plane_{base}"
    normals_path = "" if sample.normals is None else f"{scene}/normals_{base}"
    # the facts describe what a reader will see, so the clamp comes first
    clamped = replace(sample, depth_m=sample.depth_m.clamp(max=_LAST_MM / 1000))
    row = frame_row(clamped, rgb_path=rgb_path, depth_path=depth_path, normals_path=normals_path)
    place = folder / split
    if sample.normals is not None:
        write_whole(place / normals_path, encode_normals(sample.normals))
    write_whole(place / rgb_path, encode_photo(sample.image, form="png"))
    counts = (clamped.depth_m.double() * 1000).round().clamp(1, _LAST_MM)
    write_whole(place / depth_path, encode_counts(counts, sample.valid))
    return row


def write_hypersim_lists(
    folder: Path, split: str, rows: Sequence[FrameRow], *, limits: FrameLimits | None = None
) -> dict[str, list[str]]:
    """Write the split's list, its filtered list and its CSV.

    Returns what the filtered list leaves out: the photos' paths by the limit that they break.
    """
    limits = limits or FrameLimits()
    ordered = sorted(rows, key=lambda row: row.rgb_path)
    left_out: dict[str, list[str]] = {}
    kept = []
    for row in ordered:
        reason = limits.violated(row)
        if reason:
            left_out.setdefault(reason, []).append(row.rgb_path)
        else:
            kept.append(row)
    place = folder / split
    write_meta(place / f"filename_meta_{split}.csv", ordered)
    write_list(place / f"filename_list_{split}.txt", ordered)
    write_list(place / f"filename_list_{split}_filtered.txt", kept)
    return left_out
