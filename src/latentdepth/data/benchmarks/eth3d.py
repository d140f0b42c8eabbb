"""ETH3D (Schoeps et al., CVPR 2017), the 454 DSLR photos of the 13 high-resolution training scenes.

Depth files end in ``.JPG`` but are raw: little-endian float32 rows of planar metres for the photo as taken, lens
distortion included, +inf where no laser hit. They carry no size, so rows and columns are the photo's: 4032 x 6048, or
6048 x 4032 where a photo is stored upright. Photos are taken as stored, **not** turned by EXIF, as in the published
evaluations: a turned photo would no longer match its depth.
"""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import torch

from latentdepth.data.benchmarks.benchmark import Facts
from latentdepth.data.benchmarks.container import REMEDY, Container, open_container
from latentdepth.data.benchmarks.listed import ListedBenchmark, Row, listed, rows_of_list
from latentdepth.data.pairs import in_range
from latentdepth.data.rasters import decode_array
from latentdepth.data.sample import Sample
from latentdepth.images import read

ETH3D = Facts(
    key="eth3d",
    title="ETH3D (high-res training)",
    truth="depth",
    frames=454,
    near_m=1e-5,
    far_m=None,
    crop=None,
    layout=(
        "eth3d.tar, or unpacked:\n"
        "rgb/SCENE/images/dslr_images/NAME.JPG                                             photo\n"
        "depth/SCENE_dslr_depth/SCENE/ground_truth_depth/dslr_images/NAME.JPG              raw float32, metres\n"
        "or as the original archives unpack into one folder:\n"
        "SCENE/images/dslr_images/NAME.JPG and SCENE/ground_truth_depth/dslr_images/NAME.JPG"
    ),
    source=(
        "eth3d.tar of Marigold's evaluation data, "
        "https://share.phys.ethz.ch/~pf/bingkedata/marigold/evaluation_dataset/eth3d/, or SCENE_dslr_jpg.7z and "
        "SCENE_dslr_depth.7z of https://www.eth3d.net/datasets (CC BY-NC-SA 4.0)"
    ),
)
FACTS = (ETH3D,)
SCENE_FRAMES = {
    **{"courtyard": 38, "delivery_area": 44, "electro": 45, "facade": 76, "kicker": 31, "meadow": 15, "office": 26},
    **{"pipes": 14, "playground": 38, "relief": 31, "relief_2": 31, "terrace": 23, "terrains": 42},
}
"""Photos of each scene, 454 in all."""
_PHOTOS = "rgb/{scene}/images/dslr_images"


def open_eth3d(root: Path, *, list_file: Path | None = None) -> ListedBenchmark:
    """The photos with depth below ``root``: the published tar, a folder that holds it, or either layout unpacked.

    ``list_file`` (lines ``rgb depth``, relative to ``root``) scores other frames. Raises ``Missing``, and ValueError
    for a damaged tar or list.
    """
    container = open_container(root, ETH3D, "eth3d.tar", "eth3d/eth3d.tar")
    if list_file is not None:
        rows = rows_of_list(list_file, columns=2, group=_scene)
        return listed(ETH3D, root, container, rows, _decode, list_file=list_file)
    scenes = {scene: _scene_rows(container, scene) for scene in SCENE_FRAMES}
    absent = [
        f"{_PHOTOS.format(scene=scene)}/*.JPG (photo {i} of {count})"
        for scene, count in SCENE_FRAMES.items()
        for i in range(len(scenes[scene]) + 1, count + 1)
    ]
    rows = [row for found in scenes.values() for row in found]
    return listed(ETH3D, root, container, rows, _decode, absent=absent)


def _scene_rows(container: Container, scene: str) -> list[Row]:
    """The photos of a scene in the published layout or, where it has none, in the original one."""
    published = _PHOTOS.format(scene=scene)
    layouts = (
        (published, f"depth/{scene}_dslr_depth/{scene}/ground_truth_depth/dslr_images"),
        (f"{scene}/images/dslr_images", f"{scene}/ground_truth_depth/dslr_images"),
    )
    for photos, depths in layouts:
        names = [path.rpartition("/")[2] for path in container.find(f"{photos}/*.JPG")]
        if names:
            return [
                Row(f"{published}/{name.rpartition('.')[0]}", f"{photos}/{name}", f"{depths}/{name}", group=scene)
                for name in names
            ]
    return []


def _scene(photo: str) -> str:
    parts = photo.removeprefix("rgb/").split("/")
    return parts[0] if len(parts) > 1 else ""


def _decode(container: Container, row: Row) -> Sample:
    photo_name, depth_name = container.where(row.photo), container.where(row.depth)
    stored = decode_array(container.read(row.photo), ".jpg", photo_name)
    if stored.shape[2:] != (3,) or stored.dtype != np.uint8:
        raise ValueError(f"{photo_name}: {stored.shape} of {stored.dtype}; a photo of this set is 8-bit RGB; {REMEDY}")
    image = read(stored).pixels[0]
    height, width = image.shape[-2:]
    content = container.read(row.depth)
    if len(content) != 4 * height * width:
        raise ValueError(
            f"{depth_name}: {len(content)} bytes; the photo has {width} x {height} pixels, so its depth in raw float32 "
            f"has {4 * height * width}; {REMEDY}"
        )
    metres = np.frombuffer(content, dtype="<f4").astype(np.float32).reshape(1, height, width)
    depth_m = torch.from_numpy(metres)
    sample = Sample(image, depth_m, depth_m.isfinite(), row.group)
    return in_range(sample, depth_name, near_m=ETH3D.near_m, far_m=math.inf, keep_sky=False)
