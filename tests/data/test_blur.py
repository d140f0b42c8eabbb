"""Blur: light is kept, spread as far as asked, and in the asked direction."""

import math

import pytest
import torch
from torch import Tensor

from latentdepth.core.noise import generator
from latentdepth.data.blur import defocus_blur, disc_kernel, motion_blur, motion_kernel


def spread(kernel: Tensor) -> Tensor:
    """Covariance (x, y) of a kernel taken as a density; checks that its centre of mass is the middle."""
    reach = (kernel.shape[-1] - 1) / 2
    axis = torch.arange(kernel.shape[-1]) - reach
    mean = torch.stack(((kernel.sum(0) * axis).sum(), (kernel.sum(1) * axis).sum()))
    assert float(mean.abs().max()) < 1e-5
    cross = (kernel * axis[:, None] * axis).sum()
    xx, yy = (kernel.sum(0) * axis**2).sum(), (kernel.sum(1) * axis**2).sum()
    return torch.stack((torch.stack((xx, cross)), torch.stack((cross, yy))))


@pytest.mark.parametrize("length", [1, 3, 7, 11])
@pytest.mark.parametrize("angle", [0.0, 30.0, 90.0, 135.0])
def test_movement_is_a_line_of_that_length_and_angle(length: int, angle: float):
    kernel = motion_kernel(length, angle)
    assert float(kernel.sum()) == pytest.approx(1, abs=1e-5)
    assert kernel.shape == (length, length)
    if length > 1:
        values, vectors = torch.linalg.eigh(spread(kernel))
        # variance of an even density over length - 1; sharing between neighbours adds up to 1/4, sampling 1 %
        ideal = (length - 1) ** 2 / 12
        assert ideal * 0.99 <= float(values[1]) <= ideal * 1.02 + 0.25
        assert float(values[0]) <= 0.25
        along = torch.tensor([math.cos(math.radians(angle)), math.sin(math.radians(angle))])
        assert abs(float(vectors[:, 1] @ along)) > 0.999


@pytest.mark.parametrize("radius", [0.0, 0.4, 1.0, 2.5, 8.0])
def test_discs_are_round_and_even(radius: float):
    kernel = disc_kernel(radius)
    assert float(kernel.sum()) == pytest.approx(1, abs=1e-5)
    torch.testing.assert_close(kernel, kernel.T)
    torch.testing.assert_close(kernel, kernel.flip(0))
    if radius >= 2:
        # r^2 / 4 along each axis, and the pixel's own 1/12, which point weights leave out
        assert float(spread(kernel)[0, 0]) == pytest.approx(radius**2 / 4, rel=0.04)
        assert float(kernel.max()) == pytest.approx(1 / (math.pi * radius**2), rel=0.04)


def blurs(image: Tensor) -> list[Tensor]:
    return [
        motion_blur(image, length_px=7, angle_deg=50.0),
        defocus_blur(image, sigma_px=1.7),
        defocus_blur(image, sigma_px=1.7, aperture="disc"),
    ]


def test_an_even_picture_stays_as_it_is_up_to_the_border():
    image = torch.tensor([0.2, 0.5, 0.9])[:, None, None].expand(3, 12, 10).clone()
    for blurred in blurs(image):
        torch.testing.assert_close(blurred, image, atol=1e-5, rtol=0)


def test_a_point_keeps_its_light_and_colour():
    image = torch.zeros(3, 31, 31)
    image[:, 15, 15] = torch.tensor([1.0, 0.5, 0.25])
    for blurred in blurs(image):
        torch.testing.assert_close(blurred.sum((1, 2)), image.sum((1, 2)), atol=1e-4, rtol=0)
        torch.testing.assert_close(blurred[0] / 4, blurred[2], atol=1e-6, rtol=0)
    gaussian = defocus_blur(image, sigma_px=2.0)[0]
    # cut at four sigma
    assert float(spread(gaussian)[0, 0]) == pytest.approx(4.0, rel=0.01)


def test_no_defocus_changes_nothing_and_large_blurs_fit_small_pictures():
    image = torch.rand(3, 5, 6, generator=generator("small"))
    assert torch.equal(defocus_blur(image, sigma_px=0.0), image)
    assert defocus_blur(image, sigma_px=4.0).shape == image.shape
    assert motion_blur(image, length_px=11, angle_deg=10.0).shape == image.shape


def test_impossible_blurs_are_refused():
    with pytest.raises(ValueError, match="4 pixels; allowed are odd"):
        motion_kernel(4, 0.0)
    with pytest.raises(ValueError, match="sigma"):
        defocus_blur(torch.zeros(3, 4, 4), sigma_px=-1.0)
    with pytest.raises(ValueError, match="radius"):
        disc_kernel(-1.0)
