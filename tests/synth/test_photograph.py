"""The camera model: what exposure, white balance, curves and noise do to patches that are known."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from latentdepth.synth.photograph import (
    Sensor,
    any_sensor,
    blurred,
    compressed,
    meter,
    photograph,
    white_balance,
)
from latentdepth.synth.srgb import encoded

CLEAN = Sensor(
    exposure_ev=0.0,
    blur_px=0.0,
    vignette=0.0,
    correction=0.0,
    tint=(1.0, 1.0, 1.0),
    shot=0.0,
    read=0.0,
    blotches=0.0,
    curve="plain",
    contrast=0.0,
    saturation=1.0,
    sharpening=0.0,
    jpeg_quality=100,
)
JPEG_COUNTS = 2  # what quality 100 may still change in a flat patch


def draw() -> np.random.Generator:
    return np.random.default_rng(1)


def flat(value: float | tuple[float, float, float], size: tuple[int, int] = (48, 64)) -> np.ndarray:
    return np.broadcast_to(np.asarray(value, np.float32), (*size, 3)).copy()


@pytest.mark.parametrize("brightness", [1e-4, 1.0, 5e3])
def test_any_flat_light_is_exposed_to_mid_grey(brightness: float):
    picture = photograph(flat(brightness), CLEAN, draw())
    want = 255 * float(encoded(np.array(0.18)))  # 118
    np.testing.assert_allclose(picture, want, atol=JPEG_COUNTS)


def test_one_stop_more_doubles_the_linear_light():
    picture = photograph(flat(1.0), replace(CLEAN, exposure_ev=1.0), draw())
    np.testing.assert_allclose(picture, 255 * float(encoded(np.array(0.36))), atol=JPEG_COUNTS)


def test_a_large_bright_window_holds_the_exposure_down():
    room = flat(0.01)
    room[:, :16] = 100.0  # a quarter of the picture
    dark = meter(flat(0.01))
    assert meter(room) == pytest.approx(6.0 / 100)
    assert meter(room) < dark / 100


def test_full_correction_makes_a_tinted_wall_grey():
    tinted = flat((0.5, 0.4, 0.25))
    np.testing.assert_allclose(white_balance(tinted, 1.0), [0.4 / 0.5, 1.0, 0.4 / 0.25], rtol=1e-4)
    picture = photograph(tinted, replace(CLEAN, correction=1.0), draw()).astype(int)
    assert np.abs(picture[..., 0] - picture[..., 2]).max() <= 2 * JPEG_COUNTS
    left = photograph(tinted, CLEAN, draw()).astype(int)
    assert (left[..., 0] - left[..., 2]).min() > 30


def test_vignetting_darkens_the_corners_by_its_share():
    picture = photograph(flat(1.0, (96, 128)), replace(CLEAN, vignette=0.4), draw()).astype(float) / 255
    linear = np.where(picture <= 0.04045, picture / 12.92, ((picture + 0.055) / 1.055) ** 2.4)
    # the corner pixel's centre lies 0.8 % inside the corner
    assert linear[0, 0, 1] / linear[48, 64, 1] == pytest.approx(0.6, abs=0.03)


def test_noise_grows_with_the_square_root_of_light():
    halves = flat(0.3, (96, 128))
    halves[:, 64:] = 1.2
    sensor = replace(CLEAN, shot=4e-4)
    picture = photograph(halves, sensor, draw()).astype(float) / 255
    luma = np.array([0.299, 0.587, 0.114])  # JPEG's, which alone keeps its full resolution
    linear = ((picture @ luma + 0.055) / 1.055) ** 2.4
    dark, bright = linear[:, :56], linear[:, 72:]
    want = np.sqrt(sensor.shot * dark.mean() * (luma**2).sum())  # the channels' noise is independent
    assert dark.std() == pytest.approx(want, rel=0.1)  # 5000 samples: 1 % of spread; the rest is JPEG and 8 bits
    assert bright.std() / dark.std() == pytest.approx(2.0, rel=0.12)


def test_both_curves_rise_and_end_at_white():
    ramp = np.linspace(0, 4, 256, dtype=np.float32)
    for curve in ("film", "plain"):
        picture = photograph(
            np.broadcast_to(ramp[None, :, None], (64, 256, 3)).copy(),
            replace(CLEAN, curve=curve, exposure_ev=3.0),
            draw(),
        )
        middle = picture[32, :, 1].astype(int)
        assert (np.diff(middle) >= -1).all()  # JPEG ripples by a count
        assert middle[0] <= 2
        assert middle[-1] > 225


def test_the_s_curve_keeps_black_middle_and_white():
    for value in (0.0, 0.5, 1.0):
        for contrast in (-0.3, 0.6):
            assert value - contrast * value * (1 - value) * (1 - 2 * value) == value
    steep = photograph(flat(0.5), replace(CLEAN, contrast=0.6, exposure_ev=-1.0), draw())
    plain = photograph(flat(0.5), replace(CLEAN, exposure_ev=-1.0), draw())
    assert steep.mean() < plain.mean() - 5  # darks get darker


def test_no_saturation_is_grey():
    picture = photograph(flat((0.8, 0.3, 0.1)), replace(CLEAN, saturation=0.0), draw()).astype(int)
    assert np.abs(picture.max(-1) - picture.min(-1)).max() <= JPEG_COUNTS


def test_blur_keeps_the_mean_and_has_the_asked_width():
    point = np.zeros((41, 41, 1))
    point[20, 20] = 1
    spread = blurred(point, 2.0)[..., 0]
    assert spread.sum() == pytest.approx(1.0, abs=1e-5)
    x = np.arange(41) - 20
    # cut off at three sigmas, a Gaussian has 98.7 % of its standard deviation
    assert np.sqrt((spread.sum(0) * x**2).sum()) == pytest.approx(2.0, rel=0.02)
    np.testing.assert_array_equal(blurred(point, 0.1), point)


def test_poor_jpeg_loses_more():
    noise = draw().integers(0, 256, (48, 64, 3), dtype=np.uint8)
    error = [np.abs(compressed(noise, q).astype(int) - noise).mean() for q in (30, 95)]
    assert error[0] > error[1] + 5


def test_the_same_draws_give_the_same_picture():
    light = draw().uniform(0, 2, (32, 48, 3)).astype(np.float32)
    one, two = (photograph(light, any_sensor(np.random.default_rng(7)), np.random.default_rng(8)) for _ in range(2))
    np.testing.assert_array_equal(one, two)
    other = photograph(light, any_sensor(np.random.default_rng(9)), np.random.default_rng(8))
    assert (other != one).any()


def test_sensors_stay_in_their_ranges():
    generator = draw()
    sensors = [any_sensor(generator) for _ in range(200)]
    assert all(70 <= s.jpeg_quality <= 98 for s in sensors)
    assert {s.curve for s in sensors} == {"film", "plain"}
    assert np.std([s.exposure_ev for s in sensors]) == pytest.approx(0.45, rel=0.2)
    assert all(0.75 <= s.saturation <= 1.15 for s in sensors)


def test_light_that_is_no_number_is_refused():
    with pytest.raises(ValueError, match="not finite"):
        photograph(flat(float("nan")), CLEAN, draw())


def test_black_stays_black():
    assert photograph(flat(0.0), CLEAN, draw()).max() <= JPEG_COUNTS
