"""Walls with openings, and what fills the openings: windows, doors, curtains, blinds, skirting, pictures, mirrors.

A wall stands in the local x-z plane from x = 0 to its length, seen from y < 0 (the room is at negative y); ``placed``
puts it in its place. Knows no rooms.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import Literal

import numpy as np

from latentdepth.synth.palette import Palette
from latentdepth.synth.scene import Material
from latentdepth.synth.shapes import Parts, Point, box, merged_as_one, picture, quad, rod, sheet


@dataclass(frozen=True)
class Opening:
    """A hole in a wall, metres from the wall's left end and from the floor."""

    left_m: float
    right_m: float
    bottom_m: float
    top_m: float


def pierced_wall(
    material: Material, length_m: float, height_m: float, openings: list[Opening], *, thickness_m: float = 0.2
) -> Parts:
    """The wall's face without the openings, and their reveals (``thickness_m`` deep, towards +y)."""
    xs = sorted({0.0, length_m, *(x for o in openings for x in (o.left_m, o.right_m))})
    zs = sorted({0.0, height_m, *(z for o in openings for z in (o.bottom_m, o.top_m))})
    faces = []
    for x0, x1 in itertools.pairwise(xs):
        for z0, z1 in itertools.pairwise(zs):
            x, z = (x0 + x1) / 2, (z0 + z1) / 2
            if any(o.left_m < x < o.right_m and o.bottom_m < z < o.top_m for o in openings):
                continue
            face = quad(material, (x0, 0, z0), (x1 - x0, 0, 0), (0, 0, z1 - z0))
            shift = np.array([x0, z0]) / material.tile_m
            faces.append(type(face)(face.vertices, face.faces, material, None if face.uv is None else face.uv + shift))
    for o in openings:
        w, h, t = o.right_m - o.left_m, o.top_m - o.bottom_m, thickness_m
        faces.append(quad(material, (o.left_m, 0, o.bottom_m), (0, t, 0), (0, 0, h)))
        faces.append(quad(material, (o.right_m, t, o.bottom_m), (0, -t, 0), (0, 0, h)))
        faces.append(quad(material, (o.left_m, t, o.top_m), (w, 0, 0), (0, -t, 0)))
        faces.append(quad(material, (o.left_m, 0, o.bottom_m), (w, 0, 0), (0, t, 0)))
    return [merged_as_one(faces)] if faces else []


def window(
    palette: Palette, opening: Opening, *, depth_m: float = 0.12, fill: Literal["open", "pane"] | Material = "open"
) -> Parts:
    """Frame, bars and sill; ``fill``: nothing, a dark pane as seen from outside, or a given material (daylight)."""
    rng = palette.rng
    frame = palette.plain(palette.off_white()) if rng.random() < 0.7 else palette.wood()
    w, h = opening.right_m - opening.left_m, opening.top_m - opening.bottom_m
    bar, x0, z0 = 0.04 + 0.02 * rng.random(), opening.left_m, opening.bottom_m
    columns, rows = int(rng.integers(1, 2 + max(1, round(w / 0.7)))), int(rng.integers(1, 4))
    parts = [
        box(frame, (bar, 0.06, h), (x0 + (w - bar) * k / columns + bar / 2, depth_m, z0)) for k in range(columns + 1)
    ]
    thick = [bar if k in (0, rows) else bar * 0.6 for k in range(rows + 1)]
    parts += [box(frame, (w, 0.05, t), (x0 + w / 2, depth_m, z0 + (h - t) * k / rows)) for k, t in enumerate(thick)]
    parts.append(box(frame, (w + 0.1, 0.22, 0.03), (x0 + w / 2, -0.01 if fill != "pane" else -0.04, z0 - 0.03)))
    if fill != "open":
        parts.append(quad(palette.pane() if fill == "pane" else fill, (x0, depth_m, z0), (w, 0, 0), (0, 0, h)))
    return parts


def curtains(palette: Palette, opening: Opening, height_m: float) -> Parts:
    """Two folded cloths beside a window on a rod, or one half drawn across it."""
    rng = palette.rng
    cloth, rail_z = palette.fabric(), min(opening.top_m + 0.15, height_m - 0.05)
    bottom = rng.choice([0.03, opening.bottom_m - 0.1]) if opening.bottom_m > 0.3 else 0.03
    w = opening.right_m - opening.left_m
    parts = [rod(palette.metal(), (opening.left_m - 0.3, -0.09, rail_z), (opening.right_m + 0.3, -0.09, rail_z), 0.012)]
    for side in (0, 1):
        width = rng.uniform(0.15, 0.3) * w if rng.random() < 0.75 else rng.uniform(0.3, 0.5) * w
        start = opening.left_m - 0.25 if side == 0 else opening.right_m + 0.25 - width
        x, z = np.linspace(0, width, int(width * 60) + 12), np.linspace(bottom, rail_z, 6)
        fold = np.sin(x * 2 * np.pi / rng.uniform(0.07, 0.13) + 0.8 * np.sin(x * 9)) * 0.03
        spread = 1 - 0.12 * (rail_z - z)[:, None] / rail_z * (1 - 2 * side) * 0.5
        grid = np.stack(np.broadcast_arrays(start + x[None] * spread, -0.09 + fold[None], z[:, None]), -1)
        parts.append(sheet(cloth, grid))
    return parts


def blind(palette: Palette, opening: Opening) -> Parts:
    """Slats over the upper part of a window."""
    rng = palette.rng
    slat = palette.plain(palette.off_white())
    w, drop = opening.right_m - opening.left_m, (opening.top_m - opening.bottom_m) * rng.uniform(0.2, 0.8)
    count, x = max(int(drop / 0.045), 1), (opening.left_m + opening.right_m) / 2
    return [box(slat, (w, 0.03, 0.004), (x, 0.03, opening.top_m - 0.03 - k * 0.045)) for k in range(count)]


def door(palette: Palette, opening: Opening) -> Parts:
    """A closed leaf with panels, a handle and an architrave."""
    rng = palette.rng
    leaf = palette.furniture()
    trim = leaf if rng.random() < 0.5 else palette.plain(palette.off_white())
    x0, w, h = opening.left_m, opening.right_m - opening.left_m, opening.top_m - opening.bottom_m
    z0, middle = opening.bottom_m, (opening.left_m + opening.right_m) / 2
    parts = [box(leaf, (w, 0.05, h), (middle, 0.06, z0))]
    rows, cols = int(rng.integers(0, 4)), int(rng.integers(1, 3))
    for i in range(rows):
        for j in range(cols):
            pw, ph = w / cols * 0.7, h / rows * 0.78
            parts.append(
                box(leaf, (pw, 0.03, ph), (x0 + w * (j + 0.5) / cols, 0.035, z0 + h * (i + 0.5) / rows - ph / 2))
            )
    for side in (x0 - 0.03, opening.right_m + 0.03):
        parts.append(box(trim, (0.07, 0.03, h + 0.06), (side, -0.005, z0)))
    parts.append(box(trim, (w + 0.13, 0.03, 0.07), (middle, -0.005, z0 + h)))
    handle_x = x0 + w * (0.08 if rng.random() < 0.5 else 0.92)
    grip: Point = (handle_x, -0.02, z0 + 1.03)
    parts.append(rod(palette.metal(), (handle_x, 0.04, z0 + 1.03), grip, 0.01))
    parts.append(rod(palette.metal(), grip, (handle_x + 0.1 * np.sign(middle - handle_x), -0.02, z0 + 1.03), 0.009))
    return parts


def hung(palette: Palette, centre_x_m: float, centre_z_m: float, size_m: tuple[float, float], look: str) -> Parts:
    """A framed picture, an unframed poster or a mirror on the wall; ``look``: artwork, paper, mirror, screen."""
    rng, (w, h) = palette.rng, size_m
    left, bottom = centre_x_m - w / 2, centre_z_m - h / 2
    if look == "paper":
        return [
            picture(palette.paper() if w < 0.5 else palette.artwork(), (left, -0.004, bottom), (w, 0, 0), (0, 0, h))
        ]
    frame = palette.dark() if look == "screen" or rng.random() < 0.4 else palette.furniture()
    rim = 0.015 if look == "screen" else rng.uniform(0.015, 0.06)
    inside = {"mirror": Material(look="mirror"), "screen": palette.screen()}.get(look) or palette.artwork()
    parts = [box(frame, (w, 0.03, rim), (centre_x_m, -0.016, z)) for z in (bottom, bottom + h - rim)]
    parts += [box(frame, (rim, 0.03, h), (x, -0.016, bottom)) for x in (left + rim / 2, left + w - rim / 2)]
    mount = rng.uniform(0, 0.12) * min(w, h) if look == "artwork" else 0.0
    if mount > 0.02:
        parts.append(quad(palette.plain(palette.off_white()), (left, -0.011, bottom), (w, 0, 0), (0, 0, h)))
    inset = rim + mount
    parts.append(picture(inside, (left + inset, -0.014, bottom + inset), (w - 2 * inset, 0, 0), (0, 0, h - 2 * inset)))
    return parts


def skirting(palette: Palette, length_m: float, openings: list[Opening]) -> Parts:
    """A board along the foot of the wall, broken by doors."""
    board = palette.plain(palette.off_white()) if palette.rng.random() < 0.6 else palette.wood()
    cuts = sorted((o.left_m, o.right_m) for o in openings if o.bottom_m < 0.1)
    ends = [0.0, *(x for cut in cuts for x in cut), length_m]
    height = palette.rng.uniform(0.05, 0.14)
    spans = zip(ends[::2], ends[1::2], strict=True)
    return [box(board, (b - a, 0.024, height), ((a + b) / 2, -0.012, 0.0)) for a, b in spans if b - a > 0.02]
