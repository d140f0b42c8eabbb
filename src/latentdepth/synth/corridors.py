"""Corridors, halls and stairwells: repeated doors, lamps and columns along a straight line, steps at the end.

The corridor runs along y from 0, its floor at z = 0. Knows no cameras.
"""

from __future__ import annotations

import numpy as np

from latentdepth.synth import clutter, flowers, furniture, people, storage, walls
from latentdepth.synth.palette import Palette
from latentdepth.synth.shapes import Parts, box, cylinder, merged_as_one, placed, quad, rod
from latentdepth.synth.shells import Light, any_light
from latentdepth.synth.stage import Stage
from latentdepth.synth.walls import Opening


def _side(stage: Stage, length: float, height: float, light: Light, *, windows: bool) -> Parts:
    """One long wall with evenly spaced doors or windows, notices and a handrail."""
    palette, rng = stage.palette, stage.rng
    gap, w = rng.uniform(1.8, 4.5), rng.uniform(0.85, 1.5)
    bottom, top = (rng.uniform(0.2, 1.0), height - 0.35) if windows else (0.0, min(2.1, height - 0.2))
    spots = [Opening(x, x + w, bottom, top) for x in np.arange(rng.uniform(0.4, 1.5), length - w - 0.4, gap + w)]
    surface = palette.wall()
    parts = walls.pierced_wall(surface, length, height, spots) + walls.skirting(palette, length, spots)
    if spots:
        if windows:
            glow = palette.lamp(light.daylight, warmth=0.0) if light.daylight > 0 else palette.pane()
            filled = walls.window(palette, spots[0], fill=glow)
        else:
            filled = walls.door(palette, spots[0])
        for o in spots:
            parts += placed(filled, (o.left_m - spots[0].left_m, 0, 0))
    for o in spots:
        if rng.random() < 0.5:
            x, z = o.right_m + gap / 2, rng.uniform(1.4, 1.7)
            size = (rng.uniform(0.2, min(1.0, gap * 0.5)), rng.uniform(0.25, 0.7))
            if x + size[0] / 2 < length - 0.1:
                parts += walls.hung(palette, x, z, size, ("artwork", "paper")[int(rng.integers(2))])
    if rng.random() < 0.25 and not windows:
        parts.append(box(palette.wood(), (length, 0.02, 0.16), (length / 2, -0.012, 0.85)))
    return parts


def stairs(palette: Palette, width_m: float, steps: int, *, rails: bool = True) -> Parts:
    """Steps that rise towards +y from the origin, with railings of thin bars."""
    rise, going, stone = 0.165, 0.29, palette.concrete() if palette.rng.random() < 0.6 else palette.wood()
    parts = [
        box(stone, (width_m, going * (steps - k), rise), (0, going * (k + (steps - k) / 2), rise * k))
        for k in range(steps)
    ]
    if rails:
        iron = palette.metal()
        for side in (-1, 1):
            x, top = side * (width_m / 2 - 0.06), (steps - 0.5) * rise
            parts.append(rod(iron, (x, going / 2, rise + 0.9), (x, going * (steps - 0.5), top + 0.95), 0.024))
            bars = [
                rod(
                    iron,
                    (x, going * (k + 0.5), rise * (k + 1)),
                    (x, going * (k + 0.5), rise * k + rise + 0.9),
                    0.01,
                    sides=5,
                )
                for k in range(steps)
            ]
            parts.append(merged_as_one(bars))
    return parts


def _end_wall(stage: Stage, y: float, width: float, height: float, light: Light) -> None:
    """What closes the corridor: a window, a door, a plain wall or stairs before it."""
    palette, rng = stage.palette, stage.rng
    kind = int(rng.integers(4))
    opening = Opening(
        width / 2 - min(0.8, width * 0.35),
        width / 2 + min(0.8, width * 0.35),
        0.0 if kind == 1 else 0.5,
        min(2.15, height - 0.2),
    )
    if kind >= 2:
        stage.parts += (
            walls.pierced_wall(palette.wall(), width, height, [])
            if y == 0
            else placed(walls.pierced_wall(palette.wall(), width, height, []), (0, y, 0))
        )
        if kind == 3 and y > 3:
            stage.put(
                stairs(palette, min(width * 0.9, 2.5), min(int(height / 0.165), 14)),
                (width / 2, y - 4.2, 0),
                0.0,
                gap_m=0.0,
            )
        return
    parts = walls.pierced_wall(palette.wall(), width, height, [opening])
    glow = palette.lamp(light.daylight, warmth=0.0) if light.daylight > 0 else palette.pane()
    parts += walls.door(palette, opening) if kind == 1 else walls.window(palette, opening, fill=glow)
    stage.parts += placed(parts, (0, y, 0))


def corridor(palette: Palette) -> tuple[Stage, float]:
    """A corridor or hall and its height."""
    rng = palette.rng
    hall = rng.random() < 0.35
    width, length = (rng.uniform(5, 14), rng.uniform(12, 40)) if hall else (rng.uniform(1.3, 3.2), rng.uniform(7, 40))
    height = rng.uniform(3.2, 7.5) if hall else rng.uniform(2.3, 3.2)
    light = any_light(rng)
    light = Light(light.daylight, max(light.lamps, 4.0), False)
    stage = Stage(palette, (0.05, width - 0.05), (0.0, length))
    stage.parts.append(quad(palette.floor(), (0, 0, 0), (width, 0, 0), (0, length, 0)))
    stage.parts.append(
        quad(palette.plain(palette.off_white(), 0.9), (0, length, height), (width, 0, 0), (0, -length, 0))
    )
    window_side = int(rng.integers(3))
    for k, (start, yaw) in enumerate((((width, length, 0.0), -np.pi / 2), ((0.0, 0.0, 0.0), np.pi / 2))):
        stage.parts += placed(_side(stage, length, height, light, windows=window_side == k), start, yaw_rad=yaw)
    _end_wall(stage, length, width, height, light)
    stage.parts += placed(walls.pierced_wall(palette.wall(), width, height, []), (width, 0, 0), yaw_rad=np.pi)
    _lamps(stage, width, length, height, light, hall=bool(hall))
    if hall and rng.random() < 0.7:
        _columns(stage, width, length, height)
    _contents(stage, width, length, hall=bool(hall))
    return stage, height


def _lamps(stage: Stage, width: float, length: float, height: float, light: Light, *, hall: bool) -> None:
    """A row of panels, tubes or round lamps; some halls have a skylight's worth of them."""
    palette, rng = stage.palette, stage.rng
    glow, case = palette.lamp(light.lamps * rng.uniform(0.7, 1.5), warmth=0.25), palette.plain(np.full(3, 0.85))
    kind, gap = int(rng.integers(3)), rng.uniform(1.8, 4.5)
    rows = [width / 2] if not hall else [width * 0.25, width * 0.75]
    size = [(0.6, 0.6), (0.15, 1.25), (0.3, 0.3)][kind]
    for x in rows:
        for y in np.arange(gap / 2, length, gap):
            if rng.random() < 0.06:
                continue
            if kind == 2:
                stage.parts.append(cylinder(glow, 0.16, 0.07, (x, float(y), height - 0.075)))
            else:
                stage.parts.append(box(case, (size[0] + 0.04, size[1] + 0.04, 0.04), (x, float(y), height - 0.04)))
                stage.parts.append(
                    quad(
                        glow,
                        (x - size[0] / 2, float(y) + size[1] / 2, height - 0.042),
                        (size[0], 0, 0),
                        (0, -size[1], 0),
                    )
                )


def _columns(stage: Stage, width: float, length: float, height: float) -> None:
    palette, rng = stage.palette, stage.rng
    gap, r, inset = rng.uniform(2.8, 6), rng.uniform(0.15, 0.4), rng.uniform(0.12, 0.3)
    stone = palette.wall() if rng.random() < 0.5 else palette.concrete()
    shaft = [cylinder(stone, r, height, sides=20)] if rng.random() < 0.6 else [box(stone, (2 * r, 2 * r, height))]
    shaft += [box(stone, (2.7 * r, 2.7 * r, 0.2), (0, 0, z)) for z in (0.0, height - 0.2)]
    for y in np.arange(gap / 2, length, gap):
        for x in (width * inset, width * (1 - inset)):
            stage.put(shaft, (float(x), float(y), 0), 0.0, interest=False)


def _contents(stage: Stage, width: float, length: float, *, hall: bool) -> None:
    """Benches, plants, cupboards, trolleys of boxes; people walking."""
    palette, rng = stage.palette, stage.rng
    for _ in range(int(rng.integers(2, 12))):
        side = float(rng.choice([-1, 1]))
        makers = (
            lambda: storage.radiator(palette).parts,
            lambda: storage.cupboard(palette).parts,
            lambda: flowers.pot_plant(palette),
            lambda: furniture.chair(palette).parts,
            lambda: clutter.bin_with_content(palette),
            lambda: storage.bookshelf(palette).parts,
            lambda: furniture.sofa(palette).parts,
        )
        lent = palette.lent("indoors", 0.35)
        parts = lent.parts if lent else makers[int(rng.integers(7 if hall else 6))]()
        depth = float(max(part.vertices[:, 1].max() for part in parts))
        x = width / 2 + side * (width / 2 - depth - 0.15)
        if width > 1.8 or depth < 0.3:
            stage.put(parts, (x, rng.uniform(1, length - 1), 0), -side * np.pi / 2)
    for _ in range(int(rng.choice([0, 1, 3, 8], p=[0.35, 0.3, 0.22, 0.13]))):
        person = people.merged_person(people.crowd_member(palette))
        stage.put(
            person,
            (width * rng.uniform(0.2, 0.8), float(np.exp(rng.uniform(np.log(2), np.log(length)))), 0.0),
            0.0,
            gap_m=0.0,
        )
    if hall and rng.random() < 0.5:
        chair = furniture.chair(palette).parts
        for y in np.arange(3, min(length - 1, 14), 1.1):
            for x in np.arange(width * 0.3, width * 0.7, 0.65):
                stage.put(
                    placed(chair, (0, 0, 0), yaw_rad=np.pi), (float(x), float(y), 0), 0.0, gap_m=0.0, interest=False
                )
