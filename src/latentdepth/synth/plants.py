"""Trees, bushes, hedges and grass.

Branches are tubes that fork (after Weber and Penn, 1995, much reduced); leaves are small folded sheets, each with its
own place in a mottled texture. A plant grows from the origin along +z. Knows no ground.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Float

from latentdepth.synth.colours import hsv
from latentdepth.synth.noise import ripple
from latentdepth.synth.palette import Palette
from latentdepth.synth.scene import Material, Mesh
from latentdepth.synth.shapes import Parts, ball, merged_as_one, scattered, tube, warped


def random_turns(rng: np.random.Generator, count: int, *, upright: float = 0.0) -> Float[np.ndarray, "n 3 3"]:
    """Rotations: any when ``upright`` is 0, about the vertical alone when 1."""
    yaw, pitch = rng.uniform(0, 2 * np.pi, count), rng.uniform(-1.4, 1.4, count) * (1 - upright)
    roll = rng.uniform(-1.4, 1.4, count) * (1 - upright)
    cy, sy, cp, sp, cr, sr = np.cos(yaw), np.sin(yaw), np.cos(pitch), np.sin(pitch), np.cos(roll), np.sin(roll)
    zero, one = np.zeros(count), np.ones(count)
    about_z = np.stack((cy, -sy, zero, sy, cy, zero, zero, zero, one), 1).reshape(-1, 3, 3)
    about_x = np.stack((one, zero, zero, zero, cp, -sp, zero, sp, cp), 1).reshape(-1, 3, 3)
    about_y = np.stack((cr, zero, sr, zero, one, zero, -sr, zero, cr), 1).reshape(-1, 3, 3)
    return about_z @ about_x @ about_y


def leaf(material: Material, length_m: float, width_m: float) -> Mesh:
    """A leaf folded along its middle, lying along +y from the origin: two triangles."""
    side, lift = width_m / 2, 0.12 * width_m
    points = np.array(
        [(0, 0, 0), (side, 0.45 * length_m, lift), (0, length_m, -0.08 * length_m), (-side, 0.45 * length_m, lift)]
    )
    faces = np.array([[0, 1, 2], [0, 2, 3]])
    return Mesh(points, faces, material, points[:, :2] * 0.02 / max(length_m, 1e-6), False)


def foliage(
    rng: np.random.Generator,
    material: Material,
    places: Float[np.ndarray, "n 3"],
    size_m: float,
    *,
    slim: float = 0.5,
    upright: float = 0.0,
) -> Mesh:
    """A leaf at every place, turned at random."""
    count = len(places)
    one = leaf(material, size_m, size_m * slim)
    return scattered(
        one,
        places,
        random_turns(rng, count, upright=upright),
        rng.uniform(0.6, 1.3, count),
        uv_shift=rng.random((count, 2)),
    )


def _branches(
    rng: np.random.Generator, height: float, spread: float, levels: int
) -> tuple[list[tuple[np.ndarray, np.ndarray]], np.ndarray]:
    """(path, radii) of every branch of a forking tree, and the tips of the last ones."""
    found, tips = [], []
    trunk = height * rng.uniform(0.25, 0.45)
    queue = [
        (
            np.zeros(3),
            np.array([rng.normal(0, 0.06), rng.normal(0, 0.06), 1.0]),
            trunk,
            height * rng.uniform(0.014, 0.028),
            levels,
        )
    ]
    while queue:
        start, direction, length, radius, level = queue.pop()
        direction = direction / np.linalg.norm(direction)
        steps = 4
        bend = rng.normal(0, 0.12, 3) + np.array([0, 0, 0.06])
        path = start + np.stack([direction * length * t + bend * length * t * t for t in np.linspace(0, 1, steps)])
        found.append((path, np.linspace(radius, radius * 0.62, steps)))
        if level == 0:
            tips += [path[-1], path[-2]]
            continue
        for k in range(int(rng.integers(2, 5)) if level < levels else int(rng.integers(3, 6))):
            side = rng.standard_normal(3)
            side[2] = abs(side[2]) * 0.35
            ahead = direction + bend
            at = path[-1] if k < 2 else path[-2]
            queue.append(
                (
                    at,
                    ahead * (1.1 - spread) + side / np.linalg.norm(side) * (0.4 + spread),
                    length * rng.uniform(0.55, 0.85),
                    radius * rng.uniform(0.45, 0.66),
                    level - 1,
                )
            )
    return found, np.stack(tips)


def broadleaf(palette: Palette, *, height_m: float | None = None, leaves: int = 5000, bare: bool = False) -> Parts:
    """A deciduous tree; ``bare`` as in winter."""
    rng = palette.rng
    height = height_m or rng.uniform(4, 14)
    branches, tips = _branches(rng, height, rng.uniform(0.2, 0.6), 3)
    kept = [b for k, b in enumerate(branches) if k < 90 or bare]
    wood = merged_as_one(
        [tube(palette.bark(), path, np.maximum(radius, 0.008), sides=6, caps=False) for path, radius in kept]
    )
    wood = Mesh(
        wood.vertices * np.array([1, 1, min(1.0, height / wood.vertices[:, 2].max())]),
        wood.faces,
        wood.material,
        wood.uv,
        True,
    )
    if bare:
        return [wood]
    tips = tips * np.array([1, 1, min(1.0, height / max(float(tips[:, 2].max()), 1e-6))])
    centre = tips[rng.integers(len(tips), size=leaves)]
    places = centre + rng.standard_normal((leaves, 3)) * height * rng.uniform(0.035, 0.065)
    size = np.clip(height * 0.03, 0.08, 0.3) * np.sqrt(5000 / leaves)
    return [
        wood,
        foliage(rng, palette.leaves(), np.maximum(places, [-np.inf, -np.inf, height * 0.12]), float(size), slim=0.7),
    ]


def conifer(palette: Palette, *, height_m: float | None = None, fronds: int = 1500) -> Parts:
    """A spruce: whorls of drooping fronds that shorten upwards."""
    rng = palette.rng
    height = height_m or rng.uniform(5, 18)
    trunk = tube(
        palette.bark(),
        np.array([(0, 0, 0), (0, 0, height * 0.5), (0, 0, height)]),
        np.array([0.018, 0.011, 0.002]) * height,
        sides=7,
    )
    z = 1 - np.sqrt(rng.uniform(0.0, 0.96, fronds))
    reach = (1 - z) * height * rng.uniform(0.18, 0.26) * rng.uniform(0.75, 1.1, fronds)
    turns = random_turns(rng, fronds, upright=1.0)
    frond = leaf(palette.leaves(), 1.0, 0.3 if fronds > 200 else 0.5)
    bent = warped(frond, np.array([[0, 0, 0], [0, 0, -0.2], [0, 0, -0.26], [0, 0, -0.2]]))
    places = np.column_stack((np.zeros(fronds), np.zeros(fronds), (0.08 + 0.92 * z) * height))
    return [trunk, scattered(bent, places, turns, reach + 0.03 * height, uv_shift=rng.random((fronds, 2)))]


def palm(palette: Palette) -> Parts:
    """A bare leaning stem with a crown of long leaves."""
    rng, height = palette.rng, palette.rng.uniform(3, 9)
    t = np.linspace(0, 1, 8)
    stem = np.stack((rng.normal(0, 0.1) * height * t**2, rng.normal(0, 0.1) * height * t**2, height * t), 1)
    parts = [tube(palette.bark(), stem, np.linspace(0.2, 0.12, 8), sides=9)]
    blade = leaf(palette.leaves(), 0.55, 0.05)
    for k in range(int(rng.integers(9, 16))):
        yaw, length, lift = k * 2.4, rng.uniform(1.6, 2.6), rng.uniform(0.1, 0.9)
        s = np.linspace(0.08, 1, 22)
        rib = stem[-1] + np.stack(
            (np.cos(yaw) * length * s, np.sin(yaw) * length * s, length * (lift * s - 0.9 * s * s)), 1
        )
        turns = random_turns(rng, 44, upright=1.0)
        angle = yaw - np.pi / 2 + np.repeat([0.9, -0.9], 22)
        turns[:, 0, 0] = turns[:, 1, 1] = np.cos(angle)
        turns[:, 0, 1], turns[:, 1, 0] = -np.sin(angle), np.sin(angle)
        parts.append(
            scattered(blade, np.tile(rib, (2, 1)), turns, np.tile(1.1 - 0.6 * s, 2), uv_shift=rng.random((44, 2)))
        )
        parts.append(tube(palette.leaves(), rib[::4], 0.012, sides=4))
    return parts


def bush(palette: Palette, *, size_m: float | None = None, leaves: int = 1500, flowers: bool | None = None) -> Parts:
    """A round shrub, perhaps in bloom; a dim core keeps it from being seen through."""
    rng, s = palette.rng, size_m or palette.rng.uniform(0.5, 2.2)
    green = palette.leaves()
    direction = rng.standard_normal((leaves, 3))
    direction /= np.linalg.norm(direction, axis=1, keepdims=True)
    reach = (0.72 + 0.25 * rng.random(leaves)) * (1 + 0.14 * ripple(rng, direction, 1.2))
    places = direction * reach[:, None] * np.array([0.5, 0.5, 0.45]) * s + np.array([0, 0, 0.45 * s])
    places[:, 2] = np.maximum(places[:, 2], 0.02)
    core = ball(green, (0.34 * s, 0.34 * s, 0.34 * s), (0, 0, 0.36 * s), rows=7, sides=10)
    parts = [core, foliage(rng, green, places, 0.085 * np.sqrt(s) * np.sqrt(1500 / leaves), slim=0.6)]
    if rng.random() < 0.3 if flowers is None else flowers:
        bloom = palette.plain(
            hsv(float(rng.choice([340, 300, 50, 10, 220])), rng.uniform(0.2, 0.7), rng.uniform(0.7, 0.95))
        )
        some = places[rng.random(leaves) < 0.12] * np.array([1.03, 1.03, 1.0])
        petals = Mesh(leaf(bloom, 0.05 * np.sqrt(s), 0.05 * np.sqrt(s)).vertices, leaf(bloom, 1, 1).faces, bloom)
        parts.append(scattered(petals, some, random_turns(rng, len(some)), np.full(len(some), 1.0)))
    return parts


def canopy(palette: Palette, size_m: tuple[float, float], *, rows: int = 9) -> Parts:
    """A distant tree or wood edge: a lumpy crown of ``size_m`` = (width, height) on a short stem; few triangles."""
    rng, (w, h) = palette.rng, size_m
    crown = ball(palette.leaves(), (w / 2, w / 2, h * 0.42), (0, 0, h * 0.58), rows=rows, sides=rows + 4)
    out = crown.vertices - np.array([0, 0, h * 0.58])
    lump = 0.15 * ripple(rng, crown.vertices / max(w, 0.1), 0.45) + 0.1 * ripple(
        rng, crown.vertices / max(w, 0.1), 0.17
    )
    stem = tube(palette.bark(), np.array([(0, 0, 0), (0, 0, h * 0.3)]), 0.03 * h, sides=5)
    return [warped(crown, out * lump[:, None]), stem]


def grass_blades(
    rng: np.random.Generator, material: Material, places: Float[np.ndarray, "n 3"], height_m: float
) -> Mesh:
    """A bent blade of two triangles at every place."""
    w = 0.0015 + height_m * 0.009
    points = np.array(
        [(-w, 0, 0), (w, 0, 0), (w * 0.6, 0.12 * height_m, 0.6 * height_m), (0, 0.4 * height_m, height_m)]
    )
    blade = Mesh(points, np.array([[0, 1, 2], [0, 2, 3]]), material, points[:, [0, 2]] * 0.01)
    return scattered(
        blade,
        places,
        random_turns(rng, len(places), upright=0.85),
        rng.uniform(0.4, 1.3, len(places)),
        uv_shift=rng.random((len(places), 2)),
    )
