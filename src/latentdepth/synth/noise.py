"""Random fields: periodic pictures of fractal noise, and smooth noise of points in space.

Knows no colours and no meshes. Spectral synthesis after Saupe (The Science of Fractal Images, 1988, chapter 2).
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Float


def fractal(
    rng: np.random.Generator, height: int, width: int, *, roughness: float = 1.0, stretch: float = 1.0
) -> Float[np.ndarray, "h w"]:
    """Noise that tiles without a seam, mean 0 and standard deviation 1.

    ``roughness``: fall of the amplitude with frequency; 0 is white noise, 1 cloud, 2 gentle hills.
    ``stretch`` > 1 draws the pattern out along the columns, < 1 along the rows.
    """
    fy = np.fft.fftfreq(height)[:, None] * height * stretch
    fx = np.fft.rfftfreq(width)[None] * width / stretch
    frequency = np.hypot(fy, fx)
    frequency[0, 0] = np.inf
    spectrum = np.fft.rfft2(rng.standard_normal((height, width))) * frequency ** -(roughness + 0.5)
    field = np.fft.irfft2(spectrum, s=(height, width))
    return (field - field.mean()) / max(float(field.std()), 1e-12)


def sampled(
    field: Float[np.ndarray, "h w"], x: Float[np.ndarray, ...], y: Float[np.ndarray, ...]
) -> Float[np.ndarray, ...]:
    """Values of a periodic ``field`` at ``x`` (columns) and ``y`` (rows) in tiles, with smooth interpolation."""
    height, width = field.shape
    col, row = np.mod(x, 1.0) * width, np.mod(y, 1.0) * height
    col0, row0 = np.floor(col).astype(int), np.floor(row).astype(int)
    tx, ty = col - col0, row - row0
    tx, ty = tx * tx * (3 - 2 * tx), ty * ty * (3 - 2 * ty)
    col0, row0 = col0 % width, row0 % height
    col1, row1 = (col0 + 1) % width, (row0 + 1) % height
    upper = field[row0, col0] * (1 - tx) + field[row0, col1] * tx
    lower = field[row1, col0] * (1 - tx) + field[row1, col1] * tx
    return upper * (1 - ty) + lower * ty


def ripple(
    rng: np.random.Generator, points: Float[np.ndarray, "*p 3"], wavelength_m: float, *, waves: int = 12
) -> Float[np.ndarray, "*p"]:
    """Smooth noise in space, standard deviation about 1: a sum of plane waves of random direction and phase."""
    direction = rng.standard_normal((waves, 3))
    direction /= np.linalg.norm(direction, axis=1, keepdims=True)
    number = 2 * np.pi / (wavelength_m * rng.uniform(0.6, 1.6, waves))
    phase = rng.uniform(0, 2 * np.pi, waves)
    return np.sin(points @ (direction * number[:, None]).T + phase).sum(-1) * np.sqrt(2.0 / waves)
