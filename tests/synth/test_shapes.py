"""Solids against the closed forms of their volume and surface; texture coordinates against metres."""

import math

import numpy as np
import pytest

from latentdepth.synth import shapes
from latentdepth.synth.scene import Material, Mesh

PLAIN = Material()


def volume(mesh: Mesh) -> float:
    """Signed volume by the divergence theorem: positive when the triangles are anticlockwise from outside."""
    a, b, c = (mesh.vertices[mesh.faces[:, k]] for k in range(3))
    return float((a * np.cross(b, c)).sum() / 6)


def area(mesh: Mesh) -> float:
    a, b, c = (mesh.vertices[mesh.faces[:, k]] for k in range(3))
    return float(np.linalg.norm(np.cross(b - a, c - a), axis=1).sum() / 2)


def test_box_has_its_volume_surface_and_place() -> None:
    box = shapes.box(PLAIN, (2.0, 3.0, 0.5), (1.0, -1.0, 4.0))
    assert volume(box) == pytest.approx(3.0)
    assert area(box) == pytest.approx(2 * (2 * 3 + 2 * 0.5 + 3 * 0.5))
    low, high = shapes.bounds([box])
    np.testing.assert_allclose([low, high], [[0, -2.5, 4], [2, 0.5, 4.5]])


def test_cylinder_is_a_prism_over_a_regular_polygon() -> None:
    sides, radius, height = 24, 0.7, 1.9
    base = sides / 2 * radius**2 * math.sin(2 * math.pi / sides)
    body = shapes.cylinder(PLAIN, radius, height, sides=sides)
    assert volume(body) == pytest.approx(base * height)
    wall = sides * 2 * radius * math.sin(math.pi / sides) * height
    assert area(body) == pytest.approx(2 * base + wall)


def test_ball_nears_the_sphere_from_inside() -> None:
    ball = shapes.ball(PLAIN, (1.0, 1.0, 1.0), (3.0, 0.0, 0.0), rows=41, sides=80)
    assert 0.99 * 4 / 3 * math.pi < volume(ball) < 4 / 3 * math.pi
    assert 0.99 * 4 * math.pi < area(ball) < 4 * math.pi
    np.testing.assert_allclose(np.linalg.norm(ball.vertices - [3, 0, 0], axis=1), 1.0, atol=1e-12)


def test_cone_by_lathe() -> None:
    sides = 64
    base = sides / 2 * math.sin(2 * math.pi / sides)
    assert volume(shapes.lathe(PLAIN, [(1.0, 0.0), (0.0, 3.0)], sides=sides)) == pytest.approx(base)


def test_straight_rod_is_a_prism_in_any_direction() -> None:
    sides = 8
    base = sides / 2 * 0.1**2 * math.sin(2 * math.pi / sides)
    for end in ((0.0, 0.0, 2.0), (2.0, 0.0, 0.0), (0.0, -2.0, 0.0), (1.2, 1.6, 0.0)):
        assert volume(shapes.rod(PLAIN, (0.0, 0.0, 0.0), end, 0.1, sides=sides)) == pytest.approx(2 * base)


def test_bent_tube_keeps_its_radius_and_is_closed() -> None:
    t = np.linspace(0, math.pi, 40)
    path = np.stack((np.cos(t), np.sin(t), 0.2 * t), 1)
    pipe = shapes.tube(PLAIN, path, 0.05, sides=10, caps=False)
    from_path = np.linalg.norm(pipe.vertices[:, None] - path[None], axis=2).min(1)
    np.testing.assert_allclose(from_path, 0.05, atol=1e-9)
    # closed: the area vectors of all triangles cancel
    body = shapes.tube(PLAIN, path, 0.05, sides=10)
    a, b, c = (body.vertices[body.faces[:, k]] for k in range(3))
    np.testing.assert_allclose(np.cross(b - a, c - a).sum(0), 0, atol=1e-12)


def test_texture_coordinates_are_metres_over_the_tile() -> None:
    wood = Material(tile_m=0.5)
    flat = shapes.quad(wood, (1.0, 2.0, 3.0), (3.0, 0.0, 0.0), (0.0, 0.0, 2.0))
    assert flat.uv is not None
    np.testing.assert_allclose(flat.uv, [[0, 0], [6, 0], [0, 4], [6, 4]])
    for mesh in (shapes.box(wood, (1.0, 2.0, 3.0)), shapes.cylinder(wood, 0.4, 1.0, sides=32)):
        assert mesh.uv is not None
        corners, uv = mesh.vertices[mesh.faces], mesh.uv[mesh.faces]
        length_m = np.linalg.norm(corners[:, 1] - corners[:, 0], axis=1)
        tiles = np.linalg.norm(uv[:, 1] - uv[:, 0], axis=1)
        np.testing.assert_allclose(tiles * 0.5, length_m, rtol=1e-6)


def test_picture_shows_the_texture_once() -> None:
    shown = shapes.picture(Material(tile_m=0.1), (0, 0, 0), (4, 0, 0), (0, 0, 3))
    assert shown.uv is not None
    np.testing.assert_array_equal(shown.uv, [[0, 0], [1, 0], [0, 1], [1, 1]])


def test_rotation_turns_as_documented() -> None:
    np.testing.assert_allclose(shapes.rotation(np.pi / 2) @ [1, 0, 0], [0, 1, 0], atol=1e-12)
    np.testing.assert_allclose(shapes.rotation(0, np.pi / 2) @ [0, 1, 0], [0, 0, 1], atol=1e-12)
    np.testing.assert_allclose(np.linalg.det(shapes.rotation(0.3, -0.7, 1.1)), 1.0)


def test_moving_keeps_the_volume() -> None:
    box = shapes.box(PLAIN, (1.0, 2.0, 3.0))
    turned = shapes.moved(box, (5, 6, 7), turn=shapes.rotation(0.4, 0.5, 0.6), scale=2.0)
    assert volume(turned) == pytest.approx(8 * 6)


def test_scattered_copies_keep_their_volume_and_shift_their_texture() -> None:
    box = shapes.box(PLAIN, (0.1, 0.2, 0.3))
    turns = np.stack([shapes.rotation(k, 0.3 * k) for k in range(5)])
    shift = np.arange(10.0).reshape(5, 2)
    many = shapes.scattered(box, np.zeros((5, 3)), turns, np.full(5, 2.0), uv_shift=shift)
    assert volume(many) == pytest.approx(5 * 8 * 0.006)
    assert many.uv is not None
    assert box.uv is not None
    np.testing.assert_allclose(many.uv.reshape(5, -1, 2)[3], box.uv + shift[3])


def test_pillow_stays_inside_its_box() -> None:
    low, high = shapes.bounds([shapes.pillow(PLAIN, (0.6, 0.4, 0.2), (0, 0, 1))])
    assert (low >= np.array([-0.3, -0.2, 1]) - 1e-12).all()
    assert (high <= np.array([0.3, 0.2, 1.2]) + 1e-12).all()
