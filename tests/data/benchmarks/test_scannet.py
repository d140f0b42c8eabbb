"""ScanNet in miniature copies: Marigold's archive, a full export with larger photos, counts at both ends."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from latentdepth.data.benchmarks.benchmark import Benchmark
from latentdepth.data.benchmarks.container import Missing
from latentdepth.data.benchmarks.listed import read_split
from latentdepth.data.benchmarks.scannet import open_scannet

TAR = "scannet_val_sampled_800_1.tar"


def write(
    folder: Path, scene: str, name: str, counts: np.ndarray | None = None, *, photo_size: tuple[int, int] = (64, 48)
) -> None:
    counts = np.full((48, 64), 1500, np.uint16) if counts is None else counts
    for part in ("color", "depth"):
        (folder / scene / part).mkdir(parents=True, exist_ok=True)
    Image.new("RGB", photo_size, (200, 100, 50)).save(folder / scene / "color" / f"{name}.jpg", quality=95)
    Image.fromarray(counts).save(folder / scene / "depth" / f"{name}.png")


def test_frames_of_the_list_and_counts(tmp_path: Path, published: Callable[[Path, str], Path]):
    counts = np.full((48, 64), 1500, np.uint16)
    counts[5, :6] = [0, 1, 2, 9999, 10000, 65535]
    write(tmp_path / "set", "scene0406_02", "000300", counts)
    write(tmp_path / "set", "scene0011_00", "000000")
    # not in the list: another frame of a scene that is, and a training scene
    write(tmp_path / "set", "scene0406_02", "000400")
    write(tmp_path / "set", "scene0000_00", "000000")
    bench = open_scannet(published(tmp_path / "set", TAR))
    assert isinstance(bench, Benchmark)
    assert [bench.frame(k) for k in range(len(bench))] == ["scene0011_00/color/000000", "scene0406_02/color/000300"]
    sample = bench[1]
    assert sample.group == "scene0406_02"
    assert sample.valid[0, 5, :7].tolist() == [False, False, True, True, False, False, True]
    expected = torch.tensor([0.002, 9.999, 10.0, 65.535, 1.5])
    # float32 of a count times a thousandth in float64
    assert torch.equal(sample.depth_m[0, 5, 2:7], expected)
    # no crop
    assert int(sample.valid.sum()) == 48 * 64 - 4
    assert bench.notice is not None
    assert "798 of 800 frames lack files" in bench.notice


def test_the_whole_split_has_no_notice(tmp_path: Path):
    for scene, numbers in read_split("scannet").items():
        for part, suffix in (("color", "jpg"), ("depth", "png")):
            (tmp_path / scene / part).mkdir(parents=True)
            for number in numbers:
                (tmp_path / scene / part / f"{number:06d}.{suffix}").touch()
    bench = open_scannet(tmp_path)
    assert (len(bench), bench.notice) == (800, None)


def test_a_full_export_has_larger_photos_and_no_leading_zeros(tmp_path: Path):
    write(tmp_path, "scene0406_02", "300", photo_size=(130, 97))
    bench = open_scannet(tmp_path)
    assert [bench.frame(k) for k in range(len(bench))] == ["scene0406_02/color/000300"]
    sample = bench[0]
    assert tuple(sample.image.shape) == (3, 48, 64)
    # one colour stays one colour; a JPEG of it errs by a count or two
    wanted = torch.tensor([200, 100, 50]).view(3, 1, 1) / 255
    assert float((sample.image - wanted).abs().max()) < 3 / 255


def test_faults(tmp_path: Path):
    with pytest.raises(Missing, match=r"looked for scene0011_00/color/000000\.jpg first"):
        open_scannet(tmp_path)
    write(tmp_path, "scene0406_02", "000300", photo_size=(48, 64))
    with pytest.raises(ValueError, match=r"000300\.png: 64 x 48 pixels are another shape of picture .* 48 x 64"):
        open_scannet(tmp_path)[0]
    write(tmp_path, "scene0406_02", "000300", np.full((48, 64), 20, np.uint8))
    with pytest.raises(ValueError, match=r"depth/000300\.png: not one channel of 16 bits"):
        open_scannet(tmp_path)[0]
    write(tmp_path, "scene0406_02", "000300", np.zeros((48, 64), np.uint16))
    with pytest.raises(ValueError, match=r"depth/000300\.png: no pixel holds a valid depth between 0\.001 and 10 m"):
        open_scannet(tmp_path)[0]


def test_a_list_of_other_frames(tmp_path: Path):
    write(tmp_path, "scene0000_00", "000400")
    (tmp_path / "list.txt").write_text("scene0000_00/color/000400.jpg scene0000_00/depth/000400.png\n")
    bench = open_scannet(tmp_path, list_file=tmp_path / "list.txt")
    assert (len(bench), bench.frame(0), bench[0].group) == (1, "scene0000_00/color/000400", "scene0000_00")
