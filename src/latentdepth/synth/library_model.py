"""One 3-D model out of a zip archive, in true size and standing the way our own pieces stand. Knows no catalogue.

OBJ has y up and, by Sweet Home 3D's convention, the front towards +z; here z is up and the front looks to -y. What a
model lacks or exaggerates is decided here: glass, cut-out pictures, hidden parts, the sizes of pictures.
"""

from __future__ import annotations

import io
import posixpath
import re
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from jaxtyping import Bool, Float, Int, UInt8
from PIL import Image
from trimesh.exchange.obj import load_obj

from latentdepth.synth.cast import RayScene
from latentdepth.synth.colours import linear
from latentdepth.synth.pieces import Top
from latentdepth.synth.scene import Material, Mesh, Scene, Sky
from latentdepth.synth.shapes import Parts, bounds, moved

MOST_FACES = 60_000
MOST_BYTES = 64 << 20
_PICTURE_PX = 512
_MOST_PIXELS = 64_000_000
_GLASS_BELOW, _HIDDEN_BELOW = 0.6, 0.05  # opacity
_CELLS = 12  # along each side of the grid on which a top is looked for


class _Members(Mapping[str, bytes]):
    """The files beside a model by name, from memory: nothing outside the archive, nothing oversized."""

    def __init__(self, archive: zipfile.ZipFile, folder: str) -> None:
        self._archive, self._folder = archive, folder

    def __getitem__(self, name: str) -> bytes:
        return read_member(self._archive, posixpath.join(self._folder, name.strip().replace("\\", "/")))

    def __iter__(self) -> Iterator[str]:
        return iter(self._archive.namelist())

    def __len__(self) -> int:
        return len(self._archive.namelist())


def read_member(archive: zipfile.ZipFile, name: str) -> bytes:
    """A member's bytes. KeyError where there is none of that name, ValueError where it is over 64 MB."""
    info = archive.getinfo(posixpath.normpath(name).lstrip("/"))
    if info.file_size > MOST_BYTES:
        raise ValueError(f"{name} takes {info.file_size >> 20} MB; allowed are {MOST_BYTES >> 20}")
    return archive.read(info)


def read_model(
    archive: zipfile.ZipFile,
    name: str,
    *,
    size_m: tuple[float, float, float],
    turn: Sequence[float],
) -> Parts:
    """The OBJ file ``name`` as meshes within a box of width, depth and height ``size_m`` that stands on the origin.

    ``turn``: rows of the 3x3 matrix that turns the model upright, in its own axes. Raises ValueError for what can't be
    shown (no or too many faces, no extent, vertices that aren't finite, pictures with holes), KeyError, OSError,
    zipfile.BadZipFile and whatever else the readers of OBJ and pictures raise.
    """
    text = read_member(archive, name)
    # polygons become several triangles each, so this only spares the reading of what is far too much
    if len(re.findall(rb"^f\s", text, re.MULTILINE)) > MOST_FACES:
        raise ValueError(f"{name} has more than {MOST_FACES} faces")
    loaded = load_obj(io.BytesIO(text), resolver=_Members(archive, posixpath.dirname(name)))
    geometry: Mapping[str, Mapping[str, Any]] = loaded.get("geometry", {})
    to_ours = np.array([[1.0, 0, 0], [0, 0, -1], [0, 1, 0]]) @ np.asarray(turn, float).reshape(3, 3)
    parts = [mesh for raw in geometry.values() if (mesh := _mesh(raw, to_ours)) is not None]
    faces = sum(len(part.faces) for part in parts)
    if not 0 < faces <= MOST_FACES:
        raise ValueError(f"{name} has {faces} triangles that can be shown; allowed are 1 to {MOST_FACES}")
    return _fitted(parts, size_m)


def _mesh(raw: Mapping[str, Any], to_ours: Float[np.ndarray, "3 3"]) -> Mesh | None:
    """A mesh in our axes, or None for a part that isn't meant to be seen."""
    vertices = np.asarray(raw["vertices"], float)[:, :3] @ to_ours.T
    polygons = np.asarray(raw["faces"], np.int64)
    if not np.isfinite(vertices).all():
        raise ValueError("a vertex is not finite")
    if polygons.size and not (polygons.min() >= 0 and polygons.max() < len(vertices)):
        raise ValueError("a face names a vertex that is not there")
    faces = np.concatenate([polygons[:, [0, k, k + 1]] for k in range(1, polygons.shape[1] - 1)])
    visual = raw.get("visual")
    uv = None if visual is None or visual.uv is None else np.asarray(visual.uv, float)[:, :2]
    if uv is not None and (len(uv) != len(vertices) or not np.isfinite(uv).all()):
        uv = None
    material, picture = _plain(getattr(visual, "material", None))
    if material is None:
        return None
    if picture is not None:
        clear = picture[..., 3] < 128
        if uv is not None and clear.any():
            faces = _unholed(faces, uv, clear)
        if clear.any() and not clear.all():
            picture[clear, :3] = picture[~clear, :3].mean(0)  # else a rim of it shows around what is opaque
        texture = np.ascontiguousarray(picture[..., :3])
        colour = linear(texture.reshape(-1, 3).mean(0) / 255)
        material = replace(material, colour=colour, texture=None if uv is None else texture)
    if not len(faces):
        return None
    # the reader parts vertices whose normals differ, so hard edges stay hard
    return Mesh(vertices, faces, material, None if material.texture is None else uv, "vertex_normals" in raw)


def _plain(given: Any) -> tuple[Material | None, UInt8[np.ndarray, "h w 4"] | None]:
    """Colour, shine or glass, and the picture if there is one; no material where nothing is to be seen."""
    if given is None:
        return Material(), None
    more = {str(key).lower(): value for key, value in given.kwargs.items()}
    opacity = float(more["d"][-1]) if "d" in more else 1 - float(more["tr"][-1]) if "tr" in more else 1.0
    if opacity < _HIDDEN_BELOW:
        return None, None
    srgb = np.asarray(more.get("kd", (0.5, 0.5, 0.5)), float)
    if opacity < _GLASS_BELOW:
        # the clearer, the less it tints what is behind it
        return Material(linear(1 - (1 - srgb) * opacity), look="glass", roughness=0.05), None
    roughness = float(np.clip(0.75 - 0.5 * np.mean(more.get("ks", 0.0)), 0.2, 0.75))
    return Material(linear(srgb), roughness=roughness), None if given.image is None else _picture(given.image)


def _picture(image: Image.Image) -> UInt8[np.ndarray, "h w 4"]:
    """sRGB and opacity, at most 512 pixels a side. ValueError for one that is huge."""
    if image.width * image.height > _MOST_PIXELS:
        raise ValueError(f"a picture has {image.width} x {image.height} pixels")
    if image.mode in ("RGB", "L"):
        image.draft("RGB", (_PICTURE_PX, _PICTURE_PX))
    rgba = image.convert("RGBA")
    rgba.thumbnail((_PICTURE_PX, _PICTURE_PX))
    return np.array(rgba)


def _unholed(
    faces: Int[np.ndarray, "f 3"], uv: Float[np.ndarray, "v 2"], clear: Bool[np.ndarray, "h w"]
) -> Int[np.ndarray, "k 3"]:
    """The faces that show more picture than hole. ValueError where the holes in those would still strike the eye.

    Surfaces here have no holes: a leaf cut out of a card would be shown as the card.
    """
    spots = np.array([(1 + i, 1 + j, 6 - i - j) for i in range(6) for j in range(6 - i)], float)
    at = np.einsum("sc,fcu->fsu", spots / spots.sum(1, keepdims=True), uv[faces]) % 1
    row = ((1 - at[..., 1]) * clear.shape[0]).astype(int) % clear.shape[0]
    column = (at[..., 0] * clear.shape[1]).astype(int) % clear.shape[1]
    share = clear[row, column].mean(1)
    kept = share < 0.5
    if kept.any() and share[kept].mean() > 0.2:
        raise ValueError("a picture has holes, which would be shown filled")
    return faces[kept]


def _fitted(parts: Parts, size_m: tuple[float, float, float]) -> Parts:
    """Stretched to the size and moved to stand on the origin; an axis without extent stays as it is."""
    low, high = bounds(parts)
    extent = high - low
    if not extent.max() > 0:
        raise ValueError("it has no extent")
    scale = np.where(extent > 1e-9 * extent.max(), np.asarray(size_m) / np.maximum(extent, 1e-30), 1.0)
    at = -scale * np.array([(low[0] + high[0]) / 2, (low[1] + high[1]) / 2, low[2]])
    return [moved(part, (float(at[0]), float(at[1]), float(at[2])), turn=np.diag(scale)) for part in parts]


def free_top(parts: Parts, level_m: float) -> Top | None:
    """The largest rectangle on which something can stand at ``level_m``, open to above; None where there is none.

    Sweet Home 3D states the height alone. Rays from above find where a surface of that height is met first.
    """
    low, high = bounds(parts)
    steps = [np.linspace(a, b, 2 * _CELLS + 1)[1::2] for a, b in zip(low[:2], high[:2], strict=True)]
    x, y = np.meshgrid(*steps, indexing="ij")
    above = np.stack((x, y, np.full_like(x, high[2] + 1)), -1).reshape(-1, 3)
    rays = RayScene(Scene("room", parts, Sky(np.zeros((1, 2, 3)))))
    hits = rays.hit(above, np.broadcast_to([0.0, 0.0, -1.0], above.shape))
    met = (np.abs(high[2] + 1 - hits.distance - level_m) < 0.015) & (hits.normal[:, 2] > 0.95)
    # sums over all rectangles from the corner: one is full where its sum is its area
    total = np.pad(met.reshape(_CELLS, _CELLS).cumsum(0).cumsum(1), ((1, 0), (1, 0)))
    best, best_cells = None, 0
    for i, k in np.argwhere(np.triu(np.ones((_CELLS, _CELLS), bool))):
        columns = total[k + 1] - total[i]
        for j, m in np.argwhere(np.triu(np.ones((_CELLS, _CELLS), bool))):
            cells = (k + 1 - i) * (m + 1 - j)
            if cells > best_cells and columns[m + 1] - columns[j] == cells:
                best, best_cells = (i, k, j, m), cells
    if best is None:
        return None
    i, k, j, m = best
    # between the rays at its rim, which lie half a cell inside
    x_m, y_m = (float(steps[0][i]), float(steps[0][k])), (float(steps[1][j]), float(steps[1][m]))
    if min(x_m[1] - x_m[0], y_m[1] - y_m[0]) < 0.1:
        return None
    return Top(x_m, y_m, level_m + 0.004)
