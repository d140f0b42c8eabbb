"""Skies as equirectangular linear RGB maps: clear, cloudy, overcast, dusk, night; with the sun that belongs to them.

Clouds are fractal noise on a plane overhead, so that they shrink towards the horizon as real ones do. Knows no ground.
"""

from __future__ import annotations

from typing import Literal

import numpy as np
from jaxtyping import Float

from latentdepth.synth.noise import fractal, sampled
from latentdepth.synth.scene import Sky
from latentdepth.synth.views import ahead

Weather = Literal["clear", "cloudy", "overcast", "dusk", "night"]


def any_weather(rng: np.random.Generator) -> Weather:
    """Drawn as photographs have it: by day mostly, overcast about a third."""
    names: tuple[Weather, ...] = ("clear", "cloudy", "overcast", "dusk", "night")
    return names[int(rng.choice(5, p=[0.25, 0.32, 0.26, 0.12, 0.05]))]


def _directions(height: int, width: int) -> tuple[Float[np.ndarray, "h w 3"], Float[np.ndarray, "h w"]]:
    elevation = np.pi / 2 - (np.arange(height) + 0.5) / height * np.pi
    azimuth = (np.arange(width) + 0.5) / width * 2 * np.pi
    cos = np.cos(elevation)[:, None]
    up = np.broadcast_to(np.sin(elevation)[:, None], (height, width))
    return np.stack((cos * np.cos(azimuth), cos * np.sin(azimuth), up), -1), up


def _gradient(rng: np.random.Generator, weather: Weather, up: Float[np.ndarray, "h w"]) -> Float[np.ndarray, "h w 3"]:
    """Zenith to horizon without clouds, linear RGB about 1."""
    zenith, horizon = {
        "clear": ((0.16, 0.34, 0.85), (0.75, 0.87, 1.0)),
        "cloudy": ((0.22, 0.42, 0.85), (0.8, 0.88, 0.97)),
        "overcast": ((0.85, 0.88, 0.93), (0.95, 0.96, 0.98)),
        "dusk": ((0.1, 0.16, 0.36), (1.0, 0.52, 0.26)),
        "night": ((0.004, 0.006, 0.012), (0.02, 0.018, 0.02)),
    }[weather]
    tint = rng.normal(1, 0.06, 3)
    # the haze layer: brightest at the horizon, falling off over 10 to 40 degrees
    weight = np.exp(-np.clip(up, 0, 1) / rng.uniform(0.12, 0.45))[..., None]
    return (np.array(zenith) * (1 - weight) + np.array(horizon) * weight) * tint


def _clouds(
    rng: np.random.Generator, direction: Float[np.ndarray, "h w 3"], cover: float
) -> tuple[Float[np.ndarray, "h w"], Float[np.ndarray, "h w"]]:
    """Opacity in [0, 1] and brightness about 1 of a cloud layer; ``cover`` is the share of the sky it hides."""
    shape = fractal(
        rng, 512, 512, roughness=float(rng.uniform(0.75, 1.15)), stretch=float(rng.choice([1.0, 1.0, 0.5, 2.0]))
    )
    below = np.maximum(direction[..., 2], 0.035)
    scale = rng.uniform(0.06, 0.22)
    x, y = direction[..., 0] / below * scale, direction[..., 1] / below * scale
    field = sampled(shape, x + rng.random(), y + rng.random())
    threshold = np.quantile(shape, 1 - cover)
    opacity = 1 / (1 + np.exp(-(field - threshold) * rng.uniform(3, 9)))
    # thick parts are darker underneath; a shifted sample lights one flank
    flank = field - sampled(shape, x + 0.02, y + 0.015)
    brightness = 1.05 - 0.22 * np.clip(field - threshold, 0, 2) + 0.35 * np.tanh(flank)
    return opacity * np.clip(direction[..., 2] * 14 + 0.3, 0, 1), brightness


def sky_of(rng: np.random.Generator, weather: Weather, *, height: int = 256, width: int = 512) -> Sky:
    """A sky of about radiance 1 (dusk 0.3, night 0.01) and its sun, 0 to about 15 in irradiance."""
    direction, up = _directions(height, width)
    picture = _gradient(rng, weather, up)
    elevation_deg = {"dusk": rng.uniform(-3, 6)}.get(weather, rng.uniform(10, 72))
    azimuth, elevation = rng.uniform(0, 2 * np.pi), np.radians(elevation_deg)
    sun = ahead(azimuth, elevation)
    towards = np.clip(direction @ sun, -1, 1)
    cover = {
        "clear": rng.uniform(0, 0.12),
        "cloudy": rng.uniform(0.25, 0.75),
        "overcast": 0.9,
        "dusk": rng.uniform(0, 0.7),
    }.get(weather, 0.2)
    opacity, brightness = _clouds(rng, direction, cover)
    if weather == "overcast":
        picture = (
            picture
            * (0.75 + 0.25 * brightness * rng.uniform(0, 1.3))[..., None]
            * (0.6 + 0.4 * np.clip(up, 0, 1))[..., None]
        )
    else:
        colour = np.array([1.0, 0.62, 0.5]) * 0.55 if weather == "dusk" else np.array([1.05, 1.05, 1.08])
        colour = colour * 0.012 if weather == "night" else colour
        picture = picture * (1 - opacity[..., None]) + (colour * brightness[..., None]) * opacity[..., None]
    if weather != "night" and weather != "overcast":
        glow = np.exp((towards - 1) * rng.uniform(8, 40)) * rng.uniform(0.3, 1.2) + 6 * np.exp((towards - 1) * 1500)
        picture = picture + glow[..., None] * (
            np.array([1.0, 0.6, 0.3]) if weather == "dusk" else np.array([1.0, 0.96, 0.9])
        )
    ground = np.array([0.3, 0.28, 0.24]) * picture[height // 2 - 2].mean()
    picture = np.where((up < -0.02)[..., None], ground, np.maximum(picture, 1e-4))
    level = {"dusk": 0.45, "night": 1.0}.get(weather, 1.0)
    strength = {"clear": rng.uniform(8, 15), "cloudy": rng.uniform(3, 13), "dusk": rng.uniform(0, 2.5)}.get(
        weather, 0.0
    )
    if elevation_deg <= 1 or strength == 0.0:
        return Sky(picture * level)
    warm = np.array([1.0, 0.93, 0.82]) if elevation_deg > 15 else np.array([1.0, 0.72, 0.45])
    red, green, blue = warm * strength
    return Sky(picture * level, (float(sun[0]), float(sun[1]), float(sun[2])), (float(red), float(green), float(blue)))
