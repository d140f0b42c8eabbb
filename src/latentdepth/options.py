"""How much work a prediction may be: the one set of options behind the command line and the Python API.

Knows neither tensors nor models, so ``latentdepth --help`` can be printed without importing torch.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Literal, get_args

SamplerName = Literal["ddim", "lcm", "one_step"]
Controller = Literal["rule", "convergence", "doubling"]
Effort = Literal["fast", "normal", "best"]
Device = Literal["auto", "cpu", "cuda", "mps"]
Dtype = Literal["auto", "float32", "bfloat16", "float16"]
Runtime = Literal["torch", "openvino", "openvino-int8", "onnx"]
FormatName = Literal["preview", "png16", "exr", "tiff", "npy", "npz", "controlnet", "ply", "glb"]
TileMode = Literal["off", "grid", "shifted", "random", "adaptive", "latent"]
Wrap = Literal["none", "x", "both"]
DEFAULT_MODEL = "builtin:tiny-student"
DIFFUSION_MODEL = "builtin:tiny-diffusion"
"""The embedded model that draws noise: steps and ensembles mean something, and training starts from it."""
MOST_OVERLAP = 0.9
"""Of a tile's side that neighbours may have in common."""


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
    vae: str | None = None
    """The autoencoder that a diffusion model sees and answers through: full (its own, the default), small (quicker:
    what `latentdepth distill-vae` put into its folder), or dir:PATH or hub:ORG/REPO of a small or tiny one."""

    def __post_init__(self) -> None:
        if self.vae not in (None, "full", "small") and not self.vae.startswith(("dir:", "hub:")):
            raise ValueError(f"vae is {self.vae!r}; allowed are full, small, dir:PATH and hub:ORG/REPO[@REV]")
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
    or uncertainty than on the photo's average. latent: the grid, joined at every step of a diffusion model."""
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
        given = [one.name for one in fields(self) if one.name != "tiles" and getattr(self, one.name) != one.default]
        if self.tiles == "off" and given:
            others = ", ".join(mode for mode in get_args(TileMode) if mode not in ("off", "grid"))
            raise ValueError(f"{given[0]} is given and tiles is off: give --tiles grid (or {others})")
        if "random_tiles" in given and self.tiles != "random":
            raise ValueError(f"random_tiles is given and tiles is {self.tiles}: give --tiles random, or leave it out")
        if not 0 <= self.tile_overlap <= MOST_OVERLAP:
            raise ValueError(
                f"tile_overlap is {self.tile_overlap:g}; allowed is 0 to {MOST_OVERLAP} of a tile's side (at 1, tiles "
                "would never advance)"
            )
        for name, value, least in (("tile_size", self.tile_size, 1), ("random_tiles", self.random_tiles, 0)):
            if value is not None and value < least:
                raise ValueError(f"{name} is {value}; allowed is {least} or more")
        if self.tile_size is not None and self.tile_by_context:
            raise ValueError("tile_size and tile_by_context are both given; leave out one")
