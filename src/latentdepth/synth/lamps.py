"""Lamps that stand or hang. Knows no rooms."""

from __future__ import annotations

from latentdepth.synth.palette import Palette
from latentdepth.synth.pieces import Piece
from latentdepth.synth.shapes import Parts, Point, cylinder, lathe, rod


def floor_lamp(palette: Palette, *, lit: bool) -> Piece:
    """A thin stand with a shade; the shade glows when lit."""
    _rng, metal, h = palette.rng, palette.metal(), palette.rng.uniform(1.2, 1.75)
    parts = [
        cylinder(metal, 0.14, 0.02),
        rod(metal, (0, 0, 0), (0, 0, h - 0.12), 0.01),
        *lamp_shade(palette, (0, 0, h - 0.28), 0.2, lit=lit),
    ]
    return Piece(parts, (0.4, 0.4, h + 0.02), [])


def lamp_shade(palette: Palette, at: Point, radius_m: float, *, lit: bool) -> Parts:
    """An open cone of cloth or metal with a bulb inside."""
    rng = palette.rng
    top = radius_m * rng.uniform(0.4, 0.95)
    shade = (
        palette.lamp(rng.uniform(2, 5), warmth=0.7)
        if lit and rng.random() < 0.5
        else palette.plain(palette.off_white() if rng.random() < 0.5 else palette.muted())
    )
    parts = [lathe(shade, [(radius_m, 0.0), (top, radius_m * 1.3)], at, caps=False)]
    if lit and shade.look != "light":
        parts.append(
            lathe(
                palette.lamp(rng.uniform(15, 40)),
                [(0.0, 0), (0.04, 0.03), (0.04, 0.06), (0, 0.09)],
                (at[0], at[1], at[2] + radius_m * 0.3),
                sides=8,
                caps=False,
            )
        )
    return parts
