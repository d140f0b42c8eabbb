"""Files' numbers to metres, vectors and masks; what is damaged or meant otherwise is named."""

import io
from typing import Any

import numpy as np
import OpenEXR
import pytest
import tifffile
import torch
from PIL import Image

from latentdepth.core.geometry import distance_from_planar
from latentdepth.core.types import Camera
from latentdepth.data.rasters import (
    DepthCoding,
    camera_facts,
    camera_from_facts,
    decode_array,
    decode_depth,
    decode_mask,
    decode_normals,
    decode_photo,
    encode_normals,
    encode_photo,
)

CAMERA = Camera(5.0, 5.0, 3.0, 2.0, 6, 4)
METRES = torch.linspace(0.5, 12, 24).reshape(1, 4, 6)


def png(array: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(array).save(buffer, "PNG")
    return buffer.getvalue()


def npy(array: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, array)
    return buffer.getvalue()


def exr(tmp_path: Any, **channels: np.ndarray) -> bytes:
    header = {"compression": OpenEXR.ZIP_COMPRESSION, "type": OpenEXR.scanlineimage}
    OpenEXR.File(header, dict(channels)).write(str(tmp_path / "a.exr"))
    return (tmp_path / "a.exr").read_bytes()


def test_every_kind_of_coding_means_the_same_depth(tmp_path: Any):
    metres = METRES[0].numpy()
    distance = distance_from_planar(METRES[None], CAMERA)[0, 0].numpy()
    tiff = io.BytesIO()
    tifffile.imwrite(tiff, metres)
    cases: list[tuple[bytes, str, DepthCoding, float]] = [
        (png((metres * 1000).round().astype(np.uint16)), ".png", DepthCoding(unit=1e-3), 5.1e-4),
        (png((100 / metres).round().astype(np.uint16)), ".png", DepthCoding("disparity", 1e-2), 0.7),
        (npy(metres.astype(np.float64)), ".npy", DepthCoding(), 1e-6),
        (npy(metres[None] * 100), ".npy", DepthCoding(unit=0.01), 1e-5),
        (npy(distance), ".npy", DepthCoding("distance"), 1e-5),
        (tiff.getvalue(), ".tif", DepthCoding(), 0.0),
        (exr(tmp_path, Z=metres), ".exr", DepthCoding(), 0.0),
        (exr(tmp_path, R=metres, G=metres, B=metres), ".exr", DepthCoding(), 0.0),
    ]
    for content, suffix, coding, tolerance in cases:  # half a count: of 1 mm, of 0.01 / m at 12 m
        depth, valid = decode_depth(content, suffix, coding, CAMERA, "file")
        assert valid.all()
        torch.testing.assert_close(depth, METRES, atol=tolerance, rtol=0)


def test_signs_for_invalid_and_sky():
    counts = np.full((4, 6), 700, np.uint16)
    counts[0, :2] = 0, 65535
    depth, valid = decode_depth(png(counts), ".png", DepthCoding(unit=0.01, sky=65535), None, "x")
    assert valid[0, 0, :3].tolist() == [False, True, True]
    assert depth[0, 0, 1:3].tolist() == [torch.inf, 7.0]
    floats = np.full((4, 6), 2.0, np.float32)
    floats[0, :5] = np.nan, np.inf, -np.inf, -1, 0
    depth, valid = decode_depth(npy(floats), ".npy", DepthCoding(), None, "x")
    assert valid[0, 0].tolist() == [False, True, False, False, False, True]
    depth, valid = decode_depth(npy(floats), ".npy", DepthCoding("disparity", 0.25), None, "x")
    assert valid[0, 0].tolist() == [False] * 5 + [True]
    assert float(depth[0, 1, 1]) == 2.0


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
def test_normals_of_each_depth(dtype: Any):
    wanted = torch.nn.functional.normalize(torch.randn(3, 4, 6, generator=torch.Generator().manual_seed(0)), dim=0)
    array = wanted.permute(1, 2, 0).numpy()
    top = {np.uint8: 255, np.uint16: 65535}.get(dtype)
    stored = array if top is None else ((array + 1) / 2 * top).round().astype(dtype)
    stored[0, 0] = stored[0, 0] * 0 if top is None else round(top / 2)
    read = decode_normals(npy(stored), ".npy", "n")
    assert read[:, 0, 0].tolist() == [0, 0, 0]
    # three components, each off by half a count of 2 / 255
    assert float((read - wanted)[:, 1:].norm(dim=0).max()) < 3**0.5 / 255 + 1e-3
    exact = decode_normals(encode_normals(read), ".png", "n", centre=128.0)
    assert exact[:, 0, 0].tolist() == [0, 0, 0]


def test_masks_of_any_depth_and_without_alpha():
    grey = np.zeros((4, 6), np.uint8)
    grey[1] = 255
    colour = np.dstack([grey, grey * 0, grey * 0, grey * 0 + 255])
    for array in (grey, colour, grey.astype(bool)):
        assert torch.equal(decode_mask(npy(array), ".npy", "m")[0], torch.from_numpy(grey > 0))


def test_photos_come_back():
    image = torch.rand(3, 4, 6, generator=torch.Generator().manual_seed(1))
    read = decode_photo(encode_photo(image, form="png"), ".png", "p").pixels[0]
    torch.testing.assert_close(read, image, atol=0.5 / 255 + 1e-6, rtol=0)


@pytest.mark.parametrize("suffix", [".png", ".npy", ".exr", ".tif"])
def test_damaged_files_are_named(suffix: str, tmp_path: Any):
    tiff = io.BytesIO()
    tifffile.imwrite(tiff, METRES[0].numpy())
    whole = {
        ".png": png(np.arange(24, dtype=np.uint16).reshape(4, 6)),
        ".npy": npy(METRES[0].numpy()),
        ".exr": exr(tmp_path, Z=METRES[0].numpy()),
        ".tif": tiff.getvalue(),
    }[suffix]
    for content in (b"", b"rubbish", whole[: len(whole) // 2]):
        with pytest.raises(ValueError, match=r"^a/b: "):
            decode_array(content, suffix, "a/b")
    for content in (b"", b"rubbish", whole[: len(whole) // 2]):
        with pytest.raises(ValueError, match=r"^a/b"):
            decode_photo(content, ".jpg", "a/b")


def test_what_is_meant_otherwise_is_refused(tmp_path: Any):
    colour = npy(np.zeros((4, 6, 3), np.uint8))
    with pytest.raises(ValueError, match=r"d: shape \(4, 6, 3\) of uint8; a depth file holds one number"):
        decode_depth(colour, ".npy", DepthCoding(), None, "d")
    with pytest.raises(ValueError, match="d: holds distances along the ray; that needs the camera"):
        decode_depth(npy(METRES[0].numpy()), ".npy", DepthCoding("distance"), None, "d")
    with pytest.raises(ValueError, match="d: the camera is for 12 x 8 pixels, the picture has 6 x 4"):
        decode_depth(npy(METRES[0].numpy()), ".npy", DepthCoding("distance"), CAMERA.resized(12, 8), "d")
    with pytest.raises(ValueError, match="d: the log code is 16-bit counts, these are float32"):
        decode_depth(npy(METRES[0].numpy()), ".npy", DepthCoding("log"), None, "d")
    with pytest.raises(ValueError, match="n: shape"):
        decode_normals(npy(METRES[0].numpy()), ".npy", "n")
    with pytest.raises(ValueError, match="n: type int32"):
        decode_normals(npy(np.zeros((4, 6, 3), np.int32)), ".npy", "n")
    with pytest.raises(ValueError, match="d: channels A; allowed are Z"):
        decode_array(exr(tmp_path, A=METRES[0].numpy()), ".exr", "d")


def test_tables_are_checked():
    assert DepthCoding.from_facts({"unit": 1, "kind": "distance"}, "j") == DepthCoding("distance", 1.0)
    for wrong, message in (
        ({"unit": -1.0}, "unit of a depth coding is -1"),
        ({"units": 1.0}, "did you mean unit"),
        ({"kind": "metres"}, "kind is 'metres'"),
        ([1], "is needed"),
    ):
        with pytest.raises(ValueError, match=f"^j: .*{message}"):
            DepthCoding.from_facts(wrong, "j")
    assert camera_from_facts(camera_facts(CAMERA), "j") == CAMERA
    with pytest.raises(ValueError, match=r"^j: .*height_px is missing"):
        camera_from_facts({k: v for k, v in camera_facts(CAMERA).items() if k != "height_px"}, "j")
    with pytest.raises(ValueError, match="above 0"):
        camera_from_facts({**camera_facts(CAMERA), "fx_px": 0.0}, "j")
