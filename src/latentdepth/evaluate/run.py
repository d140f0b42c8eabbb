"""The run: every model on every frame once, scored by every rule, one line on disk a frame.

Memory holds one model, one frame and the rows. A frame that can't be read or predicted is a row with a fault.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from latentdepth.core.types import Prediction
from latentdepth.data.benchmarks.benchmark import Benchmark, OrdinalSample
from latentdepth.data.sample import Sample
from latentdepth.evaluate.contender import Contender, MissingError
from latentdepth.evaluate.prediction_folder import PredictionFolder
from latentdepth.evaluate.protocol import Rule, default_rule, refusal
from latentdepth.evaluate.score import Scored, score
from latentdepth.evaluate.table import Entry, Journal, Row

# what a reader raises on a damaged file, a network on a photo it can't take, or a GPU on one too large
_ONE_FRAME = (ValueError, OSError, RuntimeError)
# the same command tries these again, since a file may have come or a disk been mended
_TRIED_AGAIN = ("unreadable", "missing", "failed")


@dataclass(frozen=True)
class Refused:
    """A model that a rule can't be applied to on a benchmark."""

    model: str
    benchmark: str
    protocol: str
    reason: str


@dataclass(frozen=True)
class Evaluated:
    """All rows asked for, those of an earlier run included, and what couldn't be asked."""

    rows: tuple[Row, ...]
    refused: tuple[Refused, ...]


def evaluate(
    contenders: Iterable[Contender],
    benchmarks: Sequence[Benchmark],
    rules: Sequence[Rule] | None,
    journal: Journal,
    *,
    extra: Sequence[str] = (),
    max_frames: int | None = None,
    on_frame: Callable[[Row, bool], None] = lambda row, made: None,
    on_scored: Callable[[Contender, Benchmark, Sequence[Rule], Sequence[Row]], None] = lambda *_: None,
) -> Evaluated:
    """Score ``contenders``, made one at a time, by ``rules`` (None: the default of each model and benchmark).

    ``max_frames`` takes that many frames evenly spread over each benchmark. ``on_frame`` gets every row and whether it
    was made now; ``on_scored`` a model that has done a benchmark, while it is still loaded. Raises ValueError where no
    rule applies to any model, two models or benchmarks have one name, a benchmark has two frames of one name, or
    settings differ from the journal's.
    """
    names: dict[str, list[str]] = {}
    for benchmark in benchmarks:
        if benchmark.facts.key in names:
            raise ValueError(f"{benchmark.facts.key} is named twice; name each benchmark once")
        names[benchmark.facts.key] = _names(benchmark)
        frames = {"title": benchmark.facts.title, "frames": len(benchmark), "crop": benchmark.facts.crop}
        journal.declare(f"benchmark {benchmark.facts.key}", frames)
    rows: list[Row] = []
    refused: list[Refused] = []
    seen: set[str] = set()
    for contender in contenders:
        if contender.name in seen:
            raise ValueError(f"{contender.name} is named twice; name each model once")
        seen.add(contender.name)
        journal.declare(contender.name, contender.settings)
        for benchmark in benchmarks:
            key, truth = benchmark.facts.key, benchmark.facts.truth
            # of pairs and normals there is one protocol each, whatever is asked for depth
            chosen = rules is not None and truth not in ("point_pairs", "normals")
            asked = rules if rules is not None and chosen else [default_rule(truth, contender.kind)]
            reasons = {rule.key: refusal(rule, contender.kind, truth) for rule in asked}
            refused += [Refused(contender.name, key, rule, why) for rule, why in reasons.items() if why is not None]
            applied = [rule for rule in asked if reasons[rule.key] is None]
            if applied:
                indices = spread(len(benchmark), max_frames)
                if isinstance(contender, PredictionFolder):
                    # two files for a frame, or none for all: better said now than after hours of other models
                    contender.holes([names[key][index] for index in indices])
                taken = {index: names[key][index] for index in indices}
                mine = _over_frames(contender, benchmark, taken, applied, journal, extra, on_frame)
                on_scored(contender, benchmark, applied, mine)
                rows += mine
    if not rows:
        reasons = "; ".join(f"{r.model} on {r.benchmark} by {r.protocol}: {r.reason}" for r in refused)
        raise ValueError(f"nothing could be scored: {reasons or 'no benchmark has a frame'}")
    return Evaluated(tuple(rows), tuple(refused))


def spread(count: int, most: int | None) -> list[int]:
    """``most`` numbers of ``range(count)``, evenly spread, the same each time; all where ``most`` is None."""
    if most is not None and most < 1:
        raise ValueError(f"max_frames is {most}; allowed is 1 or more")
    if most is None or most >= count:
        return list(range(count))
    return [k * count // most for k in range(most)]


def _names(benchmark: Benchmark) -> list[str]:
    names = [benchmark.frame(index) for index in range(len(benchmark))]
    if len(set(names)) != len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"{benchmark.facts.key}: two frames are called {twice}; a row must have one frame")
    return names


def _over_frames(
    contender: Contender,
    benchmark: Benchmark,
    names: Mapping[int, str],
    rules: Sequence[Rule],
    journal: Journal,
    extra: Sequence[str],
    on_frame: Callable[[Row, bool], None],
) -> list[Row]:
    done = journal.done(contender.name, benchmark.facts.key)
    rows = []
    for index, name in names.items():
        row = done.get(name)
        made = row is None or any(entry.fault in _TRIED_AGAIN for entry in row.entries)
        if row is None or made:
            row = _row(contender, benchmark, index, name, rules, extra)
            journal.add(row)
        rows.append(row)
        on_frame(row, made)
    return rows


def _row(
    contender: Contender, benchmark: Benchmark, index: int, name: str, rules: Sequence[Rule], extra: Sequence[str]
) -> Row:
    """One frame, whatever happens to it."""
    empty = Row(contender.name, benchmark.facts.key, name, "", None, None, None, ())
    try:
        sample = benchmark[index]
    except _ONE_FRAME as error:
        return replace(empty, entries=_faulty(rules, "unreadable", error))
    empty = replace(empty, group=sample.group)
    try:
        prediction, seconds = predicted(contender, name, sample)
    except MissingError as error:
        return replace(empty, entries=_faulty(rules, "missing", error))
    except _ONE_FRAME as error:
        return replace(empty, entries=_faulty(rules, "failed", error))
    entries = []
    for rule in rules:
        try:
            scored = score(prediction, sample, benchmark.facts, rule, extra=extra)
        except _ONE_FRAME as error:
            entries += _faulty([rule], "failed", error)
        else:
            entries.append(_entry(rule, scored))
    steps, members = (_whole(prediction.made_with.get(word)) for word in ("steps", "members"))
    return replace(empty, seconds=seconds, steps=steps, members=members, entries=tuple(entries))


def predicted(contender: Contender, name: str, sample: Sample | OrdinalSample) -> tuple[Prediction, float]:
    """The prediction and the seconds it took, result on the CPU."""
    started = time.perf_counter()
    prediction = contender.predict(name, sample.image[None])
    spread_map = None if prediction.uncertainty is None else prediction.uncertainty.cpu()
    prediction = replace(prediction, value=prediction.value.cpu(), uncertainty=spread_map)
    return prediction, time.perf_counter() - started


def _entry(rule: Rule, scored: Scored) -> Entry:
    return Entry(rule.key, scored.figures, scored.valid_pixels, scored.fault, scored.note)


def _faulty(
    rules: Sequence[Rule], fault: Literal["unreadable", "missing", "failed"], error: Exception
) -> tuple[Entry, ...]:
    return tuple(Entry(rule.key, {}, 0, fault, " ".join(str(error).split()) or type(error).__name__) for rule in rules)


def _whole(value: object) -> int | None:
    return int(value) if isinstance(value, int | float) and math.isfinite(value) else None
