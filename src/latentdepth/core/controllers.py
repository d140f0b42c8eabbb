"""How much work a picture gets: rules that choose a number of steps or members, and tests that say when to stop.

Every one of them ends on a clean latent: the schedule is planned for the steps taken, or x0 itself is handed out. A
latent that is still noisy is never decoded (cutting a plan of N steps at M < N and decoding x_M gives noise).
Knows neither networks nor files; what "more work" gains is measured elsewhere (``evaluate.gain``, docs/adaptive.md).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from latentdepth.core.complexity import Calibration, Complexity, mixed
from latentdepth.core.modality import Merge
from latentdepth.core.samplers import Denoise, ddim, ddim_step
from latentdepth.core.schedule import Schedule

DenoiseRows = Callable[[Float[Tensor, "a c hl wl"], Int[Tensor, " a"], Int[Tensor, " a"]], Float[Tensor, "a c hl wl"]]
"""As ``Denoise``, told which rows of the batch are still running, since each has its own photo."""

_MEDIAN_OF_NORMALS = math.sqrt(math.pi / 2)  # standard error of the median over that of the mean
_SIGMA_OF_MAD = 1.4826  # of a normal distribution
# The MAD of few values is too small on average; factors for 2 to 9 of Croux and Rousseeuw (1992), beyond n / (n - 0.8).
_SMALL_SAMPLE = {2: 1.196, 3: 1.495, 4: 1.363, 5: 1.206, 6: 1.200, 7: 1.140, 8: 1.129, 9: 1.107}
AT_A_TIME = 2
"""Members that ``until_certain`` adds before it looks again."""
_CHECK_PIXELS = 64  # on the shorter side: agreement of smooth maps is known well enough from a coarse grid


@dataclass(frozen=True)
class StepRule:
    """T(C) = clip(round(least + (most - least) C), least, most): steps linear in complexity between two bounds.

    C is gradient energy or histogram entropy, or a mixture, brought to [0, 1] by quantiles of a calibration set.
    """

    calibration: Calibration
    energy_share: float = 1.0
    """1: gradient energy alone; 0: entropy alone; between: both."""
    least: int = 1
    most: int = 4

    def __post_init__(self) -> None:
        if not 1 <= self.least <= self.most:
            raise ValueError(f"the rule goes from {self.least} to {self.most} steps; needed is 1 <= least <= most")
        if not 0 <= self.energy_share <= 1:
            raise ValueError(f"energy_share is {self.energy_share}; allowed is 0 to 1")

    def steps(self, measured: Complexity) -> list[int]:
        """Steps for every image."""
        share = mixed(measured, self.calibration, energy_share=self.energy_share)
        # halves go up, as in print; torch would round them to even
        return (self.least + (self.most - self.least) * share + 0.5).floor().int().tolist()


def buckets(counts: Sequence[int]) -> dict[int, list[int]]:
    """Places of equal counts, the smallest count first, so that they can share a batch."""
    return {count: [i for i, one in enumerate(counts) if one == count] for count in sorted(set(counts))}


@dataclass(frozen=True)
class Converged:
    """What ``until_converged`` found for ``n`` rows."""

    latent: Float[Tensor, "n c hl wl"]
    """The last x0 of each."""
    calls: Int[Tensor, " n"]
    """Network evaluations spent on each."""
    change: Float[Tensor, " n"]
    """Last relative change of x0; infinite after a single call, which has nothing to compare with."""


def until_converged(
    denoise: DenoiseRows,
    noise: Float[Tensor, "n c hl wl"],
    schedule: Schedule,
    steps: int,
    *,
    tolerance: float,
    patience: int = 1,
) -> Converged:
    """DDIM over a plan of ``steps`` that a row leaves once its x0 holds still: the answer is that x0.

    A row stops after ``patience`` calls in a row with |x0 - x0 before|_1 / |x0|_1 below ``tolerance``. Rows that have
    stopped leave the batch, and none depends on the others. Raises ValueError for a patience below 1, a tolerance that
    is negative or NaN, and steps that the schedule doesn't have.
    """
    if patience < 1 or not tolerance >= 0:
        raise ValueError(f"patience is {patience} and tolerance {tolerance}; allowed are 1 or more and 0 or more")
    n, device = noise.shape[0], noise.device
    timesteps = schedule.timesteps(steps)
    latent, x, rows = torch.zeros_like(noise), noise, torch.arange(n, device=device)
    calls = torch.zeros(n, dtype=torch.long, device=device)
    calm, change = torch.zeros_like(calls), torch.full((n,), math.inf, device=device)
    for i, timestep in enumerate(timesteps):
        t = torch.full((len(rows),), timestep, device=device)
        x0 = denoise(x, t, rows)
        if i:
            moved = (x0 - latent[rows]).abs().flatten(1).sum(1)
            change[rows] = (moved / x0.abs().flatten(1).sum(1).clamp_min(1e-12)).to(change)
            calm[rows] = torch.where(change[rows] < tolerance, calm[rows] + 1, 0)
        latent[rows], calls[rows] = x0, calls[rows] + 1
        going = calm[rows] < patience
        if not bool(going.any()):
            break
        x = ddim_step(x, x0, t, schedule, schedule.after(timesteps, i))[going]
        rows = rows[going]
    return Converged(latent, calls, change)


@dataclass(frozen=True)
class Rung:
    """One answer of ``doubling``."""

    steps: int
    calls: int
    """Network evaluations so far, this answer's included."""
    latent: Float[Tensor, "n c hl wl"]


def rungs(most: int) -> list[int]:
    """1, 2, 4, 8, ... and ``most`` itself."""
    if most < 1:
        raise ValueError(f"most is {most}; allowed is 1 or more steps")
    return [*(2**k for k in range((most - 1).bit_length())), most]


def doubling(denoise: Denoise, noise: Float[Tensor, "n c hl wl"], schedule: Schedule, most: int) -> Iterator[Rung]:
    """DDIM with 1, 2, 4, ... and ``most`` steps from the same noise: each answer is there as soon as it is asked for.

    Every plan is complete, so each answer is that of the fixed step count. Plans that start at one timestep share their
    first call: with trailing spacing 1, 2, 4, 8 cost 12 calls, not 15. DDIM is of first order, so half a step size
    halves the error, and the change from one rung to the next is the error that the finer one has left (Richardson).
    """
    first: dict[int, Tensor] = {}
    calls = 0

    def counted(x: Tensor, t: Tensor) -> Tensor:
        nonlocal calls
        timestep = int(t[0])
        if x is noise and timestep in first:
            return first[timestep]
        calls += 1
        x0 = denoise(x, t)
        if x is noise:
            first[timestep] = x0
        return x0

    for steps in rungs(most):
        latent = ddim(counted, noise, schedule, steps)
        yield Rung(steps, calls, latent)


def change(before: Float[Tensor, "n c h w"], after: Float[Tensor, "n c h w"], merge: Merge) -> Float[Tensor, " n"]:
    """Mean distance of two answers, as a share of the map's range (normals: angle / pi).

    They are merged like two members, so that the freedom which the kind has (scale, shift) doesn't count as a change.
    """
    pair = torch.stack((before, after), 1)
    # the deviation from the middle of two values is half their distance
    return 2 * merge(_coarse(pair))[1].flatten(1).mean(1)


def standard_error(members: Float[Tensor, "n e c h w"], merge: Merge) -> Float[Tensor, " n"]:
    """Standard error of the median of ``e`` members, averaged over pixels, as a share of the map's range.

    1.2533 sigma / sqrt(e), with sigma from the median absolute deviation, corrected for few members (Croux and
    Rousseeuw 1992). Raises ValueError for a single member, which says nothing of the others.
    """
    e = members.shape[1]
    if e < 2:
        raise ValueError("one member has no standard error; two or more are needed")
    deviation = merge(_coarse(members))[1].flatten(1).mean(1)
    return _MEDIAN_OF_NORMALS * _SIGMA_OF_MAD * _SMALL_SAMPLE.get(e, e / (e - 0.8)) * deviation / math.sqrt(e)


@dataclass(frozen=True)
class Certain:
    """What ``until_certain`` found for one picture."""

    members: Float[Tensor, "1 e c h w"]
    error: float
    """Standard error of the median reached."""


def until_certain(
    draw: Callable[[list[int]], Float[Tensor, "1 e c h w"]],
    merge: Merge,
    *,
    tolerance: float,
    least: int = 4,
    most: int = 12,
) -> Certain:
    """Add members, two at a time, until the standard error of their median is below ``tolerance``.

    Two, because the median of an even number averages the two in the middle and is closer to that of many than the
    next odd one (measured: docs/adaptive.md). ``draw`` gives the members of those numbers, so member k is the same
    here as in an ensemble of fixed size. Stops at ``most`` whatever was reached. Raises ValueError unless
    2 <= least <= most.
    """
    if not 2 <= least <= most:
        raise ValueError(f"members go from {least} to {most}; needed is 2 <= least <= most")
    members = draw(list(range(least)))
    while True:
        error = float(standard_error(members, merge))
        if error < tolerance or members.shape[1] >= most:
            return Certain(members, error)
        count = members.shape[1]
        members = torch.cat((members, draw(list(range(count, min(count + AT_A_TIME, most))))), 1)


def _coarse(members: Float[Tensor, "n e c h w"]) -> Float[Tensor, "n e c hs ws"]:
    step = max(1, min(members.shape[-2:]) // _CHECK_PIXELS)
    return members[..., ::step, ::step]
