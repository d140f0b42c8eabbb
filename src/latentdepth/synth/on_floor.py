"""Cameras of robots that drive over the floor of a hall, or hover above it."""

from __future__ import annotations

import numpy as np

from latentdepth.synth.proposals import NewCamera, somewhere_clear
from latentdepth.synth.scene import View
from latentdepth.synth.stage import Stage
from latentdepth.synth.views import ahead, looking

_HOVERING = 0.2
"""Share of the cameras that fly."""
_BESIDE = 0.4
"""Share of the others that stand before a thing, which then takes one side of the picture."""


def over_floor(stage: Stage, height: float, rng: np.random.Generator, camera: NewCamera, count: int) -> list[View]:
    """A hand's breadth to a table's height above the floor, level or a little down, mostly the long way.

    Floor then fills half of the picture and more, and reaches from a step ahead to a dozen metres and beyond.
    """
    found: list[View] = []
    for _ in range(4 * count):
        if len(found) == count:
            break
        flies = rng.random() < _HOVERING
        z = float(rng.uniform(1.0, height - 0.4) if flies else rng.uniform(0.15, 0.85))
        stands = _beside(stage, rng, z) if not flies and rng.random() < _BESIDE else _in_the_open(stage, rng, z)
        if stands is None:
            continue
        (x, y), yaw = stands
        rise = rng.uniform(-np.pi / 2, 0.1) if flies else np.radians(np.clip(rng.normal(-10, 9), -40, 8))
        eye = np.array([x, y, z])
        roll = float(rng.normal(0, 8 if flies else 3))
        found.append(looking(camera(40, 85), eye, eye + ahead(yaw, rise), roll_deg=roll, heading_rad=yaw))
    return found


def _in_the_open(stage: Stage, rng: np.random.Generator, z: float) -> tuple[tuple[float, float], float] | None:
    """A point of the floor, and of three directions the one with the longest way to the wall."""
    spot = somewhere_clear(stage, rng, z)
    return spot and (spot, max(rng.uniform(0, 2 * np.pi, 3).tolist(), key=lambda yaw: _reach_m(stage, spot, yaw)))


def _beside(stage: Stage, rng: np.random.Generator, z: float) -> tuple[tuple[float, float], float] | None:
    """A step away from a thing, which stands in the picture anywhere from one edge to the other."""
    if not stage.interests:
        return None
    thing = stage.interests[int(rng.integers(len(stage.interests)))]
    away, reach = float(rng.uniform(0, 2 * np.pi)), float(rng.uniform(0.6, 1.6))
    x, y = thing[0] + reach * np.cos(away), thing[1] + reach * np.sin(away)
    (x0, x1), (y0, y1) = stage.x_m, stage.y_m
    if not (x0 + 0.25 < x < x1 - 0.25 and y0 + 0.25 < y < y1 - 0.25 and stage.clear_at(x, y, z)):
        return None
    return (x, y), away + np.pi + float(rng.uniform(-0.6, 0.6))


def _reach_m(stage: Stage, spot: tuple[float, float], yaw_rad: float) -> float:
    """From a point of the floor to the wall."""
    return min(
        ((high if part > 0 else low) - at) / part
        for at, part, (low, high) in zip(spot, ahead(yaw_rad)[:2].tolist(), (stage.x_m, stage.y_m), strict=True)
        if abs(part) > 1e-6
    )
