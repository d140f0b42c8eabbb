"""Contact sheets: the photo above its depth, near in red, sky in blue, invalid in black."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from latentdepth.core.colours import SPECTRAL_RGB
from latentdepth.data.sample import Sample
from latentdepth.synth.sheet import strip, write_sheet


def sample() -> Sample:
    """Half near, half sky; one invalid corner; the photo is grey."""
    depth = torch.full((1, 20, 40), 1.5)
    depth[..., 20:] = torch.inf
    valid = torch.ones(1, 20, 40, dtype=torch.bool)
    valid[:, :4, :4] = False
    return Sample(torch.full((3, 20, 40), 0.5), depth, valid)


def test_a_strip_shows_photo_and_depth():
    picture = strip([sample(), sample()], width_px=40)
    assert picture.shape == (40, 88, 3)  # a gap of 4 after each
    np.testing.assert_array_equal(picture[5, 5], 128)
    np.testing.assert_array_equal(picture[30, 10], SPECTRAL_RGB[0])
    np.testing.assert_array_equal(picture[30, 30], SPECTRAL_RGB[-1])
    np.testing.assert_array_equal(picture[21, 1], 0)
    np.testing.assert_array_equal(picture[:, 42], 255)
    np.testing.assert_array_equal(picture[:, :40], picture[:, 44:84])


def test_a_sheet_holds_strips_from_all_over_the_list(tmp_path: Path):
    strips = []
    for k in range(10):
        strips.append(tmp_path / f"{k}.png")
        Image.new("RGB", (30 + k, 10), (k * 25, 0, 0)).save(strips[-1])
    path = write_sheet(strips, tmp_path / "sheet.jpg", most=4)
    with Image.open(path) as sheet:
        assert sheet.size == (39, 4 * (10 + 4))
        reds = [np.asarray(sheet)[14 * row + 5, 10, 0] for row in range(4)]
    np.testing.assert_allclose(reds, [0, 75, 150, 225], atol=4)  # JPEG
    with pytest.raises(ValueError, match="no strip"):
        write_sheet([], tmp_path / "none.jpg")
    assert not (tmp_path / "none.jpg").exists()
