"""``latentdepth export-checkpoint``: a run's weights as a folder that latentdepth and diffusers load."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from tyro.conf import Positional, arg


@dataclass(frozen=True)
class ExportCheckpoint:
    """Write a trained model in the public layout: unet/, vae/, scheduler/, model_index.json."""

    run: Annotated[Positional[Path], arg(metavar="RUN")]
    """Folder that `latentdepth train` wrote."""
    out: Annotated[Positional[Path], arg(metavar="OUT")]
    """Folder for the model."""
    weights: Literal["saved", "best", "live"] = "saved"
    """saved: the newest checkpoint's model (averaged, where the recipe averages). best: the best validated one.
    live: the newest checkpoint's weights without averaging."""
    step: int | None = None
    """Take the checkpoint of this step, if it is still kept, instead of the newest."""
    ema_width: float | None = None
    """Relative width of a power-function average, made from the run's snapshots (recipes with ema.widths)."""
    mean_with: str | None = None
    """Write the mean of the run's weights and those of this feed-forward student (dir:PATH or builtin:NAME), from which
    the run went on. Such a mean often keeps what the run forgot."""
    share: float | None = None
    """With --mean-with: how much of the mean is the run's, above 0 and below 1; a half unless said."""
    rest_from: str | None = None
    """Take only the first blocks of the transformer from the run, and all else from this feed-forward student: what was
    learnt without what the head and the last blocks forgot. With --mean-with, before the mean."""
    rest: Literal["all", "transformer"] = "all"
    """transformer: --rest-from gives the transformer's later blocks only, and the head stays the run's."""
    blocks: int | None = None
    """How many blocks --rest-from leaves as the run has them; 8 unless said, 0 with --rest transformer for none."""
    dtype: Literal["float32", "float16", "bfloat16", "int8"] = "float16"
    """What the weights are stored in. int8 (with a scale for each output channel): for feed-forward students, half the
    size of float16."""
    overwrite: bool = False
    """Replace a model that is there."""


def run(verb: ExportCheckpoint) -> int:
    """Export; returns the exit status. ValueError for a run, step or width that is not there."""
    from latentdepth.train.exporting import export_checkpoint

    export_checkpoint(
        verb.run,
        verb.out,
        weights=verb.weights,
        step=verb.step,
        ema_width=verb.ema_width,
        mean_with=verb.mean_with,
        share=verb.share,
        rest_from=verb.rest_from,
        rest=verb.rest,
        blocks=verb.blocks,
        dtype=verb.dtype,
        overwrite=verb.overwrite,
    )
    print(f"{verb.out}: load it as dir:{verb.out}", file=sys.stderr)
    return 0
