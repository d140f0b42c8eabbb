"""Marigold's objective: what it asks for, what it never looks at, and that it is learnt from the pictures."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

import pytest
import torch
from torch import Tensor, nn

from latentdepth.core.noise import annealed_strength, generator, multires_as_original, multires_as_paper
from latentdepth.core.schedule import Schedule, scaled_linear, zero_terminal_snr
from latentdepth.data.batch import Batch
from latentdepth.loading import load
from latentdepth.models.diffusion import DiffusionModel, widened
from latentdepth.options import PredictOptions
from latentdepth.train.denoise import Marigold, timesteps, training_noise
from latentdepth.train.latents import LatentBatch, encoded
from latentdepth.train.options import DenoiseOptions

Oracle = Callable[[Schedule, Tensor], nn.Module]

ZERO_SNR, STABLE = zero_terminal_snr(scaled_linear()), scaled_linear()


@pytest.mark.parametrize(
    ("signal", "kind"),
    [(ZERO_SNR, "v_prediction"), (STABLE, "v_prediction"), (STABLE, "epsilon"), (ZERO_SNR, "sample")],
)
def test_a_perfect_prediction_has_no_loss(
    model: DiffusionModel,
    pixels: Batch,
    oracle: Oracle,
    signal: Tensor,
    kind: Literal["v_prediction", "epsilon", "sample"],
):
    model.schedule = Schedule(signal, prediction_type=kind)
    task = Marigold(model)
    clean = encoded(model, pixels).target
    task.network = oracle(model.schedule, clean)
    # at t = 0 the noise is 3 % of the sum, and float32 gives it back to 1e-5
    assert float(task.loss(pixels, generator("p"))["loss"]) < 1e-8
    task.network = oracle(model.schedule, clean + 1)
    assert float(task.loss(pixels, generator("p"))["loss"]) > 1e-3


def test_it_learns_from_the_pictures(model: DiffusionModel, latents: LatentBatch, descend: Callable[..., None]):
    options = DenoiseOptions(last_share=1.0)
    task, start = Marigold(model, options), {k: v.clone() for k, v in model.unet.state_dict().items()}

    def loss() -> float:
        with torch.no_grad():
            return float(task.loss(latents, generator("measure"))["loss"])

    before = loss()
    descend(task, latents)
    learnt = loss()
    model.unet.load_state_dict(start)
    others = LatentBatch(latents.target.roll(1, 0), latents.image, latents.valid)
    descend(task, others)  # every photo with another's depth
    control = loss()
    assert learnt < 0.7 * before
    assert learnt < 0.7 * control


def test_the_same_draw_gives_the_same_loss(model: DiffusionModel, pixels: Batch):
    task = Marigold(model)
    with torch.no_grad():
        first, again, other = (float(task.loss(pixels, generator(k))["loss"]) for k in ("a", "a", "b"))
    assert first == again != other


def test_the_draws_stay_what_they_were(model: DiffusionModel, latents: LatentBatch):
    """Runs that resume need the same numbers: timesteps first, then which are last, then the noise."""
    task = Marigold(model, DenoiseOptions(noise="paper", last_share=0.4))
    draw, schedule = generator("draws"), model.schedule
    t = torch.randint(0, 1000, (3,), generator=draw)
    t = torch.where(torch.rand(3, generator=draw) < 0.4, 999, t)
    noise = multires_as_paper((3, 4, 8, 8), annealed_strength(t, 1000, 0.9), draw)
    assert latents.image is not None
    with torch.no_grad():
        x = torch.cat((latents.image, schedule.add_noise(latents.target, noise, t)), 1)
        x = x.contiguous(memory_format=torch.channels_last)
        said = model.unet(x, t, encoder_hidden_states=model.prompt.expand(3, -1, -1)).sample
        error = (said - schedule.target(latents.target, noise, t)).square()
        wanted = (error * latents.valid).sum() / (4 * latents.valid.sum())
        torch.testing.assert_close(task.loss(latents, generator("draws"))["loss"], wanted, atol=0, rtol=1e-6)


def test_a_task_without_state_refuses_another_s(model: DiffusionModel):
    task = Marigold(model)
    assert task.state() == {}
    task.load_state({})
    with pytest.raises(ValueError, match=r"holds target/conv_in\.bias, which Marigold does not keep"):
        task.load_state({"target/conv_in.bias": torch.zeros(1)})


def test_latents_outside_valid_cells_have_no_influence(model: DiffusionModel, pixels: Batch):
    task, latents = Marigold(model, DenoiseOptions(noise="gaussian", last_share=1.0)), encoded(model, pixels)
    assert not bool(latents.valid.all())

    def run(target: Tensor) -> tuple[Tensor, Tensor]:
        model.unet.zero_grad()
        loss = task.loss(LatentBatch(target, latents.image, latents.valid), generator("d"))["loss"]
        loss.backward()
        slope = model.unet.conv_in.weight.grad
        assert slope is not None
        return loss.detach(), slope.clone()

    # at the last timestep of zero terminal SNR the target does not enter the network
    loss, slope = run(latents.target)
    other_loss, other_slope = run(torch.where(latents.valid, latents.target, 5.0))
    assert torch.equal(loss, other_loss)
    assert torch.equal(slope, other_slope)


def test_a_batch_without_valid_cells_is_an_exact_zero(model: DiffusionModel, pixels: Batch):
    task = Marigold(model)
    loss = task.loss(Batch(pixels.image, pixels.target, torch.zeros_like(pixels.valid)), generator("z"))["loss"]
    loss.backward()
    assert float(loss.detach()) == 0.0
    slopes = [p.grad for p in model.unet.parameters()]
    assert all(s is not None and float(s.abs().max()) == 0.0 for s in slopes)


def test_pictures_count_by_their_cells_or_alike(model: DiffusionModel, pixels: Batch):
    valid = pixels.valid.clone()
    valid[0, :, 2:] = False
    batch = Batch(pixels.image, pixels.target, valid)
    with torch.no_grad():
        cells = Marigold(model, DenoiseOptions()).loss(batch, generator("w"))["loss"]
        images = Marigold(model, DenoiseOptions(mean_over="images")).loss(batch, generator("w"))["loss"]
    assert float(cells) != pytest.approx(float(images), rel=1e-3)


def test_two_pictures_at_once(model: DiffusionModel, pixels: Batch, tmp_path: Path):
    model.unet = widened(_four_channels(model), 2)
    task = Marigold(model)
    batch = Batch(pixels.image, torch.cat((pixels.image, pixels.target.expand(-1, 3, -1, -1)), 1), pixels.valid)
    latents = encoded(model, batch)
    assert latents.target.shape == (3, 8, 8, 8)
    torch.testing.assert_close(latents.target[:, :4], latents.image, atol=1e-5, rtol=1e-5)  # same picture, other batch
    task.loss(batch, generator("i"))["loss"].backward()
    with pytest.raises(ValueError, match=r"4 target channels.*predicts 8"):
        task.loss(pixels, generator("i"))
    with pytest.raises(ValueError, match="2 pictures"):
        task.predict(torch.rand(1, 3, 16, 16))


def _four_channels(model: DiffusionModel) -> Any:
    """The model's network as it would be before surgery."""
    network: Any = type(model.unet).from_config(dict(model.unet.config) | {"in_channels": 4})
    return network


def test_wrong_batches_are_named(model: DiffusionModel, pixels: Batch):
    task = Marigold(model)
    with pytest.raises(ValueError, match="target has 2 channels; allowed are 1"):
        task.loss(Batch(pixels.image, pixels.target.expand(-1, 2, -1, -1), pixels.valid), generator("x"))
    odd = Batch(pixels.image[..., :15], pixels.target[..., :15], pixels.valid[..., :15])
    with pytest.raises(ValueError, match=r"15 x 16 pixels.*multiples of 2"):
        task.loss(odd, generator("x"))


def test_noise_prediction_at_zero_snr_is_refused(model: DiffusionModel):
    model.schedule = dataclasses.replace(model.schedule, prediction_type="epsilon")
    with pytest.raises(ValueError, match="zero terminal SNR"):
        Marigold(model)


def test_a_network_of_another_form_is_refused(model: DiffusionModel):
    model.unet = _four_channels(model)
    with pytest.raises(ValueError, match="takes 4 channels; Marigold needs 8"):
        Marigold(model)


def test_noise_is_the_core_s_by_name():
    t, shape = torch.tensor([0, 500, 999]), (3, 4, 8, 8)
    strength = annealed_strength(t, 1000, 0.9)

    def noise(**options: Any) -> Tensor:
        return training_noise(shape, t, 1000, DenoiseOptions(**options), generator("n"))

    assert torch.equal(noise(), multires_as_original(shape, strength, generator("n")))
    assert torch.equal(noise(annealed=False), multires_as_original(shape, 0.9, generator("n")))
    assert torch.equal(noise(noise="paper"), multires_as_paper(shape, strength, generator("n")))
    halving = multires_as_original(shape, strength, generator("n"), strategy="every_layer")
    assert torch.equal(noise(noise="every_layer"), halving)
    assert torch.equal(noise(noise="gaussian"), torch.randn(shape, generator=generator("n")))


def test_timesteps_are_uniform_but_for_the_last_share():
    t = timesteps(4000, 1000, DenoiseOptions(), generator("t"))
    assert int(t.min()) < 5
    assert int(t.max()) > 994
    assert float(t.float().mean()) == pytest.approx(499.5, abs=5 * 289 / 4000**0.5)  # 5 standard errors
    last = timesteps(4000, 1000, DenoiseOptions(last_share=0.25), generator("t")) == 999
    assert float(last.float().mean()) == pytest.approx(0.25, abs=5 * 0.433 / 4000**0.5)


@pytest.mark.parametrize("wrong", [{"strength": 1.5}, {"last_share": -0.1}])
def test_options_out_of_range_are_named(wrong: dict[str, float]):
    with pytest.raises(ValueError, match=f"{next(iter(wrong))} is .*; allowed is 0 to 1"):
        DenoiseOptions(**wrong)  # pyright: ignore[reportArgumentType]


def test_the_saved_folder_predicts_what_the_task_does(model: DiffusionModel, pixels: Batch, tmp_path: Path):
    task = Marigold(model)
    task.save(tmp_path / "saved")
    photo = torch.rand(1, 3, 20, 24, generator=generator("photo"))
    model.unet.train()
    found = task.predict(photo)
    assert model.unet.training
    again = load(f"dir:{tmp_path / 'saved'}", device="cpu", dtype="float32")(photo, PredictOptions())
    # a loaded model runs in the quick forms: equal up to the rounding of float32, stretched to the map's range
    torch.testing.assert_close(found.value, again.value, atol=1e-4, rtol=0)
    assert found.value.shape == (1, 1, 20, 24)


def test_weights_in_bfloat16_train_and_predict(model: DiffusionModel, pixels: Batch):
    task = Marigold(model)
    model.unet.to(torch.bfloat16)  # pyright: ignore[reportArgumentType]
    with torch.autocast("cpu", torch.bfloat16):
        task.loss(pixels, generator("h"))["loss"].backward()
    assert bool(torch.isfinite(task.predict(torch.rand(1, 3, 16, 16)).value).all())


def test_a_wrapped_network_is_not_saved(model: DiffusionModel, tmp_path: Path):
    task = Marigold(model)
    task.network = nn.Sequential(model.unet)
    with pytest.raises(TypeError, match="unwrap it"):
        task.save(tmp_path)
