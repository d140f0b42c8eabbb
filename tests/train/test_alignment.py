"""Alignment with a teacher's features: what it measures, that it is learnt, that it stays out of the model."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor

from latentdepth.core.noise import generator
from latentdepth.data.batch import Batch
from latentdepth.models.diffusion import DiffusionModel, load_diffusion
from latentdepth.models.facts import Facts
from latentdepth.models.feedforward import DepthPyramid
from latentdepth.train.alignment import Aligned, AlignedMarigold
from latentdepth.train.denoise import Marigold
from latentdepth.train.options import AlignOptions, DenoiseOptions
from latentdepth.train.tiny_networks import model_on, new_vae

LAYERS = ("down_blocks.1", "mid_block")


def small(model: DiffusionModel, channels: tuple[tuple[int, int], ...] = ((64, 5), (64, 3))) -> Aligned:
    torch.manual_seed(0)
    return Aligned(model.unet, LAYERS, channels)


@pytest.fixture
def features() -> tuple[Tensor, ...]:
    draw = torch.Generator().manual_seed(2)
    return torch.randn(4, 5, 4, 4, generator=draw), torch.randn(4, 3, 4, 4, generator=draw)


def angle(aligned: Aligned, features: tuple[Tensor, ...]) -> Tensor:
    latent = torch.randn(4, 8, 8, 8, generator=torch.Generator().manual_seed(1))
    prompt = torch.zeros(4, 2, 32)
    return aligned(latent, torch.full((4,), 500), prompt, features)[1]


def test_scale_and_shift_of_the_teachers_channels_do_not_matter(model: DiffusionModel, features: tuple[Tensor, ...]):
    first, second = (angle(small(model), f) for f in (features, tuple(7 * f + 3 for f in features)))
    # batch normalisation adds 1e-5 to the variance before the root
    torch.testing.assert_close(first, second, atol=1e-4, rtol=0)
    assert 0.5 < float(first.detach()) < 1.5  # 1 - cosine of unrelated directions


def test_alignment_is_learnt_through_the_network(model: DiffusionModel, features: tuple[Tensor, ...]):
    aligned = small(model)
    optimiser = torch.optim.Adam(aligned.parameters(), lr=2e-3)
    first = float(angle(aligned, features).detach())
    for _ in range(30):
        optimiser.zero_grad()
        angle(aligned, features).backward()
        optimiser.step()
    assert float(angle(aligned, features).detach()) < 0.6 * first
    gradient = model.unet.conv_in.weight.grad
    assert gradient is not None
    assert bool(gradient.abs().sum() > 0)


def test_features_of_another_size_are_named(model: DiffusionModel, features: tuple[Tensor, ...]):
    with pytest.raises(ValueError, match=r"down_blocks\.1 gives .*the teacher's features are"):
        angle(small(model), (features[0][..., :2], features[1]))


@pytest.fixture(scope="module")
def embedded(tmp_path_factory: pytest.TempPathFactory) -> DiffusionModel:
    """The embedded model's networks, new: the layers that a recipe aligns by default are theirs."""
    folder = tmp_path_factory.mktemp("new")
    torch.manual_seed(0)
    new_vae().save_pretrained(folder / "vae")
    return model_on(folder, channels=8, facts=Facts(modality="disparity", resolution=64))


@pytest.fixture
def task(embedded: DiffusionModel, tmp_path: Path) -> AlignedMarigold:
    torch.manual_seed(0)
    return AlignedMarigold(embedded, DenoiseOptions(), DepthPyramid(), AlignOptions(tmp_path, weight=2.0))


@pytest.fixture
def photos() -> Batch:
    image = torch.rand(2, 3, 64, 64, generator=generator("photos")) * 2 - 1
    return Batch(image, image.mean(1, keepdim=True), torch.ones(2, 1, 64, 64, dtype=torch.bool))


def test_the_loss_is_marigold_s_plus_weighted_alignment(task: AlignedMarigold, photos: Batch):
    losses = task.loss(photos, generator("d"))
    torch.testing.assert_close(losses["loss"], losses["denoising"] + 2.0 * losses["alignment"])
    latents = task.encoded(photos)
    assert [tuple(f.shape) for f in latents.features] == [(2, 112, 4, 4), (2, 320, 2, 2)]
    with torch.no_grad():
        plain = Marigold(task.model).loss(photos, generator("d"))["loss"]
        torch.testing.assert_close(losses["denoising"], plain)
        stored = task.loss(latents, generator("d"))
    torch.testing.assert_close(stored["loss"], losses["loss"])
    losses["loss"].backward()
    assert all(p.grad is not None for p in task.network.parameters())
    assert all(p.grad is None for p in task.teacher.parameters())
    task.model.unet.zero_grad(set_to_none=True)


def test_what_is_saved_and_predicts_is_the_model_alone(task: AlignedMarigold, tmp_path: Path):
    task.save(tmp_path)
    saved = load_diffusion(tmp_path, device=torch.device("cpu"), dtype=torch.float32)
    assert saved.unet.state_dict().keys() == task.model.unet.state_dict().keys()
    with torch.no_grad():
        assert task.predict(torch.rand(1, 3, 40, 56)).value.shape == (1, 1, 40, 56)
    task.network = task.model.unet  # pyright: ignore[reportAttributeAccessIssue]
    with pytest.raises(TypeError, match="unwrap it before saving"):
        task.save(tmp_path)


def test_layers_that_do_not_fit_are_named(embedded: DiffusionModel, tmp_path: Path):
    def refused(layers: tuple[str, str], message: str) -> None:
        with pytest.raises(ValueError, match=message):
            AlignedMarigold(embedded, DenoiseOptions(), DepthPyramid(), AlignOptions(tmp_path, layers=layers))

    refused(("nothing", "mid_block"), r"align\.layers: the U-Net has no layer nothing; mid_block is one")
    refused(("mid_block", "mid_block"), r"mid_block gives 2 columns where the teacher's features have 4")
