"""Thresholds from measured ladders, by hand; what is measured equals what the predictor does."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from latentdepth.auto import OWN_FILE, Settings, read_settings
from latentdepth.data.benchmarks.catalogue import open_benchmark
from latentdepth.evaluate.calibrate import FrameEffort, Ladder, fitted, measure, replay, threshold
from latentdepth.evaluate.contender import Network
from latentdepth.evaluate.protocol import PROTOCOLS
from latentdepth.evaluate.run import predicted
from latentdepth.evaluate.score import score
from latentdepth.loading import load
from latentdepth.options import PredictOptions
from latentdepth.predictor import DiffusionPredictor
from latentdepth.verbs import calibrate as verb

INF = math.inf
EASY = Ladder((1, 2, 5), (0.10, 0.10, 0.10), (INF, 0.01, 0.004))
HARD = Ladder((1, 2, 5), (0.40, 0.30, 0.20), (INF, 0.20, 0.05))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three photos with depth; the second photo is plain."""
    root = tmp_path_factory.mktemp("pairs")
    (root / "rgb").mkdir()
    (root / "depth").mkdir()
    draw = np.random.default_rng(0)
    for k in range(3):
        photo = np.full((32, 48, 3), 128, np.uint8) if k == 1 else draw.integers(0, 256, (32, 48, 3), np.uint8)
        Image.fromarray(photo).save(root / "rgb" / f"{k}.png")
        np.save(root / "depth" / f"{k}.npy", draw.uniform(1, 5, (32, 48)).astype(np.float32))
    return root


@pytest.fixture(scope="module")
def predictor(tiny_folder: Path) -> DiffusionPredictor:
    loaded = load(f"dir:{tiny_folder}", device="cpu", dtype="float32")
    assert isinstance(loaded, DiffusionPredictor)
    return DiffusionPredictor(loaded.model, loaded.name, Settings(most_steps=2, least_members=2, most_members=3))


def test_a_ladder_is_left_at_the_first_signal_below():
    assert [HARD.stop(one) for one in (0.0, 0.05, 0.06, 0.3)] == [2, 2, 2, 1]
    assert EASY.stop(0.004) == 2  # below, not at
    found = replay([EASY, HARD], 0.06)
    assert found.stops == (1, 2)
    assert found.calls == 3.5
    assert found.error == pytest.approx(0.15)


def test_a_threshold_is_the_loosest_that_keeps_the_promise():
    # longest run: 0.15. Stopping EASY early is free; stopping HARD at 2 calls makes the mean 0.20
    free = threshold([EASY, HARD], 0.02)
    assert free.stops == (1, 2)
    assert 0.05 < free.tolerance < 0.2
    assert threshold([EASY, HARD], 0.34).stops == (1, 1)  # 0.20 is 33 % above 0.15
    with pytest.raises(ValueError, match="no frame"):
        threshold([], 0.02)


def test_luck_behind_a_broken_promise_does_not_count():
    lucky = Ladder((1, 2, 3), (0.5, 0.1, 0.1), (0.3, 0.2, INF))
    worse = Ladder((1, 2, 3), (0.0, 0.4, 0.1), (0.9, 0.1, INF))
    # from 0.9 on: errors 0.5 and 0.0; but just above 0.1 it was 0.1 and 0.4 against 0.1 and 0.1
    assert threshold([lucky, worse], 1.0).tolerance < 0.1 + 1e-9


def test_settings_are_fitted_and_the_cheaper_controller_is_named():
    frames = [
        FrameEffort(f"{k}", "", dict.fromkeys(_MEASURES, float(k)), ladder, _late(ladder), ladder)
        for k, ladder in enumerate((EASY, HARD))
    ]
    found = fitted(frames, Settings(), "2 frames")
    assert found.controller == "doubling"  # convergence needs all its calls
    assert found.members.rough >= found.members.good >= found.members.fine > 0
    assert found.rule is not None
    assert found.rule.most == 8
    assert found.calibrated_on == "2 frames"


def _late(ladder: Ladder) -> Ladder:
    return replace(ladder, signal=(INF, INF, INF))


_MEASURES = ("gradient_energy", "mean_gradient", "laplacian_variance", "edge_density", "entropy_bits")


def test_what_is_measured_is_what_the_predictor_does(predictor: DiffusionPredictor, folder: Path):
    benchmark = open_benchmark(f"folder:{folder}", Path())
    rule = PROTOCOLS["marigold"]
    found = measure(predictor, benchmark, 0, rule, PredictOptions(seed=3))
    assert found is not None
    assert found.doubling.calls == (1, 2)
    assert found.convergence.calls == (1, 2)
    assert found.members.calls == (1, 2, 3)  # one step each, as the folder says
    assert found.members.signal[0] == INF
    assert all(math.isfinite(one) for one in found.members.signal[1:])  # two are asked, and the last
    sample = benchmark[0]
    for options, measured in (
        (PredictOptions(steps=2, seed=3), found.doubling.errors[1]),
        (PredictOptions(members=3, seed=3), found.members.errors[2]),
    ):
        prediction, _ = predicted(Network("one", predictor, options), "0", sample)
        figures = score(prediction, sample, benchmark.facts, rule).figures
        assert measured == pytest.approx(figures["abs_rel"], rel=1e-4)  # batches differ


def test_the_verb_keeps_its_result_in_a_copy(tiny_folder: Path, folder: Path, tmp_path: Path):
    before = sorted(path.name for path in tiny_folder.iterdir())
    given = verb.Calibrate(
        f"dir:{tiny_folder}",
        on=f"folder:{folder}",
        out=tmp_path / "copy",
        most_steps=2,
        least_members=2,
        most_members=3,
        device="cpu",
        dtype="float32",
    )
    assert verb.run(given) == 0
    assert sorted(path.name for path in tiny_folder.iterdir()) == before
    settings = read_settings(tmp_path / "copy")
    assert (settings.most_steps, settings.most_members) == (2, 3)
    assert settings.calibrated_on.startswith("3 frames of")
    calibrated = load(f"dir:{tmp_path / 'copy'}", device="cpu", dtype="float32")
    ruled = calibrated(torch.rand(1, 3, 32, 48), PredictOptions(steps="auto", controller="rule"))
    assert ruled.made_with["controller"] == "rule"
    assert (tmp_path / "copy" / OWN_FILE).exists()
    with pytest.raises(ValueError, match="no empty folder"):
        verb.run(given)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (verb.Calibrate("builtin:tiny-diffusion", on="folder:x"), "--out FOLDER"),
        (verb.Calibrate("dir:x"), "--on folder:DIR"),
        (verb.Calibrate("dir:x", on="folder:x", options=PredictOptions(steps="auto")), "leave --steps"),
    ],
)
def test_the_verb_refuses_before_any_work(given: verb.Calibrate, message: str):
    with pytest.raises(ValueError, match=message):
        verb.run(given)
