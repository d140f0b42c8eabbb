"""Furniture libraries of Sweet Home 3D (.sh3f): what they hold, under which licence, and their models as pieces.

A library is a zip archive with a catalogue (``PluginFurnitureCatalog.properties``: name, category, size in centimetres,
author, ...) and OBJ models. Models are read when they are first wanted. Knows nothing of scenes or chance.
"""

from __future__ import annotations

import re
import zipfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np

from latentdepth.synth.library_model import free_top, read_member, read_model
from latentdepth.synth.pieces import Piece

CATALOGUE = "PluginFurnitureCatalog.properties"
_UPRIGHT = (1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0)
_LEFT_OUT = ("doors and windows", "staircases")
_KEPT = 128  # models in memory, about half a megabyte each
_HOW = "`apt-get install sweethome3d-furniture`, then `--furniture /usr/share/sweethome3d/furniture`"


@dataclass(frozen=True)
class Entry:
    """One model of a library: what its catalogue says."""

    archive: str
    model: str
    """Name of the OBJ file inside the archive."""
    name: str
    category: str
    size_m: tuple[float, float, float]
    """Width, depth and height."""
    elevation_m: float = 0.0
    """How high above the floor it hangs."""
    top_m: float | None = None
    """Height at which things can be put on it, if they can."""
    turn: tuple[float, ...] = _UPRIGHT
    """Rows of the matrix that turns the model upright."""
    credit: str = ""


@lru_cache(maxsize=1)
def read_library(path: str) -> tuple[Entry, ...]:
    """All models of a .sh3f file, or of those in a folder by name, but doors, windows and stairs.

    ValueError when the path isn't there, isn't a library, or holds no models.
    """
    place = Path(path)
    archives = sorted(place.glob("*.sh3f")) if place.is_dir() else [place]
    if not place.exists() or not archives:
        there = "holds no .sh3f file" if place.is_dir() else "is not there"
        raise ValueError(f"{path} {there}; name a .sh3f file of Sweet Home 3D or a folder of them: {_HOW}")
    entries = [entry for archive in archives for entry in _entries(archive)]
    if not entries:
        raise ValueError(f"{path} holds no furniture, only doors, windows or nothing; name another library: {_HOW}")
    return tuple(entries)


@lru_cache(maxsize=_KEPT)
def piece_of(entry: Entry) -> Piece | None:
    """The model as a piece on the floor, front to -y, with its top; None where it can't be read or shown."""
    try:
        with zipfile.ZipFile(entry.archive) as archive:
            parts = read_model(archive, entry.model, size_m=entry.size_m, turn=entry.turn)
        top = None if entry.top_m is None else free_top(parts, entry.top_m)
    except Exception:  # whatever a foreign file makes its readers raise, only this model is lost
        return None
    return Piece(parts, entry.size_m, [] if top is None else [top])


def _entries(path: Path) -> Iterator[Entry]:
    try:
        with zipfile.ZipFile(path) as archive:
            facts = properties(read_member(archive, CATALOGUE).decode("latin-1"))
    except (zipfile.BadZipFile, KeyError, ValueError, OSError, NotImplementedError, RuntimeError) as error:
        raise ValueError(
            f"{path} can't be read as a furniture library ({error}); name a whole .sh3f file of Sweet Home 3D: {_HOW}"
        ) from error
    numbered: dict[int, dict[str, str]] = {}
    for key, value in facts.items():
        name, _, number = key.partition("#")
        if number.isdecimal():
            numbered.setdefault(int(number), {})[name] = value
    for _, one in sorted(numbered.items()):
        entry = _entry(str(path), one, facts)
        if entry is not None:
            yield entry


def _entry(archive: str, one: Mapping[str, str], library: Mapping[str, str]) -> Entry | None:
    """None for a door, a window, stairs, a flat mark on the ground, or what is written wrongly."""
    category = one.get("category", "")
    if one.get("doorOrWindow", "false").lower() != "false" or category.lower() in _LEFT_OUT:
        return None
    try:
        name, model = one["name"], one["model"].lstrip("/")
        size_m = (float(one["width"]) / 100, float(one["depth"]) / 100, float(one["height"]) / 100)
        # where the catalogue is silent things stand on the very top, and -1 means that none can
        top_m = float(one.get("dropOnTopElevation", one["height"])) / 100
        elevation_m = float(one.get("elevation", 0)) / 100
        turn = tuple(float(number) for number in one["modelRotation"].split()) if "modelRotation" in one else _UPRIGHT
    except (KeyError, ValueError):
        return None
    numbers = np.array([*size_m, top_m, elevation_m, *turn])
    if len(turn) != 9 or not np.isfinite(numbers).all() or min(size_m) <= 0 or max(size_m) > 100:
        return None
    if not model.lower().endswith(".obj") or (size_m[2] < 0.01 < 0.5 < max(size_m)):
        return None
    author = one.get("creator") or "an unnamed author"
    licence = " ".join(one.get("license", library.get("license", "unknown licence")).split())
    credit = f"{name} by {author}, from {library.get('name', Path(archive).stem)}"
    credit += f" ({library.get('provider', 'Sweet Home 3D')}): {licence}"
    return Entry(archive, model, name, category, size_m, elevation_m, top_m if top_m > 0 else None, turn, credit)


def properties(text: str) -> dict[str, str]:
    """The keys and values of a Java properties file: comments, continued lines and escapes undone."""
    found = {}
    for line in re.sub(r"\\\r?\n[ \t]*", "", text).splitlines():
        match = re.fullmatch(r"\s*([^#!=:\s][^=:\s]*)\s*[=:]?\s*(.*?)", line)
        if match:
            found[match[1]] = _unescaped(match[2])
    return found


def _unescaped(value: str) -> str:
    plain = re.sub(r"\\u([0-9a-fA-F]{4})", lambda code: chr(int(code[1], 16)), value)
    return re.sub(r"\\(.)", r"\1", plain).strip()
