"""Recipes by name or path. Knows no torch; what a recipe may say stands in ``config``."""

from __future__ import annotations

import difflib
from pathlib import Path

from latentdepth.config import read_toml
from latentdepth.train.config import TrainConfig

SHIPPED = Path(__file__).parents[1] / "recipes"


def recipe_names() -> list[str]:
    """The recipes that ship with the package."""
    return sorted(path.stem for path in SHIPPED.glob("*.toml"))


def recipe_path(name: str) -> Path:
    """A shipped recipe's file, or the path that was given. ValueError says what there is."""
    if name in recipe_names():
        return SHIPPED / f"{name}.toml"
    if name.endswith(".toml"):
        return Path(name)
    near = difflib.get_close_matches(name, recipe_names(), n=1)
    hint = f"did you mean {near[0]}? " if near else ""
    raise ValueError(
        f"there is no recipe {name!r}: {hint}there are {', '.join(recipe_names())}, or give the path of a .toml file"
    )


def read_recipe(name: str) -> TrainConfig:
    """The recipe ``name``, strictly: an unknown key or a wrong type is a ValueError with file and key."""
    return read_toml(TrainConfig, recipe_path(name))
