"""Merging meshes for the path tracer loses no triangle, colour or texture, and lights glow outwards."""

from __future__ import annotations

import numpy as np
import pytest

from latentdepth.synth.scene import Material, Mesh
from latentdepth.synth.shading import is_mirror, is_solid, light_groups, merged, textures_of, vertex_normals

QUAD = np.array([[0, 1, 2], [0, 2, 3]])
BRICK, WOOD = (np.full((4, 6, 3), value, np.uint8) for value in (90, 160))
TETRA = np.array([[0, 2, 1], [0, 1, 3], [0, 3, 2], [1, 2, 3]])  # wound outwards


def square(z: float, material: Material, *, smooth: bool = False) -> Mesh:
    corners = np.array([[0, 0, z], [1, 0, z], [1, 1, z], [0, 1, z]], float)
    return Mesh(corners, QUAD, material, corners[:, :2], smooth)


def tetrahedron(emission: tuple[float, float, float], *, inside_out: bool = False) -> Mesh:
    corners = np.array([[0.0, 0, 0], [1, 0, 0], [0, 1, 0], [0, 0, 1]])
    return Mesh(corners, TETRA[:, ::-1] if inside_out else TETRA, Material(look="light", emission=emission))


def test_each_triangle_keeps_what_it_had():
    meshes = [
        square(0, Material((0.1, 0.2, 0.3), roughness=0.4, metallic=0.25)),
        square(1, Material(texture=WOOD, roughness=0.01)),
        square(2, Material((1.5, -0.2, 0.5), look="mirror", roughness=0.5)),
        square(3, Material(texture=BRICK)),
    ]
    textures = textures_of(meshes)
    assert [t is u for t, u in zip(textures, (WOOD, BRICK), strict=True)] == [True, True]
    batch = merged(meshes, textures)
    assert batch.faces.shape == (8, 3)
    np.testing.assert_array_equal(batch.vertices[batch.faces][:, :, 2].mean(1), [0, 0, 1, 1, 2, 2, 3, 3])
    np.testing.assert_array_equal(batch.texture, [-1, -1, 0, 0, -1, -1, 1, 1])
    np.testing.assert_allclose(batch.colour[[0, 4]], [[0.1, 0.2, 0.3], [1, 0, 0.5]])  # clipped to what reflects
    np.testing.assert_allclose(batch.roughness[::2], [0.4, 0.05, 0.5, 0.6])
    np.testing.assert_allclose(batch.metallic[::2], [0.25, 0, 1, 0])
    np.testing.assert_allclose(batch.uv[4:8], batch.vertices[4:8, :2])


def test_a_texture_without_uv_is_named():
    bad = Mesh(np.zeros((3, 3)), np.array([[0, 1, 2]]), Material(texture=WOOD))
    with pytest.raises(ValueError, match=r"mesh 1 \(1 triangles\) has a texture but no uv"):
        merged([square(0, Material()), bad], [WOOD])


def test_looks_are_sorted():
    clear, rough = (square(0, Material(look="mirror", roughness=r)) for r in (0.0, 0.4))
    glass, light = (square(0, Material(look=look)) for look in ("glass", "light"))
    assert [is_mirror(m) for m in (clear, rough, glass, light)] == [True, False, False, False]
    assert [is_solid(m) for m in (clear, rough, glass, light)] == [False, True, False, False]


def test_normals_of_a_tetrahedron_and_of_unused_vertices():
    mesh = tetrahedron((1, 1, 1))
    normals = vertex_normals(mesh)
    np.testing.assert_allclose(np.linalg.norm(normals, axis=1), 1)
    # at the corner of three axis-aligned triangles of equal area
    np.testing.assert_allclose(normals[0], -np.ones(3) / np.sqrt(3))
    lonely = Mesh(np.vstack((mesh.vertices, [[9.0, 9, 9]])), mesh.faces, mesh.material)
    np.testing.assert_array_equal(vertex_normals(lonely)[4], 0)


@pytest.mark.parametrize("inside_out", [False, True])
def test_closed_lights_are_turned_outwards(inside_out: bool):
    group = light_groups([tetrahedron((1, 1, 1), inside_out=inside_out)], 4)
    ((light,), *empty) = group
    assert empty == [[], [], []]
    corners = light.vertices[light.faces]
    outward = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    assert ((outward * (corners.mean(1) - light.vertices.mean(0))).sum(1) > 0).all()


def test_open_sheets_get_a_second_side():
    ((light,),) = light_groups([square(2, Material(look="light", emission=(3, 3, 3)))], 1)
    corners = light.vertices[light.faces]
    up = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])[:, 2]
    np.testing.assert_array_equal(np.sign(up), [1, 1, -1, -1])
    np.testing.assert_allclose(corners[up > 0][..., 2], 2)
    np.testing.assert_allclose(corners[up < 0][..., 2], 2 - 5e-4)  # behind, so that no side hides the other


def test_lights_of_like_radiance_share_a_group():
    emissions = [(1.0, 1, 1), (50.0, 50, 50), (1.1, 1, 1), (1.0, 1, 1), (7.0, 7, 7)]
    groups = light_groups([tetrahedron(e) for e in emissions], 3)
    assert [[m.material.emission[0] for m in group] for group in groups] == [[1, 1, 1.1], [7], [50]]
    apart = light_groups([tetrahedron(e) for e in emissions], 6)
    assert [len(group) for group in apart] == [2, 1, 1, 1, 0, 0]
    assert light_groups([square(0, Material())], 2) == [[], []]
