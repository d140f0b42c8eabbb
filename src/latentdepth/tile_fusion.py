"""From predicted tiles to one map: fitted to the coarse map and each other, blended, gaps filled.

Works on stored tiles, one at a time. The least squares are ``core.offsets``; knows neither predictors nor photos.
"""

from __future__ import annotations

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn import functional as F

from latentdepth.core.modality import resize
from latentdepth.core.offsets import Freedom, Placed, Sightings, edge_trust, place
from latentdepth.core.tiles import Window, blend_weights
from latentdepth.core.types import Invariance, Kind, Quantity
from latentdepth.tile_plan import Plan
from latentdepth.tile_store import TileStore

_POINTS = 24  # along each side of a tile, where fits compare
_LAYOUT_BLUR = 1 / 6
_CELLS = 4  # a tile has a shape even where the coarse map sees it as a pixel
_STRIP = 256  # rows


def fit(store: TileStore, plan: Plan, coarse: Float[Tensor, "1 1 hs ws"], freedom: Freedom) -> Placed:
    """Scale and shift of every tile, from points of one lattice over the photo, which all tiles share."""
    layout = plan.layout
    lattice_y = torch.arange(0, layout.height, max(1, layout.tile_height // _POINTS))
    lattice_x = torch.arange(0, layout.width, max(1, layout.tile_width // _POINTS))
    whole = Window(0, 0, layout.height, layout.width)
    target = values_at(coarse, whole, lattice_y, lattice_x).flatten()
    trust = values_at(edge_trust(coarse), whole, lattice_y, lattice_x).flatten()
    tile, point, value, weight = [], [], [], []
    for number, window in enumerate(plan.windows):
        # at the coarse map's own resolution: detail that it can't hold would pass for disagreement and cost scale
        cells = (
            max(_CELLS, round(window.height * coarse.shape[-2] / layout.height)),
            max(_CELLS, round(window.width * coarse.shape[-1] / layout.width)),
        )
        seen = store.get(number)[:, :1]
        seen = resize(seen, (min(cells[0], seen.shape[-2]), min(cells[1], seen.shape[-1])))
        y, x = (lattice_y - window.top) % layout.height, (lattice_x - window.left) % layout.width
        rows, columns = (y < window.height).nonzero()[:, 0], (x < window.width).nonzero()[:, 0]
        y, x = y[rows], x[columns]
        own = Window(0, 0, window.height, window.width)
        tile.append(torch.full((len(rows) * len(columns),), number))
        point.append((rows[:, None] * len(lattice_x) + columns).flatten())
        value.append(values_at(seen, own, y, x).flatten())
        blended = blend_weights(window, layout)[0, 0][y[:, None], x]
        weight.append((blended * values_at(edge_trust(seen), own, y, x)).flatten())
    sightings = Sightings(torch.cat(tile), torch.cat(point), torch.cat(value), torch.cat(weight))
    return place(sightings, target, trust, tiles=len(plan.windows), freedom=freedom)


def values_at(
    value: Float[Tensor, "1 1 hs ws"], window: Window, y_px: Int[Tensor, " a"], x_px: Int[Tensor, " b"]
) -> Float[Tensor, "a b"]:
    """A map that spans a window, read bilinearly at pixels (counted from the window's corner) of the window's size."""
    grid_y = (y_px.double() + 0.5) / window.height * 2 - 1
    grid_x = (x_px.double() + 0.5) / window.width * 2 - 1
    at = torch.stack(torch.meshgrid(grid_x, grid_y, indexing="xy"), -1)[None].float()
    return F.grid_sample(value, at, padding_mode="border", align_corners=False)[0, 0]


def blend(store: TileStore, plan: Plan, placed: Placed | None, value_channels: int) -> int:
    """The running weighted mean of all tiles, in the store's ``value`` and ``weight``; returns how many were used.

    PatchFusion's A <- (A C + p w) / (C + w) as A <- A + (p - A) w / (C + w), which leaves A as it is where tiles agree.
    """
    used = 0
    for number, window in enumerate(plan.windows):
        values = store.get(number)
        if placed is not None:
            if not bool(placed.scale[number].isfinite()):
                continue
            scale, shift = placed.scale[number], placed.shift[number]
            line = (values[:, :value_channels].double() * scale + shift).float()
            values = torch.cat((line, values[:, value_channels:] * float(scale)), 1)  # uncertainty knows no shift
        used += 1
        values = resize(values, (window.height, window.width), antialias=False)
        weights = blend_weights(window, plan.layout)[0, 0]
        for rows, image_rows in _runs(window.top, window.height, plan.layout.height):
            for columns, image_columns in _runs(window.left, window.width, plan.layout.width):
                _add(store, values[0][:, rows, columns], weights[rows, columns], image_rows, image_columns)
    return used


def _add(store: TileStore, values: Tensor, weights: Tensor, rows: slice, columns: slice) -> None:
    """One piece of a tile that doesn't wrap into the running mean."""
    total = torch.from_numpy(store.rows("weight", 0, rows.start, rows.stop))[:, columns]
    share = weights / (total + weights)
    for layer, value in enumerate(values):
        mean = torch.from_numpy(store.rows("value", layer, rows.start, rows.stop))[:, columns]
        mean += (value - mean) * share
    total += weights


def _runs(first: int, length: int, whole: int) -> list[tuple[slice, slice]]:
    """A stretch that may wrap, as pieces that don't: (in the tile, in the image)."""
    before = min(length, whole - first)
    pieces = [(slice(0, before), slice(first, first + before))]
    return pieces + ([(slice(before, length), slice(0, length - before))] if before < length else [])


def read(store: TileStore, coarse: Float[Tensor, "1 c hs ws"] | None) -> Float[Tensor, "1 c h w"]:
    """The finished map. Where tiles count less than 1 together, ``coarse`` makes up for it, fading in towards 0."""
    extent = store.extent
    joined = torch.empty(1, extent.channels, extent.height, extent.width)
    whole = Window(0, 0, extent.height, extent.width)
    columns = torch.arange(extent.width)
    for top in range(0, extent.height, _STRIP):
        bottom = min(top + _STRIP, extent.height)
        lacking = 1 - torch.from_numpy(store.rows("weight", 0, top, bottom)).clamp(max=1)
        fill = coarse is not None and bool((lacking > 0).any())
        for layer in range(extent.channels):
            strip = joined[0, layer, top:bottom]
            strip.copy_(torch.from_numpy(store.rows("value", layer, top, bottom)))
            if fill and coarse is not None:
                below = values_at(coarse[:, layer : layer + 1], whole, torch.arange(top, bottom), columns)
                strip += (below - strip) * lacking
    return joined


def keep_layout(
    joined: Float[Tensor, "1 c h w"], coarse: Float[Tensor, "1 c hs ws"], plan: Plan
) -> Float[Tensor, "1 c h w"]:
    """Broad differences from the coarse map taken back, in place; a tile has too little context to be believed in them.

    Broad is what a Gaussian of a sixth of a tile's side leaves of the difference, looked at where neither map has an
    edge: where they have, the coarse map is merely blurred.
    """
    size = (coarse.shape[-2], coarse.shape[-1])
    narrow = [resize(strip, (strip.shape[-2], size[1])) for strip in joined[:, :1].split(_STRIP, 2)]
    small = resize(torch.cat(narrow, 2), size)
    trust = edge_trust(small) * edge_trust(coarse[:, :1]) + 1e-6
    gap = trust * (coarse[:, :1] - small)
    for axis, tile, whole in (
        (-2, plan.layout.tile_height, plan.layout.height),
        (-1, plan.layout.tile_width, plan.layout.width),
    ):
        sigma = tile / whole * size[axis] * _LAYOUT_BLUR
        gap, trust = _blurred(gap, sigma, axis), _blurred(trust, sigma, axis)
    window, columns = Window(0, 0, joined.shape[-2], joined.shape[-1]), torch.arange(joined.shape[-1])
    for top in range(0, window.height, _STRIP):
        rows = torch.arange(top, min(top + _STRIP, window.height))
        joined[0, 0, top : top + len(rows)] += values_at(gap / trust, window, rows, columns)
    return joined


def _blurred(value: Float[Tensor, "1 1 hs ws"], sigma: float, axis: int) -> Float[Tensor, "1 1 hs ws"]:
    """By a Gaussian along one axis; nothing lies beyond the map's ends, so divide by as much of the weights."""
    at = torch.arange(value.shape[axis], dtype=value.dtype)
    kernel = torch.exp(-0.5 * ((at[:, None] - at) / max(sigma, 1e-3)) ** 2)
    return kernel @ value if axis == -2 else value @ kernel


def in_range(value: Float[Tensor, "1 c h w"], kind: Kind) -> Float[Tensor, "1 c h w"]:
    """What a prediction promises, restored in place: [0, 1] for relative values, unit length for normals."""
    if kind.quantity is Quantity.NORMALS:
        return value.div_(value.norm(dim=1, keepdim=True).clamp_min(1e-6))
    if kind.invariance is Invariance.METRIC:
        return value
    if kind.invariance is Invariance.SCALE:
        return value.clamp_(min=0).div_(value.max().clamp_min(1))
    low, high = value.min().clamp_max(0), value.max().clamp_min(1)
    return value.sub_(low).div_(high - low)
