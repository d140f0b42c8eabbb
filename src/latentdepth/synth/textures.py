"""Procedural pictures that tile: walls, woods, stones, fabrics, ground. sRGB bytes, 128 to 256 pixels a side.

Each function takes a generator and one or two sRGB colours in [0, 1]. Knows no materials and no sizes in metres.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Bool, Float, UInt8

from latentdepth.synth.noise import fractal

Colour = Float[np.ndarray, "3"]
Texture = UInt8[np.ndarray, "_ _ 3"]
Shade = Float[np.ndarray, "h w"]


def to_bytes(picture: Float[np.ndarray, "h w 3"]) -> Texture:
    """Values in [0, 1], clipped, as bytes."""
    return (np.clip(picture, 0, 1) * 255 + 0.5).astype(np.uint8)


def shaded(colour: Colour, shade: Shade) -> Float[np.ndarray, "h w 3"]:
    """A colour made darker and lighter by a relative ``shade`` (0 is unchanged)."""
    return colour * (1 + shade[..., None])


def mixed(weight: Shade, low: Float[np.ndarray, ...], high: Float[np.ndarray, ...]) -> Float[np.ndarray, "h w 3"]:
    """``low`` where the weight is 0, ``high`` where it is 1."""
    blend = np.clip(weight, 0, 1)[..., None]
    return low * (1 - blend) + high * blend


def plaster(rng: np.random.Generator, colour: Colour, *, strength: float = 0.03, size: int = 128) -> Texture:
    """A painted or plastered wall: large stains and fine grain."""
    coarse, fine = fractal(rng, size, size, roughness=1.3), fractal(rng, size, size, roughness=0.2)
    return to_bytes(shaded(colour, strength * (coarse + 0.5 * fine)))


def mottle(rng: np.random.Generator, low: Colour, high: Colour, *, roughness: float = 0.9, size: int = 256) -> Texture:
    """Two colours in clouds: soil, stone, moss, leather, foliage from afar."""
    weight = 0.5 + 0.35 * fractal(rng, size, size, roughness=roughness)
    grain = 0.05 * fractal(rng, size, size, roughness=0.1)
    return to_bytes(mixed(weight, low, high) * (1 + grain[..., None]))


def speckle(rng: np.random.Generator, ground: Colour, dots: Colour, *, share: float = 0.2, size: int = 256) -> Texture:
    """Grains of one colour in another: terrazzo, granite, asphalt, gravel."""
    field = fractal(rng, size, size, roughness=float(rng.uniform(-0.2, 0.5)))
    sharp = 1 / (1 + np.exp(-6 * (field - np.quantile(field, 1 - share))))
    return to_bytes(shaded(ground, 0.04 * fractal(rng, size, size)) * (1 - sharp[..., None]) + dots * sharp[..., None])


def marble(rng: np.random.Generator, ground: Colour, veins: Colour, *, size: int = 256) -> Texture:
    """Veins along the zero lines of a noise field."""
    field = np.abs(fractal(rng, size, size, roughness=0.9))
    vein = np.exp(-field * rng.uniform(6, 18)) * rng.uniform(0.3, 0.9)
    return to_bytes(mixed(vein, shaded(ground, 0.03 * fractal(rng, size, size)), veins))


def grain(rng: np.random.Generator, colour: Colour, *, strength: float = 0.12, size: int = 256) -> Texture:
    """Wood: long fibres along v and broad bands across."""
    fibre = fractal(rng, size, size, roughness=0.5, stretch=0.18)
    bands = np.sin(2 * np.pi * (fractal(rng, size, size, roughness=1.4, stretch=0.3) * rng.uniform(0.5, 1.5)))
    return to_bytes(shaded(colour, strength * (0.7 * fibre + 0.5 * bands)))


def planks(rng: np.random.Generator, colour: Colour, *, across: int = 10, size: int = 256) -> Texture:
    """A plank floor: strips along v, each of its own tone, with staggered ends and dark joints."""
    base = grain(rng, colour, strength=float(rng.uniform(0.05, 0.16)), size=size) / 255.0
    row, col = np.mgrid[:size, :size] / size
    strip = np.floor(col * across).astype(int)
    shifted = np.mod(row + rng.random(across)[strip], 1.0)
    tone = rng.normal(0, rng.uniform(0.02, 0.12), across)[strip]
    joint = (np.mod(col * across, 1.0) < 0.06) | (shifted < 0.008)
    return to_bytes(base * (1 + tone[..., None]) * np.where(joint, rng.uniform(0.5, 0.9), 1.0)[..., None])


def _courses(size: int, rows: int, cols: int, stagger: float) -> tuple[Shade, Shade, np.ndarray]:
    """Position inside its cell (x, y in [0, 1)) and number of the cell of every pixel of a bonded wall."""
    y, x = np.mgrid[:size, :size] / size
    course = np.floor(y * rows)
    x = np.mod(x * cols + stagger * np.mod(course, 2), cols)
    return np.mod(x, 1.0), np.mod(y * rows, 1.0), (course * cols + np.floor(x)).astype(int)


def bricks(
    rng: np.random.Generator, colour: Colour, mortar: Colour, *, rows: int = 12, cols: int = 4, size: int = 256
) -> Texture:
    """Bricks in running bond, each of its own tone."""
    x, y, cell = _courses(size, rows, cols, 0.5)
    joint = (x < 0.1 * cols / 4) | (y < 0.14)
    tone = rng.normal(0, 0.13, rows * cols)[cell] + 0.07 * fractal(rng, size, size, roughness=0.5)
    face = shaded(colour, tone)
    return to_bytes(np.where(joint[..., None], shaded(mortar, 0.06 * fractal(rng, size, size)), face))


def tiles(
    rng: np.random.Generator,
    colour: Colour,
    joint_colour: Colour,
    *,
    second: Colour | None = None,
    count: int = 4,
    size: int = 256,
) -> Texture:
    """Square tiles with joints; with a ``second`` colour a chequerboard."""
    x, y, cell = _courses(size, count, count, 0.0)
    width = rng.uniform(0.02, 0.06)
    tone = rng.normal(0, rng.uniform(0.01, 0.06), count * count)[cell] + 0.03 * fractal(rng, size, size)
    face = shaded(colour, tone)
    if second is not None:
        odd = (cell // count + cell % count) % 2 == 1
        face = np.where(odd[..., None], shaded(second, tone), face)
    return to_bytes(np.where(((x < width) | (y < width))[..., None], joint_colour, face))


def weave(rng: np.random.Generator, colour: Colour, *, threads: int = 24, size: int = 256) -> Texture:
    """Cloth and carpet: over and under threads with stains."""
    y, x = np.mgrid[:size, :size] / size
    over = np.sin(2 * np.pi * threads * x) * np.sin(2 * np.pi * threads * y)
    shade = 0.1 * over + 0.05 * fractal(rng, size, size) + 0.05 * rng.standard_normal((size, size))
    return to_bytes(shaded(colour, shade))


def stripes(
    rng: np.random.Generator, first: Colour, second: Colour, *, count: int = 8, check: bool = False, size: int = 256
) -> Texture:
    """Stripes along v, or a check when they also cross."""
    profile = (np.mod(np.arange(size) / size * count, 1.0) < rng.uniform(0.2, 0.7)).astype(float)
    weight = np.broadcast_to(profile[None], (size, size))
    if check:
        weight = (weight + profile[:, None]) / 2
    return to_bytes(mixed(weight, first, second) * (1 + 0.04 * fractal(rng, size, size)[..., None]))


def motif(rng: np.random.Generator, ground: Colour, figure: Colour, *, count: int = 6, size: int = 256) -> Texture:
    """A printed pattern: dots, rings, leaves or diamonds in staggered rows (wallpaper, curtains, dresses)."""
    x, y, _ = _courses(size, count, count, 0.5)
    x, y = 2 * x - 1, 2 * y - 1
    radius = {
        0: np.hypot(x, y),
        1: np.abs(x) + np.abs(y),
        2: np.abs(np.hypot(x, y) - 0.5) + 0.2,
        3: np.hypot(x * 2.2 + y, y - x * 0.3),
    }[int(rng.integers(4))]
    return to_bytes(
        mixed((rng.uniform(0.35, 0.7) - radius) * 12, ground, figure) * (1 + 0.03 * fractal(rng, size, size)[..., None])
    )


def cells(
    rng: np.random.Generator, colour: Colour, joint_colour: Colour, *, count: int = 40, size: int = 192
) -> Texture:
    """Voronoi cells: rubble walls, crazy paving, pebbles, cracked ground, giraffes."""
    site = rng.random((count, 2))
    y, x = np.mgrid[:size, :size] / size
    # distance on the torus, so that the cells meet across the seams
    dx = np.abs(x.ravel()[:, None] - site[None, :, 0]).astype(np.float32)
    dy = np.abs(y.ravel()[:, None] - site[None, :, 1]).astype(np.float32)
    distance = np.minimum(dx, 1 - dx) ** 2 + np.minimum(dy, 1 - dy) ** 2
    nearest = np.argpartition(distance, 1, axis=1)[:, :2]
    pair = np.sqrt(np.take_along_axis(distance, nearest, axis=1))
    edge = (np.abs(pair[:, 1] - pair[:, 0]).reshape(size, size)) * np.sqrt(count)
    owner = np.take_along_axis(nearest, pair.argmin(1)[:, None], axis=1).reshape(size, size)
    face = shaded(colour, rng.normal(0, 0.09, count)[owner] + 0.06 * fractal(rng, size, size, roughness=0.5))
    return to_bytes(mixed(edge * 8 - 0.2, 0.5 * colour + 0.5 * joint_colour, face))


def turf(rng: np.random.Generator, green: Colour, dry: Colour, *, size: int = 256) -> Texture:
    """Grass seen from above: patches of dry and green under fine blades."""
    patches = 0.45 + 0.25 * fractal(rng, size, size, roughness=1.0)
    blades = fractal(rng, size, size, roughness=0.1, stretch=float(rng.uniform(0.4, 1.0)))
    return to_bytes(mixed(patches, green, dry) * (1 + 0.16 * blades[..., None]))


def bark(rng: np.random.Generator, colour: Colour, *, size: int = 128) -> Texture:
    """Deep furrows along v."""
    furrow = fractal(rng, size, size, roughness=0.6, stretch=0.3)
    return to_bytes(shaded(colour, 0.28 * np.tanh(1.5 * furrow)))


def corrugated(rng: np.random.Generator, colour: Colour, *, count: int = 10, size: int = 128) -> Texture:
    """Ribs along v: metal sheet, shutters, radiators, roof tiles when laid in rows."""
    wave = np.cos(2 * np.pi * count * np.arange(size) / size)
    return to_bytes(shaded(colour, 0.16 * wave[None] + 0.05 * fractal(rng, size, size)))


def rug(rng: np.random.Generator, colours: list[Colour], *, size: int = 192) -> Texture:
    """A carpet seen whole: borders and a mirrored pattern."""
    y, x = np.mgrid[:size, :size] / (size - 1)
    inset = np.minimum(np.minimum(x, 1 - x), np.minimum(y, 1 - y))
    band = np.searchsorted(np.sort(rng.uniform(0.02, 0.2, 3)), inset.ravel()).reshape(size, size)
    picture = np.stack(colours)[band % len(colours)]
    field = fractal(rng, size, size, roughness=1.2)
    pattern: Bool[np.ndarray, "h w"] = (field + field[:, ::-1] + field[::-1] + field[::-1, ::-1]) > rng.uniform(0, 1.5)
    picture = np.where((pattern & (band == 3))[..., None], colours[int(rng.integers(len(colours)))], picture)
    return to_bytes(picture * (1 + 0.1 * rng.standard_normal((size, size)))[..., None])
