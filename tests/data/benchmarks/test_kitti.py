"""KITTI in miniature copies of its published forms: counts of 1/256 m, both crops, frames without ground truth."""

import pickle
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from latentdepth.data.benchmarks.benchmark import Benchmark
from latentdepth.data.benchmarks.container import Missing
from latentdepth.data.benchmarks.kitti import KITTI, open_kitti, open_kitti_garg
from latentdepth.data.benchmarks.listed import read_split

TAR = "kitti_eigen_split_test.tar"
DRIVE = "2011_09_26_drive_0002"


def photo_path(drive: str, number: int) -> str:
    return f"{drive[:10]}/{drive}_sync/image_02/data/{number:010d}.png"


def depth_path(drive: str, number: int) -> str:
    return f"{drive}_sync/proj_depth/groundtruth/image_02/{number:010d}.png"


def write_photo(folder: Path, drive: str, number: int, height: int = 375, width: int = 1242) -> None:
    """Red says the row, green the column, each divided by 5."""
    path = folder / photo_path(drive, number)
    path.parent.mkdir(parents=True, exist_ok=True)
    rows, columns = np.mgrid[:height, :width]
    pixels = np.stack([rows // 5, columns // 5, 0 * rows], -1).astype(np.uint8)
    Image.fromarray(pixels).save(path, compress_level=1)


def write_depth(folder: Path, path: str, counts: np.ndarray | None = None) -> None:
    """Every pixel 10 m, unless given."""
    place = folder / path
    place.parent.mkdir(parents=True, exist_ok=True)
    counts = np.full((375, 1242), 2560, np.uint16) if counts is None else counts
    Image.fromarray(counts).save(place, compress_level=1)


def test_photo_and_truth_are_cut_alike_and_counts_are_exact(tmp_path: Path, published: Callable[[Path, str], Path]):
    counts = np.full((375, 1242), 2560, np.uint16)
    # row 223 and column 113 of the file are row 200 and column 100 of the window
    for k, value in enumerate([0, 1, 256, 20479, 20480, 65535]):
        counts[223, 113 + k] = value
    write_photo(tmp_path / "set", DRIVE, 69)
    write_depth(tmp_path / "set", depth_path(DRIVE, 69), counts)
    # a frame of the drive that isn't in Eigen's list, with everything it needs
    write_photo(tmp_path / "set", DRIVE, 70)
    write_depth(tmp_path / "set", depth_path(DRIVE, 70))
    bench = open_kitti(published(tmp_path / "set", TAR))
    assert isinstance(bench, Benchmark)
    assert (len(bench), bench.frame(0)) == (1, "2011_09_26/2011_09_26_drive_0002_sync/image_02/data/0000000069")
    assert bench.notice is not None
    assert "651 of 652 frames lack files" in bench.notice
    sample = pickle.loads(pickle.dumps(bench))[0]
    assert tuple(sample.image.shape) == (3, 352, 1216)
    assert sample.group == DRIVE
    # the first pixel of the window is row 23, column 13 of the photo
    corner = (sample.image[:2, 0, 0] * 255).round().tolist()
    assert corner == [23 // 5, 13 // 5]
    assert sample.depth_m[0, 200, 101:106].tolist() == [1 / 256, 1.0, 20479 / 256, 80.0, 65535 / 256]
    assert sample.valid[0, 200, 100:106].tolist() == [False, True, True, True, False, False]
    # Eigen's region by hand: rows 117 to 320, columns 43 to 1171
    assert int(sample.valid.sum()) == (321 - 117) * (1172 - 43) - 3
    rows, columns = torch.where(sample.valid[0])
    assert (int(rows.min()), int(rows.max()), int(columns.min()), int(columns.max())) == (117, 320, 43, 1171)
    # the file's principal point counts the first pixel's centre as 0, ours as 0.5
    camera = sample.camera
    assert (camera.fx_px, camera.width_px, camera.height_px) == (721.5377, 1216, 352)
    assert (camera.cx_px, camera.cy_px) == (pytest.approx(609.5593 + 0.5 - 13), pytest.approx(172.854 + 0.5 - 23))


def test_the_whole_split_has_no_notice(tmp_path: Path):
    for drive, numbers in read_split("kitti").items():
        for path in (photo_path(drive, 0), depth_path(drive, 0)):
            (tmp_path / path).parent.mkdir(parents=True)
        for number in numbers:
            (tmp_path / photo_path(drive, number)).touch()
            (tmp_path / depth_path(drive, number)).touch()
    for bench in (open_kitti(tmp_path), open_kitti_garg(tmp_path)):
        assert (len(bench), bench.notice) == (652, None)


def test_gargs_region(tmp_path: Path):
    write_photo(tmp_path, DRIVE, 69)
    write_depth(tmp_path, depth_path(DRIVE, 69))
    bench = open_kitti_garg(tmp_path)
    assert (bench.facts.key, bench.facts.crop) == ("kitti-garg", "garg-kitti")
    rows, columns = torch.where(bench[0].valid[0])
    assert (int(rows.min()), int(rows.max()), int(columns.min()), int(columns.max())) == (143, 348, 43, 1171)


@pytest.mark.parametrize("folder", ["train/", "val/", "data_depth_annotated/val/", "2011_09_26/"])
def test_truth_where_the_official_archives_unpack_it(tmp_path: Path, folder: str):
    write_photo(tmp_path, DRIVE, 69)
    write_depth(tmp_path, folder + depth_path(DRIVE, 69))
    bench = open_kitti(tmp_path)
    assert len(bench) == 1
    assert float(bench[0].depth_m[0, 200, 200]) == 10.0


def test_a_published_list_whose_frames_without_truth_say_none(tmp_path: Path):
    for number in (69, 54):
        write_photo(tmp_path, DRIVE, number)
    write_depth(tmp_path, depth_path(DRIVE, 69))
    (tmp_path / "eigen.txt").write_text(
        f"{photo_path(DRIVE, 69)} {depth_path(DRIVE, 69)} 721.5377\n{photo_path(DRIVE, 54)} None 721.5377\n"
    )
    bench = open_kitti(tmp_path, list_file=tmp_path / "eigen.txt")
    assert (len(bench), bench[0].group) == (1, DRIVE)
    assert bench.notice is not None
    assert "lack files" not in bench.notice
    assert "frames here: 1, in the published split: 652" in bench.notice


def test_faults(tmp_path: Path):
    with pytest.raises(Missing, match=r"looked for 2011_09_26/2011_09_26_drive_0002_sync/image_02/data/0000000006"):
        open_kitti(tmp_path)
    write_photo(tmp_path, DRIVE, 69, height=300)
    write_depth(tmp_path, depth_path(DRIVE, 69), np.full((300, 1242), 2560, np.uint16))
    with pytest.raises(ValueError, match=r"0000000069\.png: 1242 x 300 is smaller than the KITTI benchmark's window"):
        open_kitti(tmp_path)[0]
    # laser hits outside the region alone
    counts = np.zeros((375, 1242), np.uint16)
    counts[23 + 116, 13 + 600] = 2560
    write_photo(tmp_path, DRIVE, 69)
    write_depth(tmp_path, depth_path(DRIVE, 69), counts)
    with pytest.raises(
        ValueError, match=r"image_02/0000000069\.png: no pixel holds a valid depth between 1e-05 and 80"
    ):
        open_kitti(tmp_path)[0]
    assert KITTI.frames == 652
