"""Ablations: one thing of a prediction varied, everything else fixed, every setting on the same frames.

A setting is a contender of ``run``, so rows are resumable and a finished setting is not run again. This file makes the
settings, and turns rows into points, tables and plots. It trains nothing: settings of training come ready made.
"""

from __future__ import annotations

import csv
import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, get_args

import torch

from latentdepth.core.schedule import Spacing
from latentdepth.evaluate.contender import Network
from latentdepth.evaluate.figures import FIGURES, MAIN
from latentdepth.evaluate.plots import Curve, Panel, as_numbers, plot_sweep
from latentdepth.evaluate.render import Cell, Table, to_markdown
from latentdepth.evaluate.report import interval_text
from latentdepth.evaluate.statistics import Interval, Paired, mean_interval, paired
from latentdepth.evaluate.table import Row, Setting
from latentdepth.models.diffusion import DiffusionModel
from latentdepth.options import PredictOptions, SamplerName
from latentdepth.predictor import DiffusionPredictor, Predictor

NUMBERS = ("members", "steps", "resolution", "seed")
WORDS: Mapping[str, tuple[str, ...]] = {"sampler": get_args(SamplerName), "spacing": get_args(Spacing)}
VARIED = (*NUMBERS, *WORDS)
"""What can be varied of a prediction."""
UNTRAINED = "untrained"
"""The value under which the model that trainings start from is measured."""
EFFORTS = ("steps", "members")
"""What more of is more work for the same photo, so that a gain per photo makes sense."""


@dataclass(frozen=True)
class Varied(Network):
    """A network under one setting of an ablation."""

    about: Mapping[str, Setting] = field(default_factory=dict, kw_only=True)
    """What the values depend on beside the options, such as the spacing or the steps of training."""

    @property
    def settings(self) -> Mapping[str, Setting]:
        return {**super().settings, **self.about}


def settings(
    predictor: Predictor, vary: str, values: Sequence[str], options: PredictOptions, *, dtype: str = "auto"
) -> Iterator[Varied]:
    """The predictor once for each value of ``vary``, named ``members=5``.

    Everything is checked before the first is given. Raises ValueError for a thing that can't be varied, values that
    are not allowed or given twice, and a model that doesn't take it.
    """
    if vary not in VARIED:
        raise ValueError(f"vary is {vary!r}; of a prediction {', '.join(VARIED)} can be varied")
    check_values(vary, values)
    found = []
    for value in values:
        if vary == "spacing":
            if not isinstance(predictor, DiffusionPredictor):
                raise ValueError("spacing can't be varied of this model: its timesteps are not ours to choose")
            spaced = respaced(predictor, value)  # pyright: ignore[reportArgumentType]  (checked above)
            found.append(Varied(f"{vary}={value}", spaced, options, dtype, about={"spacing": value}))
        else:
            given: Any = value if vary in WORDS else int(value)
            found.append(Varied(f"{vary}={value}", predictor, replace(options, **{vary: given}), dtype))
        _check_taken(found[-1], vary, first=len(found) == 1)
    return iter(found)


def _check_taken(one: Varied, vary: str, *, first: bool) -> None:
    """By its plan, or, of a network of another make, by asking for a small prediction under the first setting."""
    if isinstance(one.predictor, DiffusionPredictor):
        plan = one.predictor.plan(one.options)
        if plan.sampler == "ddim":
            one.predictor.model.schedule.timesteps(plan.steps)
    elif first:
        try:
            one.predict("", torch.full((1, 3, 64, 64), 0.5))
        except ValueError as error:
            raise ValueError(f"{vary} can't be varied of this model: {error}") from error


def check_values(vary: str, values: Sequence[str]) -> None:
    """Two or more different values that ``vary`` can have. ValueError says which one can't."""
    if len(set(values)) != len(values) or len(values) < 2:
        raise ValueError(f"{vary} is varied over {', '.join(values) or 'nothing'}; give two or more different values")
    for value in values:
        if vary in NUMBERS and not (value.isascii() and value.isdigit()):
            raise ValueError(f"{vary} is {value!r}; a whole number is needed, such as --vary {vary} 1,2,4")
        if vary in WORDS and value not in WORDS[vary]:
            raise ValueError(f"{vary} is {value!r}; allowed are {', '.join(WORDS[vary])}")


def respaced(predictor: DiffusionPredictor, spacing: Spacing) -> DiffusionPredictor:
    """The same networks with another choice of timesteps. Matters to the ddim sampler alone."""
    model = predictor.model
    schedule = replace(model.schedule, spacing=spacing)
    again = DiffusionModel(model.unet, model.vae, schedule, model.prompt, model.facts)
    return DiffusionPredictor(again.freeze(), predictor.name)


@dataclass(frozen=True)
class Point:
    """One setting on one benchmark by one protocol."""

    value: str
    benchmark: str
    protocol: str
    figures: Mapping[str, Interval]
    change: Mapping[str, Paired]
    """This setting minus the first one, frame by frame."""
    seconds: float
    """Time per photo that nine in ten exceed: other programs only ever add to it. NaN where none was taken."""
    left_out: int
    """Frames that have no figure at some setting: they count at none."""
    flagged: int
    """Frames that count but are marked: constant predictions, near and far swapped by the fit."""


def points(rows: Sequence[Row], vary: str, values: Sequence[str]) -> list[Point]:
    """Every setting on every benchmark, over the frames that have finite figures at all settings.

    Raises ValueError where that leaves no frame.
    """
    found = []
    pairs = dict.fromkeys((row.benchmark, entry.protocol) for row in rows for entry in row.entries)
    for benchmark, protocol in pairs:
        table = {
            value: {row.frame: row for row in rows if (row.model, row.benchmark) == (f"{vary}={value}", benchmark)}
            for value in values
        }
        names = _figures_of(table[values[0]].values(), protocol)
        frames = [
            frame
            for frame in table[values[0]]
            if all(frame in one and _finite(one[frame], protocol, names) for one in table.values())
        ]
        if not frames or not names:
            raise ValueError(f"{benchmark}: no frame has figures at every setting of {vary}; look at rows.jsonl")
        groups = [table[values[0]][frame].group for frame in frames]
        columns = {
            value: {name: [_figure(one[frame], protocol, name) for frame in frames] for name in names}
            for value, one in table.items()
        }
        for value, one in table.items():
            times = [row.seconds for row in one.values() if row.seconds is not None]
            marked = [entry.fault for frame in frames for entry in one[frame].entries if entry.protocol == protocol]
            found.append(
                Point(
                    value,
                    benchmark,
                    protocol,
                    {name: mean_interval(columns[value][name], groups) for name in names},
                    {name: paired(columns[value][name], columns[values[0]][name], groups) for name in names},
                    sorted(times)[len(times) // 10] if times else math.nan,
                    len(one) - len(frames),
                    sum(fault is not None for fault in marked),
                )
            )
    return found


def errors_by_effort(
    rows: Sequence[Row], vary: str, values: Sequence[str], benchmark: str
) -> tuple[str, list[str], list[str], dict[int, list[float]]]:
    """For ``gain``: the name of the error, frames, their groups, and each frame's error (or NaN) at every effort.

    By the first protocol of the rows.
    """
    table = {
        value: {row.frame: row for row in rows if (row.model, row.benchmark) == (f"{vary}={value}", benchmark)}
        for value in values
    }
    first = table[values[0]]
    frames = [frame for frame in first if all(frame in one for one in table.values())]
    protocol = next(entry.protocol for row in first.values() for entry in row.entries)
    present = {name for row in first.values() for entry in row.entries for name in entry.figures}
    name = next(one for one in ("abs_rel", "mean_deg", "whdr") if one in present)
    errors = {int(value): [_figure(one[frame], protocol, name) for frame in frames] for value, one in table.items()}
    return name, frames, [first[frame].group for frame in frames], errors


def write_points(
    found: Sequence[Point], folder: Path, *, vary: str, about: Mapping[str, Any], titles: Mapping[str, str]
) -> list[Path]:
    """``VARY.csv``, ``.json``, ``.md`` and ``.png`` in ``folder``. ``about`` is put at the head of the JSON.

    ``titles`` are the benchmarks' by key.
    """
    folder.mkdir(parents=True, exist_ok=True)
    paths = [folder / f"{vary}.{suffix}" for suffix in ("csv", "json", "md", "png")]
    with paths[0].open("w", newline="", encoding="utf-8") as file:
        flat = [_flat(point, vary) for point in found]
        writer = csv.DictWriter(file, list(dict.fromkeys(key for row in flat for key in row)), lineterminator="\n")
        writer.writeheader()
        writer.writerows(flat)
    table: dict[str, Any] = {"varied": vary, **about, "points": [asdict(point) for point in found]}
    paths[1].write_text(json.dumps(_without_nan(table), indent=2, allow_nan=False) + "\n", encoding="utf-8")
    texts = [to_markdown(table) for table in tables(found, vary, titles)]
    paths[2].write_text("\n".join(texts), encoding="utf-8")
    draw(found, paths[3], vary=vary, titles=titles)
    return paths


def tables(found: Sequence[Point], vary: str, titles: Mapping[str, str]) -> list[Table]:
    """A table for each benchmark and protocol: figures with intervals, change against the first setting, time."""
    made = []
    for benchmark, protocol in dict.fromkeys((point.benchmark, point.protocol) for point in found):
        rows = [point for point in found if (point.benchmark, point.protocol) == (benchmark, protocol)]
        names, start = list(rows[0].figures), rows[0].value
        cells = []
        for point in rows:
            texts = [point.value]
            for name in names:
                change = interval_text(name, point.change[name].difference, signed=True)
                texts += [interval_text(name, point.figures[name]), "" if point is rows[0] else change]
            texts.append(f"{point.seconds:.3g}" if math.isfinite(point.seconds) else "–")
            cells.append(tuple(map(Cell, texts)))
        heads = [head for name in names for head in (FIGURES[name].head, f"change from {start}")]
        counted = rows[0].figures[names[0]]
        notes = [
            f"{counted.n} frames of {counted.groups} scenes at every setting; in brackets: 95 % bootstrap intervals, "
            "drawing scenes; changes are paired, frame by frame; s / image: nine in ten took longer"
        ]
        if any(point.left_out for point in rows):
            notes.append(
                f"{max(point.left_out for point in rows)} frames lack a figure at some setting and count at none"
            )
        if any(point.flagged for point in rows):
            counts = ", ".join(f"{point.flagged} at {point.value}" for point in rows)
            notes.append(f"flagged (constant, or near and far swapped by the fit) but counted: {counts}")
        title = f"{titles.get(benchmark, benchmark)} · protocol {protocol} · {vary} varied"
        made.append(Table(title, (vary, *heads, "s / image"), tuple(cells), tuple(notes)))
    return made


def draw(found: Sequence[Point], path: Path, *, vary: str, titles: Mapping[str, str]) -> Path:
    """Figures against the thing varied; bands are those of the paired change, put around each mean.

    Frames differ from each other far more than settings do, so intervals of the means themselves would overlap where
    every single frame got better. At the first setting the band has no width.
    """
    values = list(dict.fromkeys(point.value for point in found))
    if as_numbers(values[:-1]) and values[-1] == UNTRAINED:  # which has no place on an axis of numbers
        values, found = values[:-1], [point for point in found if point.value != UNTRAINED]
    labels = list(dict.fromkeys((point.benchmark, point.protocol) for point in found))
    panels = []
    for name in (one for one in MAIN if any(one in point.figures for point in found)):
        factor = 100 if FIGURES[name].percent else 1
        curves = []
        for benchmark, protocol in labels:
            rows = [point for point in found if (point.benchmark, point.protocol) == (benchmark, protocol)]
            start = rows[0].figures[name].mean
            curves.append(
                Curve(
                    f"{titles.get(benchmark, benchmark)}, {rows[0].figures[name].n} frames",
                    [factor * point.figures[name].mean for point in rows],
                    [factor * (start + point.change[name].difference.low) for point in rows],
                    [factor * (start + point.change[name].difference.high) for point in rows],
                )
            )
        panels.append(Panel(FIGURES[name].head, curves))
    seconds = [max(point.seconds for point in found if point.value == value) for value in values]
    drawn = "bars" if as_numbers(values) is None else "bands"
    caption = f"{drawn}: 95 % of the paired change from {vary} = {values[0]}, bootstrap over scenes"
    return plot_sweep(values, panels, seconds, path, axis=vary, caption=caption)


def _figures_of(rows: Any, protocol: str) -> list[str]:
    present = {name for row in rows for entry in row.entries if entry.protocol == protocol for name in entry.figures}
    return [name for name in MAIN if name in present]


def _figure(row: Row, protocol: str, name: str) -> float:
    return next((entry.figures.get(name, math.nan) for entry in row.entries if entry.protocol == protocol), math.nan)


def _finite(row: Row, protocol: str, names: Sequence[str]) -> bool:
    return all(math.isfinite(_figure(row, protocol, name)) for name in names)


def _flat(point: Point, vary: str) -> dict[str, Any]:
    row: dict[str, Any] = {vary: point.value, "benchmark": point.benchmark, "protocol": point.protocol}
    for name, interval in point.figures.items():
        row |= {"frames": interval.n, "scenes": interval.groups}
        row |= {name: interval.mean, f"{name}_low": interval.low, f"{name}_high": interval.high}
        change = point.change[name]
        row |= {f"{name}_change": change.difference.mean, f"{name}_change_low": change.difference.low}
        row |= {f"{name}_change_high": change.difference.high, f"{name}_change_p": change.p}
    return row | {"seconds": point.seconds, "left_out": point.left_out, "flagged": point.flagged}


def _without_nan(value: Any) -> Any:
    """JSON has no NaN: null."""
    if isinstance(value, Mapping):
        return {key: _without_nan(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [_without_nan(one) for one in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
