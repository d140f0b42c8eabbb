"""DIODE (Vasiljevic et al., arXiv 1908.00463), all 771 frames of its validation set: 325 indoors, 446 outdoors.

``{indoors,outdoor}/scene_NNNNN/scan_NNNNN/NAME{.png,_depth.npy,_depth_mask.npy}`` at 768 x 1024; depth is float32
metres, (h, w, 1), 0 where nothing came back, the mask floats of 0 and 1. What the mask says is scored, and not the
truth's range as well: 0.6 to 350 m is the scanner's, and what predictions are clipped to.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from latentdepth.core.types import Camera
from latentdepth.data.benchmarks.benchmark import Facts
from latentdepth.data.benchmarks.container import Container, open_container
from latentdepth.data.benchmarks.listed import ListedBenchmark, Row, listed, rows_of_list
from latentdepth.data.rasters import DepthCoding, decode_depth, decode_mask, decode_photo
from latentdepth.data.sample import Sample, assembled

DIODE = Facts(
    key="diode",
    title="DIODE (validation)",
    truth="depth",
    frames=771,
    near_m=0.6,
    far_m=350.0,
    crop=None,
    layout=(
        "diode_val.tar, or unpacked, or the original val.tar.gz unpacked (below val/):\n"
        "PART/scene_NNNNN/scan_NNNNN/NAME.png             photo; PART is indoors or outdoor\n"
        "PART/scene_NNNNN/scan_NNNNN/NAME_depth.npy       depth, float32, metres\n"
        "PART/scene_NNNNN/scan_NNNNN/NAME_depth_mask.npy  1 where depth is valid"
    ),
    source=(
        "diode_val.tar of Marigold's evaluation data, "
        "https://share.phys.ethz.ch/~pf/bingkedata/marigold/evaluation_dataset/diode/, or val.tar.gz of "
        "https://diode-dataset.org (MIT licence)"
    ),
)
DIODE_INDOOR = replace(DIODE, key="diode-indoor", title="DIODE (validation, indoors)", frames=325)
DIODE_OUTDOOR = replace(DIODE, key="diode-outdoor", title="DIODE (validation, outdoors)", frames=446)
FACTS = (DIODE, DIODE_INDOOR, DIODE_OUTDOOR)
CAMERA = Camera(886.81, 927.06, 512.0, 384.0, 1024, 768)
"""The virtual camera by which the photos were cut from the scans; its focal lengths differ, as published."""

_METRES = DepthCoding("depth", 1.0)


def open_diode(root: Path, *, list_file: Path | None = None) -> ListedBenchmark:
    """The validation set below ``root``: the published tar, a folder that holds it, or a folder of the parts.

    ``list_file`` (lines ``rgb depth mask``, relative to ``root``) scores other frames. Raises ``Missing``, and
    ValueError for a damaged tar or list.
    """
    return _opened(DIODE, ("indoors", "outdoor"), root, list_file)


def open_diode_indoor(root: Path, *, list_file: Path | None = None) -> ListedBenchmark:
    """As ``open_diode``, its indoor part."""
    return _opened(DIODE_INDOOR, ("indoors",), root, list_file)


def open_diode_outdoor(root: Path, *, list_file: Path | None = None) -> ListedBenchmark:
    """As ``open_diode``, its outdoor part."""
    return _opened(DIODE_OUTDOOR, ("outdoor",), root, list_file)


def _opened(facts: Facts, parts: tuple[str, ...], root: Path, list_file: Path | None) -> ListedBenchmark:
    container = open_container(root, facts, "diode_val.tar", "diode/diode_val.tar")
    if list_file is not None:
        rows = [row for row in rows_of_list(list_file, columns=3, group=_scene) if row.photo.split("/")[0] in parts]
    else:
        rows = [row for part in parts for row in _part_rows(container, part)]
    return listed(facts, root, container, rows, _decode, list_file=list_file)


def _part_rows(container: Container, part: str) -> list[Row]:
    pattern = f"{part}/scene_*/scan_*/*.png"
    photos = container.find(pattern) or container.find(f"val/{pattern}")
    stems = [path.removesuffix(".png") for path in photos]
    return [
        Row(stem.removeprefix("val/"), f"{stem}.png", f"{stem}_depth.npy", f"{stem}_depth_mask.npy", _scene(stem))
        for stem in stems
    ]


def _scene(photo: str) -> str:
    return next((part for part in photo.split("/") if part.startswith("scene_")), "")


def _decode(container: Container, row: Row) -> Sample:
    photo_name, depth_name = container.where(row.photo), container.where(row.depth)
    image = decode_photo(container.read(row.photo), ".png", photo_name).pixels[0]
    depth_m, valid = decode_depth(container.read(row.depth), ".npy", _METRES, None, depth_name)
    mask = decode_mask(container.read(row.mask), ".npy", container.where(row.mask))
    height, width = image.shape[-2:]
    # an infinite depth is no sky here, and a mask that keeps one is mistaken
    valid = valid & depth_m.isfinite()
    return assembled(
        image,
        depth_m,
        valid,
        name=depth_name,
        group=row.group,
        camera=CAMERA.resized(width, height),
        mask=mask,
    )
