"""What stands in the tables of an evaluation. How they are written is ``render``'s.

One table holds one protocol on one benchmark, so that a figure can't be read without either. Bold is the best mean,
given only where all lines scored the same frames.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from latentdepth.evaluate.figures import FIGURES, MAIN
from latentdepth.evaluate.protocol import PROTOCOLS
from latentdepth.evaluate.published import PublishedRow
from latentdepth.evaluate.render import Cell, Table
from latentdepth.evaluate.statistics import Interval
from latentdepth.evaluate.summary import BySource, Comparison, Line

_ALSO = ("rmse", "median_deg", "boundary_f1", "edge_accuracy_px", "edge_completeness_px")
SHOWN = (*MAIN, *_ALSO, "chamfer_m", "f_score", "ause", "ause_gradient")
"""Figures of the printed tables; the files of rows and the JSON hold all."""


def result_tables(
    lines: Sequence[Line],
    titles: Mapping[str, str],
    *,
    notices: Mapping[str, str] | None = None,
    published: Sequence[PublishedRow] = (),
) -> list[Table]:
    """A table for every benchmark and protocol, ``published`` rows of the same two below the measured ones.

    ``titles`` and ``notices`` are the benchmarks' by key. Published rows of other protocols are left out.
    """
    keys = dict.fromkeys((line.benchmark, line.protocol) for line in lines)
    tables = []
    for key in keys:
        measured = [line for line in lines if (line.benchmark, line.protocol) == key]
        rows = [row for row in published if (row.data_set, row.protocol) == key]
        notes = [notices[key[0]]] if notices and key[0] in notices else []
        tables.append(_result_table(measured, rows, titles.get(key[0], key[0]), notes))
    return tables


def _result_table(lines: Sequence[Line], published: Sequence[PublishedRow], title: str, notes: Sequence[str]) -> Table:
    shown = [name for name in SHOWN if any(name in line.figures for line in lines)]
    together = len({line.scored for line in lines}) == 1
    best = {name: _best(lines, name) if together and len(lines) > 1 else None for name in shown}
    rows = []
    for line in lines:
        cells = [Cell(line.model), Cell(_work(line.steps, line.members)), Cell(_count(line))]
        for name in shown:
            interval = line.figures.get(name)
            mean = math.nan if interval is None else interval.mean
            cells.append(Cell(interval_text(name, interval), bold=best[name] is not None and mean == best[name]))
        cells.append(Cell("–" if line.seconds is None else f"{line.seconds:.3g}"))
        rows.append((*cells, *([Cell("measured here")] if published else [])))
    for row in published:
        # six digits: what the source printed, and none that it didn't
        scaled = {
            name: value * (100 if FIGURES[name].percent else 1) for name, value in row.figures.items() if name in shown
        }
        texts = [f"{scaled[name]:.6g}" if name in scaled else "–" for name in shown]
        source = f"{row.source.title}{', not checked' if row.source.checked == 'third_party' else ''}"
        words = (row.system, _work(row.steps, row.members), "all", *texts, "–", source)
        rows.append(tuple(map(Cell, words)))
    heads = ("model", "steps × members", "n", *(FIGURES[name].head for name in shown), "s / image")
    rule = PROTOCOLS[lines[0].protocol]
    said = [f"protocol: {rule.title} ({rule.source})", *notes, *_how_sure(lines, together)]
    if published:
        heads = (*heads, "source")
        said.append(
            "published figures are of the whole data set as each source prepared it; where fewer frames were measured "
            "here, they are not comparable"
        )
    return Table(f"{title} · protocol {rule.key}", heads, tuple(rows), tuple(said))


def _how_sure(lines: Sequence[Line], together: bool) -> list[str]:
    """What intervals mean, and which frames are not in the means."""
    notes = []
    drawn = [interval for line in lines for interval in line.figures.values() if interval.groups]
    if drawn:
        what = "scenes" if any(interval.groups < interval.n for interval in drawn) else "frames"
        notes.append(f"in brackets: 95 % bootstrap interval of the mean over frames, drawing {what}")
    if not together:
        notes.append("the models scored different frames, so no figure is bold; --compare uses the frames they share")
    for line in lines:
        fewer = {name: line.figures[name].n for name in SHOWN if name in line.figures}
        fewer = {name: n for name, n in fewer.items() if n < len(line.scored)}
        if fewer:
            said = ", ".join(f"{FIGURES[name].label} {n}" for name, n in fewer.items())
            notes.append(f"{line.model}: not every scored frame has every figure; frames: {said}")
    return notes + [f"{line.model}: {_faults(line)}" for line in lines if line.faults]


def overview_tables(lines: Sequence[Line], titles: Mapping[str, str]) -> list[Table]:
    """Where there are several benchmarks: one table a protocol, models by benchmarks, the first two main figures."""
    tables = []
    for protocol in dict.fromkeys(line.protocol for line in lines):
        of_protocol = [line for line in lines if line.protocol == protocol]
        benchmarks = list(dict.fromkeys(line.benchmark for line in of_protocol))
        names = [name for name in MAIN if any(name in line.figures for line in of_protocol)][:2]
        if len(benchmarks) < 2:
            continue
        rows = []
        for model in dict.fromkeys(line.model for line in of_protocol):
            cells = [Cell(model)]
            for benchmark in benchmarks:
                column = [line for line in of_protocol if line.benchmark == benchmark]
                bolds = len({line.scored for line in column}) == 1 and len(column) > 1
                mine = next((line for line in column if line.model == model), None)
                for name in names:
                    value = math.nan if mine is None or name not in mine.figures else mine.figures[name].mean
                    bold = bolds and value == _best(column, name)
                    cells.append(Cell(FIGURES[name].text(value) if math.isfinite(value) else "–", bold))
            rows.append(tuple(cells))
        heads = ("model", *(f"{key} {FIGURES[name].head}" for key in benchmarks for name in names))
        tables.append(Table(f"all benchmarks · protocol {protocol}", heads, tuple(rows)))
    return tables


def comparison_table(compared: Sequence[Comparison]) -> Table:
    """First model minus second, on the frames that both scored."""
    rows = []
    for one in compared:
        figure, result = FIGURES[one.figure], one.paired
        better, worse = (result.wins, result.losses) if figure.better == "low" else (result.losses, result.wins)
        sure = result.p < 0.05
        texts = (one.first, one.second, one.benchmark, one.protocol, figure.head, str(result.difference.n))
        p_text = "–" if math.isnan(result.p) else f"{result.p:.2g}"
        difference = Cell(interval_text(one.figure, result.difference, signed=True), bold=sure)
        rows.append((*map(Cell, texts), difference, Cell(p_text, bold=sure), Cell(f"{better} : {worse}")))
    heads = ("first", "second", "benchmark", "protocol", "figure", "n", "first − second", "p", "frames won : lost")
    notes = (
        "on the frames that both models scored; p is two-sided, by flipping the sign of whole scenes, and not "
        "corrected for the number of comparisons; bold: p < 0.05",
    )
    return Table("paired comparison", heads, tuple(rows), notes)


def source_tables(given: Sequence[BySource]) -> list[Table]:
    """A table for every benchmark, protocol and figure: sources by models."""
    tables = []
    for key in dict.fromkeys((one.benchmark, one.protocol, one.figure) for one in given):
        columns = [one for one in given if (one.benchmark, one.protocol, one.figure) == key]
        figure = FIGURES[key[2]]
        names = sorted({name for one in columns for name in one.means})
        rows = []
        for name in names:
            counts = {one.counts.get(name, 0) for one in columns}
            texts = [figure.text(one.means[name]) if name in one.means else "–" for one in columns]
            rows.append(tuple(map(Cell, (name, "/".join(map(str, sorted(counts))), *texts))))
        means = [Cell(figure.text(one.mean)) for one in columns]
        rows.append((Cell(f"mean over {len(names)} sources"), Cell(""), *means))
        heads = ("source", "n", *(one.model for one in columns))
        tables.append(Table(f"{key[0]} · protocol {key[1]} · {figure.head} by source", heads, tuple(rows)))
    return tables


def interval_text(name: str, interval: Interval | None, *, signed: bool = False) -> str:
    """``5.52 [5.31, 5.74]``; without brackets where there is no interval."""
    if interval is None or not math.isfinite(interval.mean):
        return "–"
    figure = FIGURES[name]
    mean = ("+" if signed and interval.mean > 0 else "") + figure.text(interval.mean)
    if not math.isfinite(interval.low):
        return mean
    return f"{mean} [{figure.text(interval.low)}, {figure.text(interval.high)}]"


def _best(lines: Sequence[Line], name: str) -> float | None:
    means = [line.figures[name].mean for line in lines if name in line.figures]
    means = [mean for mean in means if math.isfinite(mean)]
    if not means:
        return None
    return min(means) if FIGURES[name].better == "low" else max(means)


def _work(steps: int | None, members: int | None) -> str:
    return "–" if steps is None else f"{steps} × {members or 1}"


def _count(line: Line) -> str:
    return str(line.frames) if len(line.scored) == line.frames else f"{len(line.scored)} of {line.frames}"


def _faults(line: Line) -> str:
    said = ", ".join(f"{count} {fault}" for fault, count in sorted(line.faults.items()))
    return f"{said} (per_image.csv names the frames)"
