"""Photos of one size, encoded: the stages that are left, as functions of latents and member numbers.

The predictor makes it, and loops that decide how much work a photo gets run on it (``adaptive``). Knows no networks.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import torch
from jaxtyping import Float, Int
from torch import Tensor

from latentdepth.core.controllers import DenoiseRows
from latentdepth.core.modality import Merge
from latentdepth.core.samplers import Denoise
from latentdepth.core.schedule import Schedule

Sampler = Callable[[Denoise, Float[Tensor, "n c hl wl"]], Float[Tensor, "n c hl wl"]]


@dataclass(frozen=True)
class Stages:
    """Stages 3 to 6 of ``n`` photos, and what is needed to choose among their answers."""

    photos: int
    schedule: Schedule
    start: Callable[[list[int]], Float[Tensor, "e c hl wl"]]
    """Stage 3: start noise of the members of those numbers; the same for every photo."""
    denoise: DenoiseRows
    """One network call; rows say which photo each latent belongs to."""
    sampler: Callable[[int, list[int]], Sampler]
    """Stage 4 for (steps, member numbers)."""
    values: Callable[[Float[Tensor, "a c hl wl"]], Float[Tensor, "a cv h w"]]
    """Stages 5 and 6: clean latents to values at processing size, float32, on the CPU."""
    merge: Merge
    at_once: int
    """Latents that memory takes together."""

    def draw(self, photo: int, members: Sequence[int], steps: int) -> Float[Tensor, "1 e cv h w"]:
        """Members of one photo, each with ``steps``."""
        drawn = []
        for first in range(0, len(members), self.at_once):
            wanted = list(members[first : first + self.at_once])
            denoise = partial(_of_photos, self.denoise, torch.full((len(wanted),), photo))
            drawn.append(self.values(self.sampler(steps, wanted)(denoise, self.start(wanted))))
        return torch.cat(drawn)[None]

    def draw_together(self, photos: Sequence[int], member: int, steps: int) -> Float[Tensor, "n cv h w"]:
        """One member of several photos that share a number of steps."""
        drawn = []
        for first in range(0, len(photos), self.at_once):
            rows = torch.tensor(photos[first : first + self.at_once])
            noise = self.start([member]).expand(len(rows), -1, -1, -1)
            sampler = self.sampler(steps, [member] * len(rows))
            drawn.append(self.values(sampler(partial(_of_photos, self.denoise, rows), noise)))
        return torch.cat(drawn)


def _of_photos(
    denoise: DenoiseRows, rows: Int[Tensor, " n"], x: Float[Tensor, "n c hl wl"], t: Int[Tensor, " n"]
) -> Float[Tensor, "n c hl wl"]:
    return denoise(x, t, rows)
