"""Lists, the CSV beside them, and the rule of the filtered lists."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from latentdepth.core.types import Camera
from latentdepth.data.filelists import FrameLimits, FrameRow, absent, frame_row, read_facts, write_meta
from latentdepth.data.sample import Sample

ROW = FrameRow("a/rgb.png", "a/depth.png", "", 50, 9, 20, 30, 2, 1, 1.0, 1.5, 0.03, 10.5, 11, 8, 6, 16, 12)


def test_a_row_of_a_sample():
    image = torch.zeros(3, 2, 2)
    image[:, 0, 0] = 1.0
    depth = torch.tensor([[[1.0, 3.0], [torch.inf, 7.0]]])
    valid = torch.tensor([[[True, True], [True, False]]])
    row = frame_row(Sample(image, depth, valid, camera=Camera(3, 4, 1, 1, 2, 2)), rgb_path="r", depth_path="d")
    # one pixel of four is white: variance 255^2 / 4 * 3 / 4; sky counts as valid but not as a depth
    assert (row.rgb_mean, row.rgb_min, row.rgb_max) == (63.75, 0, 255)
    assert row.rgb_std == pytest.approx(255 * 3**0.5 / 4)
    assert (row.depth_mean, row.depth_std, row.depth_min, row.depth_max) == (2, 1, 1, 3)
    assert row.invalid_ratio == 0.25
    assert row.camera == Camera(3, 4, 1, 1, 2, 2)
    with pytest.raises(ValueError, match="r: the sample has no camera"):
        frame_row(Sample(image, depth, valid), rgb_path="r", depth_path="d")


def test_limits_hold_on_their_edges():
    limits = FrameLimits()
    assert limits.violated(ROW) == ""
    assert limits.violated(replace(ROW, depth_max=1.49)) == "depth range below 0.5 m"
    assert limits.violated(replace(ROW, rgb_max=29)) == "rgb range below 10"
    assert limits.violated(replace(ROW, invalid_ratio=0.031)) == "invalid ratio above 0.03"
    assert limits.violated(replace(ROW, depth_min=float("nan"))) == "depth range below 0.5 m"


def test_the_table_keeps_every_digit_and_shares_cameras(tmp_path: Path):
    path = tmp_path / "meta.csv"
    odd = replace(ROW, rgb_path="b/rgb.png", fx_px=1 / 3, normals_path="b/n.png")
    write_meta(path, [ROW, replace(ROW, rgb_path="c, with comma.png"), odd])
    facts = read_facts(path)
    assert facts["b/rgb.png"].camera.fx_px == 1 / 3
    assert facts["b/rgb.png"].normals_path == "b/n.png"
    assert facts["a/rgb.png"].camera is facts["c, with comma.png"].camera
    assert read_facts(tmp_path / "absent.csv") == {}
    path.write_text(path.read_text().replace("10.5", "wide"))
    with pytest.raises(ValueError, match=r"meta.csv: line 2 holds no camera .*wide"):
        read_facts(path)


def test_absent_files(tmp_path: Path):
    (tmp_path / "a").mkdir()
    (tmp_path / "a/there.png").touch()
    assert absent(tmp_path, ["a/there.png", "a/gone.png", "b/gone.png"]) == ["a/gone.png", "b/gone.png"]
