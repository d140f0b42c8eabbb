"""Stages in 8-bit integers: calibrated on photographs, and kept where they hold beside torch. Knows no library."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from latentdepth.runtimes.artefact import Check
from latentdepth.runtimes.comparing import Reference, Size, compared, pairs, photo_at
from latentdepth.runtimes.engine import Quantiser
from latentdepth.runtimes.traced import Inputs, Traceable

MOST_PHOTOS = 100
"""To calibrate on: each is a run of every layer, and what the stages take is held in memory."""


def calibration(traced: Traceable, sizes: Sequence[Size], photos: Sequence[Path]) -> dict[str, list[Inputs]]:
    """What every stage takes, at every step of the sampler: at every size, of every photo or of 100 evenly spread."""
    photos = photos[:: -(-len(photos) // MOST_PHOTOS)]
    seen: dict[str, list[Inputs]] = {stage: [] for stage in traced.stages}
    for path, size in pairs(sizes, photos, every_photo=True):
        for stage, inputs in traced.inputs(photo_at(path, size), every_step=True).items():
            seen[stage] += inputs
    return seen


def quantise_stage(
    found: Quantiser,
    path: Path,
    inputs: Sequence[Inputs],
    beside: Sequence[Reference],
    *,
    checked: Callable[[Check], None],
) -> tuple[bool, tuple[Check, ...]]:
    """Put the network of ``path`` into int8 if every comparison allows it; returns whether, and the comparisons.

    Where one doesn't, ``path`` is as it was.
    """
    made = path.with_name(f"int8-{path.name}")
    found.quantise(path, inputs, made)
    checks = tuple(compared(found, made, beside, int8=True, checked=checked))
    holds = all(one.passed for one in checks)
    for file in list(path.parent.glob(f"{made.stem}.*")):  # weights may lie beside it
        if holds:
            file.replace(path.with_suffix(file.suffix))
        else:
            file.unlink()
    return holds, checks
