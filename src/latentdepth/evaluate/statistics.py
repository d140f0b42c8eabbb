"""How sure a mean over images is: bootstrap intervals, paired comparison of two models, means by source.

Frames of one scene resemble each other, so scenes are drawn, not frames (cluster bootstrap: Davison and Hinkley,
Bootstrap Methods and their Application, 1997, section 3.8); intervals that draw frames are too narrow. Numbers in,
numbers out; NaN rows are the caller's to leave out. All draws follow from the seed.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

DRAWS = 2000
_EXACT_GROUPS = 12  # 4096 sign patterns: all of them are tried


@dataclass(frozen=True)
class Interval:
    """A mean with the interval that holds it with probability ``level``; NaN bounds where one group is all there is."""

    mean: float
    low: float
    high: float
    n: int
    groups: int
    level: float = 0.95


@dataclass(frozen=True)
class Paired:
    """First model minus second, over the frames that both have."""

    difference: Interval
    p: float
    """Two-sided: how often sign flips of whole groups give as large a difference; NaN below two groups."""
    wins: int
    """Frames on which the first model's value is lower."""
    losses: int


def mean_interval(
    values: Sequence[float], groups: Sequence[str] = (), *, draws: int = DRAWS, seed: int = 0, level: float = 0.95
) -> Interval:
    """Mean over frames with its percentile bootstrap interval.

    ``groups`` names the scene of every value; an empty name is a scene of its own; without groups every frame is.
    Raises ValueError for NaN or infinite values, and groups of another length.
    """
    given = _checked(values)
    if len(given) == 0:
        return Interval(math.nan, math.nan, math.nan, 0, 0, level)
    sums, counts = _by_group(given, groups)
    mean = float(given.mean())
    if len(sums) < 2:
        return Interval(mean, math.nan, math.nan, len(given), len(sums), level)
    generator = np.random.default_rng(seed)
    means = np.empty(draws)
    block = max(1, 2_000_000 // len(sums))  # draws at once, so that memory stays bounded
    for first in range(0, draws, block):
        size = min(block, draws - first)
        drawn = generator.integers(0, len(sums), (size, len(sums)))
        means[first : first + size] = sums[drawn].sum(1) / counts[drawn].sum(1)
    low, high = np.quantile(means, [(1 - level) / 2, (1 + level) / 2])
    return Interval(mean, float(low), float(high), len(given), len(sums), level)


def paired(
    first: Sequence[float],
    second: Sequence[float],
    groups: Sequence[str] = (),
    *,
    draws: int = DRAWS,
    flips: int = 10_000,
    seed: int = 0,
    level: float = 0.95,
) -> Paired:
    """Compare two models frame by frame: the same frame in the same place. See ``mean_interval`` for ``groups``.

    The p-value flips the sign of each group's sum: all patterns up to 12 groups, else ``flips`` random ones and the
    one that was seen, so that it is never 0.
    """
    a, b = _checked(first), _checked(second)
    if len(a) != len(b):
        raise ValueError(f"{len(a)} values are compared with {len(b)}; give the frames that both models have")
    difference = a - b
    interval = mean_interval(difference.tolist(), groups, draws=draws, seed=seed, level=level)
    sums, _ = _by_group(difference, groups)
    p = math.nan if len(sums) < 2 else _sign_flip_p(sums, flips, seed)
    return Paired(interval, p, int((difference < 0).sum()), int((difference > 0).sum()))


def _sign_flip_p(sums: np.ndarray, flips: int, seed: int) -> float:
    seen = abs(sums.sum()) * (1 - 1e-12)  # equal sums may differ by rounding
    if len(sums) <= _EXACT_GROUPS:
        signs = np.array(list(itertools.product((-1.0, 1.0), repeat=len(sums))))
        return float((np.abs(signs @ sums) >= seen).mean())
    generator, extreme = np.random.default_rng(seed), 0
    block = max(1, 2_000_000 // len(sums))
    for start in range(0, flips, block):
        signs = generator.integers(0, 2, (min(block, flips - start), len(sums))) * 2.0 - 1
        extreme += int((np.abs(signs @ sums) >= seen).sum())
    return (extreme + 1) / (flips + 1)


def by_source(values: Sequence[float], sources: Sequence[str]) -> tuple[dict[str, float], float]:
    """Mean of each source, and the mean over sources, in which a large source weighs no more than a small one."""
    given = _checked(values)
    if len(given) != len(sources):
        raise ValueError(f"{len(given)} values have {len(sources)} sources; give one for each")
    sums, counts = _by_group(given, sources)
    names = list(dict.fromkeys(sources))
    means = dict(zip(names, (sums / counts).tolist(), strict=True))
    return means, float(np.mean(list(means.values()))) if means else math.nan


def _by_group(values: np.ndarray, groups: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
    """Sum and count of every group, in order of first appearance."""
    if len(groups) == 0:
        return values, np.ones(len(values))
    if len(groups) != len(values):
        raise ValueError(f"{len(values)} values have {len(groups)} groups; give one for each")
    keys = [name if name else f"\0{k}" for k, name in enumerate(groups)]  # \0: no name can hold it
    number = {key: k for k, key in enumerate(dict.fromkeys(keys))}
    index = np.array([number[key] for key in keys])
    return np.bincount(index, values), np.bincount(index).astype(float)


def _checked(values: Sequence[float]) -> np.ndarray:
    given = np.asarray(values, dtype=np.float64)
    if not np.isfinite(given).all():
        raise ValueError(
            f"{int((~np.isfinite(given)).sum())} of {len(given)} values are NaN or infinite; leave those frames out "
            "and count them"
        )
    return given
