"""Rows of an evaluation on disk: written image by image, so that a run that was killed goes on where it stopped.

``rows.jsonl`` holds the settings first, then a line for each model's settings and each image; a line that was cut off
is dropped. ``per_image.csv`` and ``per_image.parquet`` are made of it: one row an image and protocol. The only importer
of pyarrow.
"""

from __future__ import annotations

import csv
import io
import json
import math
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from latentdepth.evaluate.figures import FIGURES

Setting = str | int | float | bool | None
_VERSION = 1


@dataclass(frozen=True)
class Entry:
    """One protocol's figures of one image."""

    protocol: str
    figures: Mapping[str, float]
    valid_pixels: int
    fault: str | None = None
    note: str = ""


@dataclass(frozen=True)
class Row:
    """One image of one benchmark by one model."""

    model: str
    benchmark: str
    frame: str
    group: str
    seconds: float | None
    """Time of the prediction alone; None where there was none."""
    steps: int | None
    members: int | None
    entries: tuple[Entry, ...]

    @property
    def source(self) -> str:
        """The first part of the frame's name."""
        return self.frame.split("/")[0] if "/" in self.frame else ""


@dataclass
class Journal:
    """The open file of rows. What is here already is not made again."""

    path: Path
    rows: list[Row] = field(default_factory=list)
    _models: dict[str, dict[str, Any]] = field(default_factory=dict)

    @classmethod
    def open(cls, path: Path, settings: Mapping[str, Any]) -> Journal:
        """Begin a journal, or go on with one of the same settings. ValueError names every setting that differs."""
        journal, wanted = cls(path), _plain(settings)
        path.parent.mkdir(parents=True, exist_ok=True)
        written = journal._whole_lines() if path.exists() else []
        if not written:
            journal._append({"settings": wanted, "version": _VERSION})
            return journal
        head, *lines = written
        if head.get("version") != _VERSION or "settings" not in head:
            raise ValueError(f"{path}: no journal of this version of latentdepth; give another --out")
        _compare(head["settings"], wanted, f"{path.parent} was begun with other settings")
        for line in lines:
            if "entries" in line:
                journal.rows.append(_row_of(line))
            else:
                journal._models[line["model"]] = line["settings"]
        return journal

    def declare(self, model: str, settings: Mapping[str, Any]) -> None:
        """Note what a model is before its first row. ValueError where it was something else in an earlier run."""
        wanted = _plain(settings)
        if model in self._models:
            _compare(self._models[model], wanted, f"{self.path.parent} holds rows of {model} with other settings")
            return
        self._models[model] = wanted
        self._append({"model": model, "settings": wanted})

    def done(self, model: str, benchmark: str) -> dict[str, Row]:
        """The rows of a model on a benchmark, by frame."""
        return {row.frame: row for row in self.rows if (row.model, row.benchmark) == (model, benchmark)}

    def add(self, row: Row) -> None:
        """Write a row; it is on disk when this returns."""
        self._append(asdict(row))
        self.rows.append(row)

    def _append(self, line: Mapping[str, Any]) -> None:
        with self.path.open("ab") as file:
            file.write((json.dumps(_plain(line), allow_nan=False) + "\n").encode())
            file.flush()
            os.fsync(file.fileno())

    def _whole_lines(self) -> list[dict[str, Any]]:
        """Every line, once a cut-off last one (a kill, a full disk) is taken away from the file."""
        content = self.path.read_bytes()
        end = content.rfind(b"\n") + 1
        if end < len(content):
            with self.path.open("rb+") as file:
                file.truncate(end)
        lines = []
        for number, text in enumerate(content[:end].splitlines(), 1):
            try:
                lines.append(json.loads(text))
            except ValueError as error:
                raise ValueError(f"{self.path}: line {number} is damaged ({error}); give another --out") from error
        return lines


def read_rows(path: Path) -> list[Row]:
    """The rows of a journal that may still be written to, the latest of each frame; nothing on disk is changed.

    Raises ValueError where there is no journal, or a line of it is damaged.
    """
    if not path.is_file():
        raise ValueError(f"there is no {path}; give the --out of `latentdepth evaluate`")
    content = path.read_bytes()
    rows: dict[tuple[str, str, str], Row] = {}
    for number, text in enumerate(content[: content.rfind(b"\n") + 1].splitlines(), 1):
        try:
            line = json.loads(text)
            if "entries" in line:
                row = _row_of(line)
                rows[row.model, row.benchmark, row.frame] = row
        except (ValueError, TypeError, KeyError) as error:
            raise ValueError(
                f"{path}: line {number} is damaged ({error}); evaluate again into another --out"
            ) from error
    return list(rows.values())


def _row_of(line: Mapping[str, Any]) -> Row:
    entries = tuple(Entry(**entry | {"figures": _numbers(entry["figures"])}) for entry in line["entries"])
    return Row(**{**line, "entries": entries})


def flat(rows: Iterable[Row]) -> list[dict[str, Any]]:
    """One dictionary an image and protocol, all with the same keys; figures an image doesn't have are None."""
    given = list(rows)
    names = [name for name in FIGURES if any(name in entry.figures for row in given for entry in row.entries)]
    flattened = []
    for row in given:
        for entry in row.entries:
            about = {
                "model": row.model,
                "benchmark": row.benchmark,
                "protocol": entry.protocol,
                "frame": row.frame,
                "group": row.group,
                "source": row.source,
                "steps": row.steps,
                "members": row.members,
                "seconds": row.seconds,
                "valid_pixels": entry.valid_pixels,
                "fault": entry.fault,
                "note": entry.note,
            }
            flattened.append(about | {name: entry.figures.get(name) for name in names})
    return flattened


def write_tables(rows: Sequence[Row], folder: Path) -> list[Path]:
    """``per_image.csv`` and ``per_image.parquet``, in the order of ``rows``; each whole or not at all.

    Raises ValueError where pyarrow is missing.
    """
    flattened = flat(rows)
    if not flattened:
        raise ValueError(f"{folder}: there is no row to write")
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, fieldnames=list(flattened[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(flattened)
    paths = [folder / "per_image.csv", folder / "per_image.parquet"]
    for path, content in zip(paths, (text.getvalue().encode(), _parquet(flattened)), strict=True):
        part = path.with_name(path.name + ".part")
        part.write_bytes(content)
        part.replace(path)
    return paths


def _parquet(flattened: Sequence[Mapping[str, Any]]) -> bytes:
    try:
        import pyarrow
        from pyarrow import parquet
    except ImportError:
        raise ValueError('Parquet needs pyarrow: pip install "latentdepth[evaluate]"') from None
    words = {"model", "benchmark", "protocol", "frame", "group", "source", "fault", "note"}
    counts = {"steps", "members", "valid_pixels"}

    def type_of(name: str) -> pyarrow.DataType:
        return pyarrow.string() if name in words else pyarrow.int64() if name in counts else pyarrow.float64()

    schema = pyarrow.schema([(name, type_of(name)) for name in flattened[0]])
    sink = io.BytesIO()
    parquet.write_table(pyarrow.Table.from_pylist(list(flattened), schema=schema), sink)
    return sink.getvalue()


def _plain(value: Any) -> Any:
    """As JSON has it: tuples are lists, paths are text, and NaN and infinity, which JSON lacks, are words."""
    if isinstance(value, Mapping):
        return {str(k): _plain(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(v) for v in value]
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    return str(value) if isinstance(value, Path) else value


def _numbers(figures: Mapping[str, Any]) -> dict[str, float]:
    return {name: float(value) for name, value in figures.items()}


def _compare(there: Mapping[str, Any], wanted: Mapping[str, Any], what: str) -> None:
    differing = [
        f"{key} was {there.get(key)!r}, now {wanted.get(key)!r}"
        for key in dict.fromkeys((*there, *wanted))
        if there.get(key) != wanted.get(key)
    ]
    if differing:
        raise ValueError(f"{what}: {'; '.join(differing)}. Give these settings again, or another --out")
