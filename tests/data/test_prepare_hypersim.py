"""Hypersim from a miniature raw download in the published formats to samples, and what can go wrong on the way."""

import json
import math
from pathlib import Path

import h5py
import numpy as np
import pytest
from PIL import Image

from latentdepth.data.filelists import FrameLimits
from latentdepth.data.hypersim import HypersimFrames
from latentdepth.data.prepare import Report
from latentdepth.data.prepare_hypersim import HypersimChoices, prepare_hypersim

WIDTH, HEIGHT = 32, 24
FOCAL_PX = 886.81 * WIDTH / 1024
SPLIT_HEADER = "scene_name,camera_name,frame_id,included_in_public_release,exclude_reason,split_partition_name"
TILTED = [[0.5939329010741464, 0, 0], [0, 0.43312528010115947, 0], [0, -0.10405722181864628, -1.0287219273058326]]


def write_hdf5(path: Path, array: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with h5py.File(path, "w") as file:
        file.create_dataset("dataset", data=array, compression="gzip")


def wall_distance(slope: float = 0.4, away_m: float = 3.0) -> np.ndarray:
    """Distance along the published camera's rays to the plane z = away_m + slope x."""
    x, y = np.meshgrid(np.arange(WIDTH) + 0.5 - WIDTH / 2, np.arange(HEIGHT) + 0.5 - HEIGHT / 2)
    z = away_m / (1 - slope * x / FOCAL_PX)
    return z * np.sqrt(x**2 + y**2 + FOCAL_PX**2) / FOCAL_PX


def wall_depth(slope: float = 0.4, away_m: float = 3.0) -> np.ndarray:
    x = np.arange(WIDTH) + 0.5 - WIDTH / 2
    return np.tile(away_m / (1 - slope * x / FOCAL_PX), (HEIGHT, 1))


def raw_frame(raw: Path, frame: int, *, scene: str = "ai_001_001", distance: np.ndarray | None = None) -> Path:
    """One frame as it is downloaded; returns the folder of its geometry."""
    images = raw / scene / "images"
    geometry = images / "scene_cam_00_geometry_hdf5"
    radiance = np.random.default_rng(frame).uniform(0, 3, (HEIGHT, WIDTH, 3)).astype(np.float16)
    write_hdf5(images / "scene_cam_00_final_hdf5" / f"frame.{frame:04d}.color.hdf5", radiance)
    metres = (wall_distance() if distance is None else distance).astype(np.float32)
    write_hdf5(geometry / f"frame.{frame:04d}.depth_meters.hdf5", metres)
    write_hdf5(geometry / f"frame.{frame:04d}.render_entity_id.hdf5", np.full((HEIGHT, WIDTH), 7, np.int32))
    return geometry


def split_table(raw: Path, rows: list[str]) -> None:
    (raw / "metadata_images_split_scene_v1.csv").write_text("\n".join([SPLIT_HEADER, *rows, ""]))


def small_tree(raw: Path, frames: int = 3) -> Path:
    """Frames of one training scene; returns the folder of their geometry."""
    split_table(raw, [f"ai_001_001,cam_00,{k},True,,train" for k in range(frames)])
    return [raw_frame(raw, k) for k in range(frames)][-1]


@pytest.fixture
def raw(tmp_path: Path) -> Path:
    folder = tmp_path / "raw"
    folder.mkdir()
    return folder


def times(folder: Path) -> dict[Path, int]:
    return {path: path.stat().st_mtime_ns for path in folder.rglob("*.png")}


def test_a_wall_of_known_place_comes_out_in_millimetres(raw: Path, tmp_path: Path):
    small_tree(raw, 1)
    report = prepare_hypersim(raw, tmp_path / "out")
    assert list(report.prepared) == ["train/ai_001_001/cam_00/0000"]
    sample = HypersimFrames(tmp_path / "out")[0]
    assert sample.valid.all()
    # half a millimetre of rounding; float32 distances and the published focal length's five digits add a hundredth
    np.testing.assert_allclose(sample.depth_m[0].numpy(), wall_depth(), atol=0.00052)
    assert sample.camera is not None
    assert sample.camera.fx_px == pytest.approx(FOCAL_PX, rel=1e-6)


def test_the_photo_is_tone_mapped(raw: Path, tmp_path: Path):
    small_tree(raw, 1)
    prepare_hypersim(raw, tmp_path / "out")
    radiance = np.random.default_rng(0).uniform(0, 3, (HEIGHT, WIDTH, 3)).astype(np.float16).astype(float)
    ordered = sorted((0.3 * r + 0.59 * g + 0.11 * b) for r, g, b in radiance.reshape(-1, 3))
    place = 0.9 * (len(ordered) - 1)
    low = math.floor(place)
    bright = ordered[low] + (ordered[low + 1] - ordered[low]) * (place - low)
    expected = np.minimum((0.8**2.2 / bright * radiance) ** (1 / 2.2), 1) * 255
    photo = np.asarray(Image.open(tmp_path / "out/train/ai_001_001/rgb_cam_00_fr0000.png"))
    # truncated, not rounded; the last bits of the power may fall to either side of a whole count
    assert (np.abs(photo - np.floor(expected)) <= (np.abs(expected - np.round(expected)) < 1e-6)).all()


def test_a_tilted_lens_is_seen_through_its_own_rays(raw: Path, tmp_path: Path):
    names = [f"M_cam_from_uv_{i}{k}" for i in range(3) for k in range(3)]
    values = ",".join(str(v) for row in TILTED for v in row)
    (raw / "metadata_camera_parameters.csv").write_text(f"scene_name,{','.join(names)}\nai_001_001,{values}\n")
    # a wall parallel to the tilted image plane, 4 m from the lens: constant depth, which no plain camera would give
    u, v = np.meshgrid((np.arange(WIDTH) + 0.5) / WIDTH * 2 - 1, 1 - (np.arange(HEIGHT) + 0.5) / HEIGHT * 2)
    ray = np.stack((u, v, np.ones_like(u)), -1) @ np.array(TILTED).T
    axis = np.cross([row[0] for row in TILTED], [row[1] for row in TILTED])
    axis /= -np.linalg.norm(axis)  # forward
    distance = 4 / (ray @ axis) * np.linalg.norm(ray, axis=-1)
    split_table(raw, ["ai_001_001,cam_00,0,True,,train"])
    raw_frame(raw, 0, distance=distance)
    report = prepare_hypersim(raw, tmp_path / "out")
    assert not report.notes
    assert report.settings["projection"] == "per scene"
    sample = HypersimFrames(tmp_path / "out", filtered=False)[0]
    np.testing.assert_allclose(sample.depth_m.numpy(), 4.0, atol=0.00052)
    assert sample.camera is not None
    assert abs(sample.camera.cy_px - HEIGHT / 2) > 2  # the principal point is far off the middle


def test_holes_nan_and_far_pixels(raw: Path, tmp_path: Path):
    distance = wall_distance()
    distance[2, 3], distance[2, 4], distance[2, 5] = np.nan, np.inf, 131.0
    geometry = small_tree(raw, 1)
    write_hdf5(geometry / "frame.0000.depth_meters.hdf5", distance.astype(np.float32))
    entity = np.full((HEIGHT, WIDTH), 7, np.int32)
    entity[5, :2] = -1
    write_hdf5(geometry / "frame.0000.render_entity_id.hdf5", entity)
    prepare_hypersim(raw, tmp_path / "clamped")
    prepare_hypersim(raw, tmp_path / "cut", HypersimChoices(max_depth_m=20.0))
    depth = "train/ai_001_001/depth_plane_cam_00_fr0000.png"
    clamped, cut = (np.asarray(Image.open(tmp_path / name / depth)) for name in ("clamped", "cut"))
    assert clamped[2, 3:6].tolist() == [0, 0, 65535]  # 131 m wraps around to about 65 m in 16 bits
    assert cut[2, 3:6].tolist() == [0, 0, 0]
    assert clamped[5, :3].tolist() == [0, 0, round(float(wall_depth()[5, 2]) * 1000)]


def test_normals_come_along_where_they_are(raw: Path, tmp_path: Path):
    geometry = small_tree(raw, 2)
    normal = np.array([-0.6, 0.0, 0.8])
    write_hdf5(geometry / "frame.0001.normal_cam.hdf5", np.tile(normal, (HEIGHT, WIDTH, 1)).astype(np.float16))
    prepare_hypersim(raw, tmp_path / "out")
    first, second = HypersimFrames(tmp_path / "out", filtered=False)
    assert first.normals is None
    assert second.normals is not None
    # 8 bits: half of 1 / 127 a component
    np.testing.assert_allclose(second.normals.permute(1, 2, 0).numpy(), np.tile(normal, (HEIGHT, WIDTH, 1)), atol=0.006)


def test_the_second_run_writes_nothing_and_a_deleted_frame_is_redone(raw: Path, tmp_path: Path):
    small_tree(raw)
    out = tmp_path / "out"
    prepare_hypersim(raw, out)
    before = times(out)
    assert len(before) == 6
    again = prepare_hypersim(raw, out)
    assert (len(again.prepared), len(again.there_already)) == (0, 3)
    assert times(out) == before
    gone = out / "train/ai_001_001/rgb_cam_00_fr0001.png"
    gone.unlink()
    third = prepare_hypersim(raw, out)
    assert list(third.prepared) == ["train/ai_001_001/cam_00/0001"]
    after = times(out)
    assert {path for path in after if after[path] != before[path]} == {
        gone,
        gone.with_name("depth_plane_cam_00_fr0001.png"),
    }
    assert len(HypersimFrames(out, filtered=False)) == 3


def test_broken_and_missing_files_cost_one_frame_each(raw: Path, tmp_path: Path):
    geometry = small_tree(raw, 6)
    broken = geometry / "frame.0001.depth_meters.hdf5"
    broken.write_bytes(broken.read_bytes()[:700])
    (geometry / "frame.0002.render_entity_id.hdf5").unlink()
    write_hdf5(geometry / "frame.0003.depth_meters.hdf5", np.ones((5, 5), np.float32))
    with h5py.File(geometry / "frame.0004.depth_meters.hdf5", "w") as file:
        file["other"] = np.ones((HEIGHT, WIDTH))
    report = prepare_hypersim(raw, tmp_path / "out")
    assert [key[-4:] for key in report.prepared] == ["0000", "0005"]
    for frame, message in (
        ("0001", r"frame.0001.depth_meters.hdf5: truncated or damaged HDF5 .*download it again"),
        ("0002", r"frame.0002.render_entity_id.hdf5: there is no such file; download it again"),
        ("0003", r"frame.0003.depth_meters.hdf5: 5 x 5 pixels, but the frame's colours have 32 x 24"),
        ("0004", r'frame.0004.depth_meters.hdf5: holds no array "dataset"'),
    ):
        with pytest.raises(ValueError, match=message):
            raise ValueError(report.failed[f"train/ai_001_001/cam_00/{frame}"])
    facts = json.loads((tmp_path / "out/report.json").read_text())
    assert facts["failed"]["count"] == 4
    # what was wrong is tried again, and nothing else
    raw_frame(raw, 1)
    again = prepare_hypersim(raw, tmp_path / "out")
    assert [key[-4:] for key in again.prepared] == ["0001"]
    assert len(again.failed) == 3


def test_the_report_says_what_was_dropped_and_why(raw: Path, tmp_path: Path):
    split_table(
        raw,
        [
            *(f"ai_001_001,cam_00,{k},True,,train" for k in range(3)),
            "ai_001_001,cam_00,9,False,bad,train",
            "ai_009_009,cam_00,0,True,,train",
            "ai_002_001,cam_00,0,True,,val",
        ],
    )
    raw_frame(raw, 0)
    raw_frame(raw, 1, distance=np.full((HEIGHT, WIDTH), np.nan))
    raw_frame(raw, 2, distance=wall_distance(slope=0))
    raw_frame(raw, 0, scene="ai_002_001")
    report = prepare_hypersim(raw, tmp_path / "out")
    facts = json.loads((tmp_path / "out/report.json").read_text())
    assert facts["dropped"] == {
        "no valid depth": {"count": 1, "frames": ["train/ai_001_001/cam_00/0001"]},
        "scene is not in RAW": {"count": 1, "frames": ["train/ai_009_009/cam_00/0000"]},
    }
    assert facts["left_out_of_filtered_lists"] == {
        "depth range below 0.5 m": {"count": 1, "frames": ["train/ai_001_001/rgb_cam_00_fr0002.png"]}
    }
    assert (facts["prepared"], facts["stopped"]) == (3, None)
    assert any("metadata_camera_parameters.csv is not there" in note for note in report.notes)
    assert len(HypersimFrames(tmp_path / "out", filtered=False)) == 2
    assert len(HypersimFrames(tmp_path / "out", split="val")) == 1
    # dropped frames stay dropped, and other limits need no new pictures
    again = prepare_hypersim(raw, tmp_path / "out", HypersimChoices(limits=FrameLimits(min_depth_range_m=0)))
    assert (len(again.prepared), again.dropped["no valid depth"]) == (0, ["train/ai_001_001/cam_00/0001"])
    assert len(HypersimFrames(tmp_path / "out")) == 2


def test_splits_one_after_the_other(raw: Path, tmp_path: Path):
    split_table(raw, ["ai_001_001,cam_00,0,True,,train", "ai_002_001,cam_00,0,True,,val"])
    raw_frame(raw, 0)
    raw_frame(raw, 0, scene="ai_002_001")
    for splits in (("val",), ("train",)):
        assert len(prepare_hypersim(raw, tmp_path / "out", HypersimChoices(splits=splits)).prepared) == 1
    assert len(prepare_hypersim(raw, tmp_path / "out").there_already) == 2


def test_two_processes_do_as_one(raw: Path, tmp_path: Path):
    small_tree(raw, 4)
    one, two = (prepare_hypersim(raw, tmp_path / str(n), workers=n) for n in (1, 2))
    assert one.prepared == two.prepared
    for path in (tmp_path / "1").rglob("*"):
        if path.suffix in (".png", ".txt", ".csv"):
            assert path.read_bytes() == (tmp_path / "2" / path.relative_to(tmp_path / "1")).read_bytes()


def test_other_settings_need_another_folder(raw: Path, tmp_path: Path):
    small_tree(raw, 1)
    prepare_hypersim(raw, tmp_path / "out")
    with pytest.raises(ValueError, match=r"max_depth_m was None, now 20.0\).*--overwrite"):
        prepare_hypersim(raw, tmp_path / "out", HypersimChoices(max_depth_m=20.0))
    report = prepare_hypersim(raw, tmp_path / "out", HypersimChoices(max_depth_m=20.0), overwrite=True)
    assert len(report.prepared) == 1


def refused(raw: Path, out: Path, choices: HypersimChoices | None = None) -> str:
    with pytest.raises(ValueError, match=r"\w") as caught:
        prepare_hypersim(raw, out, choices)
    assert not out.exists()
    return str(caught.value)


def test_what_is_wrong_before_the_first_frame(raw: Path, tmp_path: Path):
    out = tmp_path / "out"
    assert "there is no such folder" in refused(tmp_path / "absent", out)
    assert "evermotion_dataset/analysis" in refused(raw, out)
    split_table(raw, ["ai_001_001,cam_00,0,True,,train"])
    assert "holds none of the scenes" in refused(raw, out)
    raw_frame(raw, 0)
    assert "allowed are train, val, test" in refused(raw, out, HypersimChoices(splits=("training",)))
    assert "at most 65.535" in refused(raw, out, HypersimChoices(max_depth_m=80.0))
    assert "no such file" in refused(raw, out, HypersimChoices(camera_file=tmp_path / "cameras.csv"))
    split_table(raw, ["ai_001_001,cam_00,first,True,,train"])
    assert "line 2 has the frame 'first'" in refused(raw, out)
    (raw / "metadata_images_split_scene_v1.csv").write_text("scene_name\nai_001_001\n")
    assert "lacks the columns camera_name" in refused(raw, out)


def test_reports_are_plain_json(raw: Path, tmp_path: Path):
    report = Report({"data_set": "x"}, stopped="disk full", not_reached=3)
    facts = json.loads(report.write(tmp_path).read_text())
    assert (facts["stopped"], facts["not_reached"]) == ("disk full", 3)
