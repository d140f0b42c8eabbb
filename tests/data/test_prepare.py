"""Stopping, dying and going on: the machinery that prepares frames, with a data set of text files."""

import errno
import json
import os
from dataclasses import replace
from pathlib import Path

import pytest

from latentdepth.data.filelists import FrameRow
from latentdepth.data.prepare import JOURNAL, Dropped, Report, prepare_frames

SETTINGS = {"data_set": "text"}


def row(name: str) -> FrameRow:
    return FrameRow(name, f"{name}.depth", "", 1, 1, 0, 9, 2, 1, 1, 3, 0.0, 10, 10, 5, 4, 10, 8)


def write(job: tuple[Path, str]) -> FrameRow | Dropped:
    """A frame is two files, unless its text asks for trouble."""
    folder, text = job
    if text == "useless":
        return Dropped("of no use")
    if text == "broken":
        raise ValueError(f"{text}.hdf5: damaged")
    if text == "full":
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "frame.png")
    if text == "die":
        os._exit(9)
    made = row(text)
    for name in (made.rgb_path, made.depth_path):
        (folder / name).write_text(f"{os.getpid()}")
    return made


def prepare(folder: Path, names: list[str], **options) -> Report:
    jobs = {name: (folder, name) for name in names}
    folder.mkdir(exist_ok=True)
    return prepare_frames(jobs, write, lambda key: folder, folder, SETTINGS, **options)


def test_each_outcome_is_told(tmp_path: Path):
    prepare(tmp_path / "a", ["x"])
    told: list[tuple[str, str, str]] = []
    report = prepare(
        tmp_path / "a", ["x", "y", "useless", "broken"], on_frame=lambda key, what, why: told.append((key, what, why))
    )
    assert told == [
        ("x", "there already", ""),
        ("y", "prepared", ""),
        ("useless", "dropped", "of no use"),
        ("broken", "failed", "broken.hdf5: damaged"),
    ]
    assert report.rows == {"x": row("x"), "y": row("y")}
    assert (report.dropped, report.failed) == ({"of no use": ["useless"]}, {"broken": "broken.hdf5: damaged"})
    assert (report.stopped, report.not_reached) == (None, 0)


def test_ctrl_c_keeps_what_is_finished(tmp_path: Path):
    def stop_at_second(key: str, outcome: str, text: str) -> None:
        if key == "b":
            raise KeyboardInterrupt

    report = prepare(tmp_path, ["a", "b", "c", "d"], on_frame=stop_at_second)
    assert (report.stopped, report.not_reached) == ("interrupted", 2)
    again = prepare(tmp_path, ["a", "b", "c", "d"])
    assert (list(again.there_already), list(again.prepared)) == (["a", "b"], ["c", "d"])


def test_a_full_disk_ends_the_run(tmp_path: Path):
    report = prepare(tmp_path, ["a", "full", "c"])
    assert (report.stopped, report.not_reached) == ("disk full", 1)
    assert "No space left" in report.failed["full"]
    assert list(report.prepared) == ["a"]


def test_workers_are_other_processes_and_may_die(tmp_path: Path):
    names = [f"frame{k}" for k in range(6)]
    report = prepare(tmp_path, [*names, "die", "late"], workers=2)
    assert report.stopped == "worker died"
    assert set(report.rows) <= {*names, "late"}
    written = list(tmp_path.glob("frame?"))
    assert written
    assert str(os.getpid()) not in {path.read_text() for path in written}
    again = prepare(tmp_path, names)
    assert set(again.rows) == set(names)
    assert set(again.there_already) == set(report.rows) - {"late"}
    # set for the workers alone: as many threads as cores in as many processes would trip over each other
    assert os.environ.get("OPENBLAS_NUM_THREADS") is None


def test_a_journal_cut_off_in_a_line_goes_on(tmp_path: Path):
    prepare(tmp_path, ["a", "b"])
    journal = tmp_path / JOURNAL
    journal.write_bytes(journal.read_bytes()[:-20])
    again = prepare(tmp_path, ["a", "b"])
    assert (list(again.there_already), list(again.prepared)) == (["a"], ["b"])
    assert all(json.loads(line) for line in journal.read_text().splitlines())


def test_a_damaged_journal_is_named(tmp_path: Path):
    prepare(tmp_path, ["a"])
    journal = tmp_path / JOURNAL
    journal.write_text(journal.read_text().replace('"rgb_mean"', '"rgb_men"'))
    with pytest.raises(ValueError, match=r"prepared.jsonl: damaged journal .*--overwrite"):
        prepare(tmp_path, ["a"])
    assert list(prepare(tmp_path, ["a"], overwrite=True).prepared) == ["a"]


def test_frames_whose_files_have_gone_are_redone(tmp_path: Path):
    prepare(tmp_path, ["a", "b"])
    (tmp_path / "b.depth").unlink()
    again = prepare(tmp_path, ["a", "b"])
    assert (list(again.there_already), list(again.prepared)) == (["a"], ["b"])
    assert replace(again.rows["a"], rgb_path="z") == replace(row("a"), rgb_path="z")


def test_the_number_of_workers_is_checked(tmp_path: Path):
    with pytest.raises(ValueError, match="workers is 0; allowed is 1 or more"):
        prepare(tmp_path, ["a"], workers=0)
