"""Houses and blocks: facades with windows, doors, shops, sills, balconies; gabled, hipped and flat roofs.

A building's front lies at y = 0 and looks to -y; it stands on z = 0, its width centred on x = 0. Knows no streets.
"""

from __future__ import annotations

from typing import Literal

import numpy as np

from latentdepth.synth import walls
from latentdepth.synth.palette import Palette
from latentdepth.synth.scene import Material
from latentdepth.synth.shapes import Parts, box, cylinder, merged_as_one, picture, placed, quad, rod, sheet
from latentdepth.synth.walls import Opening

Roof = Literal["gable", "hip", "flat"]


def _window_grid(
    rng: np.random.Generator, width: float, floors: int, storey: float, *, ground_floor: bool
) -> list[Opening]:
    """Openings in rows and columns, all of one size."""
    w, h = rng.uniform(0.8, 1.6), min(rng.uniform(1.1, 1.9), storey - 1.1)
    columns = max(int(width / (w + rng.uniform(0.7, 2.0))), 1)
    sill = rng.uniform(0.75, 1.0)
    return [
        Opening(x - w / 2, x + w / 2, floor * storey + sill, floor * storey + sill + h)
        for floor in range(0 if ground_floor else 1, floors)
        for x in (width * (k + 0.5) / columns for k in range(columns))
        if x - w / 2 > 0.2 and x + w / 2 < width - 0.2
    ]


def _facade_window(palette: Palette, o: Opening, style: dict[str, bool], frame: Material) -> Parts:
    """Pane, frame and bars, sill, perhaps shutters, lintel or balcony."""
    w, h, x = o.right_m - o.left_m, o.top_m - o.bottom_m, (o.left_m + o.right_m) / 2
    parts = [quad(palette.pane(), (o.left_m, 0.13, o.bottom_m), (w, 0, 0), (0, 0, h))]
    parts += [box(frame, (0.06, 0.05, h), (o.left_m + w * t, 0.11, o.bottom_m)) for t in (0.03, 0.5, 0.97)]
    parts += [box(frame, (w, 0.05, 0.06), (x, 0.11, o.bottom_m + h * t)) for t in (0.0, 0.62, 0.96)]
    parts.append(box(frame, (w + 0.16, 0.22, 0.06), (x, -0.02, o.bottom_m - 0.06)))
    if style["lintel"]:
        parts.append(box(frame, (w + 0.24, 0.1, 0.18), (x, -0.02, o.top_m)))
    if style["shutters"]:
        slab = style_material(palette)
        parts += [box(slab, (w * 0.48, 0.04, h), (x + s * w * 0.76, -0.03, o.bottom_m)) for s in (-1, 1)]
    return parts


def style_material(palette: Palette) -> Material:
    """Painted wood outside: green, blue, brown, white."""
    return palette.plain(palette.muted(), 0.7)


def _balcony(palette: Palette, o: Opening, floor_z: float) -> Parts:
    """A slab with a railing of thin bars."""
    w, x, iron = o.right_m - o.left_m + 0.8, (o.left_m + o.right_m) / 2, palette.dark()
    parts = [box(palette.concrete(), (w, 0.95, 0.14), (x, -0.47, floor_z - 0.14))]
    rail = [rod(iron, (x - w / 2, -0.92, floor_z + 1), (x + w / 2, -0.92, floor_z + 1), 0.02)]
    rail += [rod(iron, (x + s * w / 2, -0.92, floor_z + 1), (x + s * w / 2, 0, floor_z + 1), 0.02) for s in (-1, 1)]
    rail += [box(iron, (0.016, 0.016, 1.0), (t, -0.92, floor_z)) for t in np.arange(x - w / 2, x + w / 2 + 0.01, 0.12)]
    return [*parts, merged_as_one(rail)]


def _ground_floor(palette: Palette, width: float, storey: float, *, shop: bool) -> tuple[list[Opening], Parts]:
    """A door, and shop windows with a sign and an awning, or nothing else."""
    rng = palette.rng
    x = rng.uniform(0.6, width - 1.6)
    entrance = Opening(x, x + rng.uniform(0.9, 1.3), 0.02, 2.15)
    holes, parts = [entrance], walls.door(palette, entrance)
    if not shop:
        parts.append(box(palette.concrete(), (1.6, 0.6, 0.12), (x + 0.5, -0.3, 0)))
        return holes, parts
    for left, right in ((0.4, x - 0.3), (entrance.right_m + 0.3, width - 0.4)):
        if right - left < 0.9:
            continue
        o = Opening(left, right, 0.45, storey - 0.75)
        holes.append(o)
        frame = palette.dark() if rng.random() < 0.5 else palette.plain(palette.off_white())
        parts.append(quad(palette.pane(), (left, 0.12, 0.45), (right - left, 0, 0), (0, 0, storey - 1.2)))
        parts += [box(frame, (0.06, 0.06, storey - 1.2), (t, 0.09, 0.45)) for t in np.linspace(left, right, 3)]
    parts.append(box(palette.plain(palette.muted()), (width * 0.9, 0.1, 0.6), (width / 2, -0.02, storey - 0.68)))
    parts.append(picture(palette.sign(), (width * 0.2, -0.076, storey - 0.64), (width * 0.6, 0, 0), (0, 0, 0.5)))
    if rng.random() < 0.4:
        cloth = np.array(
            [
                [[0.3, 0, storey - 0.75], [width - 0.3, 0, storey - 0.75]],
                [[0.3, -1.1, storey - 1.15], [width - 0.3, -1.1, storey - 1.15]],
                [[0.3, -1.1, storey - 1.35], [width - 0.3, -1.1, storey - 1.35]],
            ]
        )
        parts.append(sheet(palette.fabric(), cloth, smooth=False))
    return holes, parts


def roof_over(palette: Palette, width: float, depth: float, eaves: float, kind: Roof) -> Parts:
    """A roof with overhangs and perhaps a chimney; ``_gables`` closes the ends of a gable roof."""
    rng, tile = palette.rng, palette.roof()
    over = rng.uniform(0.15, 0.5)
    w, y0, y1 = width / 2 + (over if kind != "flat" else 0), -over, depth + over
    if kind == "flat":
        rim = palette.concrete()
        parts = [quad(palette.concrete(), (-w, 0, eaves), (2 * w, 0, 0), (0, depth, 0))]
        parts += [box(rim, (2 * w + 0.1, 0.25, 0.45), (0, y, eaves - 0.05)) for y in (0.1, depth - 0.1)]
        return parts + [box(rim, (0.25, depth, 0.45), (s * (w - 0.1), depth / 2, eaves - 0.05)) for s in (-1, 1)]
    rise = (depth / 2) * rng.uniform(0.45, 1.0)
    inset = 0.0 if kind == "gable" else min(width * 0.35, depth / 2)
    ridge = [(-w + inset, depth / 2, eaves + rise), (w - inset, depth / 2, eaves + rise)]
    drop = eaves - over * rise / (depth / 2)
    front = np.array([[(-w, y0, drop), (w, y0, drop)], ridge], float)
    back = np.array([[(w, y1, drop), (-w, y1, drop)], ridge[::-1]], float)
    slopes = [sheet(tile, front, smooth=False), sheet(tile, back, smooth=False)]
    if kind == "hip":
        for s, end in ((-1, ridge[0]), (1, ridge[1])):
            slopes.append(
                sheet(tile, np.array([[(s * w, y0, drop), (s * w, y1, drop)], [end, end]], float), smooth=False)
            )
    # seen from below the tiles are boards; a second sheet gives the roof its thickness
    parts = slopes + placed(slopes, (0, 0, -0.16))
    parts.append(box(palette.plain(palette.off_white()), (2 * w, 0.12, 0.12), (0, y0 - 0.02, drop - 0.14)))
    if rng.random() < 0.6:
        x, y = rng.uniform(-width * 0.35, width * 0.35), depth * rng.uniform(0.3, 0.7)
        top = eaves + rise * (1 - abs(y - depth / 2) / (depth / 2)) + rng.uniform(0.5, 1.2)
        parts += [
            box(palette.masonry(), (0.7, 0.5, top - eaves + 0.4), (x, y, eaves - 0.4)),
            cylinder(palette.dark(), 0.1, 0.3, (x, y, top), sides=8),
        ]
    return parts


def house(
    palette: Palette,
    width: float,
    depth: float,
    floors: int,
    *,
    shop: bool = False,
    roof: Roof | None = None,
    plain_sides: bool = False,
) -> Parts:
    """A house or block. ``plain_sides``: the neighbours stand wall to wall."""
    rng, storey = palette.rng, palette.rng.uniform(2.7, 3.4)
    surface, frame = (
        palette.facade(),
        palette.plain(palette.off_white() if rng.random() < 0.7 else palette.muted(), 0.6),
    )
    height = floors * storey
    style = {"lintel": bool(rng.random() < 0.35), "shutters": bool(rng.random() < 0.18)}
    holes, parts = _ground_floor(palette, width, storey, shop=shop)
    doorway = holes[0]
    windows = [
        o
        for o in _window_grid(rng, width, floors, storey, ground_floor=not shop)
        if o.bottom_m > 2.3 or o.right_m < doorway.left_m - 0.2 or o.left_m > doorway.right_m + 0.2
    ]
    parts += walls.pierced_wall(surface, width, height, holes + windows, thickness_m=0.16)
    balcony_column = (
        windows[int(rng.integers(len(windows)))].left_m if windows and rng.random() < 0.35 and floors > 1 else -1.0
    )
    for o in windows:
        parts += _facade_window(palette, o, style, frame)
        if o.left_m == balcony_column and o.bottom_m > storey:
            parts += _balcony(palette, o, o.bottom_m - 0.15)
    if rng.random() < 0.4:
        band = palette.concrete()
        parts += [box(band, (width, 0.1, 0.16), (width / 2, -0.03, k * storey - 0.08)) for k in range(1, floors + 1)]
    parts = placed(parts, (-width / 2, 0, 0))
    parts += _other_walls(palette, surface, frame, width, depth, height, floors, storey, plain=plain_sides)
    kinds: tuple[Roof, ...] = ("gable", "hip", "flat")
    roof = roof or (kinds[int(rng.choice(3, p=[0.6, 0.2, 0.2]))] if floors < 5 else "flat")
    made = roof_over(palette, width, depth, height, roof)
    if roof == "gable":
        made += _gables(surface, width, depth, height, made)
    if rng.random() < 0.5:
        made.append(rod(palette.metal(), (width / 2 - 0.12, -0.06, 0), (width / 2 - 0.12, -0.06, height), 0.05))
    return parts + made


def _gables(surface: Material, width: float, depth: float, height: float, roof: Parts) -> Parts:
    """The triangles of wall below the two ends of a gable roof."""
    rise = float(roof[0].vertices[:, 2].max()) - height
    ends = []
    for s in (-1, 1):
        eaves = [(s * width / 2, 0, height), (s * width / 2, depth, height)]
        ends.append(
            sheet(surface, np.array([eaves, [(s * width / 2, depth / 2, height + rise)] * 2], float), smooth=False)
        )
    return ends


def _other_walls(
    palette: Palette,
    surface: Material,
    frame: Material,
    width: float,
    depth: float,
    height: float,
    floors: int,
    storey: float,
    *,
    plain: bool,
) -> Parts:
    """Sides and back, with a few windows unless ``plain``."""
    style = {"lintel": False, "shutters": False}
    parts: Parts = []
    for length, at, yaw in (
        (depth, (width / 2, 0.0, 0.0), np.pi / 2),
        (width, (width / 2, depth, 0.0), np.pi),
        (depth, (-width / 2, depth, 0.0), -np.pi / 2),
    ):
        holes = (
            []
            if plain or palette.rng.random() < 0.3
            else _window_grid(palette.rng, length, floors, storey, ground_floor=True)
        )
        wall = walls.pierced_wall(surface, length, height, holes, thickness_m=0.16)
        for o in holes:
            wall += _facade_window(palette, o, style, frame)
        parts += placed(wall, at, yaw_rad=yaw)
    return parts


def far_block(palette: Palette, width: float, depth: float, height: float) -> Parts:
    """A building seen from afar: a box with dark window bands, or a gabled one; few triangles."""
    rng, surface = palette.rng, palette.facade()
    parts = [box(surface, (width, depth, height), (0, depth / 2, 0))]
    pane = palette.pane()
    columns, rows = max(int(width / 2.4), 1), max(int(height / 3), 1)
    for i in range(rows):
        for k in range(columns):
            x, z = -width / 2 + width * (k + 0.5) / columns, height * (i + 0.35) / rows
            parts.append(quad(pane, (x - 0.5, -0.02, z), (1.0, 0, 0), (0, 0, 1.3)))
    if height >= 13 or rng.random() >= 0.7:
        return parts
    roof = roof_over(palette, width, depth, height, "gable")
    return parts + roof + _gables(surface, width, depth, height, roof)
