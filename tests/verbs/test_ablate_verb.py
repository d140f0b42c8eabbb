"""The verb from end to end on a tiny model and a folder of four pairs: predictions varied, trainings varied."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from latentdepth.options import PredictOptions
from latentdepth.verbs.ablate import Ablate, run

_SMALL = PredictOptions(resolution=32)


@pytest.fixture(scope="module")
def pairs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four photos of noise over floors that come nearer, as a plain folder in millimetres."""
    folder = tmp_path_factory.mktemp("pairs")
    (folder / "depth.toml").parent.mkdir(exist_ok=True)
    (folder / "depth.toml").write_text("unit = 0.001\n")
    draw = np.random.default_rng(0)
    for k in range(4):
        for part in ("rgb", "depth"):
            (folder / part / f"scene{k // 2}").mkdir(parents=True, exist_ok=True)
        rows = np.broadcast_to(np.linspace(6000, 1000 + 100 * k, 48)[:, None], (48, 64))
        photo = Image.fromarray(draw.integers(0, 255, (48, 64, 3), dtype=np.uint8))
        photo.save(folder / "rgb" / f"scene{k // 2}" / f"{k}.png")
        Image.fromarray(rows.astype(np.uint16)).save(folder / "depth" / f"scene{k // 2}" / f"{k}.png")
    return folder


def test_steps_are_varied_measured_drawn_and_correlated_with_complexity(
    tiny_folder: Path, pairs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    verb = Ablate(f"dir:{tiny_folder}", ("steps", "1, 2"), (f"folder:{pairs}",), tmp_path, options=_SMALL, device="cpu")
    assert run(verb) == 0
    assert "steps varied" in capsys.readouterr().out
    names = {path.name.replace(pairs.name, "NAME") for path in tmp_path.iterdir()}
    assert {"rows.jsonl", "per_image.csv", "steps.csv", "steps.json", "steps.md", "steps.png"} <= names
    gained = [path for path in tmp_path.glob("steps-gain-*.json")]
    assert len(gained) == 1
    assert json.loads(gained[0].read_text())["frames"] == 4
    assert gained[0].with_suffix(".png").exists()
    # the same command measures nothing again
    before = (tmp_path / "rows.jsonl").read_bytes()
    assert run(verb) == 0
    assert (tmp_path / "rows.jsonl").read_bytes() == before


@pytest.mark.slow
def test_trainings_differ_in_one_thing_each_in_its_folder_and_are_not_done_twice(
    tiny_folder: Path, pairs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    recipe = tmp_path / "mine.toml"
    recipe.write_text(
        f'[base]\nmodel = "dir:{tiny_folder}"\n'
        f'[[data]]\nname = "floors"\npath = "{pairs}"\nformat = "folder"\nheight = 32\nwidth = 32\n'
        "[validate]\nheld_out = false\n[log]\ntensorboard = false\n"
        '[loop]\nsteps = 2\nbatch = 2\nworkers = 0\nprecision = "float32"\ndevice = "cpu"\n[optim]\nwarmup = 1\n'
    )
    out = tmp_path / "out"
    verb = Ablate(
        str(recipe), ("noise", "gaussian,annealed"), (f"folder:{pairs}",), out,
        change=("optim.lr=1e-2",), max_frames=2, options=_SMALL, device="cpu", dtype="float32",
    )  # fmt: skip
    assert run(verb) == 0
    points = {row["value"]: row for row in json.loads((out / "noise.json").read_text())["points"]}
    assert list(points) == ["gaussian", "annealed", "untrained"]
    means = [row["figures"]["abs_rel"]["mean"] for row in points.values()]
    assert len(set(means)) == 3
    assert sorted(path.name for path in (out / "train").iterdir()) == ["noise-annealed", "noise-gaussian"]
    assert 'noise = "gaussian"' in (out / "train/noise-gaussian/config.toml").read_text()
    assert "lr = 0.01" in (out / "train/noise-annealed/config.toml").read_text()
    logs = [(path / "log.jsonl").read_bytes() for path in (out / "train").iterdir()]
    capsys.readouterr()
    assert run(verb) == 0
    assert [
        row["figures"]["abs_rel"]["mean"] for row in json.loads((out / "noise.json").read_text())["points"]
    ] == means
    assert [len((path / "log.jsonl").read_bytes()) for path in (out / "train").iterdir()] == [len(log) for log in logs]


@pytest.mark.parametrize(
    ("subject", "vary", "change", "message"),
    [
        ("tiny-deth", ("noise", "a,b"), (), "neither a model .* nor a recipe .*did you mean tiny-depth"),
        ("builtin:tiny-diffusion", ("steps", "1,2"), ("a=b",), "--change is for recipes"),
        ("builtin:tiny-diffusion", ("noise", "gaussian,multires"), (), "noise is varied, which is of a training"),
        ("builtin:tiny-diffusion", ("steps", "1"), (), "two or more different values"),
        ("tiny-depth", ("members", "1,2"), (), "members is varied, which is of a prediction"),
        ("tiny-depth", ("noise", "gaussian,pink"), (), "noise is 'pink'"),
    ],
)
def test_what_cannot_be_asked_is_refused_before_anything_is_written(
    pairs: Path, tmp_path: Path, subject: str, vary: tuple[str, str], change: tuple[str, ...], message: str
):
    verb = Ablate(subject, vary, (f"folder:{pairs}",), tmp_path / "out", change=change)
    with pytest.raises(ValueError, match=message):
        run(verb)
    assert not (tmp_path / "out").exists()


def test_the_help_needs_no_torch():
    code = "import sys, latentdepth.verbs.ablate; sys.exit('torch' in sys.modules or 'matplotlib' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
