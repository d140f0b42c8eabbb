"""The recipes that ship: each is read strictly, says what it costs, and names only what exists."""

from __future__ import annotations

import re

import pytest

from latentdepth.models.source import SPELLINGS, resolve
from latentdepth.train.recipes import SHIPPED, read_recipe, recipe_names, recipe_path


def test_the_recipes_of_the_papers_and_of_this_package_are_there():
    assert recipe_names() == sorted(recipe_names())
    assert {
        "adapted-student",
        "dinov2-teacher",
        "e2e-depth",
        "guided-diffusion",
        "joined-student",
        "joined-teacher",
        "layout-student",
        "lcm-depth",
        "lora-depth",
        "lotus-d",
        "marigold-depth-v1-0",
        "marigold-depth-v1-1",
        "marigold-normals",
        "tiny-depth",
        "tiny-diffusion",
        "tiny-prior",
        "tiny-teacher",
        "tiny-vae",
    } <= set(recipe_names())


@pytest.mark.parametrize("name", recipe_names())
def test_a_recipe_is_sound_and_says_what_it_costs(name: str):
    config, text = read_recipe(name), recipe_path(name).read_text()
    header = text[: text.index("\n\n")]
    for entry in ("Command", "Hardware", "Time", "Score"):
        assert re.search(rf"^# {entry}  +\S", header, re.MULTILINE), entry
    assert f"train {name}" in header
    assert len({data.name for data in config.data}) == len(config.data) > 0
    assert config.loop.portions(1) >= 1
    assert config.validate.data or any(data.hold_out for data in config.data)
    scheme, _, rest = config.base.model.partition(":")
    assert scheme in ("builtin", "dir", "hub") or config.base.kind == "nothing", SPELLINGS
    if scheme == "builtin":
        assert resolve(config.base.model).is_dir()
    if scheme == "dir":
        assert rest in header  # what has to be put there is said
    if scheme == "hub":
        assert re.fullmatch(r"prs-eth/marigold-[a-z0-9-]+", rest)
    for other in re.findall(r"latentdepth train ([\w-]+)", header):
        assert other in recipe_names()


def test_the_stages_of_the_embedded_model_start_where_the_one_before_ends():
    """Each names the folders that others leave, by the names that `latentdepth train` gives them."""
    diffusion, prior = read_recipe("tiny-diffusion"), read_recipe("tiny-prior")
    assert prior.base.model == "dir:runs/tiny-vae/model"
    assert diffusion.base.model == "dir:runs/tiny-prior/model"
    assert diffusion.align is not None
    assert diffusion.align.teacher.as_posix() == "runs/tiny-teacher/model"
    folders = {
        data.path.as_posix() for name in ("tiny-teacher", "tiny-vae", "tiny-prior") for data in read_recipe(name).data
    }
    assert folders == {"data/photos", "data/synthetic"}


def test_the_two_marigold_versions_differ_in_the_noise_schedule_alone():
    old, new = read_recipe("marigold-depth-v1-0"), read_recipe("marigold-depth-v1-1")
    assert (old.base.schedule, new.base.schedule) == ("base", "zero_snr")
    assert (old.data, old.loop, old.optim, old.denoise) == (new.data, new.loop, new.optim, new.denoise)


def test_a_wrong_name_is_answered_with_the_right_one():
    with pytest.raises(ValueError, match=r"no recipe 'tiny-dept': did you mean tiny-depth\? there are .*e2e-depth, "):
        read_recipe("tiny-dept")
    with pytest.raises(ValueError, match=r"nowhere\.toml: there is no such file"):
        read_recipe("nowhere.toml")
    assert all(path.parent == SHIPPED for path in map(recipe_path, recipe_names()))
