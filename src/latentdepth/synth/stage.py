"""A scene under construction: its palette, the parts put so far, the ground they cover, and what is worth looking at.

Keeps things from standing inside one another. Knows no particular scenes.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np

from latentdepth.synth.palette import Palette
from latentdepth.synth.scene import Mesh
from latentdepth.synth.shapes import Parts, Point, bounds, merged_as_one, placed


@dataclass(frozen=True)
class Footprint:
    """An upright box that something fills."""

    x_m: tuple[float, float]
    y_m: tuple[float, float]
    top_m: float
    bottom_m: float = 0.0

    def shifted(self, x: float, y: float) -> Footprint:
        """The same box elsewhere."""
        return replace(self, x_m=(self.x_m[0] + x, self.x_m[1] + x), y_m=(self.y_m[0] + y, self.y_m[1] + y))

    def overlaps(self, other: Footprint, gap_m: float = 0.0) -> bool:
        """Whether the two share a height and come nearer than ``gap_m`` along both other axes."""
        return bool(
            self.bottom_m < other.top_m
            and other.bottom_m < self.top_m
            and self.x_m[0] < other.x_m[1] + gap_m
            and other.x_m[0] < self.x_m[1] + gap_m
            and self.y_m[0] < other.y_m[1] + gap_m
            and other.y_m[0] < self.y_m[1] + gap_m
        )


class Stage:
    """Parts and footprints of a growing scene within ``x_m`` x ``y_m``."""

    def __init__(self, palette: Palette, x_m: tuple[float, float], y_m: tuple[float, float]) -> None:
        self.palette = palette
        self.rng = palette.rng
        self.x_m, self.y_m = x_m, y_m
        self.parts: Parts = []
        self.taken: list[Footprint] = []
        self.kept_clear: list[Footprint] = []
        """Ground before doors, where nothing may stand but a photographer may."""
        self.interests: list[Point] = []
        """Middle points of what a photographer would aim at."""
        self._counted, self._triangles = 0, 0
        self.dark_outside = False
        """Night outside the windows."""

    def has_room(self, most_triangles: int = 210_000) -> bool:
        """Whether the scene still has fewer triangles than that."""
        self._triangles += sum(len(part.faces) for part in self.parts[self._counted :])
        self._counted = len(self.parts)
        return self._triangles < most_triangles

    def free(self, spot: Footprint, gap_m: float = 0.0) -> bool:
        """Whether nothing stands there and the spot lies inside the stage."""
        inside = (
            spot.x_m[0] >= self.x_m[0]
            and spot.x_m[1] <= self.x_m[1]
            and spot.y_m[0] >= self.y_m[0]
            and spot.y_m[1] <= self.y_m[1]
        )
        return bool(inside) and not any(spot.overlaps(other, gap_m) for other in (*self.taken, *self.kept_clear))

    def clear_at(self, x: float, y: float, z: float, gap_m: float = 0.1) -> bool:
        """Whether a camera at that point is inside nothing."""
        return not any(
            f.x_m[0] - gap_m < x < f.x_m[1] + gap_m
            and f.y_m[0] - gap_m < y < f.y_m[1] + gap_m
            and f.bottom_m - gap_m < z < f.top_m + gap_m
            for f in self.taken
        )

    def put(
        self,
        parts: Parts,
        at: Point,
        yaw_rad: float,
        *,
        gap_m: float = 0.03,
        interest: bool = True,
        body: Footprint | None = None,
    ) -> bool:
        """Adds an object if its place is free, and says whether it was.

        ``body``: what it fills about its own origin, where that is less than all of it (a tree's trunk).
        """
        standing = placed(parts, at, yaw_rad=yaw_rad)
        spot = footprint_of(standing) if body is None else body.shifted(at[0], at[1])
        if not self.free(spot, gap_m):
            return False
        self.parts += standing
        self.taken.append(spot)
        if interest:
            low, high = bounds(standing)
            middle = (low + high) / 2
            self.interests.append((float(middle[0]), float(middle[1]), float(middle[2])))
        return True

    def put_somewhere(self, parts: Parts, *, z_m: float = 0.0, tries: int = 12, gap_m: float = 0.05) -> bool:
        """Adds an object at a random free place of the stage, turned anywhere."""
        for _ in range(tries):
            at = (float(self.rng.uniform(*self.x_m)), float(self.rng.uniform(*self.y_m)), z_m)
            if self.put(parts, at, float(self.rng.uniform(0, 2 * np.pi)), gap_m=gap_m):
                return True
        return False

    def put_somewhere_square(self, parts: Parts, *, tries: int = 12, gap_m: float = 0.25) -> bool:
        """As ``put_somewhere``, but in line with the walls."""
        for _ in range(tries):
            at = (float(self.rng.uniform(*self.x_m)), float(self.rng.uniform(*self.y_m)), 0.0)
            if self.put(parts, at, float(self.rng.integers(4)) * np.pi / 2, gap_m=gap_m):
                return True
        return False

    def clear_away(self, at: tuple[float, float], radius_m: float) -> None:
        """Takes away what reaches into a circle, but for floor, walls, ceiling, lamps and what hangs above 1.25 m."""
        kept, (x, y) = [], at
        for part in self.parts:
            low, high = part.vertices.min(0), part.vertices.max(0)
            reaches = (
                low[0] < x + radius_m and high[0] > x - radius_m and low[1] < y + radius_m and high[1] > y - radius_m
            )
            shell = high[0] - low[0] > 0.9 * self.x_m[1] or high[1] - low[1] > 0.9 * self.y_m[1]
            if not reaches or shell or low[2] > 1.25 or part.material.look == "light":
                kept.append(part)
        self.parts = kept
        circle = Footprint((x - radius_m, x + radius_m), (y - radius_m, y + radius_m), 1.25)
        self.taken = [f for f in self.taken if not f.overlaps(circle)]


def footprint_of(parts: Parts) -> Footprint:
    """The box around parts."""
    low, high = bounds(parts)
    return Footprint((float(low[0]), float(high[0])), (float(low[1]), float(high[1])), float(high[2]), float(low[2]))


def merged(parts: Parts) -> Parts:
    """One mesh for each material and shading, in float32, without triangles that have no area."""
    groups: dict[tuple[int, bool], Parts] = {}
    for part in parts:
        groups.setdefault((id(part.material), part.smooth), []).append(part)
    return [_tidied(merged_as_one(group)) for group in groups.values()]


def _tidied(mesh: Mesh) -> Mesh:
    points = mesh.vertices.astype(np.float32)
    a, b, c = (points[mesh.faces[:, k]].astype(np.float64) for k in range(3))
    area = np.linalg.norm(np.cross(b - a, c - a), axis=1)
    kept = mesh.faces[area > 1e-12].astype(np.int32)
    uv = None if mesh.uv is None else mesh.uv.astype(np.float32)
    return Mesh(points, kept, mesh.material, uv, mesh.smooth)


def spread_along(rng: np.random.Generator, start_m: float, end_m: float, gaps_m: tuple[float, float]) -> list[float]:
    """Positions from start to end, each a random gap after the last."""
    places = [start_m + float(rng.uniform(0, gaps_m[1]))]
    while places[-1] < end_m:
        places.append(places[-1] + float(rng.uniform(*gaps_m)))
    return [a for a, _ in pairwise(places)]
