"""Furniture to put things in or on along walls: cupboards, bookshelves, desks, kitchens, bathrooms, radiators.

A piece stands on z = 0 with its back at +y and its front to -y, as in ``furniture``. Knows no rooms.
"""

from __future__ import annotations

import numpy as np

from latentdepth.synth import devices
from latentdepth.synth.palette import Palette
from latentdepth.synth.pieces import Piece, Top
from latentdepth.synth.scene import Material
from latentdepth.synth.shapes import Parts, ball, box, cylinder, lathe, merged_as_one, moved, placed, rod, tube


def _fronts(
    palette: Palette, w: float, h: float, y: float, z: float, *, cols: int, rows: int, material: Material
) -> Parts:
    """Doors or drawers in a grid with gaps and handles."""
    rng, handle = palette.rng, palette.metal()
    kind, parts = int(rng.integers(3)), []
    for i in range(rows):
        for j in range(cols):
            fw, fh = w / cols - 0.008, h / rows - 0.008
            x, zz = -w / 2 + w * (j + 0.5) / cols, z + h * i / rows + 0.004
            parts.append(box(material, (fw, 0.02, fh), (x, y - 0.01, zz)))
            if kind == 0:
                parts.append(
                    ball(
                        handle,
                        (0.014, 0.018, 0.014),
                        (x + (fw * 0.4 if rows < 3 else 0), y - 0.035, zz + fh * 0.6),
                        rows=5,
                        sides=8,
                    )
                )
            elif kind == 1 and fw > 0.16:
                parts.append(
                    rod(handle, (x - 0.06, y - 0.035, zz + fh * 0.8), (x + 0.06, y - 0.035, zz + fh * 0.8), 0.006)
                )
    return parts


def cupboard(palette: Palette) -> Piece:
    """Chest of drawers, sideboard, wardrobe, bedside table."""
    if lent := palette.lent("cupboard"):
        return lent
    rng = palette.rng
    kind = int(rng.integers(4))
    w, d, h = [
        (rng.uniform(0.6, 1.2), 0.45, rng.uniform(0.75, 1.1)),
        (rng.uniform(1.1, 2.0), 0.45, rng.uniform(0.45, 0.85)),
        (rng.uniform(0.8, 2.2), 0.6, rng.uniform(1.8, 2.2)),
        (0.45, 0.4, rng.uniform(0.4, 0.6)),
    ][kind]
    body = palette.furniture()
    front = body if rng.random() < 0.7 else palette.furniture()
    foot = float(rng.choice([0.0, 0.06, 0.15]))
    rows, cols = [
        (int(rng.integers(2, 6)), int(rng.integers(1, 3))),
        (int(rng.integers(1, 3)), int(rng.integers(2, 5))),
        (1, max(2, round(w / 0.5))),
        (int(rng.integers(1, 4)), 1),
    ][kind]
    parts = [
        box(body, (w, d - 0.02, h - foot), (0, 0.01, foot)),
        *_fronts(palette, w - 0.02, h - foot - 0.04, -d / 2 + 0.02, foot + 0.02, cols=cols, rows=rows, material=front),
    ]
    if foot:
        parts += [
            box(body, (0.05, 0.05, foot), (sx * (w / 2 - 0.05), sy * (d / 2 - 0.06), 0))
            for sx in (-1, 1)
            for sy in (-1, 1)
        ]
    tops = [Top((-w / 2 + 0.03, w / 2 - 0.03), (-d / 2 + 0.05, d / 2 - 0.03), h)] if h < 1.6 else []
    return Piece(parts, (w, d, h), tops)


def bookshelf(palette: Palette, *, hung: bool = False) -> Piece:
    """Boards full of books, boxes and small things; or a few boards on the wall (then z = 0 is the lowest board)."""
    if not hung and (lent := palette.lent("cupboard")):
        return lent
    rng = palette.rng
    w, d, h = rng.uniform(0.6, 1.8), rng.uniform(0.24, 0.36), rng.uniform(0.3, 0.8) if hung else rng.uniform(0.9, 2.2)
    board, levels = palette.furniture(), max(int(h / rng.uniform(0.3, 0.42)), 1) + 1
    parts = [box(board, (w, d, 0.022), (0, 0, z)) for z in np.linspace(0.0 if hung else 0.06, h - 0.022, levels)]
    gap = (h - 0.08) / max(levels - 1, 1)
    if not hung:
        parts += [box(board, (0.022, d, h), (sx * w / 2, 0, 0)) for sx in (-1, 1)]
        if rng.random() < 0.6:
            parts.append(box(board, (w, 0.008, h), (0, d / 2, 0)))
    tops = []
    for z in np.linspace(0.0 if hung else 0.06, h - 0.022, levels)[: None if hung else -1]:
        if rng.random() < 0.62:
            parts += placed(
                books_in_row(palette, w * rng.uniform(0.3, 0.97), min(gap - 0.05, 0.32), d), (0, 0, float(z) + 0.022)
            )
        else:
            tops.append(Top((-w / 2 + 0.05, w / 2 - 0.05), (-d / 2 + 0.03, d / 2 - 0.03), float(z) + 0.022, gap - 0.04))
    if not hung and h < 1.7:
        tops.append(Top((-w / 2 + 0.05, w / 2 - 0.05), (-d / 2 + 0.03, d / 2 - 0.03), h))
    return Piece(parts, (w + 0.03, d + 0.01, h), tops)


def books_in_row(palette: Palette, length_m: float, height_m: float, depth_m: float) -> Parts:
    """Upright books side by side, the last ones leaning."""
    rng, parts, x = palette.rng, [], -length_m / 2
    covers = [palette.plain(palette.vivid() if rng.random() < 0.5 else palette.muted(), 0.6) for _ in range(7)]
    while x < length_m / 2 - 0.05:
        t, h, d = (
            rng.uniform(0.012, 0.05),
            height_m * rng.uniform(0.62, 1.0),
            min(depth_m * rng.uniform(0.55, 0.85), 0.24),
        )
        cover = covers[int(rng.integers(7))]
        book = box(cover, (t, d, h), (0, 0, 0))
        lean = rng.uniform(0.05, 0.2) if rng.random() < 0.06 else 0.0
        turn = np.array([[np.cos(lean), 0, np.sin(lean)], [0, 1, 0], [-np.sin(lean), 0, np.cos(lean)]])
        parts.append(
            moved(book, (x + t / 2, -depth_m / 2 + d / 2 + 0.02 * rng.random(), t / 2 * np.sin(lean)), turn=turn)
        )
        x += t + 0.002 + h * np.sin(lean)
        if rng.random() < 0.03:
            x += rng.uniform(0.03, 0.2)
    return parts


def desk(palette: Palette) -> Piece:
    """A work table with drawers on one side and, mostly, a computer."""
    if lent := palette.lent("desk"):
        return lent
    rng = palette.rng
    w, d, h = rng.uniform(1.0, 1.8), rng.uniform(0.55, 0.8), rng.uniform(0.72, 0.76)
    plate, side = palette.furniture(), float(rng.choice([-1, 1]))
    parts = [
        box(plate, (w, d, 0.03), (0, 0, h - 0.03)),
        box(plate, (0.4, d - 0.06, h - 0.05), (side * (w / 2 - 0.22), 0, 0.02)),
    ]
    drawers = _fronts(palette, 0.38, h - 0.09, -d / 2 + 0.03, 0.03, cols=1, rows=3, material=plate)
    parts += placed(drawers, (side * (w / 2 - 0.22), 0.0, 0.0))
    legs = palette.metal()
    parts += [
        rod(legs, (-side * (w / 2 - 0.05), y, 0), (-side * (w / 2 - 0.05), y, h - 0.03), 0.018)
        for y in (-d / 2 + 0.05, d / 2 - 0.05)
    ]
    for k in range(int(rng.integers(0, 3))):
        x = -w / 4 + k * w / 2.2 + rng.normal(0, 0.04)
        parts += placed(devices.monitor(palette), (x, d / 2 - 0.14, h), yaw_rad=rng.normal(0, 0.2))
        if k == 0:
            parts += placed(devices.keyboard(palette), (x, -0.02, h), yaw_rad=rng.normal(0, 0.1))
    free = Top((-w / 2 + 0.05, w / 2 - 0.05), (-d / 2 + 0.04, -0.1), h)
    return Piece(parts, (w, d, h), [free])


def kitchen(palette: Palette, length_m: float) -> Piece:
    """Floor units with a worktop, sink, cooker and wall cupboards, one line."""
    rng = palette.rng
    front, d = palette.furniture(), 0.6
    top = palette.terrazzo() if rng.random() < 0.4 else palette.wood()
    count = max(int(length_m / 0.6), 2)
    w = count * 0.6
    parts = [
        box(front, (w, d - 0.06, 0.77), (0, 0.03, 0.1)),
        box(palette.dark(), (w, d - 0.1, 0.1), (0, 0.05, 0)),
        box(top, (w, d, 0.035), (0, 0, 0.87)),
    ]
    parts += _fronts(palette, w, 0.76, -d / 2 + 0.06, 0.1, cols=count, rows=int(rng.choice([1, 2])), material=front)
    steel = palette.metal()
    sink, cooker = (int(k) for k in rng.choice(count, 2, replace=False))
    x = -w / 2 + 0.6 * (sink + 0.5)
    parts += [box(steel, (0.5, 0.42, 0.006), (x, 0, 0.905)), box(palette.dark(), (0.4, 0.34, 0.004), (x, 0, 0.911))]
    parts.append(
        tube(steel, np.array([(x, 0.24, 0.9), (x, 0.24, 1.12), (x, 0.2, 1.18), (x, 0.12, 1.18), (x, 0.1, 1.14)]), 0.012)
    )
    x = -w / 2 + 0.6 * (cooker + 0.5)
    parts.append(box(palette.dark(), (0.56, 0.5, 0.008), (x, 0, 0.905)))
    parts += [cylinder(steel, 0.08, 0.006, (x + sx * 0.13, sy * 0.12, 0.913)) for sx in (-1, 1) for sy in (-1, 1)]
    if rng.random() < 0.6:
        parts += [
            box(palette.dark(), (0.58, 0.02, 0.5), (x, -d / 2 + 0.035, 0.3)),
            rod(steel, (x - 0.22, -d / 2, 0.76), (x + 0.22, -d / 2, 0.76), 0.009),
        ]
    if rng.random() < 0.75:
        parts.append(box(front, (w, 0.33, 0.7), (0, 0.135, 1.42)))
        parts += _fronts(palette, w, 0.7, -0.03, 1.42, cols=count, rows=1, material=front)
    if rng.random() < 0.5:
        fridge = palette.plain(palette.off_white(), 0.3) if rng.random() < 0.6 else palette.metal()
        parts += [
            box(fridge, (0.6, 0.62, 1.8), (w / 2 + 0.31, 0, 0)),
            box(palette.dark(), (0.6, 0.005, 0.008), (w / 2 + 0.31, -0.312, 1.15)),
            rod(steel, (w / 2 + 0.07, -0.34, 0.8), (w / 2 + 0.07, -0.34, 1.1), 0.01),
        ]
        parts = placed(parts, (-0.31, 0, 0))
        w += 0.62
    return Piece(parts, (w, 0.66, 0.9), [Top((-w / 2 + 0.1, w / 2 - 0.75), (-d / 2 + 0.06, d / 2 - 0.1), 0.918)])


def toilet(palette: Palette) -> Piece:
    """Bowl, seat and cistern."""
    white = palette.plain(np.array([0.93, 0.93, 0.92]), 0.1)
    bowl = lathe(
        white, [(0.12, 0), (0.11, 0.12), (0.13, 0.22), (0.19, 0.36), (0.2, 0.4), (0.15, 0.4), (0.1, 0.26)], (0, -0.1, 0)
    )
    seat = lathe(white, [(0.2, 0.4), (0.205, 0.42), (0.13, 0.425)], (0, -0.1, 0), caps=False)
    parts = [bowl, seat, box(white, (0.38, 0.17, 0.38), (0, 0.21, 0.38)), box(white, (0.2, 0.25, 0.36), (0, 0.14, 0))]
    if palette.rng.random() < 0.5:
        parts.append(
            moved(
                cylinder(white, 0.2, 0.02),
                (0, 0.12, 0.62),
                turn=np.array([[1.0, 0, 0], [0, 0.2, -0.98], [0, 0.98, 0.2]]),
            )
        )
    return Piece(parts, (0.42, 0.68, 0.78))


def basin(palette: Palette) -> Piece:
    """A wash basin on a pedestal with a tap."""
    white, steel = palette.plain(np.array([0.93, 0.93, 0.92]), 0.1), palette.metal()
    parts = [
        lathe(white, [(0.05, 0.68), (0.2, 0.72), (0.27, 0.84), (0.26, 0.85), (0.2, 0.78), (0.03, 0.74)]),
        lathe(white, [(0.12, 0), (0.08, 0.3), (0.1, 0.7)]),
    ]
    parts.append(tube(steel, np.array([(0, 0.22, 0.84), (0, 0.22, 0.98), (0, 0.14, 1.0), (0, 0.1, 0.96)]), 0.012))
    return Piece(parts, (0.56, 0.56, 0.86))


def radiator(palette: Palette) -> Piece:
    """Ribs in a row."""
    white, w, h = palette.plain(palette.off_white(), 0.4), palette.rng.uniform(0.5, 1.4), palette.rng.uniform(0.4, 0.65)
    ribs = [box(white, (0.035, 0.08, h), (x, 0, 0.12)) for x in np.arange(-w / 2, w / 2, 0.05)]
    return Piece(
        [
            merged_as_one(ribs),
            rod(white, (-w / 2, 0, 0), (-w / 2, 0, 0.2), 0.012),
            rod(white, (w / 2, 0, 0), (w / 2, 0, 0.2), 0.012),
        ],
        (w + 0.05, 0.1, h + 0.12),
    )


def television(palette: Palette) -> Piece:
    """A large screen on a low board."""
    w = palette.rng.uniform(0.8, 1.5)
    board, body = palette.furniture(), palette.rng.uniform(0.35, 0.55)
    parts = [
        box(board, (w * 1.25, 0.42, body), (0, 0, 0)),
        *placed(devices.monitor(palette, width_m=w), (0, 0.05, body)),
    ]
    return Piece(parts, (w * 1.25, 0.42, body), [Top((-w * 0.6, w * 0.6), (-0.19, -0.09), body)])
