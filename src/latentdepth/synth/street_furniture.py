"""What stands along streets and paths: fences, lamp posts, signs, cables, bins, benches, bollards. Knows no streets."""

from __future__ import annotations

from itertools import pairwise
from typing import Literal

import numpy as np

from latentdepth.synth import people
from latentdepth.synth.palette import Palette
from latentdepth.synth.shapes import Parts, ball, box, cylinder, merged_as_one, picture, placed, rod, tube


def fence(palette: Palette, length_m: float, *, kind: Literal["pickets", "bars", "rails", "wire"]) -> Parts:
    """A thin fence along +x from the origin."""
    rng = palette.rng
    height = rng.uniform(0.8, 1.5)
    wood = (
        palette.plain(palette.off_white() * rng.uniform(0.5, 1), 0.8)
        if kind == "pickets"
        else palette.wood()
        if kind == "rails"
        else palette.dark()
    )
    posts = [box(wood, (0.08, 0.08, height + 0.08), (float(x), 0, 0)) for x in np.arange(0, length_m + 0.1, 2.0)]
    if kind == "wire":
        lines = [rod(wood, (0, 0, z), (length_m, 0, z), 0.004, sides=4) for z in np.linspace(0.3, height, 4)]
        return [merged_as_one(posts), merged_as_one(lines)]
    rails = [
        box(wood, (length_m, 0.04, 0.09), (length_m / 2, 0, height * t))
        for t in ((0.25, 0.8) if kind != "rails" else (0.3, 0.6, 0.92))
    ]
    thin = {"pickets": (0.07, 0.02, 0.13), "bars": (0.018, 0.018, 0.11), "rails": (0, 0, 0)}[kind]
    bars = (
        [box(wood, (thin[0], thin[1], height), (float(x), -0.03, 0.05)) for x in np.arange(0.05, length_m, thin[2])]
        if thin[2]
        else []
    )
    return [merged_as_one(posts + rails + bars)]


def lamp_post(palette: Palette) -> Parts:
    """A mast of 4 to 9 m with an arm or a lantern."""
    rng, iron, h = palette.rng, palette.metal(), palette.rng.uniform(4, 9)
    parts = [tube(iron, np.array([(0, 0, 0), (0, 0, h * 0.5), (0, 0, h)]), np.array([0.09, 0.07, 0.05]))]
    if rng.random() < 0.6:
        reach = rng.uniform(0.8, 2.2)
        parts += [
            tube(iron, np.array([(0, 0, h - 0.1), (0, -reach * 0.5, h + 0.25), (0, -reach, h + 0.3)]), 0.035),
            box(iron, (0.22, 0.6, 0.1), (0, -reach - 0.2, h + 0.25)),
        ]
    else:
        parts += [ball(palette.plain(palette.off_white(), 0.2), (0.2, 0.2, 0.24), (0, 0, h + 0.2))]
    return parts


def traffic_sign(palette: Palette) -> Parts:
    """A round, triangular or square board on a pole, facing -y."""
    rng, h = palette.rng, palette.rng.uniform(1.9, 2.6)
    parts = [rod(palette.metal(), (0, 0.03, 0), (0, 0.03, h + 0.3), 0.03)]
    sides = int(rng.choice([3, 4, 24]))
    rim, face = (
        palette.plain(np.array([0.7, 0.1, 0.1]) if rng.random() < 0.5 else np.array([0.1, 0.25, 0.6])),
        palette.plain(np.full(3, 0.9)),
    )
    for colour, radius, depth in ((rim, 0.33, 0.0), (face, 0.25, 0.01)):
        disc = cylinder(colour, radius, 0.012, sides=sides)
        turn = np.array([[1.0, 0, 0], [0, 0, -1.0], [0, 1.0, 0]])
        parts += placed([disc], (0, -depth, h), turn=turn)
    if sides == 4:
        parts.append(picture(palette.sign(), (-0.3, -0.012, h - 0.6), (0.6, 0, 0), (0, 0, 0.25)))
    return parts


def cables(palette: Palette, supports: list[tuple[float, float, float]]) -> Parts:
    """A sagging line between neighbouring supports."""
    dark, parts, t = palette.plain(np.full(3, 0.04), 0.9), [], np.linspace(0, 1, 9)
    for a, b in pairwise(supports):
        line = np.array(a)[None] * (1 - t[:, None]) + np.array(b)[None] * t[:, None]
        line[:, 2] -= 4 * palette.rng.uniform(0.2, 0.7) * t * (1 - t)
        parts.append(tube(dark, line, 0.012, sides=4, caps=False))
    return parts


def litter_bin(palette: Palette) -> Parts:
    """A round bin with a lid."""
    return [cylinder(palette.plain(palette.muted(), 0.5), 0.22, 0.8), cylinder(palette.dark(), 0.24, 0.05, (0, 0, 0.8))]


def bench(palette: Palette) -> Parts:
    """Slats on iron feet, at times with somebody sitting on them."""
    wood, iron = palette.wood(), palette.dark()
    parts = [box(wood, (1.6, 0.09, 0.035), (0, y, 0.43)) for y in (-0.2, -0.08, 0.04, 0.16)]
    parts += [box(wood, (1.6, 0.03, 0.09), (0, 0.24 + 0.03 * k, 0.55 + 0.13 * k)) for k in range(3)]
    parts += [box(iron, (0.05, 0.5, 0.43), (x, 0, 0)) for x in (-0.65, 0.65)] + [
        rod(iron, (x, 0.22, 0.4), (x, 0.33, 0.92), 0.02) for x in (-0.65, 0.65)
    ]
    if palette.rng.random() < 0.35:
        parts += placed(people.figure(palette, "sit", seat_m=0.46), (palette.rng.uniform(-0.4, 0.4), -0.05, 0))
    return parts


def bollard(palette: Palette) -> Parts:
    """A short post with a knob."""
    return [cylinder(palette.metal(), 0.06, 0.9), ball(palette.metal(), (0.075, 0.075, 0.075), (0, 0, 0.93))]
