"""Plots are drawn from the numbers given: what is asserted is read back from the figure or its pixels."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from latentdepth.evaluate.plots import Curve, Panel, Scatter, as_numbers, plot_gain, plot_sweep


def _pixels(path: Path) -> np.ndarray:
    with Image.open(path) as picture:
        return np.asarray(picture.convert("RGB")).astype(int)


def _count(pixels: np.ndarray, colour: str) -> int:
    wanted = [int(colour[k : k + 2], 16) for k in (1, 3, 5)]
    return int((np.abs(pixels - wanted).max(-1) < 12).sum())


def test_settings_are_numbers_only_where_they_rise():
    assert as_numbers(["1", "2", "10"]) == [1, 2, 10]
    assert as_numbers(["1e-5", "1e-4"]) == [1e-5, 1e-4]
    for words in (["2", "1"], ["1"], ["leading", "trailing"], ["1", "inf"], ["1", "nan"], []):
        assert as_numbers(words) is None


@pytest.mark.parametrize("settings", [["1", "2", "16"], ["gaussian", "multires", "annealed, with a long name indeed"]])
def test_a_sweep_shows_curves_with_bands_and_time_over_numbers(settings: list[str], tmp_path: Path):
    curve = Curve("one set", [6.0, 5.0, 5.5], [6.0, 4.5, math.nan], [6.0, 5.2, math.nan])
    other = Curve("another", [9.0, 8.0, 7.5], [9.0, 7.5, 7.0], [9.0, 8.2, 8.0])
    panels = [Panel("AbsRel %", [curve, other]), Panel("delta1 %", [curve, other])]
    timed = _pixels(plot_sweep(settings, panels, [0.1, 0.2, 0.8], tmp_path / "new" / "a.png", axis="x", caption="c"))
    assert _count(timed, "#0072B2") > 20
    assert _count(timed, "#D55E00") > 20
    untimed = _pixels(plot_sweep(settings, panels, [math.nan] * 3, tmp_path / "b.png", axis="x", caption="c"))
    grey = _count(timed, "#777777") - _count(untimed, "#777777")  # soft edges of black text are grey too
    assert (grey > 100) == (settings[0] == "1")


def test_extreme_gains_are_left_out_of_the_picture_and_counted(tmp_path: Path):
    draw = np.random.default_rng(0)
    gain = draw.normal(size=200)
    gain[7] = 400.0
    groups = ["a" if k % 2 else "b" for k in range(200)]
    path = plot_gain(
        [Scatter("energy", draw.random(200).tolist(), gain.tolist(), groups, "note")], tmp_path / "g.png", axis="y"
    )
    dots = (np.abs(_pixels(path) - [0xD5, 0x5E, 0x00]).max(-1) < 90).any(1).nonzero()[0]
    # dots of group b are spread over the height, not squeezed into one row by the one at 400
    assert dots.max() - dots.min() > 100
