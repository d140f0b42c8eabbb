"""DIODE in miniature copies: masks, both parts, infinite and zero depth, arrays that are cut off."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from latentdepth.data.benchmarks.benchmark import Benchmark
from latentdepth.data.benchmarks.container import Missing
from latentdepth.data.benchmarks.diode import FACTS, open_diode, open_diode_indoor, open_diode_outdoor

TAR = "diode_val.tar"
INDOORS = "indoors/scene_00021/scan_00189/00021_00189_indoors_200_010"
OUTDOOR = "outdoor/scene_00022/scan_00195/00022_00195_outdoor_000_020"


def write(folder: Path, stem: str, depth_m: np.ndarray | None = None, mask: np.ndarray | None = None) -> None:
    """As published: depth float32 of shape (h, w, 1), mask float64 of shape (h, w)."""
    (folder / stem).parent.mkdir(parents=True, exist_ok=True)
    depth_m = np.full((12, 16), 4, np.float32) if depth_m is None else depth_m
    mask = np.ones(depth_m.shape[:2]) if mask is None else mask
    Image.new("RGB", (16, 12), (10, 20, 30)).save(folder / f"{stem}.png")
    np.save(folder / f"{stem}_depth.npy", depth_m.reshape(12, 16, 1).astype(np.float32))
    np.save(folder / f"{stem}_depth_mask.npy", mask)


def test_what_the_mask_says_is_scored(tmp_path: Path, published: Callable[[Path, str], Path]):
    depth, mask = np.full((12, 16), 4, np.float32), np.ones((12, 16))
    depth[2, :5] = [0.0, np.inf, np.nan, 0.5, 400.0]
    mask[3, :] = 0
    write(tmp_path / "set", INDOORS, depth, mask)
    write(tmp_path / "set", OUTDOOR)
    root = published(tmp_path / "set", TAR)
    bench = open_diode(root)
    assert isinstance(bench, Benchmark)
    assert [bench.frame(k) for k in range(len(bench))] == [INDOORS, OUTDOOR]
    sample = bench[0]
    assert sample.group == "scene_00021"
    # never what is no depth, whatever the mask; the scanner's range is no second mask
    assert sample.valid[0, 2, :6].tolist() == [False, False, False, True, True, True]
    assert not sample.valid[0, 3].any()
    assert int(sample.valid.sum()) == 12 * 16 - 16 - 3
    assert sample.depth_m[0, 2, 3:6].tolist() == [0.5, 400.0, 4.0]
    assert sample.camera is not None
    # the published camera is for 1024 x 768
    assert (sample.camera.fx_px, sample.camera.cy_px) == (pytest.approx(886.81 / 64), pytest.approx(6.0))
    for opened, frame, published_frames in ((open_diode_indoor, INDOORS, 325), (open_diode_outdoor, OUTDOOR, 446)):
        part = opened(root)
        assert [part.frame(k) for k in range(len(part))] == [frame]
        assert part.notice is not None
        assert f"in the published split: {published_frames}" in part.notice


def test_the_original_archive_lies_below_val(tmp_path: Path):
    write(tmp_path / "val", OUTDOOR)
    bench = open_diode(tmp_path)
    assert [bench.frame(k) for k in range(len(bench))] == [OUTDOOR]
    assert torch.equal(bench[0].depth_m, torch.full((1, 12, 16), 4.0))


def test_a_published_list(tmp_path: Path):
    for stem in (INDOORS, OUTDOOR):
        write(tmp_path, stem)
    lines = [f"{stem}.png {stem}_depth.npy {stem}_depth_mask.npy\n" for stem in (OUTDOOR, INDOORS)]
    (tmp_path / "all.txt").write_text("".join(lines))
    bench = open_diode(tmp_path, list_file=tmp_path / "all.txt")
    assert [bench.frame(k) for k in range(len(bench))] == [OUTDOOR, INDOORS]
    assert len(open_diode_indoor(tmp_path, list_file=tmp_path / "all.txt")) == 1


def test_faults(tmp_path: Path):
    with pytest.raises(Missing, match="none of its frames"):
        open_diode(tmp_path)
    write(tmp_path, INDOORS, mask=np.zeros((12, 16)))
    with pytest.raises(ValueError, match=r"_depth\.npy: no pixel has a valid depth"):
        open_diode(tmp_path)[0]
    write(tmp_path, INDOORS, mask=np.ones((6, 8)))
    with pytest.raises(ValueError, match="the mask has 8 x 6 pixels, the photo 16 x 12"):
        open_diode(tmp_path)[0]
    write(tmp_path, INDOORS)
    depth = tmp_path / f"{INDOORS}_depth.npy"
    whole = depth.read_bytes()
    depth.write_bytes(whole[:-40])
    with pytest.raises(ValueError, match=r"_depth\.npy: truncated or damaged"):
        open_diode(tmp_path)[0]
    depth.write_bytes(whole)
    (tmp_path / f"{INDOORS}_depth_mask.npy").unlink()
    with pytest.raises(Missing, match=r"looked for .*_depth_mask\.npy first"):
        open_diode(tmp_path)


def test_the_parts_make_up_the_whole():
    whole, indoors, outdoor = FACTS
    assert whole.frames == 771 == (indoors.frames or 0) + (outdoor.frames or 0)
