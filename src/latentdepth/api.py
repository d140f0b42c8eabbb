"""One call from a photo to a result that can be saved: the Python door.

The same path as the command line; holds no logic of its own.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from jaxtyping import Float

from latentdepth.core.types import Prediction
from latentdepth.export import write
from latentdepth.images import Photo, Source, read
from latentdepth.loading import load
from latentdepth.options import DEFAULT_MODEL, PredictOptions, TileOptions
from latentdepth.predictor import Predictor
from latentdepth.tiling import predict_tiled


@dataclass(frozen=True)
class Result:
    """A photo and what was predicted for it."""

    photo: Photo
    prediction: Prediction

    @property
    def value(self) -> Float[np.ndarray, "h w"] | Float[np.ndarray, "h w 3"]:
        """Depth or disparity as (h, w), normals as (h, w, 3); float32."""
        array = self.prediction.value[0].numpy()
        return array[0] if array.shape[0] == 1 else array.transpose(1, 2, 0)

    @property
    def uncertainty(self) -> Float[np.ndarray, "h w"] | None:
        """Spread of the ensemble at each pixel; None for a single member (ask for two or more)."""
        return None if self.prediction.uncertainty is None else self.prediction.uncertainty[0, 0].numpy()

    def save(
        self,
        path: str | Path,
        *,
        formats: Sequence[str] = ("preview", "png16"),
        overwrite: bool = False,
        near_far: tuple[float, float] | None = None,
    ) -> list[Path]:
        """Write ``path`` + suffix for each format, and the sidecar JSON; see ``latentdepth.write``."""
        return write(
            self.prediction, Path(path), formats=formats, photo=self.photo, overwrite=overwrite, near_far=near_far
        )


def predict(
    source: Source,
    *,
    model: str | Predictor = DEFAULT_MODEL,
    options: PredictOptions | None = None,
    tiles: TileOptions | None = None,
) -> Result:
    """Read a photo (path, PIL image, array or tensor) and predict for it.

    ``model`` is a name (loaded for this call) or what ``latentdepth.load`` gave; load once when there are many photos.
    ``tiles`` looks at the photo in pieces, at its own size (``latentdepth.tiling.predict_tiled`` can also go on after a
    kill).
    """
    photo = read(source)
    predictor = load(model) if isinstance(model, str) else model
    options = options or PredictOptions()
    if tiles is None or tiles.tiles == "off":
        prediction = predictor(photo.pixels, options)
    else:
        prediction = predict_tiled(predictor, photo.pixels, options, tiles=tiles)
    return Result(photo, replace(prediction, camera=photo.camera or prediction.camera))
