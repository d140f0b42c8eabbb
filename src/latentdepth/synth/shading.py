"""A scene's meshes sorted into the few large ones that a path tracer handles well. Plain arrays; knows no engine.

Compiling and preparing a render costs by the number and variety of shapes and surfaces, not of triangles. So meshes
that scatter light alike become one, and colour, roughness, metal and texture go to each triangle instead.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int, UInt32

from latentdepth.synth.scene import Mesh

LEAST_ROUGHNESS = 0.05
"""Below it four paths a pixel give fireflies, not highlights. A rougher mirror is shaded as metal."""
_SHEET_GAP_M = 5e-4  # between the two glowing sides of an open sheet


@dataclass(frozen=True, eq=False)
class Batch:
    """Triangles with one way of scattering light; float32. What differs between them stands at each triangle."""

    vertices: Float[np.ndarray, "v 3"]
    faces: UInt32[np.ndarray, "f 3"]
    uv: Float[np.ndarray, "v 2"]
    """Zero where there is no texture."""
    colour: Float[np.ndarray, "f 3"]
    """Linear RGB in [0, 1]; of a light its radiance."""
    roughness: Float[np.ndarray, " f"]
    metallic: Float[np.ndarray, " f"]
    texture: Int[np.ndarray, " f"]
    """Index into the scene's textures, -1 for none."""
    normals: Float[np.ndarray, "v 3"] | None = None
    """For smooth shading; None shades flat."""


def is_mirror(mesh: Mesh) -> bool:
    """Whether it reflects as a perfect mirror does."""
    return mesh.material.look == "mirror" and mesh.material.roughness <= LEAST_ROUGHNESS


def is_solid(mesh: Mesh) -> bool:
    """Whether it is neither a perfect mirror, nor glass, nor a light."""
    return mesh.material.look == "principled" or (mesh.material.look == "mirror" and not is_mirror(mesh))


def textures_of(meshes: Sequence[Mesh]) -> list[np.ndarray]:
    """Each array object once, in the order of the meshes."""
    return list({id(m.material.texture): m.material.texture for m in meshes if m.material.texture is not None}.values())


def merged(meshes: Sequence[Mesh], textures: Sequence[np.ndarray], *, smooth: bool = False) -> Batch:
    """All of ``meshes`` as one. ValueError for a textured mesh without uv."""
    for number, mesh in enumerate(meshes):
        if mesh.material.texture is not None and mesh.uv is None:
            raise ValueError(
                f"mesh {number} ({len(mesh.faces)} triangles) has a texture but no uv; give uv, or a colour instead"
            )
    starts = np.cumsum([0, *(len(mesh.vertices) for mesh in meshes)])[:-1]
    faces = [np.asarray(mesh.faces, np.int64) + start for mesh, start in zip(meshes, starts, strict=True)]
    counts = [len(mesh.faces) for mesh in meshes]
    index = {id(texture): k for k, texture in enumerate(textures)}

    def at_faces(values: Sequence[object], columns: int) -> np.ndarray:
        table = np.array(values, np.float32).reshape(len(meshes), columns)
        return np.repeat(table, counts, axis=0)

    materials = [mesh.material for mesh in meshes]
    rough = [max(m.roughness, LEAST_ROUGHNESS) for m in materials]
    metal = [1.0 if m.look == "mirror" else m.metallic for m in materials]
    pictures = [-1 if m.texture is None else index[id(m.texture)] for m in materials]
    glow = [m.emission if m.look == "light" else np.clip(m.colour, 0, 1) for m in materials]
    return Batch(
        _stacked([mesh.vertices for mesh in meshes], 3).astype(np.float32),
        _stacked(faces, 3).astype(np.uint32),
        _stacked([np.zeros((len(m.vertices), 2)) if m.uv is None else m.uv for m in meshes], 2).astype(np.float32),
        at_faces(glow, 3),
        at_faces(rough, 1)[:, 0].clip(0, 1),
        at_faces(metal, 1)[:, 0].clip(0, 1),
        at_faces(pictures, 1)[:, 0].astype(np.int64),
        _stacked([vertex_normals(mesh) for mesh in meshes], 3).astype(np.float32) if smooth else None,
    )


def _stacked(arrays: Sequence[np.ndarray], columns: int) -> np.ndarray:
    return np.concatenate([np.zeros((0, columns)), *arrays])


def vertex_normals(mesh: Mesh) -> Float[np.ndarray, "v 3"]:
    """Unit normals, the mean of the triangles around a vertex weighted by their area; 0 at unused vertices."""
    corners = np.asarray(mesh.vertices, np.float64)[mesh.faces]
    across = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    corner, count = mesh.faces.ravel(), len(mesh.vertices)
    total = np.stack([np.bincount(corner, np.repeat(across[:, k], 3), minlength=count) for k in range(3)], axis=1)
    return total / np.maximum(np.linalg.norm(total, axis=1, keepdims=True), 1e-30)


def light_groups(meshes: Sequence[Mesh], count: int) -> list[list[Mesh]]:
    """The lights, front sides out, in exactly ``count`` groups of like radiance; the last ones may be empty.

    Within a group a path tracer picks points by area, which is right where all of it is equally bright.
    """
    lights = [_fronts_out(mesh) for mesh in meshes if mesh.material.look == "light" and len(mesh.faces)]
    lights.sort(key=lambda mesh: sum(mesh.material.emission))
    groups: list[list[Mesh]] = []
    for light in lights:
        if groups and groups[-1][-1].material.emission == light.material.emission:
            groups[-1].append(light)
        else:
            groups.append([light])
    while len(groups) > count:
        brightness = [sum(group[0].material.emission) + 1e-9 for group in groups]
        nearest = int(np.argmin(np.diff(np.log(brightness))))
        groups[nearest : nearest + 2] = [groups[nearest] + groups[nearest + 1]]
    return groups + [[] for _ in range(count - len(groups))]


def _fronts_out(mesh: Mesh) -> Mesh:
    """A light whose front sides, the only ones that glow in a path tracer, are those that should.

    A closed body is wound outwards; an open sheet gets a second, opposite side half a millimetre behind the first.
    """
    faces = np.asarray(mesh.faces, np.int64)
    vertices = np.asarray(mesh.vertices, np.float64)
    _, vertex = np.unique(vertices.round(6), axis=0, return_inverse=True)
    edges = np.sort(vertex.reshape(-1)[faces][:, [[0, 1], [1, 2], [2, 0]]].reshape(-1, 2), axis=1)
    edges = edges[edges[:, 0] != edges[:, 1]]
    _, shared = np.unique(edges, axis=0, return_counts=True)
    if (shared == 2).all():
        volume = np.linalg.det(vertices[faces] - vertices.mean(0)).sum()
        return Mesh(vertices, faces if volume > 0 else faces[:, ::-1], mesh.material)
    back = vertices - vertex_normals(mesh) * _SHEET_GAP_M
    both = np.concatenate((faces, faces[:, ::-1] + len(vertices)))
    return Mesh(np.concatenate((vertices, back)), both, mesh.material)
