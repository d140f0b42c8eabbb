"""``latentdepth convert``: options, both ways, and what is refused. The conversion itself is tested in ``models``."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
import torch
import tyro
from safetensors.torch import load_file
from tyro.conf import FlagCreatePairsOff, OmitArgPrefixes

from latentdepth.models import depth_anything_keys
from latentdepth.models.depth_anything import FORMS, Form, load_depth_anything, new_depth_anything
from latentdepth.models.depth_anything_keys import to_original
from latentdepth.verbs.convert import Convert, run

TINY = Form(16, 4, 2, (1, 2, 3, 4), (4, 8, 12, 16), 8, grid_px=56, head=4)


def parse(*words: str) -> Convert:
    return tyro.cli(Convert, args=words, config=(FlagCreatePairsOff, OmitArgPrefixes))


@pytest.fixture
def checkpoint(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A random checkpoint in the authors' layout, of a size that counts as published here."""
    monkeypatch.setitem(FORMS, "small", TINY)
    torch.manual_seed(0)
    new_depth_anything(TINY).save(tmp_path / "random")
    path = tmp_path / "depth_anything_v2_tiny.pth"
    torch.save(to_original(load_file(tmp_path / "random/model.safetensors")), path)
    return path


def test_the_options():
    chosen = parse("depth-anything", "a.pth", "models/a", "--max-depth-m", "20")
    assert chosen == Convert("depth-anything", Path("a.pth"), Path("models/a"), max_depth_m=20.0)


def test_there_and_back(checkpoint: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    assert run(parse("depth-anything", str(checkpoint), str(tmp_path / "a"), "--max-depth-m", "20")) == 0
    assert f"load it as dir:{tmp_path / 'a'}" in capsys.readouterr().err
    assert load_depth_anything(tmp_path / "a").max_depth_m == 20.0
    assert run(parse("depth-anything", str(tmp_path / "a"), str(tmp_path / "b.safetensors"))) == 0
    given, back = torch.load(checkpoint, weights_only=True), load_file(tmp_path / "b.safetensors")
    assert given.keys() == back.keys()
    assert all(torch.equal(given[k], back[k]) for k in given)


def test_what_is_refused(checkpoint: Path, tmp_path: Path):
    with pytest.raises(ValueError, match="says itself whether it is metric"):
        run(parse("depth-anything", str(tmp_path / "random"), str(tmp_path / "b.safetensors"), "--max-depth-m", "20"))
    with pytest.raises(ValueError, match="can't be read as a checkpoint"):
        run(parse("depth-anything", str(tmp_path / "gone.pth"), str(tmp_path / "a")))
    with pytest.raises(ValueError, match="exists; give another folder"):
        run(parse("depth-anything", str(checkpoint), str(tmp_path)))


def test_help_needs_no_torch():
    assert depth_anything_keys.__name__ in sys.modules  # by this test; the verb's own module names only plain types
    assert not {"torch", "transformers"} & set(vars(sys.modules["latentdepth.verbs.convert"]))
