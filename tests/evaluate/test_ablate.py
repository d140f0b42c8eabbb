"""Settings of one model, and rows of them turned into points, tables and files."""

from __future__ import annotations

import csv
import json
import math
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from PIL import Image

from latentdepth.core.modality import Modality, depth_like
from latentdepth.core.types import METRIC_DEPTH, Prediction, Quantity
from latentdepth.data.benchmarks.benchmark import Facts
from latentdepth.data.sample import Sample
from latentdepth.evaluate.ablate import (
    UNTRAINED,
    check_values,
    draw,
    errors_by_effort,
    points,
    respaced,
    settings,
    tables,
    write_points,
)
from latentdepth.evaluate.protocol import PROTOCOLS
from latentdepth.evaluate.render import to_markdown
from latentdepth.evaluate.run import evaluate
from latentdepth.evaluate.table import Entry, Journal, Row
from latentdepth.loading import load
from latentdepth.options import PredictOptions
from latentdepth.predictor import DiffusionPredictor


class Slopes:
    """Four photos of noise over a floor that comes nearer, in two scenes."""

    facts = Facts("slopes", "Slopes", "depth", None, 0.1, 100.0, None, "", "")
    notice = None

    def __len__(self) -> int:
        return 4

    def frame(self, index: int) -> str:
        return f"scene{index // 2}/{index}"

    def __getitem__(self, index: int) -> Sample:
        image = torch.rand(3, 24, 32, generator=torch.Generator().manual_seed(index))
        depth_m = torch.linspace(9, 1, 24).view(1, 24, 1).expand(1, 24, 32).contiguous()
        return Sample(image, depth_m, torch.ones(1, 24, 32, dtype=torch.bool), f"scene{index // 2}")


@pytest.fixture
def predictor(tiny_folder: Path) -> DiffusionPredictor:
    loaded = load(f"dir:{tiny_folder}", device="cpu", dtype="float32")
    assert isinstance(loaded, DiffusionPredictor)
    return loaded


def _row(value: str, frame: int, abs_rel: float, *, seconds: float = 0.1, fault: str | None = None) -> Row:
    entry = Entry("marigold", {"abs_rel": abs_rel, "delta1": 1 - abs_rel, "rmse": 1.0}, 100, fault)
    return Row(f"steps={value}", "b", f"f{frame}", f"scene {frame // 2}", seconds, int(value), 1, (entry,))


def _rows() -> list[Row]:
    """Frames f0 to f3 of two scenes; four steps take a tenth off every error but the last, which they double."""
    errors = [0.1, 0.2, 0.3, 0.4]
    more = [0.09, 0.18, 0.27, 0.8]
    return [_row("1", k, e) for k, e in enumerate(errors)] + [
        _row("4", k, e, seconds=0.2 + k, fault="flipped" if k == 1 else None) for k, e in enumerate(more)
    ]


def test_points_are_means_over_common_frames_and_paired_changes():
    one, four = points(_rows(), "steps", ["1", "4"])
    assert one.figures["abs_rel"].mean == pytest.approx(0.25)
    assert four.figures["abs_rel"].mean == pytest.approx(1.34 / 4)
    change = four.change["abs_rel"]
    assert change.difference.mean == pytest.approx((-0.01 - 0.02 - 0.03 + 0.4) / 4)
    # two scenes: a resample holds either scene twice or both once
    assert change.difference.low == pytest.approx(-0.015)
    assert change.difference.high == pytest.approx(0.185)
    assert (change.wins, change.losses) == (3, 1)
    assert (one.change["abs_rel"].difference.low, one.change["abs_rel"].difference.high) == (0, 0)
    assert list(one.figures) == ["abs_rel", "delta1"]
    assert (one.seconds, four.seconds) == (0.1, 0.2)  # a slow minute of the machine leaves it as it is
    assert (one.flagged, four.flagged) == (0, 1)


def test_a_frame_without_a_figure_at_one_setting_counts_at_none():
    rows = [row if row.frame != "f3" or row.steps == 1 else _row("4", 3, math.nan) for row in _rows()]
    one, four = points(rows, "steps", ["1", "4"])
    assert (one.figures["abs_rel"].n, one.left_out, four.left_out) == (3, 1, 1)
    assert four.figures["abs_rel"].mean == pytest.approx(0.18)
    assert "1 frames lack a figure" in to_markdown(tables([one, four], "steps", {})[0])
    figure, frames, groups, errors = errors_by_effort(rows, "steps", ["1", "4"], "b")
    assert (figure, frames, groups[3]) == ("abs_rel", ["f0", "f1", "f2", "f3"], "scene 1")
    assert errors[1] == [0.1, 0.2, 0.3, 0.4]
    assert math.isnan(errors[4][3])
    with pytest.raises(ValueError, match="no frame has figures at every setting"):
        points([replace(row, entries=(replace(row.entries[0], figures={}),)) for row in rows], "steps", ["1", "4"])


def test_files_hold_what_was_found(tmp_path: Path):
    found = points(_rows(), "steps", ["1", "4"])
    written = write_points(found, tmp_path, vary="steps", about={"subject": "m"}, titles={"b": "Bench"})
    assert [path.name for path in written] == ["steps.csv", "steps.json", "steps.md", "steps.png"]
    with written[0].open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert [row["steps"] for row in rows] == ["1", "4"]
    assert float(rows[1]["abs_rel_change"]) == pytest.approx(0.085)
    assert (rows[1]["frames"], rows[1]["scenes"], rows[1]["flagged"]) == ("4", "2", "1")
    read = json.loads(written[1].read_text())
    assert (read["subject"], read["points"][1]["figures"]["abs_rel"]["n"]) == ("m", 4)
    text = written[2].read_text()
    assert "### Bench · protocol marigold · steps varied" in text
    assert "33.50" in text
    assert "+8.50 [-1.50, 18.50]" in text
    assert "flagged (constant, or near and far swapped by the fit) but counted: 0 at 1, 1 at 4" in text
    with Image.open(written[3]) as picture:
        assert picture.width > 2 * picture.height / 1.5


def test_settings_run_resume_and_differ_only_in_what_is_varied(predictor: DiffusionPredictor, tmp_path: Path):
    options = PredictOptions(resolution=32, seed=3)
    calls: list[str] = []

    def run() -> list[Row]:
        journal = Journal.open(tmp_path / "rows.jsonl", {})
        given = settings(predictor, "members", ["1", "3"], options)
        before = len(journal.rows)
        rows = evaluate(given, [Slopes()], [PROTOCOLS["marigold"]], journal).rows
        calls.append(f"{len(journal.rows) - before}")
        return list(rows)

    first, again = run(), run()
    assert calls == ["8", "0"]  # a finished setting is not run again
    assert [row.entries[0].figures for row in again] == [row.entries[0].figures for row in first]
    assert [row.members for row in first] == [1, 1, 1, 1, 3, 3, 3, 3]
    found = points(first, "members", ["1", "3"])
    assert found[0].figures["abs_rel"].groups == 2
    direct = predictor(Slopes()[0].image[None], replace(options, members=3))
    assert direct.made_with["members"] == 3


def test_spacing_replaces_the_schedule_and_shares_the_networks(predictor: DiffusionPredictor):
    leading = respaced(predictor, "leading")
    assert leading.model.unet is predictor.model.unet
    assert predictor.model.schedule.spacing == "trailing"
    assert leading.model.schedule.timesteps(4) == [751, 501, 251, 1]  # an offset of 1 stands in this folder
    image, options = Slopes()[0].image[None], PredictOptions(resolution=32, steps=2)
    given = {
        one.name: one.predict("", image).value
        for one in settings(predictor, "spacing", ["trailing", "leading"], options)
    }
    assert torch.equal(given["spacing=trailing"], predictor(image, options).value)
    assert not torch.equal(given["spacing=trailing"], given["spacing=leading"])
    named = [dict(one.settings)["spacing"] for one in settings(predictor, "spacing", ["trailing", "leading"], options)]
    assert named == ["trailing", "leading"]


class Constant:
    """A network of another make that says one thing, and refuses what it can't follow as such networks do."""

    modality: Modality = depth_like(Quantity.DEPTH)

    def __call__(self, images: torch.Tensor, options: PredictOptions) -> Prediction:
        if options.steps is not None:
            raise ValueError("this network has no steps; leave --steps out")
        return Prediction(torch.ones_like(images[:, :1]), METRIC_DEPTH)


@pytest.mark.parametrize(
    ("vary", "values", "message"),
    [
        ("colour", ["1", "2"], "of a prediction members, steps, resolution, seed, sampler, spacing can be varied"),
        ("steps", ["1"], "two or more different values"),
        ("steps", ["1", "1"], "two or more different values"),
        ("steps", ["1", "two"], "steps is 'two'; a whole number"),
        ("steps", ["1", "-2"], "steps is '-2'; a whole number"),
        ("steps", ["1", "1001"], "steps is 1001; allowed is 1 to 1000"),
        ("members", ["0", "1"], "members is 0; allowed is 1 or more"),
        ("spacing", ["leading", "cosine"], "spacing is 'cosine'; allowed are leading, trailing, linspace"),
        ("sampler", ["ddim", "euler"], "sampler is 'euler'; allowed are ddim, lcm, one_step"),
    ],
)
def test_what_cannot_be_varied_is_refused_at_once(
    predictor: DiffusionPredictor, vary: str, values: list[str], message: str
):
    with pytest.raises(ValueError, match=message):
        settings(predictor, vary, values, PredictOptions(resolution=32))


def test_a_network_of_another_make_is_asked_whether_it_takes_it():
    with pytest.raises(ValueError, match="steps can't be varied of this model: this network has no steps"):
        settings(Constant(), "steps", ["1", "2"], PredictOptions())
    with pytest.raises(ValueError, match="spacing can't be varied of this model: its timesteps are not ours"):
        settings(Constant(), "spacing", ["leading", "trailing"], PredictOptions())
    assert len(list(settings(Constant(), "resolution", ["64", "128"], PredictOptions()))) == 2


def test_the_untrained_model_has_no_place_on_an_axis_of_numbers(tmp_path: Path):
    rows = [replace(row, model="optim.lr=" + {"steps=1": "1e-4", "steps=4": UNTRAINED}[row.model]) for row in _rows()]
    rows += [replace(row, model="optim.lr=1e-3") for row in rows[:4]]
    values = ["1e-4", "1e-3", UNTRAINED]
    found = points(rows, "optim.lr", values)
    assert [point.value for point in found] == values
    assert draw(found, tmp_path / "x.png", vary="optim.lr", titles={}).exists()
    check_values("optim.lr", values)
