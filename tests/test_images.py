"""Photos in every shape they come in, and every way they can be wrong: one line each."""

from __future__ import annotations

import os
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
import tifffile
import torch
from PIL import ExifTags, Image, ImageCms

from latentdepth.images import ImageError, read

RAMP = np.stack(np.broadcast_arrays(np.arange(0, 240, 10)[None, :], np.arange(0, 160, 10)[:, None], 77), -1).astype(
    np.uint8
)


def saved(path: Path, image: Image.Image, **options: object) -> Path:
    image.save(path, **options)  # pyright: ignore[reportArgumentType]
    return path


def pixels(path: Path) -> np.ndarray:
    return read(path).pixels[0].permute(1, 2, 0).numpy()


@pytest.mark.parametrize("name", ["a.png", "a.bmp", "a.tiff", "a.webp"])
def test_lossless_colour_is_exact(tmp_path: Path, name: str):
    options = {"lossless": True} if name.endswith("webp") else {}
    path = saved(tmp_path / name, Image.fromarray(RAMP), **options)
    np.testing.assert_allclose(pixels(path), RAMP / 255, atol=1e-7)


def test_jpeg_and_grey(tmp_path: Path):
    assert np.abs(pixels(saved(tmp_path / "a.jpg", Image.fromarray(RAMP), quality=98)) - RAMP / 255).mean() < 0.03
    grey = pixels(saved(tmp_path / "g.png", Image.fromarray(RAMP[..., 0])))
    np.testing.assert_allclose(grey, np.repeat(RAMP[..., :1], 3, -1) / 255, atol=1e-7)


def test_one_bit_and_palette(tmp_path: Path):
    bits = RAMP[..., 0] > 100
    np.testing.assert_array_equal(pixels(saved(tmp_path / "b.png", Image.fromarray(bits)))[..., 0], bits)
    palette = Image.fromarray(RAMP).quantize(256)
    want = np.asarray(palette.convert("RGB")) / 255
    np.testing.assert_allclose(pixels(saved(tmp_path / "p.png", palette)), want, atol=1e-7)


def test_sixteen_bit_keeps_its_range(tmp_path: Path):
    counts = np.linspace(0, 65535, 600).reshape(20, 30).astype(np.uint16)
    for path in (saved(tmp_path / "d.png", Image.fromarray(counts)), tmp_path / "d.tiff"):
        if path.suffix == ".tiff":
            tifffile.imwrite(path, counts)
        np.testing.assert_allclose(pixels(path)[..., 1], counts / 65535, atol=1e-6)


def test_sixteen_bit_colour_and_float_tiff(tmp_path: Path):
    counts = RAMP.astype(np.uint16) * 257
    tifffile.imwrite(tmp_path / "c.tiff", counts, photometric="rgb")
    np.testing.assert_allclose(pixels(tmp_path / "c.tiff"), RAMP / 255, atol=1e-6)
    tifffile.imwrite(tmp_path / "f.tiff", (RAMP / 255).astype(np.float32), photometric="rgb")
    np.testing.assert_allclose(pixels(tmp_path / "f.tiff"), RAMP / 255, atol=1e-6)


def test_transparency_gets_mid_grey_and_a_note(tmp_path: Path):
    rgba = np.dstack((RAMP, np.full(RAMP.shape[:2], 0, np.uint8)))
    photo = read(saved(tmp_path / "t.png", Image.fromarray(rgba)))
    torch.testing.assert_close(photo.pixels, torch.full_like(photo.pixels, 0.5))
    assert "transparent" in photo.notes[0]


def test_opaque_alpha_is_not_worth_a_note(tmp_path: Path):
    rgba = np.dstack((RAMP, np.full(RAMP.shape[:2], 255, np.uint8)))
    photo = read(saved(tmp_path / "t.png", Image.fromarray(rgba)))
    assert photo.notes == ()
    np.testing.assert_allclose(photo.pixels[0].permute(1, 2, 0).numpy(), RAMP / 255, atol=1e-6)


def deep_png(path: Path, counts: np.ndarray) -> Path:
    """A 16-bit RGB PNG by hand, since Pillow writes none."""
    h, w, _ = counts.shape
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in counts)

    def chunk(name: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))

    header = struct.pack(">IIBBBBB", w, h, 16, 2, 0, 0, 0)
    whole = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + whole)
    return path


def test_sixteen_bit_colour_png_is_read_at_eight_and_says_so(tmp_path: Path):
    photo = read(deep_png(tmp_path / "d.png", RAMP.astype(np.uint16) * 257))
    np.testing.assert_allclose(photo.pixels[0].permute(1, 2, 0).numpy(), RAMP / 255, atol=1e-6)
    assert "16 bits" in photo.notes[0]


@pytest.mark.parametrize("turn", range(1, 9))
def test_deep_tiff_is_turned_like_any_photo(tmp_path: Path, turn: int):
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = turn
    want = pixels(saved(tmp_path / "8.png", Image.fromarray(RAMP), exif=exif))
    tags = [(274, 3, 1, turn, True)]
    tifffile.imwrite(tmp_path / "16.tiff", RAMP.astype(np.uint16) * 257, photometric="rgb", extratags=tags)
    np.testing.assert_allclose(pixels(tmp_path / "16.tiff"), want, atol=1e-6)


def test_counts_beyond_sixteen_bits_are_refused():
    with pytest.raises(ImageError, match="0 to 65535"):
        read(Image.fromarray(np.array([[0, 70000]], np.int32)))


def test_postscript_is_not_run(tmp_path: Path):
    (tmp_path / "a.jpg").write_bytes(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 10 10\nshowpage\n")
    with pytest.raises(ImageError, match="not an image"):
        read(tmp_path / "a.jpg")


def test_cmyk(tmp_path: Path):
    photo = read(saved(tmp_path / "c.jpg", Image.fromarray(RAMP).convert("CMYK"), quality=98))
    assert np.abs(photo.pixels[0].permute(1, 2, 0).numpy() - RAMP / 255).mean() < 0.05


def test_icc_profile_is_brought_to_srgb(tmp_path: Path):
    # a profile for Lab in, sRGB out: pixels that are Lab must come out as the colours they mean
    lab = ImageCms.createProfile("LAB")
    to_lab = ImageCms.profileToProfile(Image.fromarray(RAMP), ImageCms.createProfile("sRGB"), lab, outputMode="LAB")
    assert to_lab is not None
    to_lab.info["icc_profile"] = ImageCms.ImageCmsProfile(lab).tobytes()
    back = read(to_lab).pixels[0].permute(1, 2, 0).numpy()
    assert np.abs(back - RAMP / 255).mean() < 0.02  # Lab in 8 bits


def test_broken_profile_is_noted(tmp_path: Path):
    photo = read(saved(tmp_path / "i.png", Image.fromarray(RAMP), icc_profile=b"not a profile"))
    assert "profile" in photo.notes[0]


def test_animation_gives_the_first_frame(tmp_path: Path):
    frames = [Image.fromarray(np.full((8, 8, 3), v, np.uint8)) for v in (10, 200)]
    frames[0].save(tmp_path / "a.gif", save_all=True, append_images=frames[1:])
    photo = read(tmp_path / "a.gif")
    assert float(photo.pixels.max()) < 0.1
    assert "2 frames" in photo.notes[0]


@pytest.mark.parametrize("turn", range(1, 9))
def test_exif_orientation_and_focal_length(tmp_path: Path, turn: int):
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = turn
    exif.get_ifd(ExifTags.IFD.Exif)[ExifTags.Base.FocalLengthIn35mmFilm] = 50
    photo = read(saved(tmp_path / "o.png", Image.fromarray(RAMP), exif=exif))
    h, w = photo.pixels.shape[-2:]
    assert (h, w) == ((16, 24) if turn <= 4 else (24, 16))
    assert photo.camera is not None
    assert (photo.camera.width_px, photo.camera.height_px) == (w, h)
    # 50 mm on a 36 x 24 frame sees 39.6 degrees along the longer side
    assert photo.camera.fov_deg == pytest.approx(39.6, abs=0.1)


def test_focal_length_from_the_sensor(tmp_path: Path):
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = 1
    details = exif.get_ifd(ExifTags.IFD.Exif)
    details[ExifTags.Base.FocalLength] = 10.0
    details[ExifTags.Base.FocalPlaneXResolution] = 254.0  # per inch: 10 per mm
    details[ExifTags.Base.FocalPlaneResolutionUnit] = 2
    details[ExifTags.Base.ExifImageWidth] = 48  # the file has half of that
    photo = read(saved(tmp_path / "s.png", Image.fromarray(RAMP), exif=exif))
    assert photo.camera is not None
    assert photo.camera.fx_px == pytest.approx(50)


def test_no_focal_length_is_none(tmp_path: Path):
    assert read(saved(tmp_path / "n.png", Image.fromarray(RAMP))).camera is None


def test_heic(tmp_path: Path):
    pytest.importorskip("pillow_heif").register_heif_opener()
    path = saved(tmp_path / "h.heic", Image.fromarray(np.repeat(np.repeat(RAMP, 4, 0), 4, 1)), quality=95)
    assert np.abs(pixels(path)[::4, ::4] - RAMP / 255).mean() < 0.05


@pytest.mark.parametrize("shape", [(1, 1), (1, 5000)])
def test_tiny_and_thin_images_are_read(tmp_path: Path, shape: tuple[int, int]):
    path = saved(tmp_path / "x.png", Image.fromarray(np.zeros((*shape, 3), np.uint8)))
    assert read(path).pixels.shape == (1, 3, *shape)


def test_arrays_and_tensors():
    for source in (RAMP, RAMP.astype(np.uint16) * 257, (RAMP / 255).astype(np.float32), torch.from_numpy(RAMP)):
        np.testing.assert_allclose(read(source).pixels[0].permute(1, 2, 0).numpy(), RAMP / 255, atol=1e-6)
    assert read(RAMP[..., 0]).pixels.shape == (1, 3, 16, 24)
    assert read(torch.rand(1, 3, 5, 6)).pixels.shape == (1, 3, 5, 6)


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (np.full((4, 4, 3), np.nan), "NaN"),
        (np.full((4, 4, 3), 2.0), r"\[0, 1\]"),
        (np.zeros((4, 4, 3), np.int32), "int32"),
        (np.zeros((4, 4, 3), np.bool_), "bool"),
        (np.zeros((4, 4, 3), np.complex64), "complex64"),
        (np.zeros((4, 4, 2), np.uint8), "shape"),
        (np.zeros((0, 4, 3), np.uint8), "shape"),
        (np.zeros((2, 4, 4, 3), np.uint8), "shape"),
    ],
)
def test_wrong_arrays(array: np.ndarray, message: str):
    with pytest.raises(ImageError, match=message):
        read(array)


def bomb(path: Path) -> Path:
    """A valid PNG header that promises 60000 x 60000 pixels."""
    header = struct.pack(">IIBBBBB", 60000, 60000, 8, 2, 0, 0, 0)
    chunk = b"IHDR" + header
    packed = zlib.compress(b"\0" * 100)
    path.write_bytes(
        b"\x89PNG\r\n\x1a\n"
        + struct.pack(">I", 13)
        + chunk
        + struct.pack(">I", zlib.crc32(chunk))
        + struct.pack(">I", len(packed))
        + b"IDAT"
        + packed
        + struct.pack(">I", zlib.crc32(b"IDAT" + packed))
    )
    return path


def test_wrong_files(tmp_path: Path):
    good = saved(tmp_path / "good.jpg", Image.fromarray(np.tile(RAMP, (8, 8, 1)))).read_bytes()
    cases: dict[str, tuple[bytes, str]] = {
        "empty.jpg": (b"", "empty"),
        "cut.jpg": (good[: len(good) // 2], "truncated or damaged"),
        "text.png": (b"hello, I am no image", "not an image"),
        "cut.npy": (b"\x93NUMPY\x01\x00v", "npy"),
    }
    for name, (content, message) in cases.items():
        (tmp_path / name).write_bytes(content)
        with pytest.raises(ImageError, match=message) as error:
            read(tmp_path / name)
        assert name in str(error.value)
        assert "\n" not in str(error.value)
    with pytest.raises(ImageError, match="no such file"):
        read(tmp_path / "absent.jpg")
    with pytest.raises(ImageError, match="is a folder"):
        read(tmp_path)
    with pytest.raises(ImageError, match=r"3600000000 pixels.*--max-pixels"):
        read(bomb(tmp_path / "bomb.png"))
    with pytest.raises(ImageError, match="limit is"):
        read(tmp_path / "good.jpg", max_pixels=100)


def test_pickles_are_never_loaded(tmp_path: Path):
    np.save(tmp_path / "evil.npy", np.array([{"a": 1}], dtype=object), allow_pickle=True)
    with pytest.raises(ImageError, match="not a plain numeric"):
        read(tmp_path / "evil.npy")


@pytest.mark.skipif(os.name == "nt" or os.geteuid() == 0, reason="the superuser reads everything")
def test_unreadable(tmp_path: Path):
    path = saved(tmp_path / "secret.png", Image.fromarray(RAMP))
    path.chmod(0)
    with pytest.raises(ImageError, match="can't be read"):
        read(path)
