"""The shell of a room: floor, ceiling, walls with windows, doors and hangings, lamps, and how it is lit.

Room axes: x from 0 to its width, y from 0 to its depth, floor at z = 0. Knows no furniture.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from latentdepth.synth import lamps, walls
from latentdepth.synth.palette import Palette
from latentdepth.synth.scene import Material
from latentdepth.synth.shapes import Parts, box, placed, quad, rod
from latentdepth.synth.stage import Stage
from latentdepth.synth.walls import Opening


@dataclass(frozen=True)
class Light:
    """How a room is lit: radiance of window panes and lamps (0 is off)."""

    daylight: float
    lamps: float
    open_windows: bool
    """The outside is seen through them; else they are bright panes."""

    def with_lamps(self, least: float) -> Light:
        """The same with the lamps on at ``least``."""
        return replace(self, lamps=max(self.lamps, least))


def any_light(rng: np.random.Generator) -> Light:
    """By day mostly; lamps alone at night."""
    kind = rng.choice(3, p=[0.5, 0.28, 0.22])
    if kind == 2:
        return Light(0.0, rng.uniform(6, 25), bool(rng.random() < 0.3))
    lamps = 0.0 if rng.random() < 0.4 and kind == 0 else rng.uniform(2, 14)
    return Light(rng.uniform(2.5, 9), max(lamps, 2.0 if kind == 1 else 0.0), bool(kind == 1))


def wall_frames(w: float, d: float) -> list[tuple[float, tuple[float, float, float], float]]:
    """Length, start and yaw of the north, east, south and west walls (see ``walls``)."""
    return [(w, (0, d, 0), 0.0), (d, (w, d, 0), -np.pi / 2), (w, (w, 0, 0), np.pi), (d, (0, 0, 0), np.pi / 2)]


def _openings(
    rng: np.random.Generator, length: float, height: float, *, doors: int, windows: int
) -> list[tuple[str, Opening]]:
    """Doors and windows along one wall that don't overlap."""
    found: list[tuple[str, Opening]] = []
    for kind in ["door"] * doors + ["window"] * windows:
        if kind == "door":
            w, bottom, top = rng.uniform(0.75, 1.0), 0.0, min(rng.uniform(1.98, 2.15), height - 0.1)
        else:
            tall = rng.random() < 0.2
            w, bottom = rng.uniform(0.6, 2.2), 0.05 if tall else rng.uniform(0.7, 1.1)
            top = min(rng.uniform(1.9, 2.4), height - 0.12)
        if w > length - 0.5:
            continue
        left = rng.uniform(0.25, length - w - 0.25)
        spot = Opening(left, left + w, bottom, top)
        if all(spot.right_m + 0.3 < o.left_m or spot.left_m - 0.3 > o.right_m for _, o in found):
            found.append((kind, spot))
    return found


def shell(stage: Stage, height: float, light: Light, *, tiled: bool) -> list[list[tuple[str, Opening]]]:
    """Floor, ceiling and four walls with their openings and hangings; returns the openings of every wall."""
    palette, rng = stage.palette, stage.rng
    w, d = stage.x_m[1], stage.y_m[1]
    ceiling = palette.plain(palette.off_white(), 0.9) if rng.random() < 0.85 else palette.wall()
    stage.parts += [
        quad(palette.floor(), (0, 0, 0), (w, 0, 0), (0, d, 0)),
        quad(ceiling, (0, d, height), (w, 0, 0), (0, -d, 0)),
    ]
    main = palette.tiling() if tiled else palette.wall()
    glow = palette.lamp(light.daylight, warmth=rng.uniform(-0.15, 0.15)) if light.daylight > 0 else None
    window_walls = set(rng.choice(4, int(rng.integers(1, 3)), replace=False).tolist())
    door_wall = int(rng.integers(4))
    all_openings = []
    for k, (length, start, yaw) in enumerate(wall_frames(w, d)):
        surface = main if rng.random() < 0.8 else palette.wall()
        windows = int(rng.integers(1, 3)) if k in window_walls else 0
        openings = _openings(rng, length, height, doors=int(k == door_wall) + int(rng.random() < 0.2), windows=windows)
        holes = [o for _, o in openings]
        parts = walls.pierced_wall(surface, length, height, holes)
        if rng.random() < 0.85:
            parts += walls.skirting(palette, length, holes)
        for kind, opening in openings:
            parts += (
                walls.door(palette, opening)
                if kind == "door"
                else _dressed_window(palette, opening, height, light, glow)
            )
        parts += _hangings(palette, length, height, holes)
        stage.parts += placed(parts, start, yaw_rad=yaw)
        all_openings.append(openings)
    return all_openings


def _dressed_window(palette: Palette, opening: Opening, height: float, light: Light, glow: Material | None) -> Parts:
    rng = palette.rng
    parts = walls.window(palette, opening, fill="open" if light.open_windows else glow or "pane")
    dressing = rng.random()
    if dressing < 0.45:
        parts += walls.curtains(palette, opening, height)
    elif dressing < 0.6:
        parts += walls.blind(palette, opening)
    return parts


def _hangings(palette: Palette, length: float, height: float, openings: list[Opening]) -> Parts:
    """Pictures, mirrors, posters, shelves' worth of wall between the openings; also sockets and switches."""
    rng, parts = palette.rng, []
    taken = [(o.left_m - 0.35, o.right_m + 0.35) for o in openings]
    for _ in range(int(rng.poisson(0.6 * length / 1.5 * rng.uniform(0, 1.5)))):
        look = ("artwork", "paper", "mirror", "screen")[int(rng.choice(4, p=[0.62, 0.22, 0.1, 0.06]))]
        size = (rng.uniform(0.2, 1.1), rng.uniform(0.2, 0.9))
        x, z = rng.uniform(0.2, length - 0.2), rng.uniform(1.35, 1.75)
        low, high = x - size[0] / 2, x + size[0] / 2
        if (
            low < 0.05
            or high > length - 0.05
            or z + size[1] / 2 > height - 0.1
            or any(low < b and a < high for a, b in taken)
        ):
            continue
        parts += walls.hung(palette, x, z, size, look)
        taken.append((low - 0.05, high + 0.05))
    white = palette.plain(np.full(3, 0.9), 0.4)
    for z in (0.3, 1.1, 0.3):
        x = rng.uniform(0.1, length - 0.1)
        if all(not (o.left_m - 0.1 < x < o.right_m + 0.1) for o in openings):
            parts.append(box(white, (0.08, 0.012, 0.08), (x, -0.006, z)))
    return parts


def ceiling_lamps(stage: Stage, height: float, light: Light) -> None:
    """Panels, hanging shades, spots or tubes; lit or not."""
    palette, rng = stage.palette, stage.rng
    w, d, kind = stage.x_m[1], stage.y_m[1], int(rng.integers(4))
    lit = light.lamps > 0
    cols, rows = (max(1, round(w / 3.2)), max(1, round(d / 3.2))) if kind in (0, 3) or w * d > 22 else (1, 1)
    face = (
        palette.lamp(light.lamps * (3 if kind == 2 else 1), warmth=rng.uniform(0.1, 0.5))
        if lit
        else palette.plain(np.full(3, 0.92))
    )
    for i in range(cols):
        for j in range(rows):
            x, y = w * (i + 0.5) / cols, d * (j + 0.5) / rows
            if kind in (0, 3):
                size = (0.58, 0.58) if kind == 0 else (0.16, 1.2)
                stage.parts += [
                    box(palette.plain(np.full(3, 0.9)), (size[0] + 0.04, size[1] + 0.04, 0.02), (x, y, height - 0.02)),
                    quad(face, (x - size[0] / 2, y + size[1] / 2, height - 0.022), (size[0], 0, 0), (0, -size[1], 0)),
                ]
            elif kind == 1:
                drop, r = rng.uniform(0.3, max(0.35, height - 1.9)), rng.uniform(0.13, 0.28)
                z = height - drop
                stage.parts += [
                    rod(palette.dark(), (x, y, z), (x, y, height), 0.004),
                    *lamps.lamp_shade(palette, (x, y, z - r * 1.3), r, lit=lit),
                ]
            else:
                for dx, dy in ((0, 0), (0.8, 0), (-0.8, 0)):
                    stage.parts.append(box(face, (0.14, 0.14, 0.05), (x + dx * min(1, w / 4), y + dy, height - 0.05)))
