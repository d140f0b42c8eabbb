"""Micro-batches from several data sets: which set, which samples, which views, all by arithmetic.

Micro-batch ``index`` depends on (seed, index) alone, never on what was read before, so a resumed run, another number
of worker processes or of training processes sees the same data. Knows no files and no networks.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache

import torch
from torch import Tensor

from latentdepth.core.noise import generator
from latentdepth.data.batch import Batch, stacked
from latentdepth.data.frames import Frames
from latentdepth.data.options import Augmentation, Target, TargetKind
from latentdepth.data.sample import Sample, normalised
from latentdepth.data.views import view

SIZE_STEP = 8
"""Pixels of one latent cell: heights and widths are multiples of it."""
PATCH = 14
"""Pixels of one patch of a DINOv2 encoder: or of this."""
_BLOCK = 1000
_GOLDEN = (math.sqrt(5) - 1) / 2
_log = logging.getLogger(__name__)


@dataclass(frozen=True, eq=False)
class Portion:
    """One data set in the mixture."""

    frames: Frames
    weight: float
    """Share of the micro-batches, relative to the other sets' weights."""
    height: int
    width: int
    """Size of its views in pixels; a micro-batch holds one set's samples, so sizes may differ between sets."""
    augmentation: Augmentation = field(default_factory=Augmentation)
    kind: TargetKind | None = None
    """What this set teaches, where it is not what the others do."""
    by_teacher: bool = False
    """Its truth was told by a teacher, which batches repeat."""


@dataclass(frozen=True)
class Row:
    """One place of a micro-batch: which set, and which sample of it."""

    portion: int
    ordinal: int
    """How many samples of this set came before, over all epochs; with the seed it decides the view."""
    sample: int


class MixedBatches:
    """``batches(index)`` gives micro-batch ``index`` (from 0, without end).

    Within each set samples come like epochs without replacement: a permutation per epoch, seeded by the set's name. A
    view without a usable target (all invalid, one flat wall) is replaced by the next sample of the permutation. A file
    that can't be read is an error; with ``skip_bad`` up to that many different ones in each process are logged and
    replaced likewise.

    Raises ValueError at once for weights, sizes or batch that can't be, empty sets, and a first sample of a set that
    can't be read or, for normals, has none.
    """

    def __init__(
        self, portions: Sequence[Portion], *, batch: int, seed: int, target: Target | None = None, skip_bad: int = 0
    ) -> None:
        self.portions, self.batch, self.seed = tuple(portions), batch, seed
        self.target, self.skip_bad = target or Target(), skip_bad
        self.kind: TargetKind = self.target.kind or "depth"
        self._bad: dict[tuple[str, int], str] = {}
        if batch < 1:
            raise ValueError(f"batch is {batch}; allowed is 1 or more")
        if skip_bad < 0:
            raise ValueError(f"skip_bad is {skip_bad}; allowed is 0 or more")
        _check_portions(self.portions)
        total = sum(p.weight for p in self.portions)
        # where each set's share of the unit interval ends
        shares = torch.tensor([p.weight / total for p in self.portions], dtype=torch.float64)
        self._ends = shares.cumsum(0).tolist()[:-1]
        for portion in self.portions:
            self._check_first(portion)

    def _check_first(self, portion: Portion) -> None:
        first = portion.frames[0] if self.skip_bad == 0 else None
        kind = portion.kind or self.kind
        if first is None or kind == "photo":
            return
        missing = first.normals is None if kind == "normals" else not bool(first.valid.any())
        if missing:
            what = "normals" if kind == "normals" else "depth"
            raise ValueError(
                f"data set {portion.frames.name} has no {what} (asked of its first sample); train something else on "
                "it, or add them"
            )

    def __call__(self, index: int) -> Batch:
        """Micro-batch ``index``. ValueError names the file that can't be read."""
        return stacked([self._view(row) for row in self.rows(index)])

    def rows(self, index: int) -> list[Row]:
        """What micro-batch ``index`` asks for, before unusable samples are replaced."""
        if index < 0:
            raise ValueError(f"micro-batch {index}; they are counted from 0")
        portion, before = self._turn(index)
        ordinals = range(before * self.batch, (before + 1) * self.batch)
        return [Row(portion, ordinal, self._sample(portion, ordinal)) for ordinal in ordinals]

    def _turn(self, index: int) -> tuple[int, int]:
        """The set of micro-batch ``index``, and how many micro-batches of that set came before.

        Turns come in blocks. In block b set s gets the points (j + o_b) / 1000, j = 0..999, that fall into its share
        of [0, 1): its weight to within one turn in every block. The offsets o_b run through [0, 1) by golden steps,
        so that even the smallest weight gets its share over blocks. Within a block the order is shuffled.
        """
        block, place = divmod(index, _BLOCK)
        start = float(torch.rand((), generator=generator("mixture", self.seed), dtype=torch.float64))
        offsets = torch.frac(start + torch.arange(block + 1, dtype=torch.float64) * _GOLDEN)
        ends = torch.tensor([0.0, *self._ends, 1.0], dtype=torch.float64)
        # points below x: the j with j + o < 1000 x
        below = torch.ceil(ends[:, None] * _BLOCK - offsets).clamp(0, _BLOCK).long()
        counts = below.diff(dim=0)
        order = torch.randperm(_BLOCK, generator=generator("turns", self.seed, block))
        portions = torch.repeat_interleave(torch.arange(len(self.portions)), counts[:, block])[order]
        portion = int(portions[place])
        return portion, int(counts[portion, :block].sum()) + int((portions[:place] == portion).sum())

    def _sample(self, portion: int, ordinal: int) -> int:
        frames = self.portions[portion].frames
        epoch, place = divmod(ordinal, len(frames))
        return int(_permutation(len(frames), self.seed, frames.name, epoch)[place])

    def _view(self, row: Row) -> Batch:
        portion = self.portions[row.portion]
        reason, target = "", replace(self.target, kind=portion.kind or self.kind)
        tries = min(len(portion.frames), 100)
        for attempt in range(tries):
            sample_index = self._sample(row.portion, row.ordinal + attempt)
            sample = self._read(portion.frames, sample_index)
            if sample is None:
                continue
            draw = generator("view", self.seed, portion.frames.name, row.ordinal, attempt)
            seen = view(sample, portion.height, portion.width, portion.augmentation, draw)
            try:
                batch = taught(seen, target, f"sample {sample_index} of data set {portion.frames.name}")
                return replace(batch, by_teacher=torch.ones(1, dtype=torch.bool)) if portion.by_teacher else batch
            except UnusableError as error:
                reason = str(error)
        raise ValueError(
            f"data set {portion.frames.name}: {tries} samples in a row gave no usable {target.kind} ({reason}); "
            "look at its depth and masks, or lower least_valid"
        )

    def _read(self, frames: Frames, index: int) -> Sample | None:
        if (frames.name, index) in self._bad:
            return None
        try:
            return frames[index]
        except (ValueError, OSError) as error:
            bad = {**self._bad, (frames.name, index): str(error)}
            if len(bad) > self.skip_bad:
                allowed = f"more than the {self.skip_bad} that may be skipped:\n" if self.skip_bad else ""
                raise ValueError(allowed + "\n".join(bad.values())) from error
            self._bad = bad
            _log.warning("skipped (%d of at most %d): %s", len(bad), self.skip_bad, error)
            return None


class UnusableError(ValueError):
    """A view that has nothing to learn from, though its files are sound."""


def taught(seen: Sample, target: Target, name: str) -> Batch:
    """A view as a batch of one: the photo, and what ``target`` (whose kind is given) makes of its truth.

    Raises UnusableError, opening with ``name``, for a view with too little valid truth or without range, ValueError
    for one without normals where those are wanted.
    """
    kind, valid = target.kind, seen.valid
    image = seen.image * 2 - 1
    if kind == "photo":
        return Batch(image[None], image[None], torch.ones_like(valid)[None])
    if kind == "normals":
        if seen.normals is None:
            raise ValueError(f"{name} has no normals; train depth on this set, or add them")
        valid = seen.normals.norm(dim=0, keepdim=True) > 0.5
    share = float(valid.float().mean())
    if share < target.least_valid or share == 0:
        raise UnusableError(f"{name}: {share:.0%} of the view is valid")
    if kind == "normals":
        return Batch(image[None], seen.normals[None], valid[None])  # pyright: ignore[reportOptionalSubscript]
    if kind == "metric_depth":
        valid = valid & seen.depth_m.isfinite()  # sky has no metres
        return Batch(image[None], torch.where(valid, seen.depth_m, 1.0)[None], valid[None])
    try:
        truth = normalised(seen, kind or "depth", tails=target.tails, filling=target.filling)
    except ValueError as error:
        raise UnusableError(f"{name}: {error}") from error
    return Batch(image[None], truth[None], valid[None])


@lru_cache(maxsize=16)
def _permutation(length: int, seed: int, name: str, epoch: int) -> Tensor:
    """Kept because one epoch's is asked for sample by sample; the value depends on the arguments alone."""
    return torch.randperm(length, generator=generator("epoch", seed, name, epoch)).to(torch.int32)


def _check_portions(portions: Sequence[Portion]) -> None:
    if not portions:
        raise ValueError("no data set to train on; give at least one")
    names = [p.frames.name for p in portions]
    if len(set(names)) != len(names):
        raise ValueError(f"data sets are called {', '.join(names)}; names must differ, as they seed the order")
    for portion, name in zip(portions, names, strict=True):
        if not (math.isfinite(portion.weight) and portion.weight >= 0):
            raise ValueError(f"data set {name} has weight {portion.weight}; allowed is 0 or more")
        if len(portion.frames) == 0:
            raise ValueError(f"data set {name} is empty")
        for what, pixels in (("height", portion.height), ("width", portion.width)):
            if pixels < SIZE_STEP or (pixels % SIZE_STEP and pixels % PATCH):
                near = max(SIZE_STEP, round(pixels / SIZE_STEP) * SIZE_STEP)
                raise ValueError(
                    f"data set {name} has {what} {pixels} pixels; allowed are multiples of {SIZE_STEP}, such as "
                    f"{near}, or of {PATCH} for networks on patches"
                )
    if sum(p.weight for p in portions) <= 0:
        raise ValueError(f"the weights of {', '.join(names)} are all 0; give at least one of them more")
