"""Rooms: a shell furnished for living, sleeping, working, cooking or washing, or bare.

Room axes: x from 0 to its width, y from 0 to its depth, floor at z = 0. Knows no cameras.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Literal

import numpy as np

from latentdepth.synth import clutter, flowers, furniture, lamps, people, storage
from latentdepth.synth.animals import quadruped
from latentdepth.synth.arrangements import desk_set, dining_set, lived_in, sofa_set
from latentdepth.synth.outlook import outlook
from latentdepth.synth.palette import Palette
from latentdepth.synth.pieces import Piece
from latentdepth.synth.shapes import bounds, placed
from latentdepth.synth.shells import Light, any_light, ceiling_lamps, shell, wall_frames
from latentdepth.synth.stage import Footprint, Stage
from latentdepth.synth.walls import Opening

Theme = Literal["living", "bedroom", "office", "kitchen", "bathroom", "dining", "workshop", "bare"]
_CATEGORIES: dict[Theme, str] = {
    "living": "Living room",
    "bedroom": "Bedroom",
    "office": "Office",
    "kitchen": "Kitchen",
    "bathroom": "Bathroom",
    "dining": "Living room",
    "workshop": "Miscellaneous",
}
"""What a furniture library calls that which belongs in a room."""


def _bed_set(palette: Palette) -> Piece:
    """A bed, at times with somebody in it."""
    bed = furniture.bed(palette)
    parts = lived_in(palette, bed, things=1.5).parts
    if palette.rng.random() < 0.22:
        parts += placed(
            people.figure(palette, "lie"),
            (0, 0.1 * palette.rng.normal(), bed.size_m[2] + 0.03),
            yaw_rad=palette.rng.choice([0.0, np.pi]),
        )
    return Piece(parts, bed.size_m)


def _high_shelf(palette: Palette, things: float) -> Piece:
    """Boards on the wall, above the furniture."""
    shelf = lived_in(palette, storage.bookshelf(palette, hung=True), things=things)
    return Piece(placed(shelf.parts, (0, 0, palette.rng.uniform(1.25, 1.7))), shelf.size_m)


def _wall_makers(palette: Palette, theme: Theme, things: float, share: float) -> list[Callable[[], Piece]]:
    """What stands along the walls, in the order it is tried."""
    rng = palette.rng

    def used(make: Callable[[Palette], Piece]) -> Callable[[], Piece]:
        return lambda: lived_in(palette, make(palette), things=things)

    common = [
        used(storage.cupboard),
        used(storage.bookshelf),
        used(storage.radiator),
        lambda: Piece(flowers.pot_plant(palette), (0.5, 0.5, 1)),
        lambda: lamps.floor_lamp(palette, lit=bool(rng.random() < 0.5)),
        lambda: lived_in(palette, furniture.chair(palette), things=things, people_share=share),
    ]
    special: dict[Theme, list[Callable[[], Piece]]] = {
        "living": [
            lambda: sofa_set(palette, things=things, people_share=share),
            used(storage.television),
            used(storage.bookshelf),
            lambda: lived_in(palette, furniture.sofa(palette, 1), things=0, people_share=share),
        ],
        "bedroom": [lambda: _bed_set(palette), used(storage.cupboard), used(storage.cupboard)],
        "office": [lambda: desk_set(palette, things=things, people_share=share) for _ in range(4)],
        "kitchen": [
            used(lambda p: storage.kitchen(p, float(rng.uniform(1.8, 4)))),
            used(lambda p: storage.kitchen(p, float(rng.uniform(1.2, 2.4)))),
        ],
        "bathroom": [lambda: storage.toilet(palette), lambda: storage.basin(palette), lambda: storage.basin(palette)],
        "dining": [used(storage.cupboard), used(storage.cupboard)],
        "workshop": [used(furniture.table), used(storage.bookshelf), used(storage.desk), used(storage.bookshelf)],
        "bare": [],
    }
    extra = [common[int(k)] for k in rng.permutation(len(common))]
    return special[theme] + (
        [*extra, used(storage.bookshelf), used(storage.cupboard)] if theme != "bare" else extra[:3]
    )


def _lent(palette: Palette, theme: Theme, things: float) -> Piece | None:
    """A real model, mostly of a kind that belongs in such a room; None where there is no library, and at times."""
    piece = palette.lent("indoors", 0.4, category=_CATEGORIES.get(theme))
    return piece and lived_in(palette, piece, things=things)


def _against_wall(
    stage: Stage, piece: Piece, openings: list[list[tuple[str, Opening]]], *, gap_m: float = 0.13
) -> bool:
    """Finds a stretch of wall for the piece, clear of doors and, if it is tall, of windows."""
    rng = stage.rng
    low, high = bounds(piece.parts)
    for _ in range(14):
        k = int(rng.integers(4))
        length, start, yaw = wall_frames(stage.x_m[1], stage.y_m[1])[k]
        room = length - float(high[0] - low[0])
        if room < 0.05:
            continue
        left = rng.uniform(0.02, room)
        right = left + float(high[0] - low[0])
        blocked = [o for kind, o in openings[k] if kind == "door" or high[2] > o.bottom_m + 0.15]
        if any(left < o.right_m + 0.05 and o.left_m - 0.05 < right for o in blocked):
            continue
        local = (left - float(low[0]), -float(high[1]) - gap_m, 0.0)
        cos, sin = np.cos(yaw), np.sin(yaw)
        at = (start[0] + cos * local[0] - sin * local[1], start[1] + sin * local[0] + cos * local[1], 0.0)
        if stage.put(piece.parts, at, yaw):
            return True
    return False


def furnish(
    stage: Stage, theme: Theme, openings: list[list[tuple[str, Opening]]], *, things: float, people_share: float
) -> None:
    """Doors kept clear, pieces along the walls, sets in the middle, then people, pets and things on the floor."""
    palette, rng = stage.palette, stage.rng
    for (length, start, yaw), wall in zip(wall_frames(stage.x_m[1], stage.y_m[1]), openings, strict=True):
        for kind, o in wall:
            if kind == "door":
                corner = np.array([[o.left_m, -0.8], [o.right_m, 0.0]])
                cos, sin = np.cos(yaw), np.sin(yaw)
                xy = corner @ np.array([[cos, sin], [-sin, cos]]) + np.array(start[:2])
                stage.kept_clear.append(
                    Footprint((xy[:, 0].min(), xy[:, 0].max()), (xy[:, 1].min(), xy[:, 1].max()), 2.0)
                )
        del length
    # walls are filled up to a share of their length, which differs from room to room
    wanted = rng.uniform(0.25, 0.95) * 2 * (stage.x_m[1] + stage.y_m[1]) if theme != "bare" else rng.uniform(0, 3)
    makers = _wall_makers(palette, theme, things, people_share)
    for k in range(min(len(makers) + 14, 30)):
        if wanted <= 0:
            break
        piece = _lent(palette, theme, things)
        piece = piece or (makers[k]() if k < len(makers) else makers[int(rng.integers(len(makers)))]())
        if _against_wall(stage, piece, openings):
            wanted -= piece.size_m[0] + 0.2
    for _ in range(int(rng.poisson(1.3))):
        _against_wall(stage, _high_shelf(palette, things), openings, gap_m=0.005)
    for _ in range(4):
        if hung := palette.lent("on wall", 0.5, category=_CATEGORIES.get(theme)):
            _against_wall(stage, hung, openings, gap_m=0.002)
    middle = {"dining": 3, "living": 1, "kitchen": 1, "office": 1, "workshop": 2}.get(theme, 0)
    for _ in range(middle):
        if rng.random() < 0.7:
            stage.put_somewhere_square(dining_set(palette, things=things, people_share=people_share).parts)
    if rng.random() < 0.35 and theme not in ("bathroom", "bare"):
        rug = furniture.rug(palette, rng.uniform(1, 2.4), rng.uniform(0.7, 1.8))
        stage.parts += placed(
            rug,
            (stage.x_m[1] * rng.uniform(0.3, 0.7), stage.y_m[1] * rng.uniform(0.3, 0.7), 0.002),
            yaw_rad=float(rng.integers(4)) * np.pi / 2 + rng.normal(0, 0.05),
        )
    _inhabit(stage, people_share, things)


def _inhabit(stage: Stage, people_share: float, things: float) -> None:
    palette, rng = stage.palette, stage.rng
    for _ in range(int(rng.poisson(3.5 * people_share))):
        lent = palette.lent("person", 0.5)
        stage.put_somewhere(lent.parts if lent else people.figure(palette, detail=True))
    if rng.random() < 0.12:
        pet = ("cat", "dog", "small dog")[int(rng.integers(3))]
        lent = palette.lent("pet", 0.5)
        stage.put_somewhere(lent.parts if lent else quadruped(palette, pet))
    for _ in range(int(rng.poisson(0.35 * things * rng.uniform(0.2, 1.5)))):
        stage.put_somewhere(clutter.floor_thing(palette), tries=5)


def room(
    palette: Palette,
    *,
    theme: Theme | None = None,
    size_m: tuple[float, float, float] | None = None,
    light: Light | None = None,
) -> tuple[Stage, float]:
    """A furnished room and its height."""
    rng = palette.rng
    themes: tuple[Theme, ...] = ("living", "bedroom", "office", "kitchen", "bathroom", "dining", "workshop", "bare")
    theme = theme or themes[int(rng.choice(8, p=[0.22, 0.17, 0.16, 0.12, 0.07, 0.1, 0.08, 0.08]))]
    small = theme == "bathroom"
    w, d, h = size_m or (
        rng.uniform(2.4, 4 if small else 8),
        rng.uniform(2.8, 4 if small else 10),
        rng.uniform(2.2, 3.6 if rng.random() < 0.4 else 2.8),
    )
    light = light or any_light(rng)
    stage = Stage(palette, (0.0, w), (0.0, d))
    stage.dark_outside = light.daylight == 0
    openings = shell(stage, h, light, tiled=theme in ("bathroom", "kitchen") and bool(rng.random() < 0.45))
    if not any(kind == "window" for wall in openings for kind, _ in wall) and light.lamps == 0:
        light = replace(light, lamps=6.0)  # nobody photographs a dark cell
    ceiling_lamps(stage, h, light)
    share = float(rng.choice([0.0, 0.12, 0.35], p=[0.55, 0.3, 0.15]))
    furnish(stage, theme, openings, things=rng.uniform(4, 34), people_share=share)
    if light.open_windows:
        stage.parts += outlook(palette, w, d)
    return stage, h
