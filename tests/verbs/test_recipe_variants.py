"""Recipes that differ in one thing, and the pairs that change one."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from latentdepth.train.config import DataConfig, TrainConfig
from latentdepth.train.options import DenoiseOptions
from latentdepth.train.recipes import read_recipe
from latentdepth.verbs.recipe_variants import changed, variants

_TWO = TrainConfig(data=(DataConfig("rooms", Path("a"), weight=9), DataConfig("streets", Path("b"))))


def test_noise_has_the_three_forms_of_the_papers_table():
    recipe = read_recipe("tiny-depth")
    found = {
        value: one.denoise for value, one in variants(recipe, "noise", ["gaussian", "multires", "annealed"]).items()
    }
    base = recipe.denoise
    assert found == {
        "gaussian": replace(base, noise="gaussian", annealed=False),
        "multires": replace(base, noise="paper", annealed=False),
        "annealed": replace(base, noise="paper", annealed=True),
    }
    plain = replace(recipe, denoise=DenoiseOptions(noise="gaussian"))
    assert variants(plain, "noise", ["multires"])["multires"].denoise.noise == "paper"


def test_only_the_varied_thing_differs():
    for value, one in variants(_TWO, "weights", ["1:0", "1:1"]).items():
        assert [data.weight for data in one.data] == [float(w) for w in value.split(":")]
        assert replace(one, data=_TWO.data) == _TWO
    found = variants(_TWO, "sets", ["rooms", "streets", "rooms+streets"])
    assert [[data.name for data in one.data] for one in found.values()] == [
        ["rooms"],
        ["streets"],
        ["rooms", "streets"],
    ]
    rates = variants(_TWO, "optim.lr", ["1e-4", "3e-5"])
    assert [one.optim.lr for one in rates.values()] == [1e-4, 3e-5]
    assert replace(rates["1e-4"], optim=_TWO.optim) == _TWO


def test_changes_are_toml_values_under_dotted_keys():
    found = changed(
        _TWO,
        ["loop.steps=7", "data.1.path=else where", "denoise.annealed=false", "lora.rank=4", "data.0.augment.flip=0"],
    )
    assert (found.loop.steps, found.data[1].path, found.denoise.annealed) == (7, Path("else where"), False)
    assert found.lora is not None
    assert (found.lora.rank, found.data[0].augment.flip) == (4, 0.0)
    assert changed(_TWO, []) == _TWO


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("loop.steps", "give KEY=VALUE"),
        ("loop.stepps=3", r"did you mean loop\.steps"),
        ("loop.steps=many", r"loop\.steps is 'many'"),
        ("data.5.weight=1", r"no key data\.5\.weight in this recipe"),
        ("task.name=x", r"no key task\.name"),
        ("loop.steps=0", r"loop\.steps is 0"),
    ],
)
def test_a_change_that_cannot_be_is_named(change: str, message: str):
    with pytest.raises(ValueError, match=message):
        changed(_TWO, [change])


@pytest.mark.parametrize(
    ("vary", "value", "message"),
    [
        ("noise", "pink", "allowed are gaussian, multires, annealed"),
        ("weights", "1:2:3", "sets are rooms, streets; give one number for each"),
        ("weights", "a:b", "such as 9:1"),
        ("sets", "rooms+sea", "no set 'sea'; it has rooms, streets"),
    ],
)
def test_a_value_that_cannot_be_is_named(vary: str, value: str, message: str):
    with pytest.raises(ValueError, match=message):
        variants(_TWO, vary, [value])


def test_noise_of_a_task_without_any_is_refused():
    with pytest.raises(ValueError, match="task is end_to_end, which has none"):
        variants(replace(_TWO, task="end_to_end"), "noise", ["gaussian"])
