"""Photos of one size, encoded: the stages that are left, as functions of latents and member numbers.

The predictor makes it, and loops that decide how much work a photo gets run on it (``adaptive``). Knows no networks.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Sequence
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

_BYTES_PER_PIXEL = 3500  # a full-size VAE decoder in bfloat16: 768 x 576 peaks 1.5 GB above the weights


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
        return torch.cat([self.values(latent) for latent in self._sampled(photo, members, steps)])[None]

    def latents(self, photo: int, members: Sequence[int], steps: int) -> Float[Tensor, "e c hl wl"]:
        """The same before they are decoded, for whoever wants the latents only."""
        return torch.cat(list(self._sampled(photo, members, steps)))

    def _sampled(self, photo: int, members: Sequence[int], steps: int) -> Iterator[Float[Tensor, "a c hl wl"]]:
        for first in range(0, len(members), self.at_once):
            wanted = list(members[first : first + self.at_once])
            denoise = partial(_of_photos, self.denoise, torch.full((len(wanted),), photo))
            yield self.sampler(steps, wanted)(denoise, self.start(wanted))

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


class Room:
    """Runs a stage on as many rows at once as memory takes: on half as many, for good, whenever it is refused."""

    def __init__(self, rows: int) -> None:
        self.rows = rows

    def __call__(self, stage: Callable[..., Tensor], *tensors: Tensor) -> Tensor:
        """``stage`` of the tensors' rows, joined again; no row's result depends on the others.

        Warns in one line when rows are halved. Raises MemoryError when a single row is too much.
        """
        done: list[Tensor] = []
        first = 0
        while first < len(tensors[0]):
            part = [tensor[first : first + self.rows] for tensor in tensors]
            try:
                done.append(stage(*part))
            except (RuntimeError, MemoryError) as error:
                if not _is_out_of_memory(error):
                    raise
                self._halve(len(part[0]), error)
            else:
                first += len(part[0])
        return done[0] if len(done) == 1 else torch.cat(done)

    def _halve(self, refused: int, error: Exception) -> None:
        if refused == 1:
            raise MemoryError(
                "memory is too small for one member of this size: give a smaller --resolution, --vae small, or --tiles"
            ) from error
        self.rows = refused // 2
        warnings.warn(
            f"out of memory with {refused} at once: going on with {self.rows}; the result is the same", stacklevel=5
        )


def _is_out_of_memory(error: Exception) -> bool:
    """torch has a class for GPUs only; on a processor its allocator says so in words."""
    return isinstance(error, torch.OutOfMemoryError | MemoryError) or "can't allocate memory" in str(error)


def rows_at_once(pixels: int, *, width: int, dtype: torch.dtype, device: torch.device) -> int:
    """As many members of ``pixels`` each as a quarter of the free memory takes.

    ``width``: channels of the decoder's widest full-resolution layer, which sets the cost.
    """
    each = pixels * _BYTES_PER_PIXEL * width / 128 * torch.finfo(dtype).bits / 16
    free = torch.cuda.mem_get_info(device)[0] if device.type == "cuda" else _free_memory()
    return max(1, int(free / 4 / each))


def _free_memory() -> int:
    """Bytes of main memory that are free, where the system says (Linux); else a careful 2 GiB."""
    try:
        with open("/proc/meminfo") as lines:
            for line in lines:
                if line.startswith("MemAvailable:"):
                    return int(line.split()[1]) * 1024
    except OSError:
        pass
    return 2 * 1024**3
