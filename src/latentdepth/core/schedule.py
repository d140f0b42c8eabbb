"""Noise schedules: signal level per timestep, step spacing, eps / v / x0 conversion, forward noising.

Holds numbers only; does not know networks or samplers. A network's output becomes x0 here and nowhere else.
Papers: DDIM (arXiv 2010.02502), v-prediction (2202.00512), zero terminal SNR and trailing spacing (2305.08891).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import torch
from jaxtyping import Float, Int
from torch import Tensor

PredictionType = Literal["epsilon", "v_prediction", "sample"]
Spacing = Literal["leading", "trailing", "linspace"]


@dataclass(frozen=True)
class Schedule:
    """A discrete variance-preserving process x_t = sqrt(a_t) x0 + sqrt(1 - a_t) eps, t = 0 .. T-1."""

    signal: Float[Tensor, " t"]
    """Cumulative product a_t of (1 - beta), float64, falling from near 1 to near 0."""
    prediction_type: PredictionType = "v_prediction"
    spacing: Spacing = "trailing"
    offset: int = 0
    """Added to leading timesteps only ("steps_offset")."""
    final_signal: float = 1.0
    """Signal level after the last step: 1 lands on x0 itself; some folders ask for a_0."""

    @property
    def length(self) -> int:
        """Number of training timesteps T."""
        return self.signal.numel()

    def timesteps(self, steps: int) -> list[int]:
        """Descending timesteps for ``steps`` network calls (table 2 of arXiv 2305.08891).

        ``leading`` never reaches T-1, so few-step sampling from pure noise is wrong with it; it is here because
        older folders were run with it.
        """
        if not 1 <= steps <= self.length:
            raise ValueError(f"steps is {steps}; allowed is 1 to {self.length} (the length of the noise schedule)")
        if self.spacing == "trailing":
            return [round(self.length - i * self.length / steps) - 1 for i in range(steps)]
        if self.spacing == "leading":
            ratio = self.length // steps
            return [min(i * ratio + self.offset, self.length - 1) for i in reversed(range(steps))]
        if steps == 1:
            return [self.length - 1]
        return [round(i * (self.length - 1) / (steps - 1)) for i in reversed(range(steps))]

    def after(self, timesteps: list[int], index: int) -> float:
        """Signal level that step ``index`` lands on: that of the next timestep *in the list*, then the final one.

        (Subtracting T // steps instead disagrees with the list whenever steps doesn't divide T.)
        """
        if index + 1 < len(timesteps):
            return float(self.signal[timesteps[index + 1]])
        return self.final_signal

    def levels(
        self, t: Int[Tensor, " n"], like: Float[Tensor, "n ..."]
    ) -> tuple[Float[Tensor, "n ..."], Float[Tensor, "n ..."]]:
        """sqrt(a_t) and sqrt(1 - a_t), shaped and typed to multiply ``like``."""
        a = self.signal.to(t.device)[t].reshape(-1, *[1] * (like.ndim - 1))
        return a.sqrt().to(like), (1 - a).sqrt().to(like)

    def add_noise(
        self, x0: Float[Tensor, "n ..."], noise: Float[Tensor, "n ..."], t: Int[Tensor, " n"]
    ) -> Float[Tensor, "n ..."]:
        """Forward process: x_t."""
        signal, sigma = self.levels(t, x0)
        return signal * x0 + sigma * noise

    def target(
        self, x0: Float[Tensor, "n ..."], noise: Float[Tensor, "n ..."], t: Int[Tensor, " n"]
    ) -> Float[Tensor, "n ..."]:
        """What the network is trained to output, by ``prediction_type``."""
        if self.prediction_type == "epsilon":
            return noise
        if self.prediction_type == "sample":
            return x0
        signal, sigma = self.levels(t, x0)
        return signal * noise - sigma * x0

    def x0(
        self, predicted: Float[Tensor, "n ..."], x_t: Float[Tensor, "n ..."], t: Int[Tensor, " n"]
    ) -> Float[Tensor, "n ..."]:
        """The clean latent that the network's output stands for."""
        if self.prediction_type == "sample":
            return predicted
        signal, sigma = self.levels(t, x_t)
        if self.prediction_type == "v_prediction":
            return signal * x_t - sigma * predicted
        if bool((signal == 0).any()):
            raise ValueError(
                "this folder predicts noise (epsilon) but its schedule has zero signal at the last timestep, where "
                "noise says nothing about the image; allowed there are v_prediction and sample, or leading spacing"
            )
        return (x_t - sigma * predicted) / signal


def scaled_linear(start: float = 0.00085, end: float = 0.012, length: int = 1000) -> Float[Tensor, " t"]:
    """Cumulative signal of Stable Diffusion's betas: linear in sqrt(beta). float64."""
    betas = torch.linspace(start**0.5, end**0.5, length, dtype=torch.float64) ** 2
    return torch.cumprod(1 - betas, 0)


def zero_terminal_snr(signal: Float[Tensor, " t"]) -> Float[Tensor, " t"]:
    """Shift and scale sqrt(a_t) so that the last is exactly 0 and the first is kept (arXiv 2305.08891, alg. 1)."""
    root = signal.sqrt()
    first, last = root[0], root[-1]
    return ((root - last) * first / (first - last)) ** 2


def from_config(config: Mapping[str, Any]) -> Schedule:
    """A schedule from the ``scheduler_config.json`` of a diffusers-layout folder (DDIM, DDPM or LCM)."""
    length = int(config.get("num_train_timesteps", 1000))
    start, end = float(config.get("beta_start", 0.0001)), float(config.get("beta_end", 0.02))
    betas = config.get("beta_schedule", "linear")
    if betas == "scaled_linear":
        signal = scaled_linear(start, end, length)
    elif betas == "linear":
        signal = torch.cumprod(1 - torch.linspace(start, end, length, dtype=torch.float64), 0)
    else:
        raise ValueError(f"scheduler_config.json: beta_schedule is {betas!r}; allowed are 'scaled_linear' and 'linear'")
    if config.get("rescale_betas_zero_snr", False):
        signal = zero_terminal_snr(signal)
    for key, given, allowed in (
        ("prediction_type", config.get("prediction_type", "epsilon"), ("epsilon", "v_prediction", "sample")),
        ("timestep_spacing", config.get("timestep_spacing", "leading"), ("leading", "trailing", "linspace")),
    ):
        if given not in allowed:
            raise ValueError(f"scheduler_config.json: {key} is {given!r}; allowed are {', '.join(allowed)}")
    return Schedule(
        signal=signal,
        prediction_type=config.get("prediction_type", "epsilon"),
        spacing=config.get("timestep_spacing", "leading"),
        offset=int(config.get("steps_offset", 0)),
        final_signal=1.0 if config.get("set_alpha_to_one", True) else float(signal[0]),
    )
