"""Results to files: which files, under which names, whole or not at all, with a sidecar that says what they mean.

The formats themselves are in ``formats``. A result is finished when its sidecar is there: it is written last.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import OpenEXR
import tifffile
import torch
from PIL import Image

from latentdepth.core.relief import DEFAULT_RELIEF, check_relief
from latentdepth.core.types import Camera, Invariance, Kind, Prediction, Quantity
from latentdepth.formats import FORMATS, Picture, png_range, scale_note, write_uncertainty, write_uncertainty_preview
from latentdepth.images import Photo

__all__ = [
    "DEFAULT_RELIEF",
    "FORMATS",
    "ExportError",
    "finished",
    "plan_outputs",
    "read_prediction",
    "sidecar",
    "write",
]

SIDECAR_SUFFIX = ".latentdepth.json"
_SIDECAR_VERSION = 1


class ExportError(OSError):
    """A result that could not be written; nothing partial is left. One line: which file, why."""


def sidecar(stem: Path) -> Path:
    """Where the description of the result ``stem`` lies."""
    return stem.with_name(stem.name + SIDECAR_SUFFIX)


def files_of(path: Path) -> list[Path]:
    """The files that a sidecar lists; none where it isn't one of ours."""
    try:
        return [path.with_name(name) for name in json.loads(path.read_text(encoding="utf-8"))["files"]]
    except (OSError, ValueError, KeyError, TypeError):
        return []  # someone else's file by that name


def find_sidecar(given: Path) -> Path | None:
    """The sidecar of the result that ``given`` names: the sidecar itself, the stem, or any of the files it lists."""
    if given.name.endswith(SIDECAR_SUFFIX):
        return given if given.is_file() else None
    if sidecar(given).is_file():
        return sidecar(given)
    around = sorted(given.parent.glob("*" + SIDECAR_SUFFIX))
    return next((path for path in around if given in files_of(path)), None)


def _checked_formats(formats: Sequence[str]) -> list[str]:
    for name in formats:
        if name not in FORMATS:
            raise ValueError(f"unknown format {name!r}; allowed are {', '.join(FORMATS)}")
    if not formats:
        raise ValueError(f"no format is given; allowed are {', '.join(FORMATS)}")
    return list(dict.fromkeys(formats))


def _whole(writers: Mapping[Path, Callable[[Path], object]], describe: Callable[[Mapping[Path, Path]], None]) -> None:
    """Write every file beside its place, then move all into place, the last named (the sidecar) last.

    Whatever happens before the moves, a full disk and Ctrl-C included, leaves what was there as it was. ``describe``
    may look at the parts before the last one is written.
    """
    parts = {target: target.with_name(f".part-{os.getpid()}-{target.name}") for target in writers}
    *_, last = writers
    target = last
    try:
        for target, write_to in writers.items():
            if target == last:
                describe(parts)
            write_to(parts[target])
            with parts[target].open("rb+") as file:
                os.fsync(file.fileno())
        last.unlink(missing_ok=True)  # while files are being exchanged, there is no finished result
        for target, part in parts.items():
            os.replace(part, target)
    except (OSError, RuntimeError) as error:  # OpenEXR says RuntimeError when the disk is full
        reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        raise ExportError(f"{target}: can't be written ({reason}); nothing partial is left") from error
    finally:
        for part in parts.values():
            part.unlink(missing_ok=True)


def _files(stem: Path, picture: Picture, formats: list[str]) -> dict[Path, Callable[[Path], None]]:
    """Every file of a result with its writer."""
    base = f"{stem.name}_{picture.prediction.kind.quantity.value}"
    files: dict[Path, Callable[[Path], None]] = {}
    for name in formats:
        chosen = FORMATS[name]
        files[stem.with_name(base + chosen.suffix)] = lambda path, chosen=chosen: chosen.write(picture, path)
    if picture.prediction.uncertainty is not None:
        if "preview" in formats:
            path = stem.with_name(f"{stem.name}_uncertainty.png")
            files[path] = lambda path: write_uncertainty_preview(picture, path)
        if set(formats) - {"preview", "controlnet", "npz"}:
            files[stem.with_name(f"{stem.name}_uncertainty.npy")] = lambda path: write_uncertainty(picture, path)
    return files


def write(
    prediction: Prediction,
    path: str | Path,
    *,
    formats: Sequence[str] = ("preview", "png16"),
    photo: Photo | None = None,
    overwrite: bool = False,
    near_far: tuple[float, float] | None = None,
) -> list[Path]:
    """Write one prediction (n = 1) as ``path`` + suffix per format, and its sidecar; returns the files written.

    ``near_far`` sets the distances of a relief where the prediction is relative: PLY and GLB refuse it otherwise.
    Raises ValueError (unknown format, normals as a mesh, relative values without ``near_far``), FileExistsError before
    anything is touched unless ``overwrite``, and ExportError.
    """
    stem, wanted = Path(path), _checked_formats(formats)
    if prediction.value.shape[0] != 1:
        raise ValueError(f"the prediction holds {prediction.value.shape[0]} images; write them one by one")
    picture = Picture(prediction, None if photo is None else photo.pixels, near_far)
    if any(FORMATS[name].geometry for name in wanted):
        check_relief(prediction.kind, near_far)
    files = _files(stem, picture, wanted)
    there = [str(p) for p in (*files, sidecar(stem)) if p.exists()]
    if there and not overwrite:
        more = f" (and {len(there) - 1} more)" if len(there) > 1 else ""
        raise FileExistsError(f"{there[0]} exists already{more}; say overwrite=True (--overwrite), or --skip-existing")
    try:
        stem.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ExportError(f"{stem.parent}: can't be written to ({error.strerror})") from error
    description: dict[str, Any] = {}

    def describe(parts: Mapping[Path, Path]) -> None:
        written = {target.name: parts[target] for target in files}
        description.update(_description(picture, photo, wanted, written))

    def write_sidecar(part: Path) -> None:
        part.write_text(json.dumps(description, indent=2, allow_nan=False) + "\n", encoding="utf-8")

    _whole({**files, sidecar(stem): write_sidecar}, describe)
    return [*files, sidecar(stem)]


def _description(picture: Picture, photo: Photo | None, formats: list[str], files: dict[str, Path]) -> dict[str, Any]:
    from latentdepth import __version__

    prediction, camera = picture.prediction, picture.camera
    kind = prediction.kind
    low, high = png_range(picture)
    finite = picture.array[np.isfinite(picture.array)]
    return {
        "format_version": _SIDECAR_VERSION,
        "latentdepth": __version__,
        "image": None if photo is None or photo.path is None else photo.path.name,
        "kind": str(kind),
        "quantity": kind.quantity.value,
        "invariance": kind.invariance.value,
        "unit": kind.unit,
        "near_is": kind.near_is,
        "planar_or_euclidean": None if kind.quantity is Quantity.NORMALS else "planar",
        "invalid_value": None,
        "alignment": None,
        "size": {"width": camera.width_px, "height": camera.height_px},
        "range": {"min": float(finite.min()), "max": float(finite.max())},
        "png16": {"value_of_0": low, "value_of_65535": high},
        "camera": {
            "K": [[camera.fx_px, 0.0, camera.cx_px], [0.0, camera.fy_px, camera.cy_px], [0.0, 0.0, 1.0]],
            "width_px": camera.width_px,
            "height_px": camera.height_px,
            "fov_deg": camera.fov_deg,
            "source": "photo" if prediction.camera else "assumed",
        },
        "mesh_scale": scale_note(picture) if {"ply", "glb"} & set(formats) else None,
        "near_far": list(picture.near_far) if picture.near_far else None,
        "made_with": dict(prediction.made_with),
        "formats": formats,
        "files": {name: hashlib.sha256(part.read_bytes()).hexdigest() for name, part in files.items()},
        "notes": list(photo.notes) if photo else [],
    }


def finished(stem: str | Path, formats: Sequence[str]) -> bool:
    """Whether a result with all of ``formats`` is there whole: its sidecar, and every file that it lists."""
    path = sidecar(Path(stem))
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        return set(formats) <= set(found["formats"]) and all((path.parent / name).exists() for name in found["files"])
    except (OSError, ValueError, KeyError, TypeError):
        return False


def plan_outputs(inputs: Sequence[Path], out_dir: Path | None) -> dict[Path, Path]:
    """A distinct result stem for every input, the same whatever their order.

    Below ``out_dir`` the folders of the inputs are mirrored from their common root; without it results lie beside the
    photos. ``a.jpg`` and ``a.png`` of one folder become ``a_jpg`` and ``a_png``.
    """
    paths = sorted({Path(p) for p in inputs})
    absolute = {p: Path(os.path.abspath(p)) for p in paths}
    root = Path(os.path.commonpath([a.parent for a in absolute.values()])) if paths else Path()
    stems: dict[Path, Path] = {}
    clashing: dict[str, list[Path]] = defaultdict(list)
    for path in paths:
        folder = path.parent if out_dir is None else out_dir / absolute[path].parent.relative_to(root)
        stems[path] = folder / path.stem
        clashing[str(stems[path]).lower()].append(path)  # A.jpg and a.png are one file on many disks
    taken = {key for key, same in clashing.items() if len(same) == 1}
    for same in clashing.values():
        for path in same if len(same) > 1 else []:
            stem = stems[path].with_name(f"{path.stem}_{path.suffix[1:]}")
            while str(stem).lower() in taken:
                stem = stem.with_name(stem.name + "_")
            taken.add(str(stem).lower())
            stems[path] = stem
    return stems


def _read_array(path: Path, description: dict[str, Any]) -> np.ndarray:
    if path.suffix == ".npy":
        return np.load(path, allow_pickle=False)
    if path.suffix == ".npz":
        return np.load(path, allow_pickle=False)["value"]
    if path.suffix == ".tiff":
        return tifffile.imread(path)
    if path.suffix == ".exr":
        with OpenEXR.File(str(path), separate_channels=True) as file:
            planes = [file.channels()[name].pixels for name in ("X", "Y", "Z") if name in file.channels()]
        return planes[0] if len(planes) == 1 else np.stack(planes, -1)
    low, high = description["png16"]["value_of_0"], description["png16"]["value_of_65535"]
    counts = np.asarray(Image.open(path))
    return counts.astype(np.float64) / (255 if counts.dtype == np.uint8 else 65535) * (high - low) + low


def read_prediction(path: str | Path) -> Prediction:
    """A result back from its sidecar (or from its stem, or any of its files), by its most exact file.

    Raises ValueError when there is no sidecar or no file that holds the values (previews don't).
    """
    given = Path(path)
    found = find_sidecar(given)
    if found is None:
        raise ValueError(f"{given}: no result is there; give the .latentdepth.json that `latentdepth predict` wrote")
    description = json.loads(found.read_text(encoding="utf-8"))
    names = [n for n in description["files"] if "_uncertainty" not in n]
    for suffix in (".npy", ".npz", ".exr", ".tiff", "16.png"):
        name = next((n for n in names if n.endswith(suffix) and (found.parent / n).exists()), None)
        if name is not None:
            array = np.asarray(_read_array(found.parent / name, description), dtype=np.float32)
            break
    else:
        raise ValueError(
            f"{found}: none of its files holds the values; predict again with --formats npy (or png16, exr)"
        )
    value = torch.from_numpy(array)
    value = value[None, None] if value.ndim == 2 else value.permute(2, 0, 1)[None]
    spread = next((found.parent / n for n in description["files"] if n.endswith("_uncertainty.npy")), None)
    uncertainty = None
    if spread is not None and spread.exists():
        uncertainty = torch.from_numpy(np.load(spread, allow_pickle=False))[None, None]
    camera = None
    if description["camera"]["source"] == "photo":
        k, stated = description["camera"]["K"], description["camera"]
        camera = Camera(k[0][0], k[1][1], k[0][2], k[1][2], stated["width_px"], stated["height_px"])
    kind = Kind(Quantity(description["quantity"]), Invariance(description["invariance"]))
    return replace(Prediction(value, kind, uncertainty, camera), made_with=description["made_with"])
