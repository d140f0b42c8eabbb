"""Depth and normals of planes, balls and boxes that are known in closed form, and of two views of one scene."""

from __future__ import annotations

import math

import numpy as np
import torch

from latentdepth.core.geometry import normals_from_depth, occlusion_edges
from latentdepth.core.types import Camera
from latentdepth.synth.cast import RayScene
from latentdepth.synth.labels import Labels, label, pixel_rays
from latentdepth.synth.scene import Material, Mesh, Scene, Sky, View

CAMERA = Camera.from_fov(70, 64, 48)
SKY = Sky(np.ones((2, 4, 3)))
LEVEL = np.array([[1.0, 0, 0], [0, 0, 1], [0, -1, 0]])  # looks north: x east, y down, z north


def view(position: tuple[float, float, float], turn: np.ndarray = LEVEL, camera: Camera = CAMERA) -> View:
    pose = np.eye(4)
    pose[:3, :3], pose[:3, 3] = turn, position
    return View(camera, pose)


def tilted_down(angle_deg: float) -> np.ndarray:
    c, s = math.cos(math.radians(angle_deg)), math.sin(math.radians(angle_deg))
    return LEVEL @ np.array([[1, 0, 0], [0, c, s], [0, -s, c]])


def ball(centre: tuple[float, float, float], radius: float, rings: int) -> Mesh:
    """A sphere of 2 x rings x rings quads; its chords lie at most radius (1 - cos(pi / 2 / rings)) inside, twice."""
    theta = np.linspace(0, np.pi, rings + 1)
    phi = np.linspace(0, 2 * np.pi, 2 * rings + 1)
    t, p = np.meshgrid(theta, phi, indexing="ij")
    points = np.stack((np.sin(t) * np.cos(p), np.sin(t) * np.sin(p), np.cos(t)), -1).reshape(-1, 3) * radius
    index = np.arange((rings + 1) * (2 * rings + 1)).reshape(rings + 1, -1)
    a, b, c, d = index[:-1, :-1], index[1:, :-1], index[1:, 1:], index[:-1, 1:]
    faces = np.concatenate([np.stack(f, -1).reshape(-1, 3) for f in ((a, b, c), (a, c, d))])
    return Mesh(points + centre, faces, Material())


def box(low: tuple[float, float, float], high: tuple[float, float, float]) -> Mesh:
    corners = np.array([[(low, high)[k >> axis & 1][axis] for axis in range(3)] for k in range(8)], float)
    quads = np.array([(0, 2, 3, 1), (4, 5, 7, 6), (0, 1, 5, 4), (2, 6, 7, 3), (0, 4, 6, 2), (1, 3, 7, 5)])
    return Mesh(corners, quads[:, [[0, 1, 2], [0, 2, 3]]].reshape(-1, 3), Material())


def labels_of(at: View, *meshes: Mesh) -> Labels:
    return label(RayScene(Scene("room", meshes, SKY)), at)


def test_a_floor_has_the_depth_of_the_plane():
    floor = box((-500, -500, -1), (500, 500, 0))
    found = labels_of(view((3, -2, 1.5), tilted_down(20)), floor)
    directions = pixel_rays(CAMERA) @ tilted_down(20).T
    down = directions[:, 2] < -0.005  # the floor ends 500 m away
    want = np.where(down, 1.5 / -np.minimum(directions[:, 2], -1e-9), np.inf).reshape(48, 64)
    sure = np.abs(directions[:, 2]).reshape(48, 64) > 0.005
    np.testing.assert_allclose(found.depth_m[sure], want[sure], rtol=1e-6)  # float32 holds 6e-8
    up_in_camera = tilted_down(20).T @ [0, 0, 1] * [1, -1, -1]
    floor_normals = found.normals[down.reshape(48, 64) & sure]
    np.testing.assert_allclose(floor_normals, np.broadcast_to(up_in_camera, floor_normals.shape), atol=1e-6)
    assert (found.normals[np.isinf(found.depth_m)] == 0).all()
    assert found.valid.all()  # sky is known too


def test_a_ball_is_within_the_error_of_its_chords():
    rings, radius, centre = 400, 1.0, np.array([0.2, 4.0, 0.1])
    found = labels_of(view((0, 0, 0)), ball((0.2, 4.0, 0.1), radius, rings))
    directions = pixel_rays(CAMERA) @ LEVEL.T
    a, b = (directions**2).sum(1), directions @ centre
    root = b**2 - a * (centre @ centre - radius**2)
    cosine = np.sqrt(np.maximum(root, 0)) / (np.sqrt(a) * radius)  # of the angle between ray and normal
    inside = (cosine > 0.3).reshape(48, 64)
    want = ((b - np.sqrt(np.maximum(root, 0))) / a).reshape(48, 64)
    # a chord lies at most two sagittas inside the sphere, and a slanted ray sees that 1 / cosine times as large
    bound = 2 * radius * (1 - math.cos(math.pi / 2 / rings)) / 0.3
    assert bound < 1e-4
    error = found.depth_m[inside] - want[inside]
    assert inside.sum() > 200
    assert error.min() > -1e-6
    assert error.max() < bound


def test_a_box_is_within_a_tenth_of_a_millimetre_of_the_slab_formula():
    low, high = np.array([-0.7, 2.0, -0.5]), np.array([0.6, 3.1, 0.4])
    turn = tilted_down(15)
    at = np.array([0.9, 0.1, 0.8])
    found = labels_of(view((0.9, 0.1, 0.8), turn), box((-0.7, 2.0, -0.5), (0.6, 3.1, 0.4)))
    directions = pixel_rays(CAMERA) @ turn.T
    first, second = (low - at) / directions, (high - at) / directions
    enter, leave = np.minimum(first, second).max(1), np.maximum(first, second).min(1)
    want = np.where((enter < leave) & (enter > 0), enter, np.inf).reshape(48, 64)
    np.testing.assert_array_equal(np.isinf(found.depth_m), np.isinf(want))
    hit = np.isfinite(want)
    assert 200 < hit.sum() < 2500
    np.testing.assert_allclose(found.depth_m[hit], want[hit], atol=1e-4, rtol=0)


def a_still_life() -> tuple[Mesh, ...]:
    return (
        box((-4, -4, -1.2), (4, 6, -1.0)),
        box((-4, 5.9, -1), (4, 6, 3)),
        box((-0.9, 2.2, -1), (-0.2, 2.9, -0.3)),
        ball((0.6, 3.0, -0.5), 0.5, 60),
    )


def test_normals_agree_with_those_of_the_unprojected_depth():
    found = labels_of(view((0, 0, 0.2), tilted_down(12), Camera.from_fov(60, 160, 120)), *a_still_life())
    depth = torch.from_numpy(found.depth_m)[None, None]
    derived = normals_from_depth(depth, Camera.from_fov(60, 160, 120))[0].permute(1, 2, 0).numpy()
    edge = occlusion_edges(depth, 1.04)[0, 0].numpy()
    crease = np.abs(np.diff(found.normals, axis=0, prepend=found.normals[:1])).max(-1)
    crease = np.maximum(crease, np.abs(np.diff(found.normals, axis=1, prepend=found.normals[:, :1])).max(-1)) > 0.05
    usable = np.isfinite(found.depth_m)
    grown = np.ones_like(usable)
    for dy in (-1, 0, 1):
        for dx in (-1, 0, 1):
            grown &= ~np.roll(edge | crease | ~usable, (dy, dx), (0, 1))
    grown[[0, -1]], grown[:, [0, -1]] = False, False
    cosine = (derived * found.normals).sum(-1)[grown]
    assert grown.mean() > 0.5
    assert np.degrees(np.arccos(np.clip(cosine, -1, 1))).max() < 3.0  # the width of the ball's facets


def test_points_of_the_left_view_land_on_the_depth_of_the_right_one():
    camera = Camera.from_fov(60, 160, 120)
    scene = RayScene(Scene("room", a_still_life(), SKY))
    left, right = view((-0.15, 0, 0.2), tilted_down(12), camera), view((0.15, 0.1, 0.25), tilted_down(10), camera)
    seen, other = label(scene, left), label(scene, right)
    at = np.isfinite(seen.depth_m).reshape(-1)
    points = (pixel_rays(camera) * seen.depth_m.reshape(-1, 1))[at] @ left.world_from_camera[:3, :3].T
    points = (points + left.world_from_camera[:3, 3] - right.world_from_camera[:3, 3]) @ right.world_from_camera[:3, :3]
    x = points[:, 0] / points[:, 2] * camera.fx_px + camera.cx_px
    y = points[:, 1] / points[:, 2] * camera.fy_px + camera.cy_px
    inside = (x > 1) & (x < 159) & (y > 1) & (y < 119)
    column, row, z = np.floor(x[inside]).astype(int), np.floor(y[inside]).astype(int), points[inside, 2]
    # a point lands up to half a pixel from a pixel's centre, and there depth differs by half of its slope
    steep = np.maximum(
        np.abs(np.diff(other.depth_m, axis=0, append=other.depth_m[-1:])),
        np.abs(np.diff(other.depth_m, axis=1, append=other.depth_m[:, -1:])),
    )
    smooth = steep[row, column] < 0.05
    gap = z - other.depth_m[row, column]
    visible = smooth & (gap < 0.1)  # the rest is hidden from the right, behind something nearer
    assert visible.sum() > 0.6 * at.sum()
    assert (np.abs(gap[visible]) <= 2 * steep[row, column][visible] + 0.01).mean() > 0.995
    assert np.median(np.abs(gap[visible])) < 0.003
    # nothing is seen from the left that lies in front of what the right sees, but at silhouettes
    assert (gap[smooth] < -0.03).mean() < 0.002


def test_what_the_lens_touches_is_not_valid():
    found = labels_of(view((0, 0, 0)), box((-1, 0.01, -1), (1, 2, 1)))
    assert not found.valid.any()


def test_panes_have_their_own_depth_whatever_they_look_like():
    pane = Mesh(
        np.array([[-3.0, 2, -3], [3, 2, -3], [3, 2, 3], [-3, 2, 3]]),
        np.array([[0, 1, 2], [0, 2, 3]]),
        Material(look="glass"),
    )
    found = labels_of(view((0, 0, 0)), box((-9, 5, -9), (9, 6, 9)), pane)
    np.testing.assert_allclose(found.depth_m, 2, atol=1e-6)
    assert (found.mesh == 1).all()


def test_normals_face_the_camera_whatever_the_winding():
    pane = np.array([[-3.0, 2, -3], [3, 2, -3], [3, 2, 3], [-3, 2, 3]])
    for faces in (np.array([[0, 1, 2], [0, 2, 3]]), np.array([[0, 2, 1], [0, 3, 2]])):
        found = labels_of(view((0, 0, 0)), Mesh(pane, faces, Material()))
        np.testing.assert_allclose(found.normals, np.broadcast_to([0, 0, 1.0], (48, 64, 3)), atol=1e-6)
