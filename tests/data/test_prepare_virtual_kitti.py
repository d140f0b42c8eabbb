"""Virtual KITTI 2 from a miniature of the unpacked archives to lists that the reader takes."""

import json
from pathlib import Path

import pytest
import torch

from latentdepth.core.types import Camera
from latentdepth.data.prepare_virtual_kitti import VirtualKittiChoices, prepare_virtual_kitti
from latentdepth.data.sample import Sample
from latentdepth.data.virtual_kitti import VirtualKittiFrames, frame_paths, write_vkitti_frame, write_vkitti_intrinsics


def road(seed: int) -> Sample:
    draw = torch.Generator().manual_seed(seed)
    return Sample(
        torch.rand(3, 10, 16, generator=draw),
        2 + 40 * torch.rand(1, 10, 16, generator=draw),
        torch.ones(1, 10, 16, dtype=torch.bool),
    )


@pytest.fixture
def raw(tmp_path: Path) -> Path:
    """Two frames of a training scene, both cameras, and one of the validation scene; a variation nobody asked for."""
    folder = tmp_path / "raw"
    for frame in (0, 1):
        for index in (0, 1):
            write_vkitti_frame(folder, "Scene02", "clone", index, frame, road(2 * frame + index))
    write_vkitti_frame(folder, "Scene01", "sunset", 0, 3, road(9))
    write_vkitti_frame(folder, "Scene02", "fog", 0, 0, road(10))
    return folder


def test_pictures_stay_and_lists_are_written(raw: Path, tmp_path: Path):
    out = tmp_path / "lists"
    before = {path: path.stat().st_mtime_ns for path in raw.rglob("*")}
    report = prepare_virtual_kitti(raw, out)
    assert {path: path.stat().st_mtime_ns for path in raw.rglob("*")} == before
    assert not [path for path in out.rglob("*") if path.suffix in (".jpg", ".png")]
    assert (len(report.prepared), report.failed, report.dropped) == (5, {}, {})
    train, val = VirtualKittiFrames(out, crop=None), VirtualKittiFrames(out, split="val", crop=None)
    assert (len(train), len(val)) == (4, 1)
    assert (train[0].group, val[0].group) == ("Scene02", "Scene01")
    torch.testing.assert_close(train[3].depth_m, road(3).depth_m, atol=0.0051, rtol=0)  # sorted: camera 1, frame 1
    assert "Scene02/clone/Camera_0: 2 of 233 frames are there" in report.notes
    assert f"Scene18: not in {raw}" in report.notes


def test_prepared_in_place_and_with_fog(raw: Path):
    report = prepare_virtual_kitti(raw, raw, VirtualKittiChoices(("train",), ("clone", "fog")))
    assert len(report.prepared) == 5
    first = (raw / "filename_list_train.txt").read_text().splitlines()[0]
    assert first == " ".join(frame_paths("Scene02", "clone", 0, 0))
    assert len(VirtualKittiFrames(raw, crop=None)) == 5
    assert len(prepare_virtual_kitti(raw, raw, VirtualKittiChoices(("train",), ("clone", "fog"))).there_already) == 5


@pytest.mark.parametrize("place", ["link", "copy"])
def test_links_and_copies(raw: Path, tmp_path: Path, place: str):
    out = tmp_path / "out"
    prepare_virtual_kitti(raw, out, VirtualKittiChoices(place=place))  # pyright: ignore[reportArgumentType]
    photo = out / frame_paths("Scene01", "sunset", 0, 3)[0]
    assert photo.is_symlink() == (place == "link")
    assert photo.read_bytes() == (raw / frame_paths("Scene01", "sunset", 0, 3)[0]).read_bytes()
    assert not list(out.rglob("*.part"))
    assert len(VirtualKittiFrames(out, crop=None)) == 4
    photo.unlink()
    assert len(prepare_virtual_kitti(raw, out, VirtualKittiChoices(place=place)).prepared) == 1  # pyright: ignore[reportArgumentType]


def test_the_layout_with_rgb_and_depth_in_front(raw: Path, tmp_path: Path):
    nested = tmp_path / "nested"
    for kind in ("rgb", "depth"):
        place = nested / kind / "Scene01/sunset/frames" / kind
        place.parent.mkdir(parents=True)
        (raw / "Scene01/sunset/frames" / kind).rename(place)
    report = prepare_virtual_kitti(nested, nested)
    assert list(report.prepared) == ["val/Scene01/sunset/Camera_0/00003"]
    line = (nested / "filename_list_val.txt").read_text()
    assert line.startswith("rgb/Scene01/sunset/frames/rgb/Camera_0/rgb_00003.jpg depth/Scene01/")


def test_cameras_come_from_intrinsic_txt(raw: Path, tmp_path: Path):
    own = Camera(725.0087, 12.25, 8.5, 4.75, 16, 10)
    write_vkitti_intrinsics(raw, "Scene02", "clone", {(frame, 0): own for frame in (0, 1)})
    text = (raw / "Scene02/clone/intrinsic.txt").read_text().splitlines()
    assert text[:2] == ["frame cameraID K[0,0] K[1,1] K[0,2] K[1,2]", "0 0 725.0087 12.25 8 4.25"]
    prepare_virtual_kitti(raw, tmp_path / "out")
    frames = VirtualKittiFrames(tmp_path / "out", crop=None)
    assert frames[0].camera == own
    assert frames[2].camera == Camera(725.0087, 725.0087, 621.0, 187.5, 1242, 375).resized(16, 10)
    (raw / "Scene02/clone/intrinsic.txt").write_text("0 0 12 12 8\n")
    with pytest.raises(ValueError, match=r"intrinsic.txt: no table of intrinsics .*textgt"):
        prepare_virtual_kitti(raw, tmp_path / "out2")


def test_bad_pairs_cost_one_frame_each(raw: Path, tmp_path: Path):
    depths = [raw / frame_paths("Scene02", "clone", index, frame)[1] for frame in (0, 1) for index in (0, 1)]
    depths[0].unlink()
    depths[1].write_bytes(depths[1].read_bytes()[:90])
    far = Sample(road(0).image, torch.full((1, 10, 16), 200.0), torch.ones(1, 10, 16, dtype=torch.bool))
    write_vkitti_frame(raw, "Scene02", "clone", 0, 1, far)
    report = prepare_virtual_kitti(raw, tmp_path / "out")
    assert len(report.prepared) == 2
    missing = report.failed["train/Scene02/clone/Camera_0/00000"]
    assert missing.startswith(str(depths[0]))
    assert "there is no such file; unpack vkitti_2.0.3_rgb and vkitti_2.0.3_depth again" in missing
    assert str(depths[1]) in report.failed["train/Scene02/clone/Camera_1/00000"]
    facts = json.loads((tmp_path / "out/report.json").read_text())
    assert facts["dropped"] == {"no depth below 80 m": {"count": 1, "frames": ["train/Scene02/clone/Camera_0/00001"]}}


def test_what_is_wrong_before_the_first_frame(raw: Path, tmp_path: Path):
    for folder, choices, message in (
        (tmp_path / "absent", None, "there is no such folder"),
        (tmp_path, None, r"holds no frame of train, val; expected are folders such as"),
        (raw, VirtualKittiChoices(splits=("test",)), "splits: given test; allowed are train, val"),
        (raw, VirtualKittiChoices(variations=("snow",)), "variations: given snow; allowed are clone"),
    ):
        with pytest.raises(ValueError, match=message):
            prepare_virtual_kitti(folder, tmp_path / "out", choices)
    assert not (tmp_path / "out").exists()
