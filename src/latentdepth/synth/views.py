"""Candidate views: cameras with random angles of view, and where they stand and look. Knows no scenes."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float

from latentdepth.core.types import Camera
from latentdepth.synth.scene import View
from latentdepth.synth.shapes import Point


def any_camera(
    rng: np.random.Generator, width_px: int, height_px: int, *, fov_deg: tuple[float, float] = (35.0, 100.0)
) -> Camera:
    """Square pixels and an angle across the longer side within ``fov_deg``, most often near its middle."""
    share = rng.beta(1.7, 2.2)
    return Camera.from_fov(float(fov_deg[0] + (fov_deg[1] - fov_deg[0]) * share), width_px, height_px)


def looking(
    camera: Camera,
    eye_m: Point | Float[np.ndarray, 3],
    target_m: Point | Float[np.ndarray, 3],
    *,
    roll_deg: float = 0.0,
    heading_rad: float = 0.0,
) -> View:
    """A camera at ``eye_m`` that looks at ``target_m``, upright but for ``roll_deg`` (clockwise).

    When it looks straight down or up the upper edge of the picture points to ``heading_rad``, counted from +x to +y.
    """
    eye, target = np.asarray(eye_m, float), np.asarray(target_m, float)
    forward = target - eye
    length = float(np.linalg.norm(forward))
    if length < 1e-9:
        raise ValueError(f"eye and target are the same point {tuple(eye.tolist())}; they must differ")
    forward = forward / length
    up = np.array([0.0, 0.0, 1.0])
    if abs(forward[2]) > 0.999:
        up = np.array([np.cos(heading_rad), np.sin(heading_rad), 0.0])
    right = np.cross(forward, up)
    right /= np.linalg.norm(right)
    down = np.cross(forward, right)
    cos, sin = np.cos(np.radians(roll_deg)), np.sin(np.radians(roll_deg))
    matrix = np.eye(4)
    matrix[:3, 0] = cos * right + sin * down
    matrix[:3, 1] = cos * down - sin * right
    matrix[:3, 2] = forward
    matrix[:3, 3] = eye
    return View(camera, matrix)


def ahead(yaw_rad: float, rise_rad: float = 0.0) -> Float[np.ndarray, 3]:
    """The direction ``yaw_rad`` from +x to +y and ``rise_rad`` up, of length one."""
    return np.array([np.cos(yaw_rad) * np.cos(rise_rad), np.sin(yaw_rad) * np.cos(rise_rad), np.sin(rise_rad)])


def hand_held_roll(rng: np.random.Generator) -> float:
    """Degrees: mostly level within two, now and then strongly tilted."""
    return float(rng.normal(0, 2.0) if rng.random() < 0.93 else rng.normal(0, 12.0))
