"""Rays against shapes whose distance is known in closed form."""

from __future__ import annotations

import numpy as np
import pytest

from latentdepth.synth.cast import RayScene
from latentdepth.synth.scene import Material, Mesh, Scene, Sky

SKY = Sky(np.ones((2, 4, 3)))
QUAD = np.array([[0, 1, 2], [0, 2, 3]])


def scene(*meshes: Mesh) -> Scene:
    return Scene("room", meshes, SKY)


def quad(*corners: tuple[float, float, float]) -> Mesh:
    return Mesh(np.array(corners, float), QUAD, Material())


def random_rays(count: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    draw = np.random.default_rng(seed)
    return draw.uniform(-0.5, 0.5, (count, 3)), draw.normal(size=(count, 3))


def test_a_floor_is_hit_at_its_closed_form_distance():
    rays = RayScene(scene(quad((-5, -5, 0), (5, -5, 0), (5, 5, 0), (-5, 5, 0))))
    origins = np.array([[0.0, 0, 2], [0, 0, 2], [0, 0, -3], [0, 0, 2]])
    directions = np.array([[0.0, 0, -1], [0.3, 0, -0.5], [0, 0, 1], [0, 0, 1]])
    hits = rays.hit(origins, directions)
    # in units of the direction: 2 / 0.5 = 4 for the slanted one, whose length isn't 1
    np.testing.assert_allclose(hits.distance, [2, 4, 3, np.inf], atol=1e-12)
    np.testing.assert_array_equal(hits.mesh, [0, 0, 0, -1])
    # normals face the origin of the ray, from either side
    np.testing.assert_allclose(hits.normal, [[0, 0, 1], [0, 0, 1], [0, 0, -1], [0, 0, 0]], atol=1e-12)


def test_the_nearer_of_two_meshes_is_hit():
    far = quad((-5, 4, -5), (5, 4, -5), (5, 4, 5), (-5, 4, 5))
    near = quad((-1, 3, -5), (1, 3, -5), (1, 3, 5), (-1, 3, 5))
    hits = RayScene(scene(far, near)).hit(np.zeros((2, 3)), np.array([[0.0, 1, 0], [1.0, 1, 0]]))
    np.testing.assert_array_equal(hits.mesh, [1, 0])
    np.testing.assert_allclose(hits.distance, [3, 4], atol=1e-12)


def test_inside_a_closed_box_no_ray_escapes():
    """Rays that fall between two triangles would be specks of sky on a wall."""
    x, y, z = np.meshgrid([-1.0, 1], [-1.0, 1], [-1.0, 1], indexing="ij")
    corners = np.stack((x, y, z), -1).reshape(8, 3)
    faces = np.array([(0, 1, 3, 2), (4, 6, 7, 5), (0, 4, 5, 1), (2, 3, 7, 6), (0, 2, 6, 4), (1, 5, 7, 3)])
    box = Mesh(corners, faces[:, [[0, 1, 2], [0, 2, 3]]].reshape(-1, 3), Material())
    origins, directions = random_rays(200_000)
    hits = RayScene(scene(box)).hit(origins, directions)
    assert np.isfinite(hits.distance).all()
    # every hit lies on the cube's surface, to double precision
    np.testing.assert_allclose(np.abs(origins + directions * hits.distance[:, None]).max(1), 1, atol=1e-9)


def test_a_kilometre_from_the_origin_the_distance_is_still_exact():
    """Single precision would be wrong by up to 6e-5 m x 1 / cos here; the bound is a thousand times smaller."""
    shift = np.array([3000.0, -7000.0, 40.0])
    tilted = np.array([[-5, 5, -5], [5, 6, -5], [5, 7, 5], [-5, 6, 5.0]])
    anchor = Mesh(np.array([[0.0, 0, 0], [1, 0, 0], [0, 1, 0]]), np.array([[0, 1, 2]]), Material())
    rays = RayScene(scene(anchor, Mesh(tilted + shift, QUAD, Material())))
    _, directions = random_rays(2000)
    directions[:, 1] = np.abs(directions[:, 1]) + 2
    hits = rays.hit(np.broadcast_to(shift, (2000, 3)), directions)
    met = hits.mesh == 1
    assert met.sum() > 500
    normal, offset = np.cross(tilted[1] - tilted[0], tilted[2] - tilted[0]), tilted[0]
    want = (normal @ offset) / (directions[met] @ normal)  # these four corners lie in one plane
    np.testing.assert_allclose(hits.distance[met], want, atol=6e-8)


def test_an_empty_scene_is_all_sky():
    hits = RayScene(scene()).hit(np.zeros((3, 3)), np.ones((3, 3)))
    assert np.isinf(hits.distance).all()
    assert (hits.mesh == -1).all()
    assert (hits.face == -1).all()


def test_a_vertex_that_is_no_number_is_named():
    good = quad((0, 0, 0), (1, 0, 0), (1, 1, 0), (0, 1, 0))
    bad = quad((0, 0, 0), (1, 0, 0), (1, float("nan"), 0), (0, 1, 0))
    with pytest.raises(ValueError, match="mesh 1 of this room holds a vertex that is not finite"):
        RayScene(scene(good, bad))


def test_faces_outside_the_vertices_are_named():
    bad = Mesh(np.zeros((3, 3)), np.array([[0, 1, 3]]), Material())
    with pytest.raises(ValueError, match="mesh 0 of this room has 3 vertices, but its faces name 0 to 3"):
        RayScene(scene(bad))
