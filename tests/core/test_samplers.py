"""Samplers: closed forms of a Gaussian target, and step-by-step agreement with diffusers' schedulers."""

from typing import Any

import pytest
import torch
from diffusers import DDIMScheduler, LCMScheduler

from latentdepth.core import samplers
from latentdepth.core.schedule import Schedule, from_config, scaled_linear, zero_terminal_snr

MEAN, STD = 0.7, 0.3
CONFIG = {
    "beta_start": 0.00085,
    "beta_end": 0.012,
    "beta_schedule": "scaled_linear",
    "clip_sample": False,
    "prediction_type": "v_prediction",
    "timestep_spacing": "trailing",
    "rescale_betas_zero_snr": True,
}


def gaussian_denoiser(schedule: Schedule):
    """E[x0 | x_t] for x0 ~ N(MEAN, STD^2): exact."""

    def denoise(x, t):
        signal, sigma = schedule.levels(t, x)
        gain = signal * STD**2 / (signal**2 * STD**2 + sigma**2)
        return MEAN + gain * (x - signal * MEAN)

    return denoise


def test_ddim_reaches_the_target_distribution_as_steps_grow():
    schedule = Schedule(zero_terminal_snr(scaled_linear()))
    noise = torch.randn(2, 4, 8, 8, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    exact = MEAN + STD * noise
    errors = [
        float((samplers.ddim(gaussian_denoiser(schedule), noise, schedule, steps) - exact).abs().max())
        for steps in (10, 100, 1000)
    ]
    assert errors[0] > errors[1] > errors[2]
    assert errors[2] < 0.01  # first-order integrator: halving the step about halves the error


def test_one_step_returns_the_mean():
    schedule = Schedule(zero_terminal_snr(scaled_linear()))
    noise = torch.randn(1, 4, 8, 8, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    for latent in (
        samplers.one_step(gaussian_denoiser(schedule), noise, schedule),
        samplers.ddim(gaussian_denoiser(schedule), noise, schedule, 1),
    ):
        torch.testing.assert_close(latent, torch.full_like(latent, MEAN))


@pytest.mark.parametrize("steps", [1, 4, 10])
def test_ddim_steps_like_diffusers(steps):
    theirs: Any = DDIMScheduler(**CONFIG)  # annotated narrower than it is used everywhere
    ours = from_config(CONFIG)
    theirs.set_timesteps(steps)
    noise = torch.randn(1, 4, 6, 6, generator=torch.Generator().manual_seed(1))
    x = noise
    for t in theirs.timesteps:
        x = theirs.step(torch.tanh(x), t, x).prev_sample

    def denoise(x, t):
        return ours.x0(torch.tanh(x), x, t)

    # float32 sums in another order, grown by the steps
    torch.testing.assert_close(samplers.ddim(denoise, noise, ours, steps), x, atol=2e-5, rtol=1e-4)


@pytest.mark.parametrize("steps", [1, 2, 4])
def test_lcm_steps_like_diffusers(steps):
    config = {k: v for k, v in CONFIG.items() if k != "timestep_spacing"}
    theirs: Any = LCMScheduler(**config)
    ours = from_config(config)
    theirs.set_timesteps(steps)
    noise = torch.randn(1, 4, 6, 6, generator=torch.Generator().manual_seed(1))
    x, draw = noise, torch.Generator().manual_seed(5)
    for t in theirs.timesteps:
        x = theirs.step(torch.tanh(x), t, x, generator=draw).prev_sample
    again = torch.Generator().manual_seed(5)
    ours_x = samplers.lcm(
        lambda x, t: ours.x0(torch.tanh(x), x, t),
        noise,
        ours,
        steps,
        renoise=lambda step: torch.randn(noise.shape, generator=again),
    )
    torch.testing.assert_close(ours_x, x, atol=2e-5, rtol=1e-4)
