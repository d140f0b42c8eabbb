"""Training a denoiser that sees a student's map: every task takes it, stored views bring it, and it never learns."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from latentdepth.core.noise import generator
from latentdepth.core.types import Camera
from latentdepth.data.options import Target
from latentdepth.data.sample import Sample
from latentdepth.data.shards import ShardWriter
from latentdepth.loading import load
from latentdepth.models.diffusion import load_diffusion
from latentdepth.train.config import BaseConfig, DataConfig, TrainConfig, ValidateConfig
from latentdepth.train.loop_config import EmaConfig, LogConfig, LoopConfig, OptimConfig
from latentdepth.train.model_task import ModelTask
from latentdepth.train.runs import build_task, run

SIDE = 64


def step_edge(number: int) -> Sample:
    """A near half and a far half, the near one dark."""
    draw = generator("edge", number)
    depth = torch.full((1, SIDE, SIDE), 4.0)
    depth[..., : int(torch.randint(16, 48, (1,), generator=draw))] = 1.0
    image = (depth / 5).expand(3, -1, -1) + 0.05 * torch.randn(3, SIDE, SIDE, generator=draw)
    valid = torch.ones_like(depth).bool()
    return Sample(image.clamp(0, 1), depth, valid, f"scene-{number}", Camera.from_fov(60, SIDE, SIDE))


@pytest.fixture(scope="module")
def config(stride4_folder: Path, student_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> TrainConfig:
    folder = tmp_path_factory.mktemp("data") / "edges"
    with ShardWriter(folder) as writer:
        for number in range(8):
            writer.add(f"edge-{number}", step_edge(number))
    return TrainConfig(
        base=BaseConfig(f"dir:{stride4_folder}", guide=f"dir:{student_folder}"),
        target=Target(kind="disparity"),
        data=(DataConfig("edges", folder, height=SIDE, width=SIDE, views=1),),
        validate=ValidateConfig(every=100),
        loop=LoopConfig(steps=3, batch=2, micro_batch=2, save_every=3, precision="float32", workers=0, device="cpu"),
        optim=OptimConfig(lr=1e-2, warmup=1, schedule="constant"),
        ema=EmaConfig(decay=0.0),
        log=LogConfig(tensorboard=False),
    )


@pytest.mark.parametrize("task", ["denoise", "consistency", "end_to_end"])
def test_the_network_learns_to_listen_and_the_guide_stays(
    config: TrainConfig, student_folder: Path, tmp_path: Path, task: str
):
    views = 0 if task == "end_to_end" else 1  # which compares pixels
    data = tuple(replace(one, views=views) for one in config.data)
    fitted = run(replace(config, task=task, data=data), tmp_path / "run", quiet=True)
    assert fitted is not None
    model = load_diffusion(fitted.model, device=torch.device("cpu"), dtype=torch.float32)
    assert model.guide is not None
    assert float(model.unet.conv_in.weight.detach()[:, 4:20].abs().mean()) > 1e-3  # zero at the start
    assert (fitted.model / "guide" / "model.safetensors").read_bytes() == (
        student_folder / "model.safetensors"
    ).read_bytes()
    value = load(f"dir:{fitted.model}", device="cpu", dtype="float32")(step_edge(0).image[None]).value
    assert value.shape == (1, 1, SIDE, SIDE)


def test_a_run_that_has_begun_goes_on(config: TrainConfig, tmp_path: Path):
    whole = run(config, tmp_path / "whole", quiet=True)
    run(replace(config, loop=replace(config.loop, steps=2, save_every=1)), tmp_path / "parts", quiet=True)
    again = run(replace(config, loop=replace(config.loop, steps=3, save_every=1)), tmp_path / "parts", quiet=True)
    assert whole is not None
    assert again is not None
    one, other = (
        load_diffusion(fitted.model, device=torch.device("cpu"), dtype=torch.float32).unet.state_dict()
        for fitted in (whole, again)
    )
    assert all(torch.equal(one[name], other[name]) for name in one)


def test_the_trained_model_says_what_the_recipe_says(config: TrainConfig):
    task = build_task(replace(config, base=replace(config.base, resolution=128, steps=2)))
    assert isinstance(task, ModelTask)
    assert (task.model.facts.resolution, task.model.facts.steps) == (128, 2)
    kept = build_task(config)
    assert isinstance(kept, ModelTask)
    assert (kept.model.facts.resolution, kept.model.facts.steps) == (64, 1)  # the base model's own


def test_what_a_guide_is_not_for_is_refused(config: TrainConfig):
    with pytest.raises(ValueError, match=r"has not the form of Lotus-D"):
        build_task(replace(config, task="lotus"))
    with pytest.raises(ValueError, match=r"base.guide is builtin:tiny-student, and base.kind is nothing"):
        BaseConfig(model="", kind="nothing", guide="builtin:tiny-student")
    with pytest.raises(ValueError, match=r"base.steps is 0; allowed is 1 or more"):
        BaseConfig(steps=0)
    data = tuple(replace(one, height=40) for one in config.data)
    with pytest.raises(ValueError, match=r"height is 40; this model's network needs multiples of 32"):
        run(replace(config, data=data), Path("nowhere"), quiet=True, dry=True)
