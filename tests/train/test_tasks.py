"""Losses of the small tasks and of the U-Net alone, on real small networks."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from diffusers import AutoencoderKL, UNet2DConditionModel

from latentdepth.core.noise import annealed_strength, generator, multires_as_paper
from latentdepth.core.schedule import Schedule, scaled_linear, zero_terminal_snr
from latentdepth.train.tasks import Autoencode, Denoise, LatentBatch, gradient_l1

SCHEDULE = Schedule(zero_terminal_snr(scaled_linear()))


def unet(folder: Path) -> UNet2DConditionModel:
    return UNet2DConditionModel.from_pretrained(folder / "unet")


def batch(n: int = 4) -> LatentBatch:
    draw = generator("batch")
    target, image = (torch.randn(n, 4, 8, 8, generator=draw) for _ in range(2))
    return LatentBatch(target, image, torch.ones(n, 1, 8, 8, dtype=torch.bool))


def test_denoise_loss_repeats_and_falls_with_training(tiny_folder: Path):
    task = Denoise(unet(tiny_folder), SCHEDULE, torch.zeros(1, 2, 32), last_share=1.0)
    first = task.loss(batch(), generator("draw"))["loss"].detach()
    assert torch.equal(task.loss(batch(), generator("draw"))["loss"].detach(), first)
    optimiser = torch.optim.Adam(task.network.parameters(), lr=3e-3)
    for k in range(25):
        optimiser.zero_grad()
        task.loss(batch(), generator("draw", k))["loss"].backward()
        optimiser.step()
    # at the last timestep the target is -x0 of four fixed samples: a network that sees the image can learn them
    assert float(task.loss(batch(), generator("draw"))["loss"].detach()) < 0.7 * float(first)


def test_invalid_cells_do_not_count(tiny_folder: Path):
    task = Denoise(unet(tiny_folder), SCHEDULE, torch.zeros(1, 2, 32), multires_strength=0.0)
    full = batch()
    valid = full.valid.clone()
    valid[:, :, 4:] = False
    loss = task.loss(LatentBatch(full.target, full.image, valid), generator("d"))["loss"]
    assert not torch.equal(loss, task.loss(full, generator("d"))["loss"])
    nothing = task.loss(LatentBatch(full.target, full.image, torch.zeros_like(valid)), generator("d"))["loss"]
    assert float(nothing.detach()) == 0.0  # and not NaN


def test_autoencode_loss_has_its_parts_and_gradients(tiny_folder: Path):
    vae = AutoencoderKL.from_pretrained(tiny_folder / "vae")
    task = Autoencode(vae, kl_weight=0.1, gradient_weight=2.0)
    images = torch.rand(2, 3, 16, 16, generator=generator("images")) * 2 - 1
    losses = task.loss(images, generator("draw"))
    expected = losses["l1"] + 2.0 * losses["gradient"] + 0.1 * losses["kl"]
    torch.testing.assert_close(losses["loss"], expected)
    losses["loss"].backward()
    assert all(p.grad is not None for p in vae.parameters())


def test_gradient_loss_sees_edges_and_not_offsets():
    a = torch.zeros(1, 1, 8, 8)
    assert float(gradient_l1(a, a + 5)) == 0.0
    b = a.clone()
    b[..., 4:] = 1.0
    assert float(gradient_l1(a, b)) > 0.1


def test_saved_networks_load(tiny_folder: Path, tmp_path: Path):
    network = unet(tiny_folder)
    Denoise(network, SCHEDULE, torch.zeros(1, 2, 32)).save(tmp_path)
    again = UNet2DConditionModel.from_pretrained(tmp_path)
    assert torch.equal(again.conv_in.weight, network.conv_in.weight)


def test_the_draws_of_the_denoiser_stay_what_they_were(tiny_folder: Path):
    """Runs that resume need the same numbers: timesteps first, then which are last, then the noise."""
    network, whole = unet(tiny_folder), batch()
    task = Denoise(network, SCHEDULE, torch.zeros(1, 2, 32), last_share=0.4)
    draw = generator("draws")
    t = torch.randint(0, 1000, (4,), generator=draw)
    t = torch.where(torch.rand(4, generator=draw) < 0.4, 999, t)
    noise = multires_as_paper((4, 4, 8, 8), annealed_strength(t, 1000, 0.9), draw)
    assert whole.image is not None
    with torch.no_grad():
        x = torch.cat((whole.image, SCHEDULE.add_noise(whole.target, noise, t)), 1)
        x = x.contiguous(memory_format=torch.channels_last)
        said = network(x, t, encoder_hidden_states=torch.zeros(4, 2, 32)).sample
        wanted = (said - SCHEDULE.target(whole.target, noise, t)).square().mean()
        torch.testing.assert_close(task.loss(whole, generator("draws"))["loss"], wanted, atol=0, rtol=1e-6)


def test_a_task_without_state_refuses_another_s(tiny_folder: Path):
    task = Denoise(unet(tiny_folder), SCHEDULE, torch.zeros(1, 2, 32))
    assert task.state() == {}
    task.load_state({})
    with pytest.raises(ValueError, match=r"holds target/conv_in\.bias, which Denoise does not keep"):
        task.load_state({"target/conv_in.bias": torch.zeros(1)})
