"""One small writer per file format: arrays in, one file out. Knows nothing of folders, names or overwriting.

Conventions: EXR carries planar depth in channel Z; PLY keeps OpenCV axes (x right, y down, z forward); GLB turns them
to glTF's (x right, y up, z backward).
"""

from __future__ import annotations

import io
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import OpenEXR
import tifffile
import torch
import trimesh
import trimesh.exchange.gltf
import trimesh.exchange.ply
import trimesh.visual
from jaxtyping import Float
from PIL import Image, PngImagePlugin
from torch import Tensor
from torch.nn import functional as F

from latentdepth.core.colours import near_to_far, normals_colours, preview, spectral, uncertainty_colours
from latentdepth.core.geometry import grid_mesh, unproject
from latentdepth.core.relief import DEFAULT_FOV_DEG, DEFAULT_RELIEF, relief_depth
from latentdepth.core.types import Camera, Invariance, Prediction, Quantity

_STRIP = 256  # rows that are drawn at once: those of a large photo would not fit into memory together
_MESH_SIDE = 640  # a relief of more vertices only makes viewers slow
_OCCLUSION_RATIO = 1.08  # neighbours whose depths differ by more are two surfaces, not one steep one


@dataclass(frozen=True)
class Picture:
    """What a writer may use: one prediction (n = 1), the photo it is of, and choices of the caller."""

    prediction: Prediction
    photo: Float[Tensor, "1 3 h w"] | None
    near_far: tuple[float, float] | None
    """None unless the caller chose; metric predictions don't need it."""

    @property
    def array(self) -> np.ndarray:
        """(h, w) or (h, w, 3), float32."""
        value = self.prediction.value[0].detach().cpu().float().numpy()
        return np.ascontiguousarray(value[0] if value.shape[0] == 1 else value.transpose(1, 2, 0))

    @property
    def camera(self) -> Camera:
        """The photo's camera at the prediction's size, or the assumed one."""
        h, w = self.prediction.value.shape[-2:]
        known = self.prediction.camera
        return known.resized(w, h) if known else Camera.from_fov(DEFAULT_FOV_DEG, w, h)


def png_range(picture: Picture) -> tuple[float, float]:
    """Values that counts 0 and 65535 of the 16-bit PNG stand for."""
    if picture.prediction.kind.quantity is Quantity.NORMALS:
        return -1.0, 1.0
    if picture.prediction.kind.invariance is not Invariance.METRIC:
        return 0.0, 1.0
    finite = picture.array[np.isfinite(picture.array)]
    if finite.size == 0:
        raise ValueError("the prediction has no finite value; there is nothing to write")
    return float(finite.min()), float(max(finite.max(), finite.min() + 1e-6))


def _bytes(colours: Float[Tensor, "1 c h w"]) -> np.ndarray:
    return (colours[0].clamp(0, 1) * 255).round().byte().permute(1, 2, 0).cpu().numpy()


def write_preview(picture: Picture, path: Path) -> None:
    """8-bit colours for eyes; near is red."""
    value, kind = picture.prediction.value, picture.prediction.kind
    plain = kind.quantity is Quantity.NORMALS
    placed, draw = (value, normals_colours) if plain else (near_to_far(value, kind), spectral)
    counts = np.empty((*value.shape[-2:], 3), np.uint8)
    for top in range(0, len(counts), _STRIP):
        counts[top : top + _STRIP] = _bytes(draw(placed[..., top : top + _STRIP, :]))
    Image.fromarray(counts).save(path)


def write_png16(picture: Picture, path: Path) -> None:
    """16-bit PNG, rounded; text chunks say what 0 and 65535 stand for. Normals become 8-bit RGB."""
    kind = picture.prediction.kind
    low, high = png_range(picture)
    text = PngImagePlugin.PngInfo()
    for key, value in (("kind", str(kind)), ("low", repr(low)), ("high", repr(high)), ("unit", kind.unit)):
        text.add_text(f"latentdepth:{key}", value)
    array = picture.array
    top_count, dtype = (255, np.uint8) if array.ndim == 3 else (65535, np.uint16)
    counts = np.empty(array.shape, dtype)
    for top in range(0, len(array), _STRIP):
        strip = (array[top : top + _STRIP].astype(np.float64) - low) / (high - low)
        counts[top : top + _STRIP] = np.round(np.nan_to_num(strip, posinf=1.0).clip(0, 1) * top_count)
    Image.fromarray(counts).save(path, pnginfo=text)


def write_exr(picture: Picture, path: Path) -> None:
    """32-bit EXR: channel Z (depth, disparity) or X, Y, Z (normals)."""
    array = picture.array.astype(np.float32)
    names = ("X", "Y", "Z") if array.ndim == 3 else ("Z",)
    planes = np.moveaxis(array, -1, 0) if array.ndim == 3 else array[None]
    header = {
        "compression": OpenEXR.ZIP_COMPRESSION,
        "type": OpenEXR.scanlineimage,
        "comments": f"latentdepth: {picture.prediction.kind}, unit {picture.prediction.kind.unit}",
    }
    channels = {name: np.ascontiguousarray(plane) for name, plane in zip(names, planes, strict=True)}
    OpenEXR.File(header, channels).write(str(path))


def write_tiff(picture: Picture, path: Path) -> None:
    """32-bit float TIFF, zlib-compressed."""
    colour = "rgb" if picture.array.ndim == 3 else "minisblack"
    tifffile.imwrite(
        path, picture.array, photometric=colour, compression="zlib", description=str(picture.prediction.kind)
    )


def _npy(array: np.ndarray) -> bytes:
    """In memory first: NumPy's own writing to a file drops the reason when the disk is full."""
    buffer = io.BytesIO()
    np.save(buffer, array)
    return buffer.getvalue()


def write_npy(picture: Picture, path: Path) -> None:
    """float32 array."""
    path.write_bytes(_npy(picture.array))


def write_npz(picture: Picture, path: Path) -> None:
    """Value, uncertainty and camera in one compressed archive."""
    camera = picture.camera
    arrays: dict[str, np.ndarray] = {
        "value": picture.array,
        "kind": np.array(str(picture.prediction.kind)),
        "intrinsics": np.array([[camera.fx_px, 0, camera.cx_px], [0, camera.fy_px, camera.cy_px], [0, 0, 1]]),
    }
    if picture.prediction.uncertainty is not None:
        arrays["uncertainty"] = picture.prediction.uncertainty[0, 0].cpu().numpy()
    with path.open("wb") as file:
        np.savez_compressed(file, allow_pickle=False, **arrays)


def write_controlnet(picture: Picture, path: Path) -> None:
    """8-bit grey, near white, by inverse depth as MiDaS maps are; depth of unknown shift is inverted over a relief."""
    kind = picture.prediction.kind
    if kind.quantity is Quantity.DISPARITY:
        disparity = picture.prediction.value
    else:
        disparity = 1 / relief_depth(picture.prediction, picture.near_far or DEFAULT_RELIEF).clamp(min=1e-6)
    low, high = (float(pick(disparity[disparity.isfinite()])) for pick in (torch.min, torch.max))
    scaled = torch.nan_to_num((disparity - low) / max(high - low, 1e-12))
    Image.fromarray(_bytes(scaled.expand(-1, 3, -1, -1))).save(path)


def _photo(picture: Picture, size: tuple[int, int]) -> Float[Tensor, "1 3 h w"]:
    colours = picture.photo
    if colours is None:
        colours = preview(picture.prediction.value, picture.prediction.kind)
    return F.interpolate(colours.float(), size, mode="bilinear", antialias=True).clamp(0, 1)


def write_ply(picture: Picture, path: Path) -> None:
    """Coloured points, OpenCV axes, float32."""
    depth = relief_depth(picture.prediction, picture.near_far)
    points = unproject(depth, picture.camera)[0].flatten(1).T.cpu().numpy()
    colours = _bytes(_photo(picture, (depth.shape[-2], depth.shape[-1]))).reshape(-1, 3)
    finite = np.isfinite(points).all(1)
    cloud = trimesh.PointCloud(points[finite].astype(np.float32), colors=colours[finite])
    path.write_bytes(trimesh.exchange.ply.export_ply(cloud))


def write_glb(picture: Picture, path: Path) -> None:
    """Relief mesh with the photo as its texture; torn at occlusion edges; glTF axes."""
    depth = relief_depth(picture.prediction, picture.near_far)
    h, w = depth.shape[-2:]
    texture = _photo(picture, (h, w))
    shrink = max(1, math.ceil(max(h, w) / _MESH_SIDE))
    if shrink > 1:
        depth = F.interpolate(depth, (max(2, h // shrink), max(2, w // shrink)), mode="nearest-exact")
    if min(depth.shape[-2:]) < 2:
        raise ValueError(f"a mesh needs at least 2 x 2 pixels; the prediction has {w} x {h}")
    mesh = grid_mesh(depth, picture.camera.resized(depth.shape[-1], depth.shape[-2]), edge_ratio=_OCCLUSION_RATIO)
    vertices = mesh.vertices.cpu().numpy() * np.array([1, -1, -1])
    uv = mesh.uv.cpu().numpy() * np.array([1, -1]) + np.array([0, 1])  # trimesh counts v from the bottom
    material = trimesh.visual.material.PBRMaterial(
        baseColorTexture=Image.fromarray(_bytes(texture)), metallicFactor=0.0, roughnessFactor=1.0, doubleSided=True
    )
    solid = trimesh.Trimesh(
        vertices,
        mesh.faces.cpu().numpy(),
        visual=trimesh.visual.TextureVisuals(uv=uv, material=material),
        process=False,
    )
    solid.metadata["scale"] = scale_note(picture)
    path.write_bytes(trimesh.exchange.gltf.export_glb(trimesh.Scene(solid)))


def scale_note(picture: Picture) -> str:
    """What one unit of a mesh or point cloud is."""
    if picture.prediction.kind.invariance is Invariance.METRIC:
        return "metres"
    return f"arbitrary: near and far were set to {picture.near_far}"


def write_uncertainty_preview(picture: Picture, path: Path) -> None:
    """Black is certain; the 95th percentile is brightest."""
    assert picture.prediction.uncertainty is not None
    Image.fromarray(_bytes(uncertainty_colours(picture.prediction.uncertainty))).save(path)


def write_uncertainty(picture: Picture, path: Path) -> None:
    """float32 array (h, w)."""
    assert picture.prediction.uncertainty is not None
    path.write_bytes(_npy(picture.prediction.uncertainty[0, 0].cpu().numpy()))


@dataclass(frozen=True)
class Format:
    """How a format is named on disk, what it is, and who writes it."""

    suffix: str
    help: str
    write: Callable[[Picture, Path], None]
    geometry: bool = False
    """Needs distances, so not for normals, and a near and far for relative values."""


FORMATS: Mapping[str, Format] = {
    "preview": Format(".png", "colour picture to look at, near is red", write_preview),
    "png16": Format("16.png", "16-bit PNG, range in its text chunks", write_png16),
    "exr": Format(".exr", "32-bit OpenEXR, channel Z (Blender, Nuke)", write_exr),
    "tiff": Format(".tiff", "32-bit float TIFF", write_tiff),
    "npy": Format(".npy", "float32 NumPy array", write_npy),
    "npz": Format(".npz", "NumPy archive: value, uncertainty, intrinsics", write_npz),
    "controlnet": Format("_controlnet.png", "8-bit inverse depth, near white", write_controlnet),
    "ply": Format(".ply", "coloured point cloud, OpenCV axes", write_ply, geometry=True),
    "glb": Format(".glb", "relief mesh with the photo as texture, glTF axes", write_glb, geometry=True),
}
