"""Skies: positive radiance, a sun that agrees with its glow, brightness by weather."""

import numpy as np
import pytest

from latentdepth.synth.skies import Weather, any_weather, sky_of

WEATHERS: tuple[Weather, ...] = ("clear", "cloudy", "overcast", "dusk", "night")


@pytest.mark.parametrize("weather", WEATHERS)
def test_pictures_are_positive_and_finite(weather: Weather) -> None:
    sky = sky_of(np.random.default_rng(0), weather, height=64, width=128)
    assert sky.picture.shape == (64, 128, 3)
    assert np.isfinite(sky.picture).all()
    assert (sky.picture > 0).all()


def test_brightest_spot_is_towards_the_sun() -> None:
    for seed in range(6):
        sky = sky_of(np.random.default_rng(seed), "clear", height=128, width=256)
        assert sky.sun_direction is not None
        assert np.linalg.norm(sky.sun_direction) == pytest.approx(1)
        row, col = np.unravel_index(sky.picture.sum(-1).argmax(), sky.picture.shape[:2])
        elevation, azimuth = np.pi / 2 - (row + 0.5) / 128 * np.pi, (col + 0.5) / 256 * 2 * np.pi
        seen = [np.cos(elevation) * np.cos(azimuth), np.cos(elevation) * np.sin(azimuth), np.sin(elevation)]
        # within two pixels of the map
        assert np.degrees(np.arccos(np.clip(seen @ np.array(sky.sun_direction), -1, 1))) < 3


def test_overcast_and_night_have_no_sun_and_night_is_dark() -> None:
    for weather in ("overcast", "night"):
        sky = sky_of(np.random.default_rng(1), weather, height=32, width=64)
        assert sky.sun_direction is None
        assert max(sky.sun_radiance) == 0
    day = sky_of(np.random.default_rng(1), "cloudy", height=32, width=64).picture.mean()
    night = sky_of(np.random.default_rng(1), "night", height=32, width=64).picture.mean()
    assert night < 0.1 * day


def test_horizon_is_paler_than_the_zenith_in_clear_weather() -> None:
    picture = sky_of(np.random.default_rng(2), "clear", height=64, width=128).picture
    blueness = picture[..., 2] / picture.mean(-1)
    assert blueness[:6].mean() > blueness[28:31].mean()


def test_all_weathers_come_up() -> None:
    rng = np.random.default_rng(3)
    assert {any_weather(rng) for _ in range(300)} == set(WEATHERS)
