"""One stage of a recipe that has several: the loop with a short plan, done or the program ends."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from latentdepth.train.config import EmaConfig, FitConfig, LoopConfig, OptimConfig
from latentdepth.train.fit import fit


@dataclass(frozen=True)
class Plan:
    """How long and how fast; AdamW under a cosine that ends at 2 % of ``lr``."""

    steps: int
    batch: int
    lr: float
    seed: int
    warmup: int = 100
    ema: float = 0.995
    """Decay of the moving average of the weights, which is what is kept."""
    minutes: float | None = None


def fit_stage(plan: Plan, task: Any, batches: Callable[[int], Any], out: Path) -> Path:
    """Train ``task`` on ``batches(step)`` and return the folder of its averaged weights, ``out/model``.

    SystemExit when the run was stopped or out of time, since a next stage needs a finished one; it resumes.
    """
    config = FitConfig(
        LoopConfig(
            steps=plan.steps,
            minutes=plan.minutes,
            batch=plan.batch,
            micro_batch=plan.batch,
            seed=plan.seed,
            save_every=100,
        ),
        OptimConfig(lr=plan.lr, schedule="cosine", warmup=plan.warmup, final=0.02, weight_decay=0.01, clip=1.0),
        EmaConfig(decay=plan.ema),
    )
    fitted = fit(config, task, partial(map, batches), out)
    if fitted.ended != "done":
        raise SystemExit(f"{fitted.ended} at step {fitted.step}; the same command goes on from there")
    return fitted.model
