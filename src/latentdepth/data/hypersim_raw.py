"""One frame of Hypersim's raw download (arXiv 2011.02523): HDF5 radiance, distances and entities to a sample.

Tone mapping by Hypersim's own rule, distance along the ray to planar depth through the scene's own projection.
Doesn't know which frames there are, nor how prepared ones are laid out. The only importer of h5py.
"""

from __future__ import annotations

import csv
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Bool, Float, Int, UInt8

from latentdepth.core.types import Camera
from latentdepth.data.hypersim import published_camera
from latentdepth.data.sample import Sample

_DISPLAY_GAMMA = 1 / 2.2
_BRIGHTNESS = np.array([0.3, 0.59, 0.11])  # of red, green and blue
_BRIGHT_SHARE, _BRIGHT_VALUE = 90, 0.8  # the 90 % quantile of brightness is displayed as 0.8
_DARK = 1e-4
_BACKGROUND = -1  # entity of pixels without geometry
_AWAY = 1e-3  # cosine from which a normal is taken to point away from the camera
_GL = np.diag([1.0, -1.0, -1.0])  # between y up, z backward and y down, z forward
_AGAIN = "download it again"


@dataclass(frozen=True)
class SceneProjection:
    """How pixels of a scene look into it. Tilted lenses turn the image plane against Hypersim's camera axes.

    The image's own frame has z across the image plane, so that planes are straight in 1 / depth, as everywhere here.
    """

    camera: Camera
    """Pinhole without skew: of lenses tilted both ways it misses the skew, up to 7 px at the top and bottom."""
    rays: Float[np.ndarray, "h w 3"]
    """Through each pixel's centre in the image's frame (y down, z forward), with z = 1; exact, with skew. float64."""
    image_from_scene: Float[np.ndarray, "3 3"]
    """Rotation from Hypersim's camera axes (turned to y down, z forward) to the image's frame."""


def read_projections(path: Path) -> dict[str, Float[np.ndarray, "3 3"]]:
    """``M_cam_from_uv`` of every scene in ``metadata_camera_parameters.csv``. Raises ValueError."""
    names = [f"M_cam_from_uv_{row}{column}" for row in range(3) for column in range(3)]
    with path.open(newline="", encoding="utf-8") as file:
        table = csv.DictReader(file)
        missing = {"scene_name", *names} - set(table.fieldnames or ())
        if missing:
            raise ValueError(f"{path}: lacks the columns {', '.join(sorted(missing))}; {_AGAIN}")
        matrices = {}
        for line in table:
            try:
                matrix = np.array([float(line[name]) for name in names]).reshape(3, 3)
            except (TypeError, ValueError):
                matrix = np.zeros((3, 3))
            if not np.isfinite(matrix).all() or abs(np.linalg.det(matrix)) < 1e-9:
                raise ValueError(f"{path}: M_cam_from_uv of {line['scene_name']} can't be inverted; {_AGAIN}")
            matrices[line["scene_name"]] = matrix
    return matrices


def scene_projection(cam_from_uv: Float[np.ndarray, "3 3"] | None, width_px: int, height_px: int) -> SceneProjection:
    """The projection of a scene for images of a size; None means the published camera.

    ``cam_from_uv`` maps (u, v, 1), u right and v up from -1 to 1 across the image, to directions in Hypersim's camera
    (y up, z backward), at any scale. It is split into a rotation and an upper triangle, the inverse intrinsics.
    """
    if cam_from_uv is None:
        camera = published_camera(width_px, height_px)
        inverse = np.linalg.inv([[camera.fx_px, 0, camera.cx_px], [0, camera.fy_px, camera.cy_px], [0, 0, 1]])
        return SceneProjection(camera, _rays(inverse, width_px, height_px), np.eye(3))
    uv_from_pixel = np.array([[2 / width_px, 0, -1], [0, -2 / height_px, 1], [0, 0, 1]])
    scene_from_pixel = _GL @ cam_from_uv @ uv_from_pixel
    scene_from_pixel = scene_from_pixel * np.sign(np.linalg.det(scene_from_pixel))
    rotation, triangle = np.linalg.qr(scene_from_pixel)
    sign = np.sign(np.diag(triangle))
    rotation, triangle = rotation * sign, triangle * sign[:, None]
    inverse = triangle / triangle[2, 2]
    intrinsics = np.linalg.inv(inverse)
    # x = fx X + skew Y + cx at z = 1; with Y of the middle row, the middle row is exact
    skew = intrinsics[0, 1] * (height_px / 2 - intrinsics[1, 2]) / intrinsics[1, 1]
    camera = Camera(
        float(intrinsics[0, 0]),
        float(intrinsics[1, 1]),
        float(intrinsics[0, 2]) + float(skew),
        float(intrinsics[1, 2]),
        width_px,
        height_px,
    )
    return SceneProjection(camera, _rays(inverse, width_px, height_px), rotation.T)


def _rays(ray_from_pixel: np.ndarray, width_px: int, height_px: int) -> Float[np.ndarray, "h w 3"]:
    x, y = np.meshgrid(np.arange(width_px) + 0.5, np.arange(height_px) + 0.5)
    return np.stack((x, y, np.ones_like(x)), -1) @ ray_from_pixel.T


def tone_mapped(radiance: Float[np.ndarray, "h w 3"], entity: Int[np.ndarray, "h w"]) -> UInt8[np.ndarray, "h w 3"]:
    """Counts for display: the 90 % quantile of brightness over real geometry becomes 0.8, then gamma 1 / 2.2.

    Truncated to whole counts, as published. NaN becomes black; a frame whose quantile is below 1e-4 is all black.
    """
    linear = np.nan_to_num(radiance.astype(np.float64), nan=0.0, posinf=1e30, neginf=0.0)
    brightness = linear[(entity != _BACKGROUND) & np.isfinite(radiance).all(-1)] @ _BRIGHTNESS
    scale = 1.0
    if brightness.size:
        bright = np.percentile(brightness, _BRIGHT_SHARE)
        scale = 0.0 if bright < _DARK else _BRIGHT_VALUE ** (1 / _DISPLAY_GAMMA) / bright
    display = np.clip(np.maximum(linear, 0) * scale, 0, 1) ** _DISPLAY_GAMMA
    return (display * 255).astype(np.uint8)


def image_normals(normals: Float[np.ndarray, "h w 3"], projection: SceneProjection) -> Float[np.ndarray, "h w 3"]:
    """Hypersim's camera-space normals as ours: unit, x right, y up, z towards the viewer, in the image's frame.

    Artists left some normals pointing away from the camera, some of other lengths and some zero: the first are
    turned round, the second normalised, the third stay 0, as does NaN.
    """
    ours = np.nan_to_num(normals.astype(np.float64), posinf=0, neginf=0) @ (_GL @ projection.image_from_scene @ _GL).T
    length = np.linalg.norm(ours, axis=-1, keepdims=True)
    ours = np.where(length > 1e-3, ours / np.maximum(length, 1e-3), 0)
    rays = projection.rays @ _GL
    away = (ours * rays).sum(-1) / np.linalg.norm(rays, axis=-1) > _AWAY
    return np.where(away[..., None], -ours, ours)


@dataclass(frozen=True)
class RawFrame:
    """Where the files of a frame lie: below ``RAW/SCENE/images``."""

    raw: Path
    scene: str
    camera_name: str
    frame: int

    @property
    def colour(self) -> Path:
        """Radiance, RGB."""
        return self._images / f"scene_{self.camera_name}_final_hdf5" / f"frame.{self.frame:04d}.color.hdf5"

    def geometry(self, kind: str) -> Path:
        """``depth_meters`` (which holds distances), ``render_entity_id``, ``normal_cam``."""
        return self._images / f"scene_{self.camera_name}_geometry_hdf5" / f"frame.{self.frame:04d}.{kind}.hdf5"

    @property
    def _images(self) -> Path:
        return self.raw / self.scene / "images"


def read_raw_frame(
    frame: RawFrame, cam_from_uv: Float[np.ndarray, "3 3"] | None, *, max_depth_m: float | None
) -> Sample:
    """Decode a raw frame. Depth is invalid where there is no geometry, at NaN, and beyond ``max_depth_m``.

    Normals are None where the frame has none. ValueError names the file that is missing, damaged or of another size.
    """
    radiance = _read_hdf5(frame.colour, "f", 3)
    height, width = radiance.shape[:2]
    path = frame.geometry("depth_meters")
    distance_m = _read_hdf5(path, "f", 2)
    _check_size(path, distance_m, radiance)
    path = frame.geometry("render_entity_id")
    entity = _read_hdf5(path, "iuf", 2)
    _check_size(path, entity, radiance)
    projection = scene_projection(cam_from_uv, width, height)
    depth_m = distance_m / np.linalg.norm(projection.rays, axis=-1)
    valid: Bool[np.ndarray, "h w"] = (entity != _BACKGROUND) & np.isfinite(depth_m) & (depth_m > 0)
    if max_depth_m is not None:
        valid &= depth_m <= max_depth_m
    normals = None
    path = frame.geometry("normal_cam")
    if path.is_file():
        vectors = _read_hdf5(path, "f", 3)
        _check_size(path, vectors, radiance)
        normals = torch.from_numpy(image_normals(vectors, projection)).permute(2, 0, 1).float().contiguous()
    counts = tone_mapped(radiance, entity.astype(np.int64))
    return Sample(
        torch.from_numpy(counts).permute(2, 0, 1).float() / 255,
        torch.from_numpy(np.where(valid, depth_m, 0)).float()[None],
        torch.from_numpy(valid)[None],
        frame.scene,
        projection.camera,
        normals,
    )


def _read_hdf5(path: Path, kinds: str, axes: int) -> np.ndarray:
    """The array "dataset" of a file: of (h, w) or (h, w, 3), floats as float64."""
    try:
        import h5py
    except ImportError:
        raise ValueError('reading Hypersim\'s raw files needs h5py: pip install "latentdepth[data]"') from None
    if not path.is_file():
        raise ValueError(f"{path}: there is no such file; {_AGAIN}")
    try:
        with h5py.File(path, "r") as file:
            node = file.get("dataset")
            array = np.asarray(node[()]) if isinstance(node, h5py.Dataset) else None
    except (OSError, RuntimeError) as error:  # h5py says one or the other, by where the file is cut
        raise ValueError(f"{path}: truncated or damaged HDF5 ({error}); {_AGAIN}") from error
    if array is None:
        raise ValueError(f'{path}: holds no array "dataset"; {_AGAIN}')
    if array.dtype.kind not in kinds or array.ndim != axes or 0 in array.shape or (axes == 3 and array.shape[-1] != 3):
        raise ValueError(f"{path}: shape {array.shape} of {array.dtype} is none of this kind of file; {_AGAIN}")
    return array.astype(np.float64) if kinds == "f" else array


def _check_size(path: Path, array: np.ndarray, radiance: np.ndarray) -> None:
    if array.shape[:2] != radiance.shape[:2]:
        raise ValueError(
            f"{path}: {array.shape[1]} x {array.shape[0]} pixels, but the frame's colours have "
            f"{radiance.shape[1]} x {radiance.shape[0]}; {_AGAIN}"
        )
