"""Exact medians over a few maps, without sorting at every pixel.

A sorting network compares whole rows at once, so it runs at the speed of elementwise minima and maxima. Network:
Batcher's merge exchange (Knuth, The Art of Computer Programming 5.2.2, algorithm M). Knows nothing of ensembles.
"""

from __future__ import annotations

import functools

import torch
from jaxtyping import Float
from torch import Tensor


def median_(rows: Float[Tensor, "e p"]) -> Float[Tensor, " p"]:
    """Median over the first axis; the mean of the middle two for even counts. Overwrites ``rows``.

    ``torch.median`` gives the lower of the two, which pulls the merge of an even ensemble down.
    """
    lanes, spare = list(rows.unbind(0)), torch.empty_like(rows[0])
    for i, j, keeps_low, keeps_high in _median_network(len(lanes)):
        low, high = lanes[i], lanes[j]
        if keeps_low:
            torch.minimum(low, high, out=spare)
        if keeps_high:
            torch.maximum(low, high, out=high)
        if keeps_low:
            lanes[i], spare = spare, low
    half = len(lanes) // 2
    return lanes[half] if len(lanes) % 2 else (lanes[half - 1] + lanes[half]).mul_(0.5)


@functools.lru_cache(maxsize=64)
def _median_network(size: int) -> tuple[tuple[int, int, bool, bool], ...]:
    """Exchanges (i, j, keep the minimum at i, keep the maximum at j) that leave the median in the middle lanes."""
    exchanges: list[tuple[int, int]] = []
    top = 1 << (size - 1).bit_length() - 1 if size > 1 else 0
    p = top
    while p > 0:
        q, r, d = top, 0, p
        while True:
            exchanges += [(i, i + d) for i in range(size - d) if i & p == r]
            if q == p:
                break
            d, q, r = q - p, q // 2, p
        p //= 2
    # Backwards from the middle: drop every minimum and maximum that nothing later reads.
    needed = {size // 2, (size - 1) // 2}
    kept: list[tuple[int, int, bool, bool]] = []
    for i, j in reversed(exchanges):
        if i in needed or j in needed:
            kept.append((i, j, i in needed, j in needed))
            needed |= {i, j}
    return tuple(reversed(kept))
