"""Surface normals of ScanNet, NYUv2, iBims-1, DIODE, OASIS and Sintel, as Marigold's evaluation has them.

Pairs of a photo and ``..._normal.npy``: float (h, w, 3), x right, y up, z towards the viewer, zeros where unknown. The
photo is ``..._img.png``, DIODE's ``.png``. One reader for all; knows no angles.
"""

from __future__ import annotations

from pathlib import Path, PurePosixPath

import torch

from latentdepth.data.benchmarks.benchmark import Facts
from latentdepth.data.benchmarks.container import REMEDY, Container, Missing, open_container
from latentdepth.data.benchmarks.listed import ListedBenchmark, Row, listed, rows_of_list
from latentdepth.data.rasters import decode_normals, decode_photo
from latentdepth.data.sample import Sample

_ARCHIVE = "https://share.phys.ethz.ch/~pf/bingkedata/marigold/marigold_normals/"


def _facts(name: str, title: str, frames: int | None, pattern: str, archive: str, owner: str) -> Facts:
    photo = pattern.replace("_normal.npy", ".png" if name == "diode" else "_img.png")
    return Facts(
        key=f"{name}-normals",
        title=title,
        truth="normals",
        frames=frames,
        near_m=0.0,
        far_m=None,
        crop=None,
        layout=f"{photo}  photo\n{pattern}  float (h, w, 3)",
        source=f"{_ARCHIVE}{archive}, to be unpacked ({owner})",
    )


_ALL = "evaluation_dataset.zip"
_PATTERNS = {
    "nyu-normals": "*_normal.npy",
    "scannet-normals": "*/*_normal.npy",
    "ibims-normals": "*_normal.npy",
    "diode-normals": "*/*/*/*_normal.npy",
    "oasis-normals": "*_normal.npy",
    "sintel-normals": "*/*_normal.npy",
}
FACTS = (
    _facts("nyu", "NYUv2 normals (test)", 654, "NNNNNN_normal.npy", _ALL, "NYU Depth v2, for research"),
    _facts("scannet", "ScanNet normals", 300, "SCENE/NNNNNN_normal.npy", _ALL, "ScanNet, under its terms of use"),
    _facts("ibims", "iBims-1 normals", 100, "ROOM_NN_normal.npy", _ALL, "iBims-1"),
    _facts("diode", "DIODE normals (validation)", 771, "PLACE/SCENE/SCAN/NAME_normal.npy", _ALL, "DIODE, MIT licence"),
    _facts("oasis", "OASIS normals", 9999, "NAME_normal.npy", _ALL, "OASIS, under its terms of use"),
    _facts("sintel", "MPI Sintel normals", None, "SHOT/frame_NNNN_normal.npy", "sintel.zip", "MPI Sintel"),
)


def open_normals(key: str, root: Path, *, list_file: Path | None = None) -> ListedBenchmark:
    """The pairs of one data set below ``root``, ``key`` as in ``FACTS``; a folder or a plain tar.

    Without ``list_file`` (lines ``rgb normal.npy``, relative to ``root``, as published) every ``_normal.npy`` counts.
    ``depth_m`` of a sample is 1 and says nothing; ``valid`` is where normals are known. Raises ``Missing``, and
    ValueError for an unknown key or a damaged list.
    """
    facts = next((facts for facts in FACTS if facts.key == key), None)
    if facts is None:
        raise ValueError(f"no normals are known as {key!r}; allowed are {', '.join(f.key for f in FACTS)}")
    container = open_container(root, facts)
    if list_file is not None:
        rows = rows_of_list(list_file, columns=2, group=_scene)
    else:
        rows = [_row(container, path) for path in container.find(_PATTERNS[key])]
        if not rows:
            raise Missing(facts, root, f"there is no {_PATTERNS[key]}")
    return listed(facts, root, container, rows, _decode, list_file=list_file)


def _row(container: Container, normals_path: str) -> Row:
    stem = normals_path.removesuffix("_normal.npy")
    photo = next((path for path in (f"{stem}_img.png", f"{stem}.png") if container.has(path)), f"{stem}_img.png")
    return Row(photo.removesuffix(".png"), photo, normals_path, group=_scene(photo))


def _scene(photo: str) -> str:
    """The folder, or where there is none the name without its last part: iBims has ``corridor_01_img``."""
    path = PurePosixPath(photo)
    return str(path.parent) if len(path.parts) > 1 else path.stem.removesuffix("_img").rpartition("_")[0]


def _decode(container: Container, row: Row) -> Sample:
    where = container.where(row.depth)
    photo_suffix = PurePosixPath(row.photo).suffix.lower()
    image = decode_photo(container.read(row.photo), photo_suffix, container.where(row.photo)).pixels[0]
    normals = decode_normals(container.read(row.depth), PurePosixPath(row.depth).suffix.lower(), where)
    if normals.shape != image.shape:
        raise ValueError(
            f"{where}: {normals.shape[-1]} x {normals.shape[-2]} pixels, the photo has {image.shape[-1]} x "
            f"{image.shape[-2]}; {REMEDY}"
        )
    known = normals.square().sum(0, keepdim=True) > 0
    if not bool(known.any()):
        raise ValueError(f"{where}: no pixel has a normal; leave the frame out of the list")
    return Sample(image, torch.ones_like(known, dtype=torch.float32), known, row.group, normals=normals)
