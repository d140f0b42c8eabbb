"""Where tiles lie and what they count."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
import torch

from latentdepth.core.tiles import FLOOR, Layout, Window, blend_weights, grid, random_windows, shifted_grids, starts


def covered(layout: Layout, windows: list[Window]) -> torch.Tensor:
    count = torch.zeros(layout.height, layout.width, dtype=torch.int64)
    for window in windows:
        rows = torch.arange(window.top, window.top + window.height) % layout.height
        columns = torch.arange(window.left, window.left + window.width) % layout.width
        count[rows[:, None], columns] += 1
    return count


def test_a_grid_without_overlap_is_a_partition():
    layout = Layout(48, 64, 12, 16)
    windows = grid(layout, overlap=0)
    assert len(windows) == 16
    assert bool((covered(layout, windows) == 1).all())


def test_shifted_grids_are_patchfusions_49():
    layout = Layout(48, 64, 12, 16)
    windows = shifted_grids(layout, overlap=0)
    assert len(windows) == 16 + 12 + 12 + 9
    assert windows[16] == Window(0, 8, 12, 16)


@pytest.mark.parametrize("length", [1, 7, 100, 101])
@pytest.mark.parametrize("tile", [1, 5, 7])
@pytest.mark.parametrize("overlap", [0.0, 0.25, 0.9])
@pytest.mark.parametrize("wraps", [False, True])
def test_every_pixel_is_seen_and_neighbours_share_enough(length: int, tile: int, overlap: float, wraps: bool):
    tile = min(tile, length)
    firsts = starts(length, tile, overlap, wraps=wraps)
    assert firsts == sorted(set(firsts))
    seen = {place % length for first in firsts for place in range(first, first + tile)}
    assert seen == set(range(length))
    if not wraps:
        assert (firsts[0], firsts[-1] + tile) == (0, length)
    for here, there in itertools.pairwise(firsts):
        assert there - here <= max(1, math.ceil(tile * (1 - overlap)))


def test_random_windows_lie_inside_and_do_not_depend_on_how_many_there_are():
    layout = Layout(40, 50, 10, 20)
    many = random_windows(layout, count=30, seed=3)
    assert many[:5] == random_windows(layout, count=5, seed=3)
    assert many[:5] != random_windows(layout, count=5, seed=4)
    assert all(0 <= w.top <= 30 and 0 <= w.left <= 30 for w in many)
    wrapped = random_windows(Layout(40, 50, 10, 20, "x"), count=60, seed=3)
    assert max(w.left for w in wrapped) > 30 >= max(w.top for w in wrapped)


def test_weights_are_a_blurred_box():
    """Against PatchFusion's recipe written out in two dimensions: margin 10 %, sigma 1/16, kernel cut at 2 sigma."""
    size, layout = 64, Layout(300, 300, 64, 64)
    box = np.zeros((size, size))
    box[6:-6, 6:-6] = 1
    offsets = np.arange(-8, 9)
    kernel = np.exp(-0.5 * (offsets / 4) ** 2)
    kernel /= kernel.sum()
    blurred = box
    for axis in (0, 1):
        blurred = np.apply_along_axis(lambda line: np.convolve(line, kernel, "same"), axis, blurred)
    weights = blend_weights(Window(100, 100, size, size), layout)[0, 0].double()
    middle = weights[size // 2] - FLOOR
    least = blurred[size // 2].min()
    # float32 weights
    np.testing.assert_allclose(middle, (blurred[size // 2] - least) / (1 - least), atol=1e-6)
    assert float(weights.min()) == pytest.approx(FLOOR, rel=1e-6)
    assert float(weights.max()) == pytest.approx(1 + FLOOR, rel=1e-6)


def test_normalised_weights_sum_to_one_and_a_grid_is_level():
    layout = Layout(96, 128, 40, 40)
    windows = grid(layout, overlap=0.3)
    total = torch.zeros(1, 1, 96, 128)
    for w in windows:
        total[..., w.top : w.top + w.height, w.left : w.left + w.width] += blend_weights(w, layout)
    shares = torch.zeros_like(total)
    for w in windows:
        part = (..., slice(w.top, w.top + w.height), slice(w.left, w.left + w.width))
        shares[part] += blend_weights(w, layout) / total[part]
    torch.testing.assert_close(shares, torch.ones_like(shares))
    # the tiles together count nowhere much less than one alone, so no coarse map shines through
    assert float(total.min()) > 0.9


def test_no_fading_towards_the_edges_of_the_image():
    layout = Layout(30, 90, 30, 30)
    left = blend_weights(Window(0, 0, 30, 30), layout)[0, 0]
    assert float(left[:, 0].min()) == pytest.approx(1 + FLOOR)
    assert float(left[:, -1].max()) == pytest.approx(FLOOR)
    wrapping = blend_weights(Window(0, 0, 30, 30), Layout(30, 90, 30, 30, "x"))[0, 0]
    assert float(wrapping[:, 0].max()) == pytest.approx(FLOOR)


def test_tiles_of_a_pixel_count():
    assert float(blend_weights(Window(3, 0, 1, 1), Layout(9, 1, 1, 1))) == pytest.approx(1 + FLOOR)


@pytest.mark.parametrize("overlap", [-0.1, 0.95, 1.0, float("nan")])
def test_an_overlap_that_would_not_advance_is_refused(overlap: float):
    with pytest.raises(ValueError, match=r"allowed is 0 to 0\.9"):
        grid(Layout(20, 20, 10, 10), overlap=overlap)


@pytest.mark.parametrize("tile", [(0, 5), (5, -1), (21, 5)])
def test_tiles_that_do_not_fit_are_refused(tile: tuple[int, int]):
    with pytest.raises(ValueError, match="allowed are sides from 1"):
        Layout(20, 20, *tile)
