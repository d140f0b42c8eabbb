"""The figure that says whether tiles show."""

from __future__ import annotations

import math

import pytest
import torch

from latentdepth.core.seams import seam_energy
from latentdepth.core.tiles import Layout, Window, grid


def test_steps_between_tiles_are_counted_exactly():
    layout = Layout(4, 6, 4, 3)
    windows = grid(layout, overlap=0)
    value = torch.arange(6.0).expand(4, 6).clone()[None, None]
    # one border crosses 4 of the 20 steps along x, all of them 1; the 18 along y are 0
    assert seam_energy(value, windows, layout) == pytest.approx(1 / (16 / 34))
    value[..., 3:] += 9
    assert seam_energy(value, windows, layout) == pytest.approx(10 / (16 / 34))


def test_borders_end_where_tiles_end_and_wrap_with_them():
    layout = Layout(6, 6, 2, 2, "x")
    value = torch.zeros(1, 1, 6, 6)
    value[0, 0, :2, 1:3] = 1.0  # a tile-shaped step
    windows = [Window(0, 1, 2, 2), Window(0, 5, 2, 2)]
    # the first window's four sides but the upper one: 2 + 2 steps along x and 2 along y, all 1; nothing else varies
    assert math.isnan(seam_energy(value, windows, layout))
    value[0, 0, 4, 3] = 1.0
    assert seam_energy(value, windows, layout) > 1


def test_without_borders_there_is_nothing_to_see():
    layout = Layout(5, 5, 5, 5)
    assert math.isnan(seam_energy(torch.rand(1, 1, 5, 5), grid(layout, overlap=0), layout))
