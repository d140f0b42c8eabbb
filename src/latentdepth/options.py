"""How much work a prediction may be: the one set of options behind the command line and the Python API.

Knows neither tensors nor models, so ``latentdepth --help`` can be printed without importing torch.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

SamplerName = Literal["ddim", "lcm", "one_step"]
Controller = Literal["rule", "convergence", "doubling"]
Effort = Literal["fast", "normal", "best"]
Device = Literal["auto", "cpu", "cuda", "mps"]
Dtype = Literal["auto", "float32", "bfloat16", "float16"]
FormatName = Literal["preview", "png16", "exr", "tiff", "npy", "npz", "controlnet", "ply", "glb"]
TileMode = Literal["off", "grid", "shifted", "random", "adaptive"]
Wrap = Literal["none", "x", "both"]
DEFAULT_MODEL = "builtin:tiny-diffusion"


@dataclass(frozen=True)
class PredictOptions:
    """How much work a prediction may be. None everywhere means: what the model's folder says."""

    effort: Effort | None = None
    """One dial for steps, members and resolution: fast (1 step), normal (the model's defaults) or best
    (4 steps, 10 members). Single settings override it."""
    steps: int | Literal["auto"] | None = None
    """Denoising steps. One is enough for trailing-spaced models; more sharpen. auto: as many as the photo needs, by
    controller and target."""
    members: int | Literal["auto"] | None = None
    """Ensemble members, each from its own noise. Two or more give an uncertainty map. auto: until their median is as
    certain as target says."""
    target: str | None = None
    """How settled the map must be before auto stops: rough, good (the default) or fine, or a share of the map's range
    such as 1.5%. Without `latentdepth calibrate` the words mean 2 %, 1 % and 0.5 %."""
    controller: Controller | None = None
    """What decides with steps auto: doubling (1, 2, 4, ... steps until the map holds still), convergence (stop inside
    one run) or rule (by how complex the photo looks; calibrate it first). By default what the model's folder says,
    else doubling."""
    resolution: int | None = None
    """Longer side in pixels that the network sees; 0 means the image's own size."""
    sampler: SamplerName | None = None
    """ddim, lcm or one_step."""
    seed: int = 0
    """Member k of the ensemble starts from noise that depends on (seed, k) alone."""
    match_input: bool = True
    """Resize the result back to the size of the image; else it stays at the size that the network saw."""
    batch: int | None = None
    """Members decoded at once; None picks what memory allows. Does not change the result."""

    def __post_init__(self) -> None:
        if self.controller is not None and self.steps != "auto":
            raise ValueError(f"controller is {self.controller}, which decides on steps: give --steps auto with it")
        if self.target is not None and "auto" not in (self.steps, self.members):
            raise ValueError(
                f"target is {self.target!r}, and neither steps nor members are left to it: give --steps auto or "
                "--members auto"
            )


@dataclass(frozen=True)
class TileOptions:
    """How a photo larger than the network is looked at in pieces."""

    tiles: TileMode = "off"
    """off: whole, at the network's size. grid: in overlapping tiles, fitted to the whole and to each other. shifted:
    the grid and its shifts by half a step. random: those and random tiles. adaptive: only where there is more detail
    or uncertainty than on the photo's average."""
    tile_size: int | None = None
    """Longer side of a tile in pixels of the photo; by default as many as the network sees."""
    tile_overlap: float = 0.5
    """Share of a tile's side that neighbours have in common, 0 to 0.9."""
    random_tiles: int = 16
    """How many, with tiles random."""
    tile_by_context: bool = False
    """Choose the tiles' size by the photo: as small as leaves most pixels in sight of a contour (R_20)."""
    wrap: Wrap = "none"
    """x: the photo goes on from its right edge at its left (panoramas); both: in height too (seamless textures).
    Needs tiles."""

    def __post_init__(self) -> None:
        asked = {"tile_size": self.tile_size, "tile_by_context": self.tile_by_context, "wrap": self.wrap}
        given = [name for name, value in asked.items() if value not in (None, False, "none")]
        if self.tiles == "off" and given:
            raise ValueError(f"{given[0]} is given and tiles is off: give --tiles grid (or shifted, random, adaptive)")
        if self.tile_size is not None and self.tile_by_context:
            raise ValueError("tile_size and tile_by_context are both given; leave out one")
