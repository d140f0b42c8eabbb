"""Which models of a furniture library stand in one scene: what may take the place of what, how often, how many.

Has random numbers of its own, so that a scene without a library is the same whether or not this exists. Knows no files
and no places.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from latentdepth.synth.library import Entry, piece_of
from latentdepth.synth.pieces import Piece
from latentdepth.synth.scene import Mesh
from latentdepth.synth.shapes import placed

REPEATED = 6_000
"""Most triangles of what stands in a scene many times."""
_MOST_FACES = 160_000  # of all models in a scene, copies that callers make not counted
_MOST_MODELS = 24
_TRIES = 5


@dataclass(frozen=True)
class Kind:
    """Which entries may stand for something: by their names, categories and sizes."""

    words: str = ""
    """Regular expression that is found in the name, case aside; all names by default."""
    without: str = "(?!)"
    categories: tuple[str, ...] = ()
    """All but people, vehicles and what stands outdoors by default."""
    side_m: tuple[float, float] = (0.1, 2.7)
    """Least and most of the longest side."""
    height_m: tuple[float, float] = (0.0, 2.6)
    hangs: bool = False
    topped: bool = False
    """Only what things can be put on."""
    seats: bool = False

    def admits(self, entry: Entry) -> bool:
        """Whether the catalogue's words on an entry fit."""
        outdoors = entry.category in ("Characters", "Vehicles", "Exterior")
        return bool(
            (entry.category in self.categories if self.categories else not outdoors)
            and re.search(self.words, entry.name, re.IGNORECASE)
            and not re.search(self.without, entry.name, re.IGNORECASE)
            and self.side_m[0] <= max(entry.size_m) <= self.side_m[1]
            and self.height_m[0] <= entry.size_m[2] <= self.height_m[1]
            and self.hangs == (entry.elevation_m > 0.02)
            and not (self.topped and entry.top_m is None)
        )


_BEASTS = r"\b(cat|dog|bulldog|horse|chicken|rabbit)\b"
KINDS: dict[str, Kind] = {
    "chair": Kind(r"\b(arm)?chair|stool\b", r"deck|wheel|high", height_m=(0.4, 1.25), side_m=(0.4, 1.25), seats=True),
    "sofa": Kind(r"sofa|couch|armchair|ottoman|bench", r"abdominal|opened", height_m=(0.4, 1.3), seats=True),
    "table": Kind(
        r"\btable\b|\bdesk\b",
        r"tennis|football|pool|changing|dressing|lamp|fan|glass",
        height_m=(0.6, 0.82),
        side_m=(0.6, 2.4),
        topped=True,
    ),
    "low table": Kind(r"\btable\b|puff|trun?ck", r"lamp|fan|bat\b", height_m=(0.25, 0.56), topped=True),
    "bed": Kind(r"\bbed\b|crib", r"bunk|mezzanine|air|baby|rocking", side_m=(1.5, 2.4), topped=True),
    "desk": Kind(r"\bdesk\b|office.*table|workbench|dressing table|technical", "lamp", side_m=(0.6, 2.4), topped=True),
    "cupboard": Kind(
        r"cupboard|wardrobe|cabinet|chest|dresser|bookcase|shelves|bedside|drawers|piano|safe|tv stand",
        r"freezer|corner|bench",
    ),
    "plant": Kind(r"plant|flower|tulip|orchid|cactus|lily|yucca|ficus|bamboo|spathi|bonsai", side_m=(0.1, 2.0)),
    "indoors": Kind(side_m=(0.3, 2.6), without=r"\b(rug|carpet|doormat|bathmat)\b"),
    "on wall": Kind(
        without=r"ceiling|detector|hanging|sign|railing|pendant|chandelier|track", side_m=(0.05, 2.7), hangs=True
    ),
    "small": Kind(side_m=(0.05, 0.5), without=r"coathanger|hanger|clock"),
    "on floor": Kind(side_m=(0.15, 0.9), height_m=(0.05, 0.8)),
    "person": Kind(
        without=r"sitting|lying|\b(snowman)\b|" + _BEASTS,
        categories=("Characters",),
        height_m=(1.0, 2.1),
        side_m=(1.0, 2.1),
    ),
    "anybody": Kind(categories=("Characters",)),
    "animal": Kind(_BEASTS, categories=("Characters",)),
    "pet": Kind(r"\b(cat|dog|bulldog|rabbit)\b", categories=("Characters",)),
    "car": Kind(categories=("Vehicles",), side_m=(2.2, 5.5), height_m=(1.0, 2.0)),
    "lorry": Kind(categories=("Vehicles",), side_m=(5.0, 15.0), height_m=(2.0, 4.1)),
    "cycle": Kind(categories=("Vehicles",), side_m=(0.8, 2.3)),
    "outdoors": Kind(
        without=r"pool|board|crossing|sidewalk|game",
        categories=("Exterior",),
        side_m=(0.3, 3.6),
        height_m=(0.25, 3.6),
    ),
}


class Props:
    """Models lent to one scene. Holds what was lent, which is what the scene's credits are made from."""

    def __init__(self, library: Sequence[Entry], rng: np.random.Generator) -> None:
        self._library, self._rng = library, rng
        self._fitting: dict[str, list[Entry]] = {}
        self._lent: dict[Entry, Piece] = {}
        self._faces = 0

    def lend(
        self, kinds: str | Sequence[str], share: float, *, category: str | None = None, most_faces: int = 30_000
    ) -> Piece | None:
        """With a probability of ``share`` a model of one of these kinds, as long as the scene isn't full; else None.

        ``category``: in seven of ten cases only entries of it, where there are any that fit.
        """
        if self._rng.random() >= share:
            return None
        kind = kinds if isinstance(kinds, str) else kinds[int(self._rng.integers(len(kinds)))]
        if kind not in self._fitting:
            self._fitting[kind] = [entry for entry in self._library if KINDS[kind].admits(entry)]
        fitting = self._fitting[kind]
        if category is not None and self._rng.random() < 0.7:
            fitting = [entry for entry in fitting if entry.category == category] or fitting
        if len(self._lent) >= _MOST_MODELS:
            # another model costs its reading, one that stands there already doesn't
            fitting = [entry for entry in fitting if entry in self._lent]
        for _ in range(_TRIES if fitting else 0):
            entry = fitting[int(self._rng.integers(len(fitting)))]
            piece = piece_of(entry)
            if piece is None or (KINDS[kind].topped and not piece.tops):
                continue
            faces = sum(len(part.faces) for part in piece.parts)
            if faces <= most_faces and self._faces + faces <= _MOST_FACES:
                self._faces += faces
                self._lent[entry] = piece
                return _offered(entry, piece, KINDS[kind])
        return None

    def credits_of(self, meshes: Iterable[Mesh]) -> tuple[str, ...]:
        """Attribution lines of the models that are among the meshes, in order of the alphabet."""
        shown = {id(mesh.material) for mesh in meshes}
        return tuple(
            sorted(
                {
                    entry.credit
                    for entry, piece in self._lent.items()
                    if any(id(part.material) in shown for part in piece.parts)
                }
            )
        )


def _offered(entry: Entry, piece: Piece, kind: Kind) -> Piece:
    """The piece as its kind is used: at its height on the wall, or with places to sit instead of a top."""
    if kind.hangs:
        return Piece(placed(piece.parts, (0, 0, entry.elevation_m)), entry.size_m)
    if not kind.seats:
        return piece
    width, seat_m = entry.size_m[0], entry.top_m
    if seat_m is None or not 0.3 < seat_m < 0.6:
        return replace(piece, tops=[])
    count = max(int((width - 0.3) / 0.55), 1)
    places = [(k + 0.5) / count - 0.5 for k in range(count)]
    return replace(piece, tops=[], seats=[(place * (width - 0.3), -0.05, seat_m) for place in places])
