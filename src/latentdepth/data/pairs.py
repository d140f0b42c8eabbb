"""A photo and its depth: from two files into one checked sample, and depth counts into a file's bytes.

Knows neither lists nor data sets; ``rasters`` decodes.
"""

from __future__ import annotations

import io
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Bool, Float
from PIL import Image
from torch import Tensor

from latentdepth.core.types import Camera
from latentdepth.data.rasters import DepthCoding, decode_depth, decode_photo
from latentdepth.data.sample import Sample

_PNG_DEPTH_AND_COLOUR = slice(24, 26)
_GREY_16 = b"\x10\x00"
"""Those two bytes of a PNG's header, where it has one channel of 16 bits."""


def read_bytes(path: Path, *, remedy: str) -> bytes:
    """A file's content. ValueError names the file, what is wrong with it and the remedy."""
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        raise ValueError(f"{path}: there is no such file; {remedy}") from None
    except OSError as error:
        raise ValueError(f"{path}: can't be read ({error.strerror}); {remedy}") from error
    if not content:
        raise ValueError(f"{path}: the file is empty; {remedy}")
    return content


def read_pair(
    rgb_path: Path, depth_path: Path, coding: DepthCoding, *, camera: Camera | None, group: str, remedy: str
) -> Sample:
    """Decode a photo and a 16-bit PNG of planar depth. ``remedy`` says how to get the files anew.

    A camera that was given for another size of the same picture is scaled. Raises ValueError.
    """
    photo, depth = read_bytes(rgb_path, remedy=remedy), read_bytes(depth_path, remedy=remedy)
    return decode_pair(
        photo,
        depth,
        coding,
        photo_name=str(rgb_path),
        depth_name=str(depth_path),
        camera=camera,
        group=group,
        remedy=remedy,
    )


def decode_pair(
    photo: bytes,
    depth: bytes,
    coding: DepthCoding,
    *,
    photo_name: str,
    depth_name: str,
    camera: Camera | None,
    group: str,
    remedy: str,
) -> Sample:
    """As ``read_pair``, of the files' contents; the names, with their suffixes, are for errors and the decoder."""
    image = decode_photo(photo, Path(photo_name).suffix.lower(), photo_name).pixels[0]
    check_counts(depth, depth_name, remedy=remedy)
    depth_m, valid = decode_depth(depth, Path(depth_name).suffix.lower(), coding, camera, depth_name)
    if depth_m.shape[-2:] != image.shape[-2:]:
        raise ValueError(
            f"{depth_name}: {depth_m.shape[-1]} x {depth_m.shape[-2]} pixels, but the photo {Path(photo_name).name} "
            f"has {image.shape[-1]} x {image.shape[-2]}; {remedy}"
        )
    height, width = image.shape[-2:]
    return Sample(image, depth_m, valid, group, None if camera is None else camera.resized(width, height))


def check_counts(depth: bytes, name: str, *, remedy: str) -> None:
    """Raises ValueError for a PNG that isn't one channel of 16 bits, so that no colour picture is read as depth."""
    if depth[:4] == b"\x89PNG" and depth[_PNG_DEPTH_AND_COLOUR] != _GREY_16:
        raise ValueError(
            f"{name}: not one channel of 16 bits, so its counts aren't the depths of this layout; {remedy}"
        )


def in_range(sample: Sample, name: str, *, near_m: float, far_m: float, keep_sky: bool) -> Sample:
    """The sample with depths outside (``near_m``, ``far_m``) invalid; sky, at +inf, stays valid with ``keep_sky``.

    ValueError when no pixel is left: ``name`` is the file that it blames.
    """
    measured = (sample.depth_m > near_m) & (sample.depth_m < far_m)
    if keep_sky:
        measured |= torch.isposinf(sample.depth_m)
    valid = sample.valid & measured
    if not valid.any():
        raise ValueError(
            f"{name}: no pixel holds a valid depth between {near_m:g} and {far_m:g} m; leave the frame out of the list"
        )
    return replace(sample, valid=valid)


def encode_counts(counts: Float[Tensor, "1 h w"], valid: Bool[Tensor, "1 h w"]) -> bytes:
    """Whole numbers from 1 to 65535 as a 16-bit PNG, 0 where not ``valid``."""
    whole = torch.where(valid, counts, torch.zeros_like(counts))[0].numpy().astype(np.uint16)
    buffer = io.BytesIO()
    Image.fromarray(whole).save(buffer, "PNG", compress_level=4)
    return buffer.getvalue()
