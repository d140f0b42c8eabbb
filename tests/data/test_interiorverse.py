"""InteriorVerse: EXR frames as they unpack, written here with OpenEXR in the published channels and units."""

from pathlib import Path

import numpy as np
import OpenEXR
import pytest
import torch

from latentdepth.core.types import Camera
from latentdepth.data.frames import Frames
from latentdepth.data.interiorverse import InteriorVerseFrames

HEIGHT, WIDTH = 12, 16


def write_exr(path: Path, **channels: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    planes = {name: np.ascontiguousarray(plane, dtype=np.float32) for name, plane in channels.items()}
    header = {"compression": OpenEXR.ZIP_COMPRESSION, "type": OpenEXR.scanlineimage}
    OpenEXR.File(header, planes).write(str(path))


def write_frame(scene: Path, number: int = 0) -> None:
    """Red from 0 to 2, depth from 1 to 4 m with a hole, normals towards the viewer, a mask without the last row."""
    ramp = np.tile(np.linspace(0, 2, WIDTH), (HEIGHT, 1))
    write_exr(scene / f"{number:03d}_im.exr", R=ramp, G=ramp * 0 + 0.5, B=ramp * 0)
    depth_mm = np.tile(np.linspace(1000, 4000, HEIGHT)[:, None], (1, WIDTH))
    depth_mm[2, 3] = np.inf
    write_exr(scene / f"{number:03d}_depth.exr", Y=depth_mm)
    mask = np.ones((HEIGHT, WIDTH))
    mask[-1] = 0
    write_exr(scene / f"{number:03d}_mask.exr", Y=mask)
    normal = np.zeros((HEIGHT, WIDTH, 3)) + np.array([0, 1.2, 1.6])
    normal[0] = 0
    write_exr(scene / f"{number:03d}_normal.exr", R=normal[..., 0], G=normal[..., 1], B=normal[..., 2])


def test_a_frame(tmp_path: Path):
    write_frame(tmp_path / "scenes_85/L3D1")
    frames = InteriorVerseFrames(tmp_path)
    assert isinstance(frames, Frames)
    assert (frames.name, len(frames)) == ("interiorverse", 1)
    sample = frames[0]
    assert sample.group == "L3D1"
    expected = np.minimum(np.linspace(0, 2, WIDTH), 1) ** (1 / 2.2)
    np.testing.assert_allclose(sample.image[0, 4].numpy(), expected, atol=1e-6)
    assert float(sample.image[1, 0, 0]) == pytest.approx(0.5 ** (1 / 2.2))
    np.testing.assert_allclose(sample.depth_m[0, :, 0].numpy(), np.linspace(1, 4, HEIGHT), rtol=1e-6)
    assert not sample.valid[0, -1].any()
    assert not sample.valid[0, 2, 3]
    assert int(sample.valid.sum()) == (HEIGHT - 1) * WIDTH - 1
    assert sample.normals is not None
    torch.testing.assert_close(sample.normals[:, 5, 5], torch.tensor([0.0, 0.6, 0.8]))
    assert (sample.normals[:, 0] == 0).all()
    # 85 degrees across the width
    assert sample.camera == Camera.from_fov(85, WIDTH, HEIGHT)


def test_splits_and_lists(tmp_path: Path):
    folder = tmp_path / "dataset_120"
    for scene in ("a", "b"):
        for number in (0, 1):
            write_frame(folder / scene, number)
    (folder / "val.txt").write_text("b\n")
    assert len(InteriorVerseFrames(folder)) == 4
    assert len(InteriorVerseFrames(folder, split="val")) == 2
    listed = tmp_path / "mine.txt"
    listed.write_text("dataset_120/b/001_im.exr dataset_120/b/001_albedo.exr\na/000_im.exr\n")
    frames = InteriorVerseFrames(folder, list_file=listed)
    assert [frames[k].group for k in (0, 1)] == ["b", "a"]
    camera = frames[0].camera
    assert camera is not None
    assert camera.fov_deg == pytest.approx(120)


def test_frames_without_mask_and_normals(tmp_path: Path):
    scene = tmp_path / "scenes_85/a"
    write_frame(scene)
    (scene / "000_mask.exr").unlink()
    (scene / "000_normal.exr").unlink()
    sample = InteriorVerseFrames(tmp_path)[0]
    assert sample.normals is None
    assert int(sample.valid.sum()) == HEIGHT * WIDTH - 1


def test_nan_in_the_photo_is_invalid(tmp_path: Path):
    write_frame(tmp_path / "scenes_85/a")
    red = np.ones((HEIGHT, WIDTH))
    red[1, 1], red[1, 2] = np.nan, np.inf
    write_exr(tmp_path / "scenes_85/a/000_im.exr", R=red, G=red, B=red)
    sample = InteriorVerseFrames(tmp_path)[0]
    assert not sample.valid[0, 1, 1]
    assert sample.image[:, 1, 1].tolist() == [0, 0, 0]
    assert sample.image[:, 1, 2].tolist() == [1, 1, 1]


def test_bad_input_is_named(tmp_path: Path):
    with pytest.raises(ValueError, match="must end in _85 or _120"):
        InteriorVerseFrames(tmp_path)
    folder = tmp_path / "scenes_85"
    folder.mkdir()
    with pytest.raises(ValueError, match=r"holds no SCENE/NNN_im.exr; unpack"):
        InteriorVerseFrames(tmp_path)
    with pytest.raises(ValueError, match=r"train.txt: there is no such list; give split=None"):
        InteriorVerseFrames(tmp_path, split="train")
    for number in range(3):
        write_frame(folder / "a", number)
    (folder / "a/000_depth.exr").unlink()
    with pytest.raises(ValueError, match=r"of 3 files that it names, 1 are not in .*a/000_depth.exr"):
        InteriorVerseFrames(tmp_path)
    flat = np.ones((4, 4))
    write_exr(folder / "a/000_depth.exr", Y=flat)
    write_exr(folder / "a/001_depth.exr", Y=np.full((HEIGHT, WIDTH), np.inf))
    broken = folder / "a/002_depth.exr"
    broken.write_bytes(broken.read_bytes()[:60])
    frames = InteriorVerseFrames(tmp_path)
    with pytest.raises(ValueError, match=r"000_depth.exr: 4 x 4 pixels, but the photo has 16 x 12"):
        frames[0]
    with pytest.raises(ValueError, match=r"001_im.exr: no pixel holds a valid depth"):
        frames[1]
    with pytest.raises(ValueError, match=r"002_depth.exr: .*(truncated|damaged)"):
        frames[2]
    (tmp_path / "scenes_120").mkdir()
    with pytest.raises(ValueError, match="holds scenes_85, scenes_120; name one of them"):
        InteriorVerseFrames(tmp_path)
