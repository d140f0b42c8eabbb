"""Where tiles lie on an image, and how much each counts at each of its pixels.

The three layouts are PatchFusion's (arXiv 2312.02284): a grid, the grid and its shifts by half a step, and random tiles
on top; so are the blending weights, a box blurred by a Gaussian. Knows neither networks nor what is in the image.
"""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from latentdepth.core.noise import generator
from latentdepth.options import MOST_OVERLAP, Wrap

MARGIN = 0.1
"""Share of a side, at each end, that lies outside the box before it is blurred."""
BLUR = 1 / 16
"""Standard deviation of the blur as a share of the side."""
FLOOR = 1e-3
"""What a tile counts at its very border: little, but a pixel that only one tile sees has a value."""


@dataclass(frozen=True)
class Window:
    """A rectangle of the image in pixels. On a wrapping image it may reach past the right or lower edge."""

    top: int
    left: int
    height: int
    width: int


@dataclass(frozen=True)
class Layout:
    """What windows are laid out on: the image's size, one tile's size, and where the image goes on at its edge."""

    height: int
    width: int
    tile_height: int
    tile_width: int
    wrap: Wrap = "none"

    def __post_init__(self) -> None:
        if not (0 < self.tile_height <= self.height and 0 < self.tile_width <= self.width):
            raise ValueError(
                f"tiles are {self.tile_width} x {self.tile_height} pixels on an image of {self.width} x {self.height}; "
                "allowed are sides from 1 to the image's own"
            )

    @property
    def wraps_y(self) -> bool:
        return self.wrap == "both"

    @property
    def wraps_x(self) -> bool:
        return self.wrap != "none"


def starts(length: int, tile: int, overlap: float, *, wraps: bool) -> list[int]:
    """First pixels of tiles along one axis: evenly spaced, neighbours sharing at least ``overlap`` of a tile.

    The first and last tiles are flush with the edges; on a wrapping axis, where there is no edge, the last tile reaches
    round to the first. Raises ValueError for an overlap outside 0 to 0.9.
    """
    if not 0 <= overlap <= MOST_OVERLAP:
        raise ValueError(
            f"overlap is {overlap:g}; allowed is 0 to {MOST_OVERLAP} of a tile's side (at 1, tiles would never advance)"
        )
    step = max(1.0, tile * (1 - overlap))
    if wraps:
        count = math.ceil(length / step - 1e-9)
        return [k * length // count for k in range(count)]
    count = 1 + math.ceil((length - tile) / step - 1e-9)
    return [round(k * (length - tile) / max(1, count - 1)) for k in range(count)]


def grid(layout: Layout, *, overlap: float) -> list[Window]:
    """Tiles that cover the image, row by row."""
    return _products(layout, *_axes(layout, overlap))


def shifted_grids(layout: Layout, *, overlap: float) -> list[Window]:
    """The grid, and the grid moved half a step along x, along y and along both: 49 tiles for a 4 x 4 grid."""
    rows, columns = _axes(layout, overlap)
    between_rows = _between(rows, layout.height, wraps=layout.wraps_y)
    between_columns = _between(columns, layout.width, wraps=layout.wraps_x)
    found = []
    for some_rows in (rows, between_rows):
        for some_columns in (columns, between_columns):
            found += _products(layout, some_rows, some_columns)
    return found


def random_windows(layout: Layout, *, count: int, seed: int) -> list[Window]:
    """``count`` tiles anywhere on the image; the k-th depends on (seed, k) alone."""
    found = []
    for k in range(count):
        draw = generator("tile", seed, k)
        top, left = (
            int(torch.randint(side if wraps else side - tile + 1, (1,), generator=draw))
            for side, tile, wraps in (
                (layout.height, layout.tile_height, layout.wraps_y),
                (layout.width, layout.tile_width, layout.wraps_x),
            )
        )
        found.append(Window(top, left, layout.tile_height, layout.tile_width))
    return found


def blend_weights(window: Window, layout: Layout) -> Float[Tensor, "1 1 h w"]:
    """How much a tile counts at each of its pixels: 1 in the middle, 0.001 at its border.

    Towards an edge of the image the weight does not fall: no other tile takes over there.
    """
    rows = _profile(
        window.height,
        fade_low=layout.wraps_y or window.top > 0,
        fade_high=layout.wraps_y or window.top + window.height < layout.height,
    )
    columns = _profile(
        window.width,
        fade_low=layout.wraps_x or window.left > 0,
        fade_high=layout.wraps_x or window.left + window.width < layout.width,
    )
    return (rows[:, None] * columns + FLOOR)[None, None].float()


def _profile(length: int, *, fade_low: bool, fade_high: bool) -> Float[Tensor, " p"]:
    """A box blurred along one axis, 0 at a border where it fades and 1 in the middle, in float64."""
    reach = math.ceil(2 * BLUR * length)
    offsets = torch.arange(-reach, reach + 1, dtype=torch.float64)
    kernel = torch.exp(-0.5 * (offsets / (BLUR * length)) ** 2)
    at = torch.arange(-reach, length + reach)
    margin = int(MARGIN * length)

    def blurred(low: bool, high: bool) -> Tensor:
        box = ((at >= margin) | (not low)) & ((at < length - margin) | (not high))
        return (box.double().unfold(0, len(kernel), 1) * (kernel / kernel.sum())).sum(1)

    least = float(blurred(True, True).min())
    if least >= 1 - 1e-9:
        return torch.ones(length, dtype=torch.float64)  # too short to fade
    return ((blurred(fade_low, fade_high) - least) / (1 - least)).clamp(0, 1)


def _axes(layout: Layout, overlap: float) -> tuple[list[int], list[int]]:
    return (
        starts(layout.height, layout.tile_height, overlap, wraps=layout.wraps_y),
        starts(layout.width, layout.tile_width, overlap, wraps=layout.wraps_x),
    )


def _between(firsts: list[int], length: int, *, wraps: bool) -> list[int]:
    """Midway between neighbours; on a wrapping axis also between the last and the first."""
    closed = [*firsts, firsts[0] + length] if wraps else firsts
    return [(here + there) // 2 % length for here, there in itertools.pairwise(closed)]


def _products(layout: Layout, rows: list[int], columns: list[int]) -> list[Window]:
    return [Window(top, left, layout.tile_height, layout.tile_width) for top in rows for left in columns]
