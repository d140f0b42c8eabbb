"""Plants in rows, as field robots and pickers see them: raised gutters, ridges of earth, trellises.

Rows run along y at both sides of an aisle about x = 0, in open country. Knows no cameras.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from latentdepth.synth import landscapes, plants
from latentdepth.synth.colours import hsv
from latentdepth.synth.palette import Palette
from latentdepth.synth.scene import Material, Mesh
from latentdepth.synth.shapes import Parts, ball, box, merged_as_one, placed, rod, tube
from latentdepth.synth.stage import Stage
from latentdepth.synth.terrain import Heights, height_at

Growth = Literal["gutter", "ridge", "trellis"]
_MOST_TRIANGLES = 240_000


@dataclass(frozen=True)
class Rows:
    """How a field is planted."""

    growth: Growth
    gap_m: float
    """From row to row; the aisle's middle is at x = 0."""
    bed_m: float
    """Height of what the plants grow from."""
    plant_m: float
    """Height of a plant above it."""
    length_m: float


def crop_rows(palette: Palette) -> tuple[Stage, Heights, Rows]:
    """A field in open country, its ground, and its rows."""
    rng = palette.rng
    theme: landscapes.Theme = ("garden", "farmland", "meadow")[int(rng.integers(3))]
    stage, ground, _ = landscapes.landscape(palette, theme, most_triangles=100_000, planted=False)
    growth: Growth = ("gutter", "ridge", "trellis")[int(rng.choice(3, p=[0.5, 0.25, 0.25]))]
    rows = Rows(
        growth,
        float(rng.uniform(1.1, 2.4)),
        float(rng.uniform(0.6, 1.5) if growth == "gutter" else rng.uniform(0.12, 0.4)),
        float(rng.uniform(1.0, 2.0) if growth == "trellis" else rng.uniform(0.18, 0.5)),
        float(rng.uniform(4, 9)),
    )
    base = height_at(ground)
    bed = _bed(palette, rows)
    protos = [_plant(palette, rows) for _ in range(4)]
    step = max(0.75 * rows.plant_m, 0.2) if growth != "trellis" else float(rng.uniform(0.3, 0.5))
    lines = (np.arange(-3, 3) + 0.5) * rows.gap_m
    for x in lines:
        stage.parts += placed(bed, (float(x), 0, base))
    along = np.arange(-rows.length_m / 2, rows.length_m / 2, step)
    # the nearest first, so that a budget that runs out is missed at the far ends
    for x, y in sorted(((x, y) for x in lines for y in along), key=lambda spot: float(np.hypot(*spot))):
        if rng.random() < 0.95 and stage.has_room(_MOST_TRIANGLES):
            at = (float(x + rng.normal(0, 0.02)), float(y + rng.normal(0, 0.1 * step)), base + rows.bed_m)
            size = float(rng.uniform(0.75, 1.2))
            stage.parts += placed(protos[int(rng.integers(4))], at, yaw_rad=rng.integers(2) * np.pi, scale=size)
    if rng.random() < 0.35:
        stage.parts += placed(_trolley(palette), (rng.normal(0, 0.1), rng.uniform(0.9, 2.5), base))
    return stage, ground, rows


def _bed(palette: Palette, rows: Rows) -> Parts:
    """What one row grows from, along y: a gutter on posts with its pipes, or a ridge, with wires where plants climb."""
    rng, length = palette.rng, rows.length_m
    posts = np.arange(-length / 2, length / 2 + 0.1, rng.uniform(1.4, 2.8)) + rng.uniform(-0.4, 0.4)
    if rows.growth == "gutter":
        film = palette.plain(np.full(3, rng.uniform(0.75, 0.95)) if rng.random() < 0.5 else palette.muted() * 0.4, 0.5)
        w, h, post = rng.uniform(0.16, 0.36), rng.uniform(0.08, 0.22), palette.metal()
        parts = [box(film, (w, length, h), (0, 0, rows.bed_m - h))]
        thick = rng.uniform(0.015, 0.05)
        parts += [rod(post, (0, float(y), -0.1), (0, float(y), rows.bed_m - h), thick) for y in posts]
        for _ in range(int(rng.integers(0, 4))):
            side = rng.choice([-1, 1]) * (w / 2 + 0.02)
            parts.append(_pipe(palette.dark(), side, rows.bed_m - rng.uniform(0, 0.5), rows))
        if rng.random() < 0.4:
            board = rng.uniform(0.02, 0.12)
            parts.append(box(palette.metal(), (w * 1.3, length, board), (0, 0, rows.bed_m - h - board)))
        return parts
    earth = palette.plain(np.full(3, 0.06), 0.4) if rng.random() < 0.3 else palette.soil()
    w = rng.uniform(0.35, 0.8)
    along = np.linspace(-length / 2, length / 2, 40)
    line = np.stack((rng.normal(0, 0.01, 40), along, np.full(40, rows.bed_m - w / 2)), 1)
    parts = [tube(earth, line, w / 2 + rng.normal(0, 0.01, 40), sides=14)]
    if rows.growth == "trellis":
        wood, top = palette.wood() if rng.random() < 0.5 else palette.metal(), rows.bed_m + rows.plant_m
        parts += [rod(wood, (0, float(y), 0), (0, float(y), top + 0.15), 0.03) for y in posts]
        wire = palette.metal()
        parts += [_pipe(wire, 0.0, rows.bed_m + share * rows.plant_m, rows, 0.002) for share in (0.35, 0.7, 1.0)]
    return parts


def _pipe(material: Material, x: float, z: float, rows: Rows, radius_m: float = 0.009) -> Mesh:
    """Along the whole row, sagging a little."""
    y = np.linspace(-rows.length_m / 2, rows.length_m / 2, 24)
    sag = 0.015 * np.cos(y * 2 * np.pi / 1.7)
    return tube(material, np.stack((np.full(24, x), y, z + sag), 1), radius_m, sides=6)


def _plant(palette: Palette, rows: Rows) -> Parts:
    """One plant above z = 0: leaves on stems that hang over its sides, and perhaps fruit."""
    rng, h, climbs = palette.rng, rows.plant_m, rows.growth == "trellis"
    leaves = int(rng.integers(120, 200)) if climbs else int(rng.integers(70, 130))
    spread = rng.uniform(0.14, 0.28) if climbs else h * rng.uniform(0.45, 0.75)
    angle, reach = rng.uniform(0, 2 * np.pi, leaves), spread * np.sqrt(rng.uniform(0.05, 1, leaves))
    rise = rng.uniform(0.03, 1, leaves) if climbs else (1 - 0.75 * (reach / spread) ** 2) * rng.uniform(0.55, 1, leaves)
    places = np.stack((reach * np.cos(angle), reach * np.sin(angle), h * rise), 1)
    green = palette.leaves()
    size = float(rng.uniform(0.07, 0.14) if climbs else h * rng.uniform(0.18, 0.3))
    parts: Parts = [plants.foliage(rng, green, places, size, slim=rng.uniform(0.5, 0.95), upright=0.35)]
    stems = [
        rod(green, (0, 0, z * 0.8 if climbs else 0.0), (x, y, z), 0.003, sides=3) for x, y, z in places[::4].tolist()
    ]
    parts.append(merged_as_one(stems))
    if climbs:
        parts.append(rod(palette.bark(), (0, 0, -0.1), (0, 0, h), 0.008))
    if rng.random() < 0.65:
        parts += _fruit(palette, rows, spread)
    return parts


def _fruit(palette: Palette, rows: Rows, spread_m: float) -> Parts:
    """Berries, tomatoes or peppers, ripe and not, hanging at the sides."""
    rng, radius = palette.rng, float(palette.rng.uniform(0.01, 0.035))
    ripe = palette.plain(hsv(float(rng.choice([2, 8, 28, 48, 280])), 0.85, rng.uniform(0.5, 0.85)), 0.3)
    unripe = palette.plain(hsv(90, 0.35, 0.75), 0.4)
    parts: Parts = []
    for _ in range(int(rng.integers(2, 8))):
        side = rng.choice([-1, 1]) * rng.uniform(0.6, 1.0) * spread_m
        z = rng.uniform(0.1, 0.95) * rows.plant_m if rows.growth == "trellis" else rng.uniform(-0.12, 0.05)
        if rows.growth == "ridge":
            z = max(z, 0.02)
        at = (float(side), float(rng.uniform(-0.5, 0.5) * spread_m), float(z))
        skin = ripe if rng.random() < 0.6 else unripe
        parts.append(ball(skin, (radius, radius, radius * rng.uniform(0.9, 1.5)), at, rows=6, sides=8))
        parts.append(rod(palette.leaves(), at, (at[0] * 0.7, at[1], at[2] + 0.06), 0.002, sides=3))
    return parts


def _trolley(palette: Palette) -> Parts:
    """A box on wheels in the aisle: a robot's back or a picker's cart."""
    rng, body = palette.rng, palette.plastic()
    w, d, h, floor = rng.uniform(0.35, 0.6), rng.uniform(0.5, 0.9), rng.uniform(0.15, 0.6), rng.uniform(0.15, 0.35)
    parts = [box(body, (w, d, h), (0, 0, floor))]
    wheels = [(sx * w / 2, sy * d * 0.4) for sx in (-1, 1) for sy in (-1, 1)]
    parts += [ball(palette.dark(), (0.04, 0.13, 0.13), (x, y, 0.13), rows=8, sides=12) for x, y in wheels]
    if rng.random() < 0.5:
        parts.append(rod(palette.metal(), (0, 0, floor + h), (0, 0, floor + h + rng.uniform(0.3, 0.9)), 0.02))
    return parts
