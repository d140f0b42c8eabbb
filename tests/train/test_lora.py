"""Adapters: they start as nothing, train alone, and their saved folder is like any other."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from diffusers import UNet2DConditionModel

from latentdepth.core.noise import generator
from latentdepth.loading import load
from latentdepth.models.diffusion import DiffusionModel
from latentdepth.train.consistency import Consistency
from latentdepth.train.denoise import Marigold
from latentdepth.train.latents import LatentBatch
from latentdepth.train.lora import add_adapters, has_adapters, with_lora, without_adapters
from latentdepth.train.model_task import ModelTask
from latentdepth.train.options import ConsistencyOptions, DenoiseOptions, LoraOptions

SMALL = LoraOptions(rank=4, alpha=8.0)


def adapted(task: ModelTask) -> ModelTask:
    task.adapt(SMALL)
    return task


def answer(unet: UNet2DConditionModel) -> torch.Tensor:
    x, prompt = torch.randn(1, 8, 8, 8, generator=generator("x")), torch.randn(1, 2, 32, generator=generator("p"))
    with torch.no_grad():
        return unet(x, 500, encoder_hidden_states=prompt).sample


def test_adapters_change_nothing_at_first_and_train_alone(model: DiffusionModel):
    before, weights = answer(model.unet), sum(p.numel() for p in model.unet.parameters())
    with_lora(model.unet, SMALL)
    assert torch.equal(answer(model.unet), before)
    trained = {k: p for k, p in model.unet.named_parameters() if p.requires_grad}
    assert all("lora_" in k for k in trained)
    assert 0 < sum(p.numel() for p in trained.values()) < weights / 5
    touched = {k.split(".lora_")[0].rsplit(".", 1)[-1] for k in trained}
    assert {"conv_in", "to_q", "to_k", "to_v", "proj_in"} <= touched


def test_merged_weights_answer_alike_and_leave_the_adapters(
    model: DiffusionModel, latents: LatentBatch, descend: Callable[..., None]
):
    start = answer(model.unet)
    task = adapted(Marigold(model, DenoiseOptions(last_share=1.0)))
    frozen = model.unet.get_parameter("conv_in.base_layer.weight").clone()
    with torch.no_grad():
        first = float(task.loss(latents, generator("m"))["loss"])
    descend(task, latents, steps=15, lr=2e-2)
    with torch.no_grad():
        assert float(task.loss(latents, generator("m"))["loss"]) < 0.9 * first
    assert torch.equal(model.unet.get_parameter("conv_in.base_layer.weight"), frozen)
    trained, plain = answer(model.unet), without_adapters(model.unet)
    assert float((trained - start).abs().max()) > 0.01
    assert not has_adapters(plain)
    assert has_adapters(model.unet)
    # the adapter's product is added to the weights before instead of after: other rounding of float32
    torch.testing.assert_close(answer(plain), trained, atol=1e-4, rtol=1e-4)
    assert without_adapters(plain) is plain


def test_the_saved_folder_is_plain_and_the_adapters_lie_beside(
    model: DiffusionModel, latents: LatentBatch, descend: Callable[..., None], tiny_folder: Path, tmp_path: Path
):
    task = adapted(Marigold(model))
    descend(task, latents, steps=3, lr=2e-2)
    task.save(tmp_path / "saved")
    photo = torch.rand(1, 3, 16, 16, generator=generator("photo"))
    found = load(f"dir:{tmp_path / 'saved'}", device="cpu", dtype="float32")(photo).value
    torch.testing.assert_close(found, task.predict(photo).value, atol=1e-3, rtol=0)  # rounding as above, then decoded
    base: Any = UNet2DConditionModel.from_pretrained(tiny_folder / "unet")
    assert float((answer(base) - answer(model.unet)).abs().max()) > 1e-3
    base.load_lora_adapter(tmp_path / "saved" / "adapters", prefix=None, use_safetensors=True)
    torch.testing.assert_close(answer(base), answer(model.unet), atol=1e-5, rtol=1e-5)


def test_distillation_trains_adapters_towards_an_unadapted_teacher(
    model: DiffusionModel, latents: LatentBatch, descend: Callable[..., None]
):
    task = adapted(Consistency(model, ConsistencyOptions(target_decay=0.5)))
    descend(task, latents, steps=2, lr=1e-2)
    assert all(k.startswith("target/") for k in task.state())
    moved = [v for k, v in task.state().items() if "lora_B" in k]
    assert moved
    assert all(float(v.abs().max()) > 0 for v in moved)


def test_wrong_targets_and_second_helpings_are_named(model: DiffusionModel):
    with pytest.raises(ValueError, match=r"no layer's name ends in to_nowhere.*to_q"):
        with_lora(model.unet, LoraOptions(targets=("to_q", "to_nowhere")))
    with_lora(model.unet, SMALL)
    with pytest.raises(ValueError, match="adapters already"):
        with_lora(model.unet, SMALL)
    with pytest.raises(ValueError, match="rank is 0"):
        LoraOptions(rank=0)
    with pytest.raises(ValueError, match="targets is empty"):
        LoraOptions(targets=())


def test_adapters_beside_linear_layers_are_merged_into_a_copy_and_leave_what_learnt_learning():
    torch.manual_seed(0)
    blocks = torch.nn.Sequential(torch.nn.Linear(12, 24), torch.nn.LayerNorm(24), torch.nn.Linear(24, 8, bias=False))
    for weight in blocks.parameters():
        weight.requires_grad_(weight.ndim == 1)
    given, x = {name: one.clone() for name, one in blocks.state_dict().items()}, torch.randn(64, 12)
    before = blocks(x)
    assert without_adapters(blocks) is blocks
    add_adapters(blocks, 3)
    torch.testing.assert_close(blocks(x), before, atol=0, rtol=0)
    trained = {name: one for name, one in blocks.named_parameters() if one.requires_grad}
    vectors = {"0.base_layer.bias", "1.weight", "1.bias"}
    assert {name for name in trained if "lora" not in name} == vectors
    optimiser = torch.optim.Adam(trained.values(), lr=0.01)
    for _ in range(20):
        optimiser.zero_grad()
        (blocks(x) - 1).square().mean().backward()
        optimiser.step()
    learnt = blocks(x)
    plain = without_adapters(blocks)
    assert plain.state_dict().keys() == given.keys()
    for name in ("0.weight", "2.weight"):
        assert torch.linalg.matrix_rank(plain.state_dict()[name] - given[name], rtol=1e-4) == 3
    torch.testing.assert_close(plain(x), learnt, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(blocks(x), learnt, atol=0, rtol=0)  # the one in training is as it was
