"""Scenes on disk: read back by the data sets' own readers, resumed after every kind of end, equal for any number of
workers."""

from __future__ import annotations

import errno
import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from latentdepth.core.types import Camera
from latentdepth.data.folders import FolderFrames
from latentdepth.data.hypersim import HypersimFrames
from latentdepth.data.sample import Sample
from latentdepth.data.shards import ShardFrames
from latentdepth.data.virtual_kitti import VirtualKittiFrames
from latentdepth.synth.make import Frame, Made, Settings, scene_name
from latentdepth.synth.write import CREDITS, SHEET, Report, write_scenes

SETTINGS = Settings(seed=5, width_px=32, height_px=24, views=2)
CAMERA = Camera.from_fov(60, 32, 24)


def make(settings: Settings, number: int) -> Made:
    """Two pictures of a slope that depends on the seed and the number, with sky above and one invalid pixel."""
    frames = []
    for index in range(settings.views):
        draw = np.random.default_rng([settings.seed, number, index])
        depth = torch.from_numpy(draw.uniform(1, 3, (1, 24, 32)) + np.arange(24)[::-1][:, None]).float()
        depth[:, :3] = torch.inf
        valid = torch.ones(1, 24, 32, dtype=torch.bool)
        valid[0, 12, 7] = False
        image = torch.from_numpy(draw.uniform(0, 1, (3, 3, 4))).float().repeat_interleave(8, 1).repeat_interleave(8, 2)
        normals = torch.zeros(3, 24, 32)
        normals[:, 3:] = torch.tensor([0.6, 0.0, 0.8])[:, None, None]
        sample = Sample(image, depth, valid, scene_name(settings, number), CAMERA, normals)
        frames.append(Frame(sample, {"scene": number, "view": index}))
    return Made("room", tuple(frames), (f"model {number % 2} by A. Nother (CC BY 3.0)",))


def make_some(settings: Settings, number: int) -> Made:
    if number == 1:
        raise RuntimeError("the sofa is on fire\nand more lines")
    if number == 3:
        raise ValueError("no view shows anything")
    return make(settings, number)


def make_or_die(settings: Settings, number: int) -> Made:
    if number == 2:
        os._exit(9)
    return make(settings, number)


def make_until_full(settings: Settings, number: int) -> Made:
    if number == 2:
        raise OSError(errno.ENOSPC, "No space left on device")
    return make(settings, number)


def make_until_interrupted(settings: Settings, number: int) -> Made:
    if number == 2:
        raise KeyboardInterrupt
    return make(settings, number)


def contents(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def same_depth(sample: Sample, number: int, view: int, *, rtol: float, sky: bool = True) -> None:
    want = make(SETTINGS, number).frames[view].sample
    known = want.valid & want.depth_m.isfinite()
    torch.testing.assert_close(sample.depth_m[known], want.depth_m[known], rtol=rtol, atol=0)
    assert not sample.valid[0, 12, 7]
    if sky:
        assert sample.depth_m[want.depth_m.isinf()].isinf().all()
        assert sample.valid[want.depth_m.isinf()].all()
    assert sample.camera is not None
    assert sample.camera.fx_px == pytest.approx(CAMERA.fx_px, rel=1e-5)


def test_shards_hold_what_was_made(tmp_path: Path):
    report = write_scenes(tmp_path, range(3), SETTINGS, make)
    assert (report.made, report.failed, report.left, report.stopped) == ([0, 1, 2], {}, [], None)
    assert report.frames == 6
    frames = ShardFrames(tmp_path)
    assert len(frames) == 6
    sample = frames[3]
    same_depth(sample, 1, 1, rtol=1e-4)  # the shard's log code rounds by 0.009 %
    assert sample.group == "synth-5-000001"
    assert frames.facts(3) == {"scene": 1, "view": 1}
    assert sample.normals is not None
    torch.testing.assert_close(sample.normals[:, 10, 10], torch.tensor([0.6, 0.0, 0.8]), atol=0.01, rtol=0)
    credits = (tmp_path / CREDITS).read_text().splitlines()
    assert credits == ["model 0 by A. Nother (CC BY 3.0)", "model 1 by A. Nother (CC BY 3.0)"]
    with Image.open(tmp_path / SHEET) as sheet:
        assert sheet.size == (2 * (160 + 4), 3 * (2 * 120 + 4))


def test_hypersim_layout_is_read_by_its_reader(tmp_path: Path):
    write_scenes(tmp_path, range(18, 21), SETTINGS, make, layout="hypersim")
    frames = HypersimFrames(tmp_path)
    assert len(frames) == 4
    same_depth(frames[0], 18, 0, rtol=1e-3, sky=False)  # rounded to millimetres
    assert len(HypersimFrames(tmp_path, split="val")) == 2  # every twentieth scene


def test_vkitti_layout_is_read_by_its_reader(tmp_path: Path):
    write_scenes(tmp_path, range(18, 21), SETTINGS, make, layout="vkitti")
    frames = VirtualKittiFrames(tmp_path, crop=None, sky="infinite")
    assert len(frames) == 4
    same_depth(frames[1], 18, 1, rtol=6e-3)  # rounded to centimetres
    assert len(VirtualKittiFrames(tmp_path, split="val", crop=None)) == 2


def test_plain_folders_are_read_exactly(tmp_path: Path):
    write_scenes(tmp_path, range(2), SETTINGS, make, layout="folder")
    frames = FolderFrames(tmp_path)
    assert len(frames) == 4
    same_depth(frames[2], 1, 0, rtol=0)
    assert frames[2].normals is not None
    assert frames[2].group == "synth-5-000001"


def test_workers_change_nothing(tmp_path: Path):
    one = write_scenes(tmp_path / "one", range(4), SETTINGS, make)
    two = write_scenes(tmp_path / "two", range(4), SETTINGS, make, workers=2)
    assert sorted(two.made) == one.made
    assert contents(tmp_path / "one") == contents(tmp_path / "two")


def test_a_second_call_adds_only_what_is_missing(tmp_path: Path):
    write_scenes(tmp_path, range(2), SETTINGS, make)
    before = {p: p.stat().st_mtime_ns for p in tmp_path.glob("*.tar")}
    seen: list[tuple[int, str]] = []
    report = write_scenes(tmp_path, range(3), SETTINGS, make, on_scene=lambda n, what, why: seen.append((n, what)))
    assert (report.there_already, report.made) == ([0, 1], [2])
    assert report.frames == 6
    assert seen == [(0, "there already"), (1, "there already"), (2, "made")]
    assert {p: p.stat().st_mtime_ns for p in before} == before


def test_a_scene_without_its_note_is_made_again(tmp_path: Path):
    """As after a kill between the shard and the note, or when someone deleted a shard."""
    write_scenes(tmp_path, range(3), SETTINGS, make)
    whole = contents(tmp_path)
    (tmp_path / "scenes/000001.json").unlink()
    (tmp_path / "scene-000002.tar").unlink()
    assert write_scenes(tmp_path, range(3), SETTINGS, make).made == [1, 2]
    assert contents(tmp_path) == whole


def test_failing_scenes_cost_one_line_each(tmp_path: Path):
    report = write_scenes(tmp_path, range(5), SETTINGS, make_some)
    assert sorted(report.made) == [0, 2, 4]
    assert report.failed == {1: "RuntimeError: the sofa is on fire", 3: "no view shows anything"}
    assert len(ShardFrames(tmp_path)) == 6
    assert not list(tmp_path.rglob("*.part"))


def test_a_scene_that_ends_its_process_fails_alone(tmp_path: Path):
    report = write_scenes(tmp_path, range(4), SETTINGS, make_or_die, workers=2)
    assert sorted(report.made) == [0, 1, 3]
    assert list(report.failed) == [2]
    assert "its process died" in report.failed[2]


def test_a_full_disk_stops_with_the_finished_scenes(tmp_path: Path):
    report = write_scenes(tmp_path, range(4), SETTINGS, make_until_full)
    assert report.stopped == "disk full"
    assert (report.made, report.left, report.failed) == ([0, 1], [2, 3], {})
    assert write_scenes(tmp_path, range(4), SETTINGS, make).made == [2, 3]


def test_ctrl_c_keeps_the_finished_scenes(tmp_path: Path):
    report = write_scenes(tmp_path, range(4), SETTINGS, make_until_interrupted)
    assert report.stopped == "interrupted"
    assert (report.made, report.left, report.frames) == ([0, 1], [2, 3], 4)
    assert len(ShardFrames(tmp_path)) == 4


def test_after_kill_9_the_rest_is_made(tmp_path: Path):
    code = (
        "import sys, time; sys.path.insert(0, sys.argv[1]); import test_write as t;"
        "from pathlib import Path; from latentdepth.synth.write import write_scenes;"
        "slow = lambda s, n: (time.sleep(0.15), t.make(s, n))[1];"
        "write_scenes(Path(sys.argv[2]), range(400), t.SETTINGS, slow)"
    )
    process = subprocess.Popen([sys.executable, "-c", code, str(Path(__file__).parent), str(tmp_path)])
    deadline = time.monotonic() + 60
    while len(list(tmp_path.glob("scenes/*.json"))) < 2 and time.monotonic() < deadline:
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    process.wait()
    finished = len(list(tmp_path.glob("scenes/*.json")))
    assert 2 <= finished < 400
    report = write_scenes(tmp_path, range(finished + 2), SETTINGS, make)
    assert len(report.there_already) == finished
    assert len(report.made) == 2
    write_scenes(tmp_path / "straight", range(finished + 2), SETTINGS, make)
    interrupted = {k: v for k, v in contents(tmp_path).items() if not k.startswith("straight")}
    assert interrupted == contents(tmp_path / "straight")


def test_other_settings_need_another_folder(tmp_path: Path):
    write_scenes(tmp_path, range(1), SETTINGS, make)
    with pytest.raises(ValueError, match="views was 2, now 3"):
        write_scenes(tmp_path, range(2), Settings(seed=5, width_px=32, height_px=24, views=3), make)
    with pytest.raises(ValueError, match="layout was shards, now folder"):
        write_scenes(tmp_path, range(2), SETTINGS, make, layout="folder")
    (tmp_path / "synth.json").write_text("{half")
    with pytest.raises(ValueError, match=r"synth\.json: damaged"):
        write_scenes(tmp_path, range(2), SETTINGS, make)


def test_settings_from_before_an_option_existed_are_those_without_it(tmp_path: Path):
    write_scenes(tmp_path, range(1), SETTINGS, make)
    noted = json.loads((tmp_path / "synth.json").read_text())
    assert noted.pop("furniture") is None
    (tmp_path / "synth.json").write_text(json.dumps(noted))
    assert write_scenes(tmp_path, range(2), SETTINGS, make).made == [1]
    with pytest.raises(ValueError, match="furniture was None, now shop"):
        write_scenes(tmp_path, range(3), replace(SETTINGS, furniture="shop"), make)


def test_no_workers_are_refused(tmp_path: Path):
    with pytest.raises(ValueError, match="workers is 0"):
        write_scenes(tmp_path, range(1), SETTINGS, make, workers=0)


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        ({"views": 0}, "views is 0; allowed is 1 to 64"),
        ({"width_px": 8}, "width_px is 8; allowed is 16 to 4096"),
        ({"seed": -1}, "seed is -1"),
    ],
)
def test_impossible_settings_are_named(changed: dict[str, Any], told: str):
    with pytest.raises(ValueError, match=told):
        Settings(**changed)


def test_notes_say_what_is_in_a_scene(tmp_path: Path):
    report: Report = write_scenes(tmp_path, [7], SETTINGS, make, layout="vkitti")
    note = json.loads((tmp_path / "scenes/000007.json").read_bytes())
    assert (note["kind"], note["frames"], len(note["rows"])) == ("room", 2, 2)
    assert report.frames == 2
