"""Virtual KITTI 2 (arXiv 2001.10773): its reader, and a writer of single frames in the official layout.

``SceneNN/VARIATION/frames/{rgb,depth}/Camera_C/{rgb_NNNNN.jpg,depth_NNNNN.png}``, as the archives unpack, or with
``rgb/`` and ``depth/`` in front as Marigold's lists name them. Depth is planar, 16 bits, centimetres, 65535 = sky.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Literal

from latentdepth.core.types import Camera
from latentdepth.data.augment import cut
from latentdepth.data.filelists import (
    FrameRow,
    check_present,
    frame_row,
    read_facts,
    read_list,
    write_list,
    write_meta,
)
from latentdepth.data.pairs import encode_counts, in_range, read_pair
from latentdepth.data.rasters import DepthCoding, encode_photo
from latentdepth.data.sample import Sample
from latentdepth.whole import write_whole

SPLIT_SCENES = {"train": ("Scene02", "Scene06", "Scene18", "Scene20"), "val": ("Scene01",)}
VARIATIONS = ("clone", "morning", "overcast", "sunset", "15-deg-left", "15-deg-right")
"""Those that the published lists take: no fog or rain, nothing turned by 30 degrees."""
PUBLISHED_CAMERA = Camera(725.0087, 725.0087, 621.0, 187.5, 1242, 375)
"""``intrinsic.txt`` says 620.5, 187 for every frame, because it counts the centre of the first pixel as 0."""
CROP = (352, 1216)
"""Rows and columns of the KITTI benchmark's crop."""
NEAR_M, FAR_M = 1e-5, 80.0
CENTIMETRES = DepthCoding("depth", 1e-2, sky=65535)
INTRINSICS_HEADER = "frame cameraID K[0,0] K[1,1] K[0,2] K[1,2]"
Sky = Literal["invalid", "infinite"]
_SKY_COUNT = 65535
_SCENE = re.compile(r"(Scene\d+)/")  # the last one in a path: folders above may be called anything
_REMEDY = "make it with `latentdepth prepare vkitti2 RAW OUT`"


class VirtualKittiFrames:
    """The frames of one split, or of a list of your own.

    ``list_file`` overrides ``split``; its paths are relative to ``folder``. ``crop`` (rows, columns) keeps the bottom
    rows and the middle columns, by default the KITTI benchmark's; None keeps everything. Depth below 80 m is valid.
    Sky is ``invalid``, as published, or ``infinite``: +inf and valid. Raises ValueError for missing or empty lists,
    and lists that name absent files.
    """

    def __init__(
        self,
        folder: Path,
        *,
        split: str = "train",
        list_file: Path | None = None,
        crop: tuple[int, int] | None = CROP,
        sky: Sky = "invalid",
        name: str = "vkitti2",
    ) -> None:
        self._name = name
        self.folder, self.crop, self.sky = folder, crop, sky
        self.list_file = list_file or folder / f"filename_list_{split}.txt"
        self._pairs = read_list(self.list_file, columns=2, remedy=_REMEDY)
        self._facts = read_facts(folder / f"filename_meta_{split}.csv")
        check_present(folder, [path for pair in self._pairs for path in pair], self.list_file, remedy=_REMEDY)

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
        scenes = _SCENE.findall(rgb)
        sample = read_pair(
            self.folder / rgb,
            self.folder / depth,
            CENTIMETRES,
            camera=facts.camera if facts else PUBLISHED_CAMERA,
            group=scenes[-1] if scenes else rgb.split("/")[0],
            remedy=_REMEDY,
        )
        if self.crop is not None:
            sample = _bottom_crop(sample, *self.crop, name=rgb)
        return in_range(sample, str(self.folder / depth), near_m=NEAR_M, far_m=FAR_M, keep_sky=self.sky == "infinite")


def _bottom_crop(sample: Sample, rows: int, columns: int, *, name: str) -> Sample:
    height, width = sample.image.shape[-2:]
    if rows > height or columns > width:
        raise ValueError(f"{name}: {width} x {height} is smaller than the crop {columns} x {rows}; give crop=None")
    return cut(sample, (width - columns) // 2, height - rows, columns, rows)


def frame_paths(scene: str, variation: str, camera_index: int, frame: int) -> tuple[str, str]:
    """Photo and depth of a frame in the official layout."""
    frames, number = f"{scene}/{variation}/frames", f"{frame:05d}"
    return (
        f"{frames}/rgb/Camera_{camera_index}/rgb_{number}.jpg",
        f"{frames}/depth/Camera_{camera_index}/depth_{number}.png",
    )


def write_vkitti_frame(
    folder: Path, scene: str, variation: str, camera_index: int, frame: int, sample: Sample
) -> FrameRow:
    """Write one frame in the official layout and return its row, for ``write_vkitti_lists``.

    Depth is rounded to centimetres, sky (+inf) is 65535, what is farther than 655.34 m becomes 655.34 m. A sample
    without camera gets the published one, scaled to its size. The depth file comes last: a frame that has it is
    whole. Raises ValueError when no depth is valid.
    """
    height, width = sample.image.shape[-2:]
    sample = replace(sample, camera=sample.camera or PUBLISHED_CAMERA.resized(width, height))
    rgb_path, depth_path = frame_paths(scene, variation, camera_index, frame)
    last_m = (_SKY_COUNT - 1) / 100
    clamped = sample.depth_m.where(sample.depth_m.isinf(), sample.depth_m.clamp(max=last_m))
    row = frame_row(replace(sample, depth_m=clamped), rgb_path=rgb_path, depth_path=depth_path)
    counts = (clamped.double() * 100).round().clamp(1, _SKY_COUNT)
    write_whole(folder / rgb_path, encode_photo(sample.image, form="jpg"))
    write_whole(folder / depth_path, encode_counts(counts, sample.valid))
    return row


def write_vkitti_lists(folder: Path, rows: Mapping[str, Sequence[FrameRow]]) -> None:
    """Write list and CSV of every split ("train", "val"), its rows sorted by the photo's path."""
    for split, unsorted in rows.items():
        ordered = sorted(unsorted, key=lambda row: row.rgb_path)
        write_meta(folder / f"filename_meta_{split}.csv", ordered)
        write_list(folder / f"filename_list_{split}.txt", ordered)


def write_vkitti_intrinsics(
    folder: Path, scene: str, variation: str, cameras: Mapping[tuple[int, int], Camera]
) -> None:
    """Write ``intrinsic.txt`` of a variation: cameras by (frame, camera index), pixel centres counted from 0."""
    lines = [
        f"{frame} {index} {camera.fx_px:.10g} {camera.fy_px:.10g} {camera.cx_px - 0.5:.10g} {camera.cy_px - 0.5:.10g}"
        for (frame, index), camera in sorted(cameras.items())
    ]
    content = "\n".join([INTRINSICS_HEADER, *lines, ""])
    write_whole(folder / scene / variation / "intrinsic.txt", content.encode())
