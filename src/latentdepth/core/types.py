"""What a dense prediction *is*: its values, what they mean, and the camera they were seen through.

Pure data. Knows neither files nor networks; every other layer speaks in these types.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Literal

from jaxtyping import Float
from torch import Tensor


class Quantity(str, Enum):
    """What one value measures."""

    DEPTH = "depth"
    """Planar depth: distance along the optical axis, far = larger."""
    DISPARITY = "disparity"
    """Inverse planar depth, near = larger."""
    LOG_DEPTH = "log_depth"
    """Natural logarithm of planar depth, far = larger."""
    NORMALS = "normals"
    """Unit surface normals, x right, y up, z towards the viewer."""


class Invariance(str, Enum):
    """What is still unknown about the values."""

    AFFINE = "affine"
    """Known up to scale and shift."""
    SCALE = "scale"
    """Known up to scale; zero means zero."""
    METRIC = "metric"
    """Nothing unknown: metres, 1/metres, log metres, or unit vectors."""


@dataclass(frozen=True)
class Kind:
    """Quantity times invariance; checked wherever meaning matters."""

    quantity: Quantity
    invariance: Invariance

    @property
    def near_is(self) -> Literal["low", "high"] | None:
        """Whether small or large values are near; None where the question has no meaning (normals)."""
        if self.quantity is Quantity.NORMALS:
            return None
        return "high" if self.quantity is Quantity.DISPARITY else "low"

    @property
    def unit(self) -> str:
        """Unit of one value: metres only where nothing is unknown."""
        if self.quantity is Quantity.NORMALS:
            return "unit vector"
        if self.invariance is not Invariance.METRIC:
            return "relative"
        return {Quantity.DEPTH: "m", Quantity.DISPARITY: "1/m", Quantity.LOG_DEPTH: "log m"}[self.quantity]

    def __str__(self) -> str:
        if self.quantity is Quantity.NORMALS:
            return "normals"
        prefix = {"affine": "affine-invariant", "scale": "scale-invariant", "metric": "metric"}[self.invariance.value]
        return f"{prefix} {self.quantity.value}"


AFFINE_DEPTH = Kind(Quantity.DEPTH, Invariance.AFFINE)
AFFINE_DISPARITY = Kind(Quantity.DISPARITY, Invariance.AFFINE)
METRIC_DEPTH = Kind(Quantity.DEPTH, Invariance.METRIC)
NORMALS = Kind(Quantity.NORMALS, Invariance.METRIC)


@dataclass(frozen=True)
class Camera:
    """Pinhole intrinsics in pixels of an image of ``width_px`` x ``height_px``.

    OpenCV axes (x right, y down, z forward); the centre of the first pixel is (0.5, 0.5), so the
    principal point of a centred camera is (width / 2, height / 2).
    """

    fx_px: float
    fy_px: float
    cx_px: float
    cy_px: float
    width_px: int
    height_px: int

    @classmethod
    def from_focal(cls, focal_px: float, width_px: int, height_px: int) -> Camera:
        """Square pixels and a centred principal point."""
        return cls(focal_px, focal_px, width_px / 2, height_px / 2, width_px, height_px)

    @classmethod
    def from_fov(cls, fov_deg: float, width_px: int, height_px: int) -> Camera:
        """``fov_deg``: angle across the longer side, degrees in (0, 180)."""
        if not 0 < fov_deg < 180:
            raise ValueError(f"field of view is {fov_deg} degrees; allowed is more than 0 and less than 180")
        focal_px = max(width_px, height_px) / 2 / math.tan(math.radians(fov_deg) / 2)
        return cls.from_focal(focal_px, width_px, height_px)

    @property
    def fov_deg(self) -> float:
        """Angle across the longer side, in degrees."""
        if self.width_px >= self.height_px:
            return math.degrees(2 * math.atan(self.width_px / 2 / self.fx_px))
        return math.degrees(2 * math.atan(self.height_px / 2 / self.fy_px))

    def resized(self, width_px: int, height_px: int) -> Camera:
        """The same camera for the same picture at another size."""
        sx, sy = width_px / self.width_px, height_px / self.height_px
        return Camera(self.fx_px * sx, self.fy_px * sy, self.cx_px * sx, self.cy_px * sy, width_px, height_px)

    def cropped(self, left_px: int, top_px: int, width_px: int, height_px: int) -> Camera:
        """The camera of a window of the picture, in whole pixels. Raises ValueError when it reaches outside."""
        right_px, bottom_px = left_px + width_px, top_px + height_px
        if min(left_px, top_px, width_px - 1, height_px - 1) < 0 or (
            right_px > self.width_px or bottom_px > self.height_px
        ):
            raise ValueError(
                f"the window from ({left_px}, {top_px}) to ({right_px}, {bottom_px}) is not inside "
                f"{self.width_px} x {self.height_px} pixels"
            )
        return Camera(self.fx_px, self.fy_px, self.cx_px - left_px, self.cy_px - top_px, width_px, height_px)

    def mirrored(self) -> Camera:
        """The camera of the picture mirrored left to right: points and normals have their x negated."""
        return Camera(self.fx_px, self.fy_px, self.width_px - self.cx_px, self.cy_px, self.width_px, self.height_px)

    def turned(self, quarters: int) -> Camera:
        """The camera of the picture turned counter-clockwise by so many quarters: axes turn with it."""
        camera = self
        for _ in range(quarters % 4):
            top_px = camera.width_px - camera.cx_px
            camera = Camera(camera.fy_px, camera.fx_px, camera.cy_px, top_px, camera.height_px, camera.width_px)
        return camera


@dataclass(frozen=True)
class SparseDepth:
    """A few measured depths: pixel positions (x, y) and planar depth in metres."""

    points_px: Float[Tensor, "p 2"]
    depth_m: Float[Tensor, " p"]


@dataclass(frozen=True)
class Prediction:
    """Dense values for ``n`` images of one size.

    ``value`` is float32. Affine-invariant depth and disparity lie in [0, 1]; normals are unit vectors.
    ``uncertainty`` is in units of the value (normals: mean angle / pi), and None for a single member.
    ``made_with`` records how it was made (model, steps, members, seed, ...) and ends in the sidecar file.
    """

    value: Float[Tensor, "n c h w"]
    kind: Kind
    uncertainty: Float[Tensor, "n 1 h w"] | None = None
    camera: Camera | None = None
    made_with: Mapping[str, str | int | float | bool | None] = field(default_factory=dict)
