"""What is asked of a task: by the training loop, by recipes, and by validation.

The loop knows a task by this alone: no networks' kinds, no losses, no folders' layouts.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, TypeVar, runtime_checkable

import torch
from jaxtyping import Float
from torch import Tensor, nn

from latentdepth.core.types import Prediction
from latentdepth.data.batch import Batch
from latentdepth.data.options import TargetKind

BatchT = TypeVar("BatchT", contravariant=True)


@runtime_checkable
class Task(Protocol[BatchT]):
    """A network, its loss on a batch, and how it is saved as a folder that loads.

    A class that names this one as its parent inherits the five methods of a task that has nothing frozen and keeps
    nothing from step to step.
    """

    network: nn.Module
    """What is trained. The loop puts its prepared wrapper (DDP, FSDP) here, and the loss calls the network through
    this attribute; for ``save`` and ``predict`` the bare network stands here, with the weights that are meant."""

    def loss(self, batch: BatchT, draw: torch.Generator) -> dict[str, Tensor]:
        """Named scalars; ``loss`` is the one that is minimised, the others are logged.

        ``draw`` is a generator on the CPU, so that a step has the same random numbers on every device.
        """
        ...

    def save(self, folder: Path) -> None:
        """Write the network as it stands in the layout that ``latentdepth.load`` reads."""
        ...

    def to(self, device: torch.device) -> None:
        """Move what is frozen: autoencoder, teacher, prompt. The loop moves the network itself."""

    def after_step(self) -> None:
        """Called after each optimiser step: moving averages that the loss depends on."""

    def rates(self) -> Mapping[str, float]:
        """Beginnings of weights' names, with what share of the run's learning rate these weights have."""
        return {}

    def state(self) -> dict[str, Tensor]:
        """What a bit-identical resume needs beyond the network's weights."""
        return {}

    def load_state(self, state: Mapping[str, Tensor]) -> None:
        """Take back what ``state`` gave. Raises ValueError for tensors that this task doesn't keep."""
        if state:
            raise ValueError(
                f"the checkpoint holds {', '.join(sorted(state)[:3])}, which {type(self).__name__} does not keep: "
                "it was written by another task. Resume with the recipe that began it, or give another folder"
            )


@runtime_checkable
class Feeds(Protocol):
    """What a recipe's task says of the batches that it is fed."""

    @property
    def kind(self) -> TargetKind:
        """What a batch's target shows."""
        ...

    @property
    def sides_px(self) -> tuple[int, int]:
        """The sides of its pictures are multiples of the first number, and at least the second."""
        ...


@dataclass(frozen=True)
class Judged:
    """One sample's figures, the score first (the lower, the better), and pictures of one size to look at."""

    figures: dict[str, float]
    pictures: tuple[Float[Tensor, "3 h w"], ...]


@runtime_checkable
class Judges(Protocol):
    """A task that is validated by what it says of whole held-out pictures, since it predicts no depth or normals."""

    def judge(self, batch: Batch) -> Judged:
        """The figures of a batch of one."""
        ...


@runtime_checkable
class Predicts(Protocol):
    """A task whose network, as it stands, turns photos into values: what validation measures."""

    def predict(self, image: Float[Tensor, "n 3 h w"]) -> Prediction:
        """Values of photos in [0, 1], as the saved folder would give them by default."""
        ...
