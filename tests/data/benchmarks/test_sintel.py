"""MPI Sintel in miniature copies of its published form: ``.dpt`` and ``.cam`` byte by byte, both passes, sky."""

import struct
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from latentdepth.core.types import Camera
from latentdepth.data.benchmarks.benchmark import Benchmark
from latentdepth.data.benchmarks.container import Missing
from latentdepth.data.benchmarks.sintel import decode_cam, decode_dpt, open_sintel, open_sintel_clean

DEPTH = [[0.5, 71.99, 72.0], [1e10, np.inf, np.nan]]


def dpt(rows: list[list[float]]) -> bytes:
    numbers = [number for row in rows for number in row]
    return struct.pack(f"<fii{len(numbers)}f", 202021.25, len(rows[0]), len(rows), *numbers)


def cam(fx: float = 1120.0, cx: float = 511.5) -> bytes:
    intrinsics = (fx, 0, cx, 0, 1121.0, 217.5, 0, 0, 1)
    return struct.pack("<f21d", 202021.25, *intrinsics, *range(12))


def write(training: Path, shot: str = "alley_1", frame: int = 1, *, render: str = "final", red: int = 200) -> None:
    name = f"{shot}/frame_{frame:04d}"
    for folder in (render, "depth", "camdata_left"):
        (training / folder / shot).mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.full((2, 3, 3), red, np.uint8)).save(training / render / f"{name}.png")
    (training / "depth" / f"{name}.dpt").write_bytes(dpt(DEPTH))
    (training / "camdata_left" / f"{name}.cam").write_bytes(cam())


def test_a_frame(tmp_path: Path, published: Callable[[Path, str], Path]):
    write(tmp_path / "set/training", "temple_2", 49)
    bench = open_sintel(published(tmp_path / "set", "sintel.tar"))
    assert isinstance(bench, Benchmark)
    assert (len(bench), bench.frame(0)) == (1, "temple_2/frame_0049")
    sample = bench[0]
    assert sample.depth_m[0, 0].tolist() == [0.5, np.float32(71.99), 72.0]
    # 72 m is the end of what counts; sky, infinity and NaN are none
    assert sample.valid[0].tolist() == [[True, True, False], [False, False, False]]
    assert sample.camera == Camera(1120.0, 1121.0, 512.0, 218.0, 3, 2)
    assert sample.group == "temple_2"


def test_passes_and_a_root_that_is_the_training_folder(tmp_path: Path):
    write(tmp_path, render="final", red=200)
    with pytest.raises(Missing, match="clean pass"):
        open_sintel_clean(tmp_path)
    write(tmp_path, render="clean", red=100)
    assert float(open_sintel(tmp_path)[0].image[0, 0, 0]) == pytest.approx(200 / 255)
    clean = open_sintel_clean(tmp_path)
    assert clean.facts.key == "sintel-clean"
    assert float(clean[0].image[0, 0, 0]) == pytest.approx(100 / 255)


def test_without_a_camera_and_with_fewer_frames(tmp_path: Path):
    for frame in (1, 2):
        write(tmp_path, frame=frame)
    (tmp_path / "camdata_left/alley_1/frame_0001.cam").unlink()
    (tmp_path / "final/alley_1/frame_0002.png").unlink()
    bench = open_sintel(tmp_path)
    assert len(bench) == 1
    assert bench[0].camera is None
    assert "final/alley_1/frame_0002.png" in str(bench.notice)


def test_rows_come_first_in_a_dpt():
    values = decode_dpt(dpt([[1, 2, 3], [4, 5, 6]]), "x.dpt")
    assert values.tolist() == [[[1, 2, 3], [4, 5, 6]]]


@pytest.mark.parametrize(
    ("content", "fault"),
    [
        (b"", "no .dpt file"),
        (struct.pack("<f", 202021.25), "no .dpt file"),
        (struct.pack(">fiif", 202021.25, 1, 1, 1.0), "no .dpt file"),
        (dpt([[1, 2]])[:-1], "19 bytes for 2 x 1 pixels, which take 20"),
        (dpt([[1, 2]]) + b"\0", "21 bytes for 2 x 1 pixels"),
        (struct.pack("<fii", 202021.25, 0, 5), "for 0 x 5 pixels"),
        (struct.pack("<fii", 202021.25, -1, -1), "for -1 x -1 pixels"),
    ],
)
def test_what_is_no_dpt(content: bytes, fault: str):
    with pytest.raises(ValueError, match=rf"^x\.dpt: .*{fault}"):
        decode_dpt(content, "x.dpt")


@pytest.mark.parametrize("content", [cam()[:70], b"HEIP" * 50, cam(fx=-1.0), cam(cx=float("nan"))])
def test_what_is_no_cam(content: bytes):
    with pytest.raises(ValueError, match=r"^x\.cam: "):
        decode_cam(content, "x.cam", width_px=3, height_px=2)


def test_faults(tmp_path: Path):
    with pytest.raises(Missing, match=r"there is no depth/SHOT/\*\.dpt"):
        open_sintel(tmp_path)
    write(tmp_path)
    depth = tmp_path / "depth/alley_1/frame_0001.dpt"
    depth.write_bytes(dpt([[1e10, 1e10, 1e10]] * 2))
    with pytest.raises(ValueError, match=r"frame_0001\.dpt: no pixel holds a valid depth between 0\.001 and 72 m"):
        open_sintel(tmp_path)[0]
    depth.write_bytes(dpt([[1.0, 2.0]]))
    with pytest.raises(ValueError, match=r"frame_0001\.dpt: 2 x 1 pixels, the photo has 3 x 2"):
        open_sintel(tmp_path)[0]
