"""Crockery, bottles, cutlery, vases and fruit. Each stands on z = 0 about the origin, in true size. Knows no tables."""

from __future__ import annotations

import numpy as np

from latentdepth.synth.colours import hsv
from latentdepth.synth.palette import Palette
from latentdepth.synth.scene import Material, Mesh
from latentdepth.synth.shapes import Parts, ball, cylinder, lathe, placed, rod, tube


def cup(palette: Palette) -> Parts:
    """A mug, tea cup, beaker or wine glass, sometimes with something inside."""
    rng, body = palette.rng, palette.ceramic() if palette.rng.random() < 0.7 else palette.plastic()
    r, h, kind = rng.uniform(0.03, 0.05), rng.uniform(0.07, 0.13), int(rng.integers(4))
    if kind == 3:
        clear = Material(colour=(0.95, 0.96, 0.96), look="glass")
        return [
            lathe(
                clear,
                [
                    (r, 0),
                    (r, 0.004),
                    (0.005, 0.01),
                    (0.005, h * 0.7),
                    (r * 0.8, h * 0.9),
                    (r, h * 1.3),
                    (r * 0.8, h * 1.7),
                ],
                caps=False,
            )
        ]
    foot = r * rng.uniform(0.6, 1.0)
    parts = [
        lathe(body, [(foot, 0), (r * 0.97, h * 0.4), (r, h), (r - 0.004, h), (r * 0.93, h * 0.4), (foot * 0.8, 0.006)])
    ]
    if rng.random() < 0.6:
        drink = palette.plain(hsv(rng.uniform(15, 45), 0.7, rng.uniform(0.08, 0.6)), 0.1)
        parts.append(cylinder(drink, r * 0.94, 0.001, (0, 0, h * rng.uniform(0.6, 0.9))))
    if kind < 2:
        angle = np.linspace(-1.35, 1.35, 9)
        loop = np.stack((r * 0.9 + 0.55 * h * 0.5 * np.cos(angle), np.zeros(9), h * 0.5 + h * 0.36 * np.sin(angle)), 1)
        parts.append(tube(body, loop, 0.005))
    return placed(parts, yaw_rad=rng.uniform(0, 2 * np.pi))


def plate(palette: Palette) -> Parts:
    """A plate or bowl, sometimes with food."""
    rng, body = palette.rng, palette.ceramic()
    r, h = rng.uniform(0.08, 0.14), rng.choice([0.018, 0.03, 0.07])
    parts = [
        lathe(
            body,
            [(r * 0.55, 0), (r * 0.65, h * 0.3), (r, h), (r * 0.99, h + 0.004), (r * 0.62, h * 0.3 + 0.005)],
            sides=28,
        )
    ]
    if rng.random() < 0.55:
        for _ in range(int(rng.integers(2, 8))):
            food = palette.plain(hsv(rng.normal(38, 22), rng.uniform(0.3, 0.85), rng.uniform(0.2, 0.9)), 0.4)
            size = rng.uniform(0.012, 0.04)
            x, y = rng.normal(0, r * 0.25, 2)
            parts.append(
                ball(
                    food, (size, size * rng.uniform(0.5, 1), size * 0.6), (x, y, h * 0.3 + size * 0.4), rows=6, sides=9
                )
            )
    return parts


def bottle(palette: Palette) -> Parts:
    """Wine and water bottles, jars, cans, spray cans with a label."""
    rng = palette.rng
    h, r = rng.uniform(0.1, 0.32), rng.uniform(0.025, 0.045)
    colours = (
        hsv(rng.normal(110, 30), 0.6, 0.2),
        hsv(25, 0.7, 0.2),
        palette.vivid(),
        palette.off_white(),
        hsv(205, 0.12, 0.7),
    )
    body = palette.plain(colours[int(rng.integers(5))], 0.08)
    kind = int(rng.integers(3))
    neck = r * rng.uniform(0.3, 0.5)
    outline = [
        [(r, 0), (r, h * 0.6), (neck, h * 0.78), (neck, h)],
        [(r * 0.92, 0), (r, 0.006), (r, h * 0.5 - 0.006), (r * 0.92, h * 0.5)],
        [(r * 0.9, 0), (r, h * 0.1), (r * 0.8, h * 0.35), (r, h * 0.6), (neck * 1.3, h * 0.8), (neck * 1.3, h * 0.9)],
    ][kind]
    parts = [lathe(body, outline)]
    if rng.random() < 0.7:
        band = lathe(palette.label(), [(r * 1.01, h * 0.12), (r * 1.01, h * (0.4 if kind == 1 else 0.5))], caps=False)
        angle = np.arctan2(band.vertices[:, 1], band.vertices[:, 0]) / (2 * np.pi)
        uv = np.column_stack((angle * 2, (band.vertices[:, 2] - h * 0.12) / (h * 0.38)))
        parts.append(Mesh(band.vertices, band.faces, band.material, uv, True))
    if kind != 1:
        parts.append(cylinder(palette.plastic(), neck * 1.4, 0.02, (0, 0, outline[-1][1] - 0.005)))
    return placed(parts, yaw_rad=rng.uniform(0, 6))


def fruit(palette: Palette) -> Parts:
    """Apples, oranges, pears, bananas, tomatoes: a few or a heap."""
    rng, parts = palette.rng, []
    hue, flat = float(rng.choice([8, 30, 48, 85, 355])), rng.uniform(0.85, 1.25)
    for k in range(int(rng.choice([1, 2, 4]))):
        skin, r = (
            palette.plain(hsv(hue + rng.normal(0, 6), rng.uniform(0.6, 0.88), rng.uniform(0.5, 0.85)), 0.35),
            rng.uniform(0.028, 0.045),
        )
        x, y = (r * 2.1 * np.array([np.cos(k * 1.6), np.sin(k * 1.6)])) if k else (0.0, 0.0)
        profile = [
            (0.12 * r, 0.12 * r),
            (0.55 * r, 0),
            (0.95 * r, 0.6 * r),
            (r, r * flat),
            (0.7 * r, 1.7 * r * flat),
            (0.3 * r, 1.9 * r * flat),
            (0.04 * r, 1.78 * r * flat),
        ]
        parts += [
            lathe(skin, profile, (x, y, 0)),
            rod(
                palette.plain(np.array([0.25, 0.17, 0.1])),
                (x, y, r * 1.7 * flat),
                (x + 0.006, y, r * 2.15 * flat),
                0.0016,
            ),
        ]
    return parts


def cutlery(palette: Palette) -> Parts:
    """Knife, fork, spoon, pen or screwdriver: long and thin."""
    rng, parts = palette.rng, []
    steel = palette.metal()
    for k in range(int(rng.integers(1, 4))):
        length = rng.uniform(0.13, 0.22)
        handle = steel if rng.random() < 0.6 else palette.plastic()
        one = [
            rod(handle, (0, -length / 2, 0.005), (0, 0, 0.005), 0.005),
            rod(steel, (0, 0, 0.004), (0, length * 0.3, 0.004), 0.003),
            ball(steel, (0.012, 0.03, 0.004), (0, length * 0.42, 0.005), rows=6, sides=10),
        ]
        parts += placed(one, (k * 0.03, 0, 0), yaw_rad=rng.normal(0, 0.15))
    return placed(parts, yaw_rad=rng.uniform(0, 6))


def vase(palette: Palette) -> Parts:
    """A turned body of random outline: vases, candlesticks, jugs, ornaments."""
    rng, h = palette.rng, palette.rng.uniform(0.1, 0.4)
    z = np.linspace(0, 1, 12)
    r = 0.5 + 0.5 * np.sin(z * rng.uniform(2, 7) + rng.uniform(0, 6)) * rng.uniform(0.2, 0.9)
    r = (0.25 + r) * h * rng.uniform(0.12, 0.34)
    body = palette.ceramic() if rng.random() < 0.7 else palette.wood()
    return [lathe(body, list(zip(r, z * h, strict=True)), sides=24)]
