"""Examples as the autoencoder sees them: masks, grey pictures, several pictures at once."""

from __future__ import annotations

import torch

from latentdepth.data.batch import Batch
from latentdepth.models.diffusion import DiffusionModel
from latentdepth.train.latents import encoded, latent_mask


def test_a_cell_is_valid_only_if_all_of_its_pixels_are():
    valid = torch.ones(1, 1, 16, 16, dtype=torch.bool)
    valid[0, 0, 3, 9] = False
    assert latent_mask(valid, 8).tolist() == [[[[True, False], [True, True]]]]


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
