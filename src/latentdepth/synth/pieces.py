"""An object that stands in a scene, with what it offers to others: tops for things, seats for people.

A piece stands on z = 0 about the origin and its front looks to -y. Knows no particular objects.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from latentdepth.synth.shapes import Parts, Point


@dataclass(frozen=True)
class Top:
    """A free horizontal rectangle that things can stand on."""

    x_m: tuple[float, float]
    y_m: tuple[float, float]
    z_m: float
    headroom_m: float = 2.0


@dataclass(frozen=True)
class Piece:
    """An object with its outer size and what it offers: tops for things, seats (middle of the seat) for people."""

    parts: Parts
    size_m: tuple[float, float, float]
    tops: list[Top] = field(default_factory=list)
    seats: list[Point] = field(default_factory=list)
