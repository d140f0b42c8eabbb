"""Views encoded once: masks, determinism, and what is left out."""

from __future__ import annotations

from pathlib import Path

import torch
from diffusers import AutoencoderKL
from safetensors.torch import load_file

from latentdepth.core.types import Quantity
from latentdepth.data.batch import Batch
from latentdepth.data.sample import Sample
from latentdepth.models.diffusion import DiffusionModel
from latentdepth.train.latents import encode_views, encoded, latent_batches, latent_mask


def scene(k: int) -> Sample:
    draw = torch.Generator().manual_seed(k)
    depth = 1 + torch.rand(1, 40, 48, generator=draw)
    return Sample(torch.rand(3, 40, 48, generator=draw), depth, torch.ones(1, 40, 48, dtype=torch.bool))


def test_a_cell_is_valid_only_if_all_of_its_pixels_are():
    valid = torch.ones(1, 1, 16, 16, dtype=torch.bool)
    valid[0, 0, 3, 9] = False
    assert latent_mask(valid, 8).tolist() == [[[[True, False], [True, True]]]]


def test_views_are_encoded_repeatably_and_bad_ones_left_out(tiny_folder: Path, tmp_path: Path):
    vae = AutoencoderKL.from_pretrained(tiny_folder / "vae").eval()
    flat = Sample(torch.rand(3, 40, 48), torch.ones(1, 40, 48), torch.ones(1, 40, 48, dtype=torch.bool))
    readers = [lambda: scene(0), lambda: flat, lambda: scene(1)]

    def run(name: str) -> dict[str, torch.Tensor]:
        path = encode_views(
            vae, 0.5, readers, tmp_path / name, quantity=Quantity.DISPARITY, views=2, size=(24, 32), seed=3
        )
        return load_file(path)

    store = run("a.safetensors")
    assert store["image"].shape == (4, 4, 12, 16)  # two scenes, two views; the flat wall has no range
    assert store["target"].shape == store["image"].shape
    assert store["valid"].shape == (4, 1, 12, 16)
    assert all(torch.equal(v, store[k]) for k, v in run("b.safetensors").items())
    batches = latent_batches([tmp_path / "a.safetensors"], [1.0], batch=5, seed=1, prior=False)
    assert torch.equal(batches(7).target, batches(7).target)
    assert not torch.equal(batches(7).target, batches(8).target)
    assert latent_batches([tmp_path / "a.safetensors"], [1.0], batch=5, seed=1, prior=True)(0).image is None


def test_a_batch_is_encoded_as_prediction_encodes_a_photo(model: DiffusionModel, pixels: Batch):
    found = encoded(model, pixels)
    grey = pixels.target.expand(-1, 3, -1, -1)
    with torch.inference_mode():
        # the same convolutions in batches of other sizes: float32 rounding
        torch.testing.assert_close(found.image, model.encode(pixels.image), atol=1e-5, rtol=1e-5)
        torch.testing.assert_close(found.target, model.encode(grey), atol=1e-5, rtol=1e-5)
    assert torch.equal(found.valid, latent_mask(pixels.valid, 2))
    assert not found.target.requires_grad
    three = encoded(model, Batch(pixels.image, torch.cat((grey, pixels.image, grey), 1), pixels.valid))
    assert found.image is not None
    wanted = torch.cat((found.target, found.image, found.target), 1)
    torch.testing.assert_close(three.target, wanted, atol=1e-5, rtol=1e-5)
    assert torch.equal(found.to("cpu").valid, found.valid)
