"""The figures section of a card: every source with its interval, the worst frames by name, the sheet where it is."""

from __future__ import annotations

from pathlib import Path

import pytest

from latentdepth.evaluate.card import card_section
from latentdepth.evaluate.sheet import sheet_name
from latentdepth.evaluate.statistics import mean_interval
from latentdepth.evaluate.table import Entry, Journal, Row, read_rows

VALUES = {"room/a": 0.1, "room/b": 0.2, "room/c": 0.3, "street/d": 0.5, "street/e": 0.7}


def row(frame: str, value: float, model: str = "mine") -> Row:
    figures = {"abs_rel": value, "delta1": 1 - value, "rmse": 1.0}
    return Row(model, "shards:held", frame, frame, 0.1, 1, 1, (Entry("disparity", figures, 100),))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    journal = Journal.open(tmp_path / "rows.jsonl", {})
    journal.add(row("room/a", 9.0))  # made again below: the later one counts
    for frame, value in VALUES.items():
        journal.add(row(frame, value))
    faulty = Entry("disparity", {}, 0, "failed", "no memory")
    journal.add(Row("mine", "shards:held", "street/f", "", None, None, None, (faulty,)))
    journal.add(row("room/a", 0.9, "other"))
    with (tmp_path / "rows.jsonl").open("a") as file:
        file.write('{"cut o')
    return tmp_path


def test_a_line_for_each_source_and_their_mean(folder: Path):
    lines = card_section(folder, "mine").splitlines()
    assert lines[0].startswith("### shards:held · protocol disparity (")
    assert lines[2] == "| source | n | AbsRel % ↓ | δ1 % ↑ |"
    room = mean_interval([0.1, 0.2, 0.3], ["a", "b", "c"])
    assert f"| room | 3 | 20.00 [{room.low * 100:.2f}, {room.high * 100:.2f}] | 80.00 [" in lines[4]
    assert lines[5].startswith("| street | 3 | 60.00 [50.00, 70.00] |")
    # each source counts alike: (20 + 60) / 2
    assert lines[6] == "| **mean over 2 sources** | 6 | 40.00 | 60.00 |"
    assert "- 1 failed" in lines


def test_the_worst_are_named_and_the_sheet_is_shown(folder: Path):
    text = card_section(folder, "mine", worst=2)
    assert "Worst frames by AbsRel: `street/e` (70.00); `street/d` (50.00)." in text
    assert "![" not in text
    sheet = folder / "sheets" / sheet_name("mine", "shards:held")
    sheet.parent.mkdir()
    sheet.write_bytes(b"")
    assert "![best and worst frames on shards:held](sheets/mine_shards-held.png)" in card_section(folder, "mine")
    assert "Worst frames" not in card_section(folder, "mine", worst=0)


def test_what_is_missing_is_said(folder: Path, tmp_path: Path):
    with pytest.raises(ValueError, match="has no row of 'hers'; it has rows of mine, other"):
        card_section(folder, "hers")
    with pytest.raises(ValueError, match=r"there is no .*rows\.jsonl; give the --out of `latentdepth evaluate`"):
        card_section(folder / "nowhere", "mine")
    before = (folder / "rows.jsonl").read_bytes()
    assert len(read_rows(folder / "rows.jsonl")) == 7
    assert (folder / "rows.jsonl").read_bytes() == before  # another process may be writing its last line
    (folder / "rows.jsonl").write_text('{"entries": 3}\n')
    with pytest.raises(ValueError, match=r"rows\.jsonl: line 1 is damaged"):
        read_rows(folder / "rows.jsonl")
