"""The transfer curve of sRGB, IEC 61966-2-1, in both directions. Knows no pictures."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float


def encoded(light: Float[np.ndarray, "*shape"]) -> Float[np.ndarray, "*shape"]:
    """Linear light in [0, 1] to sRGB in [0, 1]."""
    return np.where(light <= 0.0031308, 12.92 * light, 1.055 * np.maximum(light, 0.0031308) ** (1 / 2.4) - 0.055)


def decoded(code: Float[np.ndarray, "*shape"]) -> Float[np.ndarray, "*shape"]:
    """sRGB in [0, 1] to linear light in [0, 1]."""
    return np.where(code <= 0.04045, code / 12.92, ((code + 0.055) / 1.055) ** 2.4)
