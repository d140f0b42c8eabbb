"""Halls: laboratories, workshops, stores and open offices, a wide floor between islands of things.

Axes as in ``rooms``: x from 0 to the width, y from 0 to the depth, floor at z = 0. Knows no cameras.
"""

from __future__ import annotations

import numpy as np

from latentdepth.synth import clutter, furniture, people, storage
from latentdepth.synth.arrangements import dining_set, lived_in
from latentdepth.synth.palette import Palette
from latentdepth.synth.rooms import room
from latentdepth.synth.scene import Material
from latentdepth.synth.shapes import Parts, ball, box, cylinder, placed, rod
from latentdepth.synth.shells import any_light
from latentdepth.synth.stage import Stage


def hall(palette: Palette) -> tuple[Stage, float]:
    """A hall of 6 x 9 to 18 x 28 m and its height."""
    rng = palette.rng
    size = (float(rng.uniform(6, 18)), float(rng.uniform(9, 28)), float(rng.uniform(2.7, 6.5)))
    theme = ("workshop", "office", "bare")[int(rng.choice(3, p=[0.4, 0.3, 0.3]))]
    stage, height = room(palette, theme=theme, size_m=size, light=any_light(rng).with_lamps(rng.uniform(4, 9)))
    if rng.random() < 0.3:
        _columns(stage, height)
    for _ in range(int(rng.integers(0, 4))):
        stage.put_somewhere_square(partition(palette, height), gap_m=0.5)
    # some are nearly empty: then nothing but the floor itself says how far it goes
    for _ in range(round(float(rng.uniform(0.0, 0.1)) * size[0] * size[1])):
        if not stage.has_room(180_000):
            break
        stage.put_somewhere_square(_island(palette), tries=6, gap_m=0.4)
    for _ in range(int(rng.poisson(5))):
        stage.put_somewhere(clutter.floor_thing(palette), tries=5)
    for _ in range(int(rng.choice([0, 1, 4], p=[0.5, 0.3, 0.2]))):
        stage.put_somewhere(people.merged_person(people.crowd_member(palette)))
    return stage, height


def _columns(stage: Stage, height: float) -> None:
    palette, rng = stage.palette, stage.rng
    stone, r, gap = palette.concrete(), rng.uniform(0.12, 0.35), rng.uniform(3.5, 7)
    shaft = [cylinder(stone, r, height, sides=20)] if rng.random() < 0.5 else [box(stone, (2 * r, 2 * r, height))]
    for x in np.arange(gap / 2, stage.x_m[1], gap):
        for y in np.arange(gap / 2, stage.y_m[1], gap):
            stage.put(shaft, (float(x), float(y), 0), 0.0, interest=False)


def partition(palette: Palette, height_m: float) -> Parts:
    """A length of wall that ends in the open: to the ceiling, or a screen on feet."""
    rng = palette.rng
    length = rng.uniform(1.2, 6)
    if rng.random() < 0.6:
        return [box(palette.wall(), (length, rng.uniform(0.08, 0.25), height_m))]
    top, iron = rng.uniform(1.2, 2.0), palette.metal()
    cloth = palette.fabric() if rng.random() < 0.5 else palette.furniture()
    feet = [box(iron, (0.05, 0.5, 0.03), (x, 0, 0)) for x in (-0.4 * length, 0.4 * length)]
    return [*feet, box(cloth, (length, 0.05, top - 0.03), (0, 0, 0.03))]


def _island(palette: Palette) -> Parts:
    """What stands free on the floor of a hall."""
    rng = palette.rng
    kind = int(rng.choice(6, p=[0.2, 0.22, 0.12, 0.16, 0.18, 0.12]))
    if kind == 0:
        return dining_set(palette, things=rng.uniform(0, 12), people_share=0.1).parts
    if kind == 1:
        size = (rng.uniform(1.2, 3.0), rng.uniform(0.6, 1.2), rng.uniform(0.7, 1.0))
        return lived_in(palette, furniture.table(palette, size), things=rng.uniform(0, 20)).parts
    if kind == 2:
        return lent.parts if (lent := palette.lent("indoors", 0.5)) else storage.bookshelf(palette).parts
    if kind == 3:
        return furniture.chair(palette).parts
    if kind == 4:
        return stand(palette)
    return _crates(palette)


def stand(palette: Palette) -> Parts:
    """Arms that spread from a mast close over the floor, a castor under each: of a lamp, a lift, a screen."""
    rng = palette.rng
    metal, rubber = (palette.dark() if rng.random() < 0.6 else palette.metal()), palette.dark()
    arms, reach, r = int(rng.integers(3, 6)), rng.uniform(0.25, 0.7), rng.uniform(0.012, 0.05)
    foot = rng.uniform(0.025, 0.06)
    hub, top = 2 * foot + r + rng.uniform(0.0, 0.12), rng.uniform(0.7, 2.0)
    parts = []
    for yaw in np.arange(arms) * 2 * np.pi / arms + rng.uniform(0, 2 * np.pi):
        x, y = float(reach * np.cos(yaw)), float(reach * np.sin(yaw))
        parts.append(rod(metal, (0, 0, hub), (x, y, 2 * foot + r), r, sides=8))
        parts.append(ball(rubber, (foot, foot, foot), (x, y, foot)))
    parts.append(cylinder(metal, rng.uniform(0.6, 2.2) * r, top - hub, (0, 0, hub)))
    return parts + placed(_borne(palette, metal), (0, 0, top))


def _borne(palette: Palette, metal: Material) -> Parts:
    """What a mast ends in: a plate, a case, a screen, nothing."""
    rng, kind = palette.rng, int(palette.rng.integers(4))
    if kind == 0:
        return [cylinder(metal, rng.uniform(0.15, 0.4), 0.025)]
    if kind == 1:
        return [box(palette.furniture(), (rng.uniform(0.2, 0.6), rng.uniform(0.2, 0.5), rng.uniform(0.1, 0.5)))]
    if kind == 2:
        w = rng.uniform(0.4, 1.1)
        return [
            box(palette.dark(), (w, 0.06, 0.6 * w)),
            box(palette.screen(), (0.94 * w, 0.062, 0.55 * w), (0, 0, 0.02)),
        ]
    return []


def _crates(palette: Palette) -> Parts:
    """Boxes of one size, side by side and on one another."""
    rng = palette.rng
    w, d, h = rng.uniform(0.3, 0.8), rng.uniform(0.3, 0.6), rng.uniform(0.2, 0.5)
    card = palette.cardboard() if rng.random() < 0.6 else palette.furniture()
    parts = []
    for k in range(int(rng.integers(1, 4))):
        for level in range(int(rng.integers(1, 5))):
            shift = rng.normal(0, 0.015, 2)
            parts.append(box(card, (w, d, h), (k * (w + 0.03) + shift[0], float(shift[1]), level * h)))
    return parts
