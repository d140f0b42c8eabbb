"""Photographs of a scene as linear radiance, path traced by Mitsuba 3. Depth is none of its business: see labels.

Mitsuba's compiled variant needs LLVM 16 or newer as a shared library, which no wheel holds. LLVM 15 ends the whole
process with an error that Python can't catch, so the library is chosen here, before Mitsuba looks for one.
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal

import numpy as np
from jaxtyping import Float

from latentdepth.synth.scene import Scene, View
from latentdepth.synth.surfaces import objects

Variant = Literal["llvm_ad_rgb", "scalar_rgb"]
OLDEST_LLVM = 16
_LLVM_PLACES = (
    "/usr/lib/*-linux-gnu",
    "/usr/lib/llvm-*/lib",
    "/usr/lib64",
    "/usr/local/lib",
    "/opt/homebrew/opt/llvm*/lib",
    "/usr/local/opt/llvm*/lib",
)


@dataclass(frozen=True)
class Tracing:
    """How much work a photograph is."""

    samples: int = 4
    """Paths per pixel."""
    bounces: int = 6
    denoise: bool = True
    """Clean the photograph with Open Image Denoise."""
    threads: int | None = None
    """None takes every core; with one process per core it is 1."""


def llvm_version(library: Path) -> int | None:
    """Major version by the library's name (``libLLVM-19.so``, ``libLLVM.so.19.1``, ``llvm-19/lib/...``), or None."""
    for name in (str(library), str(library.resolve())):
        found = re.search(r"libLLVM(?:-|\.so\.)(\d+)|llvm(?:@|-)(\d+)", name)
        if found:
            return int(found[1] or found[2])
    return None


def find_llvm(places: Sequence[str] = _LLVM_PLACES, environment: Mapping[str, str] = os.environ) -> Path | None:
    """The newest usable LLVM, or what DRJIT_LIBLLVM_PATH names. ValueError where that is too old or not there."""
    named = environment.get("DRJIT_LIBLLVM_PATH")
    if named:
        if not Path(named).is_file():
            raise ValueError(f"DRJIT_LIBLLVM_PATH names {named}, which is not there; name a libLLVM or unset it")
        version = llvm_version(Path(named))
        if version is not None and version < OLDEST_LLVM:
            raise ValueError(
                f"DRJIT_LIBLLVM_PATH names LLVM {version}; {OLDEST_LLVM} or newer is needed, older ones end the process"
            )
        return Path(named)
    found = [
        (version, library)
        for place in places
        for folder in Path("/").glob(place.lstrip("/"))
        for library in (*folder.glob("libLLVM*.so*"), *folder.glob("libLLVM*.dylib"))
        if (version := llvm_version(library)) is not None and version >= OLDEST_LLVM and library.exists()
    ]
    return max(found)[1] if found else None


@lru_cache(maxsize=1)
def choose_variant() -> Variant:
    """Compiled where an LLVM is found, else interpreted, which is said once on standard error."""
    library = find_llvm()
    if library is None:
        print(
            f"no LLVM {OLDEST_LLVM} or newer is found, so rendering takes about three times as long; "
            "`apt-get install libllvm19` (or set DRJIT_LIBLLVM_PATH to a libLLVM) makes it fast",
            file=sys.stderr,
        )
        return "scalar_rgb"
    os.environ["DRJIT_LIBLLVM_PATH"] = str(library)
    return "llvm_ad_rgb"


def render(
    scene: Scene,
    views: Sequence[View],
    tracing: Tracing | None = None,
    *,
    seed: int = 0,
    variant: Variant | None = None,
) -> list[Float[np.ndarray, "h w 3"]]:
    """Linear RGB radiance of each view, float32, not negative. All views must be of one size and have square pixels.

    The views are traced together, side by side in one film, because preparing a scene costs as much as a view. The same
    seed gives the same picture on the same machine; other machines may differ in the last bits.
    """
    tracing = tracing or Tracing()
    sizes = {(v.camera.width_px, v.camera.height_px) for v in views}
    if len(sizes) != 1:
        raise ValueError(f"views of {len(sizes)} sizes were given; one render takes one or more views of one size")
    ((width, height),) = sizes
    variant = variant or choose_variant()
    mi = _engine(variant, tracing.threads)
    built = mi.load_dict({"type": "scene", **objects(mi, scene)})
    film = {"type": "hdrfilm", "pixel_format": "rgb", "component_format": "float32", "rfilter": {"type": "box"}}
    sensors = {f"view{k}": _sensor(mi, view, film) for k, view in enumerate(views)}
    stitched = {**film, "width": width * len(views), "height": height}
    sensor = mi.load_dict({"type": "batch", **sensors, "film": stitched}) if len(views) > 1 else None
    sensor = sensor or mi.load_dict(sensors["view0"])

    def traced(integrator: Mapping[str, Any]) -> list[np.ndarray]:
        layers = mi.render(built, sensor=sensor, integrator=mi.load_dict(integrator), spp=tracing.samples, seed=seed)
        finite = np.nan_to_num(np.array(layers, np.float32), nan=0.0, posinf=0.0, neginf=0.0)
        return [np.ascontiguousarray(part) for part in np.split(finite, len(views), axis=1)]

    pictures = traced({"type": "path", "max_depth": tracing.bounces})
    if not tracing.denoise:
        return [np.maximum(picture, 0) for picture in pictures]
    # as one integrator inside the other, the two take twice as long as one after the other
    guides = traced({"type": "aov", "aovs": "albedo:albedo,normal:sh_normal"})
    return [_denoised(*pair) for pair in zip(pictures, guides, strict=True)]


def _engine(variant: Variant, threads: int | None) -> Any:
    """Mitsuba, with the variant in force."""
    try:
        import drjit
        import mitsuba
    except ImportError as missing:
        raise ImportError('mitsuba is needed to render scenes: pip install "latentdepth[synth]"') from missing
    if mitsuba.variant() != variant:
        mitsuba.set_variant(variant)
    if threads is not None:
        drjit.set_thread_count(threads)
    return mitsuba


def _denoised(picture: Float[np.ndarray, "h w 3"], guide: Float[np.ndarray, "h w 6"]) -> Float[np.ndarray, "h w 3"]:
    try:
        import mitsuba_oidn
    except ImportError as missing:
        raise ImportError(
            'mitsuba-oidn is needed to denoise: pip install "latentdepth[synth]", or turn denoising off'
        ) from missing
    albedo, normal = (np.ascontiguousarray(guide[..., k : k + 3].clip(-1, 1)) for k in (0, 3))
    return np.maximum(mitsuba_oidn.denoise(picture, albedo.clip(0, 1), normal, hdr=True), 0)


def _sensor(mi: Any, view: View, film: Mapping[str, Any]) -> dict[str, Any]:
    camera = view.camera
    if abs(camera.fx_px - camera.fy_px) > 1e-6 * camera.fx_px:
        raise ValueError(f"focal lengths are {camera.fx_px} and {camera.fy_px} px; only square pixels can be rendered")
    # Mitsuba's cameras have x to the left and y up
    pose = np.asarray(view.world_from_camera, np.float64) @ np.diag([-1.0, -1.0, 1.0, 1.0])
    return {
        "type": "perspective",
        "to_world": mi.ScalarTransform4f(pose.tolist()),
        "fov_axis": "x",
        "fov": float(np.degrees(2 * np.arctan(camera.width_px / 2 / camera.fx_px))),
        "principal_point_offset_x": 0.5 - camera.cx_px / camera.width_px,
        "principal_point_offset_y": 0.5 - camera.cy_px / camera.height_px,
        "near_clip": 0.005,
        "far_clip": 1e6,
        "film": {**film, "width": camera.width_px, "height": camera.height_px},
    }
