"""``latentdepth predict --to shards``: photos in, labels for training out. ``latentdepth.labelling`` does the work."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from latentdepth.data.options import LabelChoice
from latentdepth.options import Device, Dtype, PredictOptions, Runtime
from latentdepth.verbs.progress import bar


@dataclass(frozen=True)
class LabelOptions:
    """Of `--to shards` alone."""

    choice: LabelChoice = field(default_factory=LabelChoice)
    no_sky: bool = False
    """Leave sky as the model says it, instead of infinitely far."""
    label_px: int = 768
    """Shrink photos to this longer side for their labels; 0 keeps their size."""


def run_labels(
    photos: Sequence[Path],
    out: Path,
    labels: LabelOptions,
    options: PredictOptions,
    *,
    model: str,
    max_pixels: int | None,
    device: Device,
    dtype: Dtype,
    runtime: Runtime = "torch",
) -> int:
    """Exit status: 0 all is well, 1 photos failed or the disk is full, 130 stopped by Ctrl-C."""
    from latentdepth.images import MAX_PIXELS
    from latentdepth.labelling import Fate, Labelling, label_files, summary
    from latentdepth.loading import load

    labelling = Labelling(
        options=options,
        choice=labels.choice,
        sky=not labels.no_sky,
        longest_px=labels.label_px,
        max_pixels=MAX_PIXELS if max_pixels is None else max_pixels,
    )
    with bar("labelling", total=len(photos)) as shown:

        def on_photo(path: Path, fate: Fate, text: str) -> None:
            shown.advance(worked=True)
            if text:
                shown.say(f"{fate}: {path}: {text}")

        report = label_files(
            lambda: load(model, device=device, dtype=dtype, runtime=runtime),
            photos,
            labelling,
            out,
            model=model,
            on_photo=on_photo,
        )
    print(summary(report, out), file=sys.stderr)
    return 130 if report.stopped == "interrupted" else int(report.failed > 0 or report.stopped is not None)
