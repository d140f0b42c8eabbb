"""Streets: road, pavements, houses, vehicles, trees, people, hills behind.

The street runs along y through the origin, its surface at z = 0. Knows no cameras.
"""

from __future__ import annotations

from typing import Literal

import numpy as np

from latentdepth.synth import buildings, clutter, people, plants, street_furniture, vehicles
from latentdepth.synth.animals import quadruped
from latentdepth.synth.palette import Palette
from latentdepth.synth.roadway import TRUNK, cars, crossing, dashes, land, lent_cars, masts
from latentdepth.synth.shapes import Parts, box, merged_as_one, placed, quad
from latentdepth.synth.stage import Footprint, Stage, spread_along

Style = Literal["suburb", "town", "city", "country", "square"]


def _road(stage: Stage, half_m: float, ahead_m: float, back_m: float, walk_m: float, style: Style, kerb: float) -> None:
    """Asphalt, kerbs, pavements and markings."""
    palette, rng = stage.palette, stage.rng
    length = ahead_m + back_m
    surface = palette.asphalt() if style != "square" else palette.paving()
    stage.parts.append(quad(surface, (-half_m, -back_m, 0), (2 * half_m, 0, 0), (0, length, 0)))
    pavement = palette.soil() if style == "country" else palette.paving()
    for side in (-1, 1):
        x = side * (half_m + walk_m / 2)
        stage.parts.append(box(pavement, (walk_m, length, kerb + 0.2), (x, (ahead_m - back_m) / 2, -0.2)))
        if kerb > 0:
            stage.parts.append(
                box(
                    palette.concrete(),
                    (0.15, length, kerb + 0.21),
                    (side * (half_m + 0.075), (ahead_m - back_m) / 2, -0.2),
                )
            )
    if style == "square" or rng.random() < 0.2:
        return
    white = palette.plain(np.full(3, rng.uniform(0.6, 0.85)), 0.8)
    dash, gap = rng.uniform(2, 4), rng.uniform(3, 7)
    marks = dashes(white, 0.0, (-back_m, ahead_m), dash, gap)
    if rng.random() < 0.5:
        marks += [
            quad(white, (s * (half_m - 0.3) - 0.05, -back_m, 0.006), (0.1, 0, 0), (0, length, 0)) for s in (-1, 1)
        ]
    if rng.random() < 0.5:
        y = rng.uniform(4, 25)
        marks += crossing(white, y, np.arange(-half_m + 0.3, half_m - 0.5, 1.0))
    stage.parts.append(merged_as_one(marks))


def _houses(stage: Stage, edge_m: float, ahead_m: float, back_m: float, style: Style) -> None:
    """A row on each side; fronts at ``edge_m`` or behind gardens."""
    palette, rng = stage.palette, stage.rng
    for side in (-1, 1):
        if style == "country" and rng.random() < 0.5:
            continue
        y = -back_m * rng.uniform(0.3, 1)
        while y < ahead_m:
            width, depth = (
                (rng.uniform(7, 13), rng.uniform(7, 10))
                if style in ("suburb", "country")
                else (rng.uniform(6, 16), rng.uniform(9, 13))
            )
            floors = {
                "suburb": int(rng.integers(1, 3)),
                "country": int(rng.integers(1, 3)),
                "town": int(rng.integers(2, 5)),
                "city": int(rng.integers(3, 9)),
                "square": int(rng.integers(2, 5)),
            }[style]
            setback = rng.uniform(3, 8) if style in ("suburb", "country") else 0.0
            shop = style in ("town", "city", "square") and rng.random() < 0.55
            if y > 55 or not stage.has_room(120_000):
                parts = buildings.far_block(palette, width, depth, floors * 3.0)
            else:
                parts = buildings.house(palette, width, depth, floors, shop=bool(shop), plain_sides=setback == 0)
            x = side * (edge_m + setback)
            stage.put(parts, (x, y + width / 2, 0), -side * np.pi / 2, gap_m=-1.5, interest=bool(abs(y) < 50))
            if setback > 2 and rng.random() < 0.7 and y < 60:
                _front_garden(stage, side, edge_m, y, width, setback)
            y += width + (
                0.0 if setback == 0 and rng.random() < 0.85 else rng.uniform(2, 9) * (4 if style == "country" else 1)
            )


def _front_garden(stage: Stage, side: int, edge_m: float, y: float, width: float, setback: float) -> None:
    """A hedge or fence along the pavement and bushes behind it."""
    palette, rng = stage.palette, stage.rng
    kind = int(rng.integers(4))
    if kind < 2:
        stage.parts += placed(
            street_furniture.fence(palette, width * 0.85, kind="pickets" if kind == 0 else "bars"),
            (side * edge_m, y, 0),
            yaw_rad=np.pi / 2,
        )
    elif kind == 2:
        stage.parts.append(
            box(palette.masonry(), (0.25, width * 0.85, rng.uniform(0.5, 1.3)), (side * edge_m, y + width * 0.43, 0))
        )
    else:
        stage.parts += [
            part
            for t in np.arange(0.3, width * 0.85, 0.7)
            for part in placed(
                plants.bush(palette, size_m=1.1, leaves=330, flowers=False), (side * edge_m, y + float(t), 0)
            )
        ]
    for _ in range(int(rng.integers(0, 3))):
        at = (side * (edge_m + setback * rng.uniform(0.35, 0.75)), y + rng.uniform(0, width), 0.0)
        stage.parts += placed(plants.bush(palette, leaves=800), at)


def _furniture(stage: Stage, half_m: float, walk_m: float, ahead_m: float, back_m: float, kerb: float) -> None:
    """Lamp posts, street_furniture.cables, signs, bins, benches, bollards, bicycles along the kerbs."""
    palette, rng = stage.palette, stage.rng
    post = street_furniture.lamp_post(palette)
    for side in (-1, 1):
        if rng.random() < 0.7:
            places = spread_along(rng, -back_m, min(ahead_m, 120), (18, 32))
            masts(stage, post, side, half_m + 0.45, places, wired=0.45, wire_m=(5, 7.5))
        makers = (
            street_furniture.traffic_sign,
            street_furniture.litter_bin,
            street_furniture.bench,
            street_furniture.bollard,
            vehicles.bicycle,
            clutter.package,
        )
        for y in spread_along(rng, -back_m * 0.5, min(ahead_m, 60), (3, 14)):
            made = makers[int(rng.choice(6, p=[0.2, 0.15, 0.15, 0.2, 0.22, 0.08]))](palette)
            if lent := palette.lent("outdoors", 0.4):
                made = lent.parts
            stage.put(
                made,
                (side * (half_m + walk_m * rng.uniform(0.15, 0.85)), y, kerb),
                float(rng.choice([0, np.pi / 2, -np.pi / 2])),
            )


def _traffic(stage: Stage, half_m: float, ahead_m: float, back_m: float, style: Style) -> None:
    """Parked cars along the kerb and a few driving ones."""
    palette, rng = stage.palette, stage.rng
    if style == "square":
        return
    fleet = cars(palette, 2) + lent_cars(palette)
    for side in (-1, 1):
        if rng.random() < 0.65 and stage.has_room(150_000):
            for y in spread_along(rng, -back_m, min(ahead_m, 70), (5.6, 16)):
                stage.put(
                    fleet[int(rng.integers(len(fleet)))],
                    (side * (half_m - 1.15), y, 0),
                    float(rng.choice([0, np.pi])),
                    gap_m=0.3,
                )
        for y in spread_along(rng, 8, ahead_m, (18, 90)):
            stage.put(
                fleet[int(rng.integers(len(fleet)))],
                (side * half_m * 0.36, y, 0),
                0.0 if side < 0 else np.pi,
                gap_m=0.4,
            )


def _people(stage: Stage, half_m: float, walk_m: float, ahead_m: float, kerb: float) -> None:
    palette, rng = stage.palette, stage.rng
    # people and animals come last: a person has some five thousand triangles
    for _ in range(int(rng.choice([0, 2, 5, 10], p=[0.2, 0.35, 0.3, 0.15]))):
        side, y = float(rng.choice([-1, 1])), float(np.exp(rng.uniform(np.log(2), np.log(min(ahead_m, 60)))))
        x = (
            side * (half_m + walk_m * rng.uniform(0.2, 0.9))
            if rng.random() < 0.8
            else rng.uniform(-half_m, half_m) * 0.8
        )
        stage.put(people.merged_person(people.crowd_member(palette)), (x, y, kerb if abs(x) > half_m else 0.0), 0.0)
    if rng.random() < 0.15:
        lent = palette.lent("animal", 0.5)
        dog = lent.parts if lent else quadruped(palette, "dog")
        stage.put(dog, (half_m + walk_m / 2, rng.uniform(2, 12), kerb), rng.uniform(0, 6))


def _greenery(stage: Stage, half_m: float, walk_m: float, ahead_m: float, back_m: float, style: Style) -> None:
    """Street trees near, woods and single trees on the land behind."""
    palette, rng = stage.palette, stage.rng
    bare = rng.random() < 0.12
    # one stands beside a broad crown's trunk, but a spruce fills the ground to the tips of its lowest branches
    kinds: list[tuple[Parts, Footprint | None]] = [
        (plants.broadleaf(palette, leaves=3000, bare=bool(bare)), TRUNK)
        if rng.random() < 0.8
        else (plants.conifer(palette, height_m=rng.uniform(4, 9)), None)
        for _ in range(2)
    ]
    if rng.random() < 0.1:
        kinds.append((plants.palm(palette), TRUNK))
    if rng.random() < {"suburb": 0.7, "town": 0.5, "city": 0.4, "country": 0.8, "square": 0.7}[style]:
        for side in (-1, 1):
            gap = rng.uniform(8, 18)
            for y in spread_along(rng, -back_m * 0.4, 45, (gap, gap * 1.5))[:4]:
                if not stage.has_room(170_000):
                    break
                tree, body = kinds[int(rng.integers(len(kinds)))]
                stage.put(tree, (side * (half_m + walk_m * 0.55), y, 0), rng.uniform(0, 6), body=body)
    for _ in range(int(rng.integers(8, 40))):
        x, y = rng.uniform(-170, 170), rng.uniform(-30, 260)
        if abs(x) > half_m + walk_m + 14 and stage.has_room(190_000):
            stage.parts += placed(
                plants.canopy(palette, (rng.uniform(3, 9), rng.uniform(4, 12)), rows=12), (x, y, -0.3)
            )


def street(palette: Palette) -> tuple[Stage, float, float]:
    """A street, half the width of its road and the height of its pavement."""
    rng = palette.rng
    styles: tuple[Style, ...] = ("suburb", "town", "city", "country", "square")
    style = styles[int(rng.choice(5, p=[0.3, 0.28, 0.17, 0.15, 0.1]))]
    half, walk = (rng.uniform(6, 15), 2.0) if style == "square" else (rng.uniform(2.6, 6.5), rng.uniform(1.4, 3.6))
    ahead, back = float(rng.choice([45, 110, 260])), 25.0
    stage = Stage(palette, (-400, 400), (-400, 400))
    stage.parts += land(palette, ahead)
    if style in ("town", "city", "square"):
        stage.parts.append(
            quad(
                palette.paving() if rng.random() < 0.5 else palette.asphalt(),
                (-half - walk - 14, -back, -0.02),
                (2 * (half + walk + 14), 0, 0),
                (0, ahead + back, 0),
            )
        )
    kerb = 0.0 if style in ("country", "square") else rng.uniform(0.05, 0.15)
    _road(stage, half, ahead, back, walk, style, kerb)
    _houses(stage, half + walk, ahead, back, style)
    _traffic(stage, half, ahead, back, style)
    _greenery(stage, half, walk, ahead, back, style)
    _furniture(stage, half, walk, ahead, back, kerb)
    _people(stage, half, walk, ahead, kerb)
    if rng.random() < 0.25:
        stage.parts += placed(
            street_furniture.cables(
                palette, [*[(-half - walk, y, 8.0) for y in (10.0, 10.0)][:1], (half + walk, 10.0, 7.5)]
            ),
            (0, rng.uniform(0, 20), 0),
        )
    if ahead < 200:
        stage.put(
            buildings.house(palette, 2 * (half + walk), 10, int(rng.integers(2, 6))), (0, ahead + 1, 0), 0.0, gap_m=-3.0
        )
    return stage, half, kerb
