"""Lotus-D: two tasks told apart by a switch, no noise, and a folder that predicts in one step."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from latentdepth.core.noise import generator
from latentdepth.loading import load
from latentdepth.models.diffusion import DiffusionModel
from latentdepth.models.stable_diffusion import from_stable_diffusion
from latentdepth.predictor import DiffusionPredictor
from latentdepth.train.latents import LatentBatch
from latentdepth.train.lotus import ESTIMATE, Lotus
from latentdepth.train.options import LotusOptions


@pytest.fixture
def lotus(base_folder: Path) -> DiffusionModel:
    return from_stable_diffusion(base_folder, modality="disparity", switch=True, resolution=16)


class Switch(nn.Module):
    """Gives the target where the label says estimate, and else its input back; counts what it was asked."""

    def __init__(self, target: Tensor) -> None:
        super().__init__()
        self.target, self.asked, self.t = target, 0, torch.zeros(0)

    def forward(self, x: Tensor, t: Tensor, *, class_labels: Tensor, **_: Any) -> SimpleNamespace:
        self.asked, self.t = len(x), t
        estimate = (class_labels - torch.tensor(ESTIMATE)).abs().amax(1) < 1e-6
        wanted = x.clone()
        wanted[estimate] = self.target
        return SimpleNamespace(sample=wanted)


def test_a_perfect_network_has_no_loss_and_is_asked_both(lotus: DiffusionModel, latents: LatentBatch):
    for share, asked in ((1.0, 6), (0.0, 3)):
        task, perfect = Lotus(lotus, LotusOptions(reconstruct_share=share)), Switch(latents.target)
        task.network = perfect
        losses = task.loss(latents, generator("s"))
        assert float(losses["loss"]) == 0.0
        assert perfect.asked == asked
        assert perfect.t.tolist() == [999] * asked
        assert ("reconstruct" in losses) == (share > 0)


def test_the_parts_add_up(lotus: DiffusionModel, latents: LatentBatch):
    with torch.no_grad():
        losses = Lotus(lotus, LotusOptions(reconstruct_weight=0.5)).loss(latents, generator("s"))
    torch.testing.assert_close(losses["loss"], losses["estimate"] + 0.5 * losses["reconstruct"])


def test_it_learns_from_the_pictures(lotus: DiffusionModel, latents: LatentBatch, descend: Callable[..., None]):
    task, start = Lotus(lotus), {k: v.clone() for k, v in lotus.unet.state_dict().items()}

    def losses() -> dict[str, float]:
        with torch.no_grad():
            return {k: float(v) for k, v in task.loss(latents, generator("m")).items()}

    before = losses()
    descend(task, latents)
    learnt = losses()
    lotus.unet.load_state_dict(start)
    descend(task, LatentBatch(latents.target.roll(1, 0), latents.image, latents.valid))
    control = losses()
    assert learnt["estimate"] < 0.7 * before["estimate"]
    assert learnt["estimate"] < 0.7 * control["estimate"]
    assert learnt["reconstruct"] < 0.7 * before["reconstruct"]
    assert control["reconstruct"] < 0.7 * before["reconstruct"]  # whose photo it is never changed


def test_cells_that_are_not_valid_do_not_count(lotus: DiffusionModel, latents: LatentBatch):
    task = Lotus(lotus)
    with torch.no_grad():
        loss = task.loss(latents, generator("d"))["loss"]
        moved = LatentBatch(torch.where(latents.valid, latents.target, 7.0), latents.image, latents.valid)
        assert torch.equal(task.loss(moved, generator("d"))["loss"], loss)
    nothing = task.loss(LatentBatch(latents.target, latents.image, torch.zeros_like(latents.valid)), generator("d"))
    nothing["loss"].backward()
    assert float(nothing["loss"].detach()) == 0.0


def test_the_saved_folder_predicts_in_one_step(
    lotus: DiffusionModel, latents: LatentBatch, descend: Callable[..., None], tmp_path: Path
):
    task = Lotus(lotus)
    descend(task, latents, steps=2)  # the switch's last layer starts at zero: without a step it would not matter
    task.save(tmp_path / "saved")
    predictor = load(f"dir:{tmp_path / 'saved'}", device="cpu", dtype="float32")
    assert isinstance(predictor, DiffusionPredictor)
    assert predictor.model.facts == lotus.facts
    photo = torch.rand(2, 3, 16, 16, generator=generator("photo"))
    found = predictor(photo).value
    # a loaded model runs in the quick forms: equal up to the rounding of float32
    torch.testing.assert_close(found, task.predict(photo).value, atol=1e-4, rtol=0)
    with torch.no_grad():
        image = lotus.encode(photo * 2 - 1)
        labels = torch.tensor(ESTIMATE).expand(2, -1)
        picture = lotus.decode(task.called(lotus.unet, image, torch.full((2,), 999), labels))
    wanted = (picture.mean(1, keepdim=True).clamp(-1, 1) + 1) / 2
    torch.testing.assert_close(found, wanted, atol=1e-5, rtol=1e-5)  # one photo at a time there


def test_a_model_of_another_form_is_refused(model: DiffusionModel):
    with pytest.raises(ValueError, match=r"in_channels is 8, 4 is needed.*prediction_type is v_prediction"):
        Lotus(model)
