"""Alignment with a teacher's features: what it measures, that it is learnt, that it stays out of the model."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from diffusers import UNet2DConditionModel
from torch import Tensor

from latentdepth.models.diffusion import DiffusionModel
from latentdepth.train.alignment import AlignedDenoise
from latentdepth.train.latents import LatentBatch

TAPS = {"down_blocks.1": (64, 5), "mid_block": (64, 3)}


def task_of(model: DiffusionModel) -> AlignedDenoise:
    torch.manual_seed(0)
    unet = UNet2DConditionModel.from_config(model.unet.config)
    assert isinstance(unet, UNet2DConditionModel)
    return AlignedDenoise(unet, model.schedule, model.prompt, taps=TAPS, weight=2.0)


def batch_with(features: tuple[Tensor, ...]) -> LatentBatch:
    draw = torch.Generator().manual_seed(1)
    image = torch.randn(4, 4, 8, 8, generator=draw)
    return LatentBatch(image.flip(1), image, torch.ones(4, 1, 8, 8, dtype=torch.bool), features)


@pytest.fixture
def features() -> tuple[Tensor, ...]:
    draw = torch.Generator().manual_seed(2)
    return torch.randn(4, 5, 4, 4, generator=draw), torch.randn(4, 3, 4, 4, generator=draw)


def test_the_loss_is_denoising_plus_weighted_alignment(model: DiffusionModel, features: tuple[Tensor, ...]):
    losses = task_of(model).loss(batch_with(features), torch.Generator().manual_seed(0))
    torch.testing.assert_close(losses["loss"], losses["denoising"] + 2.0 * losses["alignment"])
    assert 0.5 < float(losses["alignment"].detach()) < 1.5  # 1 - cosine of unrelated directions


def test_scale_and_shift_of_the_teachers_channels_do_not_matter(model: DiffusionModel, features: tuple[Tensor, ...]):
    moved = tuple(7 * f + 3 for f in features)
    first = task_of(model).loss(batch_with(features), torch.Generator().manual_seed(0))["alignment"]
    second = task_of(model).loss(batch_with(moved), torch.Generator().manual_seed(0))["alignment"]
    # batch normalisation adds 1e-5 to the variance before the root
    torch.testing.assert_close(first, second, atol=1e-4, rtol=0)


def test_alignment_is_learnt_through_the_network(model: DiffusionModel, features: tuple[Tensor, ...]):
    task, batch = task_of(model), batch_with(features)
    optimiser = torch.optim.Adam(task.network.parameters(), lr=2e-3)
    first = float(task.loss(batch, torch.Generator().manual_seed(0))["alignment"].detach())
    for step in range(30):
        optimiser.zero_grad()
        task.loss(batch, torch.Generator().manual_seed(step))["loss"].backward()
        optimiser.step()
    last = task.loss(batch, torch.Generator().manual_seed(0))["alignment"]
    assert float(last.detach()) < 0.6 * first
    gradient = task.unet.conv_in.weight.grad
    assert gradient is not None
    assert bool(gradient.abs().sum() > 0)


def test_only_the_unet_is_saved(model: DiffusionModel, features: tuple[Tensor, ...], tmp_path: Path):
    task = task_of(model)
    task.loss(batch_with(features), torch.Generator().manual_seed(0))
    task.save(tmp_path)
    saved = UNet2DConditionModel.from_pretrained(tmp_path).state_dict()
    assert saved.keys() == task.unet.state_dict().keys()


def test_features_of_another_size_are_named(model: DiffusionModel, features: tuple[Tensor, ...]):
    with pytest.raises(ValueError, match=r"down_blocks\.1 gives .*the teacher's features are"):
        task_of(model).loss(batch_with((features[0][..., :2], features[1])), torch.Generator().manual_seed(0))
