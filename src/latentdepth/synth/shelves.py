"""Racks of shelves with things in their bays, as stores and workshops have them. Knows no cameras.

Within its own frame a rack stands on z = 0 about the origin, its back at +y and its open front to -y.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from latentdepth.synth import clutter
from latentdepth.synth.arrangements import strewn
from latentdepth.synth.palette import Palette
from latentdepth.synth.pieces import Top
from latentdepth.synth.rooms import room
from latentdepth.synth.scene import Material
from latentdepth.synth.shapes import Parts, Point, bounds, box, picture, placed, rotation
from latentdepth.synth.shells import any_light
from latentdepth.synth.stage import Stage, footprint_of
from latentdepth.synth.storage import books_in_row


@dataclass(frozen=True)
class Bay:
    """One compartment of a rack."""

    mouth: Point
    """Middle of its open front."""
    outward_rad: float
    """Where the front looks, counted from +x to +y."""
    size_m: tuple[float, float, float]
    """Width, depth and height inside."""


@dataclass(frozen=True)
class _Rack:
    columns: int
    levels: int
    bay_m: tuple[float, float, float]
    board_m: float
    foot_m: float

    def mouths(self) -> list[Point]:
        """Middle of each bay's front in the rack's own frame."""
        w, d, h = self.bay_m
        return [
            ((k - (self.columns - 1) / 2) * (w + self.board_m), -d / 2, self.foot_m + j * (h + self.board_m) + h / 2)
            for j in range(self.levels)
            for k in range(self.columns)
        ]


def shelf_room(palette: Palette) -> tuple[Stage, list[Bay]]:
    """A room with one rack in reach of which nothing else stands, and the rack's bays."""
    rng = palette.rng
    light, height = any_light(rng), float(rng.uniform(2.3, 3.2))
    rack = _any_rack(rng, height - 0.1)
    (w, d, h), yaw = rack.bay_m, float(rng.integers(4)) * np.pi / 2
    reach = max(rack.columns * (w + rack.board_m), d) / 2 + 0.75
    stage, _ = room(
        palette,
        theme=("bare", "workshop", "office")[int(rng.integers(3))],
        size_m=(max(rng.uniform(2.8, 6), 2 * reach), max(rng.uniform(2.8, 6), 2 * reach), height),
        light=light.with_lamps(rng.uniform(4, 9)),
    )
    parts = _frame(palette, rack)
    mouths = rack.mouths()
    for x, _, z in mouths:
        parts += placed(_content(palette, rack.bay_m), (x, 0.0, z - h / 2))
    at_x, at_y = (
        float(rng.uniform(low + reach, max(high - reach, low + reach))) for low, high in (stage.x_m, stage.y_m)
    )
    stage.clear_away((at_x, at_y), reach)
    standing = placed(parts, (at_x, at_y, 0.0), yaw_rad=yaw)
    stage.parts += standing
    stage.taken.append(footprint_of(standing))
    bays, turn = [], rotation(yaw)
    for mouth in mouths:
        x, y, z = (turn @ np.array(mouth)).tolist()
        bays.append(Bay((x + at_x, y + at_y, z), yaw - np.pi / 2, rack.bay_m))
    return stage, bays


def _any_rack(rng: np.random.Generator, most_m: float) -> _Rack:
    """From single lockers' width to that of a pallet, as high as a room allows."""
    bay = (float(rng.uniform(0.24, 0.85)), float(rng.uniform(0.22, 0.6)), float(rng.uniform(0.2, 0.46)))
    board, levels = float(rng.uniform(0.006, 0.03)), int(rng.integers(2, 5))
    foot = float(rng.uniform(0.1, max(most_m - levels * (bay[2] + board) - 0.1, 0.15)))
    return _Rack(int(rng.integers(1, 4)), levels, bay, board, min(foot, 0.9))


def _frame(palette: Palette, rack: _Rack) -> Parts:
    """Boards, their lips, uprights or side walls, partitions, mostly a back."""
    rng, (w, d, h), t = palette.rng, rack.bay_m, rack.board_m
    width = rack.columns * (w + t) + t
    board = _sheet_material(palette)
    heights = rack.foot_m - t + np.arange(rack.levels + 1) * (h + t)
    parts: Parts = [box(board, (width, d, t), (0, 0, float(z))) for z in heights]
    if rng.random() < 0.65:
        lip, thick = float(rng.uniform(0.015, 0.06)), float(rng.uniform(0.002, 0.025))
        edge = board if rng.random() < 0.6 else palette.metal()
        below = float(rng.uniform(0.0, 1.0)) * lip
        parts += [box(edge, (width, thick, lip + t), (0, -d / 2 - thick / 2, float(z) - below)) for z in heights]
    top, sides = float(heights[-1] + t), board if rng.random() < 0.5 else _sheet_material(palette)
    if rng.random() < 0.5:
        parts += [box(sides, (t, d, top), (s * (width - t) / 2, 0, 0)) for s in (-1, 1)]
    else:
        post = float(rng.uniform(0.02, 0.05))
        parts += [
            box(sides, (post, post, top + 0.05), (sx * (width - post) / 2, sy * (d - post) / 2, 0))
            for sx in (-1, 1)
            for sy in (-1, 1)
        ]
    between = _sheet_material(palette)
    if rng.random() < 0.8:
        lines = (np.arange(rack.columns - 1) - (rack.columns - 2) / 2) * (w + t)
        parts += [box(between, (t, d, top - rack.foot_m), (float(x), 0, rack.foot_m)) for x in lines]
    if rng.random() < 0.75:
        parts.append(box(between, (width, 0.006, top - rack.foot_m), (0, d / 2 - 0.003, rack.foot_m)))
    return parts


def _sheet_material(palette: Palette) -> Material:
    """Wood, enamelled or bare metal, or cardboard."""
    kind = int(palette.rng.choice(4, p=[0.3, 0.25, 0.2, 0.25]))
    if kind == 0:
        return palette.furniture()
    if kind == 1:
        return palette.plain(palette.off_white() * palette.rng.uniform(0.3, 1.0), 0.4)
    return palette.metal() if kind == 2 else palette.cardboard()


def _content(palette: Palette, bay_m: tuple[float, float, float]) -> Parts:
    """What lies and stands in one bay, about the middle of its floor: often in an open carton of its own."""
    rng, (w, d, h) = palette.rng, bay_m
    parts: Parts = []
    if rng.random() < 0.4:
        card, t = palette.cardboard(), 0.004
        wall = h * float(rng.uniform(0.35, 0.97))
        parts += [box(card, (t, d * 0.96, wall), (s * (w / 2 - 0.012), 0, 0.001)) for s in (-1, 1)]
        parts.append(box(card, (w - 0.02, t, wall), (0, d / 2 - 0.015, 0.001)))
        w, d = w - 0.034, d - 0.03
    kind = float(rng.random())
    top = Top((-w / 2 + 0.01, w / 2 - 0.01), (-d / 2 + 0.015, d / 2 - 0.015), 0.002, h - 0.02)
    if kind < 0.14:
        return parts + placed(books_in_row(palette, w * rng.uniform(0.3, 0.95), min(h - 0.05, 0.32), d), (0, 0, 0.002))
    if kind < 0.17:
        return parts
    if kind < 0.65:
        parts += _leaning(palette, (w, d, h))
    count = int(rng.integers(1, 4)) if rng.random() < 0.4 else int(w * d * rng.uniform(15, 45)) + 1
    if rng.random() < 0.45:
        return parts + strewn(palette, top, min(count, 10), make=clutter.package, gap_m=0.003, tries=1)
    return parts + strewn(palette, top, min(count, 12), gap_m=0.003)


def _leaning(palette: Palette, bay_m: tuple[float, float, float]) -> Parts:
    """One to three books, boards or flat boxes that lean against a side wall or the back."""
    rng, (w, d, h) = palette.rng, bay_m
    parts: Parts = []
    for side in rng.choice([-1.0, 1.0, 0.0], int(rng.integers(1, 4)), replace=False):
        long, tall = min(rng.uniform(0.12, 0.3), 0.8 * d), min(rng.uniform(0.14, 0.36), 0.85 * h)
        thick, lean = rng.uniform(0.004, 0.05), rng.uniform(0.08, 0.4)
        cover, face = palette.label(), side or 1.0
        body = [
            box(palette.plain(palette.vivid(), 0.5), (thick, long, tall)),
            picture(cover, (-face * (thick / 2 + 0.0006), face * long / 2, 0), (0, -face * long, 0), (0, 0, tall)),
        ]
        if side:
            tilted = placed(body, turn=rotation(0, 0, side * lean))
        else:  # against the back, its cover to the front
            tilted = placed(placed(body, yaw_rad=np.pi / 2), turn=rotation(0, -lean, 0))
        low, high = bounds(tilted)
        if (high - low > np.array([w, d, h]) * 0.95).any():
            continue
        x = side * w / 2 - (high[0] if side > 0 else low[0]) if side else float(rng.uniform(-0.3, 0.3)) * w
        y = float(rng.uniform(-1, 1)) * (d - (high - low)[1]) / 2 if side else d / 2 - float(high[1])
        parts += placed(tilted, (float(x), y, 0.002 - float(low[2])))
    return parts
