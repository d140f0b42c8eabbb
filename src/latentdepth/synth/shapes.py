"""Solids and sheets as meshes: boxes, turned and lofted bodies, tubes, sheets; moving, scattering and merging them.

Units are metres, z is up, and texture coordinates are metres along the surface divided by the material's ``tile_m``.
Closed shapes have their triangles anticlockwise seen from outside. Knows nothing of what a shape stands for.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
from jaxtyping import Float, Int

from latentdepth.synth.scene import Material, Mesh

Point = tuple[float, float, float]
Parts = list[Mesh]


def _grid_faces(rows: int, cols: int) -> Int[np.ndarray, "f 3"]:
    """Two triangles for every cell of a grid of ``rows`` x ``cols`` points stored row by row."""
    corner = (np.arange(rows - 1)[:, None] * cols + np.arange(cols - 1)[None]).ravel()
    right, up, across = corner + 1, corner + cols, corner + cols + 1
    return np.concatenate((np.stack((corner, right, across), 1), np.stack((corner, across, up), 1)))


def sheet(material: Material, grid: Float[np.ndarray, "r c 3"], *, smooth: bool = True) -> Mesh:
    """A surface through a grid of points; u runs along the columns, v along the rows, by mean arc length."""
    along = np.linalg.norm(np.diff(grid, axis=1), axis=2).mean(0)
    across = np.linalg.norm(np.diff(grid, axis=0), axis=2).mean(1)
    u, v = np.concatenate(([0.0], along.cumsum())), np.concatenate(([0.0], across.cumsum()))
    uv = np.stack(np.broadcast_arrays(u[None], v[:, None]), -1).reshape(-1, 2) / material.tile_m
    faces = _grid_faces(grid.shape[0], grid.shape[1])
    return Mesh(grid.reshape(-1, 3), faces, material, uv, smooth)


def quad(material: Material, corner: Point, side_u: Point, side_v: Point) -> Mesh:
    """A parallelogram; its front is where ``side_u`` turns anticlockwise into ``side_v``."""
    start, u, v = np.array(corner, float), np.array(side_u, float), np.array(side_v, float)
    return sheet(material, np.stack((np.stack((start, start + u)), np.stack((start + v, start + u + v)))), smooth=False)


def picture(material: Material, corner: Point, side_u: Point, side_v: Point) -> Mesh:
    """A parallelogram that shows the texture exactly once, upright along ``side_v``."""
    flat = quad(material, corner, side_u, side_v)
    return Mesh(flat.vertices, flat.faces, material, np.array([[0, 0], [1, 0], [0, 1], [1, 1]], float), False)


def box(material: Material, size_m: Point, at: Point = (0.0, 0.0, 0.0)) -> Mesh:
    """A box of width, depth and height ``size_m``; ``at`` is the middle of its underside."""
    w, d, h = size_m
    x, y, z = at
    low, high = (x - w / 2, y - d / 2, z), (x + w / 2, y + d / 2, z + h)
    return merged_as_one(
        [
            quad(material, (low[0], low[1], low[2]), (w, 0, 0), (0, 0, h)),
            quad(material, (high[0], low[1], low[2]), (0, d, 0), (0, 0, h)),
            quad(material, (high[0], high[1], low[2]), (-w, 0, 0), (0, 0, h)),
            quad(material, (low[0], high[1], low[2]), (0, -d, 0), (0, 0, h)),
            quad(material, (low[0], low[1], high[2]), (w, 0, 0), (0, d, 0)),
            quad(material, (low[0], high[1], low[2]), (w, 0, 0), (0, -d, 0)),
        ]
    )


def loft(material: Material, rings: Float[np.ndarray, "n m 3"], *, caps: bool = True, smooth: bool = True) -> Mesh:
    """A body through closed rings, each anticlockwise when the path comes towards the eye; flat lids at both ends."""
    body = sheet(material, np.concatenate((rings, rings[:, :1]), axis=1), smooth=smooth)
    if not caps:
        return body
    return merged_as_one([body, _lid(material, rings[0][::-1], smooth), _lid(material, rings[-1], smooth)])


def _lid(material: Material, ring: Float[np.ndarray, "m 3"], smooth: bool) -> Mesh:
    """A fan from the middle of a ring, textured in its own plane."""
    count = len(ring)
    middle = ring.mean(0)
    arm = ring - middle
    u_axis = arm[0] / max(float(np.linalg.norm(arm[0])), 1e-9)
    normal = np.cross(arm, np.roll(arm, -1, axis=0)).sum(0)
    v_axis = np.cross(normal / max(float(np.linalg.norm(normal)), 1e-12), u_axis)
    points = np.concatenate((ring, middle[None]))
    uv = np.stack(((points - middle) @ u_axis, (points - middle) @ v_axis), 1) / material.tile_m
    index = np.arange(count)
    return Mesh(points, np.stack((index, (index + 1) % count, np.full(count, count)), 1), material, uv, smooth)


def lathe(
    material: Material,
    profile: Sequence[tuple[float, float]],
    at: Point = (0.0, 0.0, 0.0),
    *,
    sides: int = 20,
    caps: bool = True,
    smooth: bool = True,
) -> Mesh:
    """A turned body: ``profile`` lists (radius, height) from the bottom up, about the vertical through ``at``."""
    angle = np.arange(sides) * 2 * np.pi / sides
    radius, height = np.array(profile, float).T
    rings = np.stack(
        (
            at[0] + radius[:, None] * np.cos(angle),
            at[1] + radius[:, None] * np.sin(angle),
            np.broadcast_to(at[2] + height[:, None], (len(radius), sides)),
        ),
        -1,
    )
    return loft(material, rings, caps=caps, smooth=smooth)


def cylinder(
    material: Material, radius_m: float, height_m: float, at: Point = (0.0, 0.0, 0.0), *, sides: int = 16
) -> Mesh:
    """An upright cylinder; ``at`` is the middle of its underside."""
    return lathe(material, [(radius_m, 0.0), (radius_m, height_m)], at, sides=sides, smooth=sides > 8)


def ball(material: Material, radii_m: Point, at: Point = (0.0, 0.0, 0.0), *, rows: int = 9, sides: int = 14) -> Mesh:
    """An ellipsoid about its centre ``at``."""
    latitude = np.linspace(-np.pi / 2, np.pi / 2, rows)
    unit = lathe(material, list(zip(np.cos(latitude), np.sin(latitude), strict=True)), sides=sides, caps=False)
    mean_radius = sum(radii_m) / 3
    return Mesh(
        unit.vertices * np.array(radii_m) + np.array(at),
        unit.faces,
        material,
        None if unit.uv is None else unit.uv * mean_radius,
        True,
    )


def tube(
    material: Material,
    path: Float[np.ndarray, "n 3"],
    radius_m: float | Float[np.ndarray, " n"],
    *,
    sides: int = 7,
    caps: bool = True,
) -> Mesh:
    """A round rod along ``path``; the rings are carried along without twist (parallel transport)."""
    radius = np.broadcast_to(np.asarray(radius_m, float), (len(path),))
    tangent = np.gradient(path, axis=0)
    tangent /= np.maximum(np.linalg.norm(tangent, axis=1, keepdims=True), 1e-12)
    normal = np.cross(tangent[0], (0.0, 0.0, 1.0) if abs(tangent[0, 2]) < 0.9 else (1.0, 0.0, 0.0))
    angle = np.arange(sides) * 2 * np.pi / sides
    rings = np.empty((len(path), sides, 3))
    for i, direction in enumerate(tangent):
        normal = normal - direction * (normal @ direction)
        normal /= max(float(np.linalg.norm(normal)), 1e-12)
        side = np.cross(direction, normal)
        rings[i] = path[i] + radius[i] * (np.cos(angle)[:, None] * normal + np.sin(angle)[:, None] * side)
    return loft(material, rings, caps=caps)


def rod(material: Material, start: Point, end: Point, radius_m: float, *, sides: int = 6) -> Mesh:
    """A straight rod between two points."""
    return tube(material, np.array([start, end], float), radius_m, sides=sides)


def ring_of(size_m: tuple[float, float], *, points: int = 16, squareness: float = 2.0) -> Float[np.ndarray, "m 2"]:
    """A superellipse of full ``size_m``, anticlockwise: squareness 2 is an ellipse, 4 a rounded rectangle."""
    angle = (np.arange(points) + 0.5) * 2 * np.pi / points
    cos, sin = np.cos(angle), np.sin(angle)
    reach = (np.abs(cos) ** squareness + np.abs(sin) ** squareness) ** (-1 / squareness)
    return np.stack((cos * reach * size_m[0] / 2, sin * reach * size_m[1] / 2), 1)


def pillow(material: Material, size_m: Point, at: Point = (0.0, 0.0, 0.0), *, edge: float = 0.25) -> Mesh:
    """A box with rounded corners and edges, as of cushions and car bodies; ``at`` is the middle of its underside."""
    w, d, h = size_m
    inset = edge * min(w, d, h)
    heights = np.array([0.0, 0.08, 0.3, 0.7, 0.92, 1.0]) * h
    shrink = inset * np.array([1.0, 0.45, 0.0, 0.0, 0.45, 1.0])
    rings = [
        np.column_stack((ring_of((w - 2 * s, d - 2 * s), points=20, squareness=6.0), np.full(20, z)))
        for z, s in zip(heights, shrink, strict=True)
    ]
    return moved(loft(material, np.stack(rings)), at)


def rotation(yaw_rad: float = 0.0, pitch_rad: float = 0.0, roll_rad: float = 0.0) -> Float[np.ndarray, "3 3"]:
    """Roll about y, then pitch about x (positive lifts +y), then yaw about z (anticlockwise from above)."""
    (cy, cp, cr), (sy, sp, sr) = np.cos((yaw_rad, pitch_rad, roll_rad)), np.sin((yaw_rad, pitch_rad, roll_rad))
    about_z = np.array([[cy, -sy, 0], [sy, cy, 0], [0, 0, 1]])
    about_x = np.array([[1, 0, 0], [0, cp, -sp], [0, sp, cp]])
    about_y = np.array([[cr, 0, sr], [0, 1, 0], [-sr, 0, cr]])
    return about_z @ about_x @ about_y


def moved(
    mesh: Mesh,
    at: Point = (0.0, 0.0, 0.0),
    *,
    yaw_rad: float = 0.0,
    turn: Float[np.ndarray, "3 3"] | None = None,
    scale: float = 1.0,
) -> Mesh:
    """Scaled, turned about the origin (``turn``, else by ``yaw_rad`` about z), then shifted by ``at``."""
    matrix = (rotation(yaw_rad) if turn is None else turn) * scale
    return Mesh(mesh.vertices @ matrix.T + np.array(at), mesh.faces, mesh.material, mesh.uv, mesh.smooth)


def placed(
    parts: Iterable[Mesh],
    at: Point = (0.0, 0.0, 0.0),
    *,
    yaw_rad: float = 0.0,
    turn: Float[np.ndarray, "3 3"] | None = None,
    scale: float = 1.0,
) -> Parts:
    """``moved`` for every part of an object."""
    return [moved(part, at, yaw_rad=yaw_rad, turn=turn, scale=scale) for part in parts]


def scattered(
    mesh: Mesh,
    places: Float[np.ndarray, "n 3"],
    turns: Float[np.ndarray, "n 3 3"],
    scales: Float[np.ndarray, " n"],
    *,
    uv_shift: Float[np.ndarray, "n 2"] | None = None,
) -> Mesh:
    """Many turned and scaled copies as one mesh; ``uv_shift`` gives each copy its own place in the texture."""
    count = len(places)
    points = np.einsum("nij,vj->nvi", turns * scales[:, None, None], mesh.vertices) + places[:, None]
    faces = mesh.faces[None] + (np.arange(count) * len(mesh.vertices))[:, None, None]
    uv = None
    if mesh.uv is not None:
        uv = mesh.uv[None] + (np.zeros((count, 1, 2)) if uv_shift is None else uv_shift[:, None])
        uv = uv.reshape(-1, 2)
    return Mesh(points.reshape(-1, 3), faces.reshape(-1, 3), mesh.material, uv, mesh.smooth)


def merged_as_one(parts: Sequence[Mesh]) -> Mesh:
    """Parts of one material as one mesh; the first part's material and smoothness hold for all."""
    start = np.cumsum([0] + [len(part.vertices) for part in parts[:-1]])
    has_uv = all(part.uv is not None for part in parts)
    return Mesh(
        np.concatenate([part.vertices for part in parts]),
        np.concatenate([part.faces + first for part, first in zip(parts, start, strict=True)]),
        parts[0].material,
        np.concatenate([part.uv for part in parts if part.uv is not None]) if has_uv else None,
        parts[0].smooth,
    )


def bounds(parts: Iterable[Mesh]) -> tuple[Float[np.ndarray, 3], Float[np.ndarray, 3]]:
    """Lowest and highest corner of the box around all parts."""
    parts = list(parts)
    return (
        np.min([part.vertices.min(0) for part in parts], axis=0),
        np.max([part.vertices.max(0) for part in parts], axis=0),
    )


def warped(mesh: Mesh, shift: Float[np.ndarray, "v 3"]) -> Mesh:
    """The mesh with every vertex shifted."""
    return Mesh(mesh.vertices + shift, mesh.faces, mesh.material, mesh.uv, mesh.smooth)
