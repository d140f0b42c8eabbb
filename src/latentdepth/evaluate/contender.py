"""Who is evaluated: whatever gives a prediction for a frame.

Networks are here, the others in ``baselines`` and ``prediction_folder``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Protocol, runtime_checkable

from jaxtyping import Float
from torch import Tensor

from latentdepth.core.types import Kind, Prediction
from latentdepth.evaluate.table import Setting
from latentdepth.options import PredictOptions, Runtime
from latentdepth.predictor import Predictor


class MissingError(ValueError):
    """There is no prediction for a frame."""


@runtime_checkable
class Contender(Protocol):
    """A row of the table."""

    @property
    def name(self) -> str:
        """The word it was given by."""
        ...

    @property
    def kind(self) -> Kind:
        """What its values mean."""
        ...

    @property
    def settings(self) -> Mapping[str, Setting]:
        """All that its values depend on beside the photo; a run goes on only where they are the same."""
        ...

    def predict(self, frame: str, image: Float[Tensor, "1 3 h w"]) -> Prediction:
        """For one photo in [0, 1] and its frame's name. Raises MissingError, or ValueError with what is wrong."""
        ...


@dataclass(frozen=True)
class Network:
    """A predictor with its options."""

    name: str
    predictor: Predictor
    options: PredictOptions
    dtype: str = "auto"
    runtime: Runtime = "torch"

    @property
    def kind(self) -> Kind:
        return self.predictor.modality.kind

    @property
    def settings(self) -> Mapping[str, Setting]:
        settings = asdict(self.options) | {"dtype": self.dtype, "kind": str(self.kind)}
        # torch goes without saying, so that rows from before there were other engines still count
        return settings | ({} if self.runtime == "torch" else {"runtime": self.runtime})

    def predict(self, frame: str, image: Float[Tensor, "1 3 h w"]) -> Prediction:
        return self.predictor(image, self.options)
