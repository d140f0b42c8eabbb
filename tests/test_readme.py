"""What the README shows is what happens: its links exist, its verbs exist, its Python runs."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from latentdepth.demo import sample_photos
from latentdepth.images import read

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")


def test_links_lead_somewhere():
    links = re.findall(r"\]\(([^)#]+)\)", README)
    assert links
    missing = [link for link in links if not link.startswith("http") and not (ROOT / link).exists()]
    assert missing == []


def test_verbs_are_the_command_line_s(capsys: pytest.CaptureFixture[str]):
    from latentdepth.cli import main

    named = set(re.findall(r"^\| `latentdepth ([\w-]+)", README, re.MULTILINE))
    with pytest.raises(SystemExit):
        main(["--help"])
    (listed,) = re.findall(r"\{([\w,-]+)\}", capsys.readouterr().out)
    assert named == set(listed.split(","))


def test_python_example_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    (block,) = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
    photo = sample_photos()["coffee"]
    from PIL import Image

    Image.open(photo).convert("RGB").resize((150, 100)).save(tmp_path / "photo.jpg")
    monkeypatch.chdir(tmp_path)
    names: dict[str, object] = {}
    exec(compile(block, "README.md", "exec"), names)  # the block is ours, from the file beside us
    assert (tmp_path / "results" / "photo.latentdepth.json").exists()
    assert read(tmp_path / "photo.jpg").pixels.shape[-2:] == (100, 150)
    import latentdepth

    result = names["result"]
    assert isinstance(result, latentdepth.Result)
    assert result.value.shape == (100, 150)
    assert result.uncertainty is not None
