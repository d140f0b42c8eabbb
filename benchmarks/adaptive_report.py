"""Tables and plots of ``adaptive.py report``: every controller at every threshold, replayed on measured answers.

Random control: the same numbers of answers, dealt to photos by chance (its mean is exact, no draw is needed). Oracle:
the cheapest mix for every price of a call, knowing the truth. Intervals are paired bootstraps over scenes.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from latentdepth.core.complexity import calibrate, mixed
from latentdepth.core.controllers import StepRule
from latentdepth.evaluate.calibrate import FrameEffort, Ladder, measures, replay
from latentdepth.evaluate.gain import correlation
from latentdepth.evaluate.statistics import paired

_COLOURS = {"fixed": "#222222", "random": "#999999", "doubling": "#0072B2", "convergence": "#D55E00"}
_COLOURS |= {"rule": "#009E73", "oracle": "#E69F00", "until certain": "#0072B2"}

_LINES = {"fixed": "o-", "random": "--"}


@dataclass(frozen=True)
class Curve:
    """Mean cost and mean error at every setting of one way to spend calls."""

    name: str
    calls: list[float]
    errors: list[float]


def report(rows: Sequence[dict[str, Any]], folder: Path) -> None:
    """Print the tables and write ``steps.png`` and ``members.png`` into ``folder``."""
    frames = [_frame(row) for row in rows]
    groups = [frame.group for frame in frames]
    settled = np.array([row["settled"] for row in rows])
    folder.mkdir(parents=True, exist_ok=True)
    print(f"{len(frames)} frames of {len(set(groups))} scenes; AbsRel by protocol disparity")
    _steps(frames, groups, folder)
    _members(frames, groups, settled, folder)


def _frame(row: dict[str, Any]) -> FrameEffort:
    ladders = {name: Ladder(**{k: tuple(v) for k, v in row[name].items()}) for name in _LADDERS}
    return FrameEffort(row["frame"], row["group"] or row["frame"], row["complexity"], **ladders)


_LADDERS = ("doubling", "convergence", "members")


def _steps(frames: Sequence[FrameEffort], groups: Sequence[str], folder: Path) -> None:
    doubling, convergence = [f.doubling for f in frames], [f.convergence for f in frames]
    counts = [2**k for k in range(len(doubling[0].calls))]
    errors = np.array([one.errors for one in doubling])
    fixed = Curve("fixed", [float(c) for c in counts], errors.mean(0).tolist())
    ruled = {most: _rule_rungs(frames, counts, most) for most in counts}
    rule = Curve(
        "rule",
        [float(np.mean([counts[k] for k in rungs])) for rungs in ruled.values()],
        [float(np.mean([errors[i, k] for i, k in enumerate(rungs)])) for rungs in ruled.values()],
    )
    random = [_dealt(errors, np.array(counts), rungs) for rungs in ruled.values()]
    oracle = _oracle(errors, np.array(counts, dtype=float))
    curves = [
        fixed,
        Curve("random", [c for c, _ in random], [e for _, e in random]),
        rule,
        _swept("doubling", doubling),
        _swept("convergence", convergence),
        oracle,
    ]
    print("\nfixed steps: AbsRel, change from one step [95 %], p")
    for k, count in enumerate(counts):
        print(f"{count:>3} {errors[:, k].mean():.4f}  {_difference(errors[:, k], errors[:, 0], groups)}")
    print(f"\noracle, who knows the truth: {oracle.calls[0]:.2f} calls {oracle.errors[0]:.4f}")
    print("\nrule: most steps, mean calls, AbsRel; random with the same histogram; difference from random [95 %], p")
    for (most, rungs), (_, dealt) in zip(ruled.items(), random, strict=True):
        mine = errors[np.arange(len(errors)), rungs]
        share = np.array([Counter(rungs)[k] for k in range(len(counts))]) / len(rungs)
        cost = np.mean([counts[k] for k in rungs])
        print(f"{most:>3} {cost:.2f} {mine.mean():.4f} {dealt:.4f}  {_difference(mine, errors @ share, groups)}")
    print("\ncontroller, threshold, mean calls, AbsRel, change from 8 fixed steps, from 1 fixed step")
    for name, ladders in (("doubling", doubling), ("convergence", convergence)):
        for tolerance in (0.2, 0.1, 0.05, 0.02, 0.01):
            found = replay(ladders, tolerance)
            mine = np.array([one.errors[k] for one, k in zip(ladders, found.stops, strict=True)])
            long, short = (_difference(mine, errors[:, k], groups) for k in (-1, 0))
            print(f"{name:<12} {tolerance:<5} {found.calls:>6.2f} {found.error:.4f}  {long} | {short}")
    _correlations(frames, groups, counts)
    _draw(curves, folder / "steps.png", "network evaluations a photo (one member)", "AbsRel, lower is better")


def _correlations(frames: Sequence[FrameEffort], groups: Sequence[str], counts: Sequence[int]) -> None:
    """Does what a photo looks like, or what the sampler sees, say what more work gains?"""
    one = np.array([frame.doubling.errors[0] for frame in frames])
    gain = {
        f"{count} steps over 1": one - np.array([f.doubling.errors[k] for f in frames])
        for k, count in enumerate(counts)
        if k
    }
    gain["all members over 1"] = np.array([f.members.errors[0] - f.members.errors[-1] for f in frames])
    seen = {name: np.array([f.complexity[name] for f in frames]) for name in frames[0].complexity}
    seen["mixed"] = mixed(measures(frames), calibrate(measures(frames))).numpy()
    seen["change, 1 to 2 steps"] = np.array([f.doubling.signal[1] for f in frames])
    seen["standard error of 4"] = np.array([f.members.signal[3] for f in frames])
    print("\nSpearman's rho with the gain in AbsRel [95 % over scenes], p; within scenes")
    for name, values in seen.items():
        for what, gained in gain.items():
            over, inside = correlation(values, gained, groups), correlation(values, gained, groups, within=True)
            print(
                f"{name:<22} {what:<20} {over.rho:+.2f} [{over.low:+.2f}, {over.high:+.2f}] p {over.p:.3f}; "
                f"{inside.rho:+.2f} p {inside.p:.3f}"
            )


def _members(frames: Sequence[FrameEffort], groups: Sequence[str], settled: np.ndarray, folder: Path) -> None:
    ladders = [frame.members for frame in frames]
    errors = np.array([one.errors for one in ladders])
    count = np.arange(1, errors.shape[1] + 1)
    print("\nmembers: AbsRel, change from 1 [95 %], p; distance to the median of 12 others, % of the range: mean, 95 %")
    for n in count:
        away = 100 * settled[:, n - 1]
        change = _difference(errors[:, n - 1], errors[:, 0], groups)
        print(f"{n:>3} {errors[:, n - 1].mean():.4f}  {change}  {away.mean():.3f} {np.quantile(away, 0.95):.3f}")
    print("\nuntil certain: threshold %, mean members, saved against 10, AbsRel, change from 10 fixed;")
    print("distance %: mine, random with the same histogram, difference [95 %], p; 95 %: mine, random")
    for tolerance in (0.02, 0.01, 0.008, 0.007, 0.006, 0.005, 0.004):
        stops = np.array(replay(ladders, tolerance).stops)
        mine, away = errors[np.arange(len(errors)), stops], settled[np.arange(len(errors)), stops]
        share = np.bincount(stops, minlength=len(count)) / len(stops)
        dealt = settled @ share
        cost = float(count[stops].mean())
        print(
            f"{100 * tolerance:>4.1f} {cost:>5.2f} {1 - cost / 10:>4.0%} {mine.mean():.4f}  "
            f"{_difference(mine, errors[:, 9], groups)} | {100 * away.mean():.3f} {100 * dealt.mean():.3f} "
            f"{_difference(100 * away, 100 * dealt, groups)} | {100 * _tail(away):.3f} "
            f"{100 * _mixed_quantile(settled, share, 0.95):.3f}"
        )
    _member_plots(ladders, errors, settled, count, folder)


def _member_plots(
    ladders: Sequence[Ladder], errors: np.ndarray, settled: np.ndarray, count: np.ndarray, folder: Path
) -> None:
    thresholds = np.geomspace(0.002, 0.1, 60)
    stops = [np.array(replay(ladders, float(one)).stops) for one in thresholds]
    shares = [np.bincount(one, minlength=len(count)) / len(one) for one in stops]
    cost = [float(count[one].mean()) for one in stops]
    rows = np.arange(len(errors))
    for name, table, label, factor in (
        ("members", errors, "AbsRel, lower is better", 1.0),
        ("settled", settled, "distance to 12 others' median, % of range", 100.0),
    ):
        table = factor * table
        curves = [
            Curve("fixed", count.astype(float).tolist(), table.mean(0).tolist()),
            Curve("random", cost, [float((table @ share).mean()) for share in shares]),
            Curve("until certain", cost, [float(table[rows, one].mean()) for one in stops]),
            _oracle(table, count.astype(float)),
        ]
        _draw(curves, folder / f"{name}.png", "members a photo (one step each)", label)
    tail = [
        Curve("fixed", count.astype(float).tolist(), [100 * _tail(column) for column in settled.T]),
        Curve("random", cost, [100 * _mixed_quantile(settled, share, 0.95) for share in shares]),
        Curve("until certain", cost, [100 * _tail(settled[rows, one]) for one in stops]),
    ]
    label = "distance that one photo in 20 exceeds, % of range"
    _draw(tail, folder / "settled-tail.png", "members a photo (one step each)", label)


def _rule_rungs(frames: Sequence[FrameEffort], counts: Sequence[int], most: int) -> np.ndarray:
    """The rung of each frame by gradient energy; counts between two measured ones go to the next one up."""
    steps = StepRule(calibrate(measures(frames)), most=most).steps(measures(frames))
    return np.array([next(k for k, count in enumerate(counts) if count >= one) for one in steps])


def _dealt(errors: np.ndarray, cost: np.ndarray, stops: np.ndarray) -> tuple[float, float]:
    """Mean cost and mean error where the same stops are dealt to frames by chance: exact, over all deals."""
    share = np.bincount(stops, minlength=len(cost)) / len(stops)
    return float(cost @ share), float((errors @ share).mean())


def _swept(name: str, ladders: Sequence[Ladder]) -> Curve:
    found = [replay(ladders, float(tolerance)) for tolerance in np.geomspace(0.001, 1, 80)]
    return Curve(name, [one.calls for one in found], [one.error for one in found])


def _oracle(errors: np.ndarray, cost: np.ndarray) -> Curve:
    """For every price of a call the answer of least error plus cost, frame by frame."""
    prices = [0.0, *np.geomspace(1e-7, 10, 120)]
    picks = [(errors + price * cost).argmin(1) for price in prices]
    rows = np.arange(len(errors))
    return Curve("oracle", [float(cost[k].mean()) for k in picks], [float(errors[rows, k].mean()) for k in picks])


def _mixed_quantile(table: np.ndarray, share: np.ndarray, level: float) -> float:
    """Quantile over frames and, weighted by ``share``, over answers."""
    values = table.flatten()
    weights = np.broadcast_to(share, table.shape).flatten()
    order = values.argsort()
    reached = weights[order].cumsum() / weights.sum()
    return float(values[order][min(int(np.searchsorted(reached, level)), len(order) - 1)])


def _tail(values: np.ndarray) -> float:
    """What one frame in 20 exceeds."""
    return _mixed_quantile(values[:, None], np.ones(1), 0.95)


def _difference(first: np.ndarray, second: np.ndarray, groups: Sequence[str]) -> str:
    found = paired(first.tolist(), second.tolist(), groups)
    interval = found.difference
    return f"{interval.mean:+.4f} [{interval.low:+.4f}, {interval.high:+.4f}] p {found.p:.3f}"


def _draw(curves: Sequence[Curve], path: Path, across: str, up: str) -> None:
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(figsize=(6.4, 4.0), dpi=120, layout="constrained")
    for curve in curves:
        pairs = sorted(set(zip(curve.calls, curve.errors, strict=True)))
        x, y = zip(*pairs, strict=True)
        axes.plot(
            x, y, _LINES.get(curve.name, "-"), color=_COLOURS[curve.name], label=curve.name, linewidth=1.4, markersize=4
        )
    axes.set_xlabel(across)
    axes.set_ylabel(up)
    axes.grid(color="#e4e4e4")
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    axes.legend(frameon=False, fontsize=8)
    figure.savefig(path)
    plt.close(figure)
