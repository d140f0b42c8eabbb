"""The autoencoder's loss, its teacher, and the scale that it is saved with."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from diffusers import AutoencoderKL, AutoencoderTiny

from latentdepth.core.noise import generator
from latentdepth.data.batch import Batch
from latentdepth.models.diffusion import posterior
from latentdepth.train.autoencode import Autoencode, Rebuild, gradient_l1, three_channels
from latentdepth.train.options import AutoencodeOptions
from latentdepth.train.task import Feeds, Judges


@pytest.fixture
def vae(tiny_folder: Path) -> AutoencoderKL:
    return AutoencoderKL.from_pretrained(tiny_folder / "vae")


def test_the_loss_has_its_parts_and_gradients(vae: AutoencoderKL, pixels: Batch):
    task = Autoencode(vae, AutoencodeOptions(kl_weight=0.1, gradient_weight=2.0))
    assert isinstance(task, Feeds)
    assert isinstance(task, Judges)
    losses = task.loss(pixels, generator("draw"))
    expected = losses["l1"] + 2.0 * losses["gradient"] + 0.1 * losses["kl"]
    torch.testing.assert_close(losses["loss"], expected)
    losses["loss"].backward()
    assert all(p.grad is not None for p in vae.parameters())
    again = task.loss(pixels, generator("draw"))["loss"]
    assert torch.equal(again, losses["loss"])


def test_a_teacher_s_latents_are_learnt_besides(tiny_folder: Path, pixels: Batch):
    """Against a network of the same stride that always answers zero: the smooth L1 of the mean itself."""
    construct: Any = AutoencoderKL  # its annotations allow one level only
    vae = construct(
        block_out_channels=(8,) * 4,
        down_block_types=("DownEncoderBlock2D",) * 4,
        up_block_types=("UpDecoderBlock2D",) * 4,
        norm_num_groups=4,
    )
    teacher = AutoencoderTiny()
    with torch.no_grad():
        for parameter in teacher.parameters():
            parameter.zero_()
    task = Autoencode(vae, AutoencodeOptions(match_weight=3.0), teacher=teacher)
    losses = task.loss(pixels, generator("draw"))
    mean = posterior(vae, three_channels(pixels.target)).mean
    wanted = torch.where(mean.abs() < 1, mean.square() / 2, mean.abs() - 0.5).mean()
    torch.testing.assert_close(losses["match"], wanted)
    parts = losses["l1"] + 0.5 * losses["gradient"] + 1e-4 * losses["kl"] + 3 * losses["match"]
    torch.testing.assert_close(losses["loss"], parts)


def test_gradient_loss_sees_edges_and_not_offsets():
    a = torch.zeros(1, 1, 8, 8)
    assert float(gradient_l1(a, a + 5)) == 0.0
    b = a.clone()
    b[..., 4:] = 1.0
    assert float(gradient_l1(a, b)) > 0.1


def test_the_saved_scale_brings_latents_to_unit_variance(vae: AutoencoderKL, pixels: Batch, tmp_path: Path):
    task = Autoencode(vae)
    task.save(tmp_path / "untrained")
    assert AutoencoderKL.from_pretrained(tmp_path / "untrained/vae").config["scaling_factor"] == 1.0
    with torch.no_grad():
        for k in range(3):  # the same weights: every batch says the same
            task.loss(pixels, generator("draw", k))
        latent = posterior(vae, three_channels(pixels.target)).mean
    other = Autoencode(vae)
    other.load_state(task.state())
    other.save(tmp_path / "seen")
    saved = AutoencoderKL.from_pretrained(tmp_path / "seen/vae")
    # rounded to five places; the running mean is in float32
    assert saved.config["scaling_factor"] * float(latent.std(correction=0)) == pytest.approx(1, abs=1e-4)
    assert torch.equal(saved.encoder.conv_in.weight, vae.encoder.conv_in.weight)
    with pytest.raises(ValueError, match=r"holds target, and no latent's moments"):
        other.load_state({"target": torch.zeros(1)})


def test_it_is_judged_by_what_it_rebuilds(vae: AutoencoderKL, pixels: Batch):
    task = Autoencode(vae)
    row = Batch(pixels.image[:1], pixels.target[:1], pixels.valid[:1])
    photo = Batch(row.image, row.image, row.valid)
    with torch.no_grad():
        depth, seen = task.judge(row), task.judge(photo)
        rebuilt = vae.decode(vae.encode(row.image).latent_dist.mode()).sample  # pyright: ignore
    assert seen.figures["l1"] == seen.figures["photo_l1"] == pytest.approx(float((rebuilt - row.image).abs().mean()))
    assert list(depth.figures) == ["l1", "depth_l1"]
    assert [tuple(p.shape) for p in depth.pictures] == [(3, 16, 16)] * 3
    task.network = torch.nn.Identity()
    with pytest.raises(TypeError, match="the network is a Identity"):
        task.judge(row)
    assert isinstance(Autoencode(vae).network, Rebuild)
