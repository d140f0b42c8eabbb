"""Pinhole geometry on surfaces that are known in closed form."""

from __future__ import annotations

import math

import pytest
import torch

from latentdepth.core.geometry import (
    distance_from_planar,
    grid_mesh,
    normals_from_depth,
    occlusion_edges,
    planar_from_distance,
    rays,
    render_view,
    unproject,
)
from latentdepth.core.types import Camera

CAMERA = Camera(50.0, 52.0, 20.0, 14.0, 40, 30)


def plane(normal: tuple[float, float, float], offset: float) -> torch.Tensor:
    """Planar depth of the plane n . X = offset (OpenCV axes)."""
    n = torch.tensor(normal)[None, :, None, None]
    return offset / (rays(CAMERA) * n).sum(1, keepdim=True)


def test_points_lie_on_their_plane_and_project_back():
    depth = plane((0.1, 0.3, 1.0), 2.0)
    points = unproject(depth, CAMERA)
    on_plane = points[:, 0] * 0.1 + points[:, 1] * 0.3 + points[:, 2]
    torch.testing.assert_close(on_plane, torch.full_like(on_plane, 2.0), atol=1e-5, rtol=0)
    x = points[0, 0] / points[0, 2] * CAMERA.fx_px + CAMERA.cx_px
    torch.testing.assert_close(x[0], torch.arange(40) + 0.5, atol=1e-4, rtol=0)  # pixel centres


@pytest.mark.parametrize("normal", [(0.0, 0.0, 1.0), (0.3, 0.0, 1.0), (0.0, -0.4, 1.0), (0.2, 0.3, 1.0)])
def test_normals_of_planes(normal: tuple[float, float, float]):
    found = normals_from_depth(plane(normal, 3.0), CAMERA)
    length = math.sqrt(sum(c * c for c in normal))
    # towards the viewer, y up: the plane's OpenCV normal points away, so its negative with y and z turned
    want = torch.tensor([-normal[0], normal[1], normal[2]]) / length
    torch.testing.assert_close(found, want[None, :, None, None].expand_as(found), atol=1e-4, rtol=0)


def test_a_wall_faces_the_viewer_and_a_floor_looks_up():
    wall = normals_from_depth(torch.full((1, 1, 30, 40), 2.0), CAMERA)
    assert wall[0, 2].min() > 0.999
    below = Camera(50.0, 50.0, 20.0, -5.0, 40, 30)  # the horizon is above the picture
    floor_depth = 1.5 / rays(below)[:, 1:2]
    assert normals_from_depth(floor_depth, below)[0, 1].min() > 0.999


def test_distance_and_planar_depth_are_inverse():
    depth = plane((0.1, 0.2, 1.0), 4.0)
    distance = distance_from_planar(depth, CAMERA)
    assert bool((distance > depth).all())
    torch.testing.assert_close(planar_from_distance(distance, CAMERA), depth)
    points = unproject(depth, CAMERA)
    torch.testing.assert_close(points.norm(dim=1, keepdim=True), distance)


def step_scene() -> torch.Tensor:
    depth = torch.full((1, 1, 30, 40), 4.0)
    depth[..., 10:20, 15:25] = 2.0
    return depth


def test_edges_are_where_depth_jumps():
    edges = occlusion_edges(step_scene(), 1.5)[0, 0]
    assert bool(edges[10, 15])
    assert bool(edges[9, 15])
    assert not bool(edges[15, 20])
    assert not bool(edges[0, 0])
    hole = step_scene()
    hole[0, 0, 5, 5] = torch.nan
    assert bool(occlusion_edges(hole, 1.5)[0, 0, 5, 4])
    assert not bool(occlusion_edges(step_scene(), 2.5).any())
    with pytest.raises(ValueError, match="more than 1"):
        occlusion_edges(hole, 1.0)


def test_mesh_is_torn_at_edges_and_has_no_invalid_corner():
    whole = grid_mesh(torch.full((1, 1, 30, 40), 2.0), CAMERA)
    assert len(whole.faces) == 2 * 29 * 39
    assert len(whole.vertices) == 30 * 40
    torch.testing.assert_close(whole.uv[0], torch.tensor([0.5 / 40, 0.5 / 30]))
    torn = step_scene()
    torn[0, 0, 0, 0] = torch.inf
    mesh = grid_mesh(torn, CAMERA, edge_ratio=1.2)
    spans = mesh.vertices[mesh.faces][..., 2]
    assert float((spans.amax(1) / spans.amin(1)).max()) <= 1.2
    assert bool(mesh.vertices.isfinite().all())
    assert len(mesh.faces) < len(whole.faces)


def test_faces_look_at_the_camera():
    mesh = grid_mesh(plane((0.1, 0.3, 1.0), 2.0), CAMERA)
    corners = mesh.vertices[mesh.faces] * torch.tensor([1.0, -1.0, -1.0])  # glTF axes
    normal = torch.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0], dim=1)
    assert bool(((normal * -corners.mean(1)).sum(1) > 0).all())


def test_sizes_must_agree():
    with pytest.raises(ValueError, match=r"resized\(width, height\)"):
        unproject(torch.ones(1, 1, 5, 5), CAMERA)


def test_an_unturned_view_is_the_photo():
    image = torch.rand(3, 6, 8, generator=torch.Generator().manual_seed(0))
    image = torch.nn.functional.interpolate(image[None], (30, 40), mode="bilinear")[0]
    same = render_view(image, torch.full((1, 30, 40), 2.0), CAMERA, yaw_deg=0, pitch_deg=0)
    assert float((same - image).abs().mean()) < 0.02
    turned = render_view(image, torch.full((1, 30, 40), 2.0), CAMERA, yaw_deg=25, pitch_deg=0)
    assert float((turned - image).abs().mean()) > 0.05


def test_what_is_near_stays_in_a_turned_view_before_a_far_background():
    image, depth = torch.zeros(3, 30, 40), torch.full((1, 30, 40), 20.0)
    image[0, 8:22, 14:28], depth[:, 8:22, 14:28] = 1.0, 1.0  # a red square of a sixth of the picture
    columns = torch.nonzero(render_view(image, depth, CAMERA, background=0.0)[0] > 0.5)[:, 1]
    assert len(columns) > 100  # of 196
    assert 10 < float(columns.float().mean()) < 30
