"""Small things: books, boxes, devices, cables, toys, shoes, bags, bins; and the choice of any, tableware included.

Each stands on z = 0 about the origin, in true size, front to -y. Knows no tables and no rooms.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from latentdepth.synth.devices import cable, laptop, phone
from latentdepth.synth.noise import ripple
from latentdepth.synth.palette import Palette
from latentdepth.synth.props import REPEATED
from latentdepth.synth.scene import Mesh
from latentdepth.synth.shapes import (
    Parts,
    ball,
    bounds,
    box,
    lathe,
    moved,
    picture,
    pillow,
    placed,
    sheet,
    tube,
    warped,
)
from latentdepth.synth.tableware import bottle, cup, cutlery, fruit, plate, vase


def book(palette: Palette) -> Parts:
    """A lying book or a pile of them."""
    rng, parts, z = palette.rng, [], 0.0
    pages = palette.plain(np.array([0.9, 0.87, 0.78]), 0.9)
    for _ in range(int(rng.choice([1, 1, 2, 3, 6]))):
        w, d, t = rng.uniform(0.12, 0.24), rng.uniform(0.17, 0.31), rng.uniform(0.008, 0.045)
        cover = palette.plain(palette.vivid(), 0.5)
        one = [
            box(pages, (w - 0.008, d - 0.01, t - 0.004), (0, 0, 0.002)),
            box(cover, (w, d, 0.002)),
            box(cover, (w, d, 0.002), (0, 0, t - 0.002)),
            box(cover, (0.003, d, t), (-w / 2, 0, 0)),
        ]
        if rng.random() < 0.6:
            one.append(picture(palette.label(), (-w / 2, -d / 2, t + 0.0006), (w, 0, 0), (0, d, 0)))
        parts += placed(one, (rng.normal(0, 0.012), rng.normal(0, 0.012), z), yaw_rad=rng.normal(0, 0.25))
        z += t + 0.001
    return placed(parts, yaw_rad=rng.uniform(0, 6))


def package(palette: Palette) -> Parts:
    """A printed carton, parcel or crate."""
    rng = palette.rng
    w, d, h = rng.uniform(0.04, 0.3), rng.uniform(0.03, 0.24), rng.uniform(0.03, 0.32)
    if rng.random() < 0.3:
        card = palette.cardboard()
        tape = palette.plain(np.array([0.75, 0.66, 0.5]), 0.3)
        return placed(
            [box(card, (w * 1.4, d * 1.4, h)), box(tape, (w * 1.402, 0.04, 0.001), (0, 0, h))],
            yaw_rad=rng.uniform(0, 6),
        )
    body = box(palette.label(), (w, d, h))
    corner = np.tile(np.array([[0, 0], [1, 0], [0, 1], [1, 1]], float), (6, 1))
    return [moved(Mesh(body.vertices, body.faces, body.material, corner, False), yaw_rad=rng.uniform(0, 6))]


def papers(palette: Palette) -> Parts:
    """Sheets and magazines lying about."""
    rng, parts = palette.rng, []
    for k in range(int(rng.integers(1, 5))):
        w, d = (0.21, 0.297) if rng.random() < 0.6 else (rng.uniform(0.08, 0.3), rng.uniform(0.08, 0.3))
        material = palette.paper() if rng.random() < 0.7 else palette.label()
        parts.append(
            moved(
                picture(material, (-w / 2, -d / 2, 0.0008), (w, 0, 0), (0, d, 0)),
                (rng.normal(0, 0.04), rng.normal(0, 0.04), k * 0.0012),
                yaw_rad=rng.uniform(0, 6),
            )
        )
    return parts


def toy(palette: Palette) -> Parts:
    """Balls, building blocks, a bear."""
    rng, kind = palette.rng, int(palette.rng.integers(3))
    if kind == 0:
        r = rng.uniform(0.03, 0.12)
        return [ball(palette.plain(palette.vivid(), 0.4), (r, r, r), (0, 0, r), rows=12, sides=18)]
    if kind == 1:
        parts = []
        for _k in range(int(rng.integers(2, 7))):
            size = rng.uniform(0.025, 0.06)
            parts += placed(
                [box(palette.plain(palette.vivid(), 0.5), (size, size * rng.uniform(1, 2), size))],
                (rng.normal(0, 0.08), rng.normal(0, 0.08), 0),
                yaw_rad=rng.uniform(0, 6),
            )
        return parts
    plush, s = palette.fur(), rng.uniform(0.6, 1.4)
    limbs = [ball(plush, (0.035, 0.06, 0.035), (x, -0.07, z)) for x in (-0.06, 0.06) for z in (0.035, 0.15)]
    head = [
        ball(plush, (0.06, 0.055, 0.055), (0, -0.02, 0.25)),
        ball(plush, (0.025, 0.03, 0.02), (0, -0.07, 0.24), rows=6, sides=8),
    ]
    head += [ball(plush, (0.022, 0.012, 0.022), (x, -0.01, 0.3), rows=6, sides=8) for x in (-0.045, 0.045)]
    head += [ball(palette.dark(), (0.007, 0.007, 0.007), (x, -0.073, 0.265), rows=5, sides=6) for x in (-0.02, 0.02)]
    return placed([ball(plush, (0.075, 0.065, 0.1), (0, 0, 0.1)), *limbs, *head], scale=s)


def shoes(palette: Palette) -> Parts:
    """A pair on the floor."""
    rng, body, sole = palette.rng, palette.plain(palette.muted(), 0.6), palette.dark()
    parts: Parts = []
    for x in (-0.07, 0.07):
        one = [
            box(sole, (0.085, 0.27, 0.02)),
            ball(body, (0.043, 0.1, 0.045), (0, -0.035, 0.047)),
            lathe(
                body, [(0.04, 0.02), (0.045, 0.06), (0.04, 0.09), (0.034, 0.09), (0.03, 0.04)], (0, 0.08, 0), sides=12
            ),
        ]
        parts += placed(one, (x, rng.normal(0, 0.03), 0), yaw_rad=rng.normal(0, 0.25))
    return placed(parts, yaw_rad=rng.uniform(0, 6))


def bag(palette: Palette) -> Parts:
    """A rucksack, sack or heap of clothes."""
    rng = palette.rng
    w, d, h = rng.uniform(0.2, 0.45), rng.uniform(0.15, 0.3), rng.uniform(0.1, 0.45)
    body = ball(palette.fabric(), (w / 2, d / 2, h / 2), (0, 0, h * 0.47), rows=14, sides=22)
    bump = body.vertices - np.array([0, 0, h * 0.47])
    shape = warped(body, bump * (0.13 * ripple(rng, body.vertices, 0.18))[:, None])
    flat = shape.vertices.copy()
    flat[:, 2] = np.maximum(flat[:, 2], 0.001)
    strap = np.stack(
        (w * 0.3 * np.cos(np.linspace(0, np.pi, 9)), np.zeros(9), h * 0.85 + 0.1 * np.sin(np.linspace(0, np.pi, 9))), 1
    )
    return placed(
        [Mesh(flat, body.faces, body.material, body.uv, True), tube(palette.dark(), strap, 0.007)],
        yaw_rad=rng.uniform(0, 6),
    )


def bin_with_content(palette: Palette) -> Parts:
    """An open tray or bin, half filled."""
    rng, body = palette.rng, palette.plastic() if palette.rng.random() < 0.6 else palette.furniture()
    w, d, h, t = rng.uniform(0.22, 0.6), rng.uniform(0.2, 0.45), rng.uniform(0.06, 0.3), 0.008
    parts = [box(body, (w, d, t))]
    parts += [box(body, (t, d, h), (sx * (w - t) / 2, 0, 0)) for sx in (-1, 1)] + [
        box(body, (w, t, h), (0, sy * (d - t) / 2, 0)) for sy in (-1, 1)
    ]
    for _ in range(int(rng.integers(2, 10))):
        thing = small_thing(palette)
        low, high = bounds(thing)
        if max(high[:2] - low[:2]) < min(w, d) * 0.8:
            room = (np.array([w, d]) - (high - low)[:2]) / 2 - t
            x, y = rng.uniform(-room, room) - (low + high)[:2] / 2
            parts += placed(thing, (x, y, t + rng.uniform(0, h * 0.2)))
    return parts


def cushion_cloth(palette: Palette) -> Parts:
    """A folded towel or napkin, or a rumpled cloth."""
    rng = palette.rng
    w, d = rng.uniform(0.12, 0.45), rng.uniform(0.12, 0.45)
    if rng.random() < 0.5:
        return [moved(pillow(palette.fabric(), (w, d, rng.uniform(0.01, 0.06)), edge=0.4), yaw_rad=rng.uniform(0, 6))]
    x, y = np.meshgrid(np.linspace(-w / 2, w / 2, 18), np.linspace(-d / 2, d / 2, 18))
    flat = sheet(palette.fabric(), np.stack((x, y, np.zeros_like(x)), -1))
    lift = np.zeros_like(flat.vertices)
    lift[:, 2] = 0.002 + 0.03 * np.maximum(ripple(rng, flat.vertices, 0.15) * 0.5, 0)
    return [moved(warped(flat, lift), yaw_rad=rng.uniform(0, 6))]


Maker = Callable[[Palette], Parts]
ON_TABLES: tuple[tuple[Maker, float], ...] = (
    (cup, 3),
    (plate, 2),
    (bottle, 2),
    (book, 2),
    (package, 2),
    (fruit, 1.2),
    (cable, 0.6),
    (papers, 1.2),
    (phone, 0.7),
    (cutlery, 0.9),
    (vase, 1.2),
    (toy, 0.7),
    (laptop, 0.5),
    (cushion_cloth, 0.6),
    (bin_with_content, 0.2),
)
ON_FLOORS: tuple[tuple[Maker, float], ...] = (
    (shoes, 2),
    (bag, 2),
    (package, 2),
    (toy, 1.5),
    (bin_with_content, 1),
    (book, 1),
    (cable, 1),
    (bottle, 0.5),
    (vase, 0.5),
    (papers, 0.5),
    (cushion_cloth, 0.7),
)


def _drawn(palette: Palette, makers: tuple[tuple[Maker, float], ...]) -> Parts:
    weight = np.array([w for _, w in makers])
    return makers[int(palette.rng.choice(len(makers), p=weight / weight.sum()))][0](palette)


def table_thing(palette: Palette) -> Parts:
    """Anything that stands on tables and shelves."""
    if lent := palette.lent("small", 0.5, most_faces=REPEATED):
        return placed(lent.parts, yaw_rad=palette.rng.uniform(0, 6))
    return _drawn(palette, ON_TABLES)


def floor_thing(palette: Palette) -> Parts:
    """Anything that lies about on floors."""
    if lent := palette.lent("on floor", 0.4):
        return placed(lent.parts, yaw_rad=palette.rng.uniform(0, 6))
    return _drawn(palette, ON_FLOORS)


def small_thing(palette: Palette) -> Parts:
    """Something that fits into a bin."""
    return _drawn(
        palette, ((cup, 1), (bottle, 1), (package, 2), (fruit, 1), (phone, 1), (cutlery, 1), (toy, 1), (cable, 0.5))
    )
