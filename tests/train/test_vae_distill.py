"""Distilling a small autoencoder: the loss's parts, what is decoded, and runs that resume."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from PIL import Image
from safetensors.torch import load_file

from latentdepth.core.noise import generator
from latentdepth.data.batch import Batch
from latentdepth.data.sample import Sample
from latentdepth.data.shards import ShardWriter
from latentdepth.models.diffusion import DiffusionModel
from latentdepth.models.small_vae import FOLDER, load_small_vae, new_small_vae
from latentdepth.train.autoencode import three_channels
from latentdepth.train.checkpoint import checkpoints
from latentdepth.train.config import DataConfig, ValidateConfig
from latentdepth.train.loop_config import EmaConfig, LogConfig, LoopConfig, OptimConfig
from latentdepth.train.task import Feeds, Judges
from latentdepth.train.vae_config import VaeDistillConfig, VaeLosses
from latentdepth.train.vae_distill import SmallVaeTask, distil, is_photos

SIDE = 16


def task_of(model: DiffusionModel, losses: VaeLosses | None = None) -> SmallVaeTask:
    return SmallVaeTask(model, new_small_vae(stride=2, width=4, deep_blocks=1), losses)


def photos_only(pixels: Batch) -> Batch:
    return Batch(pixels.image, pixels.image, torch.ones_like(pixels.valid))


@pytest.fixture(scope="module")
def shards(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Slanted planes whose brightness is their depth."""
    folder = tmp_path_factory.mktemp("data") / "planes"
    y, x = torch.meshgrid(torch.linspace(-1, 1, SIDE), torch.linspace(-1, 1, SIDE), indexing="ij")
    with ShardWriter(folder) as writer:
        for number in range(8):
            a, b = torch.rand(2, generator=generator("plane", number)).tolist()
            depth = (3 + a * x - b * y)[None]
            image = ((depth - 1) / 4).expand(3, -1, -1).clamp(0, 1)
            writer.add(f"p{number}", Sample(image, depth, torch.ones_like(depth).bool(), f"scene-{number}"))
    return folder


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("data") / "photos"
    (folder / "deeper").mkdir(parents=True)
    for number in range(4):
        pixels = torch.rand(3, 3, 3, generator=generator("photo", number)).mul(255).byte().numpy()
        Image.fromarray(pixels).resize((SIDE, SIDE)).save(folder / "deeper" / f"{number}.png")
    return folder


def small_run(model: Path, shards: Path, photos: Path) -> VaeDistillConfig:
    return VaeDistillConfig(
        model=f"dir:{model}",
        width=4,
        deep_blocks=1,
        data=(
            DataConfig("depth", shards, height=SIDE, width=SIDE, hold_out=2),
            DataConfig("photos", photos, "photos", "photo", height=SIDE, width=SIDE, hold_out=1),
        ),
        validate=ValidateConfig(every=4, frames=3, pictures=2),
        loop=LoopConfig(
            steps=4, batch=4, micro_batch=2, save_every=2, precision="float32", workers=0, device="cpu", seed=3
        ),
        optim=OptimConfig(lr=1e-3, warmup=1, schedule="constant"),
        ema=EmaConfig(decay=0.5),
        log=LogConfig(every=2, tensorboard=False),
    )


@pytest.fixture(scope="module")
def config(tiny_folder: Path, shards: Path, photos: Path) -> VaeDistillConfig:
    return small_run(tiny_folder, shards, photos)


@pytest.fixture(scope="module")
def whole(config: VaeDistillConfig, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("run")
    fitted = distil(config, out, quiet=True)
    assert (fitted.ended, fitted.step) == ("done", 4)
    return out


def test_the_loss_is_the_weighted_sum_of_parts_told_by_hand(model: DiffusionModel, pixels: Batch):
    """Without noise on the latents all parts follow from the two autoencoders alone."""
    losses = VaeLosses(consistency=2.0, decoded=3.0, gradient=0.0, truth=5.0, spread=0.0)
    task = task_of(model, losses)
    small = task._bare()
    assert isinstance(task, Feeds)
    assert isinstance(task, Judges)
    parts = task.loss(pixels, generator("draw"))
    with torch.no_grad():
        wanted, latent = model.encode(pixels.image), small.encode(pixels.image)
        answer = model.encode(three_channels(pixels.target))
        picture, decoded = model.decode(answer).mean(1, keepdim=True), small.decode(answer)
        expected = {
            "latent": (latent - wanted).abs().mean(),
            "consistency": (model.decode(latent) - model.decode(wanted)).abs().mean(),
            "decoded": (decoded - picture).abs().mean(),
            "truth": (decoded - pixels.target).abs()[pixels.valid].mean(),
        }
    for name, value in expected.items():
        torch.testing.assert_close(parts[name].detach(), value, msg=name)
    total = expected["latent"] + 2 * expected["consistency"] + 3 * expected["decoded"] + 5 * expected["truth"]
    torch.testing.assert_close(parts["loss"].detach(), total)


def test_only_the_small_one_learns_and_the_same_draw_gives_the_same_loss(model: DiffusionModel, pixels: Batch):
    task = task_of(model)
    losses = task.loss(pixels, generator("draw"))
    losses["loss"].backward()
    assert all(p.grad is not None and bool(p.grad.isfinite().all()) for p in task.network.parameters())
    assert not any(p.requires_grad for net in (model.unet, model.vae) for p in net.parameters())
    assert torch.equal(task.loss(pixels, generator("draw"))["loss"], losses["loss"])
    assert not torch.equal(task.loss(pixels, generator("other"))["loss"], losses["loss"])


def test_for_photos_without_depth_the_model_s_own_answer_is_decoded(model: DiffusionModel, pixels: Batch):
    task, photos = task_of(model), photos_only(pixels)
    assert is_photos(photos)
    assert not is_photos(pixels)
    wanted = model.encode(photos.image)
    start = torch.randn(wanted.shape, generator=generator("draw"))
    last = torch.full((len(start),), model.schedule.length - 1)
    with torch.no_grad():
        torch.testing.assert_close(task.answer(photos, wanted, generator("draw")), model.x0(start, last, wanted))
    losses = task.loss(photos, generator("draw"))
    assert losses["truth"] == 0
    assert losses.keys() == task.loss(pixels, generator("draw")).keys()  # micro-batches of a step are averaged by name


def test_it_learns_one_batch(model: DiffusionModel, pixels: Batch, descend):
    task = task_of(model, VaeLosses(spread=0.0))
    before = task.loss(pixels, generator("draw"))
    descend(task, pixels, steps=40)
    after = task.loss(pixels, generator("draw"))
    assert after["latent"] < 0.7 * before["latent"]
    assert after["decoded"] < 0.7 * before["decoded"]


def test_judging_tells_both_errors(model: DiffusionModel, pixels: Batch):
    task = task_of(model)
    one = Batch(pixels.image[:1], pixels.target[:1], pixels.valid[:1])
    judged = task.judge(one)
    assert judged.figures["l1"] == pytest.approx(judged.figures["latent_l1"] + judged.figures["decoded_l1"])
    assert [picture.shape for picture in judged.pictures] == [(3, 16, 16)] * 4
    with torch.no_grad():
        latent_l1 = (task._bare().encode(one.image) - model.encode(one.image)).abs().mean()
    assert judged.figures["latent_l1"] == pytest.approx(float(latent_l1), rel=1e-5)


def test_a_run_leaves_a_small_autoencoder_that_loads(whole: Path, tiny_folder: Path):
    vae = load_small_vae(whole / "model" / FOLDER)
    assert (vae.facts.stride, vae.facts.width, vae.channels) == (2, 4, 1)
    assert vae.facts.distilled_from == f"dir:{tiny_folder}"
    lines = [json.loads(line) for line in (whole / "log.jsonl").read_text().splitlines()]
    measured = [line for line in lines if line["kind"] == "validation"]
    assert [line["step"] for line in measured] == [0, 4]
    assert measured[1]["l1"] < measured[0]["l1"]
    assert (whole / "best" / FOLDER / "config.json").is_file()


def test_a_run_in_two_parts_gives_the_same_weights(config: VaeDistillConfig, whole: Path, tmp_path: Path):
    half = replace(config, loop=replace(config.loop, steps=2))
    assert distil(half, tmp_path, quiet=True).step == 2
    assert distil(config, tmp_path, quiet=True).step == 4
    once, twice = (load_file(out / "model" / FOLDER / "model.safetensors") for out in (whole, tmp_path))
    assert all(torch.equal(once[name], twice[name]) for name in once)
    assert [one.step for one in checkpoints(tmp_path)] == [2, 4]


def test_a_folder_with_another_run_is_refused(config: VaeDistillConfig, whole: Path):
    with pytest.raises(ValueError, match=r"losses\.spread: 0\.1 in the checkpoint, 0\.2 now.*--fresh"):
        distil(replace(config, losses=VaeLosses(spread=0.2)), whole, quiet=True)


def test_views_the_network_can_t_take_are_refused(config: VaeDistillConfig, tmp_path: Path):
    odd = replace(config.data[0], height=14)  # a multiple of 14, which other networks take, and not of 8
    with pytest.raises(ValueError, match=r"data depth: views are 16 x 14 pixels; .* multiples of 32"):
        distil(replace(config, model="builtin:tiny-diffusion", data=(odd,)), tmp_path, quiet=True)


def test_bad_settings_are_named():
    with pytest.raises(ValueError, match=r"give --data DIR \(photos with depth\), --photos DIR"):
        VaeDistillConfig()
    with pytest.raises(ValueError, match=r"losses\.spread is -1; allowed is 0 or more"):
        VaeLosses(spread=-1)
