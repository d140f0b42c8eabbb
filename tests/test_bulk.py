"""Many photos in one call: what fails, what is kept, what is done again. With a real model, tiny and random."""

from __future__ import annotations

import errno
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from latentdepth.bulk import Outcome, Saving, predict_files
from latentdepth.export import ExportError, plan_outputs, read_prediction, sidecar
from latentdepth.loading import load
from latentdepth.options import PredictOptions
from latentdepth.predictor import Predictor


@pytest.fixture(scope="module")
def predictor(tiny_folder: Path) -> Predictor:
    return load(f"dir:{tiny_folder}", device="cpu", dtype="float32")


@pytest.fixture
def photos(tmp_path: Path) -> list[Path]:
    """Four small photos of one size, the third damaged."""
    rng = np.random.default_rng(0)
    paths = [tmp_path / f"photo{k}.png" for k in range(4)]
    for path in paths:
        Image.fromarray(rng.integers(0, 256, (24, 32, 3), dtype=np.uint8)).save(path)
    paths[2].write_bytes(paths[2].read_bytes()[:200])
    return paths


NPY = Saving(formats=("npy",))


def test_one_bad_photo_costs_one_line(photos: list[Path], predictor: Predictor, tmp_path: Path) -> None:
    plan = plan_outputs(photos, tmp_path / "made")
    seen: list[tuple[Path, Outcome]] = []
    report = predict_files(
        lambda: predictor,
        plan,
        PredictOptions(),
        saving=NPY,
        on_photo=lambda path, outcome, text: seen.append((path, outcome)),
    )
    assert report.done == [photos[0], photos[1], photos[3]]
    ((path, reason),) = report.failed
    assert path == photos[2]
    assert "\n" not in reason
    assert "damaged" in reason
    assert report.left == []
    assert report.stopped is None
    assert seen == list(zip(photos, ["done", "done", "failed", "done"], strict=True))


def test_results_equal_those_of_the_predictor(photos: list[Path], predictor: Predictor, tmp_path: Path) -> None:
    from latentdepth.images import read

    plan = plan_outputs(photos[:2], tmp_path / "made")
    predict_files(lambda: predictor, plan, PredictOptions(seed=3), saving=NPY)
    for path, stem in plan.items():
        alone = predictor(read(path).pixels, PredictOptions(seed=3))
        # .npy keeps float32 exactly
        assert np.array_equal(read_prediction(stem).value.numpy(), alone.value.numpy())


def test_nothing_is_overwritten_unless_asked(photos: list[Path], predictor: Predictor, tmp_path: Path) -> None:
    plan = plan_outputs(photos[:1], tmp_path / "made")
    predict_files(lambda: predictor, plan, PredictOptions(seed=1), saving=NPY)
    made = tmp_path / "made" / "photo0_depth.npy"
    before = made.read_bytes()
    refused = predict_files(lambda: predictor, plan, PredictOptions(seed=2), saving=NPY)
    assert "--overwrite" in refused.failed[0][1]
    other = Saving(formats=("npy", "exr"), skip_existing=True)
    assert "lacks some" in predict_files(lambda: predictor, plan, PredictOptions(seed=2), saving=other).failed[0][1]
    assert made.read_bytes() == before
    replaced = predict_files(
        lambda: predictor, plan, PredictOptions(seed=2), saving=Saving(formats=("npy",), overwrite=True)
    )
    assert replaced.done == [photos[0]]
    assert made.read_bytes() != before


def test_resuming_makes_what_is_missing_or_was_cut_off(
    photos: list[Path], predictor: Predictor, tmp_path: Path
) -> None:
    plan = plan_outputs([photos[0], photos[1], photos[3]], tmp_path / "made")
    predict_files(lambda: predictor, plan, PredictOptions(), saving=NPY)
    sidecar(plan[photos[1]]).unlink()  # as if the run had been killed before the last file of this result
    resumed = predict_files(
        lambda: predictor, plan, PredictOptions(), saving=Saving(formats=("npy",), skip_existing=True)
    )
    assert resumed.skipped == [photos[0], photos[3]]
    assert resumed.done == [photos[1]]


def test_the_model_is_not_loaded_when_there_is_nothing_to_do(
    photos: list[Path], predictor: Predictor, tmp_path: Path
) -> None:
    plan = plan_outputs(photos[:2], tmp_path / "made")
    predict_files(lambda: predictor, plan, PredictOptions(), saving=NPY)

    def no_model() -> Predictor:
        raise AssertionError("loaded although everything was there")

    report = predict_files(no_model, plan, PredictOptions(), saving=Saving(formats=("npy",), skip_existing=True))
    assert report.skipped == photos[:2]


def test_a_wrong_setting_fails_before_the_first_photo(photos: list[Path], predictor: Predictor, tmp_path: Path) -> None:
    plan = plan_outputs(photos, tmp_path / "made")
    with pytest.raises(ValueError, match=r"glb: distances are needed.*--near-far 1 4"):
        predict_files(lambda: predictor, plan, PredictOptions(), saving=Saving(formats=("glb",)))
    assert not (tmp_path / "made").exists()


def test_the_given_field_of_view_reaches_the_result(photos: list[Path], predictor: Predictor, tmp_path: Path) -> None:
    plan = plan_outputs(photos[:1], tmp_path / "made")
    predict_files(lambda: predictor, plan, PredictOptions(), saving=Saving(formats=("npy",), fov_deg=90.0))
    camera = read_prediction(plan[photos[0]]).camera
    assert camera is not None
    assert camera.fx_px == pytest.approx(16.0)  # half the width of 32 px over tan(45 degrees)


def test_ctrl_c_keeps_what_is_finished(photos: list[Path], predictor: Predictor, tmp_path: Path) -> None:
    plan = plan_outputs([photos[0], photos[1], photos[3]], tmp_path / "made")

    def press_ctrl_c(path: Path, outcome: Outcome, text: str) -> None:
        if path == photos[0]:
            raise KeyboardInterrupt

    report = predict_files(lambda: predictor, plan, PredictOptions(), saving=NPY, on_photo=press_ctrl_c)
    assert report.stopped == "interrupted"
    assert photos[0] in report.done
    assert set(report.done) | set(report.left) == set(plan)
    assert photos[3] in report.left
    for path in report.done:
        read_prediction(plan[path])
    assert not list((tmp_path / "made").glob(".part*"))


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 100 kB. Only root may mount one."""
    folder = tmp_path / "disk"
    folder.mkdir()
    if os.name != "posix" or os.geteuid() != 0:
        pytest.skip("mounting a small disk needs root")
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=100k", "tmpfs", str(folder)], check=False)
    if mounted.returncode != 0:
        pytest.skip("a small disk can't be mounted here")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


def test_a_full_disk_stops_the_run(photos: list[Path], predictor: Predictor, tmp_path: Path, small_disk: Path) -> None:
    large = []
    for k in range(4):
        large.append(tmp_path / f"large{k}.png")
        Image.new("RGB", (128, 96), (k, 50, 100)).save(large[-1])  # 49 kB each as float32: one fits, two do not
    report = predict_files(lambda: predictor, plan_outputs(large, small_disk), PredictOptions(), saving=NPY)
    assert report.stopped == "disk full"
    assert report.done
    assert report.left
    assert not list(small_disk.glob(".part*"))
    for path in report.done:
        read_prediction(small_disk / path.stem)


@pytest.mark.parametrize(("number", "full"), [(errno.ENOSPC, True), (errno.EACCES, False)])
def test_a_full_disk_is_told_from_other_failures(number: int, full: bool, tmp_path: Path) -> None:
    from latentdepth.bulk import _disk_is_full

    failure = ExportError("x: can't be written")
    failure.__cause__ = OSError(number, os.strerror(number))
    assert _disk_is_full(failure, tmp_path) is full
