"""What a training step is fed: samples of one size, already augmented and normalised."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor


@dataclass(frozen=True)
class Batch:
    """``image`` and ``target`` lie in [-1, 1].

    ``target`` has one channel for depth-like quantities (far = +1 for depth, near = +1 for disparity), three for
    normals (x right, y up, z towards the viewer). Where not ``valid`` the target is a filling without meaning.
    Metric depth is in metres instead.
    """

    image: Float[Tensor, "n 3 h w"]
    target: Float[Tensor, "n c h w"]
    valid: Bool[Tensor, "n 1 h w"]
    by_teacher: Bool[Tensor, " n"] | None = None
    """Whose target a teacher told instead of a measurement; None: none."""

    def to(self, device: torch.device | str) -> Batch:
        """The same batch elsewhere."""
        told = None if self.by_teacher is None else self.by_teacher.to(device)
        return Batch(self.image.to(device), self.target.to(device), self.valid.to(device), told)

    def pin_memory(self) -> Batch:
        """Page-locked, for asynchronous copies to a GPU; torch's DataLoader calls this."""
        told = None if self.by_teacher is None else self.by_teacher.pin_memory()
        return Batch(self.image.pin_memory(), self.target.pin_memory(), self.valid.pin_memory(), told)


def stacked(rows: Sequence[Batch]) -> Batch:
    """One batch of several."""
    told = [torch.zeros(len(r.image), dtype=torch.bool) if r.by_teacher is None else r.by_teacher for r in rows]
    return Batch(
        torch.cat([r.image for r in rows]),
        torch.cat([r.target for r in rows]),
        torch.cat([r.valid for r in rows]),
        None if all(r.by_teacher is None for r in rows) else torch.cat(told),
    )
