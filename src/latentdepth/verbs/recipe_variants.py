"""One recipe made into several that differ in one thing, for ablations of training. Trains nothing, knows no torch."""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Sequence
from typing import Any

from latentdepth.config import from_dict, to_dict
from latentdepth.train.config import TrainConfig, flat

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

_NOISE = ("gaussian", "multires", "annealed")


def variants(recipe: TrainConfig, vary: str, values: Sequence[str]) -> dict[str, TrainConfig]:
    """The recipe once for each value.

    ``vary`` is ``noise`` (gaussian, multires, annealed: the three of Marigold's table), ``weights`` of the data sets in
    the recipe's order (``9:1``), ``sets`` that are trained on (names joined by ``+``), or any dotted key of the recipe,
    such as ``optim.lr``. Raises ValueError for a value that the recipe can't take.
    """
    one = {"noise": _with_noise, "weights": _with_weights, "sets": _with_sets}.get(vary)
    if one is None:
        return {value: changed(recipe, [f"{vary}={value}"]) for value in values}
    return {value: one(recipe, value) for value in values}


def changed(recipe: TrainConfig, changes: Sequence[str]) -> TrainConfig:
    """The recipe with ``KEY=VALUE`` carried out, dotted keys and values as in TOML: ``loop.steps=200``.

    Raises ValueError for what is no such pair, unknown keys and values of the wrong type.
    """
    table = to_dict(recipe)
    for change in changes:
        key, given, value = change.partition("=")
        if not given or not key:
            raise ValueError(f"{change!r} is no change of a recipe; give KEY=VALUE, such as loop.steps=200")
        _put(table, key.strip(), _parsed(value.strip()))
    try:
        return from_dict(TrainConfig, table)
    except ValueError as error:
        raise ValueError(f"{', '.join(changes)}: {error}") from error


def _parsed(text: str) -> Any:
    """A TOML value; text without quotes is text."""
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        return text


def _put(table: dict[str, Any], key: str, value: Any) -> None:
    *path, last = key.split(".")
    place: Any = table
    for part in path:
        if isinstance(place, list) and part.isdigit() and int(part) < len(place):
            place = place[int(part)]
        else:
            place = place.setdefault(part, {}) if isinstance(place, dict) else None
    if not isinstance(place, dict):
        raise ValueError(
            f"there is no key {key} in this recipe; keys are such as {', '.join(list(flat(table))[:6])}, ..."
        )
    place[last] = value


def _with_noise(recipe: TrainConfig, value: str) -> TrainConfig:
    if value not in _NOISE:
        raise ValueError(
            f"noise is {value!r}; allowed are {', '.join(_NOISE)}; for one strategy of multi-resolution noise give "
            "--vary denoise.noise paper,original,..."
        )
    if recipe.task != "denoise":
        raise ValueError(
            f"noise is varied, but the recipe's task is {recipe.task}, which has none; take a denoise recipe"
        )
    coarse = "paper" if recipe.denoise.noise == "gaussian" else recipe.denoise.noise
    noise = "gaussian" if value == "gaussian" else coarse
    denoise = dataclasses.replace(recipe.denoise, noise=noise, annealed=value == "annealed")
    return dataclasses.replace(recipe, denoise=denoise)


def _with_weights(recipe: TrainConfig, value: str) -> TrainConfig:
    names = [data.name for data in recipe.data]
    try:
        weights = [float(one) for one in value.split(":")]
    except ValueError:
        weights = []
    if len(weights) != len(names) or len(names) < 2:
        raise ValueError(
            f"weights is {value!r}, and the recipe's sets are {', '.join(names) or 'none'}; give one number for each "
            "of two or more sets, such as 9:1"
        )
    data = tuple(dataclasses.replace(one, weight=w) for one, w in zip(recipe.data, weights, strict=True))
    return dataclasses.replace(recipe, data=data)


def _with_sets(recipe: TrainConfig, value: str) -> TrainConfig:
    names, wanted = [data.name for data in recipe.data], value.split("+")
    unknown = [name for name in wanted if name not in names]
    if unknown:
        raise ValueError(f"sets is {value!r}, but the recipe has no set {unknown[0]!r}; it has {', '.join(names)}")
    return dataclasses.replace(recipe, data=tuple(one for one in recipe.data if one.name in wanted))
