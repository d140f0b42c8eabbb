"""What one network says about one photo, and how any of them is asked: the seam between the families.

A family is a function (``dpt.estimate``, ``zoe.estimate``, ``depth_pro.estimate``): their pre-processing, their forward
pass, their post-processing. Knows neither files nor options.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from jaxtyping import Float
from torch import Tensor


@dataclass(frozen=True)
class Request:
    """One photo and the size at which it is looked at."""

    image: Float[Tensor, "1 3 h w"]
    """In [0, 1], float32, on the CPU."""
    resolution: int | None
    """Longer side that the network sees; 0: the image's own size; None: what the folder's processor says."""
    match_input: bool
    """Values at the size of the image, else at the size that the network gave."""

    @property
    def size(self) -> tuple[int, int]:
        """(height, width) of the photo."""
        return self.image.shape[-2], self.image.shape[-1]


@dataclass(frozen=True)
class Estimate:
    """Values as the network means them, and the focal length where it gives one."""

    value: Float[Tensor, "h w"]
    """float32, in the network's own units."""
    focal_px: float | None = None
    """In pixels of the photo."""


Family = Callable[[Any, Any, Request], Estimate]
"""(network, processor, request) -> estimate."""
