"""iBims-1 (arXiv 1805.01328): 100 indoor photos with dense laser depth, depth edges and intrinsics.

``ibims1_core_raw/{rgb,depth,calib,edges,mask_invalid,mask_transp}/NAME.*``. Depth is planar, 16 bits, 50 m at 65535.
Knows no figures: this file gives the annotated edges, ``core`` compares with them.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path, PurePosixPath

from jaxtyping import Bool
from torch import Tensor

from latentdepth.core.types import Camera
from latentdepth.data.benchmarks.benchmark import Facts
from latentdepth.data.benchmarks.container import REMEDY, Container, Missing, open_container
from latentdepth.data.benchmarks.listed import ListedBenchmark, Row, listed, read_png_pair
from latentdepth.data.pairs import in_range
from latentdepth.data.rasters import DepthCoding, decode_mask
from latentdepth.data.sample import Sample

IBIMS = Facts(
    key="ibims",
    title="iBims-1",
    truth="depth",
    frames=100,
    near_m=1e-3,
    far_m=50.0,
    crop=None,
    layout=(
        "ibims1_core_raw, as it is unpacked:\n"
        "rgb/NAME.png           photo, 640 x 480\n"
        "depth/NAME.png         16 bits, 50 m at 65535\n"
        "mask_invalid/NAME.png  0 where there is no depth\n"
        "mask_transp/NAME.png   0 where something is transparent\n"
        "calib/NAME.txt         fx, fy, cx, cy (optional)\n"
        "edges/NAME.png         depth edges (for edge figures)"
    ),
    source="ibims1_core_raw.zip of https://www.bgu.tum.de/lmf/ibims1, to be unpacked; terms on that page",
)
FACTS = (IBIMS,)

_COUNTS = DepthCoding("depth", 50 / 65535)
_INVALID, _TRANSPARENT = "mask_invalid", "mask_transp"  # either is nonzero where a pixel counts, despite its name


def open_ibims(root: Path) -> ListedBenchmark:
    """The 100 frames below ``root``: ``ibims1_core_raw``, the folder that holds it, or a plain tar of either.

    ``imagelist.txt`` says which frames count where it is there, else all photos do. Raises ``Missing``.
    """
    container = open_container(root, IBIMS, "ibims1_core_raw.tar")
    prefix = next((p for p in ("ibims1_core_raw/", "") if container.find(f"{p}rgb/*.png")), None)
    if prefix is None:
        raise Missing(IBIMS, root, "there is no rgb/*.png")
    lists = [path for path in (f"{prefix}imagelist.txt", "imagelist.txt") if container.has(path)]
    if lists:
        names = container.read(lists[0]).decode("utf-8", "replace").split()
    else:
        names = [PurePosixPath(path).stem for path in container.find(f"{prefix}rgb/*.png")]
    rows = [
        Row(
            name,
            f"{prefix}rgb/{name}.png",
            f"{prefix}depth/{name}.png",
            f"{prefix}{_INVALID}/{name}.png",
            name.rpartition("_")[0],
        )
        for name in names
    ]
    return listed(IBIMS, root, container, rows, _decode)


def ibims_edges(benchmark: ListedBenchmark, index: int) -> Bool[Tensor, "1 h w"]:
    """The annotated depth edges of a frame, for edge accuracy and completeness.

    Raises ValueError for a file that is absent or damaged.
    """
    row = benchmark.rows[index]
    return _mask(benchmark.container, row.photo.replace("rgb/", "edges/"))


def _mask(container: Container, path: str) -> Bool[Tensor, "1 h w"]:
    return decode_mask(container.read(path), ".png", container.where(path))


def _decode(container: Container, row: Row) -> Sample:
    sample = read_png_pair(container, row, _COUNTS)
    valid = sample.valid
    for path in (row.mask, row.mask.replace(_INVALID, _TRANSPARENT)):
        mask = _mask(container, path)
        if mask.shape != valid.shape:
            raise ValueError(
                f"{container.where(path)}: {mask.shape[-1]} x {mask.shape[-2]} pixels, the depth has "
                f"{valid.shape[-1]} x {valid.shape[-2]}; {REMEDY}"
            )
        valid = valid & mask
    camera = _camera(container, row, *sample.image.shape[-2:])
    sample = replace(sample, valid=valid, camera=camera)
    return in_range(sample, container.where(row.depth), near_m=IBIMS.near_m, far_m=50.0, keep_sky=False)


def _camera(container: Container, row: Row, height_px: int, width_px: int) -> Camera | None:
    """fx, fy, cx, cy on one line, between them commas or spaces."""
    path = row.photo.replace("rgb/", "calib/").removesuffix(".png") + ".txt"
    if not container.has(path):
        return None
    text = container.read(path).decode("utf-8", "replace")
    try:
        fx_px, fy_px, cx_px, cy_px = (float(word) for word in text.replace(",", " ").split())
    except ValueError:
        raise ValueError(
            f"{container.where(path)}: holds {text.strip()[:60]!r}; expected are four numbers: fx, fy, cx, cy"
        ) from None
    return Camera(fx_px, fy_px, cx_px, cy_px, width_px, height_px)
