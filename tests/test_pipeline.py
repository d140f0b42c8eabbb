"""The script from nothing to weights: every command of it is one of ours, and each starts where another ended."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest
import tyro

from latentdepth.train.recipes import recipe_names
from latentdepth.verbs import card, convert, evaluate, export_checkpoint, predict, synth, train

SCRIPT = Path(__file__).parents[1] / "docs/pipeline.sh"
VERBS = {
    "convert": convert.Convert,
    "synth": synth.Synth,
    "predict": predict.Predict,
    "export-checkpoint": export_checkpoint.ExportCheckpoint,
    "evaluate": evaluate.Evaluate,
    "card": card.Card,
}


def commands() -> list[list[str]]:
    """The words of each line that is a command, others' files given."""
    given = re.sub(r'\$\{\w+:\+(--\S+) "\$\w+"\}', r"\1 FILE", SCRIPT.read_text()).replace('"$DINOV2"', "FILE")
    return [shlex.split(line) for line in given.splitlines() if line.startswith("latentdepth ")]


def parsed(words: list[str]) -> object:
    if words[1] == "train":
        return train.parse(words[2:])
    return tyro.cli(
        VERBS[words[1]],  # pyright: ignore[reportArgumentType]
        args=words[2:],
        config=(tyro.conf.FlagCreatePairsOff, tyro.conf.OmitArgPrefixes),
    )


def test_every_line_is_a_comment_or_a_command():
    rest = [line for line in SCRIPT.read_text().splitlines() if line and not line.startswith(("#", "latentdepth "))]
    assert rest == ["set -eu"]
    assert len(commands()) >= 12


@pytest.mark.parametrize("words", commands(), ids=lambda words: " ".join(words[1:3]))
def test_a_command_parses(words: list[str]):
    assert parsed(words) is not None


def test_each_stage_finds_what_an_earlier_one_left():
    made = {"data/photos"}
    for words in commands():
        verb = parsed(words)
        if isinstance(verb, synth.Synth | convert.Convert):
            made.add(verb.out.as_posix())
        elif isinstance(verb, predict.Predict):
            assert {*verb.paths, verb.model.removeprefix("dir:")} <= made
            assert verb.to == "shards"
            made.add(verb.out.as_posix())
        elif isinstance(verb, export_checkpoint.ExportCheckpoint):
            assert f"{verb.run.as_posix()}/model" in made
            others = [other for other in (verb.mean_with, verb.rest_from) if other is not None]
            assert {other.removeprefix("dir:") for other in others} <= made
            made.add(verb.out.as_posix())
        elif isinstance(verb, evaluate.Evaluate):
            assert {*verb.models, *verb.on} <= {f"dir:{m}" for m in made} | {f"shards:{m}" for m in made}
            made |= {f"{verb.out.as_posix()}: {model}" for model in verb.models}
        elif isinstance(verb, card.Card):
            assert f"{verb.folder.as_posix()}: {verb.model}" in made
        else:
            assert isinstance(verb, train.Train)
            name, recipe = verb.recipe, verb.config
            assert name in recipe_names()
            wanted = {data.path.as_posix() for data in recipe.data} | {recipe.base.model.removeprefix("dir:")}
            wanted |= set() if recipe.align is None else {recipe.align.teacher.as_posix()}
            wanted |= set() if recipe.base.guide is None else {recipe.base.guide.removeprefix("dir:")}
            student = recipe.student
            wanted |= {path.as_posix() for path in (student.encoder, student.start) if path is not None}
            assert wanted - {""} <= made, name
            made.add(f"{(verb.out or Path('runs') / name).as_posix()}/model")
    assert {"models/tiny-diffusion", "models/tiny-student"} <= made
