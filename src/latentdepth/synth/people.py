"""Figures of people: jointed bodies with clothes, hair and a face; standing, walking, sitting, lying.

A figure is built from joint positions; it faces -y and its feet (or what it lies on) touch z = 0. Proportions after
Drillis and Contini (1966, body segment parameters), as shares of the stature. Knows no rooms and no streets.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from jaxtyping import Float

from latentdepth.synth import heads
from latentdepth.synth.noise import ripple
from latentdepth.synth.palette import Palette
from latentdepth.synth.scene import Material, Mesh
from latentdepth.synth.shapes import Parts, ball, bounds, loft, merged_as_one, placed, ring_of, rotation, tube, warped

Pose = Literal["stand", "walk", "sit", "lie"]
Vector = Float[np.ndarray, "3"]


@dataclass(frozen=True)
class Clothes:
    """What one person wears."""

    skin: Material
    top: Material
    legs: Material
    shoes: Material
    long_sleeves: bool
    skirt: bool
    short_legs: bool


def clothes(palette: Palette) -> Clothes:
    """Drawn from the scene's fabrics and plain colours."""
    rng = palette.rng
    top = (
        palette.fabric()
        if rng.random() < 0.4
        else palette.plain(palette.vivid() if rng.random() < 0.5 else palette.muted(), 0.9)
    )
    jeans = palette.plain(np.array([0.18, 0.24, 0.36]) * rng.uniform(0.5, 1.6), 0.9)
    legs = jeans if rng.random() < 0.45 else palette.plain(palette.muted() * rng.uniform(0.3, 0.9), 0.9)
    return Clothes(
        palette.skin(),
        top,
        legs,
        palette.plain(palette.muted() * 0.6, 0.5),
        bool(rng.random() < 0.6),
        bool(rng.random() < 0.18),
        bool(rng.random() < 0.2),
    )


def _limb(material: Material, points: list[Vector], radii: list[float], *, sides: int = 10) -> Mesh:
    """A round limb through joints, with the muscles' swelling between them and rounded ends."""
    path, radius = [points[0]], [radii[0] * 0.6]
    for a, b, ra, rb in zip(points[:-1], points[1:], radii[:-1], radii[1:], strict=True):
        for t in (0.05, 0.3, 0.6, 0.95):
            path.append(a * (1 - t) + b * t)
            radius.append((ra * (1 - t) + rb * t) * (1 + 0.1 * np.sin(np.pi * t)))
    path.append(points[-1])
    radius.append(radii[-1] * 0.6)
    return tube(material, np.stack(path), np.array(radius), sides=sides)


def _down(pitch_rad: float, out_rad: float) -> Vector:
    """Unit vector hanging down, swung forward (-y) by ``pitch_rad`` and sideways (+x) by ``out_rad``."""
    return np.array([np.sin(out_rad), -np.sin(pitch_rad) * np.cos(out_rad), -np.cos(pitch_rad) * np.cos(out_rad)])


def _torso(palette: Palette, wear: Clothes, size: float, bulk: float) -> Parts:
    """From the hips (z = 0) to the neck, along z, for a stature of ``size`` metres."""
    rng = palette.rng
    # (height, width, depth, forward shift) as shares of the stature
    belly = rng.uniform(0, 0.03) * bulk
    outline = [
        (-0.06, 0.12, 0.09, 0),
        (-0.03, 0.19, 0.125, 0),
        (0.03, 0.19, 0.13, belly / 2),
        (0.1, 0.165, 0.115, belly),
        (0.18, 0.185, 0.13, belly / 2),
        (0.25, 0.21, 0.13, 0),
        (0.29, 0.215, 0.105, 0),
        (0.315, 0.15, 0.085, 0),
        (0.33, 0.075, 0.07, 0),
    ]
    rings = np.stack(
        [
            np.column_stack(
                (ring_of((w * size * bulk, d * size * bulk), points=18, squareness=2.5), np.full(18, z * size))
            )
            - np.array([0, f * size, 0])
            for z, w, d, f in outline
        ]
    )
    shirt = loft(wear.top, rings)
    folds = np.zeros_like(shirt.vertices)
    folds[:, 1] = 0.006 * ripple(rng, shirt.vertices, 0.12)
    hips = loft(wear.legs, rings[:3] * np.array([1.03, 1.03, 1.0]))
    neck = tube(
        wear.skin,
        np.array([(0, 0, 0.315 * size), (0, 0.004 * size, 0.33 * size), (0, -0.006 * size, 0.37 * size)]),
        np.array([0.036, 0.033, 0.032]) * size,
        sides=12,
    )
    return [warped(shirt, folds), hips, neck]


def _arm(wear: Clothes, shoulder: Vector, upper: Vector, lower: Vector, size: float, *, fingers: bool) -> Parts:
    elbow = shoulder + upper * 0.172 * size
    wrist = elbow + lower * 0.157 * size
    hand = wrist + lower * 0.06 * size
    parts = [_limb(wear.top, [shoulder, elbow], [0.034 * size, 0.027 * size])]
    parts.append(_limb(wear.top if wear.long_sleeves else wear.skin, [elbow, wrist], [0.026 * size, 0.017 * size]))
    side = np.cross(lower, (0.0, 1.0, 0.3))
    side /= np.linalg.norm(side)
    parts.append(_limb(wear.skin, [wrist, wrist * 0.4 + hand * 0.6], [0.015 * size, 0.019 * size], sides=8))
    if fingers:
        for k in range(4):
            root = wrist * 0.4 + hand * 0.6 + side * (k - 1.5) * 0.0105 * size
            parts.append(_limb(wear.skin, [root, root + lower * 0.045 * size], [0.0055 * size, 0.0042 * size], sides=6))
        thumb = wrist + side * 0.016 * size
        parts.append(
            _limb(
                wear.skin, [thumb, thumb + (lower + side * 0.5) * 0.033 * size], [0.006 * size, 0.0048 * size], sides=6
            )
        )
    else:
        parts.append(ball(wear.skin, (0.019 * size, 0.017 * size, 0.026 * size), tuple(hand.tolist()), rows=6, sides=8))
    return parts


def _leg(wear: Clothes, hip: Vector, upper: Vector, lower: Vector, size: float) -> Parts:
    knee = hip + upper * 0.245 * size
    ankle = knee + lower * 0.24 * size
    parts = [_limb(wear.legs, [hip, knee], [0.052 * size, 0.034 * size])]
    shin = wear.skin if wear.short_legs or wear.skirt else wear.legs
    parts.append(_limb(shin, [knee, ankle], [0.034 * size, 0.024 * size]))
    ahead = -np.cross(lower, (1.0, 0.0, 0.0))
    ahead /= np.linalg.norm(ahead)
    if ahead[1] > 0:
        ahead = -ahead
    heel = ankle + lower * 0.02 * size - ahead * 0.015 * size
    parts.append(
        _limb(
            wear.shoes,
            [heel, heel + ahead * 0.07 * size, heel + ahead * 0.135 * size],
            [0.028 * size, 0.028 * size, 0.019 * size],
            sides=8,
        )
    )
    return parts


def _skirt(wear: Clothes, size: float, pose: Pose) -> Parts:
    """A cone of cloth with folds from the waist; not for sitting figures."""
    if pose not in ("stand", "walk"):
        return []
    angle = np.arange(36) * 2 * np.pi / 36
    rings = []
    for z, r in ((0.06, 0.09), (-0.02, 0.11), (-0.15, 0.135), (-0.27, 0.15)):
        fold = 1 + 0.06 * np.sin(angle * 9) * (0.06 - z) / 0.3
        rings.append(
            np.column_stack((r * fold * np.cos(angle), 0.75 * r * fold * np.sin(angle), np.full(36, z))) * size
        )
    return [loft(wear.legs, np.stack(rings), caps=False)]


def figure(
    palette: Palette,
    pose: Pose | None = None,
    *,
    stature_m: float | None = None,
    seat_m: float = 0.46,
    detail: bool = False,
) -> Parts:
    """One person. ``seat_m``: height of what is sat on; ``detail`` adds fingers and a finer head, for near views.

    A sitting figure has the middle of its seat at the origin in x and y.
    """
    rng = palette.rng
    pose = pose or ("stand", "walk")[int(rng.integers(2))]
    child = rng.random() < 0.12
    size = stature_m or (rng.uniform(1.05, 1.5) if child else rng.normal(1.71, 0.09))
    bulk = rng.uniform(0.92, 1.2)
    wear = clothes(palette)
    parts = _torso(palette, wear, size, bulk)
    head = heads.head(palette, wear.skin, fine=detail)
    nod = rotation(rng.normal(0, 0.35), -rng.normal(0.02, 0.15), rng.normal(0, 0.08))
    parts += placed(head, (0, -0.006 * size, 0.355 * size), turn=nod, scale=size / 1.71)
    lean = {"stand": rng.normal(0, 0.04), "walk": 0.06, "sit": rng.uniform(-0.25, 0.25), "lie": 0.0}[pose]
    for side in (-1, 1):
        shoulder = np.array([side * 0.108 * size * bulk, 0.0, 0.285 * size])
        upper, lower = _arm_directions(rng, pose, side)
        parts += _arm(wear, shoulder, upper, lower, size, fingers=detail)
    parts = placed(parts, turn=rotation(0, lean))
    parts += _skirt(wear, size, pose) if wear.skirt else []
    stride = rng.uniform(0.25, 0.5)
    for side in (-1, 1):
        hip = np.array([side * 0.052 * size, 0.0, -0.02 * size])
        upper, lower = _leg_directions(rng, pose, side, stride)
        parts += _leg(wear, hip, upper, lower, size)
    if pose == "lie":
        side_down = rng.choice([0.0, np.pi / 2, -np.pi / 2, np.pi], p=[0.5, 0.2, 0.2, 0.1])
        parts = placed(placed(parts, turn=rotation(float(side_down))), turn=rotation(0, -np.pi / 2))
    if pose == "sit":
        parts = placed(parts, (0, 0.05, seat_m + 0.06 * size))
        lowest = float(bounds(parts)[0][2])
        return placed(parts, (0, 0, -lowest if lowest < 0.08 else 0.0))
    return placed(parts, (0, 0, -float(bounds(parts)[0][2])))


def _arm_directions(rng: np.random.Generator, pose: Pose, side: int) -> tuple[Vector, Vector]:
    if pose == "lie":
        return _down(rng.uniform(0, 0.4), side * 0.15), _down(rng.uniform(0, 0.9), -side * 0.2)
    if pose == "sit":
        return _down(rng.uniform(0.1, 0.9), side * 0.15), _down(rng.uniform(1.2, 2.0), -side * rng.uniform(0, 0.5))
    raised = rng.random()
    if raised < 0.07:
        return _down(rng.uniform(1.5, 2.9), side * 0.3), _down(rng.uniform(2, 3), -side * 0.3)
    if raised < 0.3:
        return _down(rng.uniform(0.2, 0.7), side * 0.2), _down(rng.uniform(1.3, 2.1), -side * rng.uniform(0, 0.6))
    swing = rng.uniform(0.1, 0.5) * side if pose == "walk" else rng.normal(0, 0.1)
    return _down(swing, side * rng.uniform(0.06, 0.3)), _down(swing + rng.uniform(0.1, 0.5), side * 0.05)


def _leg_directions(rng: np.random.Generator, pose: Pose, side: int, stride: float) -> tuple[Vector, Vector]:
    if pose == "sit":
        return _down(rng.uniform(1.4, 1.6), side * rng.uniform(0, 0.25)), _down(rng.uniform(-0.25, 0.2), 0.0)
    if pose == "lie":
        bend = rng.uniform(0, 0.5)
        return _down(bend, side * 0.08), _down(-bend * 0.6, 0.0)
    if pose == "walk":
        return _down(-side * stride, 0.02 * side), _down(-side * stride - (0.45 if side > 0 else 0.02), 0.0)
    return _down(rng.normal(0, 0.05), side * rng.uniform(0, 0.12)), _down(-0.03, side * 0.04)


def crowd_member(palette: Palette) -> Parts:
    """A standing or walking person of any size, turned anywhere."""
    lent = palette.lent("person", 0.5)
    return placed(lent.parts if lent else figure(palette), yaw_rad=palette.rng.uniform(0, 2 * np.pi))


def merged_person(parts: Parts) -> Parts:
    """One mesh for each material, so that a crowd stays small."""
    groups: dict[tuple[int, bool], Parts] = {}
    for part in parts:
        groups.setdefault((id(part.material), part.smooth), []).append(part)
    return [merged_as_one(group) for group in groups.values()]
