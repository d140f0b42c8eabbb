"""Moving averages of weights: the usual exponential one, and power-function ones whose width is chosen afterwards.

Knows tensors by name, not networks. Paper: Karras et al., arXiv 2312.02696, section 3 and appendix C; the equations
are theirs, with time counted in optimiser steps.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file
from torch import Tensor

Weights = Mapping[str, Tensor]

_SNAPSHOT = re.compile(r"step-(?P<step>\d+)-(?P<width>[0-9.]+)\.safetensors")


def new_average(weights: Weights) -> dict[str, Tensor]:
    """A float32 copy to start from; whole numbers (a batch norm's count) stay what they are."""
    return {k: (v.detach().float() if v.is_floating_point() else v.detach()).clone() for k, v in weights.items()}


@torch.no_grad()
def update(average: dict[str, Tensor], weights: Weights, keep: float) -> None:
    """average = keep * average + (1 - keep) * weights, in place."""
    for name, value in weights.items():
        if value.is_floating_point():
            average[name].lerp_(value.detach().float(), 1 - keep)
        else:
            average[name].copy_(value)


def exponential_keep(decay: float, step: int) -> float:
    """Share that the exponential average keeps at step ``step`` (from 1): less at first, when it knows little."""
    return min(decay, step / (step + 9))


def power_keep(sigma_rel: float, step: int) -> float:
    """(1 - 1/t)^(gamma + 1): the share that the power-function average keeps at step ``step`` (from 1), equation 127.

    At t = 1 it is 0: the first weights replace whatever stood there.
    """
    return (1 - 1 / step) ** (gamma_of(sigma_rel) + 1)


def gamma_of(sigma_rel: float) -> float:
    """Exponent of the profile (tau / t)^gamma whose standard deviation is ``sigma_rel`` times t.

    Positive root of sigma_rel^2 = (gamma + 1) / ((gamma + 2)^2 (gamma + 3)); ``sigma_rel`` is above 0 and below
    0.288, that of a uniform profile.
    """
    t = sigma_rel**-2
    roots = np.roots([1, 7, 16 - t, 12 - t])
    return float(roots.real.max())


@dataclass(frozen=True)
class Snapshot:
    """A power-function average as it stood after ``step`` steps, in a safetensors file."""

    step: int
    sigma_rel: float
    path: Path


def snapshot_path(folder: Path, step: int, sigma_rel: float) -> Path:
    """Where the snapshot of that step and width lies."""
    return folder / f"step-{step:07d}-{sigma_rel:.4f}.safetensors"


def snapshots(folder: Path) -> list[Snapshot]:
    """All snapshots in ``folder``, oldest first."""
    found = [(_SNAPSHOT.fullmatch(path.name), path) for path in sorted(folder.glob("*.safetensors"))]
    return [Snapshot(int(m["step"]), float(m["width"]), path) for m, path in found if m]


def posthoc_coefficients(kept: Sequence[Snapshot], sigma_rel: float, step: int) -> list[float]:
    """Weight of each snapshot in the least-squares reconstruction of the profile of ``sigma_rel`` at ``step``.

    The inner product of two profiles, integrated over [0, min(t_a, t_b)], has a closed form (appendix C.3).
    """
    t = np.array([s.step for s in kept] + [step], dtype=np.float64)
    gamma = np.array([gamma_of(s.sigma_rel) for s in kept] + [gamma_of(sigma_rel)])
    ta, tb, ga, gb = t[:, None], t[None], gamma[:, None], gamma[None]
    # (least / ta)^ga (least / tb)^gb / max(ta, tb): the powers of large step counts would overflow by themselves
    least, most = np.minimum(ta, tb), np.maximum(ta, tb)
    inner = (ga + 1) * (gb + 1) / (ga + gb + 1) * (least / ta) ** ga * (least / tb) ** gb / most
    return np.linalg.lstsq(inner[:-1, :-1], inner[:-1, -1], rcond=1e-12)[0].tolist()


def posthoc_ema(kept: Sequence[Snapshot], sigma_rel: float, *, step: int | None = None) -> dict[str, Tensor]:
    """The power-function average of width ``sigma_rel`` after ``step`` steps (by default the last snapshot's).

    Raises ValueError without snapshots, for a width outside (0, 0.28) and for a step beyond the last snapshot.
    """
    used = [s for s in kept if step is None or s.step <= step]
    if not used:
        raise ValueError("there are no snapshots to make an average of; train with --ema.widths 0.05 0.1")
    if not 0 < sigma_rel < 0.28:
        raise ValueError(f"the width is {sigma_rel}; allowed is more than 0 and less than 0.28, such as 0.075")
    last = max(s.step for s in used)
    if step is not None and step > max(s.step for s in kept):
        raise ValueError(f"step {step} lies beyond the last snapshot, of step {last}")
    coefficients = posthoc_coefficients(used, sigma_rel, step or last)
    total: dict[str, Tensor] = {}
    latest: dict[str, Tensor] = {}
    for coefficient, snapshot in zip(coefficients, used, strict=True):
        latest = load_file(snapshot.path)
        for name, value in latest.items():
            if value.is_floating_point():
                term = value.double() * coefficient
                total[name] = term if name not in total else total[name] + term
    return {name: total[name].float() if name in total else value for name, value in latest.items()}
