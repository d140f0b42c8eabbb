"""Schedules against diffusers' schedulers, and closed forms."""

import pytest
import torch
from diffusers import DDIMScheduler, LCMScheduler

from latentdepth.core.samplers import lcm_timesteps
from latentdepth.core.schedule import Schedule, from_config, scaled_linear, zero_terminal_snr

SD = {"beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear", "clip_sample": False}


@pytest.mark.parametrize("spacing", ["leading", "trailing", "linspace"])
@pytest.mark.parametrize("steps", [1, 2, 4, 10, 50])
@pytest.mark.parametrize("zero_snr", [False, True])
def test_timesteps_and_signal_agree_with_diffusers(spacing: str, steps: int, zero_snr: bool):
    config = SD | {"timestep_spacing": spacing, "rescale_betas_zero_snr": zero_snr, "steps_offset": 1}
    theirs = DDIMScheduler(**config)
    theirs.set_timesteps(steps)
    ours = from_config(config)
    if (spacing, steps) == ("linspace", 1):
        assert ours.timesteps(1) == [999]  # diffusers gives [0] here, which asks a noiseless question of pure noise
    else:
        assert ours.timesteps(steps) == theirs.timesteps.tolist()
    # theirs is float32; its rounding grows along 1000 products
    torch.testing.assert_close(ours.signal.float(), theirs.alphas_cumprod.float(), atol=2e-6, rtol=1e-4)


def test_signal_after_a_step_comes_from_the_list():
    schedule = Schedule(scaled_linear())
    listed = schedule.timesteps(3)  # 3 doesn't divide 1000: t - 1000 // 3 would be 666 and 333
    assert listed == [999, 666, 332]
    assert schedule.after(listed, 0) == float(schedule.signal[666])
    assert schedule.after(listed, 1) == float(schedule.signal[332])
    assert schedule.after(listed, 2) == 1.0


def test_zero_terminal_snr_ends_in_pure_noise_and_keeps_the_start():
    plain = scaled_linear()
    rescaled = zero_terminal_snr(plain)
    assert float(rescaled[-1]) == 0.0
    assert float(rescaled[0]) == pytest.approx(float(plain[0]), abs=1e-12)
    assert bool((rescaled.diff() < 0).all())


@pytest.mark.parametrize("kind", ["epsilon", "v_prediction", "sample"])
def test_target_and_x0_are_inverse(kind):
    schedule = Schedule(scaled_linear(), prediction_type=kind)
    draw = torch.Generator().manual_seed(0)
    x0, noise = (torch.randn(6, 4, 3, 5, generator=draw, dtype=torch.float64) for _ in range(2))
    t = torch.tensor([0, 1, 10, 400, 900, 999])
    x_t = schedule.add_noise(x0, noise, t)
    torch.testing.assert_close(schedule.x0(schedule.target(x0, noise, t), x_t, t), x0)


def test_epsilon_at_zero_signal_is_refused():
    schedule = Schedule(zero_terminal_snr(scaled_linear()), prediction_type="epsilon")
    x = torch.zeros(1, 4, 2, 2)
    with pytest.raises(ValueError, match="v_prediction"):
        schedule.x0(x, x, torch.tensor([999]))


@pytest.mark.parametrize("steps", [0, -1, 1001])
def test_steps_out_of_range_say_what_is_allowed(steps):
    with pytest.raises(ValueError, match="1 to 1000"):
        Schedule(scaled_linear()).timesteps(steps)


def test_unknown_words_in_a_config_are_named():
    with pytest.raises(ValueError, match="beta_schedule"):
        from_config({"beta_schedule": "cosine"})
    with pytest.raises(ValueError, match="timestep_spacing"):
        from_config(SD | {"timestep_spacing": "sideways"})


@pytest.mark.parametrize("steps", [1, 2, 4, 7, 50])
def test_lcm_timesteps_agree_with_diffusers(steps):
    theirs = LCMScheduler(**SD)
    theirs.set_timesteps(steps)
    assert lcm_timesteps(from_config(SD), steps) == theirs.timesteps.tolist()
