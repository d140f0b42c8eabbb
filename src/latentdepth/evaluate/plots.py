"""Plots for papers: a figure against the thing that is varied, with time on a second axis; gain against complexity.

Knows numbers and labels, no data sets and no models. Needs Matplotlib (the ``evaluate`` extra), imported when drawing.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Okabe and Ito (2008): told apart by colour-blind readers, and in grey by the markers
_COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")
_MARKERS = ("o", "s", "^", "D", "v", "P")
_TIME_GREY = "#777777"
_DPI = 160
_STYLE: Any = {
    "font.size": 9,
    "axes.spines.top": False,
    "axes.linewidth": 0.7,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": "#e4e4e4",
    "grid.linewidth": 0.6,
    "xtick.direction": "out",
    "lines.linewidth": 1.5,
    "lines.markersize": 4.5,
    "legend.frameon": False,
}


@dataclass(frozen=True)
class Curve:
    """One figure at every setting, on one data set; bounds are NaN where there is no interval."""

    label: str
    values: Sequence[float]
    low: Sequence[float]
    high: Sequence[float]


@dataclass(frozen=True)
class Panel:
    """One figure: the label of its axis and a curve for each data set."""

    label: str
    curves: Sequence[Curve]


@dataclass(frozen=True)
class Scatter:
    """Gain against one measure of complexity; ``note`` says how they are correlated."""

    label: str
    measure: Sequence[float]
    gain: Sequence[float]
    groups: Sequence[str]
    note: str


def plot_sweep(
    settings: Sequence[str], panels: Sequence[Panel], seconds: Sequence[float], path: Path, *, axis: str, caption: str
) -> Path:
    """A panel for each figure, side by side: lines with bands over numbers, dots with bars over words.

    Numbers stand on a logarithmic axis where they span more than a factor of four, with the time per photo on a second
    one (``seconds``, NaN where none was taken); words are evenly spaced in the order given. Writes a PNG.
    """
    import_matplotlib()
    from matplotlib import rc_context

    numbers = as_numbers(settings)
    with rc_context(_STYLE):
        figure, all_axes = _figure(len(panels), width=3.55, height=2.75)
        for axes, panel in zip(all_axes, panels, strict=True):
            _draw_panel(axes, panel, settings, numbers)
            axes.set_xlabel(axis)
            axes.set_ylabel(panel.label)
            _draw_time(axes, seconds, numbers)
        _legend(figure, all_axes[0])
        if caption:
            figure.supxlabel(caption, fontsize=7.5, color="#555555")
        return _written(figure, path)


def plot_gain(scatters: Sequence[Scatter], path: Path, *, axis: str) -> Path:
    """A panel for each measure of complexity, a dot for each frame, coloured by group. Writes a PNG.

    The vertical axis leaves out the 2 % most extreme gains at each end when they would squeeze the rest; a line below
    says how many frames are not shown. Small measures are multiplied by the power of ten that their label names.
    """
    import_matplotlib()
    from matplotlib import rc_context

    groups = sorted({group for one in scatters for group in one.groups})
    with rc_context(_STYLE | {"lines.markersize": 3}):
        columns, hidden = min(3, len(scatters)), 0  # all panels show the same gains
        figure, all_axes = _figure(len(scatters), width=2.75, height=2.3, columns=columns)
        for k, (axes, one) in enumerate(zip(all_axes, scatters, strict=True)):
            power = _power(one.measure)
            for i, group in enumerate(groups):
                at = [j for j, name in enumerate(one.groups) if name == group]
                axes.plot(
                    [one.measure[j] * 10.0**power for j in at],
                    [one.gain[j] for j in at],
                    linestyle="",
                    marker=_MARKERS[(i + i // len(_COLOURS)) % len(_MARKERS)],
                    color=_COLOURS[i % len(_COLOURS)],
                    alpha=0.65,
                    markeredgewidth=0,
                    label=group or "all",
                )
            axes.axhline(0, color="black", linewidth=0.7)
            hidden = _cut_extremes(axes, one.gain)
            axes.set_title(one.note, fontsize=8)
            axes.set_xlabel(one.label + (f" · 10$^{{{power}}}$" if power else ""))
            axes.spines["right"].set_visible(False)
            if k % columns == 0:
                axes.set_ylabel(axis)
        if hidden:
            note = f"{hidden} of {len(scatters[0].gain)} frames lie outside the vertical range"
            figure.supxlabel(note, fontsize=7.5, color="#555555")
        _legend(figure, all_axes[0], columns=min(4, len(groups)))
        return _written(figure, path)


def import_matplotlib() -> None:
    """Raises ValueError, with what to type, where Matplotlib is missing: before the work, not after it."""
    try:
        import matplotlib  # noqa: F401
    except ImportError:
        raise ValueError('plots need Matplotlib: pip install "latentdepth[evaluate]"') from None


def _draw_panel(axes: Axes, panel: Panel, settings: Sequence[str], numbers: Sequence[float] | None) -> None:
    places = list(range(len(settings))) if numbers is None else list(numbers)
    for k, curve in enumerate(panel.curves):
        style: dict[str, Any] = {
            "color": _COLOURS[k % len(_COLOURS)],
            "marker": _MARKERS[k % len(_MARKERS)],
            "label": curve.label,
        }
        if numbers is None:
            shift = 0.12 * (k - (len(panel.curves) - 1) / 2)
            x = [place + shift for place in places]
            arms = [
                [abs(value - end) if math.isfinite(end) else 0 for value, end in zip(curve.values, ends, strict=True)]
                for ends in (curve.low, curve.high)
            ]
            axes.errorbar(x, curve.values, yerr=arms, linestyle="", capsize=3, **style)
        else:
            axes.fill_between(places, curve.low, curve.high, color=style["color"], alpha=0.16, linewidth=0)
            axes.plot(places, curve.values, **style)
    _ticks(axes, settings, numbers)


def _draw_time(axes: Axes, seconds: Sequence[float], numbers: Sequence[float] | None) -> None:
    """Time per photo in grey on an axis of its own, from 0 so that it can be compared by eye."""
    if numbers is None or not any(math.isfinite(one) for one in seconds):
        axes.spines["right"].set_visible(False)
        return
    twin = axes.twinx()
    twin.grid(False)
    style: dict[str, Any] = {"color": _TIME_GREY, "marker": "x", "markersize": 4, "linewidth": 1}
    twin.plot(list(numbers), list(seconds), linestyle="--", label="time per photo", **style)
    twin.set_ylim(0, 1.08 * max(one for one in seconds if math.isfinite(one)))
    twin.set_ylabel("s per photo", color=_TIME_GREY)
    twin.tick_params(axis="y", colors=_TIME_GREY)
    twin.spines["right"].set_color(_TIME_GREY)
    axes.set_zorder(twin.get_zorder() + 1)  # the figure lies over the time, not under it
    axes.patch.set_visible(False)
    axes.spines["right"].set_visible(False)


def _ticks(axes: Axes, settings: Sequence[str], numbers: Sequence[float] | None) -> None:
    """A tick at every setting and nowhere else."""
    from matplotlib.ticker import FixedLocator, NullLocator

    if numbers is None:
        axes.set_xlim(-0.5, len(settings) - 0.5)
        slanted = max(map(len, settings)) * len(settings) > 40
        axes.set_xticks(range(len(settings)), settings)
        axes.tick_params(axis="x", rotation=25 if slanted else 0)
        return
    if min(numbers) > 0 and max(numbers) > 4 * min(numbers):
        axes.set_xscale("log")
    axes.xaxis.set_major_locator(FixedLocator(list(numbers)))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.set_xticklabels(settings)


def as_numbers(settings: Sequence[str]) -> list[float] | None:
    """The settings as numbers, where all of them are and they rise; else None."""
    try:
        numbers = [float(one) for one in settings]
    except ValueError:
        return None
    rising = all(a < b for a, b in itertools.pairwise(numbers))
    return numbers if rising and len(numbers) > 1 and all(map(math.isfinite, numbers)) else None


def _cut_extremes(axes: Axes, gain: Sequence[float]) -> int:
    """Show the middle 96 % where the rest would stretch the axis twofold; returns how many dots are outside."""
    ordered = sorted(value for value in gain if math.isfinite(value))
    if len(ordered) < 20:
        return 0
    cut = max(1, len(ordered) // 50)
    low, high = ordered[cut], ordered[-1 - cut]
    if ordered[-1] - ordered[0] < 2 * (high - low) or high <= low:
        return 0
    margin = 0.1 * (high - low)
    axes.set_ylim(low - margin, high + margin)
    return sum(not low - margin <= value <= high + margin for value in ordered)


def _power(values: Sequence[float]) -> int:
    """How many powers of ten bring values below a tenth to 1 or more; 0 for others."""
    most = max((abs(value) for value in values if math.isfinite(value)), default=1.0)
    return -math.floor(math.log10(most)) if 0 < most < 0.1 else 0


def _figure(count: int, *, width: float, height: float, columns: int | None = None) -> tuple[Figure, list[Axes]]:
    """``count`` panels of ``width`` x ``height`` inches, in rows of ``columns``."""
    from matplotlib.figure import Figure

    columns = columns or count
    rows = math.ceil(count / columns)
    figure = Figure(figsize=(width * columns, height * rows + 0.4), layout="constrained")
    figure.get_layout_engine().set(w_pad=0.08)  # pyright: ignore[reportOptionalMemberAccess,reportCallIssue]
    return figure, [figure.add_subplot(rows, columns, k + 1) for k in range(count)]


def _legend(figure: Figure, axes: Axes, *, columns: int = 4) -> None:
    """One legend above all panels."""
    handles, labels = axes.get_legend_handles_labels()
    for other in figure.axes:
        if other is not axes and other.bbox.bounds == axes.bbox.bounds:
            more, names = other.get_legend_handles_labels()
            handles, labels = handles + more, labels + names
    figure.legend(handles, labels, loc="outside upper center", ncols=columns, fontsize=8, handletextpad=0.4)


def _written(figure: Figure, path: Path) -> Path:
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    path.parent.mkdir(parents=True, exist_ok=True)
    FigureCanvasAgg(figure).print_figure(path, dpi=_DPI, format="png")
    return path
