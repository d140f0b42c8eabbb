"""The training loop: one function, read from top to bottom. The same command resumes.

Owns the optimiser, precision, EMA, logging and checkpoints; knows nothing of what is being trained: a ``Task`` gives
the loss, ``batches`` gives the data. Random numbers of step k come from (seed, k), never from history, so a resumed
run sees what an uninterrupted one would have seen.
"""

from __future__ import annotations

import json
import math
import os
import shutil
import time
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Generic, Protocol, TypeVar, runtime_checkable

import torch
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from latentdepth.core.noise import generator

BatchT = TypeVar("BatchT", contravariant=True)


@runtime_checkable
class Task(Protocol, Generic[BatchT]):
    """What is trained: a network, its loss on a batch, and how it is saved as a folder that loads."""

    @property
    def network(self) -> nn.Module:
        """The weights that are trained."""
        ...

    def loss(self, batch: BatchT, draw: torch.Generator) -> dict[str, Tensor]:
        """Named scalars; ``loss`` is the one that is minimised, the others are logged."""
        ...

    def save(self, folder: Path) -> None:
        """Write the network as it stands in the layout that ``load`` reads."""
        ...


@dataclass(frozen=True)
class LoopConfig:
    """How long and how fast to train."""

    steps: int = 1000
    """Optimiser steps."""
    lr: float = 3e-4
    """Peak learning rate (AdamW)."""
    warmup: int = 100
    """Steps of linear warm-up; then a cosine falls to ``final_lr`` times the peak."""
    final_lr: float = 0.02
    """Last learning rate as a share of the peak."""
    weight_decay: float = 0.01
    clip: float = 1.0
    """Gradients are clipped to this norm."""
    ema: float = 0.995
    """Decay of the exponential moving average of the weights, which is what gets saved."""
    bf16: bool = True
    """bfloat16 autocast; weights and optimiser stay float32."""
    seed: int = 0
    save_every: int = 200
    """Steps between checkpoints."""
    log_every: int = 20
    minutes: float | None = None
    """Stop (saving first) after this long; the same command goes on from there."""


def learning_rate(config: LoopConfig, step: int) -> float:
    """Linear warm-up from lr / warmup (never 0), then a cosine."""
    if step < config.warmup:
        return config.lr * (step + 1) / config.warmup
    done = (step - config.warmup) / max(1, config.steps - config.warmup)
    return config.lr * (config.final_lr + (1 - config.final_lr) * (1 + math.cos(math.pi * min(1.0, done))) / 2)


def _replace_folder(folder: Path, write: Callable[[Path], None]) -> None:
    """Write beside, then swap: a kill at any moment leaves the old or the new checkpoint whole."""
    fresh, old = folder.with_name(folder.name + ".new"), folder.with_name(folder.name + ".old")
    shutil.rmtree(fresh, ignore_errors=True)
    fresh.mkdir(parents=True)
    write(fresh)
    shutil.rmtree(old, ignore_errors=True)
    if folder.exists():
        os.replace(folder, old)
    os.replace(fresh, folder)
    shutil.rmtree(old, ignore_errors=True)


def _save_state(
    path: Path, network: nn.Module, ema: dict[str, Tensor], optimiser: torch.optim.Optimizer, step: int
) -> None:
    names = [n for n, p in network.named_parameters() if p.requires_grad]
    tensors = {f"weight/{k}": v.detach().contiguous() for k, v in network.state_dict().items()}
    tensors |= {f"ema/{k}": v.contiguous() for k, v in ema.items()}
    for name, moments in zip(names, optimiser.state_dict()["state"].values(), strict=True):
        tensors |= {f"adam/{name}/{k}": v.detach().contiguous() for k, v in moments.items()}
    save_file({k: v.clone() for k, v in tensors.items()}, path, metadata={"step": str(step)})


def _load_state(path: Path, network: nn.Module, ema: dict[str, Tensor], optimiser: torch.optim.Optimizer) -> None:
    tensors = load_file(path)
    network.load_state_dict({k[7:]: v for k, v in tensors.items() if k.startswith("weight/")})
    for name in ema:
        ema[name].copy_(tensors[f"ema/{name}"])
    names = [n for n, p in network.named_parameters() if p.requires_grad]
    state = {
        i: {k: tensors[f"adam/{name}/{k}"] for k in ("step", "exp_avg", "exp_avg_sq")} for i, name in enumerate(names)
    }
    optimiser.load_state_dict({"state": state, "param_groups": optimiser.state_dict()["param_groups"]})


def train(
    config: LoopConfig, task: Task[BatchT], batches: Callable[[int], BatchT], out: Path, *, quiet: bool = False
) -> Path:
    """Train ``task`` on ``batches(step)`` and return the model folder ``out/model``.

    ``out/state`` holds what a resume needs, ``out/log.jsonl`` one line per ``log_every`` steps, ``out/loop.json`` the
    configuration. Ctrl-C saves before it leaves. A loss that is not finite stops the run with ValueError; the last
    checkpoint stays.
    """
    out.mkdir(parents=True, exist_ok=True)
    network = task.network.train()
    parameters = [p for p in network.parameters() if p.requires_grad]
    optimiser = torch.optim.AdamW(parameters, lr=config.lr, weight_decay=config.weight_decay)
    ema = {k: v.detach().clone() for k, v in network.state_dict().items()}
    state, done_path, step = out / "state.safetensors", out / "progress.json", 0
    if state.exists() and done_path.exists():
        step = json.loads(done_path.read_text())["step"]
        _load_state(state, network, ema, optimiser)
    (out / "loop.json").write_text(json.dumps(asdict(config), indent=1))

    def checkpoint() -> None:
        def write(folder: Path) -> None:
            live = {k: v.detach().clone() for k, v in network.state_dict().items()}
            network.load_state_dict(ema)
            task.save(folder)
            network.load_state_dict(live)

        _replace_folder(out / "model", write)
        fresh = state.with_suffix(".new")
        _save_state(fresh, network, ema, optimiser, step)
        os.replace(fresh, state)
        done_path.write_text(json.dumps({"step": step, "of": config.steps}))

    columns = (
        TextColumn("training"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[note]}"),
    )
    started, sums, counted = time.monotonic(), {}, 0
    progress = nullcontext() if quiet else Progress(*columns)
    with progress:
        bar = (
            None
            if isinstance(progress, nullcontext)
            else progress.add_task("", total=config.steps, completed=step, note="")
        )
        try:
            while step < config.steps:
                for group in optimiser.param_groups:
                    group["lr"] = learning_rate(config, step)
                batch = batches(step)
                device = next(network.parameters()).device.type
                with torch.autocast(device, torch.bfloat16, enabled=config.bf16):
                    losses = task.loss(batch, generator("train", config.seed, step))
                if not bool(torch.isfinite(losses["loss"])):
                    raise ValueError(
                        f"the loss is {float(losses['loss'].detach())} at step {step}; the last checkpoint is kept "
                        f"in {out}. Try a lower learning rate (given: {config.lr}) and look for NaN in the data"
                    )
                optimiser.zero_grad(set_to_none=True)
                losses["loss"].backward()
                nn.utils.clip_grad_norm_(parameters, config.clip)
                optimiser.step()
                decay = min(config.ema, (step + 1) / (step + 10))
                with torch.no_grad():
                    for name, value in network.state_dict().items():
                        if value.is_floating_point():
                            ema[name].lerp_(value, 1 - decay)
                        else:  # batch-norm's count of batches
                            ema[name].copy_(value)
                step, counted = step + 1, counted + 1
                sums = {k: sums.get(k, 0.0) + float(v.detach()) for k, v in losses.items()}
                if step % config.log_every == 0:
                    line = {k: round(v / counted, 6) for k, v in sums.items()}
                    line |= {"step": step, "seconds": round(time.monotonic() - started, 1)}
                    with (out / "log.jsonl").open("a") as log:
                        log.write(json.dumps(line) + "\n")
                    sums, counted = {}, 0
                    if not isinstance(progress, nullcontext) and bar is not None:
                        progress.update(bar, completed=step, note=f"loss {line['loss']:.4f}")
                out_of_time = config.minutes is not None and time.monotonic() - started > config.minutes * 60
                if step % config.save_every == 0 or step == config.steps or out_of_time:
                    checkpoint()
                if out_of_time:
                    break
        except KeyboardInterrupt:
            checkpoint()
            raise
    return out / "model"
