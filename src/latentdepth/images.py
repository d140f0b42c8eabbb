"""Read photographs: any common file to float sRGB pixels the right way up, with the focal length if it is known.

Knows nothing of depth. Everything that can be wrong with a file becomes one ``ImageError`` of one line.
"""

from __future__ import annotations

import io
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeAlias

import numpy as np
import tifffile
import torch
from jaxtyping import Float
from PIL import ExifTags, Image, ImageCms, ImageOps, UnidentifiedImageError
from torch import Tensor

from latentdepth.core.types import Camera

Source: TypeAlias = "str | Path | Image.Image | np.ndarray | Tensor"
SUFFIXES = (".jpg", ".jpeg", ".png", ".webp", ".tif", ".tiff", ".bmp", ".gif", ".heic", ".heif", ".npy")
MAX_PIXELS = 178_000_000  # just below the size from which Pillow warns of each image
_DECODERS = ("JPEG", "MPO", "PNG", "WEBP", "TIFF", "BMP", "GIF", "HEIF", "PPM")  # no EPS: it would start Ghostscript
_READS = "JPEG, PNG, WebP, TIFF, BMP, GIF (first frame), HEIC (with the heic extra) and .npy arrays"
_STRIP = 256  # rows
_GREY_BEHIND_ALPHA = 0.5  # neither a light nor a dark object vanishes against it


class ImageError(ValueError):
    """A photo that can't be used; the message is one line: which, what is wrong, what is allowed."""


@dataclass(frozen=True)
class Photo:
    """Pixels as sRGB in [0, 1], upright; where they came from; what camera took them, if the file says."""

    pixels: Float[Tensor, "1 3 h w"]
    path: Path | None = None
    camera: Camera | None = None
    notes: tuple[str, ...] = ()
    """What a user should know: only the first frame was taken, transparency was filled, and the like."""


def read(source: Source, *, max_pixels: int = MAX_PIXELS) -> Photo:
    """Read a photo from a path, a PIL image, or an array or tensor of shape (h, w), (h, w, 1|3|4) or (1, 3, h, w).

    Integer arrays are scaled by their type's range, float arrays must lie in [0, 1]. Transparency is filled with mid
    grey. Raises ImageError.
    """
    if isinstance(source, Tensor):
        return Photo(_from_array(source.detach().cpu().numpy(), "tensor"))
    if isinstance(source, np.ndarray):
        return Photo(_from_array(source, "array"))
    if isinstance(source, Image.Image):
        return _from_pil(source, None)
    return _from_file(Path(source), max_pixels)


def _from_file(path: Path, max_pixels: int) -> Photo:
    try:
        if path.is_dir():
            raise ImageError(f"{path}: is a folder; name the files in it, or predict it with --recursive")
        content = path.read_bytes()
    except FileNotFoundError:
        raise ImageError(f"{path}: there is no such file") from None
    except OSError as error:
        raise ImageError(f"{path}: can't be read ({error.strerror})") from error
    if not content:
        raise ImageError(f"{path}: the file is empty (0 bytes)")
    if path.suffix.lower() == ".npy":
        return _from_npy(path, content, max_pixels)
    if path.suffix.lower() in (".heic", ".heif"):
        _register_heif(path)
    if content[:4] in (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"):
        photo = _from_tiff(path, content, max_pixels)
        if photo is not None:
            return photo
    try:
        Image.init()
        image = Image.open(io.BytesIO(content), formats=[name for name in _DECODERS if name in Image.OPEN])
        _check_size(path, image.width, image.height, max_pixels)
        deep = any(";16" in str(tile[3]) for tile in image.tile) and image.mode in ("RGB", "RGBA")
        image.load()
        photo = _from_pil(image, path)
        note = ("has 16 bits a channel, of which the upper 8 were read",)
        return replace(photo, notes=photo.notes + note) if deep else photo
    except ImageError:
        raise
    except UnidentifiedImageError:
        raise ImageError(f"{path}: not an image that is known here; read are {_READS}") from None
    except Image.DecompressionBombError as error:
        raise ImageError(
            f"{path}: {error}; whatever --max-pixels says, Pillow refuses it: shrink the image first"
        ) from None
    # Pillow's decoders raise all of these on damaged files
    except (OSError, SyntaxError, ValueError, EOFError, IndexError, KeyError, TypeError, OverflowError) as error:
        raise ImageError(f"{path}: truncated or damaged ({error}); copy or save it again") from error


def _check_size(path: Path, width: int, height: int, max_pixels: int) -> None:
    if width * height > max_pixels:
        raise ImageError(
            f"{path}: {width} x {height} is {width * height / 1e6:.0f} million pixels, the limit is "
            f"{max_pixels / 1e6:.0f}; shrink it, or raise --max-pixels if you trust the file"
        )


def _register_heif(path: Path) -> None:
    try:
        from pillow_heif import register_heif_opener
    except ImportError:
        raise ImageError(f'{path}: HEIC needs pillow-heif: pip install "latentdepth[heic]"') from None
    register_heif_opener()


def _from_npy(path: Path, content: bytes, max_pixels: int) -> Photo:
    try:
        array = np.load(io.BytesIO(content), allow_pickle=False)
    except (ValueError, OSError, EOFError) as error:
        raise ImageError(f"{path}: not a plain numeric .npy array ({error})") from error
    if array.ndim >= 2:
        _check_size(path, array.shape[1], array.shape[0], max_pixels)
    return Photo(_from_array(array, str(path)), path)


def _from_tiff(path: Path, content: bytes, max_pixels: int) -> Photo | None:
    """16-bit colour and float TIFF, which Pillow can't read; None leaves the file to Pillow."""
    try:
        with tifffile.TiffFile(io.BytesIO(content)) as tiff:
            page = tiff.pages[0]
            dtype = page.dtype
            if dtype is None or dtype == np.uint8 or page.photometric not in (0, 1, 2):
                return None
            height, width = page.shape[:2]
            _check_size(path, width, height, max_pixels)
            array = page.asarray()
            white_is_zero = page.photometric == 0
            turn = page.tags.valueof(274, default=1)
    except ImageError:
        raise
    # tifffile raises all of these on damaged files, and its own error is a ValueError
    except (ValueError, OSError, IndexError, KeyError, TypeError, AttributeError) as error:
        raise ImageError(f"{path}: truncated or damaged TIFF ({error})") from error
    pixels = _upright(_from_array(array, str(path)), int(turn))
    return Photo(1 - pixels if white_is_zero else pixels, path)


def _upright(pixels: Float[Tensor, "1 3 h w"], orientation: int) -> Float[Tensor, "1 3 hu wu"]:
    """Undo the eight EXIF orientations: from 5 on rows and columns are exchanged, then come mirrors."""
    if orientation >= 5:
        pixels = pixels.transpose(-1, -2)
    flips = {2: (-1,), 3: (-1, -2), 4: (-2,), 6: (-1,), 7: (-1, -2), 8: (-2,)}.get(orientation, ())
    return pixels.flip(flips).contiguous()


def _from_array(array: np.ndarray, name: str) -> Float[Tensor, "1 3 h w"]:
    if array.ndim == 4 and array.shape[0] == 1 and array.shape[1] in (1, 3):
        array = array[0].transpose(1, 2, 0)
    if array.ndim == 2:
        array = array[..., None]
    if array.ndim != 3 or array.shape[2] not in (1, 3, 4) or 0 in array.shape:
        raise ImageError(
            f"{name}: shape {array.shape}; allowed are (h, w), (h, w, 1), (h, w, 3), (h, w, 4), (1, 3, h, w)"
        )
    if array.dtype == np.bool_ or (array.dtype.kind == "i"):
        raise ImageError(f"{name}: type {array.dtype}; allowed are uint8, uint16, and float in [0, 1]")
    if array.dtype.kind == "u":
        # a strip of rows at a time: a photo of 100 megapixels is in memory once as floats, not four times
        pixels = torch.empty(1, 3, *array.shape[:2])
        for top in range(0, array.shape[0], _STRIP):
            strip = array[top : top + _STRIP].astype(np.float32) / np.float32(np.iinfo(array.dtype).max)
            pixels[0, :, top : top + len(strip)] = torch.from_numpy(_opaque(strip)).permute(2, 0, 1)
        return pixels
    if array.dtype.kind == "f":
        scaled = array.astype(np.float32)
        if not np.isfinite(scaled).all():
            raise ImageError(f"{name}: holds NaN or infinity; replace those pixels (numpy.nan_to_num)")
        if scaled.min() < 0 or scaled.max() > 1:
            raise ImageError(f"{name}: values from {scaled.min():.4g} to {scaled.max():.4g}; floats must lie in [0, 1]")
    else:
        raise ImageError(f"{name}: type {array.dtype}; allowed are uint8, uint16, and float in [0, 1]")
    scaled = np.ascontiguousarray(_opaque(scaled))
    return torch.from_numpy(scaled).permute(2, 0, 1)[None].expand(-1, 3, -1, -1).contiguous()


def _opaque(scaled: np.ndarray) -> np.ndarray:
    """Mid grey behind what is transparent; floats (h, w, 1, 3 or 4)."""
    if scaled.shape[2] < 4:
        return scaled
    return scaled[..., :3] * scaled[..., 3:] + _GREY_BEHIND_ALPHA * (1 - scaled[..., 3:])


def _from_pil(image: Image.Image, path: Path | None) -> Photo:
    notes = []
    if getattr(image, "n_frames", 1) > 1:
        notes.append(f"has {image.n_frames} frames; the first was taken")  # pyright: ignore[reportAttributeAccessIssue]
        image.seek(0)
    exif = image.getexif()
    profile = image.info.get("icc_profile")
    image = ImageOps.exif_transpose(image)
    camera = _camera(exif, image.width, image.height)
    if image.mode.startswith("I;16") or image.mode == "I":
        # 16-bit grey; Pillow's own conversion to 8 bits would clip it
        counts = np.asarray(image).astype(np.int64)
        if counts.min() < 0 or counts.max() > 65535:
            raise ImageError(f"{path or 'image'}: counts from {counts.min()} to {counts.max()}; allowed is 0 to 65535")
        return Photo(_from_array(counts.astype(np.uint16), str(path or "image")), path, camera, tuple(notes))
    if image.mode == "F":
        return Photo(_from_array(np.asarray(image), str(path or "image")), path, camera, tuple(notes))
    if "transparency" in image.info or image.mode in ("RGBA", "LA", "PA", "La", "RGBa"):
        image = image.convert("RGBA")
        if np.asarray(image.getchannel("A")).min() < 255:
            notes.append("is partly transparent; mid grey was put behind it")
    image, converted = _to_srgb(image, profile)
    notes += converted
    return Photo(_from_array(np.asarray(image), str(path or "image")), path, camera, tuple(notes))


def _to_srgb(image: Image.Image, profile: bytes | None) -> tuple[Image.Image, list[str]]:
    """Colours by the embedded profile where it fits the pixels; else as they are."""
    wanted = "RGBA" if image.mode == "RGBA" else "RGB"
    if profile:
        if image.mode not in ("RGB", "RGBA", "CMYK", "L", "LAB"):
            image = image.convert("RGB")
        try:
            source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
            converted = ImageCms.profileToProfile(image, source, ImageCms.createProfile("sRGB"), outputMode=wanted)
            return (image if converted is None else converted), []
        except (ImageCms.PyCMSError, OSError, ValueError):
            return image.convert(wanted), ["has a colour profile that can't be used; colours were taken as sRGB"]
    return image.convert(wanted), []


def _camera(exif: Image.Exif, width: int, height: int) -> Camera | None:
    """Focal length in pixels of the upright image, from the 35 mm equivalent or the sensor's resolution."""
    details = exif.get_ifd(ExifTags.IFD.Exif)
    longer = max(width, height)
    equivalent_mm = _number(details.get(ExifTags.Base.FocalLengthIn35mmFilm))
    if equivalent_mm:
        # the equivalence is by the diagonal of a 36 x 24 mm frame
        return Camera.from_focal(equivalent_mm / 43.2666 * (width**2 + height**2) ** 0.5, width, height)
    focal_mm = _number(details.get(ExifTags.Base.FocalLength))
    per_unit = _number(details.get(ExifTags.Base.FocalPlaneXResolution))
    unit_mm = {2: 25.4, 3: 10.0}.get(int(details.get(ExifTags.Base.FocalPlaneResolutionUnit, 2)))
    if focal_mm and per_unit and unit_mm:
        focal_px = focal_mm * per_unit / unit_mm
        original = _number(details.get(ExifTags.Base.ExifImageWidth))
        if original:  # the resolution belongs to the sensor's image; this file may have been shrunk since
            original_longer = max(original, _number(details.get(ExifTags.Base.ExifImageHeight)) or 0)
            focal_px *= longer / original_longer
        return Camera.from_focal(focal_px, width, height)
    return None


def _number(value: object) -> float | None:
    """An EXIF number that is finite and positive, else None: cameras write zeros and broken fractions."""
    try:
        number = float(value)  # pyright: ignore[reportArgumentType]
    except (TypeError, ValueError, ZeroDivisionError):
        return None
    return number if 0 < number < float("inf") else None
