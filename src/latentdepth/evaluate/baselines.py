"""What a model has to beat: affine-invariant disparity from nothing, from the row, from brightness."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from latentdepth.core.types import AFFINE_DISPARITY, Kind, Prediction
from latentdepth.evaluate.table import Setting

Way = Callable[[Float[Tensor, "n 3 h w"]], Float[Tensor, "n 1 h w"]]


def constant(images: Float[Tensor, "n 3 h w"]) -> Float[Tensor, "n 1 h w"]:
    """The same everywhere: what a fit makes of no prediction at all. Every frame is flagged as constant."""
    return torch.ones_like(images[:, :1])


def ramp(images: Float[Tensor, "n 3 h w"]) -> Float[Tensor, "n 1 h w"]:
    """Near at the bottom: disparity rises linearly with the row, as of a floor that reaches to the horizon."""
    n, _, h, w = images.shape
    return torch.linspace(0, 1, h)[None, None, :, None].expand(n, 1, h, w)


def luminance(images: Float[Tensor, "n 3 h w"]) -> Float[Tensor, "n 1 h w"]:
    """Bright is near."""
    return (images * torch.tensor([0.299, 0.587, 0.114])[None, :, None, None]).sum(1, keepdim=True)


BASELINES: Mapping[str, Way] = {"constant": constant, "ramp": ramp, "luminance": luminance}


@dataclass(frozen=True)
class Baseline:
    """A baseline as a contender, from its word ``baseline:NAME``."""

    name: str
    way: Way

    @classmethod
    def of(cls, word: str) -> Baseline:
        """ValueError names the baselines there are."""
        key = word.removeprefix("baseline:")
        if key not in BASELINES:
            raise ValueError(f"there is no baseline {key!r}; allowed are {', '.join(BASELINES)}")
        return cls(f"baseline:{key}", BASELINES[key])

    @property
    def kind(self) -> Kind:
        return AFFINE_DISPARITY

    @property
    def settings(self) -> Mapping[str, Setting]:
        return {"kind": str(self.kind)}

    def predict(self, frame: str, image: Float[Tensor, "1 3 h w"]) -> Prediction:
        return Prediction(self.way(image), self.kind)
