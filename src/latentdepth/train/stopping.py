"""Ctrl-C and SIGTERM as a question that a loop answers when it can. Knows no loop."""

from __future__ import annotations

import contextlib
import signal
from collections.abc import Callable
from types import FrameType
from typing import Any


class Stop:
    """Ctrl-C and SIGTERM ask the loop to stop after its step; a second one stops at once."""

    def __init__(self, *, say: Callable[[str], None] | None = None) -> None:
        self.asked, self.name, self._say = False, "", say
        self._before: dict[signal.Signals, Any] = {}

    def __enter__(self) -> Stop:
        with contextlib.suppress(ValueError):  # in another thread than the main one, signals are not ours to take
            for number in (signal.SIGINT, signal.SIGTERM):
                self._before[number] = signal.signal(number, self._ask)
        return self

    def __exit__(self, *error: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _ask(self, number: int, frame: FrameType | None) -> None:
        if self.asked:
            raise KeyboardInterrupt
        self.asked, self.name = True, "Ctrl-C" if number == signal.SIGINT else "SIGTERM"
        if self._say is not None:
            self._say("finishing this step, then saving; once more stops at once, with the last checkpoint")
