"""Validation frames of Hypersim and Virtual KITTI 2 in miniature copies: lists, scenes, crop, sky, the 16-bit wrap."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from latentdepth.core.types import Camera
from latentdepth.data.benchmarks.container import Missing
from latentdepth.data.benchmarks.synthetic import open_hypersim, open_vkitti
from latentdepth.data.hypersim import HypersimFrames, write_hypersim_frame, write_hypersim_lists
from latentdepth.data.sample import Sample
from latentdepth.data.virtual_kitti import VARIATIONS

LIST = "filename_list_val_filtered.txt"


def room(far_m: float = 9.0) -> Sample:
    depth = torch.linspace(1, far_m, 12)[None, :, None].repeat(1, 1, 16)
    return Sample(torch.linspace(0, 1, 16).expand(3, 12, 16).contiguous(), depth, torch.ones(1, 12, 16).bool())


def test_hypersim_as_its_reader_for_training_has_it(tmp_path: Path):
    camera = Camera(20.0, 21.0, 8.5, 6.0, 16, 12)
    rows = [
        write_hypersim_frame(tmp_path, "val", "ai_003_010", "cam_00", frame, replace(room(far_m), camera=camera))
        for frame, far_m in ((1, 9.0), (2, 1.2), (3, 60.0))
    ]
    left_out = write_hypersim_lists(tmp_path, "val", rows)
    assert len(left_out) == 1
    bench, frames = open_hypersim(tmp_path), HypersimFrames(tmp_path, split="val")
    assert len(bench) == len(frames) == 2
    assert bench.frame(1) == "ai_003_010/rgb_cam_00_fr0003"
    for index in range(2):
        mine, theirs = bench[index], frames[index]
        assert torch.equal(mine.depth_m, theirs.depth_m)
        assert torch.equal(mine.valid, theirs.valid)
        assert torch.equal(mine.image, theirs.image)
        assert (mine.camera, mine.group) == (camera, "ai_003_010") == (theirs.camera, theirs.group)


def test_hypersim_as_published(tmp_path: Path, packed: Callable[[Path, str], Path]):
    scene = tmp_path / "val/ai_003_010"
    scene.mkdir(parents=True)
    Image.fromarray(np.full((3, 4, 3), 90, np.uint8)).save(scene / "rgb_cam_00_fr0047.png")
    # 66 m wrapped round to 0.464 m in the published files; nothing in the file tells, so it counts
    counts = np.array([[0, 1, 464, 64_999], [65_000, 65_001, 65_535, 2000], [5, 6, 7, 8]], np.uint16)
    Image.fromarray(counts).save(scene / "depth_plane_cam_00_fr0047.png")
    archive = packed(tmp_path / "val", "hypersim_processed_val.tar")
    with pytest.raises(Missing, match=r"there is no list of frames, .*filename_list_val_filtered"):
        open_hypersim(archive.parent)
    line = "ai_003_010/rgb_cam_00_fr0047.png ai_003_010/depth_plane_cam_00_fr0047.png\n"
    (archive.parent / LIST).write_text(line + line.replace("0047", "0048"))
    for root in (archive, archive.parent):
        bench = open_hypersim(root)
        assert len(bench) == 1
        assert "ai_003_010/rgb_cam_00_fr0048.png" in str(bench.notice)
        sample = bench[0]
        assert sample.valid[0].tolist() == [[False, True, True, True], [False, False, False, True], [True] * 4]
        assert sample.depth_m[0, 0, 1:].tolist() == pytest.approx([0.001, 0.464, 64.999])
        # 60 degrees across the width, as published
        assert sample.camera is not None
        assert sample.camera.fx_px == pytest.approx(4 / 2 / np.tan(np.pi / 6))
    other = tmp_path / "mine.txt"
    other.write_text(line)
    assert len(open_hypersim(archive, list_file=other)) == 1


def write_vkitti(
    folder: Path, scene: str, variation: str, frame: int, *, front: bool = True, size: tuple[int, int] = (375, 1242)
) -> None:
    """Red says the row, green the column, each divided by 5; depth is 20 m, the first row sky."""
    rgb, depth = ("rgb/", "depth/") if front else ("", "")
    inner = f"{scene}/{variation}/frames"
    photo = folder / f"{rgb}{inner}/rgb/Camera_0/rgb_{frame:05d}.jpg"
    truth = folder / f"{depth}{inner}/depth/Camera_0/depth_{frame:05d}.png"
    photo.parent.mkdir(parents=True, exist_ok=True)
    truth.parent.mkdir(parents=True, exist_ok=True)
    rows, columns = np.mgrid[: size[0], : size[1]]
    pixels = np.stack([rows // 5, columns // 5, 0 * rows], -1).astype(np.uint8)
    Image.fromarray(pixels).save(photo, "JPEG", quality=95)
    counts = np.full(size, 2000, np.uint16)
    counts[0] = 65535
    if size[0] > 300:
        counts[300, 600:604] = (0, 7999, 8000, 65535)
    Image.fromarray(counts).save(truth, compress_level=1)


@pytest.mark.parametrize("front", [True, False])
def test_vkitti_crop_range_and_sky(tmp_path: Path, published: Callable[[Path, str], Path], front: bool):
    write_vkitti(tmp_path / "set", "Scene01", "clone", 7, front=front)
    bench = open_vkitti(published(tmp_path / "set", "vkitti.tar"))
    assert (len(bench), bench.frame(0)) == (1, "rgb/Scene01/clone/frames/rgb/Camera_0/rgb_00007")
    sample = bench[0]
    assert tuple(sample.image.shape) == (3, 352, 1216)
    assert sample.group == "Scene01"
    # row 300 and column 600 of the file are row 277 and column 587 of the window
    assert sample.valid[0, 277, 586:592].tolist() == [True, False, True, False, False, True]
    rows, columns = torch.where(sample.valid[0])
    assert (int(rows.min()), int(rows.max()), int(columns.min()), int(columns.max())) == (117, 320, 43, 1171)
    assert sample.camera == Camera(725.0087, 725.0087, 621.0 - 13, 187.5 - 23, 1216, 352)
    # JPEG errs by a count or two
    assert sample.image[:2, 0, 0].mul(255).tolist() == pytest.approx([23 // 5, 13 // 5], abs=3)


def test_vkitti_takes_the_published_variations_of_scene01_alone(tmp_path: Path):
    for scene, variation in (*(("Scene01", v) for v in VARIATIONS), ("Scene01", "fog"), ("Scene02", "clone")):
        write_vkitti(tmp_path, scene, variation, 0, size=(4, 4))
    bench = open_vkitti(tmp_path)
    assert sorted(bench.frame(k).split("/")[2] for k in range(len(bench))) == sorted(VARIATIONS)
    line = (
        "rgb/Scene02/clone/frames/rgb/Camera_0/rgb_00000.jpg depth/Scene02/clone/frames/depth/Camera_0/depth_00000.png"
    )
    (tmp_path / "mine.txt").write_text(line)
    assert open_vkitti(tmp_path, list_file=tmp_path / "mine.txt").frame(0).split("/")[1] == "Scene02"


def test_faults(tmp_path: Path):
    with pytest.raises(Missing, match="there is no list of frames"):
        open_hypersim(tmp_path)
    with pytest.raises(Missing, match="there is no Scene01"):
        open_vkitti(tmp_path)
    write_vkitti(tmp_path, "Scene01", "clone", 0, size=(300, 621))
    with pytest.raises(ValueError, match=r"rgb_00000\.jpg: 621 x 300 is smaller than"):
        open_vkitti(tmp_path)[0]
    (tmp_path / LIST).write_text("one_word\n")
    with pytest.raises(ValueError, match="a line holds"):
        open_hypersim(tmp_path)
