"""Which of many possible cameras to photograph a scene from: a few small ray-cast previews, a score, and chance.

Knows depth alone, nothing of what things are. The score only weighs the chances, so plain views (an empty wall, a
close-up) come up too, though rarely.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from latentdepth.core.types import Camera
from latentdepth.synth.cast import RayScene
from latentdepth.synth.labels import Labels, label
from latentdepth.synth.scene import Limits, View

PREVIEW_PX = 64
"""Longer side of a preview."""


def choose(
    rays: RayScene,
    proposals: Sequence[View],
    draw: np.random.Generator,
    *,
    count: int,
    width_px: int,
    height_px: int,
    limits: Limits | None = None,
) -> list[View]:
    """Up to ``count`` views of ``width_px`` x ``height_px``, unlike each other, good ones more likely.

    Proposals keep their pose and their angle across the longer side. Without proposals, six times ``count`` are drawn
    from the scene's own space. Raises ValueError when none of them is any good.
    """
    limits = limits or Limits()
    candidates = list(proposals) or drawn(rays, draw, count=6 * count)
    candidates = [resized(view, width_px, height_px) for view in candidates]
    previews = [preview(rays, view) for view in candidates]
    faults = [fault(seen, limits) or _enclosed(rays, view) for seen, view in zip(previews, candidates, strict=True)]
    weights = np.array([0.0 if wrong else score(seen) + 0.05 for seen, wrong in zip(previews, faults, strict=True)])
    if not weights.any():
        told = ", ".join(sorted({wrong for wrong in faults if wrong}))
        raise ValueError(f"none of {len(candidates)} views shows anything ({told})")
    chosen: list[View] = []
    while len(chosen) < count and weights.sum() > 1e-9:
        pick = int(draw.choice(len(candidates), p=weights / weights.sum()))
        chosen.append(candidates[pick])
        weights *= [1 - _likeness(candidates[pick], other) for other in candidates]
    return chosen


def resized(view: View, width_px: int, height_px: int) -> View:
    """The same pose and the same angle across the longer side, for a picture of another size or shape."""
    return replace(view, camera=Camera.from_fov(view.camera.fov_deg, width_px, height_px))


def preview(rays: RayScene, view: View) -> Labels:
    """The labels at 64 pixels across the longer side."""
    camera = view.camera
    shrink = PREVIEW_PX / max(camera.width_px, camera.height_px)
    small = camera.resized(max(round(camera.width_px * shrink), 8), max(round(camera.height_px * shrink), 8))
    return label(rays, replace(view, camera=small))


def fault(seen: Labels, limits: Limits) -> str:
    """What makes a view useless, in words; empty when nothing does."""
    finite = np.isfinite(seen.depth_m)
    if (seen.depth_m < limits.nearest_m).mean() > limits.most_near:
        return "something is too near"
    if 1 - finite.mean() > limits.most_sky:
        return "mostly sky"
    low, high = limits.median_m
    if not low <= float(np.median(seen.depth_m[finite])) <= high:
        return "all too near or too far"
    if _edges(seen) > limits.most_edges:
        return "all edges"
    return ""


def _edges(seen: Labels) -> float:
    log_depth = np.log(np.where(np.isfinite(seen.depth_m), seen.depth_m, 1000.0).clip(0.1, 1000.0))
    steps = np.concatenate([np.abs(np.diff(log_depth, axis=axis)).ravel() for axis in (0, 1)])
    return float((steps > 0.1).mean())


def score(seen: Labels) -> float:
    """Spread of log depth plus share of depth edges, about 0 (a wall seen straight on) to 2."""
    spread = float(np.log(seen.depth_m[np.isfinite(seen.depth_m)].clip(0.1, 1000.0)).std())
    return min(spread, 1.2) + min(3 * _edges(seen), 0.8)


def _enclosed(rays: RayScene, view: View) -> str:
    """Whether the same one mesh lies in all directions: the camera is inside a thing."""
    directions = np.stack(np.meshgrid([-1.0, 0, 1], [-1.0, 0, 1], [-1.0, 0, 1]), -1).reshape(-1, 3)
    directions = directions[np.abs(directions).sum(1) > 0]
    eye = np.broadcast_to(np.asarray(view.world_from_camera, np.float64)[:3, 3], directions.shape)
    met = rays.hit(eye, directions).mesh
    return "inside a thing" if met[0] >= 0 and (met == met[0]).all() else ""


def _likeness(one: View, other: View) -> float:
    """1 for the same view, towards 0 with a metre between the eyes, 40 degrees between the axes, or another zoom."""
    a, b = np.asarray(one.world_from_camera, np.float64), np.asarray(other.world_from_camera, np.float64)
    apart_m = float(np.linalg.norm(a[:3, 3] - b[:3, 3]))
    turned_deg = float(np.degrees(np.arccos(np.clip(a[:3, 2] @ b[:3, 2], -1, 1))))
    zoom = float(np.log(one.camera.fx_px / other.camera.fx_px))
    return float(np.exp(-((apart_m / 1.0) ** 2) - (turned_deg / 40) ** 2 - (zoom / 0.5) ** 2))


def drawn(rays: RayScene, draw: np.random.Generator, *, count: int) -> list[View]:
    """Cameras somewhere inside the scene's bounds, level or looking a little down, with a roll of about 2 degrees.

    Fields of view lie between 35 and 100 degrees.
    """
    low, high = rays.low, rays.high
    margin = 0.1 * (high - low)
    views = []
    for _ in range(count):
        eye = draw.uniform(low + margin, high - margin)
        eye[2] = min(eye[2], low[2] + draw.uniform(0.4, 3.0)) if high[2] - low[2] > 0.8 else eye[2]
        azimuth, tilt_deg = draw.uniform(0, 2 * np.pi), np.clip(draw.normal(-8, 14), -80, 40)
        pose = np.eye(4)
        pose[:3, :3], pose[:3, 3] = turned(azimuth, np.radians(tilt_deg), np.radians(draw.normal(0, 2.0))), eye
        views.append(View(Camera.from_fov(float(draw.uniform(35, 100)), 4 * PREVIEW_PX, 3 * PREVIEW_PX), pose))
    return views


def turned(azimuth_rad: float, tilt_rad: float, roll_rad: float) -> np.ndarray:
    """World-from-camera rotation of a camera that looks ``azimuth_rad`` from east to north and ``tilt_rad`` up."""
    ca, sa, ct, st = np.cos(azimuth_rad), np.sin(azimuth_rad), np.cos(tilt_rad), np.sin(tilt_rad)
    forward = np.array([ca * ct, sa * ct, st])
    right = np.array([sa, -ca, 0.0])
    down = np.cross(forward, right)
    cr, sr = np.cos(roll_rad), np.sin(roll_rad)
    return np.stack((cr * right + sr * down, cr * down - sr * right, forward), axis=1)
