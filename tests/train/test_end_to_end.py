"""One step through the decoder: the loss is on values, up to what is unknown of them, and on valid pixels alone."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor

from latentdepth.core.noise import generator
from latentdepth.data.batch import Batch
from latentdepth.loading import load
from latentdepth.models.diffusion import DiffusionModel
from latentdepth.options import PredictOptions
from latentdepth.train.end_to_end import EndToEnd
from latentdepth.train.latents import LatentBatch
from latentdepth.train.options import EndToEndOptions


def answer(task: EndToEnd, pixels: Batch) -> Tensor:
    """What the network says now."""
    with torch.no_grad():
        return task.value(task.model.encode(pixels.image), generator("d"))


def loss_of(task: EndToEnd, batch: Batch) -> float:
    with torch.no_grad():
        return float(task.loss(batch, generator("d"))["loss"])


def test_an_affine_map_of_the_answer_has_no_loss(model: DiffusionModel, pixels: Batch):
    task = EndToEnd(model, EndToEndOptions(gradient_weight=0.5))
    value = answer(task, pixels)
    assert float(value.std()) > 1e-3
    # float32 of a picture whose contrast is small beside its offset
    assert loss_of(task, Batch(pixels.image, 0.3 - 2 * value, pixels.valid)) < 1e-4
    assert loss_of(task, pixels) > 0.1


def test_it_learns_from_the_pictures(model: DiffusionModel, pixels: Batch, descend: Callable[..., None]):
    task, start = EndToEnd(model), {k: v.clone() for k, v in model.unet.state_dict().items()}
    before = loss_of(task, pixels)
    descend(task, pixels, steps=30, lr=1e-3)
    learnt = loss_of(task, pixels)
    model.unet.load_state_dict(start)
    others = Batch(pixels.image, pixels.target.roll(1, 0), pixels.valid)
    descend(task, others, steps=30, lr=1e-3)
    control = loss_of(task, pixels)
    # measured: 0.65 and 0.70; a decoder with random weights lets little through
    assert learnt < 0.75 * before
    assert learnt < 0.75 * control


@pytest.mark.parametrize("modality", ["depth", "normals"])
def test_invalid_pixels_have_no_influence(model: DiffusionModel, pixels: Batch, modality: str):
    model.facts = dataclasses.replace(model.facts, modality=modality)  # pyright: ignore[reportArgumentType]
    task = EndToEnd(model, EndToEndOptions(gradient_weight=0.0 if modality == "normals" else 0.5))
    target = pixels.target if modality == "depth" else torch.nn.functional.normalize(pixels.image, dim=1)

    def run(batch: Batch) -> tuple[Tensor, Tensor]:
        model.unet.zero_grad()
        loss = task.loss(batch, generator("d"))["loss"]
        loss.backward()
        slope = model.unet.conv_in.weight.grad
        assert slope is not None
        return loss.detach(), slope.clone()

    loss, slope = run(Batch(pixels.image, target, pixels.valid))
    assert float(slope.abs().max()) > 0
    other_loss, other_slope = run(Batch(pixels.image, target.where(pixels.valid, torch.nan), pixels.valid))
    assert torch.equal(loss, other_loss)
    assert torch.equal(slope, other_slope)
    none_loss, none_slope = run(Batch(pixels.image, target, torch.zeros_like(pixels.valid)))
    assert float(none_loss) == float(none_slope.abs().max()) == 0


def test_normals_are_measured_by_their_angle(model: DiffusionModel, pixels: Batch):
    model.facts = dataclasses.replace(model.facts, modality="normals")
    task = EndToEnd(model)
    value = answer(task, pixels)
    assert loss_of(task, Batch(pixels.image, 3 * value, pixels.valid)) < 1e-3  # float32 angle of equal directions
    assert loss_of(task, Batch(pixels.image, -value, pixels.valid)) == pytest.approx(torch.pi, abs=1e-3)
    with pytest.raises(ValueError, match=r"gradient_weight is 0\.5 for normals"):
        EndToEnd(model, EndToEndOptions(gradient_weight=0.5))


def test_only_the_network_gets_a_gradient(model: DiffusionModel, pixels: Batch):
    EndToEnd(model).loss(pixels, generator("d"))["loss"].backward()
    assert all(p.grad is None for p in model.vae.parameters())
    assert all(p.grad is not None for p in model.unet.parameters())


def test_computing_activations_twice_changes_no_gradient(model: DiffusionModel, pixels: Batch):
    task = EndToEnd(model)
    slopes = []
    for again in (False, True):
        if again:
            model.unet.enable_gradient_checkpointing()
            model.vae.enable_gradient_checkpointing()
        model.unet.zero_grad()
        task.loss(pixels, generator("d"))["loss"].backward()
        slope = model.unet.conv_in.weight.grad
        assert slope is not None
        slopes.append(slope.clone())
    torch.testing.assert_close(*slopes, atol=0, rtol=1e-5)  # the same sums; the allocator may change their order


def test_noise_starts_differ_and_zeros_do_not(model: DiffusionModel, pixels: Batch):
    image = model.encode(pixels.image).detach()
    for start in ("zeros", "gaussian", "multires"):
        task = EndToEnd(model, EndToEndOptions(start=start))
        with torch.no_grad():
            same = torch.equal(task.value(image, generator("a")), task.value(image, generator("b")))
        assert same == (start == "zeros")
        assert model.facts.start == ("zeros" if start == "zeros" else "noise")


def test_the_saved_folder_predicts_what_was_trained(model: DiffusionModel, pixels: Batch, tmp_path: Path):
    task = EndToEnd(model)
    task.save(tmp_path / "saved")
    predictor = load(f"dir:{tmp_path / 'saved'}", device="cpu", dtype="float32")
    photo = (pixels.image + 1) / 2
    found = predictor(photo, PredictOptions(resolution=0)).value
    torch.testing.assert_close(found, (answer(task, pixels) + 1) / 2, atol=1e-5, rtol=1e-5)  # one image at a time
    # a loaded model runs in the quick forms: equal up to the rounding of float32
    torch.testing.assert_close(task.predict(photo).value, predictor(photo).value, atol=1e-4, rtol=0)


def test_latents_are_refused(model: DiffusionModel, latents: LatentBatch):
    with pytest.raises(ValueError, match="give it pixels"):
        EndToEnd(model).loss(latents, generator("d"))
