"""NYUv2 in miniature copies of the published archive: counts, crop, range, and what is absent."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from latentdepth.data.benchmarks.benchmark import Benchmark
from latentdepth.data.benchmarks.container import Missing
from latentdepth.data.benchmarks.listed import read_split
from latentdepth.data.benchmarks.nyu import NYU, open_nyu
from latentdepth.data.sample import Sample

TAR = "nyu_labeled_extracted.tar"


def write(folder: Path, scene: str, number: int, counts: np.ndarray | None = None) -> None:
    """A frame in the archive's form; its filled depth differs from the raw one everywhere."""
    place = folder / scene
    place.mkdir(parents=True, exist_ok=True)
    counts = np.full((480, 640), 2500, np.uint16) if counts is None else counts
    photo = np.zeros((480, 640, 3), np.uint8)
    photo[..., 0] = number % 256
    Image.fromarray(photo).save(place / f"rgb_{number:04d}.png", compress_level=1)
    Image.fromarray(counts).save(place / f"depth_{number:04d}.png", compress_level=1)
    Image.fromarray(np.full((480, 640), 1111, np.uint16)).save(place / f"filled_{number:04d}.png", compress_level=1)


def test_frames_counts_and_range(tmp_path: Path, published: Callable[[Path, str], Path]):
    counts = np.full((480, 640), 2500, np.uint16)
    # invalid, nearest that counts (more than 1 mm), farthest (less than 10 m), and what would wrap as int16
    places = [(100, 100), (100, 101), (100, 102), (100, 103), (100, 104), (100, 105), (100, 106)]
    for (row, column), value in zip(places, [0, 1, 2, 9999, 10000, 32768, 65535], strict=True):
        counts[row, column] = value
    write(tmp_path / "set" / "test", "kitchen_0004", 1, counts)
    write(tmp_path / "set" / "test", "office_0005", 9)
    # neither a training image nor a number outside the split belongs to it
    write(tmp_path / "set" / "train", "office_0004", 5)
    write(tmp_path / "set" / "test", "office_0005", 10)
    bench = open_nyu(published(tmp_path / "set", TAR))
    assert isinstance(bench, Benchmark)
    assert bench.facts is NYU
    assert [bench.frame(k) for k in range(len(bench))] == ["test/kitchen_0004/rgb_0001", "test/office_0005/rgb_0009"]
    sample = bench[0]
    assert isinstance(sample, Sample)
    assert sample.group == "kitchen_0004"
    # float32 of a count times a thousandth in float64; the first is no depth, whatever it holds
    metres = torch.tensor([0.001, 0.002, 9.999, 10.0, 32.768, 65.535], dtype=torch.float64)
    torch.testing.assert_close(sample.depth_m[0, 100, 101:107].double(), metres, rtol=2**-24, atol=0)
    assert [bool(sample.valid[0, r, c]) for r, c in places] == [False, False, True, True, False, False, False]
    # Eigen's crop, less the five invalid pixels in it
    assert int(sample.valid.sum()) == 426 * 560 - 5
    rows, columns = torch.where(sample.valid[0])
    assert (int(rows.min()), int(rows.max()), int(columns.min()), int(columns.max())) == (45, 470, 41, 600)
    # the raw depth, not the filled one
    assert float(sample.depth_m[0, 200, 200]) == 2.5
    assert bench[1].image[0].unique().tolist() == [pytest.approx(9 / 255, abs=1e-7)]
    # the toolbox counts from 1, so a point at its principal point lies half a pixel less from our corner
    assert sample.camera is not None
    assert sample.camera.cx_px == pytest.approx(325.08245)
    assert bench.notice is not None
    assert bench.notice.startswith(
        "NYUv2 (Eigen test): 652 of 654 frames lack files, the first test/*/rgb_0002.png; frames h"
    )


def test_the_whole_split_has_no_notice(tmp_path: Path):
    place = tmp_path / "test" / "any_0001"
    place.mkdir(parents=True)
    for number in read_split("nyu")["test"]:
        (place / f"rgb_{number:04d}.png").touch()
        (place / f"depth_{number:04d}.png").touch()
    bench = open_nyu(tmp_path)
    assert (len(bench), bench.notice) == (654, None)
    with pytest.raises(ValueError, match=r"rgb_0001\.png: the file is empty; unpack or download it again"):
        bench[0]


def test_a_list_of_other_frames(tmp_path: Path):
    write(tmp_path / "train", "office_0004", 5)
    names = "train/office_0004/rgb_0005.png train/office_0004/depth_0005.png train/office_0004/filled_0005.png\n"
    (tmp_path / "train.txt").write_text(names)
    bench = open_nyu(tmp_path, list_file=tmp_path / "train.txt")
    assert (len(bench), bench.frame(0), bench[0].group) == (1, "train/office_0004/rgb_0005", "office_0004")
    assert bench.notice is not None


def test_missing_and_damaged(tmp_path: Path):
    with pytest.raises(Missing, match=r"there is no .*nowhere"):
        open_nyu(tmp_path / "nowhere")
    with pytest.raises(Missing, match=r"looked for test/\*/rgb_0001\.png first"):
        open_nyu(tmp_path)
    write(tmp_path / "test", "kitchen_0004", 1)
    depth = tmp_path / "test" / "kitchen_0004" / "depth_0001.png"
    Image.fromarray(np.zeros((480, 640), np.uint8)).save(depth)
    with pytest.raises(ValueError, match=r"depth_0001\.png: not one channel of 16 bits"):
        open_nyu(tmp_path)[0]
    Image.fromarray(np.full((240, 320), 900, np.uint16)).save(depth)
    with pytest.raises(ValueError, match=r"depth_0001\.png: 320 x 240 pixels, but the photo .* has 640 x 480"):
        open_nyu(tmp_path)[0]
    Image.fromarray(np.zeros((480, 640), np.uint16)).save(depth)
    with pytest.raises(ValueError, match=r"depth_0001\.png: no pixel holds a valid depth between 0\.001 and 10 m"):
        open_nyu(tmp_path)[0]
    depth.write_bytes(depth.read_bytes()[:200])
    with pytest.raises(ValueError, match=r"depth_0001\.png: truncated or damaged"):
        open_nyu(tmp_path)[0]
