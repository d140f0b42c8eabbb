"""One subject near the camera before a background: people, pets, birds, flowers, pot plants, turned ornaments.

The subject stands at the origin of its own frame and looks to -y. Knows no cameras.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from latentdepth.synth import animals, clutter, flowers, people, plants, vehicles
from latentdepth.synth.palette import Palette
from latentdepth.synth.shapes import Parts, ball, bounds, box, lathe, placed

Subject = Literal["person", "couple", "animal", "bird", "flowers", "plant", "object", "sculpture", "vehicle"]


@dataclass(frozen=True)
class Sitter:
    """A subject with the height that is aimed at and the size that fills the picture, both in metres."""

    parts: Parts
    aim_m: float
    size_m: float
    outdoors: bool
    """Whether it belongs outside only."""


def sitter(palette: Palette, kind: Subject | None = None) -> Sitter:
    """A subject of any kind."""
    rng = palette.rng
    if kind is None and (lent := _lent(palette)):
        return lent
    kinds: tuple[Subject, ...] = (
        "person",
        "couple",
        "animal",
        "bird",
        "flowers",
        "plant",
        "object",
        "sculpture",
        "vehicle",
    )
    kind = kind or kinds[int(rng.choice(9, p=[0.3, 0.07, 0.26, 0.06, 0.1, 0.05, 0.06, 0.05, 0.05]))]
    if kind in ("person", "couple"):
        return _person(palette, pair=kind == "couple")
    if kind == "animal":
        beast = animals.quadruped(palette, fine=True)
        low, high = bounds(beast)
        size = float(np.linalg.norm(high - low))
        if rng.random() < 0.35:
            # the head alone: it is what reaches farthest forward
            return Sitter(beast, float(high[2]) - size * 0.1, size * 0.45, size > 1.4)
        return Sitter(beast, float(high[2]) * 0.55, size * 0.9, size > 1.4)
    if kind == "bird":
        bird = animals.bird(palette)
        perch = rng.uniform(0.4, 1.4)
        parts = [
            *placed(bird, (0, 0, perch)),
            lathe(palette.bark(), [(0.09, 0), (0.06, perch * 0.5), (0.08, perch)], sides=9),
        ]
        size = float(bounds(bird)[1][2])
        return Sitter(parts, perch + size * 0.5, size * 1.7, True)
    if kind == "flowers":
        return _bunch(palette)
    if kind == "vehicle":
        vehicle = vehicles.car(palette) if rng.random() < 0.6 else vehicles.bicycle(palette)
        size = float(np.max(bounds(vehicle)[1] - bounds(vehicle)[0]))
        return Sitter(vehicle, 0.65, size * 1.0, True)
    if kind == "plant":
        return _on_stand(palette, flowers.pot_plant(palette))
    if kind == "sculpture":
        return _on_stand(palette, _sculpture(palette))
    return _on_stand(palette, clutter.table_thing(palette))


def _lent(palette: Palette) -> Sitter | None:
    """Half of all subjects are real models, if there are any; what is small stands on something."""
    lent = palette.lent(("person", "anybody", "animal", "plant", "car", "chair", "indoors"), 0.5)
    if lent is None:
        return None
    width, depth, height = lent.size_m
    if max(lent.size_m) < 0.8:
        return _on_stand(palette, lent.parts)
    if height > 1.5 * max(width, depth) and palette.rng.random() < 0.6:
        # the head and shoulders of what stands upright
        size = palette.rng.uniform(0.34, 1.0)
        return Sitter(lent.parts, height - size * 0.42, size, False)
    return Sitter(lent.parts, height / 2, max(lent.size_m), max(lent.size_m) > 2.2)


def _person(palette: Palette, *, pair: bool) -> Sitter:
    rng = palette.rng
    pose: people.Pose = ("stand", "stand", "sit")[int(rng.integers(3))]
    parts = people.figure(palette, pose, detail=True)
    if pose == "sit":
        parts += [box(palette.wood(), (0.5, 0.42, 0.44), (0, 0.02, 0))]
    top = float(bounds(parts)[1][2])
    if pair:
        parts += placed(
            people.figure(palette, pose, detail=True),
            (rng.uniform(0.5, 0.8), rng.uniform(-0.2, 0.4), 0),
            yaw_rad=rng.normal(0, 0.4),
        )
    close = rng.random()
    size = rng.uniform(0.34, 0.6) if close < 0.4 else rng.uniform(0.7, 1.0) if close < 0.75 else top * 1.1
    aim = top - size * 0.42 if close < 0.75 else top / 2
    return Sitter(parts, aim, size * (1.4 if pair else 1.0), False)


def _bunch(palette: Palette) -> Sitter:
    """Flowers growing from the ground, or one alone."""
    rng, parts = palette.rng, []
    count = int(rng.choice([1, 3, 9]))
    height = rng.uniform(0.2, 0.7)
    for k in range(count):
        at = (0.0, 0.0, 0.0) if k == 0 else (rng.normal(0, 0.09), rng.normal(0.03, 0.09), 0.0)
        parts += placed(flowers.flower(palette, stem_m=height * rng.uniform(0.8, 1.1)), at, yaw_rad=rng.uniform(0, 6))
    places = np.column_stack((rng.normal(0, 0.3, (900, 2)), np.zeros(900)))
    parts.append(plants.grass_blades(rng, palette.leaves(), places, height * 0.75))
    return Sitter(parts, height * 0.95, 0.14 if count == 1 else rng.uniform(0.18, 0.4), True)


def _on_stand(palette: Palette, thing: Parts) -> Sitter:
    """A small thing on a plinth, stump or stool, at a height where it is looked at."""
    rng = palette.rng
    low, high = bounds(thing)
    size = high - low
    stand = rng.uniform(0.5, 1.1)
    w = max(float(np.max(size[:2])) * 1.3, 0.3)
    base = (
        box(palette.furniture(), (w, w, stand))
        if rng.random() < 0.6
        else lathe(palette.wood(), [(w * 0.6, 0), (w * 0.55, stand * 0.5), (w * 0.75, stand)])
    )
    middle = (low + high) / 2
    parts = [*placed(thing, (-float(middle[0]), -float(middle[1]), stand - float(low[2]))), base]
    return Sitter(parts, stand + float(size[2]) * 0.45, float(np.linalg.norm(size)) * 1.05, False)


def _sculpture(palette: Palette) -> Parts:
    """A bust, a turned vase or stacked balls in one material."""
    rng = palette.rng
    stone = palette.plain(palette.stone(), 0.7) if rng.random() < 0.7 else palette.metal()
    kind = int(rng.integers(3))
    if kind == 0:
        bust = people.figure(palette, "stand", detail=True)
        top = float(bounds(bust)[1][2])
        # every part above the chest, cast in stone
        kept = [part for part in bust if part.vertices[:, 2].min() > top - 0.36]
        cast = [type(p)(p.vertices, p.faces, stone, p.uv, p.smooth) for p in kept]
        return [*placed(cast, (0, 0, -(top - 0.4))), lathe(stone, [(0.13, 0), (0.11, 0.03), (0.06, 0.1), (0.07, 0.2)])]
    if kind == 1:
        return clutter.vase(palette)
    parts, z = [], 0.0
    for _ in range(int(rng.integers(2, 6))):
        r = rng.uniform(0.04, 0.13)
        parts.append(
            ball(stone, (r, r, r * 0.9), (rng.normal(0, 0.02), rng.normal(0, 0.02), z + r * 0.9), rows=14, sides=20)
        )
        z += r * 1.7
    return parts
