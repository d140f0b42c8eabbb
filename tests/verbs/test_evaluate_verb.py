"""``latentdepth evaluate`` from its words to its files, on a folder of pictures and a folder of predictions."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tyro
from PIL import Image

from latentdepth.verbs.evaluate import Evaluate, run

H, W = 12, 16


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    """Four photos of a slope with depth in millimetres, in the plain layout."""
    folder = tmp_path / "slopes"
    for name in ("rgb", "depth"):
        (folder / name).mkdir(parents=True)
    for k in range(4):
        depth_m = truth(k)
        grey = np.clip(200 / depth_m, 0, 255).astype(np.uint8)
        Image.fromarray(np.stack([grey] * 3, -1)).save(folder / "rgb" / f"s_{k}.png")
        Image.fromarray((depth_m * 1000).round().astype(np.uint16)).save(folder / "depth" / f"s_{k}.png")
    (folder / "depth.toml").write_text('kind = "depth"\nunit = 0.001\n')
    return folder


def truth(k: int) -> np.ndarray:
    row, column = np.mgrid[1 : 0 : H * 1j, 0 : 1 : W * 1j]
    return 1 + (3 + k) * row + 0.5 * column


def evaluate(*words: str) -> int:
    return run(tyro.cli(Evaluate, args=words, config=(tyro.conf.FlagCreatePairsOff, tyro.conf.OmitArgPrefixes)))


def summary(out: Path) -> dict[str, Any]:
    return json.loads((out / "summary.json").read_text())


def predictions(folder: Path, names: list[str], factor: float = 1.0) -> Path:
    folder.mkdir()
    for k, name in enumerate(names):
        np.save(folder / f"{name}.npy", (truth(k) * factor).astype(np.float32))
    return folder


def frames(pictures: Path) -> list[str]:
    from latentdepth.data.benchmarks.catalogue import open_benchmark

    opened = open_benchmark(f"folder:{pictures}")
    return [opened.frame(k).replace("/", "_") for k in range(len(opened))]


def test_a_table_a_sheet_and_all_files(pictures: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "out"
    good = predictions(tmp_path / "good", frames(pictures))
    words = [f"predictions:{good}", "baseline:ramp", "--predicts", "metric-depth", "--on", f"folder:{pictures}"]
    assert evaluate(*words, "--protocol", "marigold", "disparity", "--compare", "--by-source", "--out", str(out)) == 0
    assert {path.name for path in out.iterdir()} == {
        "rows.jsonl", "per_image.csv", "per_image.parquet", "summary.md", "summary.tex", "summary.json", "sheets",
    }  # fmt: skip
    assert len(list((out / "sheets").glob("*.png"))) == 2
    found = summary(out)
    assert [(line["model"], line["protocol"]) for line in found["lines"]] == [
        (f"predictions:{good}", "marigold"),
        (f"predictions:{good}", "disparity"),
        ("baseline:ramp", "marigold"),
        ("baseline:ramp", "disparity"),
    ]
    # depth was rounded to millimetres at 1 m and farther
    assert found["lines"][0]["figures"]["abs_rel"]["mean"] < 5e-4
    assert found["lines"][2]["figures"]["abs_rel"]["mean"] > 1e-3
    assert len(found["comparisons"]) == 4
    printed = capsys.readouterr()
    assert "protocol marigold" in printed.out
    assert "paired comparison" in printed.out
    assert f"rows, tables and sheets are in {out}" in printed.err


def test_a_perfect_metric_folder_and_one_a_tenth_too_far(pictures: Path, tmp_path: Path) -> None:
    names, out = frames(pictures), tmp_path / "out"
    good, far = predictions(tmp_path / "good", names), predictions(tmp_path / "far", names, 1.1)
    models = [f"predictions:{good}", f"predictions:{far}"]
    words = [*models, "--predicts", "metric-depth", "metric-depth", "--on", f"folder:{pictures}", "--sheet", "0"]
    assert evaluate(*words, "--out", str(out)) == 0
    means = [line["figures"]["abs_rel"]["mean"] for line in summary(out)["lines"]]
    assert means[0] < 5e-4
    assert means[1] == pytest.approx(0.1, abs=5e-4)  # truth is in whole millimetres, at 1 m and more
    assert not (out / "sheets").exists()


def test_a_smeared_rim_doesn_t_count_within_a_margin(pictures: Path, tmp_path: Path) -> None:
    for path in (pictures / "depth").iterdir():
        depth = np.array(Image.open(path))
        depth[:, 0] = 60  # a twentieth of a metre, as half of nothing
        Image.fromarray(depth).save(path)
    good = predictions(tmp_path / "good", frames(pictures))
    words = [f"predictions:{good}", "--predicts", "metric-depth", "--on", f"folder:{pictures}", "--out"]
    measured = {}
    for margin in ("0", "1"):
        assert evaluate(*words, str(tmp_path / margin), "--margin", margin) == 0
        measured[margin] = summary(tmp_path / margin)["lines"][0]["figures"]["abs_rel"]["mean"]
    assert measured["1"] < 0.001 < 0.5 < measured["0"]
    with pytest.raises(ValueError, match="px from holes"):
        evaluate(*words, str(tmp_path / "0"), "--margin", "1")


def test_a_hole_is_named_counted_and_an_exit_status(
    pictures: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    names, out = frames(pictures), tmp_path / "out"
    good = predictions(tmp_path / "good", names)
    (good / f"{names[2]}.npy").unlink()
    words = [f"predictions:{good}", "--predicts", "affine-depth", "--on", f"folder:{pictures}", "--out", str(out)]
    assert evaluate(*words) == 1
    (line,) = summary(out)["lines"]
    assert (line["frames"], line["scored"], line["faults"]) == (4, 3, {"missing": 1})
    printed = capsys.readouterr()
    assert "missing: no prediction; looked for" in printed.err
    assert "3 of 4" in printed.out
    assert "1 missing (per_image.csv names the frames)" in printed.out
    np.save(good / f"{names[2]}.npy", truth(2))
    assert evaluate(*words) == 0  # the same command fills the hole
    assert summary(out)["lines"][0]["scored"] == 4


def test_a_benchmark_that_is_not_there_is_skipped_and_said(
    pictures: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    words = ["baseline:ramp", "--on", f"nyu,folder:{pictures}", "--data", str(tmp_path), "--out", str(out)]
    assert evaluate(*words, "--max-frames", "2") == 1
    assert "skipped: NYUv2" in capsys.readouterr().err
    found = summary(out)
    assert list(found["skipped"]) == ["nyu"]
    assert found["lines"][0]["frames"] == 2
    with pytest.raises(ValueError, match=r"none of the benchmarks is here \(nyu\)"):
        evaluate("baseline:ramp", "--on", "nyu", "--data", str(tmp_path), "--out", str(tmp_path / "none"))


def test_a_network_with_its_options(pictures: Path, tiny_folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    words = [f"dir:{tiny_folder}", "--on", f"folder:{pictures}", "--max-frames", "2", "--resolution", "16"]
    assert evaluate(*words, "--steps", "2", "--members", "2", "--dtype", "float32", "--out", str(out)) == 0
    (line,) = summary(out)["lines"]
    assert (line["steps"], line["members"], line["protocol"], line["scored"]) == (2, 2, "marigold", 2)
    with pytest.raises(ValueError, match=r"with other settings: steps was 2, now 1; members was 2, now None"):
        evaluate(*words, "--steps", "1", "--dtype", "float32", "--out", str(out))


def test_an_exported_model_scores_as_on_torch(pictures: Path, tiny_folder: Path, tmp_path: Path) -> None:
    pytest.importorskip("onnx")
    pytest.importorskip("onnxruntime")
    from latentdepth.verbs.export import Export
    from latentdepth.verbs.export import run as export

    fast = tmp_path / "fast"
    assert export(Export(f"dir:{tiny_folder}", runtime="onnx", size=("32x24",), out=fast)) == 0
    words = [f"dir:{fast}", "--on", f"folder:{pictures}", "--resolution", "32", "--dtype", "float32", "--sheet", "0"]
    here, there = tmp_path / "torch", tmp_path / "onnx"
    assert evaluate(*words, "--out", str(here)) == 0
    assert evaluate(*words, "--runtime", "onnx", "--out", str(there)) == 0
    means = [summary(out)["lines"][0]["figures"]["abs_rel"]["mean"] for out in (here, there)]
    assert means[0] == pytest.approx(means[1], rel=1e-3)  # float32 sums in another order
    with pytest.raises(ValueError, match="with other settings: runtime was 'onnx', now None"):
        evaluate(*words, "--out", str(there))


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ([], "no model is given; type `latentdepth evaluate"),
        (["baseline:ramp"], "no benchmark is given; type --on nyu,kitti"),
        (["baseline:ramp", "--on", "nyu", "--compare"], "--compare needs two models or more"),
        (["baseline:ramp", "--on", "nyu", "--sheet", "-1"], "--sheet is -1; allowed is 0 or more"),
        (["predictions:x", "--on", "nyu", "--predicts", "normals", "normals"], "says 2 kinds for 1 folders"),
    ],
)
def test_words_that_make_no_sense(words: list[str], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        evaluate(*words)


def test_the_protocols_of_the_command_line_are_those_there_are() -> None:
    from typing import get_args

    from latentdepth.evaluate.options import ProtocolName
    from latentdepth.evaluate.protocol import PROTOCOLS

    assert get_args(ProtocolName) == tuple(PROTOCOLS)


def test_the_page_names_every_protocol_and_fault() -> None:
    from typing import get_args

    from latentdepth.evaluate.options import ExtraName, ProtocolName
    from latentdepth.evaluate.score import Fault

    page = (Path(__file__).parents[2] / "docs" / "evaluate.md").read_text()
    for word in (*get_args(ProtocolName), *get_args(ExtraName), *get_args(Fault), "unreadable", "missing", "failed"):
        assert f"`{word}`" in page, word


def test_help_needs_no_torch() -> None:
    import subprocess
    import sys

    check = "import sys, latentdepth.verbs.evaluate; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", check], check=False).returncode == 0
