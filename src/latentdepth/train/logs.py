"""What a run tells: ``log.jsonl``, curves for TensorBoard, pictures, and a progress bar or lines on standard error.

Only the main process has one. Knows numbers by name, not where they come from.
"""

from __future__ import annotations

import contextlib
import json
import os
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
from jaxtyping import Float
from PIL import Image
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from torch import Tensor

from latentdepth.train.checkpoint import disk_room
from latentdepth.train.loop_config import LogConfig

_COLUMNS = (
    TextColumn("training"),
    BarColumn(),
    MofNCompleteColumn(),
    TimeElapsedColumn(),
    TextColumn("left"),
    TimeRemainingColumn(),
    TextColumn("{task.fields[note]}"),
)


class RunLog:
    """Open logs of a run that starts at ``step``; use it in a ``with`` statement."""

    def __init__(self, config: LogConfig, out: Path, *, step: int, steps: int, quiet: bool) -> None:
        self._out, self._steps, self._start, self._began = out, steps, step, time.monotonic()
        self._lines, self._board = out / "log.jsonl", _board(out / "tensorboard", step) if config.tensorboard else None
        _forget_after(self._lines, step)
        self._console = Console(stderr=True, quiet=quiet, soft_wrap=True, highlight=False, markup=False)
        # a bar that can't be redrawn would fill a log file with one line a second
        self._bar = Progress(*_COLUMNS, console=self._console, disable=quiet or not self._console.is_terminal)
        self._row = self._bar.add_task("", total=steps, completed=step, note="")

    def __enter__(self) -> RunLog:
        self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bar.stop()
        if self._board is not None:
            self._board.close()

    def say(self, sentence: str) -> None:
        """A line for the person who watches."""
        self._console.print(sentence)

    def advance(self, step: int) -> None:
        """Move the bar."""
        self._bar.update(self._row, completed=step)

    def numbers(self, step: int, values: Mapping[str, float], *, kind: str = "train") -> None:
        """One line of ``log.jsonl`` and a point on each curve."""
        line = {"kind": kind, "step": step, **{k: float(f"{v:.6g}") for k, v in values.items()}}
        with disk_room(self._out), self._lines.open("a", encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")
        if self._board is not None:
            for name, value in values.items():
                self._board.add_scalar(f"{kind}/{name}", value, step)
        self._bar.update(self._row, note=_note(values))
        if not self._console.is_terminal or kind != "train":
            self.say(f"{kind} step {step}/{self._steps}  {_note(values)}{self._left(step)}")

    def _left(self, step: int) -> str:
        if step == self._start:
            return ""
        seconds = (time.monotonic() - self._began) / (step - self._start) * (self._steps - step)
        return f"  {seconds / 60:.0f} min left"

    def picture(self, step: int, picture: Float[Tensor, "3 h w"]) -> Path:
        """Save a picture in [0, 1] as PNG, and show it in TensorBoard."""
        path = self._out / "pictures" / f"step-{step:07d}.png"
        path.parent.mkdir(exist_ok=True)
        pixels = (picture.clamp(0, 1) * 255).round().byte().permute(1, 2, 0).cpu().numpy()
        with disk_room(self._out):
            Image.fromarray(np.ascontiguousarray(pixels)).save(path)
        if self._board is not None:
            self._board.add_image("validation", pixels, step, dataformats="HWC")
        return path


class Window:
    """Means since the last line of the log, seconds per step, and the share of time spent waiting for data."""

    def __init__(self) -> None:
        self._restart()

    def _restart(self) -> None:
        self._sums: dict[str, float] = {}
        self._count, self._waited, self._began = 0, 0.0, time.monotonic()

    def aside(self, work: Callable[[], None]) -> Callable[[], None]:
        """``work`` whose time does not count: saving and validating are no part of a step."""

        def timed() -> None:
            began = time.monotonic()
            work()
            self._began += time.monotonic() - began

        return timed

    @contextlib.contextmanager
    def waiting(self) -> Iterator[None]:
        began = time.monotonic()
        yield
        self._waited += time.monotonic() - began

    def add(self, figures: Mapping[str, float]) -> None:
        self._sums = {name: self._sums.get(name, 0.0) + value for name, value in figures.items()}
        self._count += 1

    def close(self) -> dict[str, float]:
        passed = time.monotonic() - self._began
        means = {name: total / self._count for name, total in self._sums.items()}
        means |= {"seconds_per_step": passed / self._count, "waiting_share": self._waited / passed}
        self._restart()
        return means


def _board(folder: Path, step: int) -> Any:
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError:
        raise ValueError(
            'the curves need TensorBoard: pip install "latentdepth[train]", or log.tensorboard = false'
        ) from None
    return SummaryWriter(str(folder), purge_step=step)


def _forget_after(path: Path, step: int) -> None:
    """Drop lines that a killed run wrote after the checkpoint from which it now goes on; they will come again."""
    if not path.exists():
        return
    kept = []
    for line in path.read_text(encoding="utf-8").splitlines():
        try:
            if json.loads(line)["step"] <= step:
                kept.append(line + "\n")
        except (json.JSONDecodeError, KeyError, TypeError):
            print(f"{path}: a line cut off by a kill is dropped", file=sys.stderr)
    fresh = path.with_name(path.name + ".new")
    fresh.write_text("".join(kept), encoding="utf-8")
    os.replace(fresh, path)


def _note(values: Mapping[str, float]) -> str:
    return "  ".join(f"{name} {value:.4g}" for name, value in values.items())
