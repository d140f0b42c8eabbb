"""Start noise and training noise: seeded per member, multi-resolution, annealed.

Nothing here touches the global generator. Paper: Marigold (arXiv 2312.02145), section 3.3 and supplement.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from typing import Literal

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn import functional as F

Strategy = Literal["original", "every_layer", "power_of_two", "random_step"]


def generator(*key: int | str) -> torch.Generator:
    """A CPU generator whose stream depends on ``key`` alone: equal keys, equal numbers, on every machine."""
    digest = hashlib.blake2b(repr(key).encode(), digest_size=8).digest()
    return torch.Generator().manual_seed(int.from_bytes(digest, "little") & (2**63 - 1))


def member_noise(seed: int, members: list[int], shape: tuple[int, int, int]) -> Float[Tensor, "e c hl wl"]:
    """Standard normal start noise; member k depends on (seed, k) only, never on batch size or order."""
    return torch.stack([torch.randn(shape, generator=generator("member", seed, k)) for k in members])


def _sizes(strategy: Strategy, h: int, w: int, draw: torch.Generator) -> Iterator[tuple[int, int]]:
    """Sizes of the coarse levels, as the original code makes them.

    "original" and "power_of_two" divide the size *already reduced* by r**i, so they shrink quadratically and their
    level 0 (r**0 = 1) is a second map at full size: a quirk that the published weights were trained with.
    """
    if strategy == "every_layer":
        for _ in range(min(h, w).bit_length() - 1):
            h, w = max(1, h // 2), max(1, w // 2)
            yield h, w
        return
    for i in range(10):
        r = 2.0 if strategy == "power_of_two" else float(torch.rand((), generator=draw)) * 2 + 2
        divisor = r if strategy == "random_step" else r**i
        h, w = max(1, int(h / divisor)), max(1, int(w / divisor))
        yield h, w
        if h == 1 or w == 1:
            return


def multires_as_original(
    shape: tuple[int, int, int, int],
    strength: Float[Tensor, " n"] | float,
    draw: torch.Generator,
    *,
    strategy: Strategy = "original",
) -> Float[Tensor, "n c hl wl"]:
    """Multi-resolution noise as the published training code made it, quirks kept.

    Level i is weighted by strength**i; the sum is divided by the standard deviation of the *whole batch*, which
    couples samples that have different strengths.
    """
    n, c, h, w = shape
    weight = torch.as_tensor(strength, dtype=torch.float32).expand(n).reshape(n, 1, 1, 1)
    total = torch.randn(shape, generator=draw)
    for i, size in enumerate(_sizes(strategy, h, w, draw)):
        level = torch.randn((n, c, *size), generator=draw)
        total = total + F.interpolate(level, size=(h, w), mode="bilinear") * weight**i
    return total / total.std()


def multires_as_paper(
    shape: tuple[int, int, int, int], strength: Float[Tensor, " n"] | float, draw: torch.Generator
) -> Float[Tensor, "n c hl wl"]:
    """Multi-resolution noise as the paper states it: a halving pyramid, level i > 0 weighted by strength**i.

    Every sample is brought to unit variance by itself, so no sample depends on its batch.
    """
    n, c, h, w = shape
    weight = torch.as_tensor(strength, dtype=torch.float32).expand(n).reshape(n, 1, 1, 1)
    total = torch.randn(shape, generator=draw)
    level_h, level_w, i = h // 2, w // 2, 1
    while min(level_h, level_w) >= 1:
        level = torch.randn((n, c, level_h, level_w), generator=draw)
        total = total + F.interpolate(level, size=(h, w), mode="bilinear") * weight**i
        level_h, level_w, i = level_h // 2, level_w // 2, i + 1
    return total / total.std(dim=(1, 2, 3), keepdim=True)


def annealed_strength(t: Int[Tensor, " n"], length: int, strength: float = 0.9) -> Float[Tensor, " n"]:
    """Strength s * t / T per sample: full multi-resolution noise at the noisy end, plain Gaussian at t = 0."""
    return strength * t.float() / length
