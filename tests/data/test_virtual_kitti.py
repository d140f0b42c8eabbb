"""Virtual KITTI 2: the reader's crop, sky and camera, and round trips through the official layout."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from latentdepth.core.types import Camera
from latentdepth.data.frames import Frames
from latentdepth.data.sample import Sample
from latentdepth.data.virtual_kitti import (
    PUBLISHED_CAMERA,
    VirtualKittiFrames,
    write_vkitti_frame,
    write_vkitti_lists,
)


def road(height: int = 40, width: int = 64) -> Sample:
    """Sky in the upper third, depth falling from 100 to 4 m below it."""
    depth = torch.linspace(150, 4, height)[:, None].repeat(1, width)
    depth[: height // 3] = torch.inf
    columns = torch.linspace(0, 1, width).expand(3, height, width).contiguous()
    return Sample(columns, depth[None], torch.ones(1, height, width, dtype=torch.bool))


def write(folder: Path, sample: Sample, *, split: str = "train", scene: str = "Scene02") -> None:
    row = write_vkitti_frame(folder, scene, "clone", 1, 7, sample)
    write_vkitti_lists(folder, {split: [row]})


def test_the_files_are_those_of_the_official_layout(tmp_path: Path):
    write(tmp_path, road())
    photo, depth = (tmp_path / "filename_list_train.txt").read_text().split()
    assert photo == "Scene02/clone/frames/rgb/Camera_1/rgb_00007.jpg"
    assert depth == "Scene02/clone/frames/depth/Camera_1/depth_00007.png"
    counts = np.asarray(Image.open(tmp_path / depth))
    assert counts.dtype == np.uint16
    assert (counts[0] == 65535).all()
    assert counts[-1, 0] == 400
    with Image.open(tmp_path / photo) as picture:
        assert (picture.format, picture.size) == ("JPEG", (64, 40))


def test_sky_is_invalid_as_published_or_infinitely_far(tmp_path: Path):
    write(tmp_path, road())
    published = VirtualKittiFrames(tmp_path, crop=None)[0]
    infinite = VirtualKittiFrames(tmp_path, crop=None, sky="infinite")[0]
    assert not published.valid[0, :13].any()
    assert infinite.valid[0, :13].all()
    assert infinite.depth_m[0, :13].isposinf().all()
    # what lies beyond 80 m is no sky and valid in neither
    beyond = (road().depth_m > 80) & road().depth_m.isfinite()
    assert beyond.any()
    assert not published.valid[beyond].any()
    assert not infinite.valid[beyond].any()
    near = road().depth_m < 80
    assert torch.equal(published.valid, near)
    # half a centimetre of rounding
    torch.testing.assert_close(published.depth_m[near], road().depth_m[near], atol=0.0051, rtol=0)


def test_depth_beyond_the_last_count_does_not_become_sky_or_wrap(tmp_path: Path):
    far = road()
    far.depth_m[0, 20, :2] = torch.tensor([655.349, 5000.0])
    far.depth_m[0, 21, 0] = 0.001
    write(tmp_path, far)
    counts = np.asarray(Image.open(tmp_path / "Scene02/clone/frames/depth/Camera_1/depth_00007.png"))
    assert counts[20, :2].tolist() == [65534, 65534]
    assert counts[21, 0] == 1


def test_the_kitti_crop_keeps_the_bottom_and_the_middle(tmp_path: Path):
    sample = road(375, 1242)
    write(tmp_path, sample)
    frames = VirtualKittiFrames(tmp_path)
    assert isinstance(frames, Frames)
    read = frames[0]
    assert read.image.shape == (3, 352, 1216)
    assert read.camera == Camera(725.0087, 725.0087, 621.0 - 13, 187.5 - 23, 1216, 352)
    assert read.group == "Scene02"
    # eight bits and JPEG: a smooth ramp survives to within two counts
    torch.testing.assert_close(read.image, sample.image[:, 23:, 13:1229], atol=2.5 / 255, rtol=0)
    torch.testing.assert_close(read.depth_m[0, -1], sample.depth_m[0, -1, 13:1229], atol=0.0051, rtol=0)
    near = sample.depth_m[:, 23:, 13:1229] < 80
    assert torch.equal(read.valid, near)


def test_the_published_camera_is_centred():
    # 620.5 and 187 in intrinsic.txt, which counts the first pixel's centre as 0
    assert (PUBLISHED_CAMERA.cx_px, PUBLISHED_CAMERA.cy_px) == (1242 / 2, 375 / 2)


def test_intrinsics_follow_the_size_of_the_picture(tmp_path: Path):
    write(tmp_path, road(375 // 5, 1242 // 3))
    camera = VirtualKittiFrames(tmp_path, crop=None)[0].camera
    assert camera is not None
    assert camera.fx_px == pytest.approx(725.0087 / 3)
    assert camera.fy_px == pytest.approx(725.0087 / 5)
    own = Camera(50, 51, 30, 20, 64, 40)
    write(tmp_path / "own", replace(road(), camera=own))
    assert VirtualKittiFrames(tmp_path / "own", crop=None)[0].camera == own
    cropped = VirtualKittiFrames(tmp_path / "own", crop=(30, 60))[0].camera
    assert cropped == Camera(50, 51, 28, 10, 60, 30)


def test_a_list_of_your_own_in_the_published_spelling(tmp_path: Path):
    write(tmp_path, road())
    for kind in ("rgb", "depth"):
        folder = tmp_path / kind / "Scene01/clone/frames" / kind
        folder.parent.mkdir(parents=True)
        (tmp_path / "Scene02/clone/frames" / kind).rename(folder)
    listed = tmp_path / "published.txt"
    listed.write_text(
        "rgb/Scene01/clone/frames/rgb/Camera_1/rgb_00007.jpg depth/Scene01/clone/frames/depth/Camera_1/depth_00007.png"
    )
    frames = VirtualKittiFrames(tmp_path, list_file=listed, crop=None)
    assert (len(frames), frames[0].group) == (1, "Scene01")


def test_scenes_may_have_other_names(tmp_path: Path):
    write(tmp_path, road(), scene="street-3")
    assert VirtualKittiFrames(tmp_path, crop=None)[0].group == "street-3"


def test_bad_input_is_named(tmp_path: Path):
    with pytest.raises(ValueError, match=r"filename_list_val.txt: there is no such list; .*prepare vkitti2"):
        VirtualKittiFrames(tmp_path, split="val")
    write(tmp_path, road())
    with pytest.raises(ValueError, match=r"64 x 40 is smaller than the crop 1216 x 352; give crop=None"):
        VirtualKittiFrames(tmp_path)[0]
    all_sky = replace(road(), depth_m=torch.full((1, 40, 64), 100.0))
    write(tmp_path / "far", all_sky)
    with pytest.raises(ValueError, match=r"depth_00007.png: no pixel holds a valid depth between 1e-05 and 80 m"):
        VirtualKittiFrames(tmp_path / "far", crop=None)[0]
    (tmp_path / "Scene02/clone/frames/depth/Camera_1/depth_00007.png").unlink()
    with pytest.raises(ValueError, match="of 2 files that it names, 1 are not in"):
        VirtualKittiFrames(tmp_path)
