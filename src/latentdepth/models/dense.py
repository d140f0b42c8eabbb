"""What every feed-forward depth network here has in common: photo in, values and features out, a folder.

Knows no architecture and no losses.
"""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar, NamedTuple

from jaxtyping import Float
from torch import Tensor, nn

from latentdepth.core.types import AFFINE_DISPARITY, METRIC_DEPTH, Kind


class Seen(NamedTuple):
    """One forward pass."""

    value: Float[Tensor, "n 1 h w"]
    """float32, at the size that the network saw: disparity of at least 0 (near is large), or metres."""
    features: Float[Tensor, "n c hf wf"]
    """The encoder's deepest map: what feature alignment compares."""


class DenseNetwork(nn.Module):
    """A network that answers in one forward pass."""

    encoder_prefix: ClassVar[str]
    """How the names of the encoder's weights begin."""
    stride: ClassVar[int]
    """Sides of what it sees are multiples of it, and at least it."""

    @property
    def resolution(self) -> int:
        """Longer side in pixels that the network sees when none is asked for."""
        raise NotImplementedError

    @property
    def max_depth_m(self) -> float | None:
        """The depth that a metric network's largest output stands for; None: affine-invariant disparity."""
        raise NotImplementedError

    @property
    def kind(self) -> Kind:
        """What its values are."""
        return AFFINE_DISPARITY if self.max_depth_m is None else METRIC_DEPTH

    def forward(self, image: Float[Tensor, "n 3 h w"]) -> Seen:
        """``image`` in [0, 1], sides multiples of ``stride``."""
        raise NotImplementedError

    def features(self, image: Float[Tensor, "n 3 h w"]) -> Float[Tensor, "n c hf wf"]:
        """The encoder's deepest map alone."""
        raise NotImplementedError

    def fresh(self, max_depth_m: float | None) -> DenseNetwork:
        """A network of the same form with random weights (torch's global generator), metric or relative."""
        raise NotImplementedError

    def save(self, folder: Path) -> None:
        """Write a folder that loads."""
        raise NotImplementedError
