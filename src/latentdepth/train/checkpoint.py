"""Checkpoints on disk: written beside and renamed, so that a kill at any moment leaves whole ones only.

    OUT/checkpoints/step-0000200/{model/, state/*.safetensors, progress.json}
    OUT/model, OUT/best       the newest and the best model, loadable folders (hard links where the disk has them)

Knows tensors by name and folders; not what is trained. Tensors are safetensors, everything else is JSON.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import re
import shutil
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

_STEP = re.compile(r"step-(\d+)")
_UNFINISHED = ".new"
_REPLACED = ".old"


class DiskFullError(OSError):
    """The disk has no room for what a run has to write; what was written before is whole."""


@dataclass(frozen=True)
class Checkpoint:
    """A finished checkpoint."""

    folder: Path
    step: int

    @property
    def model(self) -> Path:
        """A folder that ``latentdepth.load`` reads."""
        return self.folder / "model"

    def progress(self) -> dict[str, Any]:
        """Counters and settings, as they were given to ``write``."""
        try:
            return json.loads((self.folder / "progress.json").read_text())
        except (OSError, json.JSONDecodeError, UnicodeDecodeError) as error:
            raise ValueError(self._damaged("progress.json", error)) from error

    def tensors(self, name: str) -> dict[str, Tensor]:
        """The tensors of ``state/NAME.safetensors``; none where there is no such file."""
        path = self.folder / "state" / f"{name}.safetensors"
        if not path.exists():
            return {}
        try:
            return load_file(path)
        except (OSError, SafetensorError) as error:
            raise ValueError(self._damaged(f"state/{name}.safetensors", error)) from error

    def _damaged(self, name: str, error: Exception) -> str:
        return (
            f"{self.folder / name} can't be read ({error}). Delete {self.folder} and give the same command: "
            "it goes on from the checkpoint before"
        )


def checkpoints(out: Path) -> list[Checkpoint]:
    """Finished checkpoints of a run, oldest first."""
    found = [(_STEP.fullmatch(path.name), path) for path in (out / "checkpoints").glob("step-*")]
    return sorted((Checkpoint(path, int(m[1])) for m, path in found if m), key=lambda one: one.step)


def write(
    out: Path,
    step: int,
    *,
    model: Callable[[Path], None],
    state: Mapping[str, Mapping[str, Tensor]],
    progress: Mapping[str, Any],
    keep: int,
) -> Checkpoint:
    """Write a checkpoint, point ``OUT/model`` to it, then drop all but the newest ``keep``.

    ``model`` fills a folder; ``state`` maps file names to tensors. Raises DiskFullError, and leaves nothing half-made.
    """
    folder = out / "checkpoints" / f"step-{step:07d}"
    fresh = folder.with_name(folder.name + _UNFINISHED)
    shutil.rmtree(fresh, ignore_errors=True)
    try:
        with disk_room(out):
            (fresh / "model").mkdir(parents=True)
            (fresh / "state").mkdir()
            model(fresh / "model")
            for name, tensors in state.items():
                save_tensors(tensors, fresh / "state" / f"{name}.safetensors")
            (fresh / "progress.json").write_text(json.dumps(progress, indent=1))
            if folder.exists():  # of a run whose newer checkpoints were deleted by hand
                shutil.rmtree(folder)
            os.replace(fresh, folder)
            point(out / "model", folder / "model")
    except OSError:
        shutil.rmtree(fresh, ignore_errors=True)
        raise
    for old in checkpoints(out)[:-keep]:
        shutil.rmtree(old.folder)
    return Checkpoint(folder, step)


def save_tensors(tensors: Mapping[str, Tensor], path: Path) -> None:
    """Tensors from any device to a file. Cloned, because safetensors refuses those that share memory (tied weights)."""
    save_file({k: v.detach().cpu().contiguous().clone() for k, v in tensors.items()}, path)


def point(
    folder: Path, source: Path, notes: Mapping[str, Mapping[str, Any]] | None = None, *, linked: bool = True
) -> None:
    """Make ``folder`` a model folder with the content of ``source``, and JSON ``notes`` by file name, by one swap.

    ``linked``: by hard links where the disk has them, for a folder that belongs to the run as ``source`` does.
    """
    fresh, old = folder.with_name(folder.name + _UNFINISHED), folder.with_name(folder.name + _REPLACED)
    shutil.rmtree(fresh, ignore_errors=True)
    shutil.copytree(source, fresh, copy_function=_link if linked else shutil.copy2)
    for name, note in (notes or {}).items():
        (fresh / name).write_text(json.dumps(note, indent=1))
    shutil.rmtree(old, ignore_errors=True)
    if folder.exists():
        os.replace(folder, old)
    os.replace(fresh, folder)
    shutil.rmtree(old, ignore_errors=True)


def tidy(out: Path) -> None:
    """Clear away what a killed run left half-made, and finish what it was about to do."""
    for rest in (out / "checkpoints").glob(f"*{_UNFINISHED}"):
        shutil.rmtree(rest)
    for name in ("model", "best"):
        folder = out / name
        old = folder.with_name(name + _REPLACED)
        shutil.rmtree(folder.with_name(name + _UNFINISHED), ignore_errors=True)
        if old.exists() and not folder.exists():
            os.replace(old, folder)
        shutil.rmtree(old, ignore_errors=True)
    done = checkpoints(out)
    if done:
        point(out / "model", done[-1].model)


def set_aside(out: Path) -> Path | None:
    """Move everything of an earlier run to ``OUT/before-N``; None when there was nothing."""
    parts = [path for path in out.glob("*") if not path.name.startswith("before-")]
    if not parts:
        return None
    taken = [int(path.name[7:]) for path in out.glob("before-*") if path.name[7:].isdigit()]
    aside = out / f"before-{max(taken, default=0) + 1}"
    aside.mkdir()
    for path in parts:
        os.replace(path, aside / path.name)
    return aside


def disagreements(saved: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """``key: VALUE in the checkpoint, VALUE now`` for each key of two flat tables that differs."""
    lines = []
    for key in sorted({*saved, *now}):
        before, after = saved.get(key, "not set"), now.get(key, "not set")
        if before != after:
            lines.append(f"{key}: {_spelt(before)} in the checkpoint, {_spelt(after)} now")
    return lines


@contextlib.contextmanager
def disk_room(out: Path) -> Iterator[None]:
    """Turn a full disk into DiskFullError with what to do; safetensors words it as an error of its own."""
    try:
        yield
    except (OSError, SafetensorError) as error:
        full = isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT)
        if not full and "No space left" not in str(error) and "os error 28" not in str(error):
            raise
        done = checkpoints(out)
        kept = f"the checkpoint of step {done[-1].step} is whole" if done else "no checkpoint was written yet"
        raise DiskFullError(
            errno.ENOSPC, f"the disk of {out} is full; {kept}. Free some space and give the same command: it goes on"
        ) from error


def require_room(out: Path, wanted_bytes: int) -> None:
    """Raises DiskFullError before the first step where not even one checkpoint would fit."""
    free_bytes = shutil.disk_usage(out).free
    if free_bytes < wanted_bytes:
        raise DiskFullError(
            errno.ENOSPC,
            f"the disk of {out} has {free_bytes / 1e9:.1f} GB left; one checkpoint takes about "
            f"{wanted_bytes / 1e9:.1f} GB: free some space, or give another --out",
        )


def _link(source: str, target: str) -> None:
    try:
        os.link(source, target)
    except OSError:  # another file system, or one without hard links
        shutil.copy2(source, target)


def _spelt(value: Any) -> str:
    return value if value == "not set" else json.dumps(value)
