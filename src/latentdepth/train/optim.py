"""Optimisers by name, and the learning rate of a step as a plain function of its number.

Knows no tasks and no devices. The published schedule is Marigold's (arXiv 2312.02145); AdamW is arXiv 1711.05101,
8-bit moments 2110.02861.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import torch
from torch import nn

from latentdepth.train.loop_config import OptimConfig


def learning_rate(config: OptimConfig, step: int, steps: int) -> float:
    """Learning rate of step ``step`` (from 0) of ``steps``.

    Linear rise from lr / warmup (the original's first step has rate 0 and does nothing), then by schedule.
    """
    if step < config.warmup:
        return config.lr * (step + 1) / config.warmup
    last = config.decay_steps or steps
    done = min(1.0, (step - config.warmup) / max(1, last - config.warmup))
    if config.schedule == "published":
        return config.lr * config.final**done
    if config.schedule == "cosine":
        return config.lr * (config.final + (1 - config.final) * (1 + math.cos(math.pi * done)) / 2)
    if config.schedule == "polynomial":
        return config.lr * (config.final + (1 - config.final) * (1 - done) ** 0.9)
    return config.lr


def split_rates(optimiser: torch.optim.Optimizer, network: nn.Module, shares: Mapping[str, float]) -> None:
    """Give weights whose names begin with a key of ``shares`` that share of the run's learning rate; in place.

    Each of the optimiser's groups has its share as ``share`` afterwards. Raises ValueError for a beginning that no
    trained weight has.
    """
    whole, (group, *_) = dict(network.named_parameters()), optimiser.param_groups
    trained = {id(p) for p in group["params"]}
    taken: set[int] = set()
    for beginning, share in shares.items():
        chosen = [p for name, p in whole.items() if name.startswith(beginning) and id(p) in trained - taken]
        if not chosen:
            raise ValueError(f"no trained weight has a name that begins with {beginning!r}")
        taken |= {id(p) for p in chosen}
        optimiser.param_groups.append({**group, "params": chosen, "share": share})
    group["params"] = [p for p in group["params"] if id(p) not in taken]


def make_optimiser(config: OptimConfig, parameters: Iterable[nn.Parameter]) -> torch.optim.Optimizer:
    """The optimiser that ``config`` names, over ``parameters`` that lie on their device already.

    Raises ValueError where bitsandbytes or a CUDA device is missing for adamw8bit, or nothing is to be trained.
    """
    trained = list(parameters)
    if not trained:
        raise ValueError("no weight of this network is to be trained: every one is frozen")
    where, kind = trained[0].device.type, trained[0].dtype
    common: dict[str, Any] = {"lr": config.lr, "betas": config.betas, "eps": config.eps}
    if config.name == "adamw8bit":
        if where != "cuda":
            raise ValueError(f"optim.name is adamw8bit, which needs a CUDA device; this run is on {where}: take adamw")
        try:
            import bitsandbytes  # pyright: ignore[reportMissingImports]
        except ImportError:
            raise ValueError('optim.name is adamw8bit: pip install bitsandbytes, or take "adamw"') from None
        return bitsandbytes.optim.AdamW8bit(trained, **common, weight_decay=config.weight_decay)
    decay = config.weight_decay
    if config.name == "adam" and decay:
        raise ValueError(f"optim.weight_decay is {decay}, but adam has none (as published); take adamw, or 0")
    if kind == torch.bfloat16 and config.master:
        return MasterAdamW(trained, **common, weight_decay=decay)
    # Adam without weight decay and AdamW without weight decay are the same rule. Fused kernels need no second copy of
    # the gradients; elsewhere the plain loop is used, whose result does not depend on how tensors are grouped.
    return torch.optim.AdamW(trained, **common, weight_decay=decay, fused=where == "cuda", foreach=False)


class MasterAdamW(torch.optim.Optimizer):
    """AdamW for bfloat16 weights: moments and a master copy in float32, rounded to the weights after each step.

    A bfloat16 weight changes only when the update exceeds 1/256 of it; at fine-tuning rates that is almost never.
    """

    def __init__(
        self,
        parameters: Iterable[nn.Parameter],
        *,
        lr: float,
        betas: tuple[float, float],
        eps: float,
        weight_decay: float,
    ) -> None:
        super().__init__(parameters, {"lr": lr, "betas": betas, "eps": eps, "weight_decay": weight_decay})

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> float | None:  # pyright: ignore[reportIncompatibleMethodOverride]
        """One update of every weight that has a gradient."""
        loss = None if closure is None else closure()
        for group in self.param_groups:
            for weight in group["params"]:
                if weight.grad is not None:
                    self._update(weight, group)
        return loss

    def _update(self, weight: nn.Parameter, group: dict[str, Any]) -> None:
        (beta1, beta2), lr, state = group["betas"], group["lr"], self.state[weight]
        if not state:
            state["step"] = torch.zeros(())
            state["master"] = weight.detach().float().clone()
            state["exp_avg"] = torch.zeros_like(state["master"])
            state["exp_avg_sq"] = torch.zeros_like(state["master"])
        gradient = weight.grad.float()  # pyright: ignore[reportOptionalMemberAccess]
        state["step"] += 1
        count = float(state["step"])
        state["exp_avg"].lerp_(gradient, 1 - beta1)
        state["exp_avg_sq"].mul_(beta2).addcmul_(gradient, gradient, value=1 - beta2)
        spread = (state["exp_avg_sq"].sqrt() / math.sqrt(1 - beta2**count)).add_(group["eps"])
        state["master"].mul_(1 - lr * group["weight_decay"])
        state["master"].addcdiv_(state["exp_avg"], spread, value=-lr / (1 - beta1**count))
        weight.copy_(state["master"])
