"""``latentdepth predict --tiles``: from its words to files of the photo's size, over kills and bad input."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
import tyro
from PIL import Image

import latentdepth
from latentdepth.bulk import Saving, predict_files, tiles_folder
from latentdepth.cli import main
from latentdepth.core.types import Prediction
from latentdepth.export import plan_outputs, read_prediction
from latentdepth.inputs import find_photos
from latentdepth.loading import load
from latentdepth.options import PredictOptions, TileOptions
from latentdepth.predictor import LoadedPredictor
from latentdepth.tiling import TiledPredictor
from latentdepth.verbs.predict import Predict

NPY = Saving(formats=("npy",), skip_existing=True)
GRID = TileOptions(tiles="grid", tile_overlap=0.25)
SMALL = PredictOptions(resolution=16)


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    folder = tmp_path / "photos"
    folder.mkdir()
    rough = np.random.default_rng(0).integers(0, 255, (6, 9, 3), dtype=np.uint8)
    Image.fromarray(rough).resize((61, 47)).save(folder / "one.png")
    return folder / "one.png"


@pytest.fixture
def words(photo: Path, tiny_folder: Path, tmp_path: Path) -> list[str]:
    where = ["--out", str(tmp_path / "made"), "--model", f"dir:{tiny_folder}", "--device", "cpu", "--dtype", "float32"]
    return ["predict", str(photo), *where, "--formats", "npy", "--resolution", "16"]


def test_the_result_has_the_photos_size(words: list[str], tmp_path: Path):
    assert main([*words, "--tiles", "grid", "--tile-overlap", "0.25"]) == 0
    found = read_prediction(tmp_path / "made" / "one")
    assert found.value.shape == (1, 1, 47, 61)
    assert found.made_with["tiles"] == "grid"
    assert int(found.made_with["tile_count"] or 0) > 4
    assert sorted(path.name for path in (tmp_path / "made").iterdir()) == ["one.latentdepth.json", "one_depth.npy"]


def test_the_command_line_the_predictor_and_the_python_door_agree(words: list[str], photo: Path, tmp_path: Path):
    assert main([*words, "--tiles", "shifted", "--tile-overlap", "0"]) == 0
    found = read_prediction(tmp_path / "made" / "one").value
    predictor = load(words[words.index("--model") + 1], device="cpu", dtype="float32")
    tiles = latentdepth.TileOptions(tiles="shifted", tile_overlap=0)
    once = latentdepth.predict(photo, model=predictor, options=SMALL, tiles=tiles)
    assert torch.equal(once.prediction.value, found)
    assert torch.equal(TiledPredictor(predictor, tiles)(latentdepth.read(photo).pixels, SMALL).value, found)


@pytest.mark.parametrize(("width", "height"), [(90, 1), (1, 90), (5, 4)])
def test_panoramas_of_one_pixel_and_photos_smaller_than_a_tile(words: list[str], photo: Path, width: int, height: int):
    Image.new("RGB", (width, height), (90, 40, 160)).save(photo)
    assert main([*words, "--tiles", "grid", "--tile-size", "64"]) == 0
    stem = Path(words[words.index("--out") + 1]) / "one"
    assert read_prediction(stem).value.shape == (1, 1, height, width)
    assert bool(read_prediction(stem).value.isfinite().all())


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["--tiles", "grid", "--resolution", "0"], "give tile_size too"),
        (["--tiles", "grid", "--no-match-input"], "match_input is off"),
        (["--tiles", "latent", "--steps", "auto"], "give numbers, not auto"),
    ],
)
def test_what_only_the_model_can_tell_is_said_once_before_the_first_photo(
    words: list[str], more: list[str], message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    assert main([*words, *more]) == 2
    assert message in capsys.readouterr().err
    assert not (tmp_path / "made").exists()


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["--tiles", "grid", "--tile-overlap", "1.0"], "tile_overlap is 1; allowed is 0 to 0.9"),
        (["--tile-size", "64"], "tile_size is given and tiles is off: give --tiles grid"),
        (["--tiles", "grid", "--tile-size", "0"], "tile_size is 0; allowed is 1 or more"),
    ],
)
def test_options_that_cannot_be_are_refused_before_anything_is_loaded(
    words: list[str], more: list[str], message: str, capsys: pytest.CaptureFixture[str]
):
    with pytest.raises(SystemExit) as stopped:
        main([*words, *more])
    assert stopped.value.code == 2
    said = " ".join(capsys.readouterr().err.replace("│", " ").split())  # tyro wraps lines in a box
    assert message in said


@pytest.mark.parametrize("more", [["--tiles", "grid"], ["--tiles", "random", "--random-tiles", "3"]])
def test_labels_know_no_tiles(words: list[str], more: list[str], capsys: pytest.CaptureFixture[str]):
    command = [word for word in words if word not in ("--formats", "npy")]
    assert main([*command, *more, "--to", "shards"]) == 2
    assert "--tiles is for files, and --to shards writes labels: leave it out" in capsys.readouterr().err


def test_the_verb_knows_tiles_by_these_words():
    given = ["x", "--tiles", "grid", "--tile-size", "32", "--tile-overlap", "0.5", "--wrap", "x"]
    parsed = tyro.cli(Predict, args=given, config=(tyro.conf.FlagCreatePairsOff, tyro.conf.OmitArgPrefixes))
    assert parsed.tiles == TileOptions(tiles="grid", tile_size=32, wrap="x")


class Counted:
    """A predictor, and how often it was called."""

    def __init__(self, predictor: LoadedPredictor) -> None:
        self.predictor, self.calls = predictor, 0
        self.modality, self.name, self.describe = predictor.modality, predictor.name, predictor.describe

    def __call__(self, images: torch.Tensor, options: PredictOptions | None = None) -> Prediction:
        self.calls += 1
        return self.predictor(images, options)


# Finished tiles are noted once a second: the fifth waits for that, and the ninth is as far as it gets.
_KILLED = """
import os, signal, sys, time
from pathlib import Path
sys.path.insert(0, {here!r})
from test_predict_tiles import GRID, NPY, SMALL, load, plan_outputs, predict_files

def on_tile(done, total):
    if done == 5:
        time.sleep(1.1)
    if done == 9:
        os.kill(os.getpid(), signal.SIGKILL)

plan = plan_outputs([Path({photo!r})], Path({made!r}))
predict_files(
    lambda: load({model!r}, device="cpu", dtype="float32"), plan, SMALL, saving=NPY, tiles=GRID, on_tile=on_tile
)
"""


@pytest.mark.skipif(os.name != "posix", reason="SIGKILL is POSIX's")
def test_a_killed_photo_goes_on_and_ends_the_same(photo: Path, tiny_folder: Path, tmp_path: Path):
    plan = plan_outputs([photo], tmp_path / "made")
    model, (stem,) = f"dir:{tiny_folder}", plan.values()
    script = _KILLED.format(here=str(Path(__file__).parent), photo=str(photo), made=str(stem.parent), model=model)
    killed = subprocess.run([sys.executable, "-c", script], capture_output=True, check=False)
    assert killed.returncode == -signal.SIGKILL, killed.stderr.decode()
    folder = tiles_folder(stem)
    assert folder.is_dir()
    with pytest.raises(ValueError, match="no photos in"):  # what is left there is neither a photo nor a result
        find_photos([str(stem.parent)], recursive=True)

    predictor = load(model, device="cpu", dtype="float32")
    whole, resumed = Counted(predictor), Counted(predictor)
    predict_files(lambda: whole, plan_outputs([photo], tmp_path / "whole"), SMALL, saving=NPY, tiles=GRID)
    assert predict_files(lambda: resumed, plan, SMALL, saving=NPY, tiles=GRID).done == [photo]
    assert resumed.calls == whole.calls - 6
    found, expected = (read_prediction(made).value for made in (stem, tmp_path / "whole" / "one"))
    # the same to the last bit but for convolutions, which another process may add up in another order
    torch.testing.assert_close(found, expected, atol=1e-6, rtol=0)
    assert not folder.exists()


def interrupted(photo: Path, made: Path, predictor: LoadedPredictor) -> None:
    def press_ctrl_c(done: int, total: int) -> None:
        if done == 4:
            raise KeyboardInterrupt

    plan = plan_outputs([photo], made)
    report = predict_files(lambda: predictor, plan, SMALL, saving=NPY, tiles=GRID, on_tile=press_ctrl_c)
    assert report.stopped == "interrupted"
    assert report.left == [photo]


def test_ctrl_c_keeps_tiles_for_skip_existing_alone(photo: Path, tiny_folder: Path, tmp_path: Path):
    predictor = load(f"dir:{tiny_folder}", device="cpu", dtype="float32")
    plan = plan_outputs([photo], tmp_path / "made")
    counts = []
    for saving in (NPY, Saving(formats=("npy",), overwrite=True)):
        interrupted(photo, tmp_path / "made", predictor)
        counted = Counted(predictor)
        assert predict_files(lambda counted=counted: counted, plan, SMALL, saving=saving, tiles=GRID).done == [photo]
        counts.append(counted.calls)
        read_prediction(tmp_path / "made" / "one")
        for path in (tmp_path / "made").iterdir():
            path.unlink()
    assert counts[0] == counts[1] - 4


class Lost(Counted):
    """Gives up at the fifth call."""

    def __call__(self, images: torch.Tensor, options: PredictOptions | None = None) -> Prediction:
        if self.calls == 4:
            raise RuntimeError("out of memory")
        return super().__call__(images, options)


def test_a_photo_that_fails_leaves_no_tiles(photo: Path, tiny_folder: Path, tmp_path: Path):
    plan = plan_outputs([photo], tmp_path / "made")
    predictor = Lost(load(f"dir:{tiny_folder}", device="cpu", dtype="float32"))
    ((path, text),) = predict_files(lambda: predictor, plan, SMALL, saving=NPY, tiles=GRID).failed
    assert path == photo
    assert "out of memory" in text
    assert not list((tmp_path / "made").iterdir())


def test_a_full_disk_stops_the_run_with_a_line(photo: Path, tiny_folder: Path, tmp_path: Path):
    made = tmp_path / "made"
    made.mkdir()
    if os.name != "posix" or os.geteuid() != 0:
        pytest.skip("mounting a small disk needs root")
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=40k", "tmpfs", str(made)], check=False).returncode:
        pytest.skip("a small disk can't be mounted here")
    try:
        predictor = load(f"dir:{tiny_folder}", device="cpu", dtype="float32")
        report = predict_files(lambda: predictor, plan_outputs([photo], made), SMALL, saving=NPY, tiles=GRID)
        assert report.stopped == "disk full"
        assert "tiles can't be kept (No space left on device)" in report.failed[0][1]
        assert not list(made.iterdir())
    finally:
        subprocess.run(["umount", str(made)], check=True)
