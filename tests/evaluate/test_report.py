"""Summaries against means by hand; tables that parse back from Markdown, JSON and LaTeX."""

from __future__ import annotations

import io
import json
import math
import re
from dataclasses import replace

import pytest
from rich.console import Console

from latentdepth.evaluate import render, report
from latentdepth.evaluate.published import published_rows
from latentdepth.evaluate.statistics import Interval
from latentdepth.evaluate.summary import comparisons, lines, sources
from latentdepth.evaluate.table import Entry, Row

TITLES = {"nyu": "NYUv2 (Eigen test)", "kitti": "KITTI"}


def row(model: str, frame: str, value: float | None, *, benchmark: str = "nyu", protocol: str = "marigold") -> Row:
    figures = {} if value is None else {"abs_rel": value, "delta1": 1 - value, "rmse": 10 * value, "sq_rel": value}
    fault = "missing" if value is None else None
    group = frame.split("/")[0]
    return Row(model, benchmark, frame, group, 0.5, 4, 10, (Entry(protocol, figures, 100, fault),))


A = [row("a_b", f"{'xyz'[k % 3]}/{k}", 0.05 + 0.001 * k) for k in range(12)]
B = [row("dir:B|1", f"{'xyz'[k % 3]}/{k}", 0.04 + 0.001 * k) for k in range(12)]


def test_a_line_holds_means_counts_and_faults() -> None:
    broken = [row("a_b", "x/98", None), row("a_b", "x/99", math.nan)]
    (line,) = lines([*A, *broken])
    assert line.figures["abs_rel"].mean == pytest.approx(0.0555)
    assert line.figures["delta1"].mean == pytest.approx(0.9445)
    assert (line.frames, len(line.scored), line.faults) == (14, 12, {"missing": 1})
    assert (line.steps, line.members, line.seconds) == (4, 10, 0.5)
    assert line.figures["abs_rel"].groups == 3
    assert line.figures["abs_rel"].low < 0.0555 < line.figures["abs_rel"].high
    assert math.isnan(line.figures["rmse"].low)  # only main figures carry an interval


def test_protocols_are_never_mixed() -> None:
    both = [
        row("a_b", "x/1", 0.1),
        row("a_b", "x/1", 0.3, protocol="metric"),
        row("a_b", "x/1", 0.2, benchmark="kitti"),
    ]
    summary = lines(both)
    assert [(one.benchmark, one.protocol) for one in summary] == [
        ("nyu", "marigold"), ("nyu", "metric"), ("kitti", "marigold"),
    ]  # fmt: skip
    tables = report.result_tables(summary, TITLES)
    assert [table.title for table in tables] == [
        "NYUv2 (Eigen test) · protocol marigold",
        "NYUv2 (Eigen test) · protocol metric",
        "KITTI · protocol marigold",
    ]
    for table in tables:
        assert len(table.rows) == 1
        assert table.notes[0].startswith("protocol: ")
    (overview,) = report.overview_tables(summary, TITLES)
    assert overview.heads[1:] == ("nyu AbsRel % ↓", "nyu δ1 % ↑", "kitti AbsRel % ↓", "kitti δ1 % ↑")
    assert [cell.text for cell in overview.rows[0]] == ["a_b", "10.00", "90.00", "20.00", "80.00"]


def test_the_best_mean_is_bold_only_over_the_same_frames() -> None:
    (table,) = report.result_tables(lines([*A, *B]), TITLES)
    bold = {
        (cells[0].text, head)
        for cells in table.rows
        for head, cell in zip(table.heads, cells, strict=True)
        if cell.bold
    }
    assert bold == {("dir:B|1", head) for head in ("AbsRel % ↓", "δ1 % ↑", "RMSE ↓")}
    (unequal,) = report.result_tables(lines([*A, *B[1:], row("dir:B|1", "x/0", None)]), TITLES)
    assert not any(cell.bold for cells in unequal.rows for cell in cells)
    assert any("different frames" in note for note in unequal.notes)
    assert any("dir:B|1: 1 missing" in note for note in unequal.notes)
    assert [cells[2].text for cells in unequal.rows] == ["12", "11 of 12"]


def test_markdown_parses_back() -> None:
    (table,) = report.result_tables(lines([*A, *B]), TITLES)
    text = render.to_markdown(table)
    parsed = [
        [field.strip().replace("\\|", "|") for field in re.split(r"(?<!\\)\|", line)[1:-1]]
        for line in text.splitlines()
        if line.startswith("|")
    ]
    assert parsed[0] == list(table.heads)
    assert [set(field) <= set("-:") for field in parsed[1]] == [True] * len(table.heads)
    for fields, cells in zip(parsed[2:], table.rows, strict=True):
        assert [field.strip("*") for field in fields] == [cell.text for cell in cells]
        assert [field.startswith("**") for field in fields] == [cell.bold for cell in cells]
    assert parsed[2][3] == report.interval_text("abs_rel", lines(A)[0].figures["abs_rel"])


def test_latex_parses_back_and_escapes() -> None:
    (table,) = report.result_tables(lines([*A, *B]), TITLES)
    text = render.to_latex(table)
    body = text.split(r"\midrule")[1].split(r"\bottomrule")[0]
    rows = [line.removesuffix(r" \\").split(" & ") for line in body.strip().splitlines()]
    assert [len(fields) for fields in rows] == [len(table.heads)] * 2
    assert rows[0][0] == r"a\_b"
    assert rows[0][1] == r"4 $\times$ 10"
    assert rows[1][3].startswith(r"\textbf{4.55 [")
    assert text.count("{") == text.count("}")
    assert text.isascii()
    assert render.latex_text(r"50%_#&$~^\{}") == (
        r"50\%\_\#\&\$\textasciitilde{}\textasciicircum{}\textbackslash{}\{\}"
    )


def test_json_parses_back_with_null_for_nan() -> None:
    summary = lines([*A, *B])
    compared = comparisons([*A, *B])
    whole = json.loads(render.to_json(summary, compared, {"skipped": {"kitti": "not here"}}))
    assert whole["skipped"] == {"kitti": "not here"}
    assert whole["lines"][0]["figures"]["abs_rel"]["mean"] == summary[0].figures["abs_rel"].mean
    assert whole["lines"][0]["figures"]["rmse"]["low"] is None
    assert whole["lines"][0]["scored"] == 12
    assert list(whole["protocols"]) == ["marigold"]
    assert whole["comparisons"][0]["paired"]["p"] == compared[0].paired.p


def test_the_terminal_shows_every_field() -> None:
    (table,) = report.result_tables(lines([*A, *B]), TITLES)
    console = Console(file=io.StringIO(), width=200)
    console.print(render.to_rich(table))
    assert isinstance(console.file, io.StringIO)
    shown = console.file.getvalue()
    for cells in table.rows:
        for cell in cells:
            for part in cell.text.split(" ["):  # intervals stand on a line of their own
                assert part in shown
    assert "protocol: least squares" in shown


def test_comparison_uses_shared_frames() -> None:
    fewer = [one for one in B if one.frame != "x/0"]
    first, second = comparisons([*A, *fewer])
    assert (first.figure, second.figure) == ("abs_rel", "delta1")
    assert first.paired.difference.n == 11
    assert first.paired.difference.mean == pytest.approx(0.01)
    assert (first.paired.wins, first.paired.losses) == (0, 11)
    assert first.paired.p == pytest.approx(0.25)  # three scenes: 2 of 8 sign patterns
    table = report.comparison_table([first, second])
    assert [cells[-1].text for cells in table.rows] == ["0 : 11", "0 : 11"]  # lost by either figure
    assert table.rows[0][6].text.startswith("+1.00 [")
    assert comparisons([*A, row("other", "x/0", 0.1, benchmark="kitti")]) == []


def test_sources_are_means_of_the_first_part_of_names() -> None:
    found = [one for one in sources(A) if one.figure == "abs_rel"]
    assert found[0].counts == {"x": 4, "y": 4, "z": 4}
    assert found[0].means["x"] == pytest.approx(0.05 + 0.001 * (0 + 3 + 6 + 9) / 4)
    tables = report.source_tables(sources([*A, *B]))
    assert tables[0].heads == ("source", "n", "a_b", "dir:B|1")
    assert [cells[0].text for cells in tables[0].rows] == ["x", "y", "z", "mean over 3 sources"]
    assert sources([row("m", "flat", 0.1)]) == []


def test_intervals_in_words() -> None:
    assert report.interval_text("abs_rel", Interval(0.0552, 0.0531, 0.0574, 9, 9)) == "5.52 [5.31, 5.74]"
    assert report.interval_text("rmse", Interval(0.5, math.nan, math.nan, 9, 0)) == "0.500"
    assert report.interval_text("abs_rel", None) == "–"
    assert report.interval_text("abs_rel", Interval(math.nan, math.nan, math.nan, 0, 0)) == "–"


def test_published_rows_stand_below_measured_ones_of_the_same_protocol_only() -> None:
    published = [*published_rows("nyu", "marigold"), *published_rows("kitti", "marigold")]
    measured = lines([*A, row("a_b", "x/1", 0.3, protocol="metric")])
    with_published, metric = report.result_tables(measured, TITLES, published=published)
    assert len(with_published.rows) == 1 + len(published_rows("nyu", "marigold"))
    assert len(metric.rows) == 1
    assert with_published.heads[-1] == "source"
    assert "source" not in metric.heads
    first, *others = with_published.rows
    assert first[-1].text == "measured here"
    assert {len(cells) for cells in with_published.rows} == {len(with_published.heads)}
    names = [cells[0].text for cells in others]
    marigold = others[names.index("Marigold v1-0")]
    assert "Marigold, CVPR 2024, table 1" in {cells[-1].text for cells in others}
    # in the unit of the measured rows, with the digits of the source
    assert [cell.text for cell in marigold[:5]] == ["Marigold v1-0", "50 × 1", "all", "6", "95.9"]
    assert not any(cell.bold for cells in others for cell in cells)
    assert "published figures are of the whole data set" in with_published.notes[-1]


def test_a_figure_that_few_frames_have_says_so() -> None:
    def with_f1(one: Row, value: float) -> Row:
        entry = one.entries[0]
        return replace(one, entries=(replace(entry, figures={**entry.figures, "boundary_f1": value}),))

    some = [with_f1(one, math.nan if index else 0.5) for index, one in enumerate(A)]
    (table,) = report.result_tables(lines(some), TITLES)
    assert "a_b: not every scored frame has every figure; frames: boundary F1 1" in table.notes
    (table,) = report.result_tables(lines(A), TITLES)
    assert not any("not every" in note for note in table.notes)
