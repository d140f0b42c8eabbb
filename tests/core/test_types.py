"""Cameras of windows and mirror images see the same rays."""

import pytest
import torch

from latentdepth.core.geometry import rays
from latentdepth.core.types import Camera

CAMERA = Camera(30.0, 33.0, 9.2, 7.6, 20, 16)


def test_a_window_keeps_its_rays():
    part = CAMERA.cropped(5, 3, 10, 8)
    # float32 of ratios of a few hundredths
    torch.testing.assert_close(rays(part), rays(CAMERA)[:, :, 3:11, 5:15], atol=1e-6, rtol=0)
    assert CAMERA.cropped(0, 0, 20, 16) == CAMERA


def test_a_mirror_negates_x():
    mirrored = rays(CAMERA.mirrored()).flip(-1) * torch.tensor([-1.0, 1.0, 1.0])[:, None, None]
    torch.testing.assert_close(mirrored, rays(CAMERA), atol=1e-6, rtol=0)
    assert CAMERA.mirrored().mirrored().cx_px == pytest.approx(CAMERA.cx_px)


@pytest.mark.parametrize("window", [(-1, 0, 5, 5), (0, 12, 5, 5), (16, 0, 5, 5), (0, 0, 0, 4), (0, 0, 21, 16)])
def test_windows_outside_are_refused(window: tuple[int, int, int, int]):
    with pytest.raises(ValueError, match="is not inside 20 x 16 pixels"):
        CAMERA.cropped(*window)
