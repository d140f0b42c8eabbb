"""One procedural scene, photographed: from two numbers to finished samples. Knows no files.

The same (seed, number) gives the same geometry, cameras and sensor settings whatever else is made, in which order, and
by how many processes. Depth and normals are then equal to the last bit; photographs nearly so on another machine.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import UInt8
from PIL import Image

from latentdepth.data.sample import Sample
from latentdepth.data.training import photo_paths
from latentdepth.synth.cast import RayScene
from latentdepth.synth.compose import compose
from latentdepth.synth.kinds import SceneKind
from latentdepth.synth.labels import Labels, label
from latentdepth.synth.library import read_library
from latentdepth.synth.mitsuba import Tracing, Variant, render
from latentdepth.synth.photograph import any_sensor, photograph
from latentdepth.synth.viewpoints import choose

# streams of random numbers; those below ten are compose's
_CAMERA, _SENSOR, _KIND = 10, 11, 12
_TILE_PX = 256


@dataclass(frozen=True)
class Settings:
    """What is made. Two runs with equal settings make equal frames."""

    seed: int = 0
    width_px: int = 384
    height_px: int = 288
    views: int = 6
    """Photographs of each scene at most; fewer where a scene has no more good views."""
    samples: int = 4
    """Paths per pixel."""
    denoise: bool = True
    kinds: tuple[SceneKind, ...] = ()
    """Kinds of scene, equally often; empty takes all as often as ``compose`` likes."""
    textures: str | None = None
    """Folder of tileable pictures for walls, floors and facades, besides those that are computed."""
    furniture: str | None = None
    """Furniture library, or a folder of them, whose models stand for about half of the objects."""

    def __post_init__(self) -> None:
        for name, least, most in (
            ("seed", 0, 2**63 - 1),
            ("width_px", 16, 4096),
            ("height_px", 16, 4096),
            ("views", 1, 64),
            ("samples", 1, 4096),
        ):
            value = getattr(self, name)
            if not least <= value <= most:
                raise ValueError(f"{name} is {value}; allowed is {least} to {most}")


@dataclass(frozen=True)
class Frame:
    """One photograph with its truth, and how it came about (JSON values)."""

    sample: Sample
    facts: Mapping[str, Any]


@dataclass(frozen=True)
class Made:
    """A scene's frames and the attributions that its assets ask for."""

    kind: SceneKind
    frames: tuple[Frame, ...]
    credits: tuple[str, ...] = ()


@lru_cache(maxsize=1)
def read_tiles(folder: str) -> tuple[UInt8[np.ndarray, "_ _ 3"], ...]:
    """All pictures below ``folder``, at most 256 pixels a side, by name. ValueError when there are none."""
    tiles = []
    for path in photo_paths(Path(folder)):
        try:
            with Image.open(path) as picture:
                picture.draft("RGB", (_TILE_PX, _TILE_PX))
                small = picture.convert("RGB")
        except OSError as error:
            raise ValueError(f"{path}: can't be read as a picture ({error}); take it out of {folder}") from error
        small.thumbnail((_TILE_PX, _TILE_PX))
        tiles.append(np.array(small))
    if not tiles:
        raise ValueError(f"{folder}: there are no pictures in it; name a folder of tileable textures")
    return tuple(tiles)


def scene_name(settings: Settings, number: int) -> str:
    """Unique among all seeds and numbers; the group of its samples."""
    return f"synth-{settings.seed}-{number:06d}"


def make_scene(settings: Settings, number: int, *, threads: int | None = None, variant: Variant | None = None) -> Made:
    """Compose scene ``number``, choose views, render, photograph and label them.

    Raises ValueError where the scene offers no view that shows anything.
    """
    seeds = [settings.seed, number]
    kind = None
    if settings.kinds:
        kind = settings.kinds[int(np.random.default_rng([*seeds, _KIND]).integers(len(settings.kinds)))]
    tiles = read_tiles(settings.textures) if settings.textures else ()
    library = read_library(settings.furniture) if settings.furniture else ()
    scene = compose(settings.seed, number, kind=kind, tiles=tiles, library=library)
    rays = RayScene(scene)
    views = choose(
        rays,
        scene.views,
        np.random.default_rng([*seeds, _CAMERA]),
        count=settings.views,
        width_px=settings.width_px,
        height_px=settings.height_px,
        limits=scene.limits,
    )
    tracing = Tracing(samples=settings.samples, denoise=settings.denoise, threads=threads)
    pictures = render(scene, views, tracing, seed=number % 2**31, variant=variant)
    frames = []
    for index, (view, radiance) in enumerate(zip(views, pictures, strict=True)):
        draw = np.random.default_rng([*seeds, _SENSOR, index])
        sensor = any_sensor(draw)
        photo = photograph(radiance, sensor, draw)
        truth = label(rays, view)
        sample = Sample(
            torch.from_numpy(photo).permute(2, 0, 1).float() / 255,
            torch.from_numpy(truth.depth_m)[None],
            torch.from_numpy(truth.valid)[None],
            scene_name(settings, number),
            view.camera,
            torch.from_numpy(truth.normals).permute(2, 0, 1).contiguous(),
        )
        facts = {"kind": scene.kind, "seed": settings.seed, "scene": number, "view": index}
        facts |= {"world_from_camera": np.asarray(view.world_from_camera, float).tolist(), "sensor": asdict(sensor)}
        if _useful(truth):
            frames.append(Frame(sample, facts))
    if not frames:
        raise ValueError("no view of this scene has valid depth")
    return Made(scene.kind, tuple(frames), tuple(scene.credits))


def _useful(truth: Labels) -> bool:
    """Whether a training step could use the frame at all: some depth that is neither sky nor invalid."""
    return bool((truth.valid & np.isfinite(truth.depth_m)).mean() > 0.05)
