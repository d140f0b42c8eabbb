"""Ground as a height field: noise hills over a plain, meshed finely near the middle and coarsely far away.

Knows no plants and no houses; materials are chosen by the caller through a classification of the triangles.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int

from latentdepth.synth.noise import fractal, sampled
from latentdepth.synth.scene import Material, Mesh
from latentdepth.synth.shapes import Parts

Heights = Callable[[Float[np.ndarray, "..."], Float[np.ndarray, "..."]], Float[np.ndarray, "..."]]


@dataclass(frozen=True)
class Relief:
    """Sizes of the hills in metres."""

    hill_m: float
    """Height of the far hills."""
    hill_span_m: float
    """Distance over which they repeat."""
    bump_m: float
    """Height of nearby unevenness."""
    flat_m: float
    """Radius around the origin that stays flat."""


def hills(rng: np.random.Generator, relief: Relief, *, sharp: bool = False) -> Heights:
    """A height function of (x, y) in metres; ``sharp`` makes ridges of it, as of mountains and dunes."""
    large, small = fractal(rng, 256, 256, roughness=1.3 if sharp else 1.7), fractal(rng, 256, 256, roughness=1.1)
    offset = rng.random(4)

    def height(x: Float[np.ndarray, ...], y: Float[np.ndarray, ...]) -> Float[np.ndarray, ...]:
        far = sampled(large, x / relief.hill_span_m + offset[0], y / relief.hill_span_m + offset[1])
        far = 1.6 - 1.6 * np.abs(far) if sharp else far + 0.6
        near = sampled(small, x / 60 + offset[2], y / 60 + offset[3])
        rise = 1 - np.exp(-((np.maximum(np.hypot(x, y) - relief.flat_m, 0) / (3 * relief.flat_m + 60)) ** 2))
        return relief.hill_m * far * rise + relief.bump_m * near * np.clip(
            np.hypot(x, y) / relief.flat_m - 0.5, 0.15, 1
        )

    return height


def graded_axis(reach_m: float, count: int, *, finest_m: float = 0.3) -> Float[np.ndarray, " n"]:
    """Coordinates from -reach to reach whose steps grow from about ``finest_m`` with the distance."""
    t = np.linspace(-1, 1, count)
    steep = np.arcsinh(reach_m / (finest_m * count / 2) * 4)
    return reach_m * np.sinh(t * steep) / np.sinh(steep)


def ground(
    height: Heights,
    reach_m: float,
    materials: list[Material],
    kind_of: Callable[[Float[np.ndarray, "n 3"], Float[np.ndarray, " n"]], Int[np.ndarray, " n"]],
    *,
    count: int = 150,
) -> Parts:
    """The terrain's triangles sorted into materials: ``kind_of`` gets their middles and slopes (0 is level)."""
    axis = graded_axis(reach_m, count)
    x, y = np.meshgrid(axis, axis)
    points = np.stack((x, y, height(x, y)), -1).reshape(-1, 3)
    corner = (np.arange(count - 1)[:, None] * count + np.arange(count - 1)[None]).ravel()
    right, up, across = corner + 1, corner + count, corner + count + 1
    faces = np.concatenate((np.stack((corner, right, across), 1), np.stack((corner, across, up), 1)))
    a, b, c = (points[faces[:, k]] for k in range(3))
    normal = np.cross(b - a, c - a)
    slope = np.hypot(normal[:, 0], normal[:, 1]) / np.maximum(normal[:, 2], 1e-9)
    kind = np.clip(kind_of((a + b + c) / 3, slope), 0, len(materials) - 1)
    parts = []
    for k, material in enumerate(materials):
        chosen = faces[kind == k]
        if len(chosen):
            used, index = np.unique(chosen, return_inverse=True)
            uv = points[used, :2] / material.tile_m
            parts.append(Mesh(points[used], index.reshape(-1, 3), material, uv, True))
    return parts


def height_at(height: Heights, x: float = 0.0, y: float = 0.0) -> float:
    """Metres at one point, the origin unless told otherwise."""
    return float(height(np.array([x]), np.array([y]))[0])


def on_ground(height: Heights, xy: Float[np.ndarray, "n 2"], sink_m: float = 0.0) -> Float[np.ndarray, "n 3"]:
    """Points on the terrain."""
    return np.column_stack((xy, height(xy[:, 0], xy[:, 1]) - sink_m))
