"""Where a photographer might stand in each kind of scene: candidate views, of which the engine keeps the good ones.

Knows the geometry of stages, not what stands on them, and judges nothing.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from latentdepth.core.types import Camera
from latentdepth.synth.crops import Rows
from latentdepth.synth.portraits import Sitter
from latentdepth.synth.scene import View
from latentdepth.synth.shapes import Point
from latentdepth.synth.stage import Stage
from latentdepth.synth.tabletops import Surface
from latentdepth.synth.terrain import Heights, height_at
from latentdepth.synth.views import ahead, hand_held_roll, looking

NewCamera = Callable[[float, float], Camera]
"""Makes a camera whose field of view lies within two angles in degrees."""

_UNHELD = 0.2
"""Share of the views indoors that no hand holds: robots near the floor, drones, cameras under a ceiling."""


def somewhere_clear(
    stage: Stage, rng: np.random.Generator, z: float, margin: float = 0.25
) -> tuple[float, float] | None:
    """A point of the floor at which a camera ``z`` above it is inside nothing; None where chance finds none."""
    for _ in range(30):
        x, y = (float(rng.uniform(a + margin, b - margin)) for a, b in (stage.x_m, stage.y_m))
        if stage.clear_at(x, y, z):
            return x, y
    return None


def _unheld(
    stage: Stage, height: float, rng: np.random.Generator, camera: NewCamera, spot: tuple[float, float]
) -> list[View]:
    """At any height, looking up or steeply down, rolled: where the lower edge of a picture need not be the near one.

    Empty where the camera would be inside a thing.
    """
    z = float(rng.choice([rng.uniform(0.22, 0.6), rng.uniform(0.6, height - 0.4), height - rng.uniform(0.15, 0.4)]))
    if not stage.clear_at(*spot, z):
        return []
    yaw, pitch = rng.uniform(0, 2 * np.pi), np.clip(np.radians(rng.normal(-18, 30)), -np.pi / 2, np.radians(60))
    eye = np.array([*spot, z])
    chosen, target = camera(35, 100), eye + ahead(yaw, pitch)
    return [looking(chosen, eye, target, roll_deg=float(rng.normal(0, 15)), heading_rad=float(yaw))]


def in_room(stage: Stage, height: float, rng: np.random.Generator, camera: NewCamera, count: int) -> list[View]:
    """Mostly hand-held, from corners and across; some close to a wall or an object; a fifth by robots and drones."""
    found: list[View] = []
    points = np.array(stage.interests) if stage.interests else np.zeros((0, 3))
    for k in range(count):
        z = float(
            rng.choice(
                [rng.uniform(1.2, 1.75), rng.uniform(0.35, 1.2), rng.uniform(1.75, height - 0.2)], p=[0.62, 0.22, 0.16]
            )
        )
        spot = somewhere_clear(stage, rng, z)
        if spot is None:
            continue
        if rng.random() < _UNHELD:
            found += _unheld(stage, height, rng, camera, spot)
            continue
        eye = np.array([*spot, z])
        if k % 3 == 0 or not len(points):
            target = np.array([rng.uniform(*stage.x_m), rng.uniform(*stage.y_m), rng.uniform(0.2, 1.7)])
        else:
            target = points[int(rng.integers(len(points)))] + rng.normal(0, 0.15, 3)
        away = target - eye
        distance = float(np.linalg.norm(away))
        if distance < 0.4:
            continue
        if rng.random() < 0.22 and distance > 1.6:
            closer = target - away / distance * rng.uniform(0.7, 1.5)
            if stage.clear_at(float(closer[0]), float(closer[1]), float(closer[2])) and closer[2] > 0.3:
                eye = closer
        found.append(looking(camera(35, 100), eye, target, roll_deg=hand_held_roll(rng)))
    return found


def in_corridor(stage: Stage, height: float, rng: np.random.Generator, camera: NewCamera, count: int) -> list[View]:
    """Along the axis mostly, else at a wall; a fifth by robots and drones."""
    found: list[View] = []
    length = stage.y_m[1]
    for _ in range(count):
        z = float(rng.uniform(0.5, min(2.1, height - 0.3)))
        spot = somewhere_clear(stage, rng, z, margin=0.3)
        if spot is None:
            continue
        if rng.random() < _UNHELD:
            found += _unheld(stage, height, rng, camera, spot)
            continue
        x, y = spot
        along = rng.random() < 0.75
        far = length if y < length / 2 or rng.random() < 0.3 else 0.0
        target = np.array(
            [rng.uniform(*stage.x_m), far if along else y + rng.normal(0, 2), z + rng.normal(-0.25, 0.35)]
        )
        if np.hypot(target[0] - x, target[1] - y) > 0.5:
            found.append(looking(camera(40, 100), (x, y, z), target, roll_deg=hand_held_roll(rng)))
    return found


def in_street(stage: Stage, half_m: float, rng: np.random.Generator, camera: NewCamera, count: int) -> list[View]:
    """From the pavement, the middle of the road, a car's bonnet, or a window above; along the street or across."""
    found: list[View] = []
    for _ in range(3 * count):
        if len(found) == count:
            break
        z = float(
            rng.choice([rng.uniform(1.3, 1.8), rng.uniform(0.6, 1.3), rng.uniform(2.2, 9.0)], p=[0.7, 0.13, 0.17])
        )
        x, y = rng.uniform(-half_m - 1.8, half_m + 1.8), rng.uniform(-12, 14)
        if not stage.clear_at(x, y, z, 0.3):
            continue
        if rng.random() < 0.68:
            yaw, drop = rng.normal(0, 0.35), rng.normal(-0.03, 0.09)
            target = np.array([x + np.sin(yaw), y + np.cos(yaw), z + drop])
        else:
            near = [p for p in stage.interests if 3 < np.hypot(p[0] - x, p[1] - y) < 30]
            if not near:
                continue
            target = np.array(near[int(rng.integers(len(near)))]) + rng.normal(0, 0.3, 3)
        if z > 2:
            target[2] -= abs(rng.normal(0, 0.25)) * np.hypot(target[0] - x, target[1] - y)
        found.append(looking(camera(35, 95), (x, y, z), target, roll_deg=hand_held_roll(rng)))
    return found


def from_car(roof: Point, rng: np.random.Generator, camera: NewCamera, count: int) -> list[View]:
    """From the rim of a car's roof outwards: ahead along +y most often, else to any side; level but for a few degrees.

    The car itself is mostly out of sight: its bonnet is so near that in disparity nothing else would tell.
    """
    found: list[View] = []
    for _ in range(count):
        yaw = rng.normal(0, 0.3) if rng.random() < 0.35 else rng.uniform(-np.pi, np.pi)
        heading = np.pi / 2 - yaw
        out = np.array([0.75, 1.1, 0.0]) * ahead(heading) * rng.uniform(0.8, 1.1)
        eye = np.array(roof) + out + np.array([0.0, 0.0, rng.uniform(0.15, 0.5)])
        target = eye + ahead(heading, np.radians(rng.normal(1, 5)))
        found.append(looking(camera(40, 90), eye, target, roll_deg=float(rng.normal(0, 2))))
    return found


def in_landscape(
    stage: Stage, height: Heights, sea_m: float, rng: np.random.Generator, camera: NewCamera, count: int
) -> list[View]:
    """Standing, crouching, from a hill or a drone, level or downwards."""
    found: list[View] = []
    for _ in range(count):
        x, y = rng.normal(0, 4, 2)
        ground = max(height_at(height, x, y), sea_m)
        lift = float(
            rng.choice([rng.uniform(1.3, 1.9), rng.uniform(0.3, 1.2), rng.uniform(3, 40)], p=[0.62, 0.22, 0.16])
        )
        yaw, pitch = rng.uniform(0, 2 * np.pi), float(rng.normal(-0.04, 0.1))
        if stage.interests and rng.random() < 0.45:
            x1, y1, z1 = stage.interests[int(rng.integers(len(stage.interests)))]
            yaw = np.arctan2(y1 - y, x1 - x)
            pitch = np.arctan2(z1 - ground - lift, np.hypot(x1 - x, y1 - y)) + rng.normal(0, 0.05)
        if lift > 2.5:
            pitch = -abs(rng.normal(0.25, 0.35)) if rng.random() < 0.8 else -np.pi / 2
        pitch = float(np.clip(pitch, -np.pi / 2, 0.5))
        eye = np.array([x, y, ground + lift])
        target = eye + ahead(yaw, pitch)
        found.append(looking(camera(35, 90), eye, target, roll_deg=hand_held_roll(rng), heading_rad=float(yaw)))
    return found


def of_table(stage: Stage, surface: Surface, rng: np.random.Generator, camera: NewCamera, count: int) -> list[View]:
    """Close to a table top: 0.3 to 1.6 m away, 10 to 60 degrees above it."""
    found: list[View] = []
    middle = np.array(surface.middle)
    for _ in range(count):
        target = middle + np.array([*rng.uniform(-0.7, 0.7, 2) * surface.half_m, rng.uniform(0, 0.12)])
        rise, yaw, distance = np.radians(rng.uniform(8, 60)), rng.uniform(0, 2 * np.pi), rng.uniform(0.38, 1.5)
        eye = target + distance * ahead(yaw, rise)
        if _within(stage, eye):
            found.append(looking(camera(35, 75), eye, target, roll_deg=hand_held_roll(rng)))
    return found


def from_above(
    stage: Stage, surface: Surface, height: float, rng: np.random.Generator, camera: NewCamera, count: int
) -> list[View]:
    """Straight down or up to 50 degrees off, from 0.35 to 2.4 m above the surface; some turned anyhow.

    What hangs from a ceiling or a robot's arm has no upright: there the upper edge may be the near one.
    """
    found: list[View] = []
    middle = np.array(surface.middle)
    for _ in range(count):
        target = middle + np.array([*rng.uniform(-0.6, 0.6, 2) * surface.half_m, 0.0])
        tilt = 0.0 if rng.random() < 0.35 else np.radians(rng.uniform(0, 50))
        roll = rng.normal(0, 3) if rng.random() < 0.6 else rng.uniform(-180, 180)
        yaw, distance = rng.uniform(0, 2 * np.pi), rng.uniform(0.4, min(2.4, height - surface.middle[2] - 0.15))
        eye = target + distance * np.array([np.cos(yaw) * np.sin(tilt), np.sin(yaw) * np.sin(tilt), np.cos(tilt)])
        if _within(stage, eye) and eye[2] < height - 0.1:
            found.append(looking(camera(35, 85), eye, target, roll_deg=float(roll), heading_rad=float(yaw)))
    return found


def over_workplace(
    stage: Stage, surface: Surface, height: float, rng: np.random.Generator, camera: NewCamera, count: int
) -> list[View]:
    """From above a table, aslant over its edge to who sits there and the floor; mostly hung upside down.

    Half of them from so near that the table fills half of the picture.
    """
    found: list[View] = []
    middle, half = np.array(surface.middle), np.array([*surface.half_m, 0.0])
    across = np.array([1.0, 0.0, 0.0]) if half[0] < half[1] else np.array([0.0, 1.0, 0.0])  # towards who sits there
    highest = height - 0.12
    for _ in range(3 * count):
        if len(found) == count:
            break
        if rng.random() < 0.5:
            side = float(rng.choice([-1, 1]))
            beside = (1 - across) * half * rng.uniform(-0.6, 0.6)
            eye = middle + beside - side * across * half * rng.uniform(-0.1, 1.0)
            eye[2] = min(middle[2] + rng.uniform(0.38, 0.9), highest)
            target = middle + beside + side * across * half * rng.uniform(0.4, 1.7) + rng.normal(0, 0.1, 3)
            target[2] = rng.uniform(0.5, 1.05) * middle[2]
        else:
            eye = middle + half * np.array([*rng.uniform(-1.1, 1.1, 2), 0.0])
            eye[2] = rng.uniform(min(middle[2] + 0.5, highest - 0.1), min(middle[2] + 1.7, highest))
            angle, reach = rng.uniform(0, 2 * np.pi), rng.uniform(0.3, 1.5)
            target = middle + reach * half * np.array([np.cos(angle), np.sin(angle), 0.0])
            target[2] = rng.uniform(0.3, 1.05) * middle[2]
        rolls = (rng.normal(0, 6), 180 + rng.normal(0, 10), rng.uniform(-180, 180))
        roll = rolls[int(rng.choice(3, p=[0.35, 0.5, 0.15]))]
        if _within(stage, eye) and target[2] < eye[2] - 0.3:
            heading = float(np.arctan2(target[1] - eye[1], target[0] - eye[0]))
            found.append(looking(camera(45, 90), eye, target, roll_deg=float(roll), heading_rad=heading))
    return found


def between_rows(ground: Heights, rows: Rows, rng: np.random.Generator, camera: NewCamera, count: int) -> list[View]:
    """From the aisle at a row beside it, a fifth along the rows; from knee height to a head above the plants."""
    found: list[View] = []
    base = height_at(ground)
    top = rows.bed_m + rows.plant_m
    clear = rows.gap_m / 2 - 0.35
    for _ in range(count):
        x, y = rng.uniform(-clear, clear), rng.uniform(-0.3, 0.3) * rows.length_m
        eye = np.array([x, y, base + max(0.3, rng.uniform(0.55, 1.0) * top + rng.uniform(-0.1, 0.5))])
        side = float(rng.choice([-1, 1]))
        target = np.array([side * rows.gap_m / 2, y + rng.normal(0, 0.3), base + rows.bed_m + rng.normal(0, 0.22)])
        if rng.random() < 0.2:
            target = np.array([rng.normal(0, 0.5), y + side * 3.0, eye[2] + rng.normal(-0.3, 0.3)])
        found.append(looking(camera(45, 95), eye, target, roll_deg=hand_held_roll(rng)))
    return found


def _within(stage: Stage, eye: np.ndarray, margin_m: float = 0.12) -> bool:
    """Inside the walls and in no furniture."""
    (x0, x1), (y0, y1) = stage.x_m, stage.y_m
    inside = x0 + margin_m < eye[0] < x1 - margin_m and y0 + margin_m < eye[1] < y1 - margin_m
    return bool(inside) and stage.clear_at(float(eye[0]), float(eye[1]), float(eye[2]), 0.05)


def of_sitter(
    stage: Stage, who: Sitter, at: np.ndarray, yaw_rad: float, rng: np.random.Generator, camera: NewCamera, count: int
) -> list[View]:
    """From the front or a side, so near that the subject takes 0.4 to 1.2 of the picture's height."""
    found: list[View] = []
    for _ in range(3 * count):
        if len(found) == count:
            break
        chosen = camera(35, 75)
        turn = yaw_rad - np.pi / 2 + rng.normal(0, 0.6) * (1 if rng.random() < 0.85 else 3)
        distance = who.size_m * chosen.fy_px / chosen.height_px / rng.uniform(0.4, 1.2)
        distance = max(distance, 0.32 + who.size_m * 0.3)
        rise = np.radians(rng.normal(8, 14))
        target = at + np.array([0, 0, who.aim_m]) + rng.normal(0, 0.12, 3) * who.size_m
        eye = target + distance * ahead(turn, rise)
        eye[2] = max(eye[2], at[2] + 0.12)
        if _within(stage, eye):
            found.append(looking(chosen, eye, target, roll_deg=hand_held_roll(rng)))
    return found
