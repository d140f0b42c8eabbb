"""What every task on a whole model does alike, from a text-to-image folder to a prediction."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from latentdepth.core.noise import generator
from latentdepth.core.types import Quantity
from latentdepth.data.batch import Batch
from latentdepth.models.stable_diffusion import from_stable_diffusion
from latentdepth.train.consistency import Consistency
from latentdepth.train.denoise import Marigold
from latentdepth.train.end_to_end import EndToEnd
from latentdepth.train.lotus import Lotus
from latentdepth.train.model_task import ModelTask
from latentdepth.train.task import Predicts


@pytest.mark.parametrize("kind", [Marigold, EndToEnd, Consistency, Lotus])
@pytest.mark.parametrize("weights", [torch.float32, torch.bfloat16])
def test_every_task_trains_a_text_to_image_network_and_predicts(
    base_folder: Path, pixels: Batch, kind: type[ModelTask], weights: torch.dtype
):
    model = from_stable_diffusion(base_folder, modality="disparity", switch=kind is Lotus, resolution=16)
    model.to(torch.device("cpu"), weights)
    model.unet.enable_gradient_checkpointing()
    task = kind(model)
    assert isinstance(task, Predicts)
    assert model.vae.is_gradient_checkpointing == (kind is EndToEnd)
    task.to(torch.device("cpu"))
    with torch.autocast("cpu", torch.bfloat16, enabled=weights == torch.bfloat16):
        loss = task.loss(pixels, generator("l"))["loss"]
    assert loss.dtype == torch.float32
    loss.backward()
    assert all(p.grad is not None and bool(torch.isfinite(p.grad).all()) for p in model.unet.parameters())
    assert all(p.grad is None for p in model.vae.parameters())
    task.after_step()
    task.load_state(task.state())
    found = task.predict((pixels.image + 1) / 2)
    assert found.kind.quantity is Quantity.DISPARITY
    assert found.value.shape == (3, 1, 16, 16)


def test_a_model_of_another_form_is_refused(base_folder: Path):
    model = from_stable_diffusion(base_folder, modality="depth", switch=True)
    for kind in (Marigold, EndToEnd, Consistency):
        with pytest.raises(ValueError, match=f"takes 4 channels; {kind.__name__} needs 8"):
            kind(model)
    two = from_stable_diffusion(base_folder, modality="depth", targets=2)
    with pytest.raises(ValueError, match="predicts 2 pictures at once; EndToEnd"):
        EndToEnd(two)
