"""KITTI (Geiger et al., IJRR 2013): Eigen's test frames with the improved truth of Uhrig et al. (arXiv 1708.06500).

Of Eigen's 697 frames 45 have no improved truth (``None`` in published lists), which leaves 652. Depth is planar,
16 bits, 1/256 m, 0 where no laser hit. Photo and truth are cut to the benchmark's 352 x 1216, and scored below 80 m in
Eigen's or Garg's region of that.
"""

from __future__ import annotations

import re
from dataclasses import replace
from functools import partial
from pathlib import Path

from latentdepth.core.types import Camera
from latentdepth.data.augment import cut
from latentdepth.data.benchmarks.benchmark import Facts
from latentdepth.data.benchmarks.container import Container, open_container
from latentdepth.data.benchmarks.crops import Crop, inside, window
from latentdepth.data.benchmarks.listed import ListedBenchmark, Row, listed, read_png_pair, read_split, rows_of_list
from latentdepth.data.pairs import in_range
from latentdepth.data.rasters import DepthCoding
from latentdepth.data.sample import Sample

KITTI = Facts(
    key="kitti",
    title="KITTI (Eigen test, improved truth)",
    truth="depth",
    frames=652,
    near_m=1e-5,
    far_m=80.0,
    crop="eigen-kitti",
    layout=(
        "kitti_eigen_split_test.tar, or folders of raw and annotated data:\n"
        "DATE/DATE_drive_NNNN_sync/image_02/data/NNNNNNNNNN.png                       photo\n"
        "DATE_drive_NNNN_sync/proj_depth/groundtruth/image_02/NNNNNNNNNN.png          depth, 16 bits, 1/256 m\n"
        "(the latter also below train/ and val/, data_depth_annotated/train/ and val/, or DATE/)"
    ),
    source=(
        "kitti_eigen_split_test.tar of Marigold's evaluation data, "
        "https://share.phys.ethz.ch/~pf/bingkedata/marigold/evaluation_dataset/kitti/, or raw data and "
        "data_depth_annotated.zip of https://www.cvlibs.net/datasets/kitti (CC BY-NC-SA 3.0)"
    ),
)
KITTI_GARG = replace(KITTI, key="kitti-garg", title="KITTI (Eigen test, Garg crop)", crop="garg-kitti")
FACTS = (KITTI, KITTI_GARG)

_COUNTS = DepthCoding("depth", 1 / 256)
_TRUTH_FOLDERS = ("", "train/", "val/", "data_depth_annotated/train/", "data_depth_annotated/val/")
# P_rect_02 of each day: focal length and principal point, counting the first pixel's centre as 0; then the size
_DAYS = {
    "2011_09_26": (721.5377, 609.5593, 172.8540, 1242, 375),
    "2011_09_28": (707.0493, 604.0814, 180.5066, 1224, 370),
    "2011_09_29": (718.3351, 600.3891, 181.5122, 1238, 374),
    "2011_09_30": (707.0912, 601.8873, 183.1104, 1226, 370),
    "2011_10_03": (718.8560, 607.1928, 185.2157, 1241, 376),
}
_DRIVE = re.compile(r"(\d{4}_\d\d_\d\d)_drive_\d{4}")


def open_kitti(root: Path, *, list_file: Path | None = None) -> ListedBenchmark:
    """The 652 frames below ``root`` in Eigen's region: the published tar, a folder that holds it, or KITTI's folders.

    ``list_file`` (lines ``rgb depth``, relative to ``root``, depth perhaps ``None``) scores other frames. Raises
    ``Missing``, and ValueError for a damaged tar or list.
    """
    return _opened(KITTI, "eigen-kitti", root, list_file)


def open_kitti_garg(root: Path, *, list_file: Path | None = None) -> ListedBenchmark:
    """As ``open_kitti``, in Garg's region."""
    return _opened(KITTI_GARG, "garg-kitti", root, list_file)


def _opened(facts: Facts, crop: Crop, root: Path, list_file: Path | None) -> ListedBenchmark:
    container = open_container(root, facts, "kitti_eigen_split_test.tar", "kitti/kitti_eigen_split_test.tar")
    if list_file is not None:
        rows = rows_of_list(list_file, columns=2, group=_drive)
    else:
        split = read_split("kitti")
        rows = [_row(container, drive, number) for drive, numbers in split.items() for number in numbers]
    return listed(facts, root, container, rows, partial(_decode, crop=crop), list_file=list_file)


def _row(container: Container, drive: str, number: int) -> Row:
    day = drive[:10]
    photo = f"{day}/{drive}_sync/image_02/data/{number:010d}.png"
    truth = f"{drive}_sync/proj_depth/groundtruth/image_02/{number:010d}.png"
    places = [folder + truth for folder in (*_TRUTH_FOLDERS, f"{day}/")]
    depth = next((path for path in places if container.has(path)), truth)
    return Row(photo.removesuffix(".png"), photo, depth, group=drive)


def _drive(photo: str) -> str:
    found = _DRIVE.search(photo)
    return found[0] if found else ""


def _camera(drive: str) -> Camera | None:
    day = _DAYS.get(drive[:10])
    if day is None:
        return None
    focal_px, cx_px, cy_px, width_px, height_px = day
    return Camera(focal_px, focal_px, cx_px + 0.5, cy_px + 0.5, width_px, height_px)


def _decode(container: Container, row: Row, crop: Crop) -> Sample:
    sample = read_png_pair(container, row, _COUNTS, camera=_camera(row.group))
    try:
        place = window("kitti-benchmark", *sample.image.shape[-2:])
    except ValueError as error:
        raise ValueError(f"{container.where(row.photo)}: {error}") from None
    height, width = place.bottom - place.top, place.right - place.left
    sample = cut(sample, place.left, place.top, width, height)
    sample = replace(sample, valid=sample.valid & inside(crop, height, width))
    return in_range(sample, container.where(row.depth), near_m=KITTI.near_m, far_m=80.0, keep_sky=False)
