"""What is kept for inspection when a loss is no number any more. Knows batches as tensors by name."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from latentdepth.train import checkpoint as disk


class DivergedError(RuntimeError):
    """The loss or its gradient is not finite."""


def save_diverged(
    out: Path,
    step: int,
    rank: int,
    batches: Sequence[Any],
    sums: Sequence[Mapping[str, Tensor]],
    figures: Mapping[str, float],
) -> str:
    """Save the micro-batches that gave no finite loss (all of them, if each did) and say what happened."""
    broken = [k for k, losses in enumerate(sums) if not bool(torch.isfinite(losses["loss"]))]
    # another process's micro-batch, where this one's are fine
    blameless = not broken and not math.isfinite(figures["loss"])
    folder = out / "diverged" / f"step-{step:07d}-process-{rank}"
    folder.mkdir(parents=True, exist_ok=True)
    for k in broken or ([] if blameless else range(len(batches))):
        batch = batches[k]
        parts = {f.name: getattr(batch, f.name) for f in fields(batch)} if is_dataclass(batch) else {"batch": batch}
        tensors = {name: part for name, part in parts.items() if isinstance(part, Tensor)}
        disk.save_tensors(tensors, folder / f"portion-{k}.safetensors")
    what = {name: f"{value:g}" for name, value in figures.items()}
    (folder / "figures.json").write_text(json.dumps({"step": step, "portions": broken, **what}, indent=1))
    done = disk.checkpoints(out)
    kept = f"the checkpoint of step {done[-1].step} is kept" if done else "no checkpoint was written yet"
    return (
        f"the loss is {what['loss']}, its gradient's norm {what['gradient_norm']}, at step {step}; {kept} and the "
        f"batch lies in {folder}. Look for NaN in it; else lower optim.lr (given: {what['lr']}), clip (optim.clip), or "
        "compute in float32 (loop.precision)"
    )
