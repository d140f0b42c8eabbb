"""Animals as lofted bodies: dogs, cats, horses, cows, sheep, bears on four legs, and birds; standing, sitting, lying.

An animal faces -y and touches z = 0. Knows no landscapes.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Float

from latentdepth.synth.colours import hsv
from latentdepth.synth.noise import ripple
from latentdepth.synth.palette import Palette
from latentdepth.synth.scene import Material
from latentdepth.synth.shapes import Parts, ball, bounds, loft, placed, ring_of, rotation, tube, warped


@dataclass(frozen=True)
class _Build:
    """Sizes in metres of a standing animal."""

    length: float
    shoulder: float
    girth: float
    leg: float
    neck: float
    neck_pitch: float
    head: float
    snout: float
    ear: float
    tail: float
    shaggy: float = 0.0


_BUILDS = {
    "cat": _Build(0.34, 0.25, 0.12, 0.016, 0.06, 0.7, 0.052, 0.022, 0.045, 0.28, 0.0015),
    "dog": _Build(0.55, 0.52, 0.2, 0.024, 0.16, 0.8, 0.075, 0.1, 0.08, 0.3, 0.003),
    "small dog": _Build(0.32, 0.28, 0.15, 0.018, 0.07, 0.8, 0.06, 0.05, 0.06, 0.16, 0.004),
    "horse": _Build(1.5, 1.5, 0.58, 0.055, 0.8, 0.85, 0.15, 0.42, 0.14, 0.8),
    "cow": _Build(1.5, 1.35, 0.66, 0.06, 0.45, 0.15, 0.17, 0.3, 0.16, 0.8),
    "sheep": _Build(0.75, 0.7, 0.44, 0.03, 0.2, 0.5, 0.1, 0.14, 0.1, 0.1, 0.018),
    "bear": _Build(1.15, 0.9, 0.62, 0.1, 0.25, 0.1, 0.19, 0.16, 0.08, 0.06, 0.012),
    "deer": _Build(1.0, 1.0, 0.36, 0.03, 0.45, 0.95, 0.1, 0.2, 0.15, 0.12),
}


def _body(palette: Palette, fur: Material, build: _Build, fine: bool) -> Parts:
    """Chest to rump along y, the chest at -y; the back is at the shoulder's height."""
    count, points = (72, 56) if fine else (12, 14)
    t = np.linspace(0, 1, count)
    swell = np.interp(t, [0, 0.06, 0.25, 0.5, 0.75, 0.94, 1], [0.3, 0.68, 1.0, 0.95, 0.86, 0.62, 0.2])
    rings = np.empty((count, points, 3))
    for k in range(count):
        outline = ring_of((build.girth * 0.82 * swell[k], build.girth * swell[k]), points=points, squareness=2.3)
        rings[k, :, 0], rings[k, :, 2] = -outline[:, 0], outline[:, 1] + build.shoulder - build.girth * 0.52
        rings[k, :, 1] = (t[k] - 0.5) * build.length * 1.15
    # rings turn anticlockwise seen from behind, where the path ends
    body = loft(fur, rings)
    shift = (body.vertices - body.vertices.mean(0)) * np.array([1, 0, 1])
    shift /= np.maximum(np.linalg.norm(shift, axis=1, keepdims=True), 1e-6)
    rough = 0.02 * build.girth * ripple(palette.rng, body.vertices, build.girth * 0.6)
    rough = rough + (build.shaggy if fine else 0.0) * ripple(palette.rng, body.vertices, build.girth * 0.16)
    return [warped(body, shift * rough[:, None])]


def _head(palette: Palette, fur: Material, build: _Build, fine: bool) -> Parts:
    """Skull, muzzle, nose, eyes and ears about the origin, looking to -y."""
    rng, h, s = palette.rng, build.head, build.snout
    rows, sides = (14, 20) if fine else (7, 10)
    dark = palette.plain(np.array([0.05, 0.04, 0.04]), 0.15)
    muzzle = np.array([(0, -h * 0.3, -h * 0.15), (0, -h * 0.8 - s * 0.3, -h * 0.3), (0, -h * 0.8 - s, -h * 0.4)])
    parts = [ball(fur, (h * 0.9, h * 1.05, h * 0.92), rows=rows, sides=sides)]
    parts.append(tube(fur, muzzle, np.array([h * 0.72, h * 0.5, h * 0.36]), sides=sides))
    parts.append(ball(fur, (h * 0.37, h * 0.3, h * 0.32), (0, -h * 0.8 - s, -h * 0.42), rows=rows, sides=sides))
    parts.append(ball(dark, (h * 0.16, h * 0.13, h * 0.11), (0, -h * 1.06 - s, -h * 0.3), rows=7, sides=10))
    iris = palette.plain(hsv(rng.uniform(25, 110), 0.6, rng.uniform(0.15, 0.7)), 0.05)
    for x in (-1, 1):
        parts.append(ball(iris, (h * 0.16, h * 0.12, h * 0.15), (x * h * 0.48, -h * 0.82, h * 0.22), rows=8, sides=10))
        parts.append(ball(dark, (h * 0.08, h * 0.05, h * 0.12), (x * h * 0.49, -h * 0.92, h * 0.22), rows=6, sides=8))
        upright = build.ear < h or rng.random() < 0.5
        tip = (
            np.array([x * h * 0.75, 0, h * 0.7 + build.ear])
            if upright
            else np.array([x * (h * 0.9 + build.ear * 0.4), 0, h * 0.5 - build.ear])
        )
        root = np.array([x * h * 0.55, 0, h * 0.6])
        ear = tube(
            fur, np.stack((root, root * 0.5 + tip * 0.5, tip)), np.array([h * 0.36, h * 0.28, h * 0.02]), sides=8
        )
        parts.append(type(ear)((ear.vertices - root) * np.array([1, 0.45, 1]) + root, ear.faces, fur, ear.uv, True))
    if build.ear < 0.05:
        white = palette.plain(np.full(3, 0.85))
        for k in range(6):
            end = np.array([(k % 2 * 2 - 1) * h * 1.5, -h * 1.1, -h * (0.2 + 0.15 * (k // 2))])
            parts.append(tube(white, np.stack((np.array([0, -h * 1.0 - s * 0.6, -h * 0.4]), end)), 0.0006, sides=4))
    return parts


def _leg(fur: Material, root: Float[np.ndarray, 3], foot_y: float, build: _Build, *, hind: bool) -> Parts:
    """Thigh, shank and paw down to z = 0."""
    bend = build.leg * (2.5 if hind else -0.6)
    knee = np.array([root[0], root[1] + bend + (foot_y - root[1]) * 0.4, root[2] * 0.48])
    foot = np.array([root[0], foot_y, build.leg * 0.8])
    radius = np.array([build.leg * 2.6, build.leg * 2.1, build.leg * 1.15, build.leg * 0.9, build.leg])
    path = np.stack((root, root * 0.6 + knee * 0.4, knee, knee * 0.3 + foot * 0.7, foot))
    paw = ball(
        fur,
        (build.leg * 1.2, build.leg * 1.7, build.leg * 0.8),
        (foot[0], foot[1] - build.leg * 0.6, build.leg * 0.8),
        rows=6,
        sides=9,
    )
    return [tube(fur, path, radius, sides=9), paw]


def quadruped(palette: Palette, kind: str | None = None, *, pose: str | None = None, fine: bool = False) -> Parts:
    """A four-legged animal; ``pose``: stand, lie, sit. Pets above all when no kind is given."""
    rng = palette.rng
    names = list(_BUILDS)
    kind = kind or names[int(rng.choice(len(names), p=[0.27, 0.23, 0.15, 0.09, 0.08, 0.06, 0.06, 0.06]))]
    build, fur = _BUILDS[kind], palette.fur()
    pose = pose or ("stand", "lie", "sit")[int(rng.choice(3, p=[0.5, 0.3, 0.2]))]
    size = rng.uniform(0.85, 1.15)
    full = build.shoulder
    if pose == "lie":
        build = replace(build, shoulder=build.girth * 1.05)
    parts = _body(palette, fur, build, fine)
    reach = build.length * 0.42
    chest = np.array([0.0, -build.length * 0.5, build.shoulder - build.girth * 0.3])
    if pose == "sit":
        turn = rotation(0, -0.75)
        parts = placed(parts, turn=turn)
        chest = turn @ chest
        lift = full * 0.75 - chest[2]
        parts, chest = placed(parts, (0, 0, lift)), chest + np.array([0, 0, lift])
    neck_pitch = build.neck_pitch + (0.25 if pose != "stand" else rng.normal(0, 0.25))
    along = np.array([0, -np.cos(neck_pitch), np.sin(neck_pitch)])
    poll = chest + along * (build.neck + build.head)
    parts.append(
        tube(
            fur,
            np.stack((chest - along * build.girth * 0.25, chest + along * build.neck * 0.4, poll)),
            np.array([build.girth * 0.42, build.girth * 0.3 + build.head * 0.2, build.head * 0.75]),
            sides=14,
        )
    )
    look = rotation(rng.normal(0, 0.55), rng.normal(0, 0.15))
    parts += placed(_head(palette, fur, build, fine), (0, float(poll[1]), float(poll[2])), turn=look)
    width = build.girth * 0.25
    for side in (-1, 1):
        front = np.array([side * width, -reach, build.shoulder - build.girth * 0.62])
        rear = np.array([side * width, reach, build.shoulder - build.girth * 0.55])
        if pose == "stand":
            parts += _leg(fur, front, -reach + rng.normal(0, 0.1) * full, build, hind=False)
            parts += _leg(fur, rear, reach + rng.normal(0, 0.1) * full, build, hind=True)
        elif pose == "sit":
            parts += _leg(
                fur,
                np.array([side * width, chest[1] + 0.1 * full, chest[2] - build.girth * 0.3]),
                chest[1] + 0.06 * full,
                build,
                hind=False,
            )
            parts += _folded(fur, side * width * 1.5, chest[1] + build.length * 0.75, build)
        else:
            parts += _folded(fur, side * width * 1.35, reach * 0.8, build)
            foot = np.array([side * width, -reach - build.shoulder * 0.7, build.leg])
            parts.append(
                tube(
                    fur,
                    np.stack((np.array([side * width, -reach * 0.7, build.girth * 0.3]), foot)),
                    np.array([build.leg * 1.8, build.leg]),
                    sides=9,
                )
            )
    root = (
        np.array([0, build.length * 0.53, build.shoulder - build.girth * 0.3])
        if pose != "sit"
        else np.array([0, chest[1] + build.length, build.leg * 1.5])
    )
    t = np.linspace(0, 1, 9)
    droop = rng.uniform(-0.9, 0.6) if pose == "stand" else -0.15
    tail = root + np.stack(
        (build.tail * 0.3 * np.sin(t * rng.uniform(0, 4)), build.tail * 0.8 * t, build.tail * droop * t * t), 1
    )
    tail[:, 2] = np.maximum(tail[:, 2], build.leg)
    parts.append(tube(fur, tail, np.linspace(build.leg, build.leg * 0.4, 9) * (1.2 + 40 * build.shaggy), sides=8))
    parts = placed(parts, scale=size)
    return placed(parts, (0, 0, -float(bounds(parts)[0][2])))


def _folded(fur: Material, x: float, y: float, build: _Build) -> Parts:
    """A hind leg folded beside the body of a sitting or lying animal."""
    return [
        ball(
            fur, (build.leg * 2.2, build.girth * 0.5, build.girth * 0.42), (x, y, build.girth * 0.42), rows=8, sides=12
        ),
        ball(
            fur,
            (build.leg * 1.2, build.leg * 3.2, build.leg),
            (x * 1.15, y - build.girth * 0.55, build.leg),
            rows=6,
            sides=9,
        ),
    ]


def bird(palette: Palette, *, length_m: float | None = None) -> Parts:
    """Perched: a body, head, beak, wings, tail and two thin legs."""
    rng = palette.rng
    s = length_m or float(rng.choice([0.14, 0.3, 0.7]))
    coat, second = palette.plain(palette.muted(), 0.8), palette.plain(palette.vivid(), 0.8)
    beak = palette.plain(hsv(rng.uniform(20, 50), 0.7, rng.uniform(0.15, 0.9)), 0.3)
    pitch = rng.uniform(0.2, 1.0)
    parts = [ball(coat, (s * 0.2, s * 0.36, s * 0.2), rows=12, sides=16)]
    parts += [ball(second, (s * 0.05, s * 0.32, s * 0.14), (x * s * 0.18, s * 0.06, s * 0.02)) for x in (-1, 1)]
    parts.append(
        tube(
            second,
            np.array([(0, s * 0.28, 0), (0, s * 0.5, -s * 0.02), (0, s * 0.75, -s * 0.04)]),
            np.array([s * 0.09, s * 0.08, s * 0.05]),
            sides=6,
        )
    )
    parts = placed(parts, turn=rotation(0, -pitch * 0.8))
    top = np.array([0, -s * 0.3 * np.cos(pitch), s * (0.12 + 0.35 * np.sin(pitch))])
    dark = palette.plain(np.full(3, 0.03), 0.1)
    head = [
        ball(coat, (s * 0.125, s * 0.14, s * 0.125), rows=10, sides=14),
        tube(
            beak,
            np.array([(0, -s * 0.1, 0), (0, -s * rng.uniform(0.2, 0.34), -s * 0.02)]),
            np.array([s * 0.045, s * 0.006]),
        ),
    ]
    head += [
        ball(dark, (s * 0.02, s * 0.02, s * 0.02), (x * s * 0.105, -s * 0.06, s * 0.03), rows=6, sides=8)
        for x in (-1, 1)
    ]
    parts += placed(head, tuple(top.tolist()), yaw_rad=rng.normal(0, 0.8))
    foot = s * 0.34
    for x in (-1, 1):
        parts.append(tube(beak, np.array([(x * s * 0.07, 0, -s * 0.1), (x * s * 0.07, 0, -foot)]), s * 0.015, sides=5))
        parts += [
            tube(
                beak, np.array([(x * s * 0.07, 0, -foot), (x * s * 0.07 + a * s, -s * 0.09, -foot)]), s * 0.01, sides=4
            )
            for a in (-0.05, 0, 0.05)
        ]
    return placed(parts, (0, 0, -float(bounds(parts)[0][2])))
