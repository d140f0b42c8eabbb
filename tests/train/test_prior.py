"""The image prior: it denoises photos, and is saved as what a depth model can start from."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from latentdepth.core.noise import generator
from latentdepth.data.batch import Batch
from latentdepth.models.diffusion import DiffusionModel, load_networks
from latentdepth.models.stable_diffusion import from_stable_diffusion
from latentdepth.train.latents import LatentBatch
from latentdepth.train.options import DenoiseOptions
from latentdepth.train.prior import ImagePrior
from latentdepth.train.task import Feeds, Judges


@pytest.fixture
def model(base_folder: Path, tiny_folder: Path) -> DiffusionModel:
    """The text-to-image folder's networks as they are, without surgery."""
    facts = from_stable_diffusion(base_folder, modality="depth").facts
    return DiffusionModel(*load_networks(base_folder), facts)


def test_its_target_is_the_photo_s_own_latent(model: DiffusionModel, pixels: Batch):
    task = ImagePrior(model, DenoiseOptions(noise="gaussian"))
    assert isinstance(task, Feeds)
    assert isinstance(task, Judges)
    assert (task.kind, task.sides_px) == ("photo", (2, 4))
    latents = task.encoded(pixels)
    assert latents.image is None
    assert bool(latents.valid.all())
    with torch.no_grad():
        torch.testing.assert_close(latents.target, model.encode(pixels.image), atol=1e-5, rtol=1e-5)
        from_pixels = task.loss(pixels, generator("d"))["loss"]
    assert torch.equal(task.loss(latents, generator("d"))["loss"].detach(), from_pixels)


def test_it_learns_and_its_judge_sees_it(model: DiffusionModel, pixels: Batch, descend: Callable[..., None]):
    task = ImagePrior(model, DenoiseOptions(noise="gaussian"))
    row = Batch(pixels.image[:1], pixels.image[:1], pixels.valid[:1])
    with torch.no_grad():
        before = task.judge(row)
        assert task.judge(row).figures == before.figures
    assert [tuple(picture.shape) for picture in before.pictures] == [(3, 16, 16)] * 3
    latents = task.encoded(pixels)
    descend(task, LatentBatch(latents.target, None, latents.valid), steps=25)
    with torch.no_grad():
        assert task.judge(row).figures["loss"] < 0.8 * before.figures["loss"]


def test_it_is_saved_as_a_text_to_image_folder(model: DiffusionModel, tmp_path: Path):
    ImagePrior(model).save(tmp_path)
    assert not list(tmp_path.glob("*.json"))
    depth = from_stable_diffusion(tmp_path, modality="disparity")
    assert depth.unet.config["in_channels"] == 8
    half = model.unet.conv_in.weight / 2
    torch.testing.assert_close(depth.unet.conv_in.weight, torch.cat((half, half), 1))
