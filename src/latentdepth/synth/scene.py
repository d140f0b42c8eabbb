"""A scene as plain arrays: meshes with materials, lights, a sky and views. Knows no engine, no files, no randomness.

World axes: x east, y north, z up, metres. Cameras look along their +z with y down (OpenCV).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
from jaxtyping import Float, Int, UInt8

from latentdepth.core.types import Camera
from latentdepth.synth.kinds import SceneKind as SceneKind


@dataclass(frozen=True, eq=False)
class Material:
    """How a surface looks. Colours are linear RGB in [0, 1]; a texture is sRGB and tiles over uv in [0, 1).

    A texture takes the place of ``colour``; its last row (the lower edge of the picture) lies at v = 0, so that
    u to the right and v up show it upright. Meshes that share one texture should share the same array object."""

    colour: tuple[float, float, float] = (0.5, 0.5, 0.5)
    texture: UInt8[np.ndarray, "h w 3"] | None = None
    roughness: float = 0.6
    metallic: float = 0.0
    look: Literal["principled", "mirror", "glass", "light"] = "principled"
    """``mirror`` and ``glass`` reflect as such, yet their depth is that of the pane itself; ``light`` emits.

    ``glass`` is a thin clear pane tinted by ``colour``. What lies behind it is seen, but a sun doesn't shine through it
    (the path tracer can't aim through panes), so windows that light a room stay open."""
    emission: tuple[float, float, float] = (0.0, 0.0, 0.0)
    """Radiance of a ``light``, from both sides of an open sheet and from the outside of a closed body."""
    tile_m: float = 1.0
    """Side in metres of one tile of the texture. The shapes have divided by it already: uv counts tiles."""


@dataclass(frozen=True, eq=False)
class Mesh:
    """Triangles in world coordinates, seen from both sides."""

    vertices: Float[np.ndarray, "v 3"]
    faces: Int[np.ndarray, "f 3"]
    material: Material
    uv: Float[np.ndarray, "v 2"] | None = None
    smooth: bool = False
    """Shade with interpolated normals; depth and label normals stay those of the flat triangles."""


@dataclass(frozen=True, eq=False)
class Sky:
    """What is seen where no surface is: infinitely far. ``picture`` is an equirectangular linear RGB map, row 0 up.

    The middle of column j of w looks at azimuth 2 pi (j + 0.5) / w, counted from east (+x) towards north (+y).
    """

    picture: Float[np.ndarray, "h w 3"]
    sun_direction: tuple[float, float, float] | None = None
    """Towards the sun, unit length; None when overcast or indoors."""
    sun_radiance: tuple[float, float, float] = (0.0, 0.0, 0.0)
    """Irradiance of the sun as a directional light."""


@dataclass(frozen=True, eq=False)
class View:
    """One photograph to be taken."""

    camera: Camera
    world_from_camera: Float[np.ndarray, "4 4"]


@dataclass(frozen=True)
class Limits:
    """What a view must keep to. Shares are of its pixels."""

    nearest_m: float = 0.25
    """Hardly anything may be nearer."""
    most_near: float = 0.01
    most_sky: float = 0.72
    median_m: tuple[float, float] = (0.4, 400.0)
    """Of what isn't sky."""
    most_edges: float = 0.35
    """Of neighbours whose depths differ by more than a tenth: beyond it the camera stands in leaves."""


@dataclass(frozen=True, eq=False)
class Scene:
    """All of one (seed, number)."""

    kind: SceneKind
    meshes: Sequence[Mesh]
    sky: Sky
    views: Sequence[View] = ()
    """Proposals, about four times as many as are wanted; ``viewpoints.choose`` keeps the good ones and resizes their
    cameras (fields of view stay). Where there are none, cameras are drawn from the space itself."""
    credits: Sequence[str] = field(default=())
    """Attribution lines of the assets inside."""
    limits: Limits = field(default=Limits())
    """What its views must keep to."""
