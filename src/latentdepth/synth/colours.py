"""Colours as the world has them: mostly grey, brown and off-white; strong ones are rare. sRGB in [0, 1].

Knows no materials.
"""

from __future__ import annotations

import colorsys

import numpy as np

from latentdepth.synth.srgb import decoded
from latentdepth.synth.textures import Colour

_SKIN = (
    (0.93, 0.76, 0.66),
    (0.85, 0.64, 0.52),
    (0.76, 0.54, 0.41),
    (0.58, 0.39, 0.28),
    (0.40, 0.26, 0.19),
    (0.28, 0.18, 0.14),
)
_HAIR = (
    (0.07, 0.05, 0.05),
    (0.16, 0.10, 0.07),
    (0.30, 0.19, 0.11),
    (0.62, 0.47, 0.28),
    (0.45, 0.22, 0.11),
    (0.62, 0.61, 0.60),
)


def linear(colour: Colour) -> tuple[float, float, float]:
    """sRGB, clipped to [0, 1], to linear RGB."""
    red, green, blue = decoded(np.clip(colour, 0, 1))
    return float(red), float(green), float(blue)


def hsv(hue_deg: float, saturation: float, value: float) -> Colour:
    """sRGB of a hue in degrees, saturation and value in [0, 1]."""
    return np.array(
        colorsys.hsv_to_rgb((hue_deg / 360) % 1, float(np.clip(saturation, 0, 1)), float(np.clip(value, 0, 1)))
    )


class Colours:
    """Draws colours for one scene; ``rng`` is advanced by every draw."""

    def __init__(self, rng: np.random.Generator) -> None:
        self.rng = rng
        self.vividness = float(rng.beta(1.6, 3.5))
        """0 all muted, 1 as colourful as a toy shop: scenes differ as a whole."""

    def muted(self) -> Colour:
        """Any colour with the saturation of ordinary things."""
        r = self.rng
        if r.random() < 0.35:
            return np.clip(r.beta(1.3, 1.3) * np.ones(3) * 0.9 + 0.04 + r.normal(0, 0.015, 3), 0, 1)
        hue = r.choice([r.normal(32, 18), r.normal(215, 25), r.uniform(0, 360)], p=[0.5, 0.25, 0.25])
        return hsv(float(hue), float(r.beta(1.5, 2.5)) * (0.45 + 0.4 * self.vividness), float(r.beta(2, 1.8)))

    def vivid(self) -> Colour:
        """A dyed or printed colour: toys, packages, signs, some clothes."""
        r = self.rng
        if r.random() > 0.35 + 0.6 * self.vividness:
            return self.muted()
        kind = int(r.choice(5, p=[0.3, 0.21, 0.28, 0.11, 0.1]))
        hue = (r.normal(5, 8), r.normal(40, 10), r.normal(215, 15), r.normal(130, 25), r.uniform(0, 360))[kind]
        if kind >= 3:  # bright greens and purples are rarer still
            return hsv(hue, r.uniform(0.25, 0.6), r.uniform(0.2, 0.7))
        return hsv(hue, r.uniform(0.4, 0.85), r.uniform(0.25, 0.88))

    def off_white(self) -> Colour:
        """White with a tint."""
        return hsv(self.rng.normal(45, 25), abs(self.rng.normal(0, 0.06)), self.rng.uniform(0.74, 0.96))

    def wall_colour(self) -> Colour:
        """What walls are painted: mostly off-white, then beige, grey and pastels, seldom strong."""
        r = self.rng
        kind = r.choice(5, p=[0.5, 0.18, 0.12, 0.13, 0.07])
        if kind == 0:
            return self.off_white()
        if kind == 1:
            return hsv(r.normal(38, 8), r.uniform(0.12, 0.35), r.uniform(0.6, 0.9))
        if kind == 2:
            return hsv(r.uniform(180, 260), r.uniform(0, 0.08), r.uniform(0.3, 0.8))
        if kind == 3:
            return hsv(
                r.choice([r.normal(45, 12), r.normal(200, 20), r.normal(110, 25), r.normal(350, 15)]),
                r.uniform(0.06, 0.2),
                r.uniform(0.5, 0.9),
            )
        return hsv(
            r.choice([r.normal(14, 8), r.normal(42, 8), r.normal(205, 15), r.normal(120, 25)]),
            r.uniform(0.22, 0.5),
            r.uniform(0.28, 0.75),
        )

    def wood_colour(self) -> Colour:
        """From pale birch to dark walnut."""
        value = self.rng.uniform(0.2, 0.85)
        return hsv(self.rng.normal(28, 5), self.rng.uniform(0.3, 0.65) * (1.1 - 0.45 * value), value)

    def green(self) -> Colour:
        """Foliage: yellowish to bluish, dull."""
        return hsv(self.rng.normal(88, 18), self.rng.uniform(0.2, 0.5), self.rng.uniform(0.2, 0.5))

    def earth(self) -> Colour:
        """Soil, sand and dry grass."""
        return hsv(self.rng.normal(34, 8), self.rng.uniform(0.15, 0.5), self.rng.uniform(0.25, 0.75))

    def stone(self) -> Colour:
        """Concrete, rock and gravel."""
        return hsv(self.rng.normal(38, 30), abs(self.rng.normal(0.06, 0.06)), self.rng.uniform(0.3, 0.78))

    def skin_colour(self) -> Colour:
        """Between the listed tones."""
        k, t = int(self.rng.integers(len(_SKIN) - 1)), self.rng.random()
        return np.array(_SKIN[k]) * (1 - t) + np.array(_SKIN[k + 1]) * t

    def hair_colour(self) -> Colour:
        """Black and brown above all."""
        return np.array(_HAIR[int(self.rng.choice(6, p=[0.3, 0.27, 0.18, 0.11, 0.05, 0.09]))]) * self.rng.uniform(
            0.7, 1.3
        )
