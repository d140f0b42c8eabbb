"""Pictures that are shown once, not tiled: paintings, posters, book covers, labels, screens, newspapers, signs.

sRGB bytes. Knows no materials.
"""

from __future__ import annotations

import itertools

import numpy as np
from jaxtyping import Float

from latentdepth.synth.noise import fractal
from latentdepth.synth.textures import Colour, Texture, to_bytes


def _lines_of_text(
    rng: np.random.Generator, page: Float[np.ndarray, "h w 3"], ink: Colour, area: tuple[int, int, int, int], pitch: int
) -> None:
    """Draws rows of word-like dashes into ``area`` = (top, bottom, left, right) of ``page``, in place."""
    top, bottom, left, right = area
    for row in range(top, bottom - pitch // 2, pitch):
        col = left
        end = right if rng.random() < 0.8 else left + int((right - left) * rng.uniform(0.3, 0.9))
        while col < end:
            length = int(rng.integers(2, 5 + pitch * 2))
            page[row : row + max(pitch // 2, 1), col : min(col + length, end)] = ink
            col += length + max(pitch // 3, 1)


def landscape_painting(
    rng: np.random.Generator, colours: list[Colour], *, height: int = 96, width: int = 128
) -> Texture:
    """Sky, ranges of hills and a few blots: a photograph or painting on a wall."""
    y = np.linspace(0, 1, height)[:, None, None]
    picture = colours[0] * (1 - 0.5 * y) + np.ones(3) * 0.5 * y + 0.06 * fractal(rng, height, width)[..., None]
    for k, colour in enumerate(colours[1:4]):
        line = fractal(rng, 8, width, roughness=1.2)[0] * 0.06 + 0.4 + 0.18 * k
        below = np.linspace(0, 1, height)[:, None] > line[None]
        picture = np.where(below[..., None], colour * (1 + 0.15 * fractal(rng, height, width)[..., None]), picture)
    return to_bytes(picture)


def portrait_painting(
    rng: np.random.Generator, colours: list[Colour], *, height: int = 128, width: int = 96
) -> Texture:
    """A head and shoulders before a dim ground."""
    y, x = np.mgrid[:height, :width]
    x, y = x / width * 2 - 1, y / height * 2 - 1
    picture = colours[0] * 0.5 * (1 + 0.2 * fractal(rng, height, width)[..., None])
    shoulders = ((x / 0.75) ** 2 + ((y - 1.1) / 0.85) ** 2) < 1
    head = ((x / 0.33) ** 2 + ((y + 0.2) / 0.42) ** 2) < 1
    hair = ((x / 0.4) ** 2 + ((y + 0.35) / 0.42) ** 2) < 1
    picture = np.where(shoulders[..., None], colours[1], picture)
    picture = np.where(hair[..., None], colours[2] * 0.3, picture)
    picture = np.where((head & (y > -0.42))[..., None], np.array([0.75, 0.56, 0.45]) * rng.uniform(0.5, 1.1), picture)
    return to_bytes(picture * (1 + 0.25 * x[..., None]))


def collage(rng: np.random.Generator, colours: list[Colour], *, height: int = 128, width: int = 128) -> Texture:
    """Overlapping coloured fields with text: posters, packages, magazines."""
    page = np.broadcast_to(colours[0], (height, width, 3)).copy()
    for _ in range(int(rng.integers(3, 12))):
        top, left = int(rng.integers(height)), int(rng.integers(width))
        bottom, right = top + int(rng.integers(6, height)), left + int(rng.integers(6, width))
        page[top:bottom, left:right] = colours[int(rng.integers(len(colours)))]
        if rng.random() < 0.5:
            ink = colours[int(rng.integers(len(colours)))] * 0.4
            _lines_of_text(
                rng, page, ink, (top, min(bottom, height), left, min(right, width)), int(rng.integers(3, 14))
            )
    return to_bytes(page)


def abstract(rng: np.random.Generator, colours: list[Colour], *, height: int = 128, width: int = 128) -> Texture:
    """Contour bands of a noise field in a few colours."""
    field = fractal(rng, height, width, roughness=1.4)
    band = np.clip(((field + 2) / 4 * len(colours)).astype(int), 0, len(colours) - 1)
    return to_bytes(np.stack(colours)[band])


def page(rng: np.random.Generator, *, height: int = 160, width: int = 112) -> Texture:
    """Printed paper: a heading, columns, sometimes a picture."""
    paper = np.full((height, width, 3), rng.uniform(0.82, 0.97)) * np.array([1, 0.99, rng.uniform(0.9, 1)])
    ink = np.full(3, rng.uniform(0.1, 0.35))
    margin = width // 12
    _lines_of_text(rng, paper, ink, (margin, margin * 3, margin, width - margin), 10)
    columns = int(rng.integers(1, 4))
    for k in range(columns):
        left = margin + k * (width - margin) // columns
        _lines_of_text(
            rng, paper, ink, (margin * 4, height - margin, left, left + (width - margin) // columns - margin), 4
        )
    if rng.random() < 0.4:
        top, left = int(rng.integers(height // 2)), int(rng.integers(width // 2))
        patch = fractal(rng, height // 3, width // 2)[..., None] * 0.15 + rng.uniform(0.3, 0.6, 3)
        paper[top : top + height // 3, left : left + width // 2] = patch
    return to_bytes(paper)


def screen(rng: np.random.Generator, colours: list[Colour], *, height: int = 96, width: int = 144) -> Texture:
    """A monitor: windows with text, or a dark idle screen."""
    if rng.random() < 0.35:
        return to_bytes(np.full((height, width, 3), 0.03) + 0.01 * fractal(rng, height, width)[..., None])
    view = np.broadcast_to(colours[0] * 0.6, (height, width, 3)).copy()
    for _ in range(int(rng.integers(1, 4))):
        top, left = int(rng.integers(height // 2)), int(rng.integers(width // 2))
        bottom, right = (
            min(top + int(rng.integers(30, 90)), height - 2),
            min(left + int(rng.integers(40, 130)), width - 2),
        )
        dark = rng.random() < 0.4
        view[top:bottom, left:right] = 0.12 if dark else 0.93
        view[top : top + 4, left:right] = colours[1]
        _lines_of_text(rng, view, np.full(3, 0.7 if dark else 0.2), (top + 7, bottom - 2, left + 3, right - 3), 4)
    return to_bytes(view)


def spines(rng: np.random.Generator, colours: list[Colour], *, count: int = 24, size: int = 256) -> Texture:
    """Book spines side by side along u: one tile is a metre of shelf."""
    page_of = np.zeros((size, size, 3))
    edges = np.concatenate(([0], np.sort(rng.choice(np.arange(4, size - 4), count - 1, replace=False)), [size]))
    for left, right in itertools.pairwise(edges):
        colour = colours[int(rng.integers(len(colours)))] * rng.uniform(0.6, 1.15)
        page_of[:, left:right] = colour
        page_of[:, left] = colour * 0.4
        band, height = int(rng.integers(size)), int(rng.integers(8, 80))
        page_of[band : band + height, left + 2 : right - 2] = np.clip(colour * 0.3 + rng.uniform(0, 0.7), 0, 1)
    return to_bytes(page_of)


def lettering(rng: np.random.Generator, ground: Colour, ink: Colour, *, height: int = 48, width: int = 160) -> Texture:
    """A shop sign or road sign: a border and a few large strokes."""
    board = np.broadcast_to(ground, (height, width, 3)).copy()
    board[:3] = board[-3:] = board[:, :3] = board[:, -3:] = ink
    for col in range(width // 8, width - width // 8, max(height // 3, 6)):
        if rng.random() < 0.15:
            continue
        top, bottom = int(height * 0.28), int(height * 0.72)
        board[top:bottom, col : col + 3] = ink
        bar = int(rng.integers(top, bottom))
        board[bar : bar + 4, col : col + height // 4] = ink
        if rng.random() < 0.5:
            board[top:bottom, col + height // 4 - 3 : col + height // 4] = ink
    return to_bytes(board)
