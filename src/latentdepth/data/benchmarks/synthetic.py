"""Validation frames of the two training sets: Hypersim as Marigold prepares it, and Virtual KITTI 2's Scene01.

Their codings and cameras are those of the readers for training (``data.hypersim``, ``data.virtual_kitti``); this file
only says which frames count, in folders as in the published tars.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path

from latentdepth.core.types import Camera
from latentdepth.data import hypersim, virtual_kitti
from latentdepth.data.augment import cut
from latentdepth.data.benchmarks.benchmark import Facts
from latentdepth.data.benchmarks.container import Container, Missing, open_container
from latentdepth.data.benchmarks.crops import inside, window
from latentdepth.data.benchmarks.listed import ListedBenchmark, Row, listed, read_png_pair, rows_of_list
from latentdepth.data.filelists import read_facts
from latentdepth.data.pairs import in_range
from latentdepth.data.sample import Sample

HYPERSIM = Facts(
    key="hypersim",
    title="Hypersim (validation, filtered)",
    truth="depth",
    frames=7370,
    near_m=hypersim.NEAR_M,
    far_m=hypersim.FAR_M,
    crop=None,
    layout=(
        "hypersim_processed_val.tar with the list beside it, or the folder val of `latentdepth prepare hypersim`:\n"
        "SCENE/rgb_CAMERA_frNNNN.png          photo\n"
        "SCENE/depth_plane_CAMERA_frNNNN.png  16 bits, millimetres\n"
        "filename_list_val_filtered.txt       which of them count"
    ),
    source=(
        "`latentdepth prepare hypersim` makes it from https://github.com/apple/ml-hypersim (CC BY-SA 3.0); the list of "
        "the published frames is data_split/hypersim_depth of https://github.com/prs-eth/Marigold"
    ),
)
VKITTI = Facts(
    key="vkitti",
    title="Virtual KITTI 2 (Scene01)",
    truth="depth",
    frames=5364,
    near_m=virtual_kitti.NEAR_M,
    far_m=virtual_kitti.FAR_M,
    crop="eigen-kitti",
    layout=(
        "vkitti.tar, or the archives unpacked, with or without the folders rgb and depth in front:\n"
        "rgb/Scene01/VARIATION/frames/rgb/Camera_C/rgb_NNNNN.jpg        photo\n"
        "depth/Scene01/VARIATION/frames/depth/Camera_C/depth_NNNNN.png  16 bits, centimetres, 65535 is sky\n"
        f"(VARIATION: {', '.join(virtual_kitti.VARIATIONS)})"
    ),
    source=(
        "vkitti_2.0.3_rgb.tar and vkitti_2.0.3_depth.tar of "
        "https://europe.naverlabs.com/proxy-virtual-worlds-vkitti-2 (CC BY-NC-SA 3.0)"
    ),
)
FACTS = (HYPERSIM, VKITTI)

_LIST = "filename_list_val_filtered.txt"
_META = "filename_meta_val.csv"
_VARIATION = re.compile(r"Scene01/([^/]+)/frames/rgb/Camera_\d/")


def open_hypersim(root: Path, *, list_file: Path | None = None) -> ListedBenchmark:
    """The filtered validation frames below ``root``: the published tar, a folder that holds it, or the split's folder.

    Which frames count says ``filename_list_val_filtered.txt`` there or beside the tar, or ``list_file`` (lines
    ``rgb depth``, relative to the split's folder). Raises ``Missing``, and ValueError for a damaged tar or list.
    """
    container = open_container(root, HYPERSIM, "hypersim_processed_val.tar", "val/hypersim_processed_val.tar")
    if container.members is None and (root / "val").is_dir():
        container = Container(root / "val")
    folder = container.root if container.members is None else container.root.parent
    published = list_file or folder / _LIST
    if not published.is_file():
        raise Missing(HYPERSIM, root, f"there is no list of frames, {published}")
    rows = rows_of_list(published, columns=2, group=lambda photo: photo.split("/")[0])
    cameras = {photo: facts.camera for photo, facts in read_facts(folder / _META).items()}
    return listed(HYPERSIM, root, container, rows, partial(_decode_hypersim, cameras=cameras), list_file=list_file)


def open_vkitti(root: Path, *, list_file: Path | None = None) -> ListedBenchmark:
    """Scene01 below ``root``, both cameras and six variations: a tar, a folder that holds it, or the archives' folders.

    Photo and truth are cut to the KITTI benchmark's window and scored in Eigen's region of it, as Marigold's validation
    does. ``list_file`` (lines ``rgb depth``, relative to ``root``) scores other frames. Raises ``Missing``.
    """
    container = open_container(root, VKITTI, "vkitti.tar", "vkitti2.tar")
    if list_file is not None:
        rows = rows_of_list(list_file, columns=2, group=lambda photo: photo.split("/")[0])
    else:
        rows = _scene01(container)
        if not rows:
            raise Missing(VKITTI, root, "there is no Scene01/VARIATION/frames/rgb/Camera_C/*.jpg")
    return listed(VKITTI, root, container, rows, _decode_vkitti, list_file=list_file)


def _scene01(container: Container) -> list[Row]:
    for rgb, depth in (("rgb/", "depth/"), ("", "")):
        photos = container.find(f"{rgb}Scene01/*/frames/rgb/*/rgb_*.jpg")
        rows = []
        for photo in photos:
            variation = _VARIATION.search(photo)
            if variation and variation[1] in virtual_kitti.VARIATIONS:
                inner = photo.removeprefix(rgb).replace("/frames/rgb/", "/frames/depth/").replace("/rgb_", "/depth_")
                truth = depth + inner.removesuffix(".jpg") + ".png"
                rows.append(Row("rgb/" + photo.removeprefix(rgb).removesuffix(".jpg"), photo, truth, group="Scene01"))
        if rows:
            return rows
    return []


def _decode_hypersim(container: Container, row: Row, cameras: Mapping[str, Camera]) -> Sample:
    sample = read_png_pair(container, row, hypersim.MILLIMETRES, camera=cameras.get(row.photo))
    height, width = sample.image.shape[-2:]
    sample = replace(sample, camera=sample.camera or hypersim.published_camera(width, height))
    where = container.where(row.depth)
    return in_range(sample, where, near_m=hypersim.NEAR_M, far_m=hypersim.FAR_M, keep_sky=False)


def _decode_vkitti(container: Container, row: Row) -> Sample:
    sample = read_png_pair(container, row, virtual_kitti.CENTIMETRES, camera=virtual_kitti.PUBLISHED_CAMERA)
    try:
        place = window("kitti-benchmark", *sample.image.shape[-2:])
    except ValueError as error:
        raise ValueError(f"{container.where(row.photo)}: {error}") from None
    height, width = place.bottom - place.top, place.right - place.left
    sample = cut(sample, place.left, place.top, width, height)
    sample = replace(sample, valid=sample.valid & inside("eigen-kitti", height, width))
    where = container.where(row.depth)
    return in_range(sample, where, near_m=virtual_kitti.NEAR_M, far_m=virtual_kitti.FAR_M, keep_sky=False)
