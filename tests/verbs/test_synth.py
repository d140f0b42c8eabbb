"""``latentdepth synth``: options to frames on disk, exit status, and what is said."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from latentdepth.data.shards import ShardFrames
from latentdepth.verbs.synth import Synth, run


def small(out: Path, scenes: int = 1) -> Synth:
    return Synth(out, scenes=scenes, seed=2, size=(32, 24), views=1, samples=1, kinds=("corridor",), workers=1)


def test_a_scene_from_the_command_to_the_reader(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    assert run(small(tmp_path)) == 0
    assert f"1 made\n1 frames in {tmp_path}; see {tmp_path / 'contact_sheet.jpg'}" in capsys.readouterr().err
    (sample,) = ShardFrames(tmp_path)
    assert sample.image.shape == (3, 24, 32)
    assert run(small(tmp_path)) == 0
    assert "1 there already" in capsys.readouterr().err


def test_what_cannot_be_made_is_said_first(tmp_path: Path):
    with pytest.raises(ValueError, match="--scenes is 0"):
        run(small(tmp_path, scenes=0))
    with pytest.raises(ValueError, match="width_px is 4; allowed is 16"):
        run(Synth(tmp_path, size=(4, 24)))
    with pytest.raises(ValueError, match=r"nowhere is not there; .*apt-get install sweethome3d-furniture"):
        run(Synth(tmp_path, furniture=tmp_path / "nowhere"))
    with pytest.raises(ValueError, match="workers is -1"):
        run(Synth(tmp_path, workers=-1))
    assert not list(tmp_path.iterdir())


def test_a_failing_scene_is_a_line_and_a_status(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    tmp_path.joinpath("scene-000000.tar.part").mkdir()  # nothing can be written there
    assert run(small(tmp_path)) == 1
    said = capsys.readouterr().err
    assert "failed: scene 0:" in said
    assert "1 failed (scene 0)" in said


def test_options_are_known_without_torch():
    code = "import sys, latentdepth.verbs.synth; sys.exit('torch' in sys.modules or 'numpy' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)
