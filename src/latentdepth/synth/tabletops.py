"""Close-ups: a table or a patch of floor full of things inside a room, and what lies in bins.

Made on a room's stage; the surface's middle and extent are returned for the cameras. Knows no cameras.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from latentdepth.synth import clutter, devices, furniture, people
from latentdepth.synth.arrangements import strewn
from latentdepth.synth.palette import Palette
from latentdepth.synth.pieces import Top
from latentdepth.synth.rooms import room
from latentdepth.synth.scene import Material, Mesh
from latentdepth.synth.shapes import Parts, Point, ball, box, placed, quad, rod, tube
from latentdepth.synth.shells import Light, any_light
from latentdepth.synth.stage import Stage


@dataclass(frozen=True)
class Surface:
    """Where the things lie: middle, half sizes along x and y."""

    middle: Point
    half_m: tuple[float, float]


def table_scene(
    palette: Palette, *, crowded: bool, workers: int = 0, pale: bool = False
) -> tuple[Stage, Surface, float]:
    """A table set with things; returns stage, table top and the room's height.

    ``workers``: people on chairs along its longer sides; without any, somebody sits there now and then. ``pale``: a
    large white table under few lamps.
    """
    rng = palette.rng
    light = Light(0.0, rng.uniform(2, 6), False) if pale else _bright(rng, least=3.0)
    size = (rng.uniform(2.6, 6), rng.uniform(2.8, 6), rng.uniform(2.3, 2.9))
    stage, height = room(
        palette,
        theme=("dining", "bare", "office", "workshop")[int(rng.integers(4))],
        size_m=size,
        light=light,
    )
    w, d, h = rng.uniform(0.7, 1.8), rng.uniform(0.6, 1.0), rng.uniform(0.68, 0.78)
    if pale:
        w, d = rng.uniform(1.4, 2.4), rng.uniform(0.8, 1.3)
    lent = None if pale else palette.lent("table")
    w, d, h = lent.size_m if lent else (w, d, h)
    plate = palette.plain(palette.off_white(), rng.uniform(0.3, 0.8)) if pale else None
    made = lent or furniture.table(palette, (w, d, h), plate=plate)
    top = made.tops[0]
    area = (top.x_m[1] - top.x_m[0]) * (top.y_m[1] - top.y_m[0])
    count = int(area * rng.uniform(14, 48)) + 3 if crowded else int(rng.integers(1, 7))
    parts = made.parts + strewn(palette, top, min(count, 40), gap_m=0.004)
    if rng.random() < 0.15:
        parts += placed(devices.laptop(palette), (0, 0.05, top.z_m))
    if not workers and rng.random() < 0.18:
        parts += placed(
            people.figure(palette, "sit", seat_m=0.45, detail=True), (rng.uniform(-w / 3, w / 3), d / 2 + 0.22, 0)
        )
    for k in range(workers):
        parts += _seated(palette, (w, d), side=(1, -1)[k % 2])
    at, yaw = _cleared(stage, max(w, d) * 0.75 + (0.4 if workers else 0.0))
    stage.parts += placed(parts, (at[0], at[1], 0), yaw_rad=yaw)
    half = (w / 2, d / 2) if abs(np.sin(yaw)) < 0.5 else (d / 2, w / 2)
    return stage, Surface((at[0], at[1], top.z_m), half), height


def _seated(palette: Palette, table_m: tuple[float, float], *, side: int) -> Parts:
    """Somebody on a chair at the far (1) or near (-1) side of a table about the origin, the hands mostly over it."""
    rng, (w, d) = palette.rng, table_m
    chair = furniture.chair(palette)
    seat = chair.seats[0] if chair.seats else (0.0, 0.0, 0.45)
    body = people.figure(palette, "sit", seat_m=seat[2], detail=True)
    where = (rng.uniform(-w / 3, w / 3), side * (d / 2 + rng.uniform(0.02, 0.3)), 0.0)
    return placed(
        chair.parts + placed(body, (seat[0], seat[1], 0)),
        where,
        yaw_rad=(0.0 if side > 0 else np.pi) + rng.normal(0, 0.15),
    )


def workplace(palette: Palette) -> tuple[Stage, Surface, float]:
    """A table at which one or two people work, and the room around it; returns what ``table_scene`` does.

    Half of the tables are large, pale and nearly bare, under poor light, so that they look like a wall or a ceiling.
    """
    rng = palette.rng
    workers = int(rng.integers(1, 3))
    pale = bool(rng.random() < 0.5)
    crowded = not pale and bool(rng.random() < 0.45)
    stage, surface, height = table_scene(palette, crowded=crowded, workers=workers, pale=pale)
    if rng.random() < 0.2:
        stage.parts += placed(_hand(palette), surface.middle, yaw_rad=rng.uniform(0, 6))
    return stage, surface, height


def _cleared(stage: Stage, radius: float) -> tuple[tuple[float, float], float]:
    """The emptiest of some places, and a yaw along the walls; what stands there is kept out of by choice of place."""
    rng = stage.rng
    best, best_gap = (0.0, 0.0), -np.inf
    for _ in range(60):
        x, y = (rng.uniform(a + radius, max(b - radius, a + radius + 1e-3)) for a, b in (stage.x_m, stage.y_m))
        gap = min(
            [max(max(f.x_m[0] - x, x - f.x_m[1]), max(f.y_m[0] - y, y - f.y_m[1])) for f in stage.taken], default=9.0
        )
        if gap > best_gap:
            best, best_gap = (float(x), float(y)), gap
    if best_gap < radius:
        # a table must stand somewhere: furniture in its way is cleared out
        stage.clear_away(best, radius)
    return best, float(rng.integers(4)) * np.pi / 2


def overhead_scene(palette: Palette) -> tuple[Stage, Surface, float]:
    """What is seen from above: a bare or crowded table, a floor with things, bins, a workbench with a robot's hand."""
    rng, kind = palette.rng, float(palette.rng.random())
    if kind < 0.5:
        stage, surface, height = table_scene(palette, crowded=bool(rng.random() < 0.7))
    else:
        stage, height = room(palette, light=_bright(rng, least=5.0))
        half = (rng.uniform(0.5, 1.0), rng.uniform(0.5, 1.0))
        at, _ = _cleared(stage, max(half))
        surface = Surface((at[0], at[1], 0.0), half)
        top = Top((-half[0], half[0]), (-half[1], half[1]), 0.003)
        for part in strewn(palette, top, int(rng.integers(2, 22)), gap_m=0.01):
            stage.parts.append(placed([part], (at[0], at[1], 0))[0])
    if rng.random() < 0.25:
        x, y, z = surface.middle
        bins = placed(
            clutter.bin_with_content(palette),
            (x + rng.normal(0, 0.15), y + rng.normal(0, 0.1), z + 0.001),
            yaw_rad=rng.normal(0, 0.3),
            scale=rng.uniform(1.0, 1.5),
        )
        stage.parts += bins
    if rng.random() < 0.2:
        stage.parts += placed(_hand(palette), surface.middle, yaw_rad=rng.uniform(0, 6))
    if rng.random() < 0.12:
        mat = palette.plain(palette.muted(), 0.8)
        stage.parts.append(_mat(mat, surface))
    return stage, surface, height


def _bright(rng: np.random.Generator, *, least: float) -> Light:
    """Any light, its lamps on at ``least``."""
    return any_light(rng).with_lamps(least)


def _mat(material: Material, surface: Surface) -> Mesh:
    x, y, z = surface.middle
    w, d = surface.half_m
    return quad(material, (x - w * 0.6, y - d * 0.6, z + 0.002), (w * 1.2, 0, 0), (0, d * 1.2, 0))


def _hand(palette: Palette) -> Parts:
    """A gripper on an arm, or a person's arm reaching in."""
    rng = palette.rng
    if rng.random() < 0.5:
        skin, sleeve = palette.skin(), palette.fabric()
        tip = np.array([rng.normal(0, 0.1), rng.normal(0, 0.1), 0.06])
        back = np.array([0.6, rng.normal(0, 0.2), 0.28])
        parts = [
            tube(sleeve, np.stack((back * 1.6, back, back * 0.7 + tip * 0.3)), np.array([0.06, 0.05, 0.045])),
            tube(
                skin,
                np.stack((back * 0.75 + tip * 0.25, back * 0.35 + tip * 0.65, tip * 0.85 + back * 0.15)),
                np.array([0.036, 0.03, 0.035]),
            ),
        ]
        for k in range(4):
            end = tip + np.array([-0.06, (k - 1.5) * 0.024, -0.03])
            parts.append(
                tube(
                    skin,
                    np.stack(
                        (
                            tip * 0.85 + back * 0.15 + np.array([0, (k - 1.5) * 0.018, 0]),
                            tip * 0.9 + end * 0.1 + [0, 0, 0.01],
                            end,
                        )
                    ),
                    0.0095,
                )
            )
        return parts
    steel, dark = palette.metal(), palette.dark()
    parts = [
        box(dark, (0.12, 0.08, 0.09), (0, 0, 0.16)),
        rod(steel, (0, 0, 0.25), (0.15, 0, 0.7), 0.045),
        ball(dark, (0.07, 0.07, 0.07), (0.15, 0, 0.7)),
        rod(steel, (0.15, 0, 0.7), (0.7, 0.1, 0.9), 0.05),
    ]
    return parts + [box(dark, (0.015, 0.03, 0.14), (x, 0, 0.03)) for x in (-0.045, 0.045)]
