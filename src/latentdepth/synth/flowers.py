"""Flowers and pot plants. A plant grows from the origin along +z. Knows no ground."""

from __future__ import annotations

from typing import Literal

import numpy as np

from latentdepth.synth.colours import hsv
from latentdepth.synth.palette import Palette
from latentdepth.synth.plants import random_turns
from latentdepth.synth.scene import Material, Mesh
from latentdepth.synth.shapes import Parts, ball, lathe, merged_as_one, placed, scattered, sheet, tube


def flower(
    palette: Palette, *, kind: Literal["daisy", "tulip", "rose"] | None = None, stem_m: float | None = None
) -> Parts:
    """A bloom of 3 to 12 cm on a leafy stem."""
    rng = palette.rng
    kinds: tuple[Literal["daisy", "tulip", "rose"], ...] = ("daisy", "tulip", "rose")
    kind = kind or kinds[int(rng.integers(3))]
    height, radius = stem_m or rng.uniform(0.12, 0.5), rng.uniform(0.018, 0.06)
    hue = float(rng.choice([345, 0, 25, 50, 55, 285, 225, 320]))
    petal = palette.plain(hsv(hue + rng.normal(0, 6), rng.choice([0.05, 0.45, 0.8]), rng.uniform(0.65, 0.95)), 0.6)
    green = palette.plain(palette.green(), 0.6)
    t = np.linspace(0, 1, 7)
    bend = rng.normal(0, 0.12, 2) * height
    stem = np.stack((bend[0] * t**2, bend[1] * t**2, height * t), 1)
    parts = [tube(green, stem, 0.0022 + radius * 0.02, sides=6)]
    leaves = scattered(
        _petal(green, height * 0.4, height * 0.1, 0.5),
        stem[rng.integers(1, 4, 3)],
        random_turns(rng, 3, upright=0.8),
        np.ones(3),
    )
    layers = {
        "daisy": ((int(rng.integers(8, 21)), 1.0, 0.12, 0.36),),
        "tulip": ((3, 0.75, 1.25, 0.9), (3, 0.7, 1.3, 0.9)),
        "rose": ((6, 1.0, 0.35, 0.8), (6, 0.8, 0.75, 0.8), (5, 0.55, 1.15, 0.8), (4, 0.35, 1.35, 0.8)),
    }[kind]
    bloom: Parts = []
    for count, reach, lift, wide in layers:
        for k in range(count):
            yaw = 2 * np.pi * k / count + reach * 3 + rng.normal(0, 0.06)
            cy, sy, cl, sl = np.cos(yaw), np.sin(yaw), np.cos(lift), np.sin(lift)
            turn = np.array([[cy, -sy, 0], [sy, cy, 0], [0, 0, 1]]) @ np.array([[1, 0, 0], [0, cl, -sl], [0, sl, cl]])
            bloom += placed([_petal(petal, radius * reach * 1.1, radius * reach * wide * 1.1, 0.35)], turn=turn)
    if kind == "daisy":
        bloom.append(
            ball(
                palette.plain(hsv(42, 0.75, rng.uniform(0.25, 0.85)), 0.9),
                (radius * 0.33, radius * 0.33, radius * 0.16),
                (0, 0, radius * 0.04),
                rows=7,
                sides=12,
            )
        )
    tilt = rng.uniform(0, 0.9)
    turn = np.array([[1, 0, 0], [0, np.cos(tilt), -np.sin(tilt)], [0, np.sin(tilt), np.cos(tilt)]])
    return [
        *parts,
        leaves,
        *placed(
            [merged_as_one(bloom[: len(bloom) - (kind == "daisy")]), *bloom[len(bloom) - (kind == "daisy") :]],
            tuple(stem[-1].tolist()),
            turn=turn,
        ),
    ]


def _petal(material: Material, length: float, width: float, hollow: float) -> Mesh:
    """A rounded, hollow sheet along +y."""
    v, u = np.linspace(0, 1, 7)[:, None], np.linspace(-1, 1, 5)[None]
    wide = np.sin(np.pi * np.clip(v * 0.86 + 0.06, 0, 1)) ** 0.7 * width / 2
    z = hollow * width * 0.5 * u**2 * np.sin(np.pi * v * 0.8) - 0.12 * length * v**3
    return sheet(material, np.stack((u * wide, np.broadcast_to(v * length, (7, 5)), z + 0 * u), -1))


def pot_plant(palette: Palette) -> Parts:
    """A pot with broad leaves, a palm-like tuft or flowers, 0.2 to 1.4 m."""
    if lent := palette.lent("plant"):
        return lent.parts
    rng = palette.rng
    size = float(np.exp(rng.uniform(np.log(0.2), np.log(1.4))))
    r, h = size * rng.uniform(0.13, 0.2) + 0.02, size * rng.uniform(0.2, 0.3) + 0.02
    clay = palette.plain(hsv(16, 0.55, 0.6), 0.9) if rng.random() < 0.4 else palette.ceramic()
    parts = [
        lathe(clay, [(r * 0.7, 0), (r, h), (r * 0.93, h), (r * 0.9, h * 0.88)], sides=18),
        lathe(
            palette.plain(np.array([0.16, 0.11, 0.08]), 0.95),
            [(0, h * 0.86), (r * 0.92, h * 0.87)],
            sides=18,
            caps=False,
        ),
    ]
    if rng.random() < 0.25:
        for _ in range(int(rng.integers(3, 9))):
            parts += placed(
                flower(palette, stem_m=size * rng.uniform(0.4, 0.7)),
                (rng.normal(0, r * 0.3), rng.normal(0, r * 0.3), h * 0.86),
                yaw_rad=rng.uniform(0, 6),
            )
        return parts
    green, count = palette.leaves(), int(rng.integers(10, 60))
    up = rng.uniform(0.3, 1.0)
    stem_tip = np.column_stack(
        (rng.normal(0, 0.22 * size, (count, 2)), h + (size - h) * rng.uniform(0.25, 1, count) * up)
    )
    base = np.array([0, 0, h * 0.86])
    parts += [
        tube(
            green, np.stack((base, base * 0.45 + tip * 0.55 + [0, 0, 0.06 * size], tip)), 0.004 * size + 0.001, sides=4
        )
        for tip in stem_tip[:30]
    ]
    size_of_leaf = size * rng.uniform(0.12, 0.34)
    one = _petal(green, size_of_leaf, size_of_leaf * rng.uniform(0.2, 0.7), 0.35)
    turns = random_turns(rng, count, upright=0.45)
    parts.append(scattered(one, stem_tip, turns, rng.uniform(0.6, 1.3, count), uv_shift=rng.random((count, 2))))
    return parts
