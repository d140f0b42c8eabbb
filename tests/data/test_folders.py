"""Plain folders: every part finds its photo, and what is missing or half-written is named before training."""

import json
import pickle
import shutil
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from latentdepth.core.types import Camera
from latentdepth.data.folders import FolderFrames
from latentdepth.data.frames import Frames
from latentdepth.data.rasters import DepthCoding, camera_facts

CAMERA = Camera(7.0, 7.0, 3.0, 2.0, 6, 4)


def write(folder: Path, names: tuple[str, ...] = ("a", "room/b"), *, toml: str = "unit = 0.001\n") -> Path:
    for k, name in enumerate(names):
        for part in ("rgb", "depth", "normals", "mask"):
            (folder / part / name).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.full((4, 6, 3), 40 * (k + 1), np.uint8)).save(folder / "rgb" / f"{name}.png")
        Image.fromarray(np.full((4, 6), 1000 * (k + 1), np.uint16)).save(folder / "depth" / f"{name}.png")
        normals = np.zeros((4, 6, 3), np.float32)
        normals[..., 2] = 1
        np.save(folder / "normals" / f"{name}.npy", normals)
        mask = np.zeros((4, 6), np.uint8)
        mask[k:] = 1
        Image.fromarray(mask).save(folder / "mask" / f"{name}.png")
    (folder / "depth.toml").write_text(toml)
    (folder / "camera.json").write_text(json.dumps(camera_facts(CAMERA)))
    return folder


def test_all_parts_are_read(tmp_path: Path):
    frames = FolderFrames(write(tmp_path / "mine"))
    assert isinstance(frames, Frames)
    assert (frames.name, len(frames), frames.key(1), frames.group(1)) == ("mine", 2, "room/b", "room")
    for k in range(2):
        sample = frames[k]
        assert torch.equal(sample.depth_m, torch.full((1, 4, 6), float(k + 1)))
        assert float(sample.image[0, 0, 0]) == pytest.approx(40 * (k + 1) / 255)
        assert sample.valid.float().mean() == 1 - k / 4
        assert sample.camera == CAMERA
        assert sample.normals is not None
        assert sample.normals[2].eq(1).all()
    assert torch.equal(pickle.loads(pickle.dumps(frames))[1].depth_m, frames[1].depth_m)


def test_only_photos_and_float_depth_are_enough(tmp_path: Path):
    write(tmp_path)
    for part in ("normals", "mask"):
        shutil.rmtree(tmp_path / part)
    for extra in ("camera.json", "depth.toml", "depth/a.png"):
        (tmp_path / extra).unlink()
    np.save(tmp_path / "depth" / "a.npy", np.full((4, 6), 3.0))
    (tmp_path / "only.txt").write_text("a\n\n")
    frames = FolderFrames(tmp_path, split=tmp_path / "only.txt", name="x")
    assert (len(frames), frames[0].camera, frames[0].normals) == (1, None, None)
    assert torch.equal(frames[0].depth_m, torch.full((1, 4, 6), 3.0))


def test_cameras_by_name(tmp_path: Path):
    write(tmp_path)
    table = {"a": camera_facts(CAMERA), "room/b": {**camera_facts(CAMERA), "fx_px": 9.0}}
    (tmp_path / "camera.json").write_text(json.dumps(table))
    cameras = [s.camera for s in FolderFrames(tmp_path)]  # pyright: ignore[reportGeneralTypeIssues]
    assert [c.fx_px for c in cameras if c] == [7.0, 9.0]
    for broken, message in (({"a": table["a"]}, "no camera for 'room/b'"), ([1], "a table is needed")):
        (tmp_path / "camera.json").write_text(json.dumps(broken))
        with pytest.raises(ValueError, match=rf"camera\.json: {message}"):
            FolderFrames(tmp_path)


def test_a_given_coding_wins_and_wrong_units_are_noticed(tmp_path: Path):
    write(tmp_path)
    assert float(FolderFrames(tmp_path, coding=DepthCoding(unit=0.01))[0].depth_m[0, 0, 0]) == 10.0
    with pytest.warns(UserWarning, match=r"depth/a\.png: the median depth is 1e-05 m .* depth\.toml"):
        FolderFrames(tmp_path, coding=DepthCoding(unit=1e-8))
    (tmp_path / "depth.toml").write_text("unit = 9.0")
    with pytest.warns(UserWarning, match="9e"):
        FolderFrames(tmp_path)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        FolderFrames(tmp_path, coding=DepthCoding("disparity", 9.0))


def test_what_is_missing_is_named(tmp_path: Path):
    with pytest.raises(ValueError, match="rgb: there is no such folder"):
        FolderFrames(tmp_path)
    write(tmp_path)
    (tmp_path / "depth.toml").unlink()
    with pytest.raises(ValueError, match=r"depth/a\.png: holds counts.*unit = 0\.001"):
        FolderFrames(tmp_path)
    (tmp_path / "depth.toml").write_text("units = 0.001")
    with pytest.raises(ValueError, match=r"depth\.toml: unknown key units: did you mean unit"):
        FolderFrames(tmp_path)
    write(tmp_path)
    (tmp_path / "split").write_text("a\nzebra\n")
    with pytest.raises(ValueError, match="split: names 'zebra' and 0 more"):
        FolderFrames(tmp_path, split=tmp_path / "split")
    (tmp_path / "split").write_text("\n")
    with pytest.raises(ValueError, match="split: is empty"):
        FolderFrames(tmp_path, split=tmp_path / "split")
    shutil.copy(tmp_path / "rgb/a.png", tmp_path / "rgb/c.png")
    with pytest.raises(ValueError, match="1 photos without a depth file: c"):
        FolderFrames(tmp_path)
    shutil.move(tmp_path / "rgb/c.png", tmp_path / "depth/c.png")
    with pytest.raises(ValueError, match="1 depth files without a photo: c"):
        FolderFrames(tmp_path)
    shutil.move(tmp_path / "depth/c.png", tmp_path / "rgb/a.bmp")
    with pytest.raises(ValueError, match=r"rgb/a\.png: a\.bmp has the same name"):
        FolderFrames(tmp_path)
    for part in ("rgb", "depth"):
        shutil.rmtree(tmp_path / part)
        (tmp_path / part).mkdir()
    with pytest.raises(ValueError, match=r"rgb: holds no file ending in \.jpg"):
        FolderFrames(tmp_path)


def test_half_written_files_are_named(tmp_path: Path):
    write(tmp_path)
    depth = tmp_path / "depth/room/b.png"
    whole = depth.read_bytes()
    depth.write_bytes(b"")
    with pytest.raises(ValueError, match=r"room/b\.png: the file is empty"):
        FolderFrames(tmp_path)
    depth.write_bytes(whole[:50])
    frames = FolderFrames(tmp_path)
    with pytest.raises(ValueError, match=r"depth/room/b\.png: truncated or damaged"):
        frames[1]
    depth.unlink()
    with pytest.raises(ValueError, match=r"depth/room/b\.png: there is no such file"):
        frames[1]
    Image.fromarray(np.full((4, 7), 5, np.uint16)).save(depth)
    with pytest.raises(ValueError, match=r"depth/room/b\.png: the depth has 7 x 4 pixels, the photo 6 x 4"):
        FolderFrames(tmp_path)[1]
    Image.fromarray(np.zeros((4, 6), np.uint16)).save(depth)
    with pytest.raises(ValueError, match=r"depth/room/b\.png: no pixel has a valid depth"):
        FolderFrames(tmp_path)[1]
