"""The search for a resolution with context, and windows with detail."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.ndimage
import torch

from latentdepth.core.context import context_resolution, contours, dense_windows, gradients, within
from latentdepth.core.tiles import Window


def lines(every: int, side: int = 240) -> torch.Tensor:
    """Black vertical lines, so far apart."""
    image = torch.ones(1, 3, side, side)
    image[..., every // 2 :: every] = 0
    return image


def test_gradients_are_sobels():
    image = torch.rand(1, 1, 12, 15, generator=torch.Generator().manual_seed(0)).expand(-1, 3, -1, -1)
    grey = image[0, 0].double().numpy()
    expected = sum(np.abs(scipy.ndimage.sobel(grey, axis, mode="nearest")) for axis in (0, 1))
    # float32, and weights of luma that sum to 1 within rounding
    np.testing.assert_allclose(gradients(image)[0, 0], expected, atol=1e-5)


def test_a_flat_image_has_no_contours():
    assert not bool(contours(torch.full((2, 3, 8, 8), 0.3)).any())


def test_finer_texture_allows_a_higher_resolution():
    found = [context_resolution(lines(every), sees_px=64, longer_px=2000) for every in (20, 60, 240)]
    assert found[0] > found[1] > found[2]
    # lines 20 of 240 pixels apart: at R pixels they are R/12 apart, a network that sees 32 to each side of
    # a contour misses nothing up to 64 x 12 = 768 pixels; a fifth is lacking a little later
    assert 700 < found[0] < 1100


def test_an_image_without_contours_is_looked_at_whole():
    assert context_resolution(torch.full((1, 3, 50, 50), 0.5), sees_px=64, longer_px=2000) == 64


def test_never_beyond_three_times_the_photo():
    assert context_resolution(lines(4), sees_px=64, longer_px=100) <= 300
    with pytest.raises(ValueError, match="allowed is 1 or more"):
        context_resolution(lines(4), sees_px=0, longer_px=100)


def test_dense_windows_by_gradient_or_uncertainty():
    image = torch.zeros(1, 3, 20, 40)
    image[..., :10:2, :10] = 1
    windows = [Window(0, 0, 10, 10), Window(0, 20, 10, 10), Window(10, 30, 10, 10)]
    assert dense_windows(windows, image, None) == windows[:1]
    uncertainty = torch.zeros(1, 1, 20, 40)
    uncertainty[..., 12:, 32:] = 0.5
    assert dense_windows(windows, image, uncertainty) == [windows[0], windows[2]]


def test_within_wraps():
    value = torch.arange(12.0).view(1, 1, 3, 4)
    assert within(value, Window(2, 3, 2, 2))[0, 0].tolist() == [[11.0, 8.0], [3.0, 0.0]]
    assert within(value, Window(1, 1, 2, 2))[0, 0].tolist() == [[5.0, 6.0], [9.0, 10.0]]
