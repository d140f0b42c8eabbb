"""DA-2K (Depth Anything V2, arXiv 2406.09414, section 6): which of two points is nearer, in photos of eight kinds.

``annotations.json`` has for a photo pairs ``{"point1": [row, column], "point2": ..., "closer_point": "point1"}``.
Knows no score: the share of pairs that a prediction orders rightly is ``core``'s.
"""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

import torch

from latentdepth.data.benchmarks.benchmark import Facts, OrdinalSample
from latentdepth.data.benchmarks.container import REMEDY, Container, Missing, open_container
from latentdepth.data.rasters import decode_photo

SCENES = (
    *("indoor", "outdoor", "non_real", "transparent_reflective"),
    *("adverse_style", "aerial", "underwater", "object"),
)
DA2K = Facts(
    key="da2k",
    title="DA-2K",
    truth="point_pairs",
    frames=None,
    near_m=0.0,
    far_m=None,
    crop=None,
    layout=(
        "annotations.json  {PHOTO: [{point1: [row, column], point2: [row, column], closer_point: point1}, ...], ...}\n"
        "PHOTO             the photos that it names"
    ),
    source="DA-2K.zip of https://huggingface.co/datasets/depth-anything/DA-2K, to be unpacked (Apache-2.0)",
)
FACTS = (DA2K,)
_ANNOTATIONS = "annotations.json"

Pair = tuple[int, int, int, int]
"""Row and column of the nearer point, row and column of the farther one."""


@dataclass(frozen=True)
class Annotated:
    """A photo, as a path in the container, and its pairs."""

    frame: str
    """Kind of scene, ``/``, and the photo's path without suffix and the folders that all photos share."""
    photo: str
    scene: str
    """One of ``SCENES`` where the path names one, else the photo's folder."""
    pairs: tuple[Pair, ...]


@dataclass(frozen=True)
class Da2kBenchmark:
    """The photos and their pairs, in the order of the file."""

    facts: Facts
    container: Container
    photos: tuple[Annotated, ...] = field(repr=False)
    notice: str | None = None
    """What of the file is not scored, for the report; None where everything is."""

    def __len__(self) -> int:
        return len(self.photos)

    def frame(self, index: int) -> str:
        """Unique name of a photo, the kind of scene in front."""
        return self.photos[index].frame

    def __getitem__(self, index: int) -> OrdinalSample:
        """Decode a photo; its group is the kind of scene. Points are centres of pixels: column + 0.5, row + 0.5.

        ValueError names the photo, and the pairs that lie outside it.
        """
        photo = self.photos[index]
        where = self.container.where(photo.photo)
        suffix = PurePosixPath(photo.photo).suffix.lower()
        image = decode_photo(self.container.read(photo.photo), suffix, where).pixels[0]
        height, width = image.shape[-2:]
        points = torch.tensor(photo.pairs).reshape(-1, 2, 2)
        inside = ((points >= 0) & (points < torch.tensor([height, width]))).flatten(1).all(1)
        if not bool(inside.all()):
            outside = ", ".join(str(pair) for pair in points[~inside][:3].tolist())
            raise ValueError(
                f"{where}: {int((~inside).sum())} of {len(points)} pairs of [row, column] reach outside the photo of "
                f"{height} rows and {width} columns: {outside}; is this the photo that was annotated?"
            )
        centres = points.flip(-1).float() + 0.5
        return OrdinalSample(image, centres[:, 0], centres[:, 1], photo.scene)


def open_da2k(root: Path) -> Da2kBenchmark:
    """DA-2K below ``root``: the folder of ``annotations.json``, one that holds it as ``DA-2K``, or a plain tar.

    Photos that aren't there are left out, pairs that stand twice count once; ``notice`` says so. Raises ``Missing``
    when the file or all photos are absent, ValueError for a photo that stands twice in the file, pairs that contradict
    each other, and what is no pair.
    """
    container = open_container(root, DA2K, "DA-2K.tar")
    prefix = next((p for p in ("", "DA-2K/") if container.has(p + _ANNOTATIONS)), None)
    if prefix is None:
        raise Missing(DA2K, root, f"there is no {_ANNOTATIONS}")
    where = container.where(prefix + _ANNOTATIONS)
    table = _table(container.read(prefix + _ANNOTATIONS), where)
    shared = os.path.commonpath([os.path.dirname(photo) for photo, _ in table])
    photos, absent, doubled = [], [], 0
    for photo, entries in table:
        pairs = _pairs(entries, f"{where}: {photo}")
        doubled += len(entries) - len(pairs)
        if not container.has(prefix + photo):
            absent.append(photo)
            continue
        scene = _scene(photo)
        name = str(PurePosixPath(photo).relative_to(shared).with_suffix(""))
        name = name if not scene or name.startswith(f"{scene}/") else f"{scene}/{name}"
        photos.append(Annotated(name, prefix + photo, scene, pairs))
    if not photos:
        raise Missing(DA2K, root, f"none of the photos that {_ANNOTATIONS} names is there, such as {absent[0]}")
    remarks = [f"{len(absent)} of {len(table)} photos are not there, the first {absent[0]}"] if absent else []
    if doubled:
        remarks.append(f"{doubled} pairs stand twice in their photo and count once")
    return Da2kBenchmark(DA2K, container, tuple(photos), f"{DA2K.title}: {'; '.join(remarks)}" if remarks else None)


def _table(content: bytes, where: str) -> list[tuple[str, list[Any]]]:
    """Photos with their entries. Tables are read as lists of items, or a photo that stands twice would not be seen."""
    try:
        table = json.loads(content, object_pairs_hook=list)
    except ValueError as error:
        raise ValueError(f"{where}: not JSON ({error}); {REMEDY}") from error
    listed = isinstance(table, list) and all(isinstance(row, tuple) and isinstance(row[1], list) for row in table)
    if not listed or not table:
        raise ValueError(f"{where}: no table of photos with their pairs; {REMEDY}")
    if twice := [photo for photo, count in Counter(photo for photo, _ in table).items() if count > 1]:
        raise ValueError(
            f"{where}: {len(twice)} photos stand twice: {', '.join(twice[:3])}; keep one list of pairs each"
        )
    return table


def _scene(photo: str) -> str:
    parts = PurePosixPath(photo).parts
    return next((s for s in SCENES for part in parts if part.startswith(s)), parts[-2] if len(parts) > 1 else "")


def _pairs(entries: Sequence[Any], name: str) -> tuple[Pair, ...]:
    """Nearer point first, by ``closer_point`` (point1 where the file doesn't say); each pair once."""
    kept: dict[Pair, None] = {}
    for entry in entries:
        try:
            pair = dict(entry)
            nearer = pair.get("closer_point", "point1")
            farther = {"point1": "point2", "point2": "point1"}[nearer]
            (row, column), (far_row, far_column) = pair[nearer], pair[farther]
            found = (int(row), int(column), int(far_row), int(far_column))
        except (KeyError, TypeError, ValueError):
            raise ValueError(
                f"{name}: {entry!r} is no pair; expected are point1 and point2 as [row, column], and closer_point, "
                "'point1' or 'point2'"
            ) from None
        if found[:2] == found[2:] or (*found[2:], *found[:2]) in kept:
            fault = "is one point" if found[:2] == found[2:] else "is there the other way round, too"
            raise ValueError(f"{name}: the pair {list(found[:2])}, {list(found[2:])} {fault}; correct the file")
        kept[found] = None
    if not kept:
        raise ValueError(f"{name}: has no pairs; remove it from the file")
    return tuple(kept)
