"""``latentdepth prepare``: options, what is printed, exit status."""

from pathlib import Path

import pytest
import torch
import tyro
from tyro.conf import FlagCreatePairsOff, OmitArgPrefixes

from latentdepth.data.sample import Sample
from latentdepth.data.virtual_kitti import VirtualKittiFrames, frame_paths, write_vkitti_frame
from latentdepth.verbs.prepare import Prepare, PrepareHypersim, PrepareVirtualKitti, run


def parse(*words: str) -> Prepare:
    return tyro.cli(Prepare, args=words, config=(FlagCreatePairsOff, OmitArgPrefixes))


@pytest.fixture
def raw(tmp_path: Path) -> Path:
    for frame in range(3):
        depth = torch.linspace(2, 50, 160).reshape(1, 10, 16)
        sample = Sample(torch.rand(3, 10, 16), depth, torch.ones(1, 10, 16, dtype=torch.bool))
        write_vkitti_frame(tmp_path / "raw", "Scene01", "clone", 0, frame, sample)
    return tmp_path / "raw"


def test_the_options():
    chosen = parse("hypersim", "RAW", "OUT", "--max-depth", "20", "--splits", "val", "--workers", "3").data_set
    assert chosen == PrepareHypersim(Path("RAW"), Path("OUT"), splits=("val",), max_depth=20.0, workers=3)
    chosen = parse("vkitti2", "RAW", "OUT", "--place", "link", "--overwrite").data_set
    assert chosen == PrepareVirtualKitti(Path("RAW"), Path("OUT"), place="link", overwrite=True)


def test_prepare_and_once_more(raw: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    out = tmp_path / "out"
    words = ("vkitti2", str(raw), str(out), "--workers", "1", "--splits", "val")
    assert run(parse(*words)) == 0
    told = capsys.readouterr().err
    assert "3 prepared" in told
    assert "note: Scene01/clone/Camera_0: 3 of 447 frames are there" in told
    assert f"Report: {out / 'report.json'}" in told
    assert len(VirtualKittiFrames(out, split="val", crop=None)) == 3
    assert run(parse(*words)) == 0
    assert "3 there already" in capsys.readouterr().err


def test_a_broken_frame_costs_a_line_and_the_status(raw: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    (raw / frame_paths("Scene01", "clone", 0, 1)[1]).write_bytes(b"")
    assert run(parse("vkitti2", str(raw), str(tmp_path / "out"), "--workers", "1")) == 1
    told = capsys.readouterr().err
    assert "failed: val/Scene01/clone/Camera_0/00001: " in told
    assert "depth_00001.png: the file is empty" in told
    assert "2 prepared, 1 failed" in told
    assert "the same command tries those again" in told


def test_hypersim_says_what_is_missing(tmp_path: Path):
    with pytest.raises(ValueError, match=r"metadata_images_split_scene_v1.csv: there is no such file.*--split-file"):
        run(parse("hypersim", str(tmp_path), str(tmp_path / "out")))
