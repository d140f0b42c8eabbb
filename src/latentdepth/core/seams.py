"""Do tiles show: gradients across their borders against gradients elsewhere. Knows neither fits nor networks."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from latentdepth.core.tiles import Layout, Window


def seam_energy(value: Float[Tensor, "1 1 h w"], windows: Sequence[Window], layout: Layout) -> float:
    """Mean absolute step across the windows' borders inside the image, over the mean step between all other neighbours.

    About 1 where tiles don't show, and far above where they do; NaN where no border lies inside the image or nothing
    else varies. Pictures have edges of their own: compare with the same figure of a map that was never tiled.
    """
    crossed = {
        -1: _segments(layout.height, layout.width, [(w.left, w.width, w.top, w.height) for w in windows]).T,
        -2: _segments(layout.width, layout.height, [(w.top, w.height, w.left, w.width) for w in windows]),
    }
    on_total, off_total, on_count, off_count = 0.0, 0.0, 0, 0
    for axis, on in crossed.items():
        step = value.double().diff(dim=axis).abs()[0, 0]
        on_total, on_count = on_total + float(step[on].sum()), on_count + int(on.sum())
        off_total, off_count = off_total + float(step[~on].sum()), off_count + int((~on).sum())
    if not on_count or not off_total:
        return float("nan")
    return (on_total / on_count) / (off_total / off_count)


def _segments(along: int, across: int, borders: list[tuple[int, int, int, int]]) -> Tensor:
    """Which steps (between ``across`` neighbours, at ``along`` places) a border crosses."""
    on = torch.zeros(across - 1, along, dtype=torch.bool)
    for first, length, start, extent in borders:
        places = torch.arange(start, start + extent) % along
        for edge in (first, first + length):
            if edge % across > 0:
                on[edge % across - 1, places] = True
    return on
