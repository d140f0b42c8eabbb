"""Which tiles of a photo are looked at, how large they are, and at what size the network sees them.

Knows predictors by what they say of themselves; the layouts are ``core.tiles``, the search ``core.context``.
"""

from __future__ import annotations

from dataclasses import dataclass

from latentdepth.core.context import context_resolution, dense_windows
from latentdepth.core.modality import resize
from latentdepth.core.tiles import Layout, Window, grid, random_windows, shifted_grids
from latentdepth.core.types import Invariance, Prediction
from latentdepth.options import PredictOptions, TileOptions
from latentdepth.predictor import LoadedPredictor, Predictor
from latentdepth.tile_pixels import Pixels, longer_side, shrink, size_of

THUMBNAIL_PX = 768
"""Longer side at which contours and detail are looked for."""
_LEAST_SHAPE = 3 / 4  # shorter side of a tile over its longer: networks are trained on 4:3 and squares


@dataclass(frozen=True)
class Plan:
    """What is looked at: the windows, at which size the network sees each, and whether they are fitted."""

    layout: Layout
    windows: tuple[Window, ...]
    seen: tuple[int, int]
    """Height and width that the network gets for each window."""
    fitted: bool


def native_size(predictor: Predictor, options: PredictOptions, tiles: TileOptions) -> int:
    """Longer side in pixels that the network sees at once: as asked, as the model says, else a tile's own size.

    Resolution 0 is a tile's own size too. Raises ValueError where none of the three is known, and for negative sizes.
    """
    if options.resolution is not None and options.resolution < 0:
        raise ValueError(f"resolution is {options.resolution}; allowed is 0 or more pixels")
    if options.resolution == 0:
        if tiles.tile_size is None:
            raise ValueError(
                "resolution is 0, which is a photo's own size, and tiles are as large as what the network sees: give "
                "tile_size too (tiles are then seen at their own size), or leave resolution out"
            )
        return tiles.tile_size
    said = predictor.describe().get("default resolution") if isinstance(predictor, LoadedPredictor) else None
    for found in (options.resolution, said, tiles.tile_size):
        if isinstance(found, int) and found > 0:
            return found
    raise ValueError("the model doesn't say what size it sees; give resolution (pixels) or tile_size")


def make_plan(image: Pixels, native: int, tiles: TileOptions, coarse: Prediction) -> Plan:
    """Lay out the tiles. A tile larger than the photo is the photo."""
    height, width = size_of(image)
    longer = max(height, width)
    tile = tiles.tile_size or min(native, longer)
    fitted = coarse.kind.invariance is not Invariance.METRIC
    thumbnail = None
    if tiles.tile_by_context or tiles.tiles == "adaptive":
        thumbnail = shrink(image, longer_side(height, width, min(longer, THUMBNAIL_PX)))
    if tiles.tile_by_context and thumbnail is not None:
        tile = max(1, round(native * longer / context_resolution(thumbnail, sees_px=native, longer_px=longer)))
    shape = max(_LEAST_SHAPE, min(height, width) / longer)
    sides = (tile, max(1, round(tile * shape)))
    tile_height, tile_width = sides if height > width else sides[::-1]
    layout = Layout(height, width, min(tile_height, height), min(tile_width, width), tiles.wrap)
    scale = native / tile
    seen = (max(1, round(layout.tile_height * scale)), max(1, round(layout.tile_width * scale)))
    windows = grid(layout, overlap=tiles.tile_overlap)
    if tiles.tiles in ("shifted", "random"):
        windows = shifted_grids(layout, overlap=tiles.tile_overlap)
    if tiles.tiles == "random":
        windows += random_windows(layout, count=tiles.random_tiles, seed=0)
    if tiles.tiles == "adaptive" and thumbnail is not None:
        unsure = None if coarse.uncertainty is None else resize(coarse.uncertainty, size_of(thumbnail))
        small = [_scaled(window, height, width, *size_of(thumbnail)) for window in windows]
        kept = set(dense_windows(small, thumbnail, unsure))
        windows = [window for window, there in zip(windows, small, strict=True) if there in kept]
    return Plan(layout, tuple(windows), seen, fitted)


def _scaled(window: Window, height: int, width: int, to_height: int, to_width: int) -> Window:
    """The window on the same image at another size, at least a pixel large."""
    top, left = window.top * to_height // height, window.left * to_width // width
    bottom = -(-(window.top + window.height) * to_height // height)
    right = -(-(window.left + window.width) * to_width // width)
    return Window(top, left, max(1, bottom - top), max(1, right - left))
