"""Open country: meadows, fields, woods, mountains, dunes, coasts, gardens; to a kilometre and more.

The viewer stands near the origin. Knows no cameras.
"""

from __future__ import annotations

from typing import Literal

import numpy as np
from jaxtyping import Float, Int

from latentdepth.synth import buildings, flowers, people, plants, street_furniture, terrain
from latentdepth.synth.animals import quadruped
from latentdepth.synth.noise import fractal, ripple, sampled
from latentdepth.synth.palette import Palette
from latentdepth.synth.scene import Material
from latentdepth.synth.shapes import Parts, ball, moved, placed, quad, warped
from latentdepth.synth.stage import Stage
from latentdepth.synth.terrain import Heights, Relief

Theme = Literal["meadow", "farmland", "forest", "mountains", "dunes", "coast", "garden"]


def _relief(rng: np.random.Generator, theme: Theme) -> Relief:
    return {
        "meadow": Relief(rng.uniform(10, 60), rng.uniform(600, 1500), rng.uniform(0.1, 0.6), rng.uniform(10, 60)),
        "farmland": Relief(rng.uniform(4, 40), rng.uniform(800, 1800), 0.15, rng.uniform(40, 120)),
        "forest": Relief(rng.uniform(8, 60), rng.uniform(300, 800), rng.uniform(0.2, 0.8), rng.uniform(8, 25)),
        "mountains": Relief(rng.uniform(90, 330), rng.uniform(900, 2200), rng.uniform(0.3, 1.0), rng.uniform(20, 120)),
        "dunes": Relief(rng.uniform(5, 30), rng.uniform(200, 500), rng.uniform(0.2, 0.6), rng.uniform(5, 20)),
        "coast": Relief(rng.uniform(8, 50), rng.uniform(500, 1200), rng.uniform(0.1, 0.4), rng.uniform(15, 40)),
        "garden": Relief(rng.uniform(2, 15), 600.0, 0.08, 60.0),
    }[theme]


def _ground(stage: Stage, height: Heights, theme: Theme) -> None:
    """Terrain in four materials: main, patches, steep, high."""
    palette, rng = stage.palette, stage.rng
    first, second = {
        "dunes": (palette.soil(), palette.soil()),
        "coast": (palette.soil(), palette.grass()),
        "forest": (palette.soil(), palette.grass()),
    }.get(theme, (palette.grass(), palette.soil() if rng.random() < 0.5 else palette.grass()))
    snow = palette.plain(np.full(3, 0.9), 0.8)
    materials: list[Material] = [first, second, palette.rock() if theme in ("mountains", "coast") else second, snow]
    patch, offset = fractal(rng, 128, 128, roughness=1.2), rng.random(2)
    snow_line = rng.uniform(40, 200) if theme == "mountains" and rng.random() < 0.6 else np.inf
    winter = theme in ("meadow", "forest", "mountains") and rng.random() < 0.08
    field_m, path_bend = rng.uniform(50, 140), rng.uniform(0, 6)
    has_path = rng.random() < 0.5

    def kind_of(middle: Float[np.ndarray, "n 3"], slope: Float[np.ndarray, " n"]) -> Int[np.ndarray, " n"]:
        x, y, z = middle.T
        if theme == "farmland":
            kind = ((np.floor(x / field_m) * 7 + np.floor(y / (field_m * 1.6)) * 5) % 3 == 0).astype(int)
        else:
            kind = (sampled(patch, x / 150 + offset[0], y / 150 + offset[1]) > 0.7).astype(int)
        if has_path:
            kind = np.where(np.abs(x - 5 * np.sin(y / 19 + path_bend) + 5 * np.sin(path_bend)) < 1.1, 1, kind)
        kind = np.where(slope > 0.75, 2, kind)
        kind = np.where(z > snow_line + 12 * np.sin(x / 30), 3, kind)
        return np.full_like(kind, 3) if winter else kind

    stage.parts += terrain.ground(height, 1500.0, materials, kind_of, count=170)


def _clusters(rng: np.random.Generator, count: int, near_m: float, far_m: float) -> Float[np.ndarray, "n 2"]:
    """Places in loose groups all around, as many near as far on a logarithmic scale."""
    groups = max(count // 7, 1)
    distance, angle = np.exp(rng.uniform(np.log(near_m), np.log(far_m), groups)), rng.uniform(0, 2 * np.pi, groups)
    which = rng.integers(groups, size=count)
    spread = distance[which, None] * 0.22 * rng.standard_normal((count, 2))
    return np.stack((distance * np.cos(angle), distance * np.sin(angle)), 1)[which] + spread


def _trees(stage: Stage, height: Heights, theme: Theme, sea_m: float, most_triangles: int) -> None:
    """A few detailed trees near, simple crowns far, tree lines on the horizon."""
    palette, rng = stage.palette, stage.rng
    near, far = {
        "meadow": (8, 200),
        "farmland": (6, 170),
        "forest": (26, 420),
        "mountains": (8, 260),
        "dunes": (1, 8),
        "coast": (4, 50),
        "garden": (9, 90),
    }[theme]
    evergreen = rng.random() < {"mountains": 0.8, "forest": 0.4}.get(theme, 0.2)
    make = plants.conifer if evergreen else plants.broadleaf
    bare = not evergreen and rng.random() < 0.1
    protos = [
        (make(palette) if evergreen else plants.broadleaf(palette, leaves=1800, bare=bool(bare))) for _ in range(3)
    ]
    near_m = 3.5 if theme == "forest" else 6.0
    for x, y, z in terrain.on_ground(height, _clusters(rng, near, near_m, 55), 0.1):
        if z > sea_m and np.hypot(x, y) > near_m * 0.8 and stage.has_room(min(130_000, most_triangles)):
            stage.parts += placed(
                protos[int(rng.integers(3))],
                (float(x), float(y), float(z)),
                yaw_rad=rng.uniform(0, 6),
                scale=rng.uniform(0.6, 1.25),
            )
            stage.interests.append((float(x), float(y), float(z) + 2.5))
    simple = [
        plants.conifer(palette, fronds=110)
        if evergreen
        else plants.canopy(palette, (rng.uniform(3.5, 8), rng.uniform(5, 12)), rows=11)
        for _ in range(3)
    ]
    for x, y, z in terrain.on_ground(height, _clusters(rng, far, 40, 900), 0.4):
        if z > sea_m and np.hypot(x, y) > 30 and stage.has_room(min(180_000, most_triangles)):
            stage.parts += placed(
                simple[int(rng.integers(3))],
                (float(x), float(y), float(z)),
                yaw_rad=rng.uniform(0, 6),
                scale=rng.uniform(0.7, 1.3),
            )


def rock(palette: Palette, size_m: float) -> Parts:
    """A boulder, its lower part below z = 0."""
    rng = palette.rng
    body = ball(
        palette.rock(),
        (size_m * rng.uniform(0.4, 0.6), size_m * 0.5, size_m * rng.uniform(0.25, 0.5)),
        (0, 0, size_m * 0.15),
        rows=12,
        sides=16,
    )
    unit = body.vertices / size_m
    lump = 0.16 * ripple(rng, unit, 0.6) + 0.07 * ripple(rng, unit, 0.22) + 0.03 * ripple(rng, unit, 0.1)
    return [warped(body, body.vertices * lump[:, None])]


def _details(stage: Stage, height: Heights, theme: Theme, sea_m: float, most_triangles: int) -> None:
    """Grass and flowers at the feet, bushes, rocks, fences, animals, walkers, a farm far off."""
    palette, rng = stage.palette, stage.rng
    if theme not in ("dunes", "mountains") or rng.random() < 0.4:
        count = 900 if theme in ("dunes", "coast", "mountains") else int(rng.integers(4000, 18000))
        distance, angle = rng.uniform(0.6, 1, count) ** -3.2 * 1.2, rng.uniform(0, 2 * np.pi, count)
        xy = np.stack((distance * np.cos(angle), distance * np.sin(angle)), 1)
        blades = plants.grass_blades(rng, palette.leaves(), terrain.on_ground(height, xy, 0.01), rng.uniform(0.05, 0.4))
        stage.parts.append(blades)
    if theme in ("meadow", "garden") and rng.random() < 0.6:
        for k in range(3):
            flower = flowers.flower(palette, stem_m=rng.uniform(0.2, 0.5))
            for x, y, z in terrain.on_ground(height, rng.normal(0, 1.0, 2) * 3 + rng.normal(0, 1.3, (9 + 4 * k, 2))):
                stage.parts += placed(
                    flower, (float(x), float(y), float(z)), yaw_rad=rng.uniform(0, 6), scale=rng.uniform(0.7, 1.2)
                )
    bushes = [plants.bush(palette, leaves=1100) for _ in range(3)]
    rocks = [rock(palette, rng.uniform(0.3, 2.2)) for _ in range(3)]
    for kind, count in (
        (bushes, int(rng.integers(2, 14))),
        (rocks, int(rng.poisson({"mountains": 14, "coast": 12, "dunes": 3}.get(theme, 3)))),
    ):
        for x, y, z in terrain.on_ground(height, _clusters(rng, count, 3.5, 60), 0.05):
            if z > sea_m - 0.3 and stage.has_room(most_triangles):
                stage.parts += placed(
                    kind[int(rng.integers(3))],
                    (float(x), float(y), float(z)),
                    yaw_rad=rng.uniform(0, 6),
                    scale=rng.uniform(0.6, 1.4),
                )
                stage.interests.append((float(x), float(y), float(z) + 0.4))
    _inhabitants(stage, height, theme, sea_m)
    if theme in ("farmland", "meadow", "garden") and rng.random() < 0.55:
        _fence_line(stage, height)
    if theme != "forest" and rng.random() < 0.5:
        for x, y, z in terrain.on_ground(height, _clusters(rng, 5, 45, 500), 0.3):
            if z > sea_m:
                stage.parts += placed(
                    buildings.far_block(palette, rng.uniform(8, 16), rng.uniform(7, 10), rng.uniform(3, 7)),
                    (float(x), float(y), float(z)),
                    yaw_rad=rng.uniform(0, 6),
                )


def _inhabitants(stage: Stage, height: Heights, theme: Theme, sea_m: float) -> None:
    """People on the way, a herd grazing."""
    palette, rng = stage.palette, stage.rng
    for _ in range(int(rng.choice([0, 1, 3, 6], p=[0.4, 0.25, 0.25, 0.1]))):
        distance, angle = float(np.exp(rng.uniform(np.log(2.5), np.log(60)))), rng.uniform(0, 2 * np.pi)
        x, y, z = terrain.on_ground(height, np.array([[distance * np.cos(angle), distance * np.sin(angle)]]))[0]
        if z > sea_m:
            stage.parts += placed(people.merged_person(people.crowd_member(palette)), (float(x), float(y), float(z)))
            stage.interests.append((float(x), float(y), float(z) + 1.1))
    if rng.random() < 0.4 and theme != "dunes":
        kind = ("sheep", "cow", "horse", "deer", "bear")[int(rng.choice(5, p=[0.3, 0.3, 0.2, 0.15, 0.05]))]
        beast = people.merged_person(quadruped(palette, kind, pose="stand"))
        centre = rng.normal(0, 1, 2)
        centre *= np.exp(rng.uniform(np.log(6), np.log(60))) / max(np.linalg.norm(centre), 1e-6)
        for x, y, z in terrain.on_ground(height, centre + rng.normal(0, 5, (int(rng.integers(1, 7)), 2))):
            if z > sea_m and np.hypot(x, y) > 3:
                stage.parts += placed(
                    beast, (float(x), float(y), float(z)), yaw_rad=rng.uniform(0, 6), scale=rng.uniform(0.85, 1.1)
                )
                stage.interests.append((float(x), float(y), float(z) + 0.8))


def _fence_line(stage: Stage, height: Heights) -> None:
    """Pieces of fence that follow the ground in a straight line."""
    rng = stage.rng
    kind: Literal["rails", "wire"] = "rails" if rng.random() < 0.5 else "wire"
    piece = street_furniture.fence(stage.palette, 4.0, kind=kind)
    start, yaw = rng.normal(0, 9, 2), rng.uniform(0, 2 * np.pi)
    along = np.array([np.cos(yaw), np.sin(yaw)])
    for k in range(-5, 9):
        x, y = start + along * 4.0 * k
        if np.hypot(x, y) < 2.5:
            continue
        ends = terrain.on_ground(height, np.array([[x, y], [x + 4 * along[0], y + 4 * along[1]]]), 0.03)
        rise = float(ends[1, 2] - ends[0, 2]) / 4.0
        tilted = [
            warped(part, np.column_stack((np.zeros((len(part.vertices), 2)), part.vertices[:, 0] * rise)))
            for part in piece
        ]
        stage.parts += placed(tilted, (float(x), float(y), float(ends[0, 2])), yaw_rad=yaw)


def _crop_rows(stage: Stage, height: Heights) -> None:
    """Rows of low plants, as of vegetables, vines and strawberries."""
    palette, rng = stage.palette, stage.rng
    gap, size = rng.uniform(0.8, 1.8), rng.uniform(0.25, 0.8)
    proto = plants.bush(palette, size_m=size, leaves=160)
    for x in np.arange(-9, 9, gap):
        for y in np.arange(1.5, 26, size * rng.uniform(0.9, 1.2)):
            x1, y1, z = terrain.on_ground(height, np.array([[x + rng.normal(0, 0.05), y]]))[0]
            if rng.random() < 0.9 and stage.has_room():
                stage.parts.append(
                    moved(
                        proto[1],
                        (float(x1), float(y1), float(z)),
                        yaw_rad=rng.uniform(0, 6),
                        scale=rng.uniform(0.7, 1.2),
                    )
                )


def _sinking(dry: Heights, shore_m: float, yaw_rad: float, slope: float) -> Heights:
    """Land that goes down below the water beyond a shore line ``shore_m`` away in the direction ``yaw_rad``."""

    def height(x: Float[np.ndarray, ...], y: Float[np.ndarray, ...]) -> Float[np.ndarray, ...]:
        beyond_m = np.cos(yaw_rad) * x + np.sin(yaw_rad) * y - shore_m
        return dry(x, y) - np.clip(beyond_m, 0, 260) * slope

    return height


def landscape(
    palette: Palette, theme: Theme | None = None, *, most_triangles: int = 210_000, planted: bool = True
) -> tuple[Stage, Heights, float]:
    """Open country, its height function and the level of its water (-inf where there is none).

    ``most_triangles``: from how many on no more trees and bushes are put, where a caller has much to add. ``planted``:
    farmland may have its own crops around the origin.
    """
    rng = palette.rng
    themes: tuple[Theme, ...] = ("meadow", "farmland", "forest", "mountains", "dunes", "coast", "garden")
    theme = theme or themes[int(rng.choice(7, p=[0.2, 0.17, 0.18, 0.14, 0.08, 0.12, 0.11]))]
    height = terrain.hills(rng, _relief(rng, theme), sharp=theme in ("mountains", "dunes"))
    stage = Stage(palette, (-80, 80), (-80, 80))
    origin = terrain.height_at(height)
    sea = -np.inf
    if theme == "coast" or rng.random() < 0.15:
        sea = origin - rng.uniform(0.4, 3.0)
        shore, yaw = rng.uniform(4, 40), rng.uniform(0, 2 * np.pi)
        height = _sinking(height, float(shore), float(yaw), 0.14 if theme == "coast" else 0.05)
        size = 12000.0 if theme == "coast" else 3000.0
        stage.parts.append(quad(palette.water(), (-size, -size, sea), (2 * size, 0, 0), (0, 2 * size, 0)))
    _ground(stage, height, theme)
    _trees(stage, height, theme, sea, most_triangles)
    _details(stage, height, theme, sea, most_triangles)
    if theme == "farmland" and planted and rng.random() < 0.6:
        _crop_rows(stage, height)
    return stage, height, sea
