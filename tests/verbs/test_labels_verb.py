"""``latentdepth predict --to shards`` and ``latentdepth card`` from their words to what they write."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
import tyro
from PIL import Image

from latentdepth.data.labels import LabelFrames
from latentdepth.data.shards import ShardFrames
from latentdepth.models.feedforward import DepthPyramid
from latentdepth.verbs import card
from latentdepth.verbs.predict import Predict, run


def predict(*words: str) -> int:
    return run(tyro.cli(Predict, args=words, config=(tyro.conf.FlagCreatePairsOff, tyro.conf.OmitArgPrefixes)))


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    folder = tmp_path / "photos"
    folder.mkdir()
    for k in range(2):
        pixels = np.random.default_rng(k).integers(0, 255, (40, 60, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / f"{k}.png")
    (folder / "bad.jpg").write_bytes(b"no picture")
    return folder


@pytest.fixture
def teacher(tmp_path: Path) -> str:
    torch.manual_seed(0)
    network = DepthPyramid(16)
    with torch.no_grad():  # random features of an untrained network can all die in the last ReLU
        for parameter in network.head.parameters():
            parameter.abs_()
    network.save(tmp_path / "teacher")
    return f"dir:{tmp_path / 'teacher'}"


def test_photos_become_labels(photos: Path, teacher: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    words = [str(photos), "--model", teacher, "--to", "shards", "--out", str(tmp_path / "labels"), "--no-sky"]
    words += ["--members", "3", "--resolution", "64", "--dtype", "float32", "--device", "cpu"]
    assert predict(*words) == 1
    said = capsys.readouterr().err
    assert "bad.jpg: not an image" in said
    assert "2 labelled, 1 failed; shards are in" in said
    labels = LabelFrames(ShardFrames(tmp_path / "labels"))
    assert len(labels) == 2
    assert labels.label(0).members == 3
    assert labels.label(0).model == teacher
    assert predict(*words) == 0
    assert "3 before; shards are in" in capsys.readouterr().err
    with pytest.raises(ValueError, match="holds labels of other labelling"):
        predict(*words, "--min-agreement", "0.9")


@pytest.mark.parametrize(
    ("words", "fault"),
    [
        (["--to", "shards", "--overwrite"], "--overwrite is for files, and --to shards writes labels"),
        (["--to", "shards", "--formats", "exr"], "--formats is for files"),
        (["--mask-uncertainty", "0.1"], "options of labels, which are written with --to shards"),
        (["--to", "shards", "--members", "1"], "members is 1; labels need a number of 2 or more"),
        (["--to", "shards", "--members", "auto"], "members is auto; labels need a number"),
        (["--to", "shards", "--label-px", "5"], "the longer side is 5"),
    ],
)
def test_options_of_the_other_result_are_refused(photos: Path, words: list[str], fault: str):
    with pytest.raises(ValueError, match=fault):
        predict(str(photos), *words)


def test_a_card_needs_an_evaluation(tmp_path: Path):
    with pytest.raises(ValueError, match=r"there is no .*rows\.jsonl"):
        card.run(card.Card(tmp_path))
    with pytest.raises(ValueError, match="--worst is -1"):
        card.run(card.Card(tmp_path, worst=-1))
