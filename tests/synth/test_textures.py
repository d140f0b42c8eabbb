"""Textures tile without seams, keep the colour they were given, and differ with the generator alone."""

from collections.abc import Callable

import numpy as np
import pytest

from latentdepth.synth import noise, prints, textures
from latentdepth.synth.colours import Colours, hsv, linear
from latentdepth.synth.textures import Texture

OCHRE, GREY = np.array([0.7, 0.55, 0.3]), np.array([0.5, 0.5, 0.5])

TILING: dict[str, Callable[[np.random.Generator], Texture]] = {
    "plaster": lambda r: textures.plaster(r, OCHRE),
    "mottle": lambda r: textures.mottle(r, OCHRE, GREY),
    "speckle": lambda r: textures.speckle(r, OCHRE, GREY),
    "marble": lambda r: textures.marble(r, OCHRE, GREY),
    "grain": lambda r: textures.grain(r, OCHRE),
    "planks": lambda r: textures.planks(r, OCHRE),
    "bricks": lambda r: textures.bricks(r, OCHRE, GREY),
    "tiles": lambda r: textures.tiles(r, OCHRE, GREY, second=GREY),
    "weave": lambda r: textures.weave(r, OCHRE),
    "stripes": lambda r: textures.stripes(r, OCHRE, GREY, check=True),
    "motif": lambda r: textures.motif(r, OCHRE, GREY),
    "cells": lambda r: textures.cells(r, OCHRE, GREY),
    "turf": lambda r: textures.turf(r, OCHRE, GREY),
    "bark": lambda r: textures.bark(r, OCHRE),
}


@pytest.mark.parametrize("name", TILING)
def test_tiles_meet_at_the_seams(name: str) -> None:
    picture = TILING[name](np.random.default_rng(1)).astype(float)
    for axis in (0, 1):
        steps = np.abs(np.diff(picture, axis=axis)).mean(axis=(1 - axis, 2))
        seam = np.abs(picture.take(0, axis) - picture.take(-1, axis)).mean()
        # the seam is a step like the others: no larger than the largest inside, joints included
        assert seam <= steps.max() * 1.35 + 1


@pytest.mark.parametrize("name", TILING)
def test_colour_is_near_the_one_asked_for(name: str) -> None:
    mean = TILING[name](np.random.default_rng(2)).reshape(-1, 3).mean(0) / 255
    low, high = np.minimum(OCHRE, GREY), np.maximum(OCHRE, GREY)
    # a mixture of the two; joints and shading may darken it by a sixth
    assert (mean > low * 0.83 - 0.02).all()
    assert (mean < high * 1.08 + 0.02).all()


@pytest.mark.parametrize("name", TILING)
def test_same_generator_same_picture(name: str) -> None:
    first, again, other = (TILING[name](np.random.default_rng(seed)) for seed in (3, 3, 4))
    np.testing.assert_array_equal(first, again)
    assert (first != other).any()


def test_prints_are_bytes_of_the_size_asked_for() -> None:
    rng, colours = np.random.default_rng(5), [OCHRE, GREY, OCHRE * 0.5, GREY * 1.5]
    for make in (prints.landscape_painting, prints.portrait_painting, prints.collage, prints.abstract):
        assert make(rng, colours, height=40, width=50).shape == (40, 50, 3)
    assert prints.page(rng, height=100, width=80).shape == (100, 80, 3)
    assert prints.screen(rng, colours).std() >= 0
    assert prints.lettering(rng, OCHRE, GREY).dtype == np.uint8


def test_fractal_noise_is_periodic_and_normalised() -> None:
    field = noise.fractal(np.random.default_rng(6), 64, 48, roughness=1.2)
    assert field.mean() == pytest.approx(0, abs=1e-12)
    assert field.std() == pytest.approx(1)
    x, y = np.array([0.2, 1.2, -0.8]), np.array([0.7, 0.7, 3.7])
    values = noise.sampled(field, x, y)
    np.testing.assert_allclose(values, values[0], atol=1e-9)


def test_rougher_noise_has_larger_steps() -> None:
    def step(roughness: float) -> float:
        return float(np.abs(np.diff(noise.fractal(np.random.default_rng(7), 64, 64, roughness=roughness))).mean())

    assert step(0.2) > 1.5 * step(1.0) > 2 * step(2.0)


def test_linear_colours_follow_the_srgb_curve() -> None:
    # 0.5 in sRGB is 0.2140 linear (IEC 61966-2-1)
    assert linear(np.array([0.0, 0.5, 1.0])) == pytest.approx((0.0, 0.21404, 1.0), abs=1e-4)


def test_most_colours_are_muted() -> None:
    """The mean saturation of ordinary things is that of real surfaces (about 0.25), far from random RGB's 0.67."""
    saturation = []
    for seed in range(30):
        colours = Colours(np.random.default_rng(seed))
        for _ in range(20):
            rgb = colours.muted()
            saturation.append(1 - rgb.min() / max(rgb.max(), 1e-6))
    assert 0.1 < np.mean(saturation) < 0.4
    assert hsv(120, 1, 1) == pytest.approx([0, 1, 0])
