"""What the tests of tasks share: fresh small models, pictures whose depth can be learnt, and a plain descent."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from latentdepth.core.noise import generator
from latentdepth.core.schedule import Schedule
from latentdepth.data.batch import Batch
from latentdepth.models.diffusion import DiffusionModel, load_diffusion
from latentdepth.train.latents import LatentBatch

Descend = Callable[..., None]


@pytest.fixture
def model(tiny_folder: Path) -> DiffusionModel:
    """The tiny depth model, fresh."""
    return load_diffusion(tiny_folder, device=torch.device("cpu"), dtype=torch.float32)


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


class Answers(nn.Module):
    """A network that knows the clean latent and answers in the schedule's terms."""

    def __init__(self, schedule: Schedule, clean: Tensor) -> None:
        super().__init__()
        self.schedule, self.clean = schedule, clean

    def forward(self, x: Tensor, t: Tensor, **_: Any) -> SimpleNamespace:
        noisy = x[:, -self.clean.shape[1] :]
        signal, sigma = self.schedule.levels(t, noisy)
        return SimpleNamespace(sample=self.schedule.target(self.clean, (noisy - signal * self.clean) / sigma, t))


@pytest.fixture
def oracle() -> Callable[[Schedule, Tensor], nn.Module]:
    """Makes, of a schedule and a clean latent, a network that is always right."""
    return Answers
