"""Cameras that a robot's hand carries before shelves, with the hand itself in the picture, and that hand.

A hand belongs to one camera and stands in that camera's axes: x right, y down, z ahead, metres.
"""

from __future__ import annotations

import numpy as np

from latentdepth.synth.palette import Palette
from latentdepth.synth.proposals import NewCamera
from latentdepth.synth.scene import Limits, Material, View
from latentdepth.synth.shapes import Parts, box, cylinder, placed, rotation, tube
from latentdepth.synth.shelves import Bay
from latentdepth.synth.stage import Stage
from latentdepth.synth.views import ahead, looking

LIMITS = Limits(nearest_m=0.07, median_m=(0.2, 10.0))
"""Of its views: the hand itself is in the picture."""
_WITH_HAND = 0.9
"""Share of the bays before which a hand is held. Each of them has one view: another would see the hand float."""
_LEAST = 8
"""Views that are looked for before a rack of whatever size."""


def before_bays(stage: Stage, bays: list[Bay], rng: np.random.Generator, camera: NewCamera, count: int) -> list[View]:
    """From 0.1 to 0.6 m before a bay into it, turned by any angle now and then; adds the hands to the stage.

    Two thirds of the views have a hand in them, fewer before small racks: what is at a tenth of a room's distance
    is seen at half its disparity by networks that meet it seldom.
    """
    found: list[View] = []
    order = [bays[int(k)] for k in rng.permutation(len(bays))]
    held = [bay for bay in order[1:] if rng.random() < _WITH_HAND][:count]
    for bay in held:
        view = _before(bay, rng, camera)
        if _clear(stage, view):
            found.append(view)
            pose = view.world_from_camera
            stage.parts += placed(hand(stage.palette), tuple(pose[:3, 3].tolist()), turn=pose[:3, :3])
    free = [bay for bay in order if bay not in held]
    wanted = min(max(round(1.3 * len(found)), _LEAST), count)
    for turn in range(3 * count):
        if len(found) == wanted:
            break
        view = _before(free[turn % len(free)], rng, camera)
        if _clear(stage, view):
            found.append(view)
    return found


def _clear(stage: Stage, view: View) -> bool:
    x, y, z = (float(v) for v in view.world_from_camera[:3, 3])
    return stage.clear_at(x, y, z, 0.03)


def _before(bay: Bay, rng: np.random.Generator, camera: NewCamera) -> View:
    w, d, h = bay.size_m
    outward = ahead(bay.outward_rad)
    across = np.array([-outward[1], outward[0], 0.0])
    up = np.array([0.0, 0.0, 1.0])
    mouth = np.array(bay.mouth)
    eye = mouth + outward * rng.uniform(0.1, 0.6) + across * rng.normal(0, 0.25) * w + up * rng.normal(0.05, 0.25) * h
    target = (
        mouth - outward * rng.uniform(0.3, 1.0) * d + across * rng.normal(0, 0.15) * w + up * rng.normal(0, 0.2) * h
    )
    rolls = (rng.normal(0, 5), rng.choice([-90, 90, 180]) + rng.normal(0, 8), rng.uniform(-180, 180))
    roll = rolls[int(rng.choice(3, p=[0.8, 0.12, 0.08]))]
    return looking(camera(42, 85), eye, target, roll_deg=float(roll))


def hand(palette: Palette) -> Parts:
    """Two fingers with pads, a suction tube, or a bracket at one edge; with a hose now and then."""
    rng, kind = palette.rng, float(palette.rng.random())
    parts = _fingers(palette) if kind < 0.6 else _sucker(palette) if kind < 0.85 else _bracket(palette)
    if rng.random() < 0.25:
        side = float(rng.choice([-1, 1]))
        path = np.array([(0.16, 0.05, 0.0), (0.15, 0.02, 0.12), (0.12, 0.05, 0.2), (0.07, 0.09, 0.24)])
        path = (path + rng.normal(0, 0.012, path.shape)) * (side, 1, 1)
        parts.append(tube(palette.dark(), path, rng.uniform(0.003, 0.008)))
    return placed(
        parts, turn=rotation(float(rng.choice([0, np.pi / 2, np.pi], p=[0.7, 0.15, 0.15])) + rng.normal(0, 0.1))
    )


def _fingers(palette: Palette) -> Parts:
    """Bars that reach ahead at both sides; with pads at their tips that cover them."""
    rng = palette.rng
    gap, drop, tip = rng.uniform(0.045, 0.12), rng.normal(0, 0.04), rng.uniform(0.1, 0.24)
    thick, wide = rng.uniform(0.012, 0.045), rng.uniform(0.025, 0.09)
    bar, pad = _hard(palette), palette.fabric() if rng.random() < 0.4 else _hard(palette)
    parts: Parts = []
    for side in (-1, 1):
        if rng.random() < 0.08:
            continue
        parts.append(box(bar, (thick, wide, tip - 0.03), (side * (gap + thick / 2), drop, 0.03)))
        if rng.random() < 0.6:
            long = tip * rng.uniform(0.25, 0.6)
            parts.append(box(pad, (thick * 1.4, wide * 1.3, long), (side * (gap + thick * 0.3), drop, tip - long)))
    return parts


def _sucker(palette: Palette) -> Parts:
    """A tube from one edge to a cup ahead."""
    rng = palette.rng
    tip, start = rng.uniform(0.13, 0.32), np.array([rng.normal(0, 0.03), 0.09, 0.04])
    end = np.array([rng.normal(0, 0.02), rng.uniform(0.01, 0.06), tip])
    radius = rng.uniform(0.006, 0.022)
    cup = cylinder(palette.dark(), radius * rng.uniform(1.2, 2.2), 0.02, (float(end[0]), float(end[1]), tip))
    return [tube(_hard(palette), np.stack((start, (start + end) / 2, end)), radius, sides=12), cup]


def _bracket(palette: Palette) -> Parts:
    """A plate with an arm, seen at one edge."""
    rng = palette.rng
    side, z = float(rng.choice([-1, 1])), rng.uniform(0.09, 0.2)
    plate = box(_hard(palette), (rng.uniform(0.04, 0.1), rng.uniform(0.08, 0.3), 0.006), (side * z * 0.7, 0, z))
    return [plate, box(_hard(palette), (0.02, 0.03, z), (side * z * 0.75, rng.normal(0, 0.02), 0.02))]


def _hard(palette: Palette) -> Material:
    kind = int(palette.rng.choice(3, p=[0.45, 0.25, 0.3]))
    return palette.dark() if kind == 0 else palette.plastic() if kind == 1 else palette.metal()
