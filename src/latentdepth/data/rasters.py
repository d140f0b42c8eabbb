"""Bytes of one picture file to tensors and back: photos, depth counts, normals, masks.

Knows what the numbers in a depth file mean (``DepthCoding``), not where files lie. Every error is a ValueError that
opens with the name it was given.
"""

from __future__ import annotations

import io
import math
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Literal, TypeVar

import numpy as np
import OpenEXR
import tifffile
import torch
from jaxtyping import Bool, Float
from PIL import Image, UnidentifiedImageError
from torch import Tensor

from latentdepth.config import from_dict, to_dict
from latentdepth.core.geometry import planar_from_distance
from latentdepth.core.types import Camera
from latentdepth.images import Photo, read

DEPTH_SUFFIXES = (".png", ".npy", ".exr", ".tif", ".tiff")
LOG_STEP = 1.8e-4
"""Ratio between neighbouring counts of the log code, less one: rounding errs by at most 0.009 %."""
_LOG_INVALID, _LOG_SKY, _LOG_LAST = 0, 65535, 65534
_EXR_CHANNELS = ("Z", "depth.Z", "Depth.Z", "ViewLayer.Depth.Z", "Y", "R", "V")
# what decoders raise on damaged files
_DAMAGE = (
    *(OSError, SyntaxError, ValueError, EOFError, IndexError, KeyError, TypeError, OverflowError, RuntimeError),
    Image.DecompressionBombError,
)
_FORMATS = ("JPEG", "MPO", "PNG", "WEBP", "BMP", "PPM")  # no EPS: it would start Ghostscript


@dataclass(frozen=True)
class DepthCoding:
    """What one number of a depth file means.

    ``depth``: planar depth, ``unit`` metres per count. ``distance``: along the ray, likewise; needs the camera.
    ``disparity``: ``unit`` inverse metres per count. ``log``: z = near_m exp(step (count - 1)), 0 invalid, 65535 sky.
    For the first three, counts that are not positive or not finite are invalid, except that +infinity is sky in
    float files of depth or distance.
    """

    kind: Literal["depth", "distance", "disparity", "log"] = "depth"
    unit: float = 1.0
    sky: float | None = None
    """The count that stands for sky (Virtual KITTI: 65535), which is a valid answer: infinitely far."""
    near_m: float = 1.0
    step: float = LOG_STEP

    def __post_init__(self) -> None:
        for name in ("unit", "near_m", "step"):
            value = getattr(self, name)
            if not (math.isfinite(value) and value > 0):
                raise ValueError(f"{name} of a depth coding is {value}; allowed is a finite number above 0")

    @classmethod
    def from_facts(cls, facts: object, name: str) -> DepthCoding:
        """From a JSON table with this class's fields. ``name`` says where the table stood."""
        return _from_table(cls, facts, name)


def _opened(content: bytes) -> Image.Image:
    Image.init()
    return Image.open(io.BytesIO(content), formats=[form for form in _FORMATS if form in Image.OPEN])


def decode_photo(content: bytes, suffix: str, name: str) -> Photo:
    """Pixels in [0, 1], upright; the camera from EXIF where the file has it."""
    try:
        if suffix in (".npy", ".tif", ".tiff"):
            return read(decode_array(content, suffix, name))
        return read(_opened(content))
    except UnidentifiedImageError:
        raise ValueError(f"{name}: not a picture ({len(content)} bytes); write the file again") from None
    except _DAMAGE as error:
        text = str(error)
        if text.startswith(name):
            raise
        raise ValueError(f"{name}: truncated or damaged picture ({text}); write the file again") from error


def decode_array(content: bytes, suffix: str, name: str) -> np.ndarray:
    """The numbers as they are stored: (h, w) or (h, w, c). Of an EXR the depth channel, or X Y Z, or R G B."""
    try:
        if suffix == ".npy":
            return np.load(io.BytesIO(content), allow_pickle=False)
        if suffix in (".tif", ".tiff"):
            return tifffile.imread(io.BytesIO(content))
        if suffix == ".exr":
            return _decode_exr(content, name)
        with _opened(content) as image:
            return np.asarray(image)
    except UnidentifiedImageError:
        raise ValueError(f"{name}: not a picture ({len(content)} bytes); write the file again") from None
    except _DAMAGE as error:
        if str(error).startswith(name):
            raise
        raise ValueError(f"{name}: truncated or damaged ({error}); write the file again") from error


def _decode_exr(content: bytes, name: str) -> np.ndarray:
    # OpenEXR reads from memory only since 3.5
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "picture.exr"
        path.write_bytes(content)
        with OpenEXR.File(str(path), separate_channels=True) as file:
            planes = {k: np.array(v.pixels, dtype=np.float32) for k, v in file.channels().items()}
    for triple in (("X", "Y", "Z"), ("R", "G", "B")):
        if set(triple) <= planes.keys():
            return np.stack([planes[k] for k in triple], -1)
    for channel in _EXR_CHANNELS:
        if channel in planes:
            return planes[channel]
    raise ValueError(f"{name}: channels {', '.join(sorted(planes))}; allowed are {', '.join(_EXR_CHANNELS)}")


@cache
def _log_table(step: float) -> np.ndarray:
    return np.exp(step * (np.arange(65536) - 1.0))


def decode_depth(
    content: bytes, suffix: str, coding: DepthCoding, camera: Camera | None, name: str
) -> tuple[Float[Tensor, "1 h w"], Bool[Tensor, "1 h w"]]:
    """Planar depth in metres (+inf = sky) and where it is valid. ``camera`` is needed for ``distance`` alone."""
    counts = decode_array(content, suffix, name)
    if counts.ndim == 3 and (counts.shape[-1] == 1 or suffix == ".exr"):
        counts = counts[..., 0]  # Blender and others repeat the depth in R, G and B
    if counts.ndim == 3 and counts.shape[0] == 1:
        counts = counts[0]
    if counts.ndim != 2 or counts.dtype.kind not in "uif" or 0 in counts.shape:
        raise ValueError(
            f"{name}: shape {counts.shape} of {counts.dtype}; a depth file holds one number per pixel (h, w)"
        )
    if coding.kind == "log":
        if counts.min() < 0 or counts.max() > 65535 or counts.dtype.kind == "f":
            raise ValueError(f"{name}: the log code is 16-bit counts, these are {counts.dtype} up to {counts.max()}")
        metres = coding.near_m * _log_table(coding.step)[counts]
        sky, valid = counts == _LOG_SKY, counts != _LOG_INVALID
    else:
        values = counts.astype(np.float64)
        sky = (values == coding.sky) if coding.sky is not None else np.zeros(values.shape, dtype=bool)
        if coding.kind != "disparity":
            sky |= np.isposinf(values)
        measured = np.isfinite(values) & (values > 0)
        metres = np.where(measured, values, 1.0) * coding.unit
        metres = 1 / metres if coding.kind == "disparity" else metres
        valid = measured | sky
    depth_m = torch.from_numpy(np.where(sky, np.inf, metres).astype(np.float32))[None]
    if coding.kind == "distance":
        if camera is None:
            raise ValueError(f"{name}: holds distances along the ray; that needs the camera (camera.json or the JSON)")
        _check_camera(camera, depth_m, name)
        depth_m = planar_from_distance(depth_m[None], camera)[0]
    return depth_m, torch.from_numpy(valid)[None]


def _check_camera(camera: Camera, picture: Float[Tensor, "c h w"], name: str) -> None:
    h, w = picture.shape[-2:]
    if (camera.height_px, camera.width_px) != (h, w):
        raise ValueError(
            f"{name}: the camera is for {camera.width_px} x {camera.height_px} pixels, the picture has {w} x {h}"
        )


def decode_normals(content: bytes, suffix: str, name: str, *, centre: float = 127.5) -> Float[Tensor, "3 h w"]:
    """Unit normals (x right, y up, z towards the viewer), 0 where unknown.

    8-bit counts mean (u - centre) / 127.5 or, with a centre of 128, (u - 128) / 127, which holds 0 and both ends
    exactly; 16-bit counts u / 32767.5 - 1; floats are vectors. What is shorter than a half is unknown.
    """
    array = decode_array(content, suffix, name)
    if array.ndim == 3 and array.shape[0] == 3 and array.shape[-1] != 3:
        array = array.transpose(1, 2, 0)
    if array.ndim != 3 or array.shape[-1] < 3:
        raise ValueError(f"{name}: shape {array.shape}; normals have three channels (h, w, 3)")
    vector = torch.from_numpy(np.ascontiguousarray(array[..., :3].transpose(2, 0, 1)).astype(np.float32))
    if array.dtype == np.uint8:
        vector = (vector - centre) / (255 - centre)
    elif array.dtype == np.uint16:
        vector = vector / 32767.5 - 1
    elif array.dtype.kind == "f":
        vector = torch.nan_to_num(vector, posinf=0, neginf=0)
    else:
        raise ValueError(f"{name}: type {array.dtype}; normals are uint8, uint16 or float")
    square = vector.square().sum(0, keepdim=True)
    return vector * torch.where(square > 0.25, square.clamp(min=0.25).rsqrt(), torch.zeros_like(square))


def decode_mask(content: bytes, suffix: str, name: str) -> Bool[Tensor, "1 h w"]:
    """True where the file is not zero, in any channel but alpha."""
    array = decode_array(content, suffix, name)
    if array.ndim == 3:
        array = array[..., : 3 if array.shape[-1] >= 3 else 1].any(-1)
    if array.ndim != 2:
        raise ValueError(f"{name}: shape {array.shape}; a mask holds one number per pixel (h, w)")
    return torch.from_numpy(array != 0)[None]


def encode_photo(image: Float[Tensor, "3 h w"], *, form: Literal["jpg", "png"], quality: int = 95) -> bytes:
    """8 bits a channel; JPEG without chroma subsampling, so that colour edges stay where depth edges are."""
    pixels = (image.clamp(0, 1) * 255).round().byte().permute(1, 2, 0).contiguous().numpy()
    buffer = io.BytesIO()
    if form == "jpg":
        Image.fromarray(pixels).save(buffer, "JPEG", quality=quality, subsampling=0)
    else:
        Image.fromarray(pixels).save(buffer, "PNG", compress_level=4)
    return buffer.getvalue()


def encode_log_depth(
    depth_m: Float[Tensor, "1 h w"], valid: Bool[Tensor, "1 h w"], name: str
) -> tuple[bytes, DepthCoding]:
    """16-bit PNG in the log code, with the nearest valid depth at count 1, and that code.

    Spans a ratio of e^11.8 (5 cm to 6 km). Raises ValueError when the valid depths span more, or are not positive.
    """
    z = depth_m[0].double().numpy()
    known = valid[0].numpy() & np.isfinite(z)
    if (z[known] <= 0).any() or np.isnan(z[valid[0].numpy()]).any():
        raise ValueError(
            f"{name}: valid depth must be above 0 metres; the least is {np.nanmin(z[known], initial=0):.4g}"
        )
    near_m = float(z[known].min()) if known.any() else 1.0
    code = 1 + np.round(np.log(np.where(known, z, near_m) / near_m) / LOG_STEP)
    if code.max(initial=1) > _LOG_LAST:
        raise ValueError(
            f"{name}: depth from {near_m:.4g} to {z[known].max():.4g} m; the farthest may be "
            f"{math.exp(LOG_STEP * (_LOG_LAST - 1)):.0f} times the nearest"
        )
    sky = valid[0].numpy() & np.isposinf(z)
    counts = np.where(known, code, np.where(sky, _LOG_SKY, _LOG_INVALID)).astype(np.uint16)
    buffer = io.BytesIO()
    Image.fromarray(counts).save(buffer, "PNG", compress_level=4)
    return buffer.getvalue(), DepthCoding("log", near_m=near_m)


def encode_normals(normals: Float[Tensor, "3 h w"]) -> bytes:
    """8-bit PNG, u = 128 + 127 n: zero (unknown) and the axes are exact, others err by at most 0.4 degrees."""
    counts = (128 + 127 * normals.clamp(-1, 1)).round().byte().permute(1, 2, 0).contiguous().numpy()
    buffer = io.BytesIO()
    Image.fromarray(counts).save(buffer, "PNG", compress_level=4)
    return buffer.getvalue()


def camera_facts(camera: Camera) -> dict[str, float | int]:
    """As ``camera_from_facts`` reads them."""
    return to_dict(camera)


def camera_from_facts(facts: object, name: str) -> Camera:
    """A table with ``fx_px``, ``fy_px``, ``cx_px``, ``cy_px``, ``width_px``, ``height_px``."""
    camera = _from_table(Camera, facts, name)
    if not all(map(math.isfinite, (camera.cx_px, camera.cy_px))) or not all(
        0 < v < math.inf for v in (camera.fx_px, camera.fy_px, camera.width_px, camera.height_px)
    ):
        raise ValueError(f"{name}: focal lengths and sizes of a camera are finite and above 0; given: {camera}")
    return camera


FactsT = TypeVar("FactsT")


def _from_table(cls: type[FactsT], facts: object, name: str) -> FactsT:
    if not isinstance(facts, Mapping):
        raise ValueError(f"{name}: {facts!r:.80} stands where a table describing a {cls.__name__} is needed")
    try:
        return from_dict(cls, facts)
    except ValueError as error:
        raise ValueError(f"{name}: {error}") from error
