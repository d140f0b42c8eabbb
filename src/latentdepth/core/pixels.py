"""The pixels of one image that count, a piece that fits the processor's cache at a time.

At ETH3D's 24 million pixels a figure costs what its passes over memory cost, so whoever sums over pixels makes all sums
while a piece is in the cache. Knows no figures and no fits.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

# A piece in float32 is 120 KiB, so what is computed from it stays in the second-level cache. From 32,768 numbers on
# torch spreads an operation over threads; for pieces like these, waking and awaiting them takes longer than the sum.
_PIECE = 30 * 1024
_ROUND = 64  # pieces are filled up to a multiple: whoever adds them up does so in rows of 64
_MOST = 1 << 24  # up to here float32 counts exactly


@dataclass(frozen=True)
class Piece:
    """A few pixels of prediction and truth in fresh memory, float32 (float64 where either was given so).

    Both hold 1 where a pixel doesn't count, whatever was there (NaN too): no error, and positive.
    """

    prediction: Float[Tensor, " p"]
    truth: Float[Tensor, " p"]
    counts: Float[Tensor, " p"]
    """1 where a pixel counts, 0 elsewhere."""
    number: int
    """Pixels that count; more than 0."""


@dataclass(frozen=True)
class Pixels:
    """One image, to be summed over. A pixel counts where ``valid`` is true and the truth is finite."""

    prediction: Float[Tensor, "c h w"]
    truth: Float[Tensor, "c h w"]
    valid: Bool[Tensor, "c h w"]
    positive_truth: bool
    """Whether the truth must also be positive."""
    finite_prediction: bool
    """Whether the prediction must also be finite."""

    def first(self) -> Piece | None:
        """The first piece in which any pixel counts; None where there is none."""
        rows = self._rows()
        found = (self._piece(*rows, part) for part in slices(len(rows[0]), rows[0].device))
        return next((piece for piece in found if piece is not None), None)

    def table(self, measure: Callable[[Piece], Float[Tensor, " k"]]) -> Float[Tensor, "m k"]:
        """``measure`` of all pieces in which any pixel counts, on the CPU; at least one must.

        One after the other: operations are so short that a second thread of Python's waits for the first, and both
        together were slower than one.
        """
        rows = self._rows()
        pieces = (self._piece(*rows, part) for part in slices(len(rows[0]), rows[0].device))
        return torch.stack([measure(piece).cpu() for piece in pieces if piece is not None])

    def _rows(self) -> tuple[Tensor, Tensor, Tensor]:
        home = torch.device("cpu") if self.truth.device.type == "mps" else self.truth.device  # which has no float64
        p, g, valid = (values.detach().flatten().to(home) for values in (self.prediction, self.truth, self.valid))
        return p, g, valid

    def _piece(self, p_row: Tensor, g_row: Tensor, valid_row: Tensor, part: slice) -> Piece | None:
        chosen = _where(valid_row[part])
        if (found := len(chosen)) == 0:
            return None
        wide = torch.float64 in (p_row.dtype, g_row.dtype)
        number_type, bits_type = (torch.float64, torch.int64) if wide else (torch.float32, torch.int32)
        counts = torch.zeros(-(-found // _ROUND) * _ROUND, dtype=number_type, device=g_row.device)
        counts[:found] = 1
        p, g = torch.ones_like(counts), torch.ones_like(counts)
        for values, row in ((p, p_row), (g, g_row)):
            values[:found] = row[part].index_select(0, chosen)
        # Comparisons that give numbers are vectorised, those that give booleans are not. NaN compares false.
        holds = torch.empty_like(counts)
        counts.mul_(torch.lt(g, torch.inf, out=holds))
        counts.mul_(torch.gt(g, 0.0 if self.positive_truth else -torch.inf, out=holds))
        if self.finite_prediction:
            counts.mul_(torch.lt(p.abs(), torch.inf, out=holds))
        number = int(counts.sum())
        if number == 0:
            return None
        if number < found:
            # A select is a branch for every pixel on the CPU, mispredicted where masks are speckled: 3 ns. Keeping or
            # dropping all bits of a number takes 0.2 ns.
            keep, aside = counts.to(bits_type).neg_(), 1 - counts
            for values in (p, g):
                values.view(bits_type).bitwise_and_(keep)
                values.add_(aside)
        return Piece(p, g, counts, number)


def _where(mask: Bool[Tensor, " p"]) -> Int[Tensor, " k"]:
    """Where a mask is true. NumPy finds it in 0.6 ns a pixel, torch on the CPU in 4."""
    on_cpu = mask.device.type == "cpu"
    return torch.from_numpy(np.flatnonzero(mask.numpy())) if on_cpu else mask.nonzero()[:, 0]


def slices(pixels: int, device: torch.device) -> list[slice]:
    """Consecutive pieces of a row of pixels; large ones on accelerators, which have no such cache."""
    step = _PIECE if device.type == "cpu" else _MOST
    return [slice(start, min(start + step, pixels)) for start in range(0, pixels, step)]


def check_one_size(prediction: Tensor, truth: Tensor, valid: Tensor) -> None:
    """ValueError unless the three are n x 1 x h x w of one size."""
    if not prediction.shape == truth.shape == valid.shape or prediction.ndim != 4:
        raise ValueError(
            f"prediction, truth and valid are {tuple(prediction.shape)}, {tuple(truth.shape)} and "
            f"{tuple(valid.shape)}; allowed is one size n x 1 x h x w: resize the prediction to the truth"
        )
