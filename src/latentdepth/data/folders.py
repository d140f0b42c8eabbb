"""Plain folders of photos with depth: ``rgb/NAME.*`` and ``depth/NAME.png|npy|exr|tif``.

Beside them may stand ``normals/`` and ``mask/`` with the same names, ``camera.json`` and ``depth.toml``. NAME may lie
in subfolders; its folder is its group. Knows nothing of published data sets, which have readers of their own.
"""

from __future__ import annotations

import json
import warnings
from pathlib import Path
from typing import Any

from latentdepth.config import read_toml
from latentdepth.core.types import Camera
from latentdepth.data.pairs import read_bytes
from latentdepth.data.rasters import (
    DEPTH_SUFFIXES,
    DepthCoding,
    camera_from_facts,
    decode_depth,
    decode_mask,
    decode_normals,
    decode_photo,
)
from latentdepth.data.sample import Sample, assembled

_PHOTO_SUFFIXES = (".jpg", ".jpeg", ".png", ".webp", ".bmp", ".tif", ".tiff")
_NORMALS_SUFFIXES = (".png", ".npy", ".exr", ".tif", ".tiff")
_MASK_SUFFIXES = (".png", ".npy", ".bmp")
_REMEDY = "copy or make it again, or remove it from rgb/ and depth/"
_PLAUSIBLE_M = (0.02, 2000.0)
_UNIT_HELP = (
    "say what one count means: a file depth.toml with 'unit = 0.001' for millimetres beside rgb/ and depth/, or coding="
)


class FolderFrames:
    """A folder's pairs, sorted by name.

    ``coding`` says what depth counts mean; without it ``depth.toml`` does (the fields of ``DepthCoding``), and without
    that float files are metres and PNG an error. ``split`` is a text file with one NAME a line. ``camera.json`` holds
    one camera for all (``fx_px`` ... ``height_px``), or a table of them by NAME; else EXIF is asked.
    Raises ValueError for a photo without depth or the reverse, empty files, names that a split has and the folder
    hasn't; warns when the first depths are implausible as metres.
    """

    def __init__(
        self,
        folder: str | Path,
        *,
        coding: DepthCoding | None = None,
        name: str | None = None,
        split: str | Path | None = None,
    ) -> None:
        self.folder = Path(folder)
        self.name = name or self.folder.resolve().name
        photos = _by_name(self.folder / "rgb", _PHOTO_SUFFIXES, needed=True)
        depths = _by_name(self.folder / "depth", DEPTH_SUFFIXES, needed=True)
        self._names = _chosen(Path(split), photos) if split else sorted(photos)
        for what, missing in (
            ("photos without a depth file", [n for n in self._names if n not in depths]),
            ("depth files without a photo", [] if split else sorted(set(depths) - set(photos))),
        ):
            if missing:
                some = ", ".join(missing[:3]) + (", ..." if len(missing) > 3 else "")
                raise ValueError(f"{self.folder}: {len(missing)} {what}: {some}; add or remove them")
        self._files = [(photos[n], depths[n]) for n in self._names]
        for path in (p for pair in self._files for p in pair):
            if path.stat().st_size == 0:
                raise ValueError(f"{path}: the file is empty; {_REMEDY}")
        self._normals = _by_name(self.folder / "normals", _NORMALS_SUFFIXES)
        self._masks = _by_name(self.folder / "mask", _MASK_SUFFIXES)
        self._cameras = _cameras(self.folder / "camera.json", self._names)
        self.coding = coding or _coding(self.folder / "depth.toml", self._files[0][1])
        self._check_scale()

    def _check_scale(self) -> None:
        first = self[0]
        finite = first.depth_m[first.valid & first.depth_m.isfinite()]
        median = float(finite.median()) if finite.numel() else 1.0
        if self.coding.kind != "disparity" and not _PLAUSIBLE_M[0] <= median <= _PLAUSIBLE_M[1]:
            warnings.warn(
                f"{self._files[0][1]}: the median depth is {median:.3g} m with {self.coding.unit:g} m per count, which "
                f"is implausible; {_UNIT_HELP}",
                stacklevel=3,
            )

    def __len__(self) -> int:
        return len(self._names)

    def key(self, index: int) -> str:
        """NAME of sample ``index``."""
        return self._names[index]

    def group(self, index: int) -> str:
        """The subfolder of sample ``index``; empty where there is none."""
        return self._names[index].rpartition("/")[0]

    def __getitem__(self, index: int) -> Sample:
        """Decode one pair. ValueError names the file."""
        name, (photo_path, depth_path) = self._names[index], self._files[index]
        content = read_bytes(photo_path, remedy=_REMEDY)
        photo = decode_photo(content, photo_path.suffix.lower(), str(photo_path))
        camera = self._cameras.get(name, self._cameras.get("", photo.camera))
        content = read_bytes(depth_path, remedy=_REMEDY)
        depth_m, valid = decode_depth(content, depth_path.suffix.lower(), self.coding, camera, str(depth_path))
        normals = None
        if (path := self._normals.get(name)) is not None:
            normals = decode_normals(read_bytes(path, remedy=_REMEDY), path.suffix.lower(), str(path))
        mask = None
        if (path := self._masks.get(name)) is not None:
            mask = decode_mask(read_bytes(path, remedy=_REMEDY), path.suffix.lower(), str(path))
        return assembled(
            photo.pixels[0],
            depth_m,
            valid,
            name=str(depth_path),
            group=self.group(index),
            camera=camera,
            normals=normals,
            mask=mask,
        )


def _by_name(folder: Path, suffixes: tuple[str, ...], *, needed: bool = False) -> dict[str, Path]:
    if not folder.is_dir():
        if needed:
            raise ValueError(f"{folder}: there is no such folder; a plain data set has rgb/NAME.jpg and depth/NAME.png")
        return {}
    found: dict[str, Path] = {}
    for path in sorted(folder.rglob("*")):
        if path.suffix.lower() not in suffixes or path.name.startswith("."):
            continue
        name = path.relative_to(folder).with_suffix("").as_posix()
        if name in found:
            raise ValueError(f"{path}: {found[name].name} has the same name; keep one of them")
        found[name] = path
    if needed and not found:
        raise ValueError(f"{folder}: holds no file ending in {', '.join(suffixes)}")
    return found


def _chosen(split: Path, photos: dict[str, Path]) -> list[str]:
    try:
        names = [line.strip() for line in split.read_text(encoding="utf-8").splitlines() if line.strip()]
    except (OSError, UnicodeDecodeError) as error:
        raise ValueError(f"{split}: can't be read as a list of names ({error})") from error
    absent = [n for n in names if n not in photos]
    if absent or not names:
        what = f"names {absent[0]!r} and {len(absent) - 1} more that rgb/ has no photo of" if absent else "is empty"
        raise ValueError(f"{split}: {what}; one NAME a line, without the suffix, such as {next(iter(photos))!r}")
    return names


def _cameras(path: Path, names: list[str]) -> dict[str, Camera]:
    """By name; the empty name stands for all."""
    if not path.exists():
        return {}
    try:
        table: Any = json.loads(path.read_bytes())
    except ValueError as error:
        raise ValueError(f"{path}: not JSON ({error})") from error
    if not isinstance(table, dict):
        raise ValueError(f"{path}: a table is needed, found {type(table).__name__}")
    if "fx_px" in table:
        return {"": camera_from_facts(table, str(path))}
    cameras = {name: camera_from_facts(facts, f"{path}: {name}") for name, facts in table.items()}
    absent = sorted(set(names) - set(cameras))
    if absent:
        raise ValueError(f"{path}: no camera for {absent[0]!r} and {len(absent) - 1} more")
    return cameras


def _coding(path: Path, first_depth: Path) -> DepthCoding:
    if path.exists():
        return read_toml(DepthCoding, path)
    if first_depth.suffix.lower() == ".png":
        raise ValueError(f"{first_depth}: holds counts, and nothing says what they are; {_UNIT_HELP}")
    return DepthCoding()
