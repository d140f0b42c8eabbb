"""From a run's folder to a model folder in the public layout. Knows no training steps."""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor

from latentdepth.config import read_toml
from latentdepth.models.diffusion import load_diffusion
from latentdepth.train.checkpoint import Checkpoint, checkpoints, disk_room
from latentdepth.train.config import TrainConfig
from latentdepth.train.ema import posthoc_ema, snapshots
from latentdepth.train.runs import build_task
from latentdepth.train.state import moving

_DTYPES = {"float32": torch.float32, "float16": torch.float16, "bfloat16": torch.bfloat16}


def export_checkpoint(
    run: Path,
    out: Path,
    *,
    weights: Literal["saved", "best", "live"] = "saved",
    step: int | None = None,
    ema_width: float | None = None,
    dtype: Literal["float32", "float16", "bfloat16"] = "float16",
    overwrite: bool = False,
) -> None:
    """Write the model of ``run`` to ``out``, whole or not at all, after loading it once to see that it does.

    ``ema_width`` makes a power-function average from the run's snapshots instead. Raises ValueError for what is not
    there, and for weights that the dtype can't hold.
    """
    if out.exists() and not overwrite:
        raise ValueError(f"{out} exists; say --overwrite to replace it, or give another folder")
    if ema_width is not None and weights != "saved":
        raise ValueError(f"--ema-width makes weights of its own; leave out --weights {weights}")
    fresh = out.with_name(out.name + ".new")
    shutil.rmtree(fresh, ignore_errors=True)
    try:
        with disk_room(out.parent):
            fresh.mkdir(parents=True)
            source = _source(run, fresh / "rebuilt", weights, step, ema_width)
            load_diffusion(source, device=torch.device("cpu"), dtype=torch.float32).save(fresh, dtype=_DTYPES[dtype])
            load_diffusion(fresh, device=torch.device("cpu"), dtype=_DTYPES[dtype])
            shutil.rmtree(fresh / "rebuilt", ignore_errors=True)
            if out.exists():
                shutil.rmtree(out)
            os.replace(fresh, out)
    finally:
        shutil.rmtree(fresh, ignore_errors=True)


def _source(run: Path, rebuilt: Path, weights: str, step: int | None, ema_width: float | None) -> Path:
    """A folder with the model that was asked for, made in ``rebuilt`` where no checkpoint holds it."""
    if weights == "best":
        if not (run / "best").is_dir():
            raise ValueError(f"{run} has no best model: it was not validated; leave out --weights best")
        return run / "best"
    if ema_width is not None:
        return _rebuilt(run, posthoc_ema(snapshots(run / "ema"), ema_width, step=step), rebuilt)
    chosen = _chosen(run, step)
    if weights == "live":
        return _rebuilt(run, chosen.tensors("weights"), rebuilt)
    return chosen.model


def _chosen(run: Path, step: int | None) -> Checkpoint:
    done = checkpoints(run)
    if not done:
        raise ValueError(f"{run} holds no checkpoint; give a folder that `latentdepth train` wrote")
    found = [one for one in done if step in (None, one.step)]
    if not found:
        raise ValueError(f"{run} has no checkpoint of step {step}; there are {', '.join(str(o.step) for o in done)}")
    return found[-1]


def _rebuilt(run: Path, weights: Mapping[str, Tensor], folder: Path) -> Path:
    """The run's task, built again with other weights, saved."""
    task = build_task(read_toml(TrainConfig, run / "config.toml"))
    wanted = moving(task.network)
    if wanted.keys() != weights.keys():
        raise ValueError(f"the weights of {run} don't fit its config.toml; was that file changed?")
    for name, target in wanted.items():
        target.copy_(weights[name])
    folder.mkdir()
    task.save(folder)
    return folder
