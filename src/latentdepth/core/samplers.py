"""Samplers: from start noise to a clean latent, as plain loops over ``denoise(x, t) -> x0``.

A sampler never asks what the network predicts; ``schedule`` has turned it into x0 already.
Papers: DDIM (arXiv 2010.02502, eq. 12 with eta = 0), LCM (2310.04378, alg. 3), E2E-FT (2409.11355, one step).
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from jaxtyping import Float, Int
from torch import Tensor

from latentdepth.core.schedule import Schedule

Denoise = Callable[[Float[Tensor, "n c hl wl"], Int[Tensor, " n"]], Float[Tensor, "n c hl wl"]]
Renoise = Callable[[int], Float[Tensor, "n c hl wl"]]

_LCM_GRID = 50  # consistency models are distilled on 50 evenly spaced timesteps
_LCM_SIGMA = 0.5  # sigma_data of the boundary scaling
_LCM_TIME_SCALE = 10.0


def ddim(
    denoise: Denoise, noise: Float[Tensor, "n c hl wl"], schedule: Schedule, steps: int
) -> Float[Tensor, "n c hl wl"]:
    """Deterministic DDIM: keep the noise that x_t implies, move it to the next level in the list."""
    x = noise
    timesteps = schedule.timesteps(steps)
    for i, timestep in enumerate(timesteps):
        t = torch.full((x.shape[0],), timestep, device=x.device)
        x = ddim_step(x, denoise(x, t), t, schedule, schedule.after(timesteps, i))
    return x


def ddim_step(
    x: Float[Tensor, "n c hl wl"],
    x0: Float[Tensor, "n c hl wl"],
    t: Int[Tensor, " n"],
    schedule: Schedule,
    after: float,
) -> Float[Tensor, "n c hl wl"]:
    """``x`` at ``t`` moved to the signal level ``after``, keeping the noise that it holds if ``x0`` is clean."""
    signal, sigma = schedule.levels(t, x)
    eps = (x - signal * x0) / sigma
    return after**0.5 * x0 + (1 - after) ** 0.5 * eps


def lcm_timesteps(schedule: Schedule, steps: int) -> list[int]:
    """``steps`` of the 50 timesteps that consistency distillation used, from the noisiest down."""
    if not 1 <= steps <= _LCM_GRID:
        raise ValueError(f"steps is {steps}; the lcm sampler allows 1 to {_LCM_GRID}")
    stride = schedule.length // _LCM_GRID
    grid = [(i + 1) * stride - 1 for i in reversed(range(_LCM_GRID))]
    return [grid[i * _LCM_GRID // steps] for i in range(steps)]


def boundary(t: Int[Tensor, " n"]) -> tuple[Float[Tensor, "n 1 1 1"], Float[Tensor, "n 1 1 1"]]:
    """c_skip and c_out, the shares of x_t and of x0 in a consistency function's answer: 1 and 0 at t = 0.

    Consistency models (arXiv 2303.01469), equation 5, with the constants of LCM (2310.04378).
    """
    scaled = (t.float() * _LCM_TIME_SCALE).view(-1, 1, 1, 1)
    power = scaled.square() + _LCM_SIGMA**2
    return _LCM_SIGMA**2 / power, scaled / power.sqrt()


def lcm(
    denoise: Denoise, noise: Float[Tensor, "n c hl wl"], schedule: Schedule, steps: int, *, renoise: Renoise
) -> Float[Tensor, "n c hl wl"]:
    """Multistep consistency sampling: jump to x0, add fresh noise ``renoise(step)``, jump again."""
    x = noise
    timesteps = lcm_timesteps(schedule, steps)
    for i, timestep in enumerate(timesteps):
        t = torch.full((x.shape[0],), timestep, device=x.device)
        skip, keep = boundary(t)
        jumped = keep * denoise(x, t) + skip * x
        if i + 1 == len(timesteps):
            return jumped
        after = float(schedule.signal[timesteps[i + 1]])
        x = after**0.5 * jumped + (1 - after) ** 0.5 * renoise(i)
    raise AssertionError("lcm_timesteps never returns an empty list")


def one_step(
    denoise: Denoise, noise: Float[Tensor, "n c hl wl"], schedule: Schedule, *, timestep: int | None = None
) -> Float[Tensor, "n c hl wl"]:
    """A single jump to x0 from ``noise`` (or from zeros, or from the image's own latent) at the last timestep."""
    timestep = schedule.length - 1 if timestep is None else timestep
    return denoise(noise, torch.full((noise.shape[0],), timestep, device=noise.device))
