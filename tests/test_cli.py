"""The command line as a user meets it: real processes where signals or standard input matter, else ``main``."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from latentdepth import cli
from latentdepth.cli import main
from latentdepth.export import read_prediction
from latentdepth.models import source

SOURCE = Path(__file__).parents[1] / "src"
COMMAND = [sys.executable, "-c", "import sys; from latentdepth.cli import main; sys.exit(main())"]
ENVIRONMENT = {**os.environ, "PYTHONPATH": str(SOURCE), "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1"}


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """A folder with two photos, a damaged one, and one more below it."""
    folder = tmp_path / "photos"
    (folder / "below").mkdir(parents=True)
    for name in ("one.png", "two.jpg", "below/one.png"):
        Image.linear_gradient("L").resize((40, 30)).convert("RGB").save(folder / name)
    (folder / "broken.png").write_bytes((folder / "one.png").read_bytes()[:60])
    return folder


@pytest.fixture
def model(tiny_folder: Path) -> list[str]:
    return ["--model", f"dir:{tiny_folder}", "--dtype", "float32"]


def test_predict_mirrors_folders_and_says_what_failed(
    photos: Path, model: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    made = tmp_path / "made"
    status = main(["predict", str(photos), "--recursive", "--out", str(made), *model])
    assert status == 1
    said = capsys.readouterr().err
    assert "broken.png: truncated or damaged" in said
    assert "3 done, 1 failed" in said
    for stem in ("one", "two", "below/one"):
        with Image.open(made / f"{stem}_depth16.png") as png:
            assert png.size == (40, 30)
        assert (made / f"{stem}_depth.png").exists()


def test_predict_twice_needs_a_word(
    photos: Path, model: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["predict", str(photos / "one.png"), "--out", str(tmp_path / "made"), *model]
    assert main(command) == 0
    assert main(command) == 1
    assert "say --overwrite" in capsys.readouterr().err
    assert main([*command, "--skip-existing"]) == 0
    assert "1 skipped" in capsys.readouterr().err
    assert main([*command, "--overwrite"]) == 0


def test_every_setting_reaches_the_result(photos: Path, model: list[str], tmp_path: Path) -> None:
    asked = {"steps": 2, "members": 3, "resolution": 32, "sampler": "lcm", "seed": 5, "batch": 2}
    settings = [word for key, value in asked.items() for word in (f"--{key}", str(value))] + ["--no-match-input"]
    formats = ["--formats", "npy", "glb", "--near-far", "1", "3", "--fov-deg", "60"]
    assert main(["predict", str(photos / "one.png"), "--out", str(tmp_path), *model, *settings, *formats]) == 0
    found = read_prediction(tmp_path / "one")
    asked.pop("batch")  # changes no result, so it is not recorded
    assert {key: found.made_with[key] for key in asked} == asked
    assert found.made_with["dtype"] == "float32"
    assert tuple(found.value.shape) == (1, 1, 24, 32)
    assert found.uncertainty is not None
    assert found.camera is not None
    assert found.camera.fov_deg == pytest.approx(60)
    assert (tmp_path / "one_depth.glb").exists()


def test_a_missing_photo_does_not_move_the_results_of_others(photos: Path, model: list[str], tmp_path: Path) -> None:
    given = [str(photos / "one.png"), "/nowhere/at/all.png"]
    assert main(["predict", *given, "--out", str(tmp_path / "made"), *model]) == 1
    assert (tmp_path / "made" / "one_depth.png").exists()


def test_standard_input_lists_photos(photos: Path, model: list[str], tmp_path: Path) -> None:
    listed = f"{photos / 'one.png'}\n\n{photos / 'two.jpg'}\n"
    command = [*COMMAND, "predict", "-", "--out", str(tmp_path / "made"), *model]
    finished = subprocess.run(command, input=listed, env=ENVIRONMENT, capture_output=True, text=True, check=False)
    assert finished.returncode == 0, finished.stderr
    assert sorted(p.name for p in (tmp_path / "made").glob("*16.png")) == ["one_depth16.png", "two_depth16.png"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["predict"], "no photo is given"),
        (["predict", "{photos}/*.bmp"], "no photos in"),
        (["predict", "{photos}/one.png", "--model", "tiny"], "builtin:NAME"),
        (["predict", "{photos}/one.png", "--model", "dir:{photos}"], "config.json"),
        (["predict", "{photos}/one.png", "--skip-existing", "--overwrite"], "contradict"),
        (["info", "unknown-model"], "builtin:NAME"),
        (["info", "{photos}/broken.png"], "damaged"),
        (["view", "{photos}/one.png"], "belongs to no result"),
    ],
)
def test_what_can_not_start_is_said_in_one_line(
    arguments: list[str], message: str, photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = [argument.format(photos=photos) for argument in arguments]
    out = ["--out", str(tmp_path / "made")] if arguments[0] == "predict" else []
    assert main([*arguments, *out]) == 2
    said = capsys.readouterr().err.strip().splitlines()[-1]
    assert said.startswith("latentdepth: ")
    assert message in said


@pytest.mark.parametrize(
    "arguments", [["predikt"], ["predict", "x.png", "--formats", "jpeg"], ["predict", "x.png", "--steps", "two"], []]
)
def test_usage_errors_exit_with_2(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main(arguments)
    assert caught.value.code == 2
    capsys.readouterr()


@pytest.mark.skipif(os.name != "posix", reason="sends SIGINT")
def test_ctrl_c_keeps_finished_work_and_the_run_resumes(photos: Path, model: list[str], tmp_path: Path) -> None:
    many = tmp_path / "many"
    many.mkdir()
    for k in range(300):
        shutil.copy(photos / "one.png", many / f"{k:03}.png")
    made = tmp_path / "made"
    command = [*COMMAND, "predict", str(many), "--out", str(made), *model, "--members", "4"]
    process = subprocess.Popen(
        command,
        env=ENVIRONMENT,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=partial(signal.signal, signal.SIGINT, signal.SIG_DFL),  # a shell's background jobs ignore Ctrl-C
    )
    deadline = time.monotonic() + 60
    while not list(made.glob("*.latentdepth.json")) and time.monotonic() < deadline:
        time.sleep(0.02)
    process.send_signal(signal.SIGINT)
    said = process.communicate(timeout=60)[1]
    assert process.returncode == 130, said
    assert "Stopped by Ctrl-C; the same command with --skip-existing goes on from here" in said
    assert "Traceback" not in said
    finished = sorted(made.glob("*.latentdepth.json"))
    assert 0 < len(finished) < 300
    assert not list(made.glob(".part*"))
    for path in finished:
        read_prediction(path)
    for path in sorted(many.iterdir())[len(finished) + 2 :]:
        path.unlink()  # so that going on is quick
    assert main([*command[len(COMMAND) :], "--skip-existing"]) == 0
    assert len(list(made.glob("*.latentdepth.json"))) == len(finished) + 2


def test_models_lists_size_and_card(
    tiny_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(source, "BUILTIN", tmp_path)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "none"))
    shutil.copytree(tiny_folder, tmp_path / "small")
    (tmp_path / "small" / "README.md").write_text("# Small\n\nRandom weights.\n")
    assert main(["models"]) == 0
    megabytes = sum(p.stat().st_size for p in (tmp_path / "small").rglob("*") if p.is_file()) / 1e6
    assert f"builtin:small  {megabytes:.1f} MB  Random weights." in capsys.readouterr().out


def test_info_of_a_photo_and_of_a_model(photos: Path, tiny_folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["info", str(photos / "one.png")]) == 0
    assert "size: 40 x 30" in capsys.readouterr().out
    assert main(["info", f"dir:{tiny_folder}"]) == 0
    assert "predicts: affine-invariant depth" in capsys.readouterr().out


def test_view_draws_a_plot_and_the_scene_from_the_side(
    photos: Path, model: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["predict", str(photos / "one.png"), "--out", str(photos), *model]) == 0
    assert main(["view", str(photos / "one_depth.png")]) == 0
    plot, view = (Path(line) for line in capsys.readouterr().out.splitlines())
    assert (plot, view) == (photos / "one_plot.png", photos / "one_view.png")
    for picture in (plot, view):
        with Image.open(picture) as image:
            assert np.asarray(image.convert("L")).std() > 5  # something is drawn
    assert main(["view", str(photos / "one_depth.png")]) == 2
    assert "say --overwrite" in capsys.readouterr().err
    assert main(["view", str(photos / "one_depth.png"), "--overwrite"]) == 0


def test_demo_draws_every_sample_photo(model: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["demo", "--out", str(tmp_path), *model]) == 0
    said = capsys.readouterr().out
    assert str(tmp_path) in said
    assert "*_depth.png" in said
    for ending in ("_depth.png", "_depth16.png", "_uncertainty.png", "_plot.png", "_view.png", ".latentdepth.json"):
        assert len(list(tmp_path.glob("*" + ending))) == 6


def test_every_verb_has_a_function() -> None:
    from typing import get_args

    verbs = {get_args(verb)[0] for verb in get_args(cli._Verb)}
    assert verbs == set(cli._RUN)
