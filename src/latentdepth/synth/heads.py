"""Human heads: skull, face, ears, hair, hats, glasses, beards.

A head faces -y; its origin is where it sits on the neck, in metres of a grown-up. Knows no bodies.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Bool, Float

from latentdepth.synth.noise import ripple
from latentdepth.synth.palette import Palette
from latentdepth.synth.scene import Material, Mesh
from latentdepth.synth.shapes import Parts, ball, lathe, rod, sheet, tube

_CENTRE = np.array([0.0, -0.012, 0.125])
_HALF = np.array([0.076, 0.096, 0.118])


def _skull(rows: int, sides: int) -> Float[np.ndarray, "r c 3"]:
    """Points of the head about its centre, rows from the chin up, columns anticlockwise from +x."""
    latitude, angle = np.linspace(-np.pi / 2, np.pi / 2, rows)[:, None], np.linspace(0, 2 * np.pi, sides + 1)[None]
    x, y, z = np.cos(latitude) * np.cos(angle), np.cos(latitude) * np.sin(angle), np.sin(latitude) + 0 * angle
    front, low = np.clip(-y, 0, 1), np.clip(-z, 0, 1)
    # the jaw narrows and comes forward, the back of the skull bulges up
    x = x * (1 - 0.3 * low**1.5)
    y = y * (1 - 0.12 * low) + 0.22 * low * np.clip(y, 0, 1) * -1 - 0.1 * low * front
    # eye sockets, and the brow above them
    socket = np.exp(-(((np.abs(x) - 0.42) / 0.22) ** 2) - ((z - 0.02) / 0.11) ** 2) * front
    brow = np.exp(-(((z - 0.22) / 0.1) ** 2)) * front**3
    cheek = np.exp(-(((np.abs(x) - 0.5) / 0.25) ** 2) - ((z + 0.3) / 0.2) ** 2) * front
    y = y + 0.09 * socket - 0.03 * brow - 0.03 * cheek
    return np.stack((x, y, z), -1) * _HALF


def _patch(material: Material, grid: Float[np.ndarray, "r c 3"], keep: Bool[np.ndarray, "r c"]) -> Mesh:
    """The cells of a grid whose corners are all kept."""
    whole = sheet(material, grid)
    return Mesh(whole.vertices, whole.faces[keep.ravel()[whole.faces].all(1)], material, whole.uv, True)


def head(palette: Palette, skin: Material, *, fine: bool = False) -> Parts:
    """Skull with nose, mouth, eyes, ears, and hair or a hat; ``fine`` has about ten times the triangles."""
    rng = palette.rng
    rows, sides = (40, 48) if fine else (14, 18)
    parts = [sheet(skin, _skull(rows, sides) + _CENTRE)]
    parts += _face(palette, skin, fine)
    hair = palette.plain(palette.hair_colour(), 0.7)
    if rng.random() < 0.12:
        parts += _hat(palette)
    elif rng.random() < 0.95:
        parts += _hair(rng, hair, rows + 6, sides + 6, long=bool(rng.random() < 0.4))
    if rng.random() < 0.12:
        grid = _skull(rows, sides)
        unit = grid / _HALF
        keep = (unit[..., 2] < -0.28) & (unit[..., 1] < 0.1) & ~((unit[..., 2] > -0.52) & (np.abs(unit[..., 0]) < 0.3))
        parts.append(_patch(hair, grid * (1.07 + 0.02 * ripple(rng, grid, 0.02)[..., None]) + _CENTRE, keep))
    if rng.random() < 0.18:
        parts += _glasses(palette)
    return parts


def _face(palette: Palette, skin: Material, fine: bool) -> Parts:
    rng = palette.rng
    rows, sides = (9, 14) if fine else (5, 7)
    lip = palette.plain(np.clip(np.array(skin.colour) ** (1 / 2.2) * np.array([0.9, 0.72, 0.7]), 0, 1), 0.4)
    nose_z, nose = 0.112, rng.uniform(0.014, 0.021)
    bridge = np.array([(0, -0.094, 0.14), (0, -0.105, 0.125), (0, -0.114, nose_z), (0, -0.104, nose_z - 0.012)])
    parts = [tube(skin, bridge, np.array([0.007, 0.009, nose * 0.8, 0.008]), sides=sides)]
    parts += [ball(lip, (0.019, 0.007, 0.0042), (0, -0.0965, z), rows=rows, sides=sides) for z in (0.078, 0.070)]
    white, iris, dark = (
        palette.plain(np.full(3, 0.88), 0.1),
        palette.plain(palette.hair_colour(), 0.1),
        palette.plain(palette.hair_colour() * 0.6),
    )
    for x in (-0.031, 0.031):
        parts.append(ball(white, (0.0112, 0.0105, 0.0068), (x, -0.0865, 0.128), rows=rows, sides=sides))
        parts.append(ball(iris, (0.0046, 0.002, 0.005), (x, -0.0958, 0.1275), rows=rows, sides=sides))
        parts.append(ball(skin, (0.0126, 0.0112, 0.0048), (x, -0.0865, 0.1365), rows=rows, sides=sides))
        brow = np.array([(x * 0.55, -0.1, 0.145), (x, -0.101, 0.149), (x * 1.55, -0.089, 0.144)])
        parts.append(tube(dark, brow, 0.0034, sides=5))
        parts.append(ball(skin, (0.008, 0.018, 0.03), (x * 2.45, 0.004, 0.117), rows=rows, sides=sides))
    return parts


def _hair(rng: np.random.Generator, hair: Material, rows: int, sides: int, *, long: bool) -> Parts:
    """A shell over the skull with strands; long hair falls behind the ears to the shoulders."""
    grid = _skull(rows, sides)
    unit = grid / _HALF
    x, y, z = unit[..., 0], unit[..., 1], unit[..., 2]
    line = rng.uniform(0.45, 0.68)
    edge = np.where(y < -0.25, line + 0.25 * np.abs(x), np.where(y < 0.15, -0.05, -0.55)) + 0.05 * ripple(
        rng, grid, 0.06
    )
    strand = ripple(rng, grid * np.array([1, 1, 0.15]), 0.012)
    thick = rng.uniform(1.05, 1.18) + 0.02 * strand + 0.05 * np.clip(z, 0, 1)
    parts = [_patch(hair, grid * thick[..., None] + _CENTRE, z > edge)]
    if long:
        angle, drop = np.linspace(-0.55, np.pi + 0.55, 40), np.linspace(0.03, -rng.uniform(0.12, 0.32), 14)
        wave = 1 + 0.05 * np.sin(angle * 14)[None] + 0.04 * np.sin(drop * 40)[:, None]
        wide = (0.088 + 0.02 * np.linspace(0, 1, 14))[:, None] * wave
        fall = np.stack(
            (wide * np.cos(angle), wide * np.sin(angle) * 1.05, np.broadcast_to(drop[:, None], (14, 40))), -1
        )
        parts.append(sheet(hair, fall + _CENTRE))
    elif rng.random() < 0.15:
        parts.append(ball(hair, (0.04, 0.04, 0.04), (0, 0.11, 0.2)))
    return parts


def _hat(palette: Palette) -> Parts:
    """A cap with a peak, a woollen hat or a brimmed hat."""
    rng = palette.rng
    cloth, kind = palette.plain(palette.vivid(), 0.9), int(rng.integers(3))
    crown = lathe(
        cloth, [(0.093, 0.165), (0.097, 0.2), (0.08, 0.245), (0.03, 0.262), (0.0, 0.264)], (0, -0.008, 0), caps=False
    )
    if kind == 0:
        return [crown, ball(cloth, (0.07, 0.07, 0.006), (0, -0.11, 0.172))]
    if kind == 1:
        return [
            lathe(
                cloth,
                [(0.09, 0.14), (0.101, 0.15), (0.101, 0.175), (0.09, 0.225), (0.03, 0.268), (0.0, 0.272)],
                (0, -0.004, 0),
                caps=False,
            )
        ]
    return [
        crown,
        lathe(
            cloth, [(0.17, 0.176), (0.095, 0.168), (0.095, 0.174), (0.17, 0.18)], (0, -0.008, 0), sides=28, caps=False
        ),
    ]


def _glasses(palette: Palette) -> Parts:
    """Thin rims, a bridge and side pieces."""
    frame = palette.dark()
    angle = np.linspace(0, 2 * np.pi, 17)
    parts = []
    for x in (-0.034, 0.034):
        rim = np.stack((x + 0.026 * np.cos(angle), np.full(17, -0.108), 0.127 + 0.02 * np.sin(angle)), 1)
        parts.append(tube(frame, rim, 0.0017, sides=5, caps=False))
        parts.append(rod(frame, (x * 1.76, -0.107, 0.13), (x * 2.35, 0.0, 0.127), 0.0016))
    return [*parts, rod(frame, (-0.009, -0.109, 0.13), (0.009, -0.109, 0.13), 0.0017)]
