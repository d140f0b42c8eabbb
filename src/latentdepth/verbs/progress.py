"""The bar on standard error of every verb that works through many things. Knows no verb."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID


class Bar:
    """One bar that is being shown; ``bar`` makes it."""

    def __init__(self, progress: Progress, description: str, total: int | None, unit: str, per_s: float) -> None:
        self._progress, self._unit, self._per_s = progress, unit, per_s
        self._task = progress.add_task(description, total=total, rate="")
        self._worked, self._began = 0, time.monotonic()
        self._part: TaskID | None = None
        self.lines = 0
        """Lines said so far."""

    def of(self, total: int) -> None:
        """There are ``total`` things, which wasn't known before."""
        self._progress.update(self._task, total=total)

    def advance(self, *, worked: bool = True) -> None:
        """One more thing is behind; the rate counts those that were worked on, not those that were there already."""
        if self._part is not None:
            self._progress.remove_task(self._part)
            self._part = None
        self._worked += worked
        rate = self._worked / max(time.monotonic() - self._began, 1e-3) * self._per_s
        self._progress.update(self._task, advance=1, rate=f"{_three_digits(rate)} {self._unit}")

    def within(self, description: str, done: int, total: int) -> None:
        """How far the thing under way is, on a line of its own below, until the next ``advance``."""
        if self._part is None:
            self._part = self._progress.add_task(f"  {description}", total=total, rate="")
        self._progress.update(self._part, completed=done, total=total)

    def say(self, line: str) -> None:
        """A line above the bar, as it is: paths may hold what looks like markup."""
        self.lines += 1
        self._progress.console.print(line, markup=False, highlight=False, soft_wrap=True)


@contextmanager
def bar(description: str, *, total: int | None = None, unit: str = "photos/s", per_s: float = 1.0) -> Iterator[Bar]:
    """A bar with count, rate and time left. ``per_s`` is the number of seconds that ``unit`` counts in: 3600 for
    "scenes/h". ``total`` None is unknown as yet."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    rate, remaining = TextColumn("{task.fields[rate]}"), TimeRemainingColumn(compact=True)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), rate, remaining)
    with Progress(*columns, console=Console(stderr=True)) as progress:
        yield Bar(progress, description, total, unit, per_s)


def _three_digits(rate: float) -> str:
    return f"{rate:.0f}" if rate >= 100 else f"{rate:.1f}" if rate >= 10 else f"{rate:.2f}"
