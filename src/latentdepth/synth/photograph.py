"""A camera as a maker of numbers: linear radiance in, the 8-bit sRGB picture that a phone or compact would save out.

Lens (blur, vignette), automatic exposure and white balance, shot and read noise, noise in blotches of colour, one of
two tone curves, saturation, sharpening, JPEG. Every draw comes from the generator handed in. Knows no scenes.
"""

from __future__ import annotations

import io
from dataclasses import dataclass
from typing import Literal

import numpy as np
from jaxtyping import Float, UInt8
from PIL import Image

from latentdepth.synth.srgb import encoded

_LUMA = np.array([0.2126, 0.7152, 0.0722], np.float32)  # Rec. 709, which sRGB shares
_GREY = 0.18  # what an exposure meter takes a scene for


@dataclass(frozen=True)
class Sensor:
    """One camera with one set of settings. Blur is in pixels of a picture 384 pixels wide."""

    exposure_ev: float
    """Off the meter's opinion, in stops."""
    blur_px: float
    vignette: float
    """Loss of light in the corners, share."""
    correction: float
    """Of the illuminant's tint, 0 none, 1 all."""
    tint: tuple[float, float, float]
    """Gains of red, green and blue that are left over."""
    shot: float
    """Variance of noise per signal at full scale 1."""
    read: float
    """Standard deviation of noise in the dark."""
    blotches: float
    """Standard deviation of coarse colour noise."""
    curve: Literal["film", "plain"]
    contrast: float
    """Bend of the S-curve, -1 (flat) to 1 (steep); black, middle grey and white stay."""
    saturation: float
    sharpening: float
    jpeg_quality: int


def any_sensor(draw: np.random.Generator) -> Sensor:
    """From a clean camera in good light to a poor one in the dark."""
    grain = float(np.exp(draw.uniform(np.log(2e-5), np.log(1.5e-3))))
    red, blue = np.exp(draw.normal(0, 0.05, 2))
    return Sensor(
        exposure_ev=float(draw.normal(0, 0.45)),
        blur_px=float(abs(draw.normal(0, 0.4)) if draw.random() < 0.9 else draw.uniform(0.8, 1.6)),
        vignette=float(draw.uniform(0, 0.35)),
        correction=float(draw.uniform(0.4, 0.95)),
        tint=(float(red), 1.0, float(blue)),
        shot=grain,
        read=float(np.sqrt(grain) * draw.uniform(0.05, 0.25)),
        blotches=float(np.sqrt(grain) * draw.uniform(0.0, 0.3)),
        curve="film" if draw.random() < 0.5 else "plain",
        contrast=float(draw.uniform(-0.3, 0.6)),
        saturation=float(draw.uniform(0.75, 1.15)),
        sharpening=float(draw.uniform(0, 0.4)),
        jpeg_quality=int(draw.integers(70, 99)),
    )


def photograph(
    radiance: Float[np.ndarray, "h w 3"], sensor: Sensor, draw: np.random.Generator
) -> UInt8[np.ndarray, "h w 3"]:
    """Take the picture. ``radiance`` is linear and not negative, in any unit."""
    height, width = radiance.shape[:2]
    if not np.isfinite(radiance).all():
        raise ValueError("radiance holds values that are not finite; a picture can't be made of them")
    light = blurred(radiance.astype(np.float32), sensor.blur_px * max(width, height) / 384)
    y, x = np.mgrid[0:height, 0:width]
    off_axis = ((x + 0.5 - width / 2) ** 2 + (y + 0.5 - height / 2) ** 2) / ((width**2 + height**2) / 4)
    light = light * (1 - sensor.vignette * off_axis**2)[..., None]
    light = light * white_balance(light, sensor.correction) * np.array(sensor.tint, np.float32)
    light = light * (meter(light) * 2.0**sensor.exposure_ev)
    light = light + draw.normal(size=light.shape) * np.sqrt(sensor.shot * light.clip(0, 1) + sensor.read**2)
    light = light + _blotches(draw, height, width) * sensor.blotches
    light = light.clip(0, None).astype(np.float32)
    picture = (_film(light) if sensor.curve == "film" else _plain(light)).clip(0, 1)
    picture = picture - sensor.contrast * picture * (1 - picture) * (1 - 2 * picture)
    grey = (picture @ _LUMA)[..., None]
    picture = grey + (picture - grey) * sensor.saturation
    picture = picture + sensor.sharpening * (picture - blurred(picture, 0.8))
    return compressed((picture.clip(0, 1) * 255 + 0.5).astype(np.uint8), sensor.jpeg_quality)


def meter(light: Float[np.ndarray, "h w 3"]) -> float:
    """The gain that brings the picture, its middle counting most, to mid grey; a large bright area holds it down."""
    height, width = light.shape[:2]
    y, x = np.mgrid[0:height, 0:width]
    weight = np.exp(-2 * (((x + 0.5) / width - 0.5) ** 2 + ((y + 0.5) / height - 0.5) ** 2))
    luma = light @ _LUMA
    floor = 1e-3 * float(luma.mean()) + 1e-12
    usual = _GREY / float(np.exp((weight * np.log(luma + floor)).sum() / weight.sum()))
    return min(usual, 6.0 / max(float(np.quantile(luma, 0.9)), 1e-12))


def white_balance(light: Float[np.ndarray, "h w 3"], correction: float) -> Float[np.ndarray, " 3"]:
    """Gains that take ``correction`` of the mean tint away, green staying (the grey-world assumption)."""
    mean = light.reshape(-1, 3).mean(0) + 1e-9
    return ((mean[1] / mean) ** correction).clip(0.3, 3.5).astype(np.float32)


def _film(light: np.ndarray) -> np.ndarray:
    """A soft shoulder and a toe; mid grey 0.18 comes to 0.42. The rational curve of K. Narkowicz's fit to ACES."""
    x = light * 0.62
    return encoded((x * (2.51 * x + 0.03)) / (x * (2.43 * x + 0.59) + 0.14))


def _plain(light: np.ndarray) -> np.ndarray:
    """Straight up to 0.7, then bent so that twice the full scale is still told from white."""
    knee = 0.7
    over = np.maximum(light - knee, 0)
    return encoded(np.minimum(light, knee) + (1 - knee) * (1 - np.exp(-over / (1 - knee))))


def blurred(picture: Float[np.ndarray, "h w c"], sigma_px: float) -> Float[np.ndarray, "h w c"]:
    """Gaussian blur with edges repeated; less than a fifth of a pixel is no blur."""
    if sigma_px < 0.2:
        return picture
    reach = max(1, int(np.ceil(3 * sigma_px)))
    kernel = np.exp(-0.5 * (np.arange(-reach, reach + 1) / sigma_px) ** 2).astype(np.float32)
    kernel /= kernel.sum()
    for axis in (0, 1):
        padding = [(reach, reach) if k == axis else (0, 0) for k in range(3)]
        padded = np.pad(picture, padding, mode="edge")
        size = picture.shape[axis]
        picture = sum(weight * np.take(padded, range(k, k + size), axis=axis) for k, weight in enumerate(kernel))  # pyright: ignore[reportAssignmentType]
    return picture


def _blotches(draw: np.random.Generator, height: int, width: int) -> np.ndarray:
    """Colour noise of unit variance, correlated over about three pixels, without brightness."""
    coarse = draw.normal(size=(height // 3 + 2, width // 3 + 2, 3)).astype(np.float32)
    fine = blurred(coarse.repeat(3, 0).repeat(3, 1)[:height, :width], 1.0)
    return fine - (fine @ _LUMA)[..., None]


def compressed(picture: UInt8[np.ndarray, "h w 3"], quality: int) -> UInt8[np.ndarray, "h w 3"]:
    """What is left after JPEG of that quality, 1 to 100."""
    buffer = io.BytesIO()
    Image.fromarray(picture).save(buffer, "JPEG", quality=quality)
    return np.array(Image.open(buffer))
