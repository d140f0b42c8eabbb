"""What streets and wide roads are both made of: the land, painted lines, vehicles to choose from, masts along a side.

Both run along y through the origin, their surface at z = 0. Knows no cameras.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from latentdepth.synth import street_furniture, terrain, vehicles
from latentdepth.synth.palette import Palette
from latentdepth.synth.props import REPEATED
from latentdepth.synth.scene import Material
from latentdepth.synth.shapes import Parts, quad
from latentdepth.synth.stage import Footprint, Stage

TRUNK = Footprint((-0.4, 0.4), (-0.4, 0.4), 4.0)
"""What a broad-leaved tree or a palm fills: one stands beside its trunk, below the crown."""


def land(palette: Palette, flat_m: float) -> Parts:
    """Grass, soil and woods, flat around the origin as far as a street reaches, hills behind."""
    rng = palette.rng
    relief = terrain.Relief(rng.uniform(2, 45), rng.uniform(300, 900), 0.0, max(flat_m, 60) * 0.9)
    height = terrain.hills(rng, relief)
    materials = [palette.grass(), palette.soil(), palette.leaves()]
    patches = rng.uniform(0, 6, 2)
    return terrain.ground(
        lambda x, y: height(x, y) - 0.06,
        700.0,
        materials,
        lambda middle, slope: (
            (np.sin(middle[:, 0] / 47 + patches[0]) + np.sin(middle[:, 1] / 61 + patches[1]) > 0.7).astype(int)
            + (slope > 0.35)
        ),
        count=110,
    )


def dashes(paint: Material, x_m: float, reach_m: tuple[float, float], dash_m: float, gap_m: float) -> Parts:
    """A broken line along the road; with gaps of 0 a whole one."""
    start, end = reach_m
    return [
        quad(paint, (x_m - 0.06, float(y), 0.006), (0.12, 0, 0), (0, dash_m, 0))
        for y in np.arange(start, end - dash_m, dash_m + gap_m)
    ]


def crossing(paint: Material, y_m: float, stripes_m: Iterable[float]) -> Parts:
    """The stripes, from ``stripes_m`` along x on, that people cross by."""
    return [quad(paint, (float(x), y_m, 0.007), (0.5, 0, 0), (0, 3, 0)) for x in stripes_m]


def cars(palette: Palette, count: int) -> list[Parts]:
    """``count`` cars and a vehicle of any kind."""
    return [*(vehicles.car(palette) for _ in range(count)), vehicles.any_vehicle(palette)]


def lent_cars(palette: Palette) -> list[Parts]:
    """Up to four of the library's."""
    models = [palette.lent("car", most_faces=2 * REPEATED) for _ in range(4)]
    return [model.parts for model in models if model]


def masts(
    stage: Stage,
    post: Parts,
    side: int,
    x_m: float,
    places_m: list[float],
    *,
    wired: float,
    wire_m: tuple[float, float],
) -> None:
    """Posts at ``places_m`` along one side; cables between them, ``wire_m`` high, with a chance of ``wired``."""
    for y in places_m:
        stage.put(post, (side * x_m, y, 0), -side * np.pi / 2, gap_m=-0.5, interest=False)
    if stage.rng.random() < wired and len(places_m) > 1:
        supports = [(side * x_m, y, stage.rng.uniform(*wire_m)) for y in places_m]
        stage.parts += street_furniture.cables(stage.palette, supports)
