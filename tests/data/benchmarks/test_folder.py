"""Folders of one's own: manifests with every kind of row, plain folders, several as one, what can't be scored."""

import json
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from latentdepth.core.types import Camera
from latentdepth.data.benchmarks.benchmark import Benchmark
from latentdepth.data.benchmarks.container import Missing
from latentdepth.data.benchmarks.folder import FolderBenchmark, open_folders

RGBD = Path(__file__).parents[3] / "../shared/data/rgbd"


def row(source: str, name: str, **changes: Any) -> dict[str, Any]:
    """A line as the shipped sets have it."""
    return {
        "source": source,
        "id": name,
        "rgb": f"{source}/{name}.jpg",
        "depth": f"{source}/{name}.png",
        "kind": "depth",
        "unit": "metre",
        "value_per_count": 0.001,
        "invalid": 0,
        "group": source,
        "sparse": False,
        "scale_assumed": False,
        "intrinsics": None,
        "intrinsics_image": None,
    } | changes


def write(folder: Path, rows: list[dict[str, Any]], counts: int = 2000) -> Path:
    """Every row's files: 4 rows of 6 pixels of ``counts``, of which the first is 0."""
    for one in rows:
        photo, depth = folder / one["rgb"], folder / one["depth"]
        photo.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.full((4, 6, 3), 70, np.uint8)).save(photo)
        pixels = np.full((4, 6), counts, np.uint16)
        pixels[0, 0] = 0
        Image.fromarray(pixels).save(depth)
    (folder / "manifest.jsonl").write_text("".join(json.dumps(one) + "\n" for one in rows))
    return folder


def write_plain(folder: Path, *names: str, depth_m: float = 3.0) -> Path:
    for name in names:
        for kind in ("rgb", "depth"):
            (folder / kind / name).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.full((4, 6, 3), 70, np.uint8)).save(folder / "rgb" / f"{name}.png")
        values = np.full((4, 6), depth_m, np.float32)
        values[0, :3] = (np.inf, np.nan, 5e-4)
        np.save(folder / "depth" / f"{name}.npy", values)
    return folder


def test_metric_rows(tmp_path: Path):
    rows = [
        row("kinect", "0001", intrinsics=[500.0, 510.0, 320.0, 240.0], intrinsics_image=[640, 480]),
        row("lidar", "a/7", value_per_count=0.004, sparse=True, group="drive_3", rgb="x/7.jpg", depth="x/7.png"),
    ]
    bench: FolderBenchmark = pickle.loads(pickle.dumps(open_folders([write(tmp_path / "mine", rows)])))
    assert isinstance(bench, Benchmark)
    assert (bench.facts.key, bench.facts.truth, bench.facts.near_m) == ("folder:mine", "depth", 1e-3)
    assert [bench.frame(k) for k in range(2)] == ["kinect/0001", "lidar/x/7"]
    assert [(bench.source(k), bench.sparse(k)) for k in range(2)] == [("kinect", False), ("lidar", True)]
    first, second = bench[0], bench[1]
    assert first.depth_m[0, 3, 3] == np.float32(2.0)
    assert second.depth_m[0, 3, 3] == np.float32(8.0)
    assert int(first.valid.sum()) == 23
    # 640 x 480 became 6 x 4
    assert first.camera == Camera(500 * 6 / 640, 510 * 4 / 480, 3.0, 2.0, 6, 4)
    assert second.camera is None
    assert (first.group, second.group) == ("kinect", "lidar/drive_3")


@pytest.mark.parametrize("changes", [{"scale_assumed": True}, {"kind": "disparity"}, {"kind": "depth_relative"}])
def test_one_row_without_metres_makes_the_truth_scaled(tmp_path: Path, changes: dict[str, Any]):
    bench = open_folders([write(tmp_path, [row("a", "1"), row("b", "2", **changes)], counts=500)])
    assert bench.facts.truth == "scaled_depth"
    assert open_folders([tmp_path], sources=["a"]).facts.truth == "depth"
    # disparity of 0.5 is depth of 2, in whatever unit
    assert float(bench[1].depth_m[0, 3, 3]) == pytest.approx(2.0 if changes.get("kind") == "disparity" else 0.5)


def test_relative_depth_may_be_small(tmp_path: Path):
    bench = open_folders([write(tmp_path, [row("a", "1", kind="depth_relative", value_per_count=1e-8)])])
    assert int(bench[0].valid.sum()) == 23


def test_disparity_with_a_shift_is_left_out_and_said(tmp_path: Path):
    rows = [row("a", "1"), row("zed", "2", kind="disparity_affine"), row("zed", "3", kind="disparity_affine")]
    bench = open_folders([write(tmp_path / "set", rows)])
    assert [bench.frame(k) for k in range(len(bench))] == ["a/1"]
    assert bench.notice == "set: 2 rows of kind disparity_affine can't score depth and are left out"
    assert open_folders([tmp_path / "set"], sources=["a"]).notice is None
    with pytest.raises(ValueError, match="no frames of zed that could be scored"):
        open_folders([tmp_path / "set"], sources=["zed"])


def test_a_plain_folder(tmp_path: Path):
    bench = open_folders([write_plain(tmp_path / "house", "kitchen/1", "hall/2")])
    assert (bench.facts.key, bench.facts.truth, bench.notice) == ("folder:house", "depth", None)
    assert [bench.frame(k) for k in range(len(bench))] == ["house/hall/2", "house/kitchen/1"]
    assert bench.source(0) == "house"
    sample = bench[1]
    # sky, nothing, and half a millimetre don't count
    assert sample.valid[0, 0].tolist() == [False, False, False, True, True, True]
    assert sample.group == "kitchen"


def test_several_folders_are_one_benchmark(tmp_path: Path):
    first = write(tmp_path / "one", [row("a", "1"), row("b", "1")])
    second = write(tmp_path / "two", [row("a", "2")])
    third = write_plain(tmp_path / "three", "x")
    bench = open_folders([first, second, third], sources=[])
    assert bench.facts.key == "folder:one+two+three"
    assert [bench.frame(k) for k in range(len(bench))] == ["a/1", "b/1", "a/2", "three/x"]
    some = open_folders([first, second, third], sources=["a", "three"])
    assert some.facts.key == "folder:one+two+three#a+three"
    assert [some.frame(k) for k in range(len(some))] == ["a/1", "a/2", "three/x"]
    with pytest.raises(ValueError, match="1 names stand for two frames each, such as a/2; rename them"):
        open_folders([second, write(tmp_path / "four", [row("a", "2")])])


def test_nothing_there(tmp_path: Path):
    with pytest.raises(Missing, match=r"gone: there is no .*gone"):
        open_folders([tmp_path / "gone"])
    with pytest.raises(Missing, match=r"there is no manifest\.jsonl and no rgb/"):
        open_folders([tmp_path])
    with pytest.raises(ValueError, match="no frame could be scored"):
        open_folders([write(tmp_path, [row("zed", "1", kind="disparity_affine")])])


@pytest.mark.parametrize(
    ("changes", "fault"),
    [
        ({"kind": "normals"}, "line 2 has the kind 'normals'; allowed are depth, depth_relative, disparity, "),
        ({"value_per_count": -1}, "line 2"),
        ({"intrinsics": [1, 2, 3], "intrinsics_image": [6, 4]}, r"line 2 has intrinsics \[1, 2, 3\]"),
        ({"intrinsics": [5, 5, 3, 2]}, "for the size None; expected are"),
    ],
)
def test_damaged_rows(tmp_path: Path, changes: dict[str, Any], fault: str):
    write(tmp_path, [row("a", "1"), row("a", "2", **changes)])
    with pytest.raises(ValueError, match=fault):
        open_folders([tmp_path])


def test_damaged_files_are_named_when_they_are_read(tmp_path: Path):
    write(tmp_path, [row("a", "1"), row("a", "2"), row("a", "3")])
    Image.fromarray(np.zeros((4, 6), np.uint16)).save(tmp_path / "a/1.png")
    Image.fromarray(np.ones((4, 5), np.uint16)).save(tmp_path / "a/2.png")
    (tmp_path / "a/3.png").unlink()
    bench = open_folders([tmp_path])
    for index, fault in ((0, "a/1: no pixel holds a valid depth"), (1, r"2\.png: 5 x 4"), (2, r"3\.png: there is no")):
        with pytest.raises(ValueError, match=fault):
            bench[index]


@pytest.mark.skipif(not RGBD.is_dir(), reason="the development data aren't beside this checkout")
def test_the_development_data():
    bench = open_folders([RGBD])
    assert len({bench.frame(k) for k in range(len(bench))}) == len(bench)
    sources = {bench.source(k): k for k in range(len(bench))}
    assert len(sources) == 11
    for index in sources.values():
        sample = bench[index]
        assert bool(sample.valid.any())
        assert sample.camera is None or (sample.camera.height_px, sample.camera.width_px) == sample.image.shape[-2:]
