"""Rows come back as they were written, from every file; a damaged journal says so."""

from __future__ import annotations

import csv
import math
from pathlib import Path

import pytest
from pyarrow import parquet

from latentdepth.evaluate.table import Entry, Journal, Row, flat, write_tables

ROWS = [
    Row("m", "nyu", "kitchen/1", "kitchen", 0.25, 4, 10, (Entry("marigold", {"abs_rel": 0.1, "delta1": 0.9}, 99),)),
    Row("m", "nyu", 'a,"b"/2', "", None, None, None, (Entry("marigold", {"abs_rel": math.nan}, 3, "few_pixels", ","),)),
    Row("m", "nyu", "plain", "", None, None, None, (Entry("marigold", {}, 0, "missing", "no\tfile"),)),
]  # fmt: skip


def same(a: object, b: object) -> bool:
    return a == b or (isinstance(a, float) and isinstance(b, float) and math.isnan(a) and math.isnan(b))


def test_rows_come_back_from_the_journal(tmp_path: Path) -> None:
    path = tmp_path / "new" / "rows.jsonl"
    journal = Journal.open(path, {"protocol": ("marigold",)})
    for row in ROWS:
        journal.add(row)
    again = Journal.open(path, {"protocol": ["marigold"]})
    assert again.rows[0] == ROWS[0]
    assert again.rows[2] == ROWS[2]
    assert math.isnan(again.rows[1].entries[0].figures["abs_rel"])
    assert set(again.done("m", "nyu")) == {"kitchen/1", 'a,"b"/2', "plain"}
    assert again.done("m", "kitti") == {}
    assert [row.source for row in again.rows] == ["kitchen", 'a,"b"', ""]


def test_csv_and_parquet_hold_the_same_rows(tmp_path: Path) -> None:
    paths = write_tables(ROWS, tmp_path)
    expected = flat(ROWS)
    assert list(expected[0])[-2:] == ["abs_rel", "delta1"]
    with paths[0].open(newline="") as file:
        from_csv = list(csv.DictReader(file))
    from_parquet = parquet.read_table(paths[1]).to_pylist()
    assert len(from_csv) == len(from_parquet) == 3
    for row, text, typed in zip(expected, from_csv, from_parquet, strict=True):
        assert list(text) == list(typed) == list(row)
        for key, value in row.items():
            assert same(typed[key], value), key
            assert text[key] == ("" if value is None else str(value)), key
    assert not list(tmp_path.glob("*.part"))


def test_no_rows_no_files(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="there is no row to write"):
        write_tables([], tmp_path)


def test_a_cut_off_line_is_dropped_and_a_damaged_one_is_named(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    Journal.open(path, {}).add(ROWS[0])
    whole = path.read_bytes()
    path.write_bytes(whole + whole.splitlines()[-1][:40])
    assert len(Journal.open(path, {}).rows) == 1
    assert path.read_bytes() == whole
    path.write_bytes(whole.replace(b'"frame"', b'"frame', 1))
    with pytest.raises(ValueError, match=r"rows.jsonl: line 2 is damaged"):
        Journal.open(path, {})
    path.write_bytes(b'{"something": "else"}\n')
    with pytest.raises(ValueError, match="no journal of this version"):
        Journal.open(path, {})
    path.write_bytes(b"")  # killed before the first line
    assert Journal.open(path, {}).rows == []


def test_a_journal_whose_very_first_line_was_cut_off_begins_anew(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_bytes(b'{"settings": {"prot')
    assert Journal.open(path, {"a": 1}).rows == []
    assert Journal.open(path, {"a": 1}).rows == []
