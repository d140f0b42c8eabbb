"""All that a training step changes: weights, averages, the optimiser's moments, and what the task keeps.

Gives it as named tensors and takes it back exactly; knows no files and no losses. Where the network is in pieces
(FSDP), tensors are given whole, so that a checkpoint does not depend on the number of processes.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from latentdepth.train import ema
from latentdepth.train.devices import like, put, whole
from latentdepth.train.loop_config import EmaConfig
from latentdepth.train.task import Task

Tables = dict[str, dict[str, Tensor]]


def moving(network: nn.Module) -> dict[str, Tensor]:
    """Trained weights and persistent buffers by name: what differs from what the network was built with."""
    tensors = network.state_dict(keep_vars=True)
    return {k: v.detach() for k, v in tensors.items() if v.requires_grad or not isinstance(v, nn.Parameter)}


class State:
    """The moving parts of one run. ``plain`` is a whole copy of a network that is trained in pieces, else None."""

    def __init__(
        self,
        task: Task[Any],
        network: nn.Module,
        optimiser: torch.optim.Optimizer,
        config: EmaConfig,
        *,
        plain: nn.Module | None = None,
    ) -> None:
        self.task, self.network, self.optimiser, self.config, self.plain = task, network, optimiser, config, plain
        weights = moving(network)
        self.average = ema.new_average(weights) if config.decay else None
        self.powers = {width: ema.new_average(weights) for width in config.widths}

    def after_step(self, step: int) -> None:
        """Move the averages; ``step`` counts from 1."""
        weights = moving(self.network)
        if self.average is not None:
            ema.update(self.average, weights, ema.exponential_keep(self.config.decay, step))
        for width, average in self.powers.items():
            ema.update(average, weights, ema.power_keep(width, step))

    def tables(self) -> Tables:
        """Everything as tables of whole tensors. With several pieces, every process must call this."""
        tables = {"weights": whole(moving(self.network)), "task": dict(self.task.state())}
        if self.average is not None:
            tables["average"] = whole(self.average)
        tables |= {f"power-{width:.4f}": whole(average) for width, average in self.powers.items()}
        tables["optimiser"] = {
            f"{key}/{name}": value
            for name, moments in self._moments()
            for key, value in whole({k: v for k, v in moments.items() if isinstance(v, Tensor)}).items()
        }
        return tables

    def numbers(self) -> dict[str, float]:
        """What the optimiser keeps that is no tensor, by the same names."""
        plain = (int, float)
        return {f"{k}/{n}": v for n, moments in self._moments() for k, v in moments.items() if isinstance(v, plain)}

    def load(self, tables: Tables, numbers: Mapping[str, float], where: str) -> None:
        """Take back what ``tables`` and ``numbers`` gave. ValueError names weights that are missing or don't fit."""
        weights = moving(self.network)
        _check_shapes(weights, tables["weights"], where)
        for name, target in weights.items():
            put(target, tables["weights"][name])
        averages = {"average": self.average or {}} | {f"power-{w:.4f}": a for w, a in self.powers.items()}
        for table, average in averages.items():
            for name, target in average.items():
                put(target, tables[table][name])
        self.task.load_state(tables["task"])
        found: dict[str, dict[str, Any]] = {}
        for joined, value in {**tables["optimiser"], **numbers}.items():
            key, name = joined.split("/", 1)
            found.setdefault(name, {})[key] = value
        for name, parameter, group in self._parameters():
            on_device = group.get("fused") or group.get("capturable")
            # straight into place: load_state_dict would cast float32 and 8-bit moments to the dtype of the weights
            self.optimiser.state[parameter] = {
                key: _placed(value, parameter, on_device=bool(on_device)) for key, value in found.get(name, {}).items()
            }

    @contextlib.contextmanager
    def model(self) -> Iterator[None]:
        """Within: ``task.network`` is a bare network in evaluation mode with the averaged weights, where there are any.

        For the main process; where the network is in pieces, ``gathered`` has to be called by all before.
        """
        network, weights = self.network, moving(self.network)
        live = {}
        if self.plain is not None:
            network = self.plain.to(next(self.network.parameters()).device)
        elif self.average is not None:
            live = {k: v.to("cpu", copy=True) for k, v in weights.items()}
            for name, target in weights.items():
                put(target, self.average[name])
        self.task.network = network.eval()
        try:
            yield
        finally:
            for name, value in live.items():
                put(weights[name], value)
            if self.plain is not None:
                self.plain.to("cpu")
            self.task.network = self.network.train()

    def save_model(self, folder: Path) -> None:
        """Write the averaged model. Only within do the weights change, which ``tables`` gives by reference."""
        with self.model():
            self.task.save(folder)

    def gather(self) -> None:
        """Bring the whole copy up to date, where there is one. Every process must call this."""
        if self.plain is None:
            return
        source = whole(self.average if self.average is not None else moving(self.network))
        for name, target in moving(self.plain).items():
            put(target, source[name])

    def _parameters(self) -> Iterator[tuple[str, nn.Parameter, dict[str, Any]]]:
        names = {id(p): n for n, p in self.network.named_parameters()}
        for group in self.optimiser.param_groups:
            for parameter in group["params"]:
                yield names[id(parameter)], parameter, group

    def _moments(self) -> Iterator[tuple[str, dict[str, Any]]]:
        for name, parameter, _ in self._parameters():
            if parameter in self.optimiser.state:
                yield name, self.optimiser.state[parameter]


def _placed(value: Any, parameter: nn.Parameter, *, on_device: bool) -> Any:
    if not isinstance(value, Tensor) or (value.ndim == 0 and not on_device):
        return value
    return like(value, parameter) if value.shape == parameter.shape else value.to(parameter.device)


def _check_shapes(wanted: Mapping[str, Tensor], given: Mapping[str, Tensor], where: str) -> None:
    wrong = [f"{k} is missing" for k in wanted if k not in given] + [
        f"{k} has no place" for k in given if k not in wanted
    ]
    wrong += [
        f"{k} has shape {tuple(given[k].shape)}, {tuple(v.shape)} is needed"
        for k, v in wanted.items()
        if k in given and given[k].shape != v.shape
    ]
    if wrong:
        more = f" (and {len(wrong) - 3} more)" if len(wrong) > 3 else ""
        raise ValueError(
            f"{where} holds another network: {'; '.join(wrong[:3])}{more}. Resume with the base model that the run was "
            "started with, give another --out, or --fresh to start anew"
        )
