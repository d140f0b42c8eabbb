"""Pinhole geometry: points, normals, occlusion edges, meshes and a turned view of a depth map.

OpenCV axes (x right, y down, z forward), pixel centres at +0.5; normals are x right, y up, z towards the viewer, as
the published normals models have them. Knows no files; depth is planar unless a name says distance.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from torch.nn import functional as F

from latentdepth.core.types import Camera


def rays(camera: Camera) -> Float[Tensor, "1 3 h w"]:
    """Direction of every pixel with z = 1, so that a point is ray times planar depth."""
    x = (torch.arange(camera.width_px) + 0.5 - camera.cx_px) / camera.fx_px
    y = (torch.arange(camera.height_px) + 0.5 - camera.cy_px) / camera.fy_px
    grid_y, grid_x = torch.meshgrid(y, x, indexing="ij")
    return torch.stack((grid_x, grid_y, torch.ones_like(grid_x)))[None].float()


def _check_size(depth: Tensor, camera: Camera) -> None:
    if tuple(depth.shape[-2:]) != (camera.height_px, camera.width_px):
        raise ValueError(
            f"depth is {depth.shape[-1]} x {depth.shape[-2]}, the camera {camera.width_px} x {camera.height_px}; "
            "use camera.resized(width, height)"
        )


def unproject(depth: Float[Tensor, "n 1 h w"], camera: Camera) -> Float[Tensor, "n 3 h w"]:
    """Points in the camera's frame, in the unit of ``depth``."""
    _check_size(depth, camera)
    return depth * rays(camera).to(depth)


def planar_from_distance(distance: Float[Tensor, "n 1 h w"], camera: Camera) -> Float[Tensor, "n 1 h w"]:
    """Planar depth from Euclidean distance along the ray (what laser scanners and Hypersim store)."""
    _check_size(distance, camera)
    return distance / rays(camera).to(distance).norm(dim=1, keepdim=True)


def distance_from_planar(depth: Float[Tensor, "n 1 h w"], camera: Camera) -> Float[Tensor, "n 1 h w"]:
    """Euclidean distance along the ray from planar depth."""
    _check_size(depth, camera)
    return depth * rays(camera).to(depth).norm(dim=1, keepdim=True)


def normals_from_depth(depth: Float[Tensor, "n 1 h w"], camera: Camera) -> Float[Tensor, "n 3 h w"]:
    """Unit normals from central differences of the points (one-sided at the border); 0 where they are not finite."""
    points = unproject(depth, camera)
    padded = F.pad(points, (1, 1, 1, 1), mode="replicate")
    along_x = padded[..., 1:-1, 2:] - padded[..., 1:-1, :-2]
    along_y = padded[..., 2:, 1:-1] - padded[..., :-2, 1:-1]
    normal = torch.cross(along_y, along_x, dim=1)
    normal = normal / normal.norm(dim=1, keepdim=True).clamp(min=1e-20)
    # OpenCV's y down and z forward become y up and z towards the viewer
    return torch.nan_to_num(normal * torch.tensor([1.0, -1.0, -1.0]).to(normal)[None, :, None, None])


def occlusion_edges(depth: Float[Tensor, "n 1 h w"], ratio: float) -> Bool[Tensor, "n 1 h w"]:
    """Pixels that have a neighbour (of four) nearer or farther by more than ``ratio`` (> 1), or not finite."""
    if ratio <= 1:
        raise ValueError(f"ratio is {ratio}; allowed is more than 1")
    usable = torch.where(depth.isfinite() & (depth > 0), depth, torch.full_like(depth, torch.inf)).log()
    edge = torch.zeros_like(depth, dtype=torch.bool)
    for axis in (-1, -2):
        size = depth.shape[axis]
        jump = ~(usable.narrow(axis, 1, size - 1) - usable.narrow(axis, 0, size - 1)).abs().le(math.log(ratio))
        edge.narrow(axis, 1, size - 1).logical_or_(jump)
        edge.narrow(axis, 0, size - 1).logical_or_(jump)
    return edge


@dataclass(frozen=True)
class GridMesh:
    """A relief: one vertex per usable pixel; uv from the top left corner of the picture."""

    vertices: Float[Tensor, "p 3"]
    faces: Int[Tensor, "f 3"]
    uv: Float[Tensor, "p 2"]


def grid_mesh(depth: Float[Tensor, "1 1 h w"], camera: Camera, *, edge_ratio: float = 1.08) -> GridMesh:
    """Two triangles between every four neighbours, left out where depths differ by more than ``edge_ratio``.

    OpenCV axes; triangles face the camera (counter-clockwise as seen from it after glTF's axis turn). Pixels that are
    not finite or not positive carry no vertex.
    """
    h, w = depth.shape[-2:]
    points = unproject(depth, camera)[0].flatten(1).T
    flat = depth.flatten()
    usable = flat.isfinite() & (flat > 0)
    index = torch.arange(h * w).reshape(h, w)
    a, b, c, d = index[:-1, :-1], index[:-1, 1:], index[1:, :-1], index[1:, 1:]
    faces = torch.cat([torch.stack(t, -1).reshape(-1, 3) for t in ((a, c, b), (b, c, d))])
    corner = torch.where(usable, flat, torch.nan)[faces]
    faces = faces[corner.amax(1) <= corner.amin(1) * edge_ratio]  # NaN compares false, so unusable corners drop out
    kept, compact = faces.unique(return_inverse=True)
    uv = torch.stack((kept % w + 0.5, kept // w + 0.5), -1).float() / torch.tensor([w, h])
    return GridMesh(points[kept].float(), compact.reshape(-1, 3), uv)


def _turn(points: Float[Tensor, "p 3"], pivot_z: float, yaw_deg: float, pitch_deg: float) -> Float[Tensor, "p 3"]:
    yaw, pitch = math.radians(yaw_deg), math.radians(pitch_deg)
    about_y = torch.tensor([[math.cos(yaw), 0, math.sin(yaw)], [0, 1, 0], [-math.sin(yaw), 0, math.cos(yaw)]])
    about_x = torch.tensor([[1, 0, 0], [0, math.cos(pitch), -math.sin(pitch)], [0, math.sin(pitch), math.cos(pitch)]])
    pivot = torch.tensor([0.0, 0.0, pivot_z])
    return (points - pivot) @ (about_x @ about_y).T.float() + pivot


def render_view(
    image: Float[Tensor, "3 h w"],
    depth: Float[Tensor, "1 h w"],
    camera: Camera,
    *,
    yaw_deg: float = 18.0,
    pitch_deg: float = 8.0,
    background: float = 0.94,
) -> Float[Tensor, "3 h w"]:
    """The depth map as a coloured surface, seen by a camera that turned about a depth whose choice moves it least.

    Points are splatted through a depth buffer at three times the density of the picture; gaps of a pixel or two are
    closed from their neighbours, what was hidden in the photo stays ``background``.
    """
    h, w = image.shape[-2:]
    dense = 3
    fine = F.interpolate(depth[None], scale_factor=dense, mode="bilinear")
    coarse = F.interpolate(depth[None], scale_factor=dense, mode="nearest-exact")
    edges = F.interpolate(occlusion_edges(depth[None], 1.06).float(), scale_factor=dense, mode="nearest-exact") > 0
    # between two surfaces a blended depth would hang in the air
    points = unproject(torch.where(edges, coarse, fine), camera.resized(w * dense, h * dense))[0].flatten(1).T
    colours = F.interpolate(image[None], scale_factor=dense, mode="bilinear")[0].flatten(1).T
    usable = points.isfinite().all(1) & (points[:, 2] > 0)
    points, colours = points[usable], colours[usable]
    # A turn about depth p shifts a point of depth z by (p / z - 1) in the picture: p of the least squares.
    disparity = points[:, 2].reciprocal()
    turned = _turn(points, float(disparity.sum() / disparity.square().sum()), yaw_deg, pitch_deg)
    ahead = turned[:, 2] > 1e-6
    turned, colours = turned[ahead], colours[ahead]
    x = (turned[:, 0] / turned[:, 2] * camera.fx_px + camera.cx_px).floor().long()
    y = (turned[:, 1] / turned[:, 2] * camera.fy_px + camera.cy_px).floor().long()
    inside = (x >= 0) & (x < w) & (y >= 0) & (y < h)
    cell, z, colours = (y * w + x)[inside], turned[inside, 2], colours[inside]
    nearest = torch.full((h * w,), torch.inf).scatter_reduce(0, cell, z, "amin")
    front = z <= nearest[cell] * 1.02
    total = torch.zeros(h * w, 3).index_add(0, cell[front], colours[front])
    count = torch.zeros(h * w).index_add(0, cell[front], torch.ones(int(front.sum())))
    picture = (total / count.clamp(min=1)[:, None]).T.reshape(1, 3, h, w)
    filled = (count > 0).float().reshape(1, 1, h, w)
    return _close_gaps(picture, filled, background)[0]


def _close_gaps(
    picture: Float[Tensor, "1 3 h w"], filled: Float[Tensor, "1 1 h w"], background: float
) -> Float[Tensor, "1 3 h w"]:
    """Pixels with at least five filled neighbours take their mean, twice; the rest is background."""
    for _ in range(2):
        neighbours = F.avg_pool2d(filled, 3, 1, 1) * 9
        mean = F.avg_pool2d(picture * filled, 3, 1, 1) * 9 / neighbours.clamp(min=1)
        gap = (filled == 0) & (neighbours >= 5)
        picture = torch.where(gap, mean, picture)
        filled = torch.where(gap, torch.ones_like(filled), filled)
    return picture * filled + background * (1 - filled)
