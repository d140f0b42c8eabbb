"""Still pictures: what they show, and what they refuse."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from latentdepth.core.types import AFFINE_DISPARITY, NORMALS, Prediction
from latentdepth.images import Photo
from latentdepth.view import plot, relief_picture, strip


@pytest.fixture
def scene() -> tuple[Prediction, Photo]:
    near = torch.zeros(1, 1, 60, 80)
    near[..., 20:40, 30:50] = 1.0  # a card in front of a wall
    photo = torch.full((1, 3, 60, 80), 0.2)
    photo[:, 0, 20:40, 30:50] = 0.9
    return Prediction(near, AFFINE_DISPARITY, near * 0.1), Photo(photo)


def test_plot_has_a_panel_for_each_part(scene: tuple[Prediction, Photo], tmp_path: Path):
    prediction, photo = scene
    with Image.open(plot(prediction, photo, tmp_path / "plot.png")) as three:
        wide = three.width
    with Image.open(plot(Prediction(prediction.value, prediction.kind), None, tmp_path / "one.png")) as one:
        assert wide > 2.5 * one.width


def test_relief_moves_what_is_near_and_uncovers_background(scene: tuple[Prediction, Photo], tmp_path: Path):
    prediction, photo = scene
    flat = np.asarray(
        Image.open(relief_picture(prediction, photo, tmp_path / "0.png", yaw_deg=0, pitch_deg=0)), dtype=int
    )
    assert np.abs(flat / 255 - photo.pixels[0].permute(1, 2, 0).numpy()).mean() < 0.02
    turned = np.asarray(Image.open(relief_picture(prediction, photo, tmp_path / "6.png", yaw_deg=6)), dtype=int)
    red = (turned[..., 0] > 180) & (turned[..., 1] < 100)
    assert red.sum() > 100
    assert abs(np.nonzero(red)[1].mean() - 39.5) > 3
    assert (turned.min(-1) > 230).sum() > 50  # what the card hid


def test_other_photos_and_normals_are_refused(scene: tuple[Prediction, Photo], tmp_path: Path):
    prediction, photo = scene
    with pytest.raises(ValueError, match="give the photo it is of"):
        relief_picture(prediction, Photo(photo.pixels[..., :40]), tmp_path / "a.png")
    with pytest.raises(ValueError, match="normals"):
        relief_picture(Prediction(torch.zeros(1, 3, 4, 4), NORMALS), None, tmp_path / "a.png")


def test_strip_has_a_row_a_photo(scene: tuple[Prediction, Photo], tmp_path: Path):
    prediction, photo = scene
    with Image.open(strip([scene, scene], tmp_path / "s.png", height_px=30)) as sheet:
        assert sheet.size == (4 * 40, 2 * 30 + 4)
        first = np.asarray(sheet.crop((0, 0, 40, 30)), dtype=int)
    assert np.abs(first.mean((0, 1)) / 255 - photo.pixels[0].mean((1, 2)).numpy()).max() < 0.02
    with Image.open(
        strip([(Prediction(prediction.value, prediction.kind), photo)], tmp_path / "t.png", height_px=30)
    ) as sheet:
        assert sheet.size == (3 * 40, 30)  # no uncertainty, no panel
    with pytest.raises(ValueError, match="at least one"):
        strip([], tmp_path / "u.png")
