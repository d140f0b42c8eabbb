"""Furniture to sit, lie and eat at: tables, chairs, sofas, beds, lamps, rugs; built from a few dimensions.

A piece stands on z = 0 about the origin and its front looks to -y. Knows no rooms.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from latentdepth.synth.noise import ripple
from latentdepth.synth.palette import Palette
from latentdepth.synth.pieces import Piece, Top
from latentdepth.synth.props import REPEATED
from latentdepth.synth.scene import Material
from latentdepth.synth.shapes import (
    Parts,
    Point,
    box,
    cylinder,
    lathe,
    moved,
    pillow,
    ring_of,
    rod,
    rotation,
    sheet,
    tube,
    warped,
)


def _legs(palette: Palette, w: float, d: float, h: float, material: Material) -> Parts:
    """Four legs under a w x d plate: square, turned, tapering outwards or sledge frames."""
    rng = palette.rng
    kind, t = int(rng.integers(4)), rng.uniform(0.025, 0.07)
    spots = [(x, y) for x in (-w / 2 + t, w / 2 - t) for y in (-d / 2 + t, d / 2 - t)]
    if kind == 0:
        return [box(material, (t, t, h), (x, y, 0)) for x, y in spots]
    if kind == 1:
        bulge = [(0.6, 0), (0.7, 0.1), (0.45, 0.15), (0.8, 0.5), (0.5, 0.72), (1.0, 0.8), (1.0, 1.0)]
        return [lathe(material, [(r * t * 0.6, z * h) for r, z in bulge], (x, y, 0), sides=10) for x, y in spots]
    if kind == 2:
        return [rod(material, (x, y, 0), (x * 0.85, y * 0.85, h), t * 0.4) for x, y in spots]
    metal = palette.metal()
    loops = [
        np.array([(x, -d / 2 + t, h), (x, -d / 2 + t, 0.02), (x, d / 2 - t, 0.02), (x, d / 2 - t, h)])
        for x in (-w / 2 + t, w / 2 - t)
    ]
    return [tube(metal, loop, 0.014) for loop in loops]


def table(
    palette: Palette, size_m: tuple[float, float, float] | None = None, *, plate: Material | None = None
) -> Piece:
    """A dining, coffee or side table; rectangular or round. ``plate``: what its top is made of."""
    rng = palette.rng
    if size_m is None and (lent := palette.lent("table")):
        return lent
    if size_m is None:
        low = rng.random() < 0.3
        size_m = (
            (rng.uniform(0.5, 1.3), rng.uniform(0.4, 0.8), rng.uniform(0.32, 0.5))
            if low
            else (rng.uniform(0.7, 2.2), rng.uniform(0.6, 1.05), rng.uniform(0.7, 0.78))
        )
    w, d, h = size_m
    plate, thick = plate or palette.furniture(), rng.uniform(0.018, 0.05)
    legs = plate if rng.random() < 0.6 else palette.metal()
    if rng.random() < 0.22 and w < 1.4:
        r = min(w, d) / 2
        parts = [
            cylinder(plate, r, thick, (0, 0, h - thick), sides=32),
            cylinder(legs, 0.04, h - thick),
            cylinder(legs, r * 0.55, 0.025),
        ]
        return Piece(parts, (2 * r, 2 * r, h), [Top((-r * 0.68, r * 0.68), (-r * 0.68, r * 0.68), h)])
    parts = [box(plate, (w, d, thick), (0, 0, h - thick)), *_legs(palette, w, d, h - thick, legs)]
    if rng.random() < 0.5:
        parts += [box(legs, (w - 0.12, 0.02, 0.08), (0, y, h - thick - 0.08)) for y in (-d / 2 + 0.06, d / 2 - 0.06)]
    if rng.random() < 0.15:
        parts += cloth_over(palette, w, d, h)
    return Piece(parts, (w, d, h), [Top((-w / 2 + 0.04, w / 2 - 0.04), (-d / 2 + 0.04, d / 2 - 0.04), h + 0.004)])


def cloth_over(palette: Palette, w: float, d: float, h: float) -> Parts:
    """A table cloth that hangs down in folds."""
    rng, drop = palette.rng, palette.rng.uniform(0.12, 0.35)
    x = np.concatenate((np.full(3, -1), np.linspace(-1, 1, 24), np.full(3, 1)))
    grid_x, grid_y = np.meshgrid(x * (w / 2 + 0.006), x * (d / 2 + 0.006))
    out = np.concatenate((np.array([1.0, 0.66, 0.33]), np.zeros(24), np.array([0.33, 0.66, 1.0])))
    hang = np.maximum(out[None], out[:, None])
    fold = 1 + 0.03 * hang * (np.sin(np.arange(30)[None] * 1.7) + np.sin(np.arange(30)[:, None] * 1.9))
    return [
        sheet(
            palette.fabric(),
            np.stack((grid_x * fold, grid_y * fold, h + 0.003 - drop * hang * rng.uniform(0.9, 1.1)), -1),
        )
    ]


def chair(palette: Palette) -> Piece:
    """Four thin legs, a seat and a back of slats, ladder rungs, a shell or cushion; or a stool, or a swivel chair."""
    if lent := palette.lent("chair", most_faces=REPEATED):
        return lent
    rng = palette.rng
    w, d, seat, top = rng.uniform(0.4, 0.5), rng.uniform(0.4, 0.5), rng.uniform(0.43, 0.48), rng.uniform(0.78, 1.05)
    wood, kind = palette.furniture() if rng.random() < 0.7 else palette.metal(), int(rng.integers(5))
    cover = palette.fabric() if rng.random() < 0.5 else (palette.plastic() if rng.random() < 0.4 else wood)
    if kind == 4:
        return _swivel_chair(palette, w, seat, top)
    t = rng.uniform(0.02, 0.042)
    lean, spots = rng.uniform(0.02, 0.1), [(sx * (w / 2 - t), sy * (d / 2 - t)) for sx in (-1, 1) for sy in (-1, 1)]
    flare = rng.uniform(1.0, 1.15)
    parts = [rod(wood, (x * flare, y * flare, 0), (x, y, seat - 0.02), t * 0.6) for x, y in spots]
    parts.append(
        pillow(cover, (w, d, 0.05), (0, 0, seat - 0.03))
        if rng.random() < 0.5
        else box(cover, (w, d, 0.025), (0, 0, seat - 0.025))
    )
    if kind == 0:
        return Piece(parts, (w, d, seat), [Top((-w / 3, w / 3), (-d / 3, d / 3), seat + 0.02)], [(0.0, 0.0, seat)])
    back = [(sx * (w / 2 - t), d / 2 - t) for sx in (-1, 1)]
    parts += [rod(wood, (x, y, seat), (x, y + lean, top), t * 0.55) for x, y in back]
    if kind == 1:
        for x in np.linspace(-w / 2 + 2 * t, w / 2 - 2 * t, int(rng.integers(3, 7))):
            parts.append(
                rod(wood, (float(x), d / 2 - t, seat), (float(x), d / 2 - t + lean * 0.95, top - 0.03), t * 0.35)
            )
        parts.append(box(wood, (w, 0.022, 0.07), (0, d / 2 - t + lean, top - 0.06)))
    elif kind == 2:
        for z in np.linspace(seat + 0.15, top - 0.07, int(rng.integers(2, 5))):
            y = d / 2 - t + lean * (z - seat) / (top - seat)
            parts.append(box(wood, (w - t, 0.02, 0.05), (0, y, float(z))))
    else:
        parts.append(
            moved(
                pillow(cover, (w, 0.06, top - seat - 0.12)), (0, d / 2 - t, seat + 0.12), turn=rotation(0, -lean * 1.6)
            )
        )
    if rng.random() < 0.25:
        for x in (-w / 2, w / 2):
            parts.append(box(wood, (0.04, d * 0.9, 0.025), (x, 0, seat + 0.2)))
            parts.append(rod(wood, (x, -d * 0.4, seat), (x, -d * 0.4, seat + 0.2), t * 0.5))
    return Piece(parts, (w, d + lean, top), [], [(0.0, 0.0, seat)])


def _swivel_chair(palette: Palette, w: float, seat: float, top: float) -> Piece:
    rng, dark, cover = palette.rng, palette.dark(), palette.fabric()
    parts = [pillow(cover, (w, w, 0.09), (0, 0, seat - 0.08)), rod(dark, (0, 0, 0.08), (0, 0, seat - 0.08), 0.025)]
    for k in range(5):
        x, y = 0.28 * np.cos(k * 2 * np.pi / 5), 0.28 * np.sin(k * 2 * np.pi / 5)
        parts += [rod(dark, (0, 0, 0.12), (x, y, 0.06), 0.016), cylinder(dark, 0.026, 0.05, (x, y, 0), sides=10)]
    parts.append(
        moved(pillow(cover, (w * 0.9, 0.07, top - seat - 0.08)), (0, w / 2 - 0.02, seat + 0.12), turn=rotation(0, -0.1))
    )
    parts.append(rod(dark, (0, w / 3, seat - 0.05), (0, w / 2 + 0.04, seat + 0.2), 0.02))
    if rng.random() < 0.6:
        for x in (-w / 2 - 0.02, w / 2 + 0.02):
            parts += [
                box(dark, (0.05, 0.24, 0.025), (x, 0, seat + 0.19)),
                rod(dark, (x, 0, seat - 0.06), (x, 0, seat + 0.2), 0.014),
            ]
    return Piece(parts, (0.62, 0.62, top), [], [(0.0, 0.0, seat)])


def sofa(palette: Palette, seats: int | None = None) -> Piece:
    """An armchair (one seat) to a long sofa with cushions."""
    if lent := palette.lent("chair" if seats == 1 else "sofa"):
        return lent
    rng = palette.rng
    count = int(rng.integers(1, 4)) if seats is None else seats
    cover, each, d = palette.fabric(), rng.uniform(0.55, 0.7), rng.uniform(0.8, 0.98)
    arm, seat, back, arm_h = (
        rng.uniform(0.08, 0.24),
        rng.uniform(0.38, 0.46),
        rng.uniform(0.72, 0.95),
        rng.uniform(0.52, 0.66),
    )
    w = count * each + 2 * arm
    foot = rng.uniform(0.03, 0.14)
    parts = [box(cover, (w - 0.04, d - 0.04, seat - 0.13 - foot), (0, 0, foot))]
    parts += [
        box(palette.furniture(), (0.05, 0.05, foot), (sx * (w / 2 - 0.08), sy * (d / 2 - 0.08), 0))
        for sx in (-1, 1)
        for sy in (-1, 1)
    ]
    parts += [pillow(cover, (arm, d, arm_h - foot), (sx * (w - arm) / 2, 0, foot)) for sx in (-1, 1)]
    parts.append(moved(pillow(cover, (w - 2 * arm, 0.2, back - foot)), (0, d / 2 - 0.1, foot)))
    for k in range(count):
        x = -w / 2 + arm + each * (k + 0.5)
        parts.append(pillow(cover, (each - 0.01, d - 0.24, 0.15), (x, -0.1, seat - 0.14)))
        parts.append(
            moved(
                pillow(cover, (each - 0.02, 0.16, back - seat - 0.02), edge=0.4),
                (x, d / 2 - 0.3, seat),
                turn=rotation(0, -0.2),
            )
        )
        if rng.random() < 0.4:
            parts.append(
                moved(
                    pillow(palette.fabric(), (0.42, 0.13, 0.42), edge=0.9),
                    (x + rng.normal(0, 0.06), d / 2 - 0.42, seat + 0.02),
                    turn=rotation(rng.normal(0, 0.3), -0.35),
                )
            )
    if rng.random() < 0.15:
        x = rng.uniform(-w / 3, w / 3)
        parts += _blanket(palette, 0.6, d * 0.9, (x, 0.05, seat + 0.03))
    return Piece(parts, (w, d, back), [], [(-w / 2 + arm + each * (k + 0.5), -0.08, seat) for k in range(count)])


def _blanket(palette: Palette, w: float, d: float, at: Point) -> Parts:
    """A crumpled cloth lying on something."""
    x, y = np.meshgrid(np.linspace(-w / 2, w / 2, 24), np.linspace(-d / 2, d / 2, 24))
    flat = sheet(palette.fabric(), np.stack((x, y, np.zeros_like(x)), -1))
    lift = np.zeros_like(flat.vertices)
    lift[:, 2] = 0.022 + 0.016 * ripple(palette.rng, flat.vertices, 0.25).clip(-1.2, 2)
    return [moved(warped(flat, lift), at, yaw_rad=palette.rng.normal(0, 0.3))]


def bed(palette: Palette) -> Piece:
    """Frame, mattress, rumpled cover, pillows; the head is at +y."""
    if lent := palette.lent("bed"):
        # as below, the height is that of the mattress
        return replace(lent, size_m=(*lent.size_m[:2], lent.tops[0].z_m))
    rng = palette.rng
    w, d, h = float(rng.choice([0.9, 1.4, 1.6, 1.8])), rng.uniform(1.95, 2.1), rng.uniform(0.42, 0.6)
    frame, cover, linen = (
        palette.furniture(),
        palette.fabric(),
        palette.fabric() if rng.random() < 0.4 else palette.plain(palette.off_white(), 0.9),
    )
    parts = [
        box(frame, (w + 0.04, d, 0.14), (0, 0, h - 0.32)),
        pillow(linen, (w, d - 0.04, 0.2), (0, 0, h - 0.19), edge=0.3),
    ]
    parts += [
        box(frame, (0.06, 0.06, h - 0.3), (sx * (w / 2 - 0.03), sy * (d / 2 - 0.05), 0))
        for sx in (-1, 1)
        for sy in (-1, 1)
    ]
    parts.append(box(frame, (w + 0.08, 0.05, rng.uniform(0.25, 0.8) + h), (0, d / 2, 0)))
    if rng.random() < 0.4:
        parts.append(box(frame, (w + 0.08, 0.04, h + 0.1), (0, -d / 2, 0)))
    x, y = np.meshgrid(np.linspace(-1, 1, 44), np.linspace(-d / 2 - 0.01, d * rng.uniform(0.1, 0.3), 44))
    side = np.clip((np.abs(x) - 0.86) / 0.14, 0, 1)
    sheet_x = np.sign(x) * (np.minimum(np.abs(x), 0.86) / 0.86 * (w / 2 + 0.03))
    flat = sheet(cover, np.stack((sheet_x + 0.02 * side * np.sign(x), y, h + 0.04 - 0.3 * side), -1))
    lift = np.zeros_like(flat.vertices)
    lift[:, 2] = rng.uniform(0.005, 0.03) * (
        ripple(rng, flat.vertices, 0.4) + 0.6 * ripple(rng, flat.vertices, 0.16)
    ).clip(-1.2, 3)
    parts.append(warped(flat, lift))
    count = 1 if w < 1.2 else 2
    for k in range(count):
        tilt = rng.uniform(0.0, 0.8)
        turn = rotation(rng.normal(0, 0.15), tilt)
        parts.append(
            moved(
                pillow(linen, (0.62, 0.42, 0.14), edge=0.8),
                (w * ((k + 0.5) / count - 0.5), d / 2 - 0.28, h + 0.03 + 0.18 * np.sin(tilt)),
                turn=turn,
            )
        )
    return Piece(parts, (w + 0.08, d + 0.06, h), [Top((-w / 3, w / 3), (-d / 2 + 0.2, 0.1), h + 0.08)])


def rug(palette: Palette, w: float, d: float) -> Parts:
    """A carpet lying on the floor: rectangular or round, printed once."""
    material, rng = palette.rug(), palette.rng
    outline = ring_of((w, d), points=36, squareness=2.0 if rng.random() < 0.2 else 30.0)
    ring = np.column_stack((outline, np.full(len(outline), 0.0)))
    body = lathe(material, [(1.0, 0.0), (1.0, 0.008), (0.99, 0.012)], sides=36)
    radius = np.linalg.norm(ring[:, :2], axis=1)
    angle = np.arctan2(body.vertices[:, 1], body.vertices[:, 0])
    reach = np.interp(angle, np.arctan2(ring[:, 1], ring[:, 0]), radius, period=2 * np.pi)
    flat = np.column_stack((body.vertices[:, :2] * reach[:, None], body.vertices[:, 2]))
    uv = flat[:, :2] / np.array([w, d]) + 0.5
    return [type(body)(flat, body.faces, material, uv, False)]
