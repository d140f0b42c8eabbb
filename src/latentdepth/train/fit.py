"""The training loop: one function, read from top to bottom. The same command resumes.

Owns steps, precision, checkpoints and stopping; knows nothing of what is trained: a ``Task`` gives the loss, ``source``
the data. Micro-batch j of a run, over all processes, is data j with random numbers j: nothing depends on history, on
the number of processes or on how a batch is split among them.
"""

from __future__ import annotations

import contextlib
import json
import math
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Protocol, TypeVar, runtime_checkable

import torch
from jaxtyping import Float
from torch import Tensor

from latentdepth.config import write_toml
from latentdepth.core.noise import generator
from latentdepth.train import checkpoint as disk
from latentdepth.train import ema
from latentdepth.train.config import fixed_keys
from latentdepth.train.devices import Devices, whole
from latentdepth.train.divergence import DivergedError, save_diverged
from latentdepth.train.logs import RunLog, Window
from latentdepth.train.loop_config import FitConfig
from latentdepth.train.optim import learning_rate, make_optimiser, split_rates
from latentdepth.train.state import State
from latentdepth.train.stopping import Stop
from latentdepth.train.task import Task


@runtime_checkable
class Movable(Protocol):
    """A batch: tensors, or a dataclass of tensors, that can go to a device."""

    def to(self, device: torch.device) -> Any:
        """The same batch elsewhere."""
        ...


MovableT = TypeVar("MovableT", bound=Movable)
Source = Callable[[Sequence[int]], Iterable[MovableT]]
"""Micro-batches by their numbers, in the order asked for."""


@dataclass(frozen=True)
class Validated:
    """What a validation found."""

    metrics: dict[str, float]
    score: float
    """The lower, the better: decides which model is ``OUT/best``."""
    picture: Float[Tensor, "3 h w"] | None = None


@dataclass(frozen=True)
class Validation:
    """How the model is judged on the way."""

    every: int
    """Steps."""
    measure: Callable[[Any], Validated]
    """Given the task with the averaged weights in place."""


@dataclass(frozen=True)
class Record:
    """What ``OUT/config.toml`` says of a run."""

    config: Any
    """A dataclass that TOML can hold."""
    data: Mapping[str, Any]
    """Further flat JSON values that a checkpoint must agree with, such as the number of samples."""


@dataclass(frozen=True)
class Fitted:
    """Where a run stands when ``fit`` returns."""

    model: Path
    step: int
    ended: Literal["done", "out of time", "interrupted"]


def fit(
    config: FitConfig,
    task: Task[MovableT],
    source: Source[MovableT],
    out: Path,
    *,
    validation: Validation | None = None,
    record: Record | None = None,
    fresh: bool = False,
    quiet: bool = False,
) -> Fitted:
    """Train ``task`` on ``source``, from the newest checkpoint in ``out`` where there is one.

    ``record`` is written to ``OUT/config.toml``, by default ``config``; a checkpoint must agree with it. ``fresh``
    moves an earlier run aside. Ctrl-C and SIGTERM finish the step and save. Raises ValueError for a checkpoint of
    another run, DivergedError (the micro-batch is saved) and DiskFullError (the last checkpoint is whole).
    """
    loop = config.loop
    devices = Devices(loop.device, shard=loop.shard)
    portions = loop.portions(devices.world)
    record = record or Record(config, {})
    agreed = json.loads(json.dumps(fixed_keys(record.config) | dict(record.data)))
    if devices.main:
        out.mkdir(parents=True, exist_ok=True)
        if fresh:
            disk.set_aside(out)
        disk.tidy(out)
    devices.wait()

    # 1. what is trained, and where it was left
    task.to(devices.device)
    network = task.network.train()
    plain = devices.plain_copy(network) if devices.sharded else None
    prepared = devices.prepare(network)
    trained = [p for p in network.parameters() if p.requires_grad]
    optimiser = make_optimiser(config.optim, trained)
    split_rates(optimiser, network, task.rates())
    state = State(task, network, optimiser, config.ema, plain=plain)
    start = _resume(out, state, agreed)
    if devices.main:
        write_toml(record.config, out / "config.toml")
    if devices.main and start < loop.steps:
        # weights and two moments, an average, and the model folder
        disk.require_room(out, sum(4 * p.numel() * (4 + (state.average is not None)) for p in trained))

    # 2. this process's share of the micro-batches that are left
    each_step = portions * devices.world
    stream = iter(source(range(start * each_step + devices.rank, loop.steps * each_step, devices.world)))
    step, ended, began = start, "done", time.monotonic()
    window = Window()
    with contextlib.ExitStack() as stack:
        log = (
            stack.enter_context(RunLog(config.log, out, step=start, steps=loop.steps, quiet=quiet))
            if devices.main
            else None
        )
        stop = stack.enter_context(Stop(say=None if log is None else log.say))

        @window.aside
        def save() -> None:
            state.gather()
            tables = state.tables()
            if log is not None:
                progress = {"step": step, "fixed": agreed, "optimiser": state.numbers()}
                disk.write(out, step, model=state.save_model, state=tables, progress=progress, keep=loop.keep)
            devices.wait()

        @window.aside
        def judge() -> None:
            assert validation is not None
            state.gather()
            if log is not None:
                with state.model(), torch.no_grad():
                    found = validation.measure(task)
                _keep_if_best(out, step, found)
                log.numbers(step, found.metrics, kind="validation")
                if found.picture is not None:
                    log.picture(step, found.picture)
            devices.wait()

        if validation is not None:
            if start == 0 and not disk.checkpoints(out):
                save()  # what is started from is measured too, and what would fail later fails now
            devices.wait()
            if _unjudged(out, start, validation.every, loop.steps):
                judge()
        while step < loop.steps:
            # 3. gradients of this step's portions
            rate = learning_rate(config.optim, step, loop.steps)
            for group in optimiser.param_groups:
                group["lr"] = rate * group.get("share", 1.0)
            batches, sums, task.network = [], [], prepared
            for k in range(portions):
                with window.waiting():
                    batches.append(next(stream))
                draw = generator("train", loop.seed, step * each_step + k * devices.world + devices.rank)
                with devices.portion(prepared, last=k == portions - 1), _seeded(draw, devices.device):
                    with torch.autocast(devices.device.type, torch.bfloat16, enabled=loop.precision == "bfloat16"):
                        losses = task.loss(batches[-1].to(devices.device), draw)
                    (losses["loss"] / portions).backward()
                sums.append({name: value.detach().float() for name, value in losses.items()})
            task.network = network
            norm = devices.clip(trained, config.optim.clip or math.inf)

            # 4. one wait for the device, and agreement between processes: the figures, whether to stop
            names = sorted(sums[0])
            mean = torch.stack([torch.stack([part[name] for part in sums]).mean() for name in names])
            late = loop.minutes is not None and time.monotonic() - began > loop.minutes * 60
            flags = mean.new_tensor([float(stop.asked), float(late)])
            *values, asked, late = devices.mean(torch.cat((mean, norm.detach().float().reshape(1), flags))).tolist()
            figures = dict(zip([*names, "gradient_norm"], values, strict=True))
            if not all(math.isfinite(value) for value in values):
                raise DivergedError(save_diverged(out, step, devices.rank, batches, sums, figures | {"lr": rate}))

            # 5. the step itself
            optimiser.step()
            optimiser.zero_grad(set_to_none=True)
            task.after_step()
            step += 1
            state.after_step(step)
            window.add(figures)

            # 6. what is told and kept
            last = step == loop.steps or asked > 0 or late > 0
            if log is not None:
                log.advance(step)
                if step % config.log.every == 0 or last:
                    log.numbers(step, window.close() | {"lr": rate})
            if config.ema.widths and (step % config.ema.snapshot_every == 0 or step == loop.steps):
                _save_snapshots(out, step, state, main=devices.main)
            due = validation is not None and (step % validation.every == 0 or step == loop.steps)
            if step % loop.save_every == 0 or last or due:
                save()
            if due:
                judge()
            if last:
                ended = "interrupted" if asked else "out of time" if late and step < loop.steps else "done"
                break
        if log is not None and ended == "interrupted":
            log.say(f"stopped by {stop.name} after step {step}; saved. The same command goes on from here")
    devices.wait()
    return Fitted(out / "model", step, ended)


def _resume(out: Path, state: State, agreed: Mapping[str, Any]) -> int:
    """Load the newest checkpoint and return its step; 0 where there is none."""
    done = disk.checkpoints(out)
    if not done:
        return 0
    newest, progress = done[-1], done[-1].progress()
    differing = disk.disagreements(progress["fixed"], agreed)
    if differing:
        raise ValueError(
            f"{out} holds a run with other settings: {'; '.join(differing)}. Give the settings it was started with, "
            "another --out, or --fresh to start anew (the earlier run is moved aside)"
        )
    names = [path.stem for path in (newest.folder / "state").glob("*.safetensors")]
    state.load({name: newest.tensors(name) for name in names}, progress["optimiser"], str(newest.folder))
    return newest.step


def _unjudged(out: Path, step: int, every: int, steps: int) -> bool:
    newest = disk.checkpoints(out)[-1:]
    return bool(newest) and (step % every == 0 or step == steps) and not (newest[0].folder / "validation.json").exists()


def _keep_if_best(out: Path, step: int, found: Validated) -> None:
    """Note what was found in the newest checkpoint; copy its model to ``OUT/best`` if none was better."""
    note = {"step": step, "score": found.score, "metrics": found.metrics}
    newest, best = disk.checkpoints(out)[-1], out / "best" / "validation.json"
    with disk.disk_room(out):
        if not best.exists() or found.score < json.loads(best.read_text())["score"]:
            disk.point(out / "best", newest.model, {"validation.json": note})
        (newest.folder / "validation.json").write_text(json.dumps(note, indent=1))


@contextlib.contextmanager
def _seeded(draw: torch.Generator, device: torch.device) -> Iterator[None]:
    """Modules that draw by themselves (dropout) take no generator: give them a seed of the micro-batch's own."""
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        torch.manual_seed(draw.initial_seed())
        yield


def _save_snapshots(out: Path, step: int, state: State, *, main: bool) -> None:
    (out / "ema").mkdir(exist_ok=True)
    for width, average in state.powers.items():
        tensors = whole(average)
        if main:
            path = ema.snapshot_path(out / "ema", step, width)
            with disk.disk_room(out):
                disk.save_tensors(tensors, path.with_suffix(".new"))
                path.with_suffix(".new").replace(path)
