"""Does a photo that looks complex gain more from more steps? Rank correlation of complexity with the measured gain.

The gain of a frame is its error with the least effort minus its error with more, both from the same seed: above 0 where
effort pays. Adaptive inference that spends steps by complexity can work only as far as the two are correlated, so this
is measured before it is believed. Knows errors and photos, not how the errors came about (``ablate`` does).

Spearman (1904); p-values by permutation, intervals by bootstrap over groups, since frames of one scene aren't
independent.
"""

from __future__ import annotations

import csv
import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from latentdepth.core.complexity import Calibration, Complexity, calibrate, complexity, mixed
from latentdepth.evaluate.figures import FIGURES
from latentdepth.evaluate.plots import Scatter, plot_gain

_LEAST_FRAMES = 5


@dataclass(frozen=True)
class Correlation:
    """Spearman's rank correlation of ``n`` pairs."""

    rho: float
    """In [-1, 1]; NaN where one side is constant or fewer than five pairs are finite."""
    low: float
    """2.5 % and 97.5 % of ``rho`` over resampled groups."""
    high: float
    p: float
    """Share of permutations with |rho| at least as large: against the hypothesis that the two are unrelated."""
    n: int
    groups: int
    """Groups with at least one pair."""


@dataclass(frozen=True)
class FrameGain:
    """One frame: how complex it is and how large its error is at each level of effort."""

    frame: str
    group: str
    complexity: Mapping[str, float]
    errors: Mapping[int, float]
    """Error by steps (or members)."""

    def gain(self, effort: int) -> float:
        """Error at the least effort minus error at ``effort``."""
        return self.errors[min(self.errors)] - self.errors[effort]


@dataclass(frozen=True)
class Gains:
    """What was found over a data set."""

    frames: tuple[FrameGain, ...]
    calibration: Calibration | None
    """Of these photos, for ``core.complexity.mixed``; None where they don't differ."""
    over_all: Mapping[str, Mapping[int, Correlation]]
    """By measure and effort."""
    within_groups: Mapping[str, Mapping[int, Correlation]]
    """The same with ranks taken inside each group: free of what tells one data source from another."""

    @property
    def efforts(self) -> list[int]:
        """Levels of effort above the least."""
        return sorted(self.frames[0].errors)[1:]


def measured_complexity(images: Iterable[Float[Tensor, "3 _h _w"]]) -> Complexity:
    """Complexity of photos of any sizes, read one at a time, as one batch."""
    each = [complexity(image[None]).named() for image in images]
    return Complexity(**{name: torch.cat([one[name] for one in each]) for name in each[0]})


def gains(
    frames: Sequence[str],
    groups: Sequence[str],
    measured: Complexity,
    errors: Mapping[int, Sequence[float]],
    *,
    draws: int = 2000,
    seed: int = 0,
) -> Gains:
    """Correlate every measure, and the calibrated mixture, with the gain at every effort.

    ``errors[effort][i]`` is the error of frame i; a frame whose error is not finite at some effort is left out of that
    correlation. Raises ValueError for fewer than two levels of effort or lists of different lengths.
    """
    if len(errors) < 2:
        raise ValueError(f"errors are given for {len(errors)} level of effort; a gain needs at least two")
    lengths = {len(frames), len(groups), *(len(row) for row in errors.values()), len(measured.entropy_bits)}
    if len(lengths) != 1:
        raise ValueError(f"frames, groups, complexity and errors have lengths {sorted(lengths)}; allowed is one length")
    by_measure = {name: value.cpu().numpy() for name, value in measured.named().items()}
    try:
        calibration = calibrate(measured)
        by_measure["mixed"] = mixed(measured, calibration).cpu().numpy()
    except ValueError:  # photos of one complexity have nothing to calibrate on, and nothing to correlate either
        calibration = None
    table = tuple(
        FrameGain(
            frame,
            group,
            {name: float(value[i]) for name, value in by_measure.items()},
            {k: float(errors[k][i]) for k in sorted(errors)},
        )
        for i, (frame, group) in enumerate(zip(frames, groups, strict=True))
    )
    over_all: dict[str, dict[int, Correlation]] = {}
    within: dict[str, dict[int, Correlation]] = {}
    for name, value in by_measure.items():
        over_all[name], within[name] = {}, {}
        for effort in sorted(errors)[1:]:
            gain = np.array([row.gain(effort) for row in table])
            over_all[name][effort] = correlation(value, gain, groups, draws=draws, seed=seed)
            within[name][effort] = correlation(value, gain, groups, within=True, draws=draws, seed=seed)
    return Gains(table, calibration, over_all, within)


def correlation(
    x: Float[np.ndarray, " n"],
    y: Float[np.ndarray, " n"],
    groups: Sequence[str],
    *,
    within: bool = False,
    draws: int = 2000,
    seed: int = 0,
) -> Correlation:
    """Spearman's rho of pairs, with a 95 % interval and a p-value; pairs that are not finite are left out.

    ``within``: ranks are taken, centred and permuted inside each group, and groups count by their size. The interval
    resamples whole groups, so with few groups it is wide, and with one it is NaN. Equal input, equal result.
    """
    kept = np.isfinite(x) & np.isfinite(y)
    x, y = x[kept], y[kept]
    names, member = np.unique(np.asarray(groups, dtype=str)[kept], return_inverse=True)
    n, count = len(x), len(names)
    rho = _rho(x, y, member if within else None) if n >= _LEAST_FRAMES else math.nan
    if not math.isfinite(rho):
        return Correlation(math.nan, math.nan, math.nan, math.nan, n, count)
    draw = np.random.default_rng(seed)
    low, high = _interval(x, y, member, count, within, draw, draws)
    return Correlation(rho, low, high, _p_value(x, y, member, within, draw, draws), n, count)


def _interval(
    x: np.ndarray, y: np.ndarray, member: np.ndarray, count: int, within: bool, draw: np.random.Generator, draws: int
) -> tuple[float, float]:
    """2.5 % and 97.5 % of rho over ``draws`` choices of ``count`` whole groups with replacement."""
    if count < 2:
        return math.nan, math.nan
    chosen = draw.integers(count, size=(draws, count))
    if within:  # ranks inside a group don't depend on which groups were drawn, so sums of products do
        a, b = _centred(x, member), _centred(y, member)
        ab, aa, bb = (np.bincount(member, products, count)[chosen].sum(1) for products in (a * b, a * a, b * b))
        found = np.divide(ab, np.sqrt(aa * bb), out=np.full(draws, np.nan), where=aa * bb > 0)
    else:
        rows = [np.flatnonzero(member == k) for k in range(count)]
        indices = (np.concatenate([rows[k] for k in groups]) for groups in chosen)
        found = np.array([_rho(x[index], y[index], None) for index in indices])
    low, high = np.nanpercentile(found, [2.5, 97.5])
    return float(low), float(high)


def _p_value(
    x: np.ndarray, y: np.ndarray, member: np.ndarray, within: bool, draw: np.random.Generator, draws: int
) -> float:
    """Permutation of y, inside groups for ``within``; the observed order counts as one of the permutations."""
    a, b = _centred(x, member if within else None), _centred(y, member if within else None)
    blocks = [np.flatnonzero(member == k) for k in np.unique(member)] if within else [np.arange(len(y))]
    products = sum(draw.permuted(np.tile(b[block], (draws, 1)), axis=1) @ a[block] for block in blocks)
    as_large = np.abs(products) >= abs(a @ b) * (1 - 1e-12)
    return (int(as_large.sum()) + 1) / (draws + 1)


def ranks(values: Float[np.ndarray, " n"]) -> Float[np.ndarray, " n"]:
    """Ranks from 1; ties share the mean of theirs."""
    _, inverse, counts = np.unique(values, return_inverse=True, return_counts=True)
    return (np.cumsum(counts) - (counts - 1) / 2)[inverse]


def _centred(values: np.ndarray, member: np.ndarray | None) -> np.ndarray:
    """Ranks minus their mean as shares of their number, over all or inside each group."""
    if member is None:
        return (ranks(values) - (len(values) + 1) / 2) / len(values)
    found = np.empty(len(values))
    for k in np.unique(member):
        found[member == k] = _centred(values[member == k], None)
    return found


def _rho(x: np.ndarray, y: np.ndarray, member: np.ndarray | None) -> float:
    a, b = _centred(x, member), _centred(y, member)
    size = math.sqrt(float(a @ a) * float(b @ b))
    return float(a @ b) / size if size > 0 else math.nan


def write_gains(found: Gains, folder: Path, *, stem: str, varied: str, figure: str) -> list[Path]:
    """``STEM.csv``, a row for each frame, and ``STEM.json``, correlations and calibration; NaN becomes null."""
    efforts = sorted(found.frames[0].errors)
    measures = list(found.frames[0].complexity)
    head = ["frame", "group", *measures]
    head += [f"{figure}_{varied}_{k}" for k in efforts] + [f"gain_{varied}_{k}" for k in efforts[1:]]
    folder.mkdir(parents=True, exist_ok=True)
    paths = [folder / f"{stem}.csv", folder / f"{stem}.json"]
    with paths[0].open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(head)
        for row in found.frames:
            numbers = [*row.complexity.values(), *(row.errors[k] for k in efforts), *(row.gain(k) for k in efforts[1:])]
            writer.writerow([row.frame, row.group, *(f"{number:.8g}" for number in numbers)])
    table = {
        "varied": varied,
        "figure": figure,
        "least": efforts[0],
        "frames": len(found.frames),
        "calibration": None if found.calibration is None else asdict(found.calibration),
        "over_all": _plain(found.over_all),
        "within_groups": _plain(found.within_groups),
    }
    paths[1].write_text(json.dumps(table, indent=2, allow_nan=False) + "\n", encoding="utf-8")
    return paths


def draw_gains(found: Gains, path: Path, *, varied: str, figure: str) -> Path:
    """A panel for each measure: the gain of the most effort over the least, frame by frame (PNG)."""
    most, unit = found.efforts[-1], FIGURES[figure]
    factor = 100 if unit.percent else 1
    scatters = [
        Scatter(
            _LABELS[name],
            [row.complexity[name] for row in found.frames],
            [factor * row.gain(most) for row in found.frames],
            [row.group for row in found.frames],
            _note(found.over_all[name][most], found.within_groups[name][most]),
        )
        for name in found.frames[0].complexity
    ]
    least = min(found.frames[0].errors)
    axis = f"{unit.label}{' %' if unit.percent else ''} saved by {most}\nagainst {least} {varied}"
    return plot_gain(scatters, path, axis=axis)


_LABELS = {
    "gradient_energy": "gradient energy / px²",
    "mean_gradient": "mean gradient / px",
    "laplacian_variance": "Laplacian variance",
    "edge_density": "edge density",
    "entropy_bits": "histogram entropy, bits",
    "mixed": "energy and entropy, calibrated",
}


def _note(over_all: Correlation, within: Correlation) -> str:
    """Two lines: rho with its interval over all frames; rho with its p-value inside scenes."""
    lines = ["ρ undefined"] if math.isnan(over_all.rho) else [f"ρ = {_hundredths(over_all.rho)}"]
    if math.isfinite(over_all.low):
        lines[0] += f" [{_hundredths(over_all.low)}, {_hundredths(over_all.high)}]"
    if math.isfinite(within.rho) and within.groups > 1:
        lines.append(f"within scenes {_hundredths(within.rho)} (p = {within.p:.2g})")
    return "\n".join(lines)


def _hundredths(value: float) -> str:
    return f"{round(value, 2) + 0.0:.2f}".replace("-", "−")  # + 0.0 takes the sign off a zero


def _plain(table: Mapping[str, Mapping[int, Correlation]]) -> dict[str, dict[str, dict[str, float | None]]]:
    return {
        name: {
            str(effort): {k: v if math.isfinite(v) else None for k, v in asdict(found).items()}
            for effort, found in row.items()
        }
        for name, row in table.items()
    }
