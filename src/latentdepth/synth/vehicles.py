"""Cars, vans, buses, lorries and bicycles.

A vehicle drives to -y and stands on z = 0 about the origin. Knows no streets.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Float

from latentdepth.synth.colours import hsv
from latentdepth.synth.palette import Palette
from latentdepth.synth.props import REPEATED
from latentdepth.synth.scene import Material
from latentdepth.synth.shapes import Parts, ball, box, lathe, loft, pillow, placed, quad, ring_of, rod, rotation, tube


def paint(palette: Palette) -> Material:
    """Car colours by their share on the road: white, black, greys, then blue, red and few others."""
    rng = palette.rng
    kind = rng.choice(6, p=[0.26, 0.2, 0.3, 0.1, 0.08, 0.06])
    colours = (
        np.full(3, 0.9),
        np.full(3, 0.06),
        np.full(3, rng.uniform(0.25, 0.7)),
        hsv(218, 0.65, 0.4),
        hsv(358, 0.75, 0.5),
        hsv(rng.uniform(0, 360), 0.45, 0.5),
    )
    return palette.plain(colours[kind], 0.25, 0.0)


def _wheel(palette: Palette, radius: float, width: float) -> Parts:
    """Tyre and rim with its axle along x."""
    tyre = lathe(
        palette.plain(np.full(3, 0.05), 0.9),
        [
            (radius * 0.7, -width / 2),
            (radius * 0.96, -width / 2),
            (radius, -width / 3),
            (radius, width / 3),
            (radius * 0.96, width / 2),
            (radius * 0.7, width / 2),
        ],
        sides=22,
        caps=False,
    )
    rim = lathe(
        palette.plain(np.full(3, 0.55), 0.3, 1.0),
        [
            (0.0, -width * 0.36),
            (radius * 0.2, -width * 0.42),
            (radius * 0.68, -width * 0.3),
            (radius * 0.72, 0),
            (radius * 0.68, width * 0.3),
            (radius * 0.2, width * 0.42),
            (0.0, width * 0.36),
        ],
        sides=14,
        caps=False,
    )
    return placed([tyre, rim], turn=rotation(0, 0, np.pi / 2))


def _ring(width: float, y: float, low: float, high: float, *, squareness: float = 5.0) -> Float[np.ndarray, "22 3"]:
    """A rounded cross-section of a body at ``y``; anticlockwise seen from +y."""
    outline = ring_of((width, high - low), points=22, squareness=squareness)
    return np.column_stack((-outline[:, 0], np.full(22, y), outline[:, 1] + (low + high) / 2))


def car(palette: Palette) -> Parts:
    """A hatchback, saloon or estate: lower body, glasshouse with pillars, wheels, lamps, plates."""
    if lent := palette.lent("car", 0.5, most_faces=2 * REPEATED):
        return lent.parts
    rng = palette.rng
    length, width, height = rng.uniform(3.6, 4.8), rng.uniform(1.66, 1.86), rng.uniform(1.4, 1.68)
    body, glass, dark = paint(palette), palette.pane(), palette.plain(np.full(3, 0.07), 0.6)
    belt, sill, half = height * 0.62, 0.24, length / 2
    bonnet, tail = length * rng.uniform(0.2, 0.28), length * float(rng.choice([0.03, 0.05, 0.17]))
    ends = [
        (-1.0, 0.72, 0.36, 0.56),
        (-0.97, 0.88, 0.27, belt * 0.72),
        (-0.8, 0.97, sill, belt * 0.8),
        (-1 + 2 * bonnet / length, 1.0, sill, belt),
        (0.4, 1.0, sill, belt * 1.02),
        (1 - 2 * tail / length, 0.99, sill, belt * 1.02),
        (0.97, 0.93, 0.3, belt * 0.95),
        (1.0, 0.8, 0.4, belt * 0.8),
    ]
    parts = [loft(body, np.stack([_ring(width * w, y * half, low, high) for y, w, low, high in ends]))]
    front, back = -half + bonnet, half - tail
    slope_f, slope_b = rng.uniform(0.55, 0.85), rng.uniform(0.12, 0.5)
    low = np.array([(-width * 0.47, front), (width * 0.47, front), (width * 0.47, back), (-width * 0.47, back)])
    top = np.array(
        [
            (-width * 0.38, front + slope_f),
            (width * 0.38, front + slope_f),
            (width * 0.38, back - slope_b),
            (-width * 0.38, back - slope_b),
        ]
    )
    z0, z1 = belt * 0.94, height - 0.05
    parts.append(
        loft(
            glass,
            np.stack((np.column_stack((low, np.full(4, z0))), np.column_stack((top, np.full(4, z1))))),
            smooth=False,
        )
    )
    roof_mid = top.mean(0)
    parts.append(
        placed(
            [pillow(body, (width * 0.79, float(top[2, 1] - top[1, 1]) + 0.1, 0.08), edge=0.9)],
            (0, float(roof_mid[1]), z1 - 0.025),
        )[0]
    )
    mid = (front + back) / 2 + 0.1
    for side in (-1, 1):
        posts = [(low[0, 1], top[0, 1]), (mid, mid), (low[2, 1], top[2, 1])]
        parts += [
            rod(body, (side * width * 0.472, float(a), z0), (side * width * 0.382, float(b), z1), 0.035)
            for a, b in posts
        ]
        parts.append(ball(body, (0.1, 0.06, 0.07), (side * width * 0.54, front + 0.3, belt + 0.04), rows=6, sides=8))
        parts += [
            box(dark, (0.01, 0.006, belt - sill - 0.12), (side * width * 0.499, y, sill + 0.06))
            for y in (front + 0.25, mid, back - 0.35)
        ]
        for y in (-half * 0.62, half * 0.6):
            parts += placed(_wheel(palette, 0.31, 0.2), (side * (width / 2 - 0.1), y, 0.31))
            parts += placed(
                [lathe(dark, [(0.0, 0), (0.33, 0)], sides=18, caps=False)],
                (side * (width / 2 - 0.002), y, 0.33),
                turn=rotation(0, 0, np.pi / 2),
            )
    white, red = palette.plain(np.full(3, 0.85), 0.1), palette.plain(np.array([0.6, 0.05, 0.05]), 0.1)
    for side in (-1, 1):
        parts.append(
            ball(white, (0.17, 0.08, 0.08), (side * width * 0.34, -half * 0.965, belt * 0.68), rows=7, sides=10)
        )
        parts.append(box(red, (0.2, 0.05, 0.14), (side * width * 0.37, half * 0.965, belt * 0.76)))
    parts += [
        box(dark, (width * 0.5, 0.03, 0.12), (0, -half * 0.995, 0.36)),
        box(white, (0.52, 0.02, 0.11), (0, -half - 0.005, 0.42)),
        box(white, (0.52, 0.02, 0.11), (0, half + 0.005, 0.58)),
    ]
    return parts


def van(palette: Palette) -> Parts:
    """A delivery van, bus or box lorry."""
    rng, kind = palette.rng, int(palette.rng.integers(3))
    length, width, height = [
        (rng.uniform(4.8, 6), 2.0, rng.uniform(2.1, 2.6)),
        (rng.uniform(9, 12), 2.5, 3.0),
        (rng.uniform(6, 9), 2.4, rng.uniform(3, 3.6)),
    ][kind]
    body, glass, half = paint(palette), palette.pane(), length / 2
    r, floor = (0.34, 0.5)[kind > 0], (0.32, 0.4, 0.75)[kind]
    nose = {0: 1.0, 1: 0.15, 2: 1.7}[kind]
    parts: Parts = []
    if kind == 2:
        cargo = body if rng.random() < 0.4 else palette.plain(palette.off_white(), 0.5)
        parts += [
            box(cargo, (width, length - nose - 0.2, height - floor), (0, nose / 2 + 0.1, floor)),
            box(palette.dark(), (width * 0.8, length - 0.2, 0.2), (0, 0.1, floor - 0.22)),
        ]
        parts.append(pillow(body, (width * 0.96, nose, 2.3), (0, -half + nose / 2, 0.42), edge=0.12))
    else:
        ends = [
            (-1.0, 0.9, floor, floor + 0.55),
            (-1 + nose / half * 0.5, 0.97, floor, height * (0.55 if kind == 0 else 0.8)),
            (-1 + nose / half * 1.3, 1.0, floor, height),
            (0.97, 1.0, floor, height),
            (1.0, 0.97, floor + 0.05, height - 0.08),
        ]
        parts.append(
            loft(body, np.stack([_ring(width * w, y * half, low, high, squareness=9) for y, w, low, high in ends]))
        )
    for side in (-1, 1):
        for y in (-half * 0.66, half * 0.58):
            parts += placed(_wheel(palette, r, 0.26), (side * (width / 2 - 0.12), y, r))
        if kind == 1:
            panes = np.arange(-half + 0.5, half - 0.9, 1.3)
            parts += [box(glass, (0.02, 1.2, 0.95), (side * width * 0.5, float(y) + 0.6, 1.5)) for y in panes]
        else:
            parts.append(
                box(
                    glass,
                    (0.02, 0.8, 0.55),
                    (
                        side * width * (0.5 if kind == 0 else 0.482),
                        -half + nose * (1.45 if kind == 0 else 0.55),
                        1.35 if kind == 0 else 1.75,
                    ),
                )
            )
        parts += [
            rod(
                palette.dark(),
                (side * width * 0.5, -half + nose, 1.5),
                (side * width * 0.58, -half + nose - 0.1, 1.55),
                0.02,
            ),
            box(palette.dark(), (0.16, 0.06, 0.3), (side * width * 0.6, -half + nose - 0.1, 1.45)),
        ]
        parts.append(
            box(
                palette.plain(np.full(3, 0.9), 0.1),
                (0.25, 0.04, 0.16),
                (side * width * 0.36, -half - 0.005, floor + 0.22),
            )
        )
        parts.append(
            box(
                palette.plain(np.array([0.6, 0.05, 0.05]), 0.1),
                (0.14, 0.04, 0.32),
                (side * width * 0.42, half, floor + 0.3),
            )
        )
    wind = {
        0: (height * 0.58, -half + nose * 0.5, height * 0.95, -half + nose * 1.28),
        1: (1.35, -half - 0.01, 2.6, -half + 0.1),
        2: (1.6, -half - 0.015, 2.5, -half - 0.012),
    }[kind]
    z0, y0, z1, y1 = wind
    parts.append(quad(glass, (-width * 0.42, y0 - 0.02, z0), (width * 0.84, 0, 0), (0, y1 - y0, z1 - z0)))
    return parts


def bicycle(palette: Palette) -> Parts:
    """Two spoked wheels and a frame of thin tubes, leaning a little."""
    if lent := palette.lent("cycle", 0.5):
        return lent.parts
    rng = palette.rng
    frame, dark, steel, r = palette.plain(palette.vivid(), 0.3), palette.dark(), palette.metal(), 0.34
    parts: Parts = []
    for y in (-0.52, 0.52):
        angle = np.linspace(0, 2 * np.pi, 29)
        rim = np.stack((np.zeros(29), y + r * np.cos(angle), 0.36 + r * np.sin(angle)), 1)
        parts.append(tube(dark, rim, 0.019, sides=6, caps=False))
        parts += [
            rod(steel, (0, y, 0.36), (0, y + r * np.cos(a), 0.36 + r * np.sin(a)), 0.0016, sides=4)
            for a in angle[:-1:2]
        ]
    crank, seat, bar, hub_f, hub_b = (0, 0.1, 0.32), (0, 0.22, 0.84), (0, -0.4, 0.84), (0, -0.52, 0.36), (0, 0.52, 0.36)
    pairs = [(crank, seat), (crank, bar), ((0, 0.2, 0.76), bar), (crank, hub_b), (hub_b, (0, 0.2, 0.76)), (bar, hub_f)]
    parts += [rod(frame, a, b, 0.016) for a, b in pairs]
    parts += [
        rod(steel, bar, (0, -0.38, 1.0), 0.013),
        tube(
            dark, np.array([(-0.28, -0.28, 1.02), (-0.12, -0.38, 1.0), (0.12, -0.38, 1.0), (0.28, -0.28, 1.02)]), 0.013
        ),
    ]
    parts += [
        ball(dark, (0.07, 0.13, 0.03), (0, 0.26, 0.9), rows=6, sides=10),
        rod(steel, (0, 0.215, 0.8), (0, 0.24, 0.9), 0.012),
    ]
    parts += [rod(steel, (-0.1, 0.1, 0.18), (0.1, 0.1, 0.46), 0.01), rod(steel, crank, (0.16, 0.32, 0.005), 0.007)]
    return placed(parts, turn=rotation(0, 0, rng.uniform(-0.06, 0.0)))


def any_vehicle(palette: Palette) -> Parts:
    """What stands or drives on a road: cars above all."""
    if lent := palette.lent("lorry", 0.3, most_faces=2 * REPEATED):
        return lent.parts
    return (car, van)[int(palette.rng.random() < 0.16)](palette)
