"""The figures section of a model's card, in Markdown, from the rows of an evaluation.

One table a benchmark and protocol: a line for each source with bootstrap intervals over scenes, the mean over sources
in which each counts alike, and the frames that failed worst, with the sheet that shows them. Knows no networks.
"""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Sequence
from pathlib import Path

from latentdepth.evaluate.figures import FIGURES, MAIN
from latentdepth.evaluate.protocol import PROTOCOLS
from latentdepth.evaluate.render import Cell, Table, to_markdown
from latentdepth.evaluate.report import interval_text
from latentdepth.evaluate.sheet import sheet_name
from latentdepth.evaluate.statistics import Interval, mean_interval
from latentdepth.evaluate.table import Entry, Row, read_rows

_ALSO = ("boundary_f1", "ause", "ause_gradient")
_EVERYTHING = "all"


def card_section(folder: Path, model: str, *, worst: int = 3, seed: int = 0) -> str:
    """Markdown from ``folder/rows.jsonl`` of ``latentdepth evaluate``; sheets are linked relative to ``folder``.

    Raises ValueError for a folder without rows, and a model that has none.
    """
    rows = read_rows(folder / "rows.jsonl")
    mine = [row for row in rows if row.model == model]
    if not mine:
        known = ", ".join(dict.fromkeys(row.model for row in rows)) or "nothing"
        raise ValueError(f"{folder} has no row of {model!r}; it has rows of {known}")
    series: dict[tuple[str, str], list[tuple[Row, Entry]]] = defaultdict(list)
    for row in mine:
        for entry in row.entries:
            series[row.benchmark, entry.protocol].append((row, entry))
    parts = []
    for (benchmark, protocol), pairs in series.items():
        parts.append(to_markdown(_table(benchmark, protocol, pairs, seed)))
        parts.append(_gallery(folder, model, benchmark, pairs, worst))
    return "\n".join(part for part in parts if part)


def _table(benchmark: str, protocol: str, pairs: Sequence[tuple[Row, Entry]], seed: int) -> Table:
    names = [n for n in (*MAIN, *_ALSO) if any(math.isfinite(e.figures.get(n, math.nan)) for _, e in pairs)]
    sources = sorted({row.source or _EVERYTHING for row, _ in pairs})
    lines, means = [], defaultdict(list)
    for source in sources:
        of = [(row, entry) for row, entry in pairs if (row.source or _EVERYTHING) == source]
        cells = [Cell(source), Cell(str(len(of)))]
        for name in names:
            interval = _interval(of, name, seed)
            cells.append(Cell(interval_text(name, interval) if interval.n else "–"))
            means[name] += [interval.mean] if interval.n else []
        lines.append(tuple(cells))
    if len(sources) > 1:
        averages = [Interval(sum(v) / len(v) if v else math.nan, math.nan, math.nan, len(v), 0) for v in means.values()]
        last = [Cell(f"mean over {len(sources)} sources", bold=True), Cell(str(len(pairs)))]
        lines.append((*last, *(Cell(interval_text(n, i)) for n, i in zip(names, averages, strict=True))))
    notes = [
        "in brackets: 95 % bootstrap interval of the mean over frames, drawing scenes; none where there is one scene"
    ]
    faults = Counter(entry.fault for _, entry in pairs if entry.fault)
    notes += [", ".join(f"{count} {fault}" for fault, count in sorted(faults.items()))] if faults else []
    heads = ("source", "n", *(FIGURES[name].head for name in names))
    return Table(f"{benchmark} · protocol {protocol} ({PROTOCOLS[protocol].title})", heads, tuple(lines), tuple(notes))


def _interval(pairs: Sequence[tuple[Row, Entry]], name: str, seed: int) -> Interval:
    found = [(entry.figures.get(name, math.nan), row.group) for row, entry in pairs]
    found = [(value, group) for value, group in found if math.isfinite(value)]
    return mean_interval([value for value, _ in found], [group for _, group in found], seed=seed)


def _gallery(folder: Path, model: str, benchmark: str, pairs: Sequence[tuple[Row, Entry]], worst: int) -> str:
    """The frames with the largest AbsRel (mean angle for normals), and the sheet where there is one."""
    for figure in ("abs_rel", "mean_deg"):
        scored = [(e.figures[figure], row.frame) for row, e in pairs if math.isfinite(e.figures.get(figure, math.nan))]
        if scored and worst > 0:
            last = sorted(scored, key=lambda pair: (-pair[0], pair[1]))[:worst]
            said = "; ".join(f"`{frame}` ({FIGURES[figure].text(value)})" for value, frame in last)
            sheet = folder / "sheets" / sheet_name(model, benchmark)
            lines = [f"Worst frames by {FIGURES[figure].label}: {said}.", ""]
            if sheet.is_file():
                lines += [f"![best and worst frames on {benchmark}]({sheet.relative_to(folder).as_posix()})", ""]
            return "\n".join(lines)
    return ""
