"""Real photographs to try a model on: sample data that well-kept packages install, none of it copied here.

Knows where they lie, not what is done with them.
"""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

# name -> (package, file inside it); the packages state source and licence of each beside the file
_PHOTOS = {
    "temple": ("sklearn", "datasets/images/china.jpg"),
    "flower": ("sklearn", "datasets/images/flower.jpg"),
    "motorcycle": ("skimage", "data/motorcycle_left.png"),
    "coffee": ("skimage", "data/coffee.png"),
    "cat": ("skimage", "data/chelsea.png"),
    "portrait": ("matplotlib", "mpl-data/sample_data/grace_hopper.jpg"),
}


def sample_photos() -> dict[str, Path]:
    """Those of the sample photos that are installed, by name."""
    found = {}
    for name, (package, inside) in _PHOTOS.items():
        spec = find_spec(package)
        for folder in spec.submodule_search_locations or [] if spec else []:
            if (Path(folder) / inside).is_file():
                found[name] = Path(folder) / inside
    return found
