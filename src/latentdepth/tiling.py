"""A photo larger than the network, looked at in pieces that fit together: any predictor at full resolution.

    1 one coarse prediction of the whole photo       2 tiles laid out          3 every tile predicted, kept on disk
    4 scales and shifts of all tiles, jointly        5 a running mean of the fitted tiles, blended by Gaussian weights
    6 the coarse map where no tile is                7 broad differences from the coarse map taken back

Predictors whose values are absolute (metric, normals) skip 4 and 7, so a predictor that looks at single pixels
gives exactly what it gives for the whole photo. With tiles latent, ``tile_latent`` does 3 to 5 within a diffusion
model. Papers: PatchFusion (arXiv 2312.02284) for layouts and blending, BoostingMonocularDepth (2105.14021) for the
tiles' size and place. Knows predictors by their signature alone. Photos are read piece by piece, so one of 100
megapixels may stay on the disk.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TypeAlias, get_args

import torch
from jaxtyping import Float
from torch import Tensor

from latentdepth.core.context import within
from latentdepth.core.modality import resize
from latentdepth.core.tiles import Window
from latentdepth.core.types import Invariance, Prediction
from latentdepth.options import PredictOptions, TileMode, TileOptions
from latentdepth.predictor import DiffusionPredictor, LoadedPredictor, Predictor
from latentdepth.tile_fusion import blend, fit, in_range, keep_layout, read
from latentdepth.tile_latent import denoise_jointly, make_canvas
from latentdepth.tile_pixels import Pixels, crop, longer_side, shrink, size_of
from latentdepth.tile_plan import Plan, make_plan, native_size
from latentdepth.tile_store import Extent, TileStore, opened

OnTile: TypeAlias = Callable[[int, int], None]
"""Called with how many tiles are finished, and of how many."""


def predict_tiled(
    predictor: Predictor,
    image: Pixels,
    options: PredictOptions | None = None,
    *,
    tiles: TileOptions,
    folder: Path | None = None,
    on_tile: OnTile = lambda done, total: None,
) -> Prediction:
    """Predict one photo, in [0, 1] or 8 bits, at its own size. ``options.resolution`` is what the network sees at once.

    ``folder`` (empty, or an earlier call's) keeps finished tiles: the same call goes on after a kill; it is removed at
    the end. Values in memory: the result, a strip of the photo, and what one prediction takes. Raises ValueError for
    options out of range and what the predictor refuses.
    """
    options = options or PredictOptions()
    check(predictor, options, tiles)
    native = native_size(predictor, options, tiles)
    each = replace(options, resolution=0)
    whole, coarse = _coarse(predictor, image, each, native, tiles)  # 1
    plan = make_plan(image, native, tiles, coarse)  # 2
    key = _key(predictor, whole, plan, each, tiles)
    parts = [coarse.value] if coarse.uncertainty is None else [coarse.value, coarse.uncertainty]
    coarse_map = torch.cat(parts, 1)
    count = used = len(plan.windows)
    if tiles.tiles == "latent" and isinstance(predictor, DiffusionPredictor):
        canvas = make_canvas(plan, predictor.model.stride, tiles)
        count = used = len(canvas.windows)
        joined = denoise_jointly(predictor, image, canvas, each, folder=folder, key=key, on_window=on_tile)
    else:
        extent = Extent(count, coarse_map.shape[1], *plan.seen, *size_of(image))
        with opened(folder, key, extent) as store:
            for number, window in enumerate(plan.windows):  # 3
                if number not in store.done:
                    store.put(number, _look(predictor, image, window, plan.seen, each, coarse))
                on_tile(len(store.done), count)
            joined, used = _joined(store, plan, coarse, coarse_map, tiles)  # 4 to 6
    if plan.fitted:
        joined = keep_layout(joined, coarse_map, plan)  # 7
    channels = coarse.value.shape[1]
    made_with = {"tiles": tiles.tiles, "tile_size": max(plan.layout.tile_height, plan.layout.tile_width)}
    made_with |= {"tile_count": count, "tiles_left_out": count - used}
    return Prediction(
        value=in_range(joined[:, :channels], coarse.kind),
        kind=coarse.kind,
        uncertainty=None if coarse.uncertainty is None else joined[:, channels:],
        made_with={**coarse.made_with, "resolution": native, **made_with},
    )


def check(predictor: Predictor, options: PredictOptions, tiles: TileOptions) -> None:
    """Raise ValueError for what no photo can be looked at with, before the first is."""
    if tiles.tiles == "off":
        allowed = ", ".join(mode for mode in get_args(TileMode) if mode != "off")
        raise ValueError(f"tiles is off; allowed here are {allowed}")
    if not options.match_input:
        raise ValueError("match_input is off, and what comes of tiles has the photo's size: leave out one of them")
    native_size(predictor, options, tiles)
    if tiles.tiles != "latent":
        return
    if not isinstance(predictor, DiffusionPredictor):
        name = predictor.name if isinstance(predictor, LoadedPredictor) else type(predictor).__name__
        raise ValueError(
            f"tiles is latent, which joins the steps of a diffusion model, and {name} has none: give --tiles grid (or "
            "shifted, random, adaptive)"
        )
    if predictor.plan(options).auto is not None:
        raise ValueError("tiles is latent, where all tiles take the same steps and members: give numbers, not auto")


def _joined(
    store: TileStore,
    plan: Plan,
    coarse: Prediction,
    coarse_map: Float[Tensor, "1 c hs ws"],
    tiles: TileOptions,
) -> tuple[Float[Tensor, "1 c h w"], int]:
    """Finished tiles as one map, and how many of them are in it."""
    freedom = "scale" if coarse.kind.invariance is Invariance.SCALE else "affine"
    placed = fit(store, plan, coarse.value, freedom) if plan.fitted and plan.windows else None  # 4
    used = blend(store, plan, placed, coarse.value.shape[1])  # 5
    return read(store, coarse_map if plan.fitted or tiles.tiles == "adaptive" else None), used  # 6


class TiledPredictor:
    """A predictor that looks at every photo in tiles: for whatever takes a predictor.

    ``folder`` keeps finished tiles.
    """

    def __init__(
        self,
        predictor: LoadedPredictor,
        tiles: TileOptions,
        *,
        folder: Path | None = None,
        on_tile: OnTile = lambda done, total: None,
    ) -> None:
        self.predictor, self.tiles, self.folder, self.on_tile = predictor, tiles, folder, on_tile
        self.modality, self.name = predictor.modality, predictor.name

    def describe(self) -> dict[str, str | int | float | bool]:
        """What is known about the model, in printable words."""
        return {**self.predictor.describe(), "tiles": self.tiles.tiles}

    def __call__(self, images: Float[Tensor, "n 3 h w"], options: PredictOptions | None = None) -> Prediction:
        """Each image alone; see ``predict_tiled``."""
        found = [
            predict_tiled(self.predictor, image, options, tiles=self.tiles, folder=self.folder, on_tile=self.on_tile)
            for image in images.split(1)
        ]
        unsure = [one.uncertainty for one in found if one.uncertainty is not None]
        return replace(
            found[0],
            value=torch.cat([one.value for one in found]),
            uncertainty=torch.cat(unsure) if unsure else None,
        )


def _coarse(
    predictor: Predictor, image: Pixels, each: PredictOptions, native: int, tiles: TileOptions
) -> tuple[Float[Tensor, "1 3 hs ws"], Prediction]:
    """What the network sees of the whole photo, and its prediction. A wrapping photo is seen with what lies beyond."""
    height, width = size_of(image)
    small = shrink(image, longer_side(height, width, min(native, max(height, width))))
    if tiles.wrap == "none":
        return small, predictor(small, each)
    rows, columns = small.shape[-2:]
    beyond_y, beyond_x = (rows // 4 if tiles.wrap == "both" else 0), columns // 4
    window = Window((rows - beyond_y) % rows, columns - beyond_x, rows + 2 * beyond_y, columns + 2 * beyond_x)
    found = predictor(within(small, window), each)
    inside = (..., slice(beyond_y, beyond_y + rows), slice(beyond_x, beyond_x + columns))
    unsure = None if found.uncertainty is None else found.uncertainty[inside]
    return small, replace(found, value=found.value[inside], uncertainty=unsure)


def _look(
    predictor: Predictor, image: Pixels, window: Window, seen: tuple[int, int], each: PredictOptions, coarse: Prediction
) -> Float[Tensor, "1 c ht wt"]:
    """One tile's values, and its uncertainty as the last channel where there is one."""
    found = predictor(resize(crop(image, window), seen).clamp(0, 1), each)
    if found.kind != coarse.kind:
        raise ValueError(f"the model gave {found.kind} for a tile and {coarse.kind} for the whole photo")
    joined = found.value if found.uncertainty is None else torch.cat((found.value, found.uncertainty), 1)
    return joined.float().cpu()


def _key(predictor: Predictor, whole: Tensor, plan: Plan, each: PredictOptions, tiles: TileOptions) -> str:
    """What stored tiles are of: photo (by its thumbnail), model, layout and options."""
    name = predictor.name if isinstance(predictor, LoadedPredictor) else type(predictor).__name__
    digest = hashlib.sha256(repr((name, plan, each, tiles)).encode())
    digest.update(whole.numpy().tobytes())
    return digest.hexdigest()
