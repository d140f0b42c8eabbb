"""A stage on another engine beside torch in float32, on photographs. Knows no folders of models."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor

from latentdepth.core.modality import resize
from latentdepth.images import read
from latentdepth.runtimes.artefact import Check
from latentdepth.runtimes.engine import Engine
from latentdepth.runtimes.traced import Inputs, Traceable

ALLOWED = {torch.float32: 1e-4, torch.bfloat16: 0.08}
"""Relative difference of a stage. float32, which is always compared, proves that the graph is the network: only sums
are in another order. bfloat16 has 8 bits, and its roundings come to 1 to 5 % at the end of a deep network."""
ALLOWED_INT8 = 0.1
"""Of a stage with layers in int8, whatever the rest is computed in. Where the answer has any scale and shift, of what
is left after those that fit best, beside torch's own deviation from its mean."""
Size = tuple[int, int]


@dataclass(frozen=True)
class Reference:
    """What torch says in one stage, on one photo at one size."""

    stage: str
    width: int
    """Of what the network sees, in pixels of the photo."""
    height: int
    inputs: tuple[Inputs, ...]
    wanted: tuple[Tensor, ...]
    """An answer to each of ``inputs``."""
    affine: bool
    """Answers have any scale and shift."""


def references(
    traced: Traceable, sizes: Sequence[Size], photos: Sequence[Path], *, thorough: bool
) -> Iterator[Reference]:
    """Every stage at every size, each size on another photo.

    ``thorough``: with every photo, and at every step of the sampler, not only at the first.
    """
    for path, (width, height) in pairs(sizes, photos, every_photo=thorough):
        photo = photo_at(path, (width, height))
        for stage, inputs in traced.inputs(photo, every_step=thorough).items():
            with torch.inference_mode():
                wanted = tuple(traced.stages[stage](*one) for one in inputs)
            yield Reference(stage, width, height, tuple(inputs), wanted, traced.affine)


def pairs(sizes: Sequence[Size], photos: Sequence[Path], *, every_photo: bool) -> list[tuple[Path, Size]]:
    """Each size, and if ``every_photo`` each photo, once or more, in turn."""
    count = max(len(photos), len(sizes)) if sizes and every_photo else len(sizes)
    return [(photos[i % len(photos)], sizes[i % len(sizes)]) for i in range(count)]


def photo_at(path: Path, size: Size) -> Float[Tensor, "1 3 h w"]:
    """In [0, 1]; ``size`` is (width, height)."""
    return resize(read(path).pixels, (size[1], size[0])).clamp(0, 1)


def compared(
    found: Engine, path: Path, beside: Sequence[Reference], *, int8: bool, checked: Callable[[Check], None]
) -> Iterator[Check]:
    """The network of ``path`` beside what torch said of its stage, in every dtype: of several inputs, the worst."""
    for dtype in found.dtypes:
        graph = found.read(path, dtype=dtype, cache=None)
        word = str(dtype).removeprefix("torch.")
        for one in beside:
            differs = fitted_difference if int8 and one.affine else relative_difference
            said = [differs(graph(*inputs), wanted) for inputs, wanted in zip(one.inputs, one.wanted, strict=True)]
            worst = float(torch.tensor(said).max())  # NaN, if one is
            allowed = ALLOWED_INT8 if int8 else ALLOWED[dtype]
            check = Check(one.stage, one.width, one.height, f"int8+{word}" if int8 else word, worst, allowed)
            checked(check)
            yield check


def relative_difference(said: Float[Tensor, "*shape"], wanted: Float[Tensor, "*shape"]) -> float:
    """|said - wanted| / |wanted|, in the Euclidean norm; NaN where either holds one."""
    wanted = wanted.double()
    return float((said.double() - wanted).norm() / wanted.norm().clamp_min(1e-12))


def fitted_difference(said: Float[Tensor, "*shape"], wanted: Float[Tensor, "*shape"]) -> float:
    """|a said + b - wanted| / |wanted - its mean| with a >= 0 and b by least squares; NaN where either holds one."""
    x, y = said.double() - said.double().mean(), wanted.double() - wanted.double().mean()
    scale = ((x * y).sum() / x.square().sum().clamp_min(1e-12)).clamp_min(0)
    return float((scale * x - y).norm() / y.norm().clamp_min(1e-12))


def worst_of(checks: Sequence[Check]) -> Check:
    """That of the largest difference; NaN is larger than any."""
    return max(checks, key=lambda one: one.difference if one.difference == one.difference else float("inf"))
