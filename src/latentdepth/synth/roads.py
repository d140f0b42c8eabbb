"""Wide roads as a car's cameras see them: lanes, traffic, and far behind verges and car parks what stands beside.

The road runs along y through the origin, its surface at z = 0. Knows no cameras.
"""

from __future__ import annotations

import numpy as np

from latentdepth.synth import buildings, plants, street_furniture, vehicles
from latentdepth.synth.palette import Palette
from latentdepth.synth.roadway import TRUNK, cars, crossing, dashes, land, lent_cars, masts
from latentdepth.synth.shapes import Parts, Point, bounds, box, merged_as_one, placed, quad
from latentdepth.synth.stage import Stage, spread_along

_AHEAD_M, _BACK_M = 240.0, 160.0
_LANE_M = 3.5


def road(palette: Palette) -> tuple[Stage, Point]:
    """A road, and the middle of the roof of the car that the cameras are on; it stands in one of the lanes."""
    rng = palette.rng
    stage = Stage(palette, (-400, 400), (-400, 400))
    lanes = int(rng.integers(1, 4))
    middle = float(rng.choice([0.0, rng.uniform(0.6, 5)]))
    half = middle / 2 + lanes * _LANE_M + rng.uniform(0.3, 3.0)
    stage.parts += land(palette, 150)
    stage.parts += _surface(palette, half, middle, lanes)
    lane = middle / 2 + _LANE_M * (rng.integers(lanes) + 0.5)
    own = placed(vehicles.car(palette), yaw_rad=float(rng.choice([0, np.pi])))
    stage.put(own, (lane, 0, 0), 0.0, interest=False)
    top = float(bounds(own)[1][2])
    _traffic(stage, middle, lanes)
    walk = float(rng.choice([0.0, rng.uniform(1.2, 3.0)]))
    for side in (-1, 1):
        _along(stage, side, half, walk)
        _masts(stage, side, half + walk * 0.2 + 0.5)
    if middle > 2:
        _planted(stage, middle)
    return stage, (lane, 0.0, top)


def _surface(palette: Palette, half: float, middle: float, lanes: int) -> Parts:
    """Asphalt with kerbs, edge lines, lane lines, arrows, a crossing road; the strip in the middle, if there is one."""
    rng, length = palette.rng, _AHEAD_M + _BACK_M
    asphalt = palette.asphalt()
    parts: Parts = [quad(asphalt, (-half, -_BACK_M, 0), (2 * half, 0, 0), (0, length, 0))]
    if rng.random() < 0.5:
        y = float(rng.uniform(-60, 60))
        parts.append(quad(asphalt, (-150, y, -0.012), (300, 0, 0), (0, rng.uniform(6, 16), 0)))
    kerb = palette.concrete()
    if rng.random() < 0.6:
        parts += [box(kerb, (0.2, length, 0.33), (side * half, (_AHEAD_M - _BACK_M) / 2, -0.2)) for side in (-1, 1)]
    if middle:
        strip = (palette.grass, palette.paving, palette.soil)[int(rng.integers(3))]()
        parts.append(box(strip, (middle, length, 0.32), (0, (_AHEAD_M - _BACK_M) / 2, -0.2)))
    white = palette.plain(np.full(3, rng.uniform(0.55, 0.85)), 0.8)
    warm = palette.plain(np.array([0.75, 0.55, 0.12]), 0.8) if rng.random() < 0.4 else white
    reach = (-_BACK_M, _AHEAD_M)
    dash, gap = rng.uniform(2, 4), rng.uniform(4, 9)
    marks: Parts = []
    for side in (-1, 1):
        for k in range(1, lanes):
            marks += dashes(white, side * (middle / 2 + k * _LANE_M), reach, dash, gap)
        if rng.random() < 0.7:
            marks += dashes(white, side * (half - 0.25), reach, 40.0, 0.0)
        for k in range(lanes):
            if rng.random() < 0.3:
                x, y = side * (middle / 2 + (k + 0.5) * _LANE_M), float(rng.uniform(4, 30))
                marks.append(quad(white, (x - 0.08, y, 0.007), (0.16, 0, 0), (0, 2.2, 0)))
                marks.append(quad(white, (x - 0.4, y + 2.2, 0.007), (0.8, 0, 0), (0, 0.8, 0)))
    inner: Parts = []
    if rng.random() < 0.8:
        for side in (1, -1):
            inner += dashes(warm, side * (middle / 2 + 0.15), reach, 40.0, 0.0)
    if rng.random() < 0.4:
        marks += crossing(white, float(rng.uniform(5, 40)), np.arange(-half, half - 0.5, 1.1))
    return parts + [merged_as_one(lines) for lines in (marks, inner) if lines]


def _traffic(stage: Stage, middle: float, lanes: int) -> None:
    """Cars in every lane, dense or sparse, ahead and behind."""
    rng, fleet = stage.rng, cars(stage.palette, 3) + lent_cars(stage.palette)
    for side in (-1, 1):
        for k in range(lanes):
            x = side * (middle / 2 + (k + 0.5) * _LANE_M)
            near = float(np.exp(rng.uniform(np.log(9), np.log(120))))
            for y in spread_along(rng, -60, 150, (near, 2.2 * near)):
                if not stage.has_room(130_000):
                    return
                made = fleet[int(rng.integers(len(fleet)))]
                stage.put(made, (x + rng.normal(0, 0.2), y, 0), float(rng.choice([0.0, np.pi])), gap_m=1.5)


def _along(stage: Stage, side: int, half: float, walk: float) -> None:
    """One side of the road, a stretch after another, each of another use."""
    palette, rng = stage.palette, stage.rng
    if walk:
        path = palette.paving()
        low = (_AHEAD_M - _BACK_M) / 2
        stage.parts.append(box(path, (walk, _AHEAD_M + _BACK_M, 0.3), (side * (half + walk / 2), low, -0.18)))
    uses = (_car_park, _lawn, _wood, _yard, None)
    weights = rng.dirichlet([1.2, 1.2, 0.8, 0.8, 0.4])
    y, edge = -90.0, half + walk
    while y < 200:
        length = float(rng.uniform(25, 70))
        use = uses[int(rng.choice(len(uses), p=weights))]
        if use:
            use(stage, side, edge, y, length)
        y += length


def _building(stage: Stage, side: int, front_m: float, y: float, size_m: tuple[float, float], floors: int) -> None:
    """Faces the road at ``front_m`` from its middle; plain where it is far or the scene is full."""
    palette, (width, depth) = stage.palette, size_m
    near = np.hypot(front_m, y) < 45 and stage.has_room(120_000)
    if near:
        parts = buildings.house(palette, width, depth, floors, shop=bool(stage.rng.random() < 0.5))
    else:
        parts = buildings.far_block(palette, width, depth, floors * 3.3)
    stage.put(parts, (side * front_m, y, 0), -side * np.pi / 2, gap_m=-1.5)


def _car_park(stage: Stage, side: int, edge: float, y: float, length: float) -> None:
    """Asphalt with rows of cars, a low broad building behind it, a hedge or some trees before it."""
    palette, rng = stage.palette, stage.rng
    depth = float(rng.uniform(10, 50))
    verge = float(rng.uniform(0.5, 5))
    inner = side * (edge + verge)
    stage.parts.append(quad(palette.asphalt(), (inner, y, 0.004), (side * depth, 0, 0), (0, length, 0)))
    fleet = cars(palette, 3)
    full = float(rng.uniform(0.1, 0.8))
    for x in np.arange(edge + verge + 3, edge + verge + depth - 3, 9.0):
        for at in np.arange(y + 2, y + length - 2, 2.8):
            if rng.random() < full and stage.has_room(150_000):
                yaw = np.pi / 2 * float(rng.choice([-1, 1])) + rng.normal(0, 0.03)
                stage.put(fleet[int(rng.integers(len(fleet)))], (side * x, float(at), 0), yaw, gap_m=0.1)
    size = (float(rng.uniform(0.4, 0.95)) * length, float(rng.uniform(10, 25)))
    _building(stage, side, edge + verge + depth + 1, y + length / 2, size, int(rng.integers(1, 3)))
    _trees(stage, side, edge + verge / 2, y, length, int(rng.integers(0, 3)))


def _lawn(stage: Stage, side: int, edge: float, y: float, length: float) -> None:
    """Grass with trees, a house or two well behind it."""
    palette, rng = stage.palette, stage.rng
    far = float(rng.uniform(8, 35))
    stage.parts.append(quad(palette.grass(), (side * edge, y, 0.003), (side * far, 0, 0), (0, length, 0)))
    for _ in range(int(rng.integers(0, 3))):
        size = (float(rng.uniform(9, 20)), float(rng.uniform(8, 14)))
        _building(stage, side, edge + far, y + rng.uniform(0.1, 0.9) * length, size, int(rng.integers(1, 4)))
    _trees(stage, side, edge + rng.uniform(2, 10), y, length, int(rng.integers(0, 5)))


def _wood(stage: Stage, side: int, edge: float, y: float, length: float) -> None:
    """Trees that close the view, at 5 to 25 m."""
    rng, start = stage.rng, edge + float(stage.rng.uniform(5, 25))
    _trees(stage, side, start, y, length, 4)
    for at in np.arange(y, y + length, 5.0):
        for row in range(2):
            size = (float(rng.uniform(4, 9)), float(rng.uniform(7, 16)))
            x = side * (start + 4 + 6 * row + rng.uniform(-1, 3))
            stage.parts += placed(plants.canopy(stage.palette, size, rows=11), (x, at + rng.uniform(-2, 2), -0.3))


def _yard(stage: Stage, side: int, edge: float, y: float, length: float) -> None:
    """A wall or a fence near the road, a large plain building behind it."""
    palette, rng = stage.palette, stage.rng
    x = side * (edge + float(rng.uniform(0.6, 6)))
    if rng.random() < 0.5:
        wall = box(palette.masonry(), (0.25, length, float(rng.uniform(0.8, 2.6))), (x, y + length / 2, 0))
        stage.parts.append(wall)
    else:
        kind = ("pickets", "bars", "rails", "wire")[int(rng.integers(4))]
        stage.parts += placed(street_furniture.fence(palette, length, kind=kind), (x, y, 0), yaw_rad=np.pi / 2)
    size = (length * float(rng.uniform(0.5, 0.9)), float(rng.uniform(12, 30)))
    _building(stage, side, edge + float(rng.uniform(8, 40)), y + length / 2, size, int(rng.integers(1, 5)))


def _trees(stage: Stage, side: int, off_m: float, y: float, length: float, count: int) -> None:
    """Single trees about ``off_m`` from the middle of the road; balls of leaves once the scene is full."""
    palette, rng = stage.palette, stage.rng
    for _ in range(count):
        at = (side * (off_m + rng.normal(0, 1)), y + rng.uniform(0, 1) * length, 0.0)
        if np.hypot(at[0], at[1]) < 70 and stage.has_room(165_000):
            tall = rng.random() < 0.25
            tree = (
                plants.conifer(palette, height_m=rng.uniform(4, 11)) if tall else plants.broadleaf(palette, leaves=2600)
            )
            stage.put(tree, at, rng.uniform(0, 6), body=None if tall else TRUNK)
        else:
            size = (float(rng.uniform(3, 8)), float(rng.uniform(4, 11)))
            stage.parts += placed(plants.canopy(palette, size, rows=11), at)


def _planted(stage: Stage, middle: float) -> None:
    """Small trees or bushes on the strip between the carriageways."""
    palette, rng = stage.palette, stage.rng
    if rng.random() < 0.5:
        return
    grown = plants.bush(palette, size_m=1.0, leaves=300) if middle < 3 or rng.random() < 0.5 else None
    tree = grown or plants.broadleaf(palette, height_m=rng.uniform(3, 6), leaves=1500)
    for y in spread_along(rng, -40, 110, (6, 20)):
        if stage.has_room(180_000):
            stage.put(tree, (rng.normal(0, 0.2), y, 0.1), rng.uniform(0, 6), body=None if grown else TRUNK)


def _masts(stage: Stage, side: int, x_m: float) -> None:
    """Lamp posts with or without wires, signs."""
    palette, rng = stage.palette, stage.rng
    if rng.random() < 0.6:
        post = street_furniture.lamp_post(palette)
        places = spread_along(rng, -80, 180, (22, 45))
        masts(stage, post, side, x_m, places, wired=0.5, wire_m=(5.5, 8))
    for y in spread_along(rng, -40, 90, (12, 60)):
        stage.put(street_furniture.traffic_sign(palette), (side * (x_m + 0.4), y, 0), 0.0 if side > 0 else np.pi)
