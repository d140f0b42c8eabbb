"""What the tests of tasks share: fresh small models, pictures whose depth can be learnt, and a plain descent."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from diffusers import UNet2DConditionModel
from PIL import Image
from torch.nn import functional as F

from latentdepth.core.noise import generator
from latentdepth.data.batch import Batch
from latentdepth.models.diffusion import DiffusionModel, load_diffusion
from latentdepth.train.latents import LatentBatch

Descend = Callable[..., None]


@pytest.fixture
def model(tiny_folder: Path) -> DiffusionModel:
    """The tiny depth model, fresh."""
    return load_diffusion(tiny_folder, device=torch.device("cpu"), dtype=torch.float32)


@pytest.fixture(scope="session")
def base_folder(tiny_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A text-to-image folder in Stable Diffusion's layout: 4 channels in, 4 out."""
    folder = Path(shutil.copytree(tiny_folder, tmp_path_factory.mktemp("models") / "base"))
    config = json.loads((folder / "unet/config.json").read_text()) | {"in_channels": 4}
    (folder / "model_index.json").unlink()
    with torch.random.fork_rng():
        torch.manual_seed(1)
        unet: Any = UNet2DConditionModel.from_config(config)
    unet.save_pretrained(folder / "unet")
    return folder


@pytest.fixture
def pixels() -> Batch:
    """Three smooth photos of 16 x 16 pixels whose target is their brightness; a corner of the second is invalid."""
    coarse = torch.rand(3, 3, 4, 4, generator=generator("pixels")) * 2 - 1
    image = F.interpolate(coarse, (16, 16), mode="bilinear").clamp(-1, 1)
    valid = torch.ones(3, 1, 16, 16, dtype=torch.bool)
    valid[1, :, 10:, 9:] = False
    return Batch(image, (1.5 * image.mean(1, keepdim=True)).clamp(-1, 1), valid)


@pytest.fixture
def latents() -> LatentBatch:
    """Three encoded photos whose target mirrors what they show; a corner of the second is invalid."""
    image = torch.randn(3, 4, 8, 8, generator=generator("latents"))
    valid = torch.ones(3, 1, 8, 8, dtype=torch.bool)
    valid[1, :, 5:, 4:] = False
    return LatentBatch(image.roll(1, 1), image, valid)


@pytest.fixture
def descend() -> Descend:
    """Train a task on one batch for a few steps, as the loop does."""

    def run(task: Any, batch: Any, *, steps: int = 15, lr: float = 3e-3) -> None:
        weights = [p for p in task.network.parameters() if p.requires_grad]
        optimiser = torch.optim.Adam(weights, lr=lr)
        for k in range(steps):
            optimiser.zero_grad()
            task.loss(batch, generator("step", k))["loss"].backward()
            optimiser.step()
            task.after_step()

    return run


@pytest.fixture
def frames(tmp_path: Path) -> Path:
    """Three log-coded frames of noise over a floor that comes nearer downwards."""
    folder = tmp_path / "frames"
    folder.mkdir()
    draw = np.random.default_rng(0)
    rows = np.linspace(60000, 20000, 96)[:, None] + draw.normal(0, 200, (96, 128))
    for k in range(3):
        Image.fromarray(draw.integers(0, 255, (96, 128, 3), dtype=np.uint8)).save(folder / f"{k:06d}_0.jpg")
        Image.fromarray(np.clip(rows, 1, 65535).astype(np.uint16)).save(folder / f"{k:06d}_0.png")
    return folder
