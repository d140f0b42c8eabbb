"""A scene as Mitsuba's objects: shapes, surfaces, lamps, sky. Knows no cameras.

Every scene has the same number and kinds of objects, empty ones included, and all that differs lies in arrays. So the
compiled variant compiles once for all scenes, instead of seven seconds for each.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from jaxtyping import Float, UInt8, UInt32

from latentdepth.synth.scene import Material, Mesh, Scene, Sky
from latentdepth.synth.shading import Batch, is_mirror, is_solid, light_groups, merged, textures_of
from latentdepth.synth.srgb import decoded

_LIGHT_GROUPS = 10
_SKY_SIZE = (256, 512)  # a picture of another size would mean another program
_NOWHERE = Mesh(
    np.array([[0.0, 0, -1e4], [1e-3, 0, -1e4], [0, 1e-3, -1e4]]),
    np.array([[0, 1, 2]]),
    Material((0.0, 0.0, 0.0)),
)


def objects(mi: Any, scene: Scene) -> dict[str, Any]:
    """What ``mi.load_dict`` takes for a scene, but for its type. ``mi`` is Mitsuba with a variant set."""
    compiled = not mi.variant().startswith("scalar")
    parts = _compiled_solids(mi, scene.meshes) if compiled else _interpreted_solids(mi, scene.meshes)
    tint = {"type": "mesh_attribute", "name": "face_colour"}
    mirror = {"type": "twosided", "nested": {"type": "conductor", "material": "none", "specular_reflectance": tint}}
    glass = {"type": "thindielectric", "specular_transmittance": tint}
    panes = {"mirrors": (mirror, [m for m in scene.meshes if is_mirror(m)])}
    panes["glass"] = (glass, [m for m in scene.meshes if m.material.look == "glass"])
    for name, (surface, meshes) in panes.items():
        flat, smooth = _by_shading(meshes)
        parts[f"{name}-flat"] = _shape(mi, merged(_untextured(flat), ()), surface)
        parts[f"{name}-smooth"] = _shape(mi, merged(_untextured(smooth), (), smooth=True), surface)
    lamps = [merged(_untextured(group), ()) for group in light_groups(scene.meshes, _LIGHT_GROUPS)]
    powers = [_power(lamp) for lamp in lamps]
    for k, (lamp, power) in enumerate(zip(lamps, powers, strict=True)):
        # half of the picks go to the lamps by their power, with something for the weak ones; the rest to sky and sun
        weight = 0.1 + 0.9 * power / max(sum(powers), 1e-12) if power > 0 else 0.0
        # one radiance for all: Mitsuba can't aim at a lamp whose radiance differs between its triangles
        glow = {"type": "area", "radiance": {"type": "rgb", "value": _radiance(lamp)}, "sampling_weight": weight}
        dark = {"type": "diffuse", "reflectance": {"type": "rgb", "value": 0.0}}
        parts[f"lamp{k}"] = _shape(mi, lamp, dark, glow=glow)
    return {**parts, **_sky(mi, scene.sky)}


def _untextured(meshes: Sequence[Mesh]) -> list[Mesh]:
    """Panes and lamps, whose textures play no part; something that nobody sees where there is none."""
    plain = [Mesh(m.vertices, m.faces, _plain(m.material), None, m.smooth) for m in meshes if len(m.faces)]
    return plain or [_NOWHERE]


def _plain(material: Material) -> Material:
    return Material(material.colour, None, material.roughness, material.metallic, material.look, material.emission)


def _by_shading(meshes: Sequence[Mesh]) -> tuple[list[Mesh], list[Mesh]]:
    """Flat ones and smooth ones."""
    return [m for m in meshes if not m.smooth], [m for m in meshes if m.smooth]


def _areas(lamp: Batch) -> Float[np.ndarray, " f"]:
    corners = lamp.vertices[lamp.faces].astype(np.float64)
    return np.linalg.norm(np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]), axis=1) / 2


def _radiance(lamp: Batch) -> list[float]:
    """Mean over the area."""
    areas = _areas(lamp)
    return [float(x) for x in areas @ lamp.colour / max(float(areas.sum()), 1e-30)]


def _power(lamp: Batch) -> float:
    return float(_areas(lamp).sum() * np.mean(_radiance(lamp)))


def _compiled_solids(mi: Any, meshes: Sequence[Mesh]) -> dict[str, Any]:
    """Everything solid as two shapes with one surface, whose pictures lie one after the other in one array."""
    solid = [mesh for mesh in meshes if is_solid(mesh)]
    textures = textures_of(solid)
    surface = mi.load_dict(_principled(tiles(mi, textures)))
    shapes = {}
    for name, part in zip(("flat", "smooth"), _by_shading(solid), strict=True):
        shapes[f"solid-{name}"] = _shape(mi, merged(part or [_NOWHERE], textures, smooth=name == "smooth"), surface)
    return shapes


def _interpreted_solids(mi: Any, meshes: Sequence[Mesh]) -> dict[str, Any]:
    """A shape for each texture, because there a texture made in Python would be called for every single ray."""
    groups: dict[int, list[Mesh]] = {}
    for mesh in meshes:
        if is_solid(mesh):
            groups.setdefault(id(mesh.material.texture), []).append(mesh)
    shapes = {}
    for number, group in enumerate(groups.values()):
        texture = group[0].material.texture
        colour: dict[str, Any] = {"type": "mesh_attribute", "name": "face_colour"}
        if texture is not None:
            # Mitsuba has the first row at v = 0
            picture = mi.Bitmap(np.ascontiguousarray(texture[::-1]), mi.Bitmap.PixelFormat.RGB)
            picture.set_srgb_gamma(True)
            colour = {"type": "bitmap", "bitmap": picture}
        surface = mi.load_dict(_principled(colour))
        for name, part in zip(("flat", "smooth"), _by_shading(group), strict=True):
            if part:
                batch = merged(part, textures_of(part), smooth=name == "smooth")
                shapes[f"solid{number}-{name}"] = _shape(mi, batch, surface)
    return shapes


def _principled(colour: Any) -> dict[str, Any]:
    finish = {name: {"type": "mesh_attribute", "name": f"face_{name}"} for name in ("roughness", "metallic")}
    return {"type": "twosided", "nested": {"type": "principled", "base_color": colour, **finish}}


def _shape(mi: Any, batch: Batch, surface: Any, *, glow: Any = None) -> Any:
    """One mesh with its surface and, for a lamp, its light."""
    properties = mi.Properties()
    properties["surface"] = mi.load_dict(surface) if isinstance(surface, dict) else surface
    if glow is not None:
        properties["glow"] = mi.load_dict(glow)
    smooth = batch.normals is not None
    vertices, faces = len(batch.vertices), len(batch.faces)
    shape = mi.Mesh("mesh", vertices, faces, has_vertex_normals=smooth, has_vertex_texcoords=True, props=properties)
    shape.add_attribute("face_colour", 3, np.ascontiguousarray(batch.colour.ravel()))
    shape.add_attribute("face_roughness", 1, batch.roughness)
    shape.add_attribute("face_metallic", 1, batch.metallic)
    shape.add_attribute("face_texture", 1, batch.texture.astype(np.float32))
    parameters = mi.traverse(shape)
    parameters["vertex_positions"] = batch.vertices.ravel()
    parameters["faces"] = batch.faces.ravel()
    parameters["vertex_texcoords"] = batch.uv.ravel()
    if batch.normals is not None:
        parameters["vertex_normals"] = batch.normals.ravel()
    parameters.update()
    return shape


def _sky(mi: Any, sky: Sky) -> dict[str, Any]:
    rows = (np.arange(_SKY_SIZE[0]) + 0.5) / _SKY_SIZE[0] * sky.picture.shape[0]
    columns = (np.arange(_SKY_SIZE[1]) + 0.5) / _SKY_SIZE[1] * sky.picture.shape[1]
    picture = np.asarray(sky.picture, np.float32)[rows.astype(int)][:, columns.astype(int)]
    # Mitsuba's map runs clockwise from its -z, ours counter-clockwise from east: mirrored here, then turned.
    # Its sampling can't do without any light at all.
    picture = np.ascontiguousarray(picture[:, ::-1]).clip(1e-6, None)
    turn = np.array([[0.0, 0, -1, 0], [-1, 0, 0, 0], [0, 1, 0, 0], [0, 0, 0, 1]])
    sunny = sky.sun_direction is not None and max(sky.sun_radiance) > 0
    towards = sky.sun_direction or (0.0, 0.0, 1.0)
    irradiance = [float(x) if sunny else 0.0 for x in sky.sun_radiance]
    bright = float(picture.max()) > 1e-4
    return {
        "sky": {
            "type": "envmap",
            "bitmap": mi.Bitmap(picture),
            "to_world": mi.ScalarTransform4f(turn.tolist()),
            "sampling_weight": 0.5 if bright else 0.01,
        },
        "sun": {
            "type": "directional",
            "direction": [-float(x) for x in towards],
            "irradiance": {"type": "rgb", "value": irradiance},
            "sampling_weight": 0.5 if sunny else 0.0,
        },
    }


def tiles(mi: Any, textures: Sequence[UInt8[np.ndarray, "_ _ 3"]]) -> Any:
    """One Mitsuba texture that looks up ``face_texture`` and, where that is -1, ``face_colour``."""
    made = mi.load_dict({"type": _tiles_plugin(mi)})
    packed = [packed_texels(texture) for texture in textures] or [np.zeros(1, np.uint32)]
    sizes = np.array([texture.shape[:2] for texture in textures] or [(1, 1)])
    made.texels = mi.UInt32(np.concatenate(packed))
    made.starts = mi.UInt32(np.cumsum([0, *(len(p) for p in packed[:-1])]).astype(np.uint32))
    made.heights, made.widths = (mi.UInt32(sizes[:, axis].astype(np.uint32)) for axis in (0, 1))
    return made


def packed_texels(texture: UInt8[np.ndarray, "h w 3"]) -> UInt32[np.ndarray, " p"]:
    """Square roots of linear red, green and blue in the low 24 bits of one number a pixel, row by row.

    The root is nearly as kind to dark colours as sRGB, and undone by one multiplication.
    """
    wide = (np.sqrt(decoded(np.arange(256) / 255)) * 255).round().astype(np.uint32)[texture]
    return (wide[..., 0] | wide[..., 1] << 8 | wide[..., 2] << 16).ravel()


def _tiles_plugin(mi: Any) -> str:
    """Registers the texture with the present variant, once, and returns its name."""
    import drjit as dr

    name = "latentdepth-tiles"
    if mi.variant() in _registered:
        return name

    class Tiles(mi.Texture):
        """Bilinear in linear light, repeating."""

        def __init__(self, properties: Any) -> None:
            super().__init__(properties)
            self.texels = self.starts = self.heights = self.widths = mi.UInt32(0)

        def eval(self, si: Any, active: Any = True) -> Any:
            plain = si.shape.eval_attribute_3("face_colour", si, active)
            number = si.shape.eval_attribute_1("face_texture", si, active)
            pictured = active & (number >= 0)
            number = mi.UInt32(dr.maximum(number, 0))
            start, height, width = (
                dr.gather(mi.UInt32, table, number, pictured) for table in (self.starts, self.heights, self.widths)
            )
            x = (si.uv.x - dr.floor(si.uv.x)) * mi.Float(width) + mi.Float(width) - 0.5
            y = (1 - (si.uv.y - dr.floor(si.uv.y))) * mi.Float(height) + mi.Float(height) - 0.5
            left, top = mi.UInt32(x), mi.UInt32(y)
            share_x, share_y = x - mi.Float(left), y - mi.Float(top)
            total = mi.Color3f(0)
            for step_y, weight_y in ((0, 1 - share_y), (1, share_y)):
                row = (top + step_y) % dr.maximum(height, 1)
                for step_x, weight_x in ((0, 1 - share_x), (1, share_x)):
                    column = (left + step_x) % dr.maximum(width, 1)
                    texel = dr.gather(mi.UInt32, self.texels, start + row * width + column, pictured)
                    rgb = mi.Color3f(*(mi.Float((texel >> shift) & 255) for shift in (0, 8, 16)))
                    total += rgb * rgb * (weight_x * weight_y / 255**2)
            return dr.select(pictured, total, mi.Color3f(plain))

        def eval_3(self, si: Any, active: Any = True) -> Any:
            return self.eval(si, active)

        def eval_1(self, si: Any, active: Any = True) -> Any:
            return mi.luminance(self.eval(si, active))

        def mean(self) -> Any:
            return mi.Float(0.5)

        def is_spatially_varying(self) -> bool:
            return True

        def to_string(self) -> str:
            return "Tiles[]"

    mi.register_texture(name, Tiles)
    _registered.add(mi.variant())
    return name


_registered: set[str] = set()  # Mitsuba's own registry can't be asked
