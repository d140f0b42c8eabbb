"""Furniture as people leave it: things on its tops, people on its seats, chairs around tables. Knows no rooms."""

from __future__ import annotations

import numpy as np

from latentdepth.synth import clutter, flowers, furniture, people, storage
from latentdepth.synth.palette import Palette
from latentdepth.synth.pieces import Piece, Top
from latentdepth.synth.shapes import Parts, bounds, placed
from latentdepth.synth.stage import Footprint, footprint_of


def _any_thing(palette: Palette) -> Parts:
    """What lies about on tops: mostly a small thing, now and then a small pot plant."""
    thing = clutter.table_thing(palette)
    if palette.rng.random() < 0.05:
        thing = placed(flowers.pot_plant(palette), scale=float(palette.rng.uniform(0.3, 0.7)))
    return thing


def strewn(
    palette: Palette,
    top: Top,
    count: int,
    *,
    make: clutter.Maker = _any_thing,
    gap_m: float = 0.01,
    tries: int = 6,
) -> Parts:
    """Up to ``count`` things by ``make`` on a top, none inside another and none over the edge."""
    rng, parts = palette.rng, []
    taken: list[Footprint] = []
    for _ in range(count):
        thing = make(palette)
        low, high = bounds(thing)
        size = high - low
        span = np.array([top.x_m[1] - top.x_m[0], top.y_m[1] - top.y_m[0]]) - size[:2]
        if (span < 0).any() or size[2] > top.headroom_m:
            continue
        for _ in range(tries):
            x, y = np.array([top.x_m[0], top.y_m[0]]) + rng.random(2) * span - low[:2]
            there = placed(thing, (float(x), float(y), top.z_m - float(low[2])))
            spot = footprint_of(there)
            if not any(spot.overlaps(other, gap_m) for other in taken):
                parts += there
                taken.append(spot)
                break
    return parts


def lived_in(palette: Palette, piece: Piece, *, things: float, people_share: float = 0.0) -> Piece:
    """The piece with clutter (``things`` a square metre of top) and sitting people on a share of its seats."""
    rng, parts = palette.rng, list(piece.parts)
    for top in piece.tops:
        area = (top.x_m[1] - top.x_m[0]) * (top.y_m[1] - top.y_m[0])
        parts += strewn(palette, top, min(int(rng.poisson(things * max(area, 0.08))), 22))
    for x, y, z in piece.seats:
        if rng.random() < people_share:
            parts += placed(people.figure(palette, "sit", seat_m=z), (x, y, 0.0), yaw_rad=rng.normal(0, 0.2))
    return Piece(parts, piece.size_m)


def dining_set(palette: Palette, *, things: float, people_share: float) -> Piece:
    """A table with chairs on its sides, pushed in or pulled out."""
    rng = palette.rng
    table = palette.lent("table") or furniture.table(
        palette, (rng.uniform(0.8, 2.2), rng.uniform(0.7, 1.0), rng.uniform(0.71, 0.77))
    )
    parts = lived_in(palette, table, things=things).parts
    w, d, _ = table.size_m
    chair = furniture.chair(palette)
    places = [(x, side) for side in (-1, 1) for x in np.arange(-w / 2 + 0.35, w / 2 - 0.2, 0.62)]
    for x, side in places:
        if rng.random() < 0.15:
            continue
        out = d / 2 + rng.uniform(0.02, 0.35)
        seat = lived_in(palette, chair, things=0, people_share=people_share)
        # a chair's front looks to -y; on the far side (+y) it already faces the table
        parts += placed(
            seat.parts, (float(x), side * out, 0), yaw_rad=(0.0 if side > 0 else np.pi) + rng.normal(0, 0.15)
        )
    low, high = bounds(parts)
    return Piece(parts, (float(high[0] - low[0]), float(high[1] - low[1]), float(high[2])))


def desk_set(palette: Palette, *, things: float, people_share: float) -> Piece:
    """A desk against the wall with a chair before it."""
    rng = palette.rng
    desk = lived_in(palette, storage.desk(palette), things=things)
    seat = lived_in(palette, furniture.chair(palette), things=0, people_share=people_share)
    turned = placed(
        seat.parts,
        (rng.normal(0, 0.1), -desk.size_m[1] / 2 - rng.uniform(0.1, 0.4), 0),
        yaw_rad=np.pi + rng.normal(0, 0.5),
    )
    return Piece(desk.parts + turned, (desk.size_m[0], desk.size_m[1] + 0.9, 1.2))


def sofa_set(palette: Palette, *, things: float, people_share: float) -> Piece:
    """A sofa with a low table on a rug in front of it."""
    rng = palette.rng
    sofa = furniture.sofa(palette)
    seats = lived_in(palette, sofa, things=0, people_share=people_share)
    low = palette.lent("low table") or furniture.table(
        palette, (rng.uniform(0.6, 1.2), rng.uniform(0.45, 0.7), rng.uniform(0.34, 0.46))
    )
    reach = -sofa.size_m[1] / 2 - rng.uniform(0.35, 0.6) - low.size_m[1] / 2
    parts = seats.parts + placed(lived_in(palette, low, things=things).parts, (rng.normal(0, 0.1), reach, 0))
    if rng.random() < 0.6:
        parts += placed(furniture.rug(palette, sofa.size_m[0] * rng.uniform(0.8, 1.2), 1.6), (0, reach + 0.1, 0.001))
    return Piece(parts, (sofa.size_m[0], sofa.size_m[1] + 1.4, sofa.size_m[2]))
