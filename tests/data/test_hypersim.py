"""The prepared Hypersim layout: what is written is what is read, and what is wrong is said."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from latentdepth.core.types import Camera
from latentdepth.data.filelists import FrameLimits
from latentdepth.data.frames import Frames
from latentdepth.data.hypersim import HypersimFrames, write_hypersim_frame, write_hypersim_lists
from latentdepth.data.sample import Sample

CAMERA = Camera(20.0, 21.0, 15.0, 13.0, 32, 24)


def sample(seed: int = 0, *, normals: bool = True) -> Sample:
    draw = torch.Generator().manual_seed(seed)
    image = (torch.rand(3, 24, 32, generator=draw) * 255).round() / 255
    depth = 1 + 5 * torch.rand(1, 24, 32, generator=draw)
    valid = torch.ones(1, 24, 32, dtype=torch.bool)
    valid[0, 0, :4] = False
    vector = torch.nn.functional.normalize(torch.randn(3, 24, 32, generator=draw), dim=0)
    vector[:, 0, :4] = 0
    return Sample(image, depth, valid, "ai_001_001", CAMERA, vector if normals else None)


def write_split(folder: Path, samples: list[Sample], split: str = "train") -> None:
    rows = [write_hypersim_frame(folder, split, "ai_001_001", "cam_00", k, s) for k, s in enumerate(samples)]
    write_hypersim_lists(folder, split, rows)


def test_round_trip(tmp_path: Path):
    written = sample()
    write_split(tmp_path, [written])
    frames = HypersimFrames(tmp_path)
    assert isinstance(frames, Frames)
    assert (frames.name, len(frames)) == ("hypersim", 1)
    read = frames[0]
    assert torch.equal(read.image, written.image)
    assert torch.equal(read.valid, written.valid)
    assert (read.group, read.camera) == ("ai_001_001", CAMERA)
    # half a millimetre of rounding
    torch.testing.assert_close(read.depth_m[read.valid], written.depth_m[read.valid], atol=0.00051, rtol=0)
    assert read.normals is not None
    assert written.normals is not None
    # 8 bits: half of 1 / 127 a component, and again as much from making it a unit vector
    torch.testing.assert_close(read.normals, written.normals, atol=0.008, rtol=0)
    assert (read.normals[:, 0, :4] == 0).all()


def test_names_and_counts_are_the_published_ones(tmp_path: Path):
    write_split(tmp_path, [sample(), sample(1, normals=False)])
    lines = (tmp_path / "train/filename_list_train.txt").read_text().splitlines()
    assert lines[0] == "ai_001_001/rgb_cam_00_fr0000.png ai_001_001/depth_plane_cam_00_fr0000.png"
    png = Image.open(tmp_path / "train/ai_001_001/depth_plane_cam_00_fr0001.png")
    counts = np.asarray(png)
    assert counts.dtype == np.uint16
    assert counts[0, 0] == 0
    assert counts[5, 6] == round(float(sample(1).depth_m[0, 5, 6]) * 1000)
    assert not list(tmp_path.rglob("*.part"))


def test_far_depth_is_clamped_and_never_wraps(tmp_path: Path):
    far = sample(normals=False)
    far.depth_m[0, 3, :3] = torch.tensor([65.536, 200.0, torch.inf])
    far.depth_m[0, 4, 0] = 1e-4
    write_split(tmp_path, [far])
    counts = np.asarray(Image.open(tmp_path / "train/ai_001_001/depth_plane_cam_00_fr0000.png"))
    assert counts[3, :3].tolist() == [65535] * 3
    assert counts[4, 0] == 1  # valid, so it mustn't become 0
    read = HypersimFrames(tmp_path, filtered=False)[0]
    assert not read.valid[0, 3, :3].any()  # beyond the published 65 m


def test_the_filter(tmp_path: Path):
    good = sample()
    flat = replace(good, depth_m=torch.full((1, 24, 32), 2.0) + good.depth_m * 0.05)
    grey = replace(good, image=torch.full((3, 24, 32), 100 / 255))
    holed = replace(good, valid=good.valid & (torch.arange(32) > 0))
    rows = [
        write_hypersim_frame(tmp_path, "val", "ai_001_001", "cam_00", k, s)
        for k, s in enumerate([good, flat, grey, holed])
    ]
    left_out = write_hypersim_lists(tmp_path, "val", rows)
    assert left_out == {
        "depth range below 0.5 m": ["ai_001_001/rgb_cam_00_fr0001.png"],
        "rgb range below 10": ["ai_001_001/rgb_cam_00_fr0002.png"],
        "invalid ratio above 0.03": ["ai_001_001/rgb_cam_00_fr0003.png"],
    }
    assert len(HypersimFrames(tmp_path, split="val")) == 1
    assert len(HypersimFrames(tmp_path, split="val", filtered=False)) == 4
    looser = FrameLimits(min_depth_range_m=0.1, min_rgb_range=0, max_invalid=0.5)
    assert write_hypersim_lists(tmp_path, "val", rows, limits=looser) == {}
    assert len(HypersimFrames(tmp_path, split="val")) == 4


def test_a_published_folder_without_cameras(tmp_path: Path):
    # as the published archives unpack: the split's folder itself, a CSV without cameras, a list of three words
    write_split(tmp_path, [sample(normals=False)])
    folder = tmp_path / "train"
    (folder / "filename_meta_train.csv").write_text(",scene_name,rgb_path\n0,ai_001_001,x.png\n")
    listed = tmp_path / "mine.txt"
    listed.write_text("ai_001_001/rgb_cam_00_fr0000.png ai_001_001/depth_plane_cam_00_fr0000.png (val)\n\n")
    read = HypersimFrames(folder, list_file=listed)[0]
    assert read.camera == Camera.from_fov(60, 32, 24)
    assert read.normals is None


def test_missing_lists_and_files_are_named_at_once(tmp_path: Path):
    with pytest.raises(
        ValueError, match=r"filename_list_train_filtered.txt: there is no such list; .*prepare hypersim"
    ):
        HypersimFrames(tmp_path)
    write_split(tmp_path, [sample(k) for k in range(5)])
    for k in (1, 2, 3, 4):
        (tmp_path / f"train/ai_001_001/depth_plane_cam_00_fr000{k}.png").unlink()
    with pytest.raises(ValueError, match=r"of 15 files .* 4 are not in .*fr0001.png.* and 1 more"):
        HypersimFrames(tmp_path)
    empty = tmp_path / "empty.txt"
    empty.write_text("\n")
    with pytest.raises(ValueError, match="the list is empty"):
        HypersimFrames(tmp_path, list_file=empty)
    empty.write_text("only_one_word.png\n")
    with pytest.raises(ValueError, match=r"line 1 is 'only_one_word.png'; a line holds 2 paths"):
        HypersimFrames(tmp_path, list_file=empty)


def test_broken_frames_name_the_file(tmp_path: Path):
    write_split(tmp_path, [sample(k, normals=False) for k in range(6)])
    place = tmp_path / "train/ai_001_001"
    depths = [place / f"depth_plane_cam_00_fr000{k}.png" for k in range(6)]
    depths[0].write_bytes(depths[0].read_bytes()[:300])  # a write that was cut off
    depths[1].write_bytes(b"")
    Image.fromarray(np.ones((12, 16), np.uint16)).save(depths[2])
    Image.fromarray(np.ones((24, 32), np.uint8)).save(depths[3])
    Image.fromarray(np.zeros((24, 32), np.uint16)).save(depths[4])
    (place / "rgb_cam_00_fr0005.png").write_bytes(b"no picture")
    frames = HypersimFrames(tmp_path)
    for index, message in enumerate(
        (
            "fr0000.png: .*(truncated|damaged)",
            "fr0001.png: the file is empty; .*prepare hypersim",
            "fr0002.png: 16 x 12 pixels, but the photo rgb_cam_00_fr0002.png has 32 x 24",
            "fr0003.png: not one channel of 16 bits",
            "fr0004.png: no pixel holds a valid depth between 1e-05 and 65 m",
            "rgb_cam_00_fr0005.png: not a picture",
        )
    ):
        with pytest.raises(ValueError, match=message):
            frames[index]


def test_samples_that_hold_nothing_are_not_written(tmp_path: Path):
    nothing = replace(sample(), valid=torch.zeros(1, 24, 32, dtype=torch.bool))
    with pytest.raises(ValueError, match="no pixel of it holds a valid depth"):
        write_hypersim_frame(tmp_path, "train", "ai_001_001", "cam_00", 0, nothing)
    assert not list(tmp_path.rglob("*.png"))
