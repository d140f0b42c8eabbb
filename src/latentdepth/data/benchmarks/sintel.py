"""MPI Sintel's depth (Butler et al., ECCV 2012; Wulff et al. 2015): 1,064 frames of 23 shots of an animated film.

``training/{final,clean}/SHOT/frame_NNNN.png`` with ``training/depth/SHOT/frame_NNNN.dpt`` (planar float32, sky very
far away) and ``training/camdata_left/SHOT/frame_NNNN.cam``. Knows no stereo and no flow.
"""

from __future__ import annotations

import struct
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from latentdepth.core.types import Camera
from latentdepth.data.benchmarks.benchmark import Facts
from latentdepth.data.benchmarks.container import REMEDY, Container, Missing, open_container
from latentdepth.data.benchmarks.listed import ListedBenchmark, Row, listed
from latentdepth.data.pairs import in_range
from latentdepth.data.rasters import decode_photo
from latentdepth.data.sample import Sample

Pass = Literal["final", "clean"]
"""``final`` has motion blur, defocus and haze; ``clean`` has none of them."""
SINTEL = Facts(
    key="sintel",
    title="MPI Sintel (training, final pass)",
    truth="depth",
    frames=1064,
    near_m=1e-3,
    far_m=72.0,
    crop=None,
    layout=(
        "training, as the archives unpack into one folder:\n"
        "final/SHOT/frame_NNNN.png         photo, 1024 x 436 (clean/... for the clean pass)\n"
        "depth/SHOT/frame_NNNN.dpt         depth, float32\n"
        "camdata_left/SHOT/frame_NNNN.cam  camera (optional)"
    ),
    source=(
        "MPI-Sintel-training_images.zip and MPI-Sintel-depth-training-20150305.zip of http://sintel.is.tue.mpg.de, to "
        "be unpacked into one folder; terms on that page (the film is CC BY 3.0, Blender Foundation)"
    ),
)
SINTEL_CLEAN = replace(SINTEL, key="sintel-clean", title="MPI Sintel (training, clean pass)")
FACTS = (SINTEL, SINTEL_CLEAN)

_TAG = struct.pack("<f", 202021.25)  # the letters PIEH
_CAM_BYTES = 4 + 9 * 8


def open_sintel(root: Path) -> ListedBenchmark:
    """The final pass below ``root``: ``training``, the folder that holds it, or a plain tar of either.

    Depth counts below 72 m, as MiDaS (arXiv 1907.01341) takes it, so sky does not. Raises ``Missing``.
    """
    return _opened(SINTEL, "final", root)


def open_sintel_clean(root: Path) -> ListedBenchmark:
    """As ``open_sintel``, of the clean pass."""
    return _opened(SINTEL_CLEAN, "clean", root)


def _opened(facts: Facts, render: Pass, root: Path) -> ListedBenchmark:
    container = open_container(root, facts, "sintel.tar")
    for prefix in ("training/", ""):
        start = f"{prefix}depth/"
        names = [path.removeprefix(start).removesuffix(".dpt") for path in container.find(f"{start}*/*.dpt")]
        if names:
            rows = [
                Row(name, f"{prefix}{render}/{name}.png", f"{start}{name}.dpt", group=name.partition("/")[0])
                for name in names
            ]
            return listed(facts, root, container, rows, partial(_decode, cameras=f"{prefix}camdata_left/"))
    raise Missing(facts, root, "there is no depth/SHOT/*.dpt")


def decode_dpt(content: bytes, name: str) -> Float[Tensor, "1 h w"]:
    """A ``.dpt`` file: the float 202021.25, width and height as int32, then float32 row by row, little-endian.

    Raises ValueError, opening with ``name``, for another tag or a length that contradicts the size.
    """
    if content[:4] != _TAG or len(content) < 12:
        raise ValueError(f"{name}: no .dpt file, which begins with the float 202021.25; {REMEDY}")
    width, height = struct.unpack("<ii", content[4:12])
    if min(width, height) < 1 or len(content) != 12 + 4 * width * height:
        needed = 12 + 4 * width * height
        raise ValueError(f"{name}: {len(content)} bytes for {width} x {height} pixels, which take {needed}; {REMEDY}")
    values = np.frombuffer(content, dtype="<f4", offset=12).reshape(1, height, width)
    return torch.from_numpy(values.astype(np.float32))


def decode_cam(content: bytes, name: str, *, width_px: int, height_px: int) -> Camera:
    """A ``.cam`` file: the same tag, then the 3 x 3 intrinsics and the 3 x 4 extrinsics as float64.

    The principal point is counted from the centre of the first pixel there (511.5, 217.5 at 1024 x 436), so half a
    pixel is added. Raises ValueError, opening with ``name``.
    """
    if content[:4] != _TAG or len(content) < _CAM_BYTES:
        raise ValueError(f"{name}: no .cam file, the float 202021.25 with 3 x 3 numbers after it; {REMEDY}")
    matrix = np.frombuffer(content, dtype="<f8", count=9, offset=4).reshape(3, 3)
    if not (np.isfinite(matrix).all() and matrix[0, 0] > 0 and matrix[1, 1] > 0):
        raise ValueError(f"{name}: its intrinsics are {matrix.tolist()}; {REMEDY}")
    fx_px, fy_px, cx_px, cy_px = (float(matrix[place]) for place in ((0, 0), (1, 1), (0, 2), (1, 2)))
    return Camera(fx_px, fy_px, cx_px + 0.5, cy_px + 0.5, width_px, height_px)


def _decode(container: Container, row: Row, cameras: str) -> Sample:
    where = container.where(row.depth)
    image = decode_photo(container.read(row.photo), ".png", container.where(row.photo)).pixels[0]
    height, width = image.shape[-2:]
    depth_m = decode_dpt(container.read(row.depth), where)
    if depth_m.shape[-2:] != image.shape[-2:]:
        raise ValueError(
            f"{where}: {depth_m.shape[-1]} x {depth_m.shape[-2]} pixels, the photo has {width} x {height}; {REMEDY}"
        )
    sample = Sample(image, depth_m, depth_m.isfinite() & (depth_m > 0), row.group)
    camera_path = f"{cameras}{row.frame}.cam"
    if container.has(camera_path):
        place = container.where(camera_path)
        camera = decode_cam(container.read(camera_path), place, width_px=width, height_px=height)
        sample = replace(sample, camera=camera)
    return in_range(sample, where, near_m=SINTEL.near_m, far_m=72.0, keep_sky=False)
