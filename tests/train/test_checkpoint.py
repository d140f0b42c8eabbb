"""Checkpoints survive whatever happens while they are written."""

from __future__ import annotations

import errno
import json
from pathlib import Path

import pytest
import torch
from safetensors import SafetensorError

from latentdepth.train import checkpoint as disk


def write(out: Path, step: int, *, keep: int = 2) -> disk.Checkpoint:
    def model(folder: Path) -> None:
        (folder / "weights").write_text(str(step))

    shared = torch.full((3,), float(step))
    state = {"weights": {"a": shared, "tied": shared}, "task": {}}
    return disk.write(out, step, model=model, state=state, progress={"step": step}, keep=keep)


def test_a_checkpoint_comes_back_and_the_newest_are_kept(tmp_path: Path):
    for step in (5, 10, 100):
        write(tmp_path, step)
    done = disk.checkpoints(tmp_path)
    assert [one.step for one in done] == [10, 100]
    assert done[-1].progress() == {"step": 100}
    assert torch.equal(done[-1].tensors("weights")["tied"], torch.full((3,), 100.0))
    assert done[-1].tensors("task") == {} == done[-1].tensors("nothing")
    assert (tmp_path / "model" / "weights").read_text() == "100"


def test_a_kill_between_any_two_renames_is_mended(tmp_path: Path):
    write(tmp_path, 1)
    write(tmp_path, 2)
    (tmp_path / "checkpoints" / "step-0000003.new" / "state").mkdir(parents=True)  # killed while writing
    (tmp_path / "model").rename(tmp_path / "model.old")  # killed between the two renames of a swap
    (tmp_path / "best.new").mkdir()
    disk.tidy(tmp_path)
    assert sorted(path.name for path in tmp_path.rglob("*") if path.is_dir()) == [
        "checkpoints", "model", "model", "model", "state", "state", "step-0000001", "step-0000002",
    ]  # fmt: skip
    assert (tmp_path / "model" / "weights").read_text() == "2"


def test_the_pointed_model_outlives_its_checkpoint(tmp_path: Path):
    disk.point(tmp_path / "best", write(tmp_path, 1).model, {"note.json": {"score": 1}})
    for step in (2, 3, 4):
        write(tmp_path, step, keep=1)
    assert (tmp_path / "best" / "weights").read_text() == "1"
    assert json.loads((tmp_path / "best" / "note.json").read_text()) == {"score": 1}


@pytest.mark.parametrize(
    "error",
    [
        OSError(errno.ENOSPC, "No space left on device"),
        SafetensorError("Error while serializing: I/O error: No space left on device (os error 28)"),
    ],
)
def test_a_full_disk_is_said_in_one_sentence_however_it_is_worded(tmp_path: Path, error: Exception):
    with pytest.raises(disk.DiskFullError, match="no checkpoint was written yet"), disk.disk_room(tmp_path):
        raise error
    write(tmp_path, 7)
    with pytest.raises(disk.DiskFullError, match=r"step 7 is whole\. Free some space"), disk.disk_room(tmp_path):
        raise error
    with pytest.raises(SafetensorError, match="other"), disk.disk_room(tmp_path):
        raise SafetensorError("other")
    with pytest.raises(disk.DiskFullError, match=r"one checkpoint takes about 1e\+|one checkpoint takes about 1000000"):
        disk.require_room(tmp_path, 10**15)


def test_an_earlier_run_is_set_aside_whole(tmp_path: Path):
    assert disk.set_aside(tmp_path) is None
    write(tmp_path, 1)
    assert disk.set_aside(tmp_path) == tmp_path / "before-1"
    write(tmp_path, 2)
    assert disk.set_aside(tmp_path) == tmp_path / "before-2"
    assert disk.checkpoints(tmp_path) == []
    assert [disk.checkpoints(tmp_path / f"before-{k}")[0].step for k in (1, 2)] == [1, 2]


def test_damage_is_named(tmp_path: Path):
    folder = write(tmp_path, 1).folder
    (folder / "progress.json").write_text("{")
    with pytest.raises(ValueError, match=r"step-0000001/progress\.json can't be read.*Delete"):
        disk.checkpoints(tmp_path)[0].progress()


def test_disagreements_are_listed_by_key():
    lines = disk.disagreements({"a": 1, "b": [1, 2], "c": 0.1}, {"a": 2, "b": [1, 2], "d": "x"})
    assert lines == [
        "a: 1 in the checkpoint, 2 now",
        "c: 0.1 in the checkpoint, not set now",
        'd: not set in the checkpoint, "x" now',
    ]
