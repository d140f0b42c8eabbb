"""What a view truly shows: planar depth and normals at every pixel's centre, by one ray each.

No anti-aliasing: a pixel's depth is that of the one surface behind its centre, never a blend of two. Mirrors and glass
have the depth of the pane itself. Knows no renderer.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int

from latentdepth.core.types import Camera
from latentdepth.synth.cast import RayScene
from latentdepth.synth.scene import View

NEAREST_M = 0.02
"""Nearer than this the camera touches what it sees; such pixels are not valid."""


@dataclass(frozen=True, eq=False)
class Labels:
    """The truth of one view."""

    depth_m: Float[np.ndarray, "h w"]
    """Planar, float32; +inf where there is sky."""
    normals: Float[np.ndarray, "h w 3"]
    """Unit, float32; x right, y up, z towards the viewer, always facing the camera; 0 where there is sky."""
    valid: Bool[np.ndarray, "h w"]
    """Sky is valid: it is known to be infinitely far."""
    mesh: Int[np.ndarray, "h w"]
    """Index into ``Scene.meshes``; -1 where there is sky."""


def pixel_rays(camera: Camera) -> Float[np.ndarray, "r 3"]:
    """Direction through every pixel's centre, row by row, in the camera's frame, with z = 1. float64."""
    x = (np.arange(camera.width_px) + 0.5 - camera.cx_px) / camera.fx_px
    y = (np.arange(camera.height_px) + 0.5 - camera.cy_px) / camera.fy_px
    grid_x, grid_y = np.meshgrid(x, y)
    return np.stack((grid_x, grid_y, np.ones_like(grid_x)), -1).reshape(-1, 3)


def label(rays: RayScene, view: View) -> Labels:
    """Cast one ray through the centre of every pixel.

    Directions have z = 1 in the camera's frame, so a hit's distance in units of the direction *is* planar depth.
    """
    camera, pose = view.camera, np.asarray(view.world_from_camera, np.float64)
    directions = pixel_rays(camera) @ pose[:3, :3].T
    hits = rays.hit(np.broadcast_to(pose[:3, 3], directions.shape), directions)
    shape = (camera.height_px, camera.width_px)
    in_camera = hits.normal @ pose[:3, :3]
    depth = hits.distance.astype(np.float32).reshape(shape)
    return Labels(
        depth,
        # OpenCV's y down and z forward become y up and z towards the viewer
        (in_camera * [1.0, -1.0, -1.0]).astype(np.float32).reshape(*shape, 3),
        depth >= NEAREST_M,
        hits.mesh.reshape(shape),
    )
