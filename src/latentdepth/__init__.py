"""Monocular depth from generative image priors.

    import latentdepth
    result = latentdepth.predict("photo.jpg")
    result.save("results/photo")

Names are resolved when they are first used, so importing the package (and ``latentdepth --help``) stays quick.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from latentdepth.api import Result, predict
    from latentdepth.core.types import Camera, Kind, Prediction
    from latentdepth.export import read_prediction, write
    from latentdepth.images import Photo, read
    from latentdepth.loading import load
    from latentdepth.options import PredictOptions, TileOptions

__version__ = "0.1.0"
__all__ = [
    "Camera",
    "Kind",
    "Photo",
    "PredictOptions",
    "Prediction",
    "Result",
    "TileOptions",
    "load",
    "predict",
    "read",
    "read_prediction",
    "write",
]

_WHERE = {
    "Camera": "core.types",
    "Kind": "core.types",
    "Photo": "images",
    "PredictOptions": "options",
    "Prediction": "core.types",
    "Result": "api",
    "TileOptions": "options",
    "load": "loading",
    "predict": "api",
    "read": "images",
    "read_prediction": "export",
    "write": "export",
}


def __getattr__(name: str) -> Any:
    if name not in _WHERE:
        raise AttributeError(f"module 'latentdepth' has no attribute {name!r}; it has {', '.join(__all__)}")
    value = getattr(import_module(f"latentdepth.{_WHERE[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return __all__
