"""The command line of training: a recipe's values are the options' defaults, and options win."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from latentdepth.config import read_toml
from latentdepth.train.config import TrainConfig
from latentdepth.train.recipes import read_recipe
from latentdepth.verbs.train import Train, parse, run


def test_without_options_the_recipe_is_what_runs():
    verb = parse(["marigold-depth-v1-1"])
    assert verb == Train("marigold-depth-v1-1", config=read_recipe("marigold-depth-v1-1"))


def test_options_win_over_the_recipe_and_the_recipe_over_the_defaults():
    words = ["lora-depth", "--optim.lr", "1e-5", "--data.0.path", "mine", "--lora.rank", "8", "--out", "x", "--fresh"]
    verb = parse([*words, "--data.0.augment.flip", "0", "--loop.no-recompute", "--loop.minutes", "5"])
    recipe, changed = read_recipe("lora-depth"), verb.config
    assert recipe.lora is not None
    assert changed.lora is not None
    assert (changed.optim.lr, changed.lora.rank, changed.loop.minutes) == (1e-5, 8, 5.0)
    assert changed.data[0].path == Path("mine")
    assert changed.data[0].augment == replace(recipe.data[0].augment, flip=0.0)
    assert changed.optim == replace(recipe.optim, lr=1e-5)
    assert changed.loop == replace(recipe.loop, recompute=False, minutes=5.0)
    assert (verb.out, verb.fresh, changed.validate) == (Path("x"), True, recipe.validate)


def test_help_shows_the_recipes_own_values(capsys: pytest.CaptureFixture[str]):
    with pytest.raises(SystemExit, match="0"):
        parse(["lcm-depth", "--help"])
    shown = " ".join(capsys.readouterr().out.split())
    assert "(default: 3e-06)" in shown
    assert "--consistency.target-decay" in shown
    with pytest.raises(SystemExit, match="0"):
        parse(["--help"])


def test_a_recipe_must_be_named_first():
    with pytest.raises(ValueError, match=r"the first word after train is the recipe: .*e2e-depth, "):
        parse(["--optim.lr", "1"])
    with pytest.raises(ValueError, match="did you mean tiny-depth"):
        parse(["tiny-deth"])


def test_a_dry_run_names_what_is_missing_and_writes_nothing(tmp_path: Path):
    verb = parse(["tiny-depth", "--data-root", str(tmp_path), "--dry", "--out", str(tmp_path / "run")])
    with pytest.raises(ValueError, match=r"data synthetic: .*data/synthetic does not exist"):
        run(verb)
    assert not list(tmp_path.iterdir())


def test_a_recipe_of_ones_own_is_a_path(tmp_path: Path):
    path = tmp_path / "mine.toml"
    path.write_text('[loop]\nsteps = 7\n[[data]]\nname = "a"\npath = "b"\n')
    assert parse([str(path)]).config == read_toml(TrainConfig, path)
