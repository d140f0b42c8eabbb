"""Predictions made elsewhere: every format and name, and everything that can be wrong with a folder."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import OpenEXR
import pytest
import tifffile
import torch
from PIL import Image

from latentdepth.core.types import AFFINE_DEPTH, AFFINE_DISPARITY, METRIC_DEPTH, NORMALS, Kind, Prediction
from latentdepth.evaluate.contender import MissingError
from latentdepth.evaluate.prediction_folder import PredictionFolder
from latentdepth.evaluate.protocol import PROTOCOLS
from latentdepth.evaluate.run import evaluate
from latentdepth.evaluate.table import Journal
from latentdepth.export import write

VALUES = np.linspace(0.1, 0.9, 12, dtype=np.float32).reshape(3, 4)
PHOTO = torch.zeros(1, 3, 3, 4)


def write_exr(path: Path, values: np.ndarray) -> None:
    OpenEXR.File({}, {"Z": values}).write(str(path))


def save(path: Path, values: np.ndarray = VALUES) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    writers: dict[str, Callable[[], Any]] = {
        ".npy": lambda: np.save(path, values),
        ".npz": lambda: np.savez(path, depth=values),
        ".exr": lambda: write_exr(path, values),
        ".tiff": lambda: tifffile.imwrite(path, values),
        ".png": lambda: Image.fromarray((values * 65535).round().astype(np.uint16)).save(path),
    }
    writers[path.suffix]()
    return path


def opened(folder: Path, kind: Kind | None = AFFINE_DEPTH, **choices: Any) -> PredictionFolder:
    wanted: dict[str, Any] = {"resized": False, **choices}
    return PredictionFolder.open(folder, kind, **wanted)


@pytest.mark.parametrize("suffix", [".npy", ".npz", ".exr", ".tiff", ".png"])
@pytest.mark.parametrize("stem", ["room/7", "room/7_pred", "room_7", "room_7_pred"])
def test_every_format_under_every_name(stem: str, suffix: str, tmp_path: Path) -> None:
    save(tmp_path / (stem + suffix))
    value = opened(tmp_path).predict("room/7", PHOTO).value
    # a PNG holds steps of 1/65535; the others are exact
    np.testing.assert_allclose(value[0, 0].numpy(), VALUES, rtol=0, atol=0.51 / 65535 if suffix == ".png" else 0)


def test_a_pattern_of_ones_own(tmp_path: Path) -> None:
    save(tmp_path / "disp_room_7_v2.npy")
    folder = opened(tmp_path, names="disp_{flat}_v2")
    assert folder.holes(["room/7", "room/8"]) == ["room/8"]
    assert opened(tmp_path, names="disp_{flat}_v2.npy").find("room/7") == tmp_path / "disp_room_7_v2.npy"
    with pytest.raises(ValueError, match=r"--names is 'disp'; it holds \{frame\}, or \{flat\}"):
        opened(tmp_path, names="disp")


@pytest.mark.parametrize("shape", [(1, 3, 4), (3, 4, 1), (1, 1, 3, 4)])
def test_ones_in_the_shape_do_not_matter(shape: tuple[int, ...], tmp_path: Path) -> None:
    save(tmp_path / "a.npy", VALUES.reshape(shape))
    assert torch.equal(opened(tmp_path).predict("a", PHOTO).value[0, 0], torch.from_numpy(VALUES))


@pytest.mark.parametrize("layout", ["hwc", "chw", "png"])
def test_normals(layout: str, tmp_path: Path) -> None:
    normals = np.random.default_rng(0).normal(size=(3, 4, 3)).astype(np.float32)
    normals /= np.linalg.norm(normals, axis=-1, keepdims=True)
    if layout == "png":
        Image.fromarray(((normals + 1) / 2 * 255).round().astype(np.uint8)).save(tmp_path / "a.png")
    else:
        np.save(tmp_path / "a.npy", normals if layout == "hwc" else normals.transpose(2, 0, 1))
    value = opened(tmp_path, NORMALS).predict("a", PHOTO).value[0].permute(1, 2, 0).numpy()
    np.testing.assert_allclose(value, normals, rtol=0, atol=1.01 / 255 if layout == "png" else 0)


def test_units(tmp_path: Path) -> None:
    Image.fromarray(np.full((3, 4), 1500, np.uint16)).save(tmp_path / "a.png")
    assert float(opened(tmp_path, METRIC_DEPTH, unit=0.001).predict("a", PHOTO).value.mean()) == pytest.approx(1.5)
    with pytest.raises(ValueError, match=r"a.png: counts of a PNG are no metres; type --unit 0.001"):
        opened(tmp_path, METRIC_DEPTH).predict("a", PHOTO)
    with pytest.raises(ValueError, match=r"--unit is 0\.0; allowed is a finite number above 0"):
        opened(tmp_path, METRIC_DEPTH, unit=0.0)


def test_what_latentdepth_wrote_says_itself_what_it_is(tmp_path: Path) -> None:
    written = Prediction(torch.from_numpy(VALUES)[None, None], AFFINE_DISPARITY, made_with={"steps": 4, "members": 2})
    write(written, tmp_path / "room" / "7", formats=("preview", "npy", "png16"))
    folder = opened(tmp_path, None)
    prediction = folder.predict("room/7", PHOTO)
    assert folder.kind == prediction.kind == AFFINE_DISPARITY
    assert torch.equal(prediction.value, written.value)
    assert prediction.made_with["steps"] == 4
    with pytest.raises(ValueError, match="holds affine-invariant disparity, the folder affine-invariant depth"):
        opened(tmp_path, AFFINE_DEPTH).predict("room/7", PHOTO)


def test_a_frame_with_two_files_is_an_error(tmp_path: Path) -> None:
    save(tmp_path / "a.npy")
    save(tmp_path / "a.png")
    with pytest.raises(ValueError, match=r"several files for frame a: a.npy, a.png; leave one of them"):
        opened(tmp_path).find("a")
    with pytest.raises(ValueError, match="several files for frame a"):
        opened(tmp_path).holes(["a"])


def test_holes_are_named_and_an_empty_folder_is_an_error(tmp_path: Path) -> None:
    save(tmp_path / "a.npy")
    folder = opened(tmp_path)
    assert folder.holes(["a", "b", "c"]) == ["b", "c"]
    with pytest.raises(MissingError, match=r"looked for .*b with .npy, .npz"):
        folder.predict("b", PHOTO)
    with pytest.raises(ValueError, match=r"none of 2 frames has a prediction; the first is looked for as x/1 .* a.npy"):
        folder.holes(["x/1", "x/2"])


@pytest.mark.parametrize(
    ("values", "said"),
    [
        (np.zeros((3, 4, 3), np.float32), r"shape \(3, 4, 3\) of float32; allowed is \(h, w\)"),
        (np.zeros((0, 4), np.float32), "allowed is"),
        (np.zeros(12, np.float32), "allowed is"),
        (np.zeros((3, 4), np.complex64), "allowed is"),
    ],
)
def test_arrays_that_are_no_picture(values: np.ndarray, said: str, tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", values)
    with pytest.raises(ValueError, match=said):
        opened(tmp_path).predict("a", PHOTO)


def test_files_that_can_not_be_used(tmp_path: Path) -> None:
    Image.fromarray(np.zeros((3, 4), np.uint8)).save(tmp_path / "eight.png")
    (tmp_path / "broken.npy").write_bytes(b"\x93NUMPY")
    np.savez(tmp_path / "two.npz", depth=VALUES, mask=VALUES)
    np.save(tmp_path / "pickled.npy", np.array([{"a": 1}]), allow_pickle=True)
    folder = opened(tmp_path)
    for name, said in {
        "eight": "8 bits hold 256 depths, too few to measure",
        "broken": "broken.npy: truncated or damaged",
        "two": "two.npz: holds depth, mask; name the prediction `value`",
        "pickled": "pickled.npy: truncated or damaged",
    }.items():
        with pytest.raises(ValueError, match=said):
            folder.predict(name, PHOTO)


def test_a_folder_must_be_there_and_be_declared(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="there is no such folder of predictions"):
        opened(tmp_path / "none")
    with pytest.raises(ValueError, match="nothing says what the values are; type --predicts affine-disparity"):
        opened(tmp_path, None)


def test_another_size_is_a_fault_unless_resizing_is_asked_for(miniature: Any, tmp_path: Path) -> None:
    for index in range(8):
        truth = miniature()[index].depth_m[0].numpy()
        save(tmp_path / "p" / f"{miniature().frame(index)}.npy", truth if index else truth[::2, ::2])
    rules = [PROTOCOLS["marigold"]]

    def run(where: str, resized: bool) -> list[str | None]:
        folder = opened(tmp_path / "p", resized=resized)
        done = evaluate([folder], [miniature()], rules, Journal.open(tmp_path / where / "rows.jsonl", {}))
        return [row.entries[0].fault for row in done.rows]

    assert run("strict", False) == ["size"] + [None] * 7
    assert run("resized", True) == [None] * 8


def test_resized_normals_stay_unit_vectors(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", np.array([[[1, 0, 0], [0, 1, 0]], [[0, 0, 1], [0, 1, 0]]], np.float32))
    value = opened(tmp_path, NORMALS, resized=True).predict("a", PHOTO).value
    torch.testing.assert_close(value.norm(dim=1), torch.ones(1, 3, 4))


def test_holes_cost_their_rows_alone(miniature: Any, tmp_path: Path) -> None:
    for index in (0, 1, 3, 4, 5, 6, 7):
        save(tmp_path / "p" / f"{miniature().frame(index)}.npy", miniature()[index].depth_m[0].numpy())
    journal = Journal.open(tmp_path / "rows.jsonl", {})
    done = evaluate([opened(tmp_path / "p", METRIC_DEPTH)], [miniature()], [PROTOCOLS["metric"]], journal)
    assert {row.frame: row.entries[0].fault for row in done.rows if row.entries[0].fault} == {"a/002": "missing"}
    assert sum(row.entries[0].figures.get("abs_rel") == 0 for row in done.rows) == 7
