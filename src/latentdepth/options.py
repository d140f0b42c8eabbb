"""How much work a prediction may be: the one set of options behind the command line and the Python API.

Knows neither tensors nor models, so ``latentdepth --help`` can be printed without importing torch.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

SamplerName = Literal["ddim", "lcm", "one_step"]
Effort = Literal["fast", "normal", "best"]
Device = Literal["auto", "cpu", "cuda", "mps"]
Dtype = Literal["auto", "float32", "bfloat16", "float16"]
FormatName = Literal["preview", "png16", "exr", "tiff", "npy", "npz", "controlnet", "ply", "glb"]
DEFAULT_MODEL = "builtin:tiny-diffusion"


@dataclass(frozen=True)
class PredictOptions:
    """How much work a prediction may be. None everywhere means: what the model's folder says."""

    effort: Effort | None = None
    """One dial for steps, members and resolution: fast (1 step), normal (the model's defaults) or best
    (4 steps, 10 members). Single settings override it."""
    steps: int | None = None
    """Denoising steps. One is enough for trailing-spaced models; more sharpen."""
    members: int | None = None
    """Ensemble members, each from its own noise. Two or more give an uncertainty map."""
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
