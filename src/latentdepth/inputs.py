"""What a user names on the command line to files: photos by name, folder or pattern, results by any of their files.

Looks at names and sidecars only; whether a file really is a photo is found out when it is read.
"""

from __future__ import annotations

import glob
import json
from collections.abc import Sequence
from pathlib import Path

from latentdepth.export import SIDECAR_SUFFIX, files_of, find_sidecar
from latentdepth.images import SUFFIXES


def find_photos(given: Sequence[str], *, recursive: bool = False) -> list[Path]:
    """Files, folders and glob patterns as one list of photos, each once, in the order given.

    Folders give what looks like a photo and is neither hidden nor a result of ours. A name that is not there is kept:
    reading it says so. Raises ValueError when nothing is left.
    """
    found: dict[Path, None] = {}
    for name in given:
        path = Path(name)
        if path.is_dir():
            found |= dict.fromkeys(_photos_in(path, recursive))
        elif path.exists() or not glob.has_magic(name):
            found[path] = None
        else:
            found |= dict.fromkeys(Path(one) for one in sorted(glob.glob(name, recursive=True)) if Path(one).is_file())
    if not found:
        below = "" if recursive else " (--recursive looks into the folders below)"
        raise ValueError(f"no photos in {', '.join(given) or 'the list'}{below}; read are {' '.join(SUFFIXES)}")
    return list(found)


def find_result(given: Path) -> tuple[Path, Path | None]:
    """Stem of the result that ``given`` (its stem or any of its files) belongs to, and the photo if it lies beside it.

    Raises ValueError when there is no such result.
    """
    described = find_sidecar(given)
    if described is None:
        raise ValueError(f"{given} belongs to no result; give one of the files that `latentdepth predict` wrote")
    named = json.loads(described.read_text(encoding="utf-8")).get("image")
    photo = described.with_name(named) if named else None
    return described.with_name(
        described.name.removesuffix(SIDECAR_SUFFIX)
    ), photo if photo and photo.is_file() else None


def _photos_in(folder: Path, recursive: bool) -> list[Path]:
    everything = sorted(folder.rglob("*") if recursive else folder.iterdir())
    sidecars = [path for path in everything if path.name.endswith(SIDECAR_SUFFIX)]
    results = {file for path in sidecars for file in files_of(path)}
    return [
        path
        for path in everything
        if path.suffix.lower() in SUFFIXES
        and path.is_file()
        and path not in results
        and not any(part.startswith(".") for part in path.relative_to(folder).parts)
    ]
