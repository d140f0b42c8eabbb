"""ScanNet (Dai et al., arXiv 1702.04405), the 800 frames of validation scenes that Marigold's evaluation drew.

``sceneNNNN_NN/{color/NNNNNN.jpg,depth/NNNNNN.png}``; depth is planar, 16 bits, millimetres, 0 where the sensor saw
nothing, 480 x 640. The published tar holds those frames alone, with photos of the depth's size. In a full export the
names have no leading zeros and photos are 968 x 1296: they are then brought to the depth's size.
"""

from __future__ import annotations

from pathlib import Path

from latentdepth.core.modality import resize
from latentdepth.data.benchmarks.benchmark import Facts
from latentdepth.data.benchmarks.container import REMEDY, Container, open_container
from latentdepth.data.benchmarks.listed import ListedBenchmark, Row, listed, read_split, rows_of_list
from latentdepth.data.pairs import check_counts, in_range
from latentdepth.data.rasters import DepthCoding, decode_depth, decode_photo
from latentdepth.data.sample import Sample

SCANNET = Facts(
    key="scannet",
    title="ScanNet (800 of Marigold's list)",
    truth="depth",
    frames=800,
    near_m=1e-3,
    far_m=10.0,
    crop=None,
    layout=(
        "scannet_val_sampled_800_1.tar, or unpacked, or all of ScanNet exported frame by frame:\n"
        "sceneNNNN_NN/color/NNNNNN.jpg  photo (or without leading zeros)\n"
        "sceneNNNN_NN/depth/NNNNNN.png  depth, 16 bits, millimetres"
    ),
    source=(
        "scannet_val_sampled_800_1.tar of Marigold's evaluation data, "
        "https://share.phys.ethz.ch/~pf/bingkedata/marigold/evaluation_dataset/scannet/, or http://www.scan-net.org "
        "(ScanNet's terms of use, for research)"
    ),
)
FACTS = (SCANNET,)

_MILLIMETRES = DepthCoding("depth", 1e-3)
_ASPECT_TOLERANCE = 0.01  # 1296 / 968 and 640 / 480 differ by 0.4 %


def open_scannet(root: Path, *, list_file: Path | None = None) -> ListedBenchmark:
    """The 800 frames below ``root``: the published tar, a folder that holds it, or a folder of scenes.

    ``list_file`` (lines ``rgb depth``, relative to ``root``) scores other frames. Raises ``Missing``, and ValueError
    for a damaged tar or list.
    """
    archive = "scannet_val_sampled_800_1.tar"
    container = open_container(root, SCANNET, archive, f"scannet/{archive}")
    if list_file is not None:
        rows = rows_of_list(list_file, columns=2, group=lambda photo: photo.split("/")[0])
    else:
        split = read_split("scannet")
        rows = [_row(container, scene, number) for scene, numbers in split.items() for number in numbers]
    return listed(SCANNET, root, container, rows, _decode, list_file=list_file)


def _row(container: Container, scene: str, number: int) -> Row:
    frame = f"{scene}/color/{number:06d}"
    for name in (f"{number:06d}", str(number)):
        photo = f"{scene}/color/{name}.jpg"
        if container.has(photo):
            return Row(frame, photo, f"{scene}/depth/{name}.png", group=scene)
    return Row(frame, f"{frame}.jpg", f"{scene}/depth/{number:06d}.png", group=scene)


def _decode(container: Container, row: Row) -> Sample:
    photo_name, depth_name = container.where(row.photo), container.where(row.depth)
    image = decode_photo(container.read(row.photo), ".jpg", photo_name).pixels
    content = container.read(row.depth)
    check_counts(content, depth_name, remedy=REMEDY)
    depth_m, valid = decode_depth(content, ".png", _MILLIMETRES, None, depth_name)
    h, w = depth_m.shape[-2:]
    photo_h, photo_w = image.shape[-2:]
    if abs(photo_w * h - photo_h * w) > _ASPECT_TOLERANCE * photo_h * w:
        raise ValueError(
            f"{depth_name}: {w} x {h} pixels are another shape of picture than the photo's {photo_w} x {photo_h}; "
            f"{REMEDY}"
        )
    if (photo_h, photo_w) != (h, w):
        image = resize(image, (h, w)).clamp(0, 1)
    sample = Sample(image[0], depth_m, valid, row.group)
    return in_range(sample, depth_name, near_m=SCANNET.near_m, far_m=10.0, keep_sky=False)
