"""NYU Depth v2 (Silberman et al., ECCV 2012), the 654 test images of the labelled set, in Marigold's archive.

``test/SCENE/{rgb,depth,filled}_NNNN.png`` at 480 x 640, NNNN counted from 1 in the labelled set; depth is planar,
16 bits, millimetres, 0 where the sensor saw nothing. Scored are the raw depths, not the filled ones, between 1 mm and
10 m inside the Eigen crop, which leaves out the white frame of the photos.
"""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

from latentdepth.core.types import Camera
from latentdepth.data.benchmarks.benchmark import Facts
from latentdepth.data.benchmarks.container import Container, open_container
from latentdepth.data.benchmarks.crops import inside
from latentdepth.data.benchmarks.listed import ListedBenchmark, Row, listed, read_png_pair, read_split, rows_of_list
from latentdepth.data.pairs import in_range
from latentdepth.data.rasters import DepthCoding
from latentdepth.data.sample import Sample

NYU = Facts(
    key="nyu",
    title="NYUv2 (Eigen test)",
    truth="depth",
    frames=654,
    near_m=1e-3,
    far_m=10.0,
    crop="eigen-nyu",
    layout=(
        "nyu_labeled_extracted.tar, or unpacked:\n"
        "test/SCENE/rgb_NNNN.png    photo, 480 x 640\n"
        "test/SCENE/depth_NNNN.png  raw depth, 16 bits, millimetres"
    ),
    source=(
        "nyu_labeled_extracted.tar of Marigold's evaluation data, "
        "https://share.phys.ethz.ch/~pf/bingkedata/marigold/evaluation_dataset/nyuv2/ (images of NYU Depth v2, "
        "https://cs.nyu.edu/~fergus/datasets/nyu_depth_v2.html, for research)"
    ),
)
FACTS = (NYU,)
# the toolbox counts pixel centres from 1; here the first is at 0.5
CAMERA = Camera(518.85790, 519.46961, 325.58245 - 0.5, 253.73617 - 0.5, 640, 480)
"""The Kinect's colour camera, onto which the toolbox projects the depth."""

_MILLIMETRES = DepthCoding("depth", 1e-3)
_NUMBER = re.compile(r"rgb_(\d+)\.png")


def open_nyu(root: Path, *, list_file: Path | None = None) -> ListedBenchmark:
    """The test split below ``root``: the published tar, a folder that holds it, or a folder with ``test``.

    ``list_file`` (lines ``rgb depth``, relative to ``root``) scores other frames in the same coding. Raises
    ``Missing``, and ValueError for a damaged tar or list.
    """
    container = open_container(root, NYU, "nyu_labeled_extracted.tar", "nyuv2/nyu_labeled_extracted.tar")
    if list_file is not None:
        rows = rows_of_list(list_file, columns=2, group=_scene)
        return listed(NYU, root, container, rows, _decode, list_file=list_file)
    found: dict[int, str] = {}
    for path in container.find("test/*/rgb_*.png"):
        number = _NUMBER.fullmatch(path.rpartition("/")[2])
        if number:
            found[int(number[1])] = path
    split = read_split("nyu")["test"]
    photos = [found[number] for number in split if number in found]
    rows = [Row(p.removesuffix(".png"), p, p.replace("/rgb_", "/depth_"), group=_scene(p)) for p in photos]
    absent = [f"test/*/rgb_{number:04d}.png" for number in split if number not in found]
    return listed(NYU, root, container, rows, _decode, absent=absent)


def _scene(photo: str) -> str:
    return photo.split("/")[-2] if "/" in photo else ""


def _decode(container: Container, row: Row) -> Sample:
    sample = read_png_pair(container, row, _MILLIMETRES, camera=CAMERA)
    height, width = sample.image.shape[-2:]
    try:
        crop = inside("eigen-nyu", height, width)
    except ValueError as error:
        raise ValueError(f"{container.where(row.photo)}: {error}") from None
    sample = replace(sample, valid=sample.valid & crop)
    return in_range(sample, container.where(row.depth), near_m=NYU.near_m, far_m=10.0, keep_sky=False)
