"""Distillation: the boundary, the teacher's step, the moving target, and that the student learns from the teacher."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from latentdepth.core.noise import generator
from latentdepth.core.samplers import boundary, ddim, lcm, lcm_timesteps
from latentdepth.core.schedule import Schedule
from latentdepth.data.batch import Batch
from latentdepth.loading import load
from latentdepth.models.diffusion import DiffusionModel
from latentdepth.options import PredictOptions
from latentdepth.predictor import DiffusionPredictor
from latentdepth.train.consistency import Consistency, grid
from latentdepth.train.latents import LatentBatch
from latentdepth.train.options import ConsistencyOptions

Oracle = Callable[[Schedule, Tensor], nn.Module]


def test_at_the_boundary_the_answer_is_the_input():
    skip, keep = boundary(torch.tensor([0, 1, 199]))
    assert skip.flatten()[0] == 1
    assert keep.flatten()[0] == 0
    torch.testing.assert_close(skip + keep.square(), torch.ones(3, 1, 1, 1))
    assert float(skip.flatten()[2]) < 1e-6


def test_the_jump_is_the_one_that_the_sampler_makes(model: DiffusionModel, latents: LatentBatch):
    task = Consistency(model)
    assert latents.image is not None
    image, noise = latents.image, torch.randn(3, 4, 8, 8, generator=generator("n"))
    with torch.no_grad():

        def denoise(x: Tensor, t: Tensor) -> Tensor:
            return task.x0(task.network, x, t, image)

        sampled = lcm(denoise, noise, model.schedule, 1, renoise=lambda step: noise)
        t = torch.full((3,), lcm_timesteps(model.schedule, 1)[0])
        torch.testing.assert_close(task.jump(task.network, noise, t, image), sampled, atol=1e-6, rtol=1e-6)


def test_the_grid_and_the_teacher_s_step_are_ddim_s(model: DiffusionModel, latents: LatentBatch):
    task = Consistency(model)
    assert grid(model.schedule, 5) == [199, 399, 599, 799, 999]
    assert sorted(model.schedule.timesteps(5)) == grid(model.schedule, 5)  # trailing steps, where it is sampled
    assert latents.image is not None
    image, x = latents.image, torch.randn(3, 4, 8, 8, generator=generator("n"))
    seen: list[Tensor] = []

    def denoise(x: Tensor, t: Tensor) -> Tensor:
        seen.append(x)
        return task.x0(task.teacher, x, t, image)

    with torch.no_grad():
        ddim(denoise, x, model.schedule, 5)
        for k, t in enumerate([999, 799, 599, 399]):
            found, before = task.earlier(seen[k], torch.full((3,), t), image)
            assert before.tolist() == [t - 200] * 3
            torch.testing.assert_close(found, seen[k + 1], atol=1e-5, rtol=1e-5)
        assert task.earlier(seen[4], torch.full((3,), 199), image)[1].tolist() == [0, 0, 0]


def test_a_perfect_student_of_a_perfect_teacher_has_no_loss(
    model: DiffusionModel, latents: LatentBatch, oracle: Oracle
):
    task = Consistency(model)
    task.network = oracle(model.schedule, latents.target)
    task.teacher = task.target = task.network
    losses = [float(task.loss(latents, generator("p", k))["loss"]) for k in range(6)]
    # from the first timestep the target is x itself at t = 0: the clean latent and 3 % of noise
    assert max(losses) < 0.04
    task.network = oracle(model.schedule, latents.target + 1)
    assert min(float(task.loss(latents, generator("p", k))["loss"]) for k in range(6)) > 0.9


class Astray(Consistency):
    """The same steps towards fixed noise: what learning nothing from the teacher looks like."""

    def earlier(self, x: Tensor, t: Tensor, image: Tensor) -> tuple[Tensor, Tensor]:
        return torch.randn(x.shape, generator=generator("astray")), torch.zeros_like(t)


def test_it_learns_from_the_teacher(model: DiffusionModel, latents: LatentBatch, descend: Callable[..., None]):
    """One jump of the student comes nearer to where five steps of the teacher end."""
    assert latents.image is not None
    image, noise = latents.image, torch.randn(3, 4, 8, 8, generator=generator("n"))
    start = {k: v.clone() for k, v in model.unet.state_dict().items()}
    options = ConsistencyOptions(target_decay=0.5)
    task, control = Consistency(model, options), Astray(model, options)
    with torch.no_grad():
        end = ddim(lambda x, t: task.x0(task.teacher, x, t, image), noise, model.schedule, 5)

    def distance() -> float:
        with torch.no_grad():
            jumped = task.jump(model.unet, noise, torch.full((3,), 999), image)
        return float((jumped - end).abs().mean())

    before = distance()
    descend(task, latents, steps=30, lr=1e-3)
    learnt = distance()
    model.unet.load_state_dict(start)
    descend(control, latents, steps=30, lr=1e-3)
    # measured: 0.65 of what it was
    assert learnt < 0.8 * before
    assert learnt < 0.8 * distance()


def test_teacher_stays_and_target_follows(model: DiffusionModel, latents: LatentBatch, descend: Callable[..., None]):
    task = Consistency(model, ConsistencyOptions(target_decay=0.9))
    old = model.unet.conv_in.weight.detach().clone()
    descend(task, latents, steps=1)
    new, target = model.unet.conv_in.weight.detach(), dict(task.target.named_parameters())["conv_in.weight"]
    assert not torch.equal(old, new)
    torch.testing.assert_close(target, 0.9 * old + 0.1 * new, atol=1e-7, rtol=1e-6)
    assert torch.equal(dict(task.teacher.named_parameters())["conv_in.weight"], old)


def test_its_state_comes_back_exactly(model: DiffusionModel, latents: LatentBatch, descend: Callable[..., None]):
    task = Consistency(model)
    descend(task, latents, steps=2)
    kept = {k: v.clone() for k, v in task.state().items()}
    fresh = Consistency(model)
    fresh.load_state(kept)
    assert all(torch.equal(v, kept[k]) for k, v in fresh.state().items())
    with pytest.raises(ValueError, match="doesn't fit"):
        fresh.load_state({k: v for k, v in kept.items() if "conv_in" not in k})


def test_cells_that_are_not_valid_do_not_count(model: DiffusionModel, latents: LatentBatch):
    task = Consistency(model)
    nothing = LatentBatch(latents.target, latents.image, torch.zeros_like(latents.valid))
    loss = task.loss(nothing, generator("z"))["loss"]
    loss.backward()
    assert float(loss.detach()) == 0.0
    with torch.no_grad():
        everywhere = LatentBatch(latents.target, latents.image, torch.ones_like(latents.valid))
        assert task.loss(latents, generator("z"))["loss"] != task.loss(everywhere, generator("z"))["loss"]


def test_the_saved_folder_asks_for_the_lcm_sampler(model: DiffusionModel, pixels: Batch, tmp_path: Path):
    task = Consistency(model)
    task.save(tmp_path / "saved")
    predictor = load(f"dir:{tmp_path / 'saved'}", device="cpu", dtype="float32")
    assert isinstance(predictor, DiffusionPredictor)
    assert predictor.plan(PredictOptions()).sampler == "lcm"
    photo = (pixels.image + 1) / 2
    # a loaded model runs in the quick forms: equal up to the rounding of float32
    torch.testing.assert_close(predictor(photo).value, task.predict(photo).value, atol=1e-4, rtol=0)


@pytest.mark.parametrize("wrong", [{"timesteps": 0}, {"target_decay": 1.5}, {"huber": 0.0}])
def test_options_out_of_range_are_named(wrong: dict[str, float]):
    with pytest.raises(ValueError, match=f"{next(iter(wrong))} is .*; allowed is"):
        ConsistencyOptions(**wrong)  # pyright: ignore[reportArgumentType]
