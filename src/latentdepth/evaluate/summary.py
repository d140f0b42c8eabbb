"""Rows to numbers: a line a model, benchmark and protocol, with intervals, counts of faults, and paired comparisons.

A mean is over the frames that have the figure; how many those are and what became of the rest is part of the line.
How it looks is ``report``'s.
"""

from __future__ import annotations

import itertools
import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from latentdepth.evaluate.figures import FIGURES, MAIN
from latentdepth.evaluate.statistics import Interval, Paired, by_source, mean_interval, paired
from latentdepth.evaluate.table import Entry, Row


@dataclass(frozen=True)
class Line:
    """One row of a table."""

    model: str
    benchmark: str
    protocol: str
    steps: int | None
    members: int | None
    """None where the predictions don't say, or not all the same."""
    frames: int
    """Frames that were asked for."""
    scored: frozenset[str]
    """Frames with a figure."""
    faults: dict[str, int]
    seconds: float | None
    """Median time of a prediction."""
    figures: dict[str, Interval]
    """Intervals of the main figures; of the others the mean, with NaN bounds."""


@dataclass(frozen=True)
class Comparison:
    """Two models on the frames that both have, by one figure."""

    first: str
    second: str
    benchmark: str
    protocol: str
    figure: str
    paired: Paired


@dataclass(frozen=True)
class BySource:
    """Means of one model by source, and their mean."""

    model: str
    benchmark: str
    protocol: str
    figure: str
    counts: dict[str, int]
    means: dict[str, float]
    mean: float


def lines(rows: Iterable[Row], *, seed: int = 0) -> list[Line]:
    """Summarise, in the order in which models, benchmarks and protocols first appear."""
    made = []
    for (model, benchmark, protocol), pairs in _series(rows).items():
        names = [name for name in FIGURES if any(name in entry.figures for _, entry in pairs)]
        figures = {}
        for name in names:
            values, groups, _ = _finite(pairs, name)
            whole = name in MAIN
            figures[name] = mean_interval(values, groups, seed=seed) if whole else _mean(values)
        scored = frozenset(row.frame for row, entry in pairs if any(map(math.isfinite, entry.figures.values())))
        seconds = sorted(row.seconds for row, _ in pairs if row.seconds is not None)
        made.append(
            Line(
                model=model,
                benchmark=benchmark,
                protocol=protocol,
                steps=_only(row.steps for row, _ in pairs if row.seconds is not None),
                members=_only(row.members for row, _ in pairs if row.seconds is not None),
                frames=len(pairs),
                scored=scored,
                faults=dict(Counter(entry.fault for _, entry in pairs if entry.fault is not None)),
                seconds=seconds[len(seconds) // 2] if seconds else None,
                figures=figures,
            )
        )
    return made


def comparisons(rows: Iterable[Row], *, seed: int = 0) -> list[Comparison]:
    """Every two models on every benchmark and protocol that both have, by each main figure."""
    series = _series(rows)
    made = []
    for a, b in itertools.combinations(series, 2):
        if a[1:] != b[1:]:
            continue
        for name in MAIN:
            first = {row.frame: (value, row.group) for value, row in _by_frame(series[a], name)}
            second = {row.frame: value for value, row in _by_frame(series[b], name)}
            shared = [frame for frame in first if frame in second]
            if shared:
                compared = paired(
                    [first[frame][0] for frame in shared],
                    [second[frame] for frame in shared],
                    [first[frame][1] for frame in shared],
                    seed=seed,
                )
                made.append(Comparison(a[0], b[0], a[1], a[2], name, compared))
    return made


def sources(rows: Iterable[Row]) -> list[BySource]:
    """Means by the first part of the frames' names, for the main figures, where frames have such a part."""
    made = []
    for (model, benchmark, protocol), pairs in _series(rows).items():
        if not all(row.source for row, _ in pairs):
            continue
        for name in MAIN:
            values, _, taken = _finite(pairs, name)
            if values:
                means, mean = by_source(values, taken)
                counts = dict(Counter(taken))
                made.append(BySource(model, benchmark, protocol, name, counts, means, mean))
    return made


_Series = list[tuple[Row, Entry]]


def _series(rows: Iterable[Row]) -> dict[tuple[str, str, str], _Series]:
    series: dict[tuple[str, str, str], _Series] = defaultdict(list)
    for row in rows:
        for entry in row.entries:
            series[row.model, row.benchmark, entry.protocol].append((row, entry))
    return series


def _by_frame(pairs: _Series, name: str) -> list[tuple[float, Row]]:
    found = [(entry.figures.get(name, math.nan), row) for row, entry in pairs]
    return [(value, row) for value, row in found if math.isfinite(value)]


def _finite(pairs: _Series, name: str) -> tuple[list[float], list[str], list[str]]:
    """The figure of the frames that have it, their scenes and sources."""
    found = _by_frame(pairs, name)
    return [value for value, _ in found], [row.group for _, row in found], [row.source for _, row in found]


def _mean(values: Sequence[float]) -> Interval:
    mean = sum(values) / len(values) if values else math.nan
    return Interval(mean, math.nan, math.nan, len(values), 0)


def _only(values: Iterable[int | None]) -> int | None:
    distinct = set(values)
    return distinct.pop() if len(distinct) == 1 else None
