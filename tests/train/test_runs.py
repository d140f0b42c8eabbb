"""Recipes made real: what is wrong is said before the first step, and a tiny run goes all the way to a prediction."""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from latentdepth import load
from latentdepth.config import read_toml, write_toml
from latentdepth.core.noise import generator
from latentdepth.core.types import Camera
from latentdepth.data.options import Target
from latentdepth.data.sample import Sample
from latentdepth.data.shards import ShardFrames, ShardWriter
from latentdepth.models.diffusion import load_diffusion
from latentdepth.options import PredictOptions
from latentdepth.train.checkpoint import checkpoints
from latentdepth.train.config import BaseConfig, DataConfig, TrainConfig, ValidateConfig
from latentdepth.train.exporting import export_checkpoint
from latentdepth.train.loop_config import EmaConfig, LogConfig, LoopConfig, OptimConfig
from latentdepth.train.model_task import ModelTask
from latentdepth.train.options import LoraOptions
from latentdepth.train.runs import Part, build_task, parted, run
from latentdepth.train.state import moving
from latentdepth.verbs import export_checkpoint as export_verb
from latentdepth.verbs import train as train_verb

SIDE = 32


def plane(number: int) -> Sample:
    """A slanted plane whose brightness is its depth: what a network can learn."""
    draw = generator("plane", number)
    tilt = torch.rand(2, generator=draw) * 2 - 1
    y, x = torch.meshgrid(torch.linspace(-1, 1, SIDE), torch.linspace(-1, 1, SIDE), indexing="ij")
    depth = (3 + tilt[0] * x + tilt[1] * y)[None]
    image = ((depth - 1) / 4).expand(3, -1, -1) + 0.02 * torch.randn(3, SIDE, SIDE, generator=draw)
    normals = torch.zeros(3, SIDE, SIDE)
    normals[2] = 1.0
    camera = Camera.from_fov(60, SIDE, SIDE)
    return Sample(image.clamp(0, 1), depth, torch.ones_like(depth).bool(), f"scene-{number // 2}", camera, normals)


@pytest.fixture(scope="module")
def planes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("data") / "planes"
    with ShardWriter(folder) as writer:
        for number in range(12):
            writer.add(f"plane-{number:02d}", plane(number))
    return folder


def tiny(planes: Path, base: Path, **changes: object) -> TrainConfig:
    config = TrainConfig(
        base=BaseConfig(f"dir:{base}"),
        data=(DataConfig("planes", planes, height=SIDE, width=SIDE, hold_out=3),),
        validate=ValidateConfig(every=4, frames=2, pictures=2),
        loop=LoopConfig(
            steps=4, batch=4, micro_batch=2, save_every=2, precision="float32", workers=0, device="cpu", seed=3
        ),
        optim=OptimConfig(lr=1e-3, warmup=1, schedule="constant"),
        ema=EmaConfig(decay=0.5, widths=(0.05, 0.1), snapshot_every=2),
        log=LogConfig(every=2, tensorboard=False),
    )
    return replace(config, **changes)


def model_task(config: TrainConfig) -> ModelTask:
    task = build_task(config)
    assert isinstance(task, ModelTask)
    return task


@pytest.fixture(scope="module")
def trained(planes: Path, tiny_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("run")
    assert run(tiny(planes, tiny_folder), out, quiet=True) is not None
    return out


def test_a_run_leaves_what_it_promises(trained: Path, planes: Path, tiny_folder: Path):
    assert read_toml(TrainConfig, trained / "config.toml") == tiny(planes, tiny_folder)
    lines = [json.loads(line) for line in (trained / "log.jsonl").read_text().splitlines()]
    validated = [line for line in lines if line["kind"] == "validation"]
    assert [line["step"] for line in validated] == [0, 4]
    assert 0 < validated[0]["abs_rel"] < 1
    assert 0 <= validated[0]["delta1"] <= 1
    assert (trained / "pictures" / "step-0000004.png").stat().st_size > 1000
    best = json.loads((trained / "best" / "validation.json").read_text())
    assert best["score"] == pytest.approx(min(line["abs_rel"] for line in validated), rel=1e-4)
    for folder in (trained / "model", trained / "best", *(one.model for one in checkpoints(trained))):
        load(f"dir:{folder}", device="cpu")


def test_the_same_command_resumes_and_other_data_is_refused(trained: Path, planes: Path, tiny_folder: Path):
    config = tiny(planes, tiny_folder)
    with pytest.raises(ValueError, match=r"data\.0\.hold_out: 3.*data\.0\.samples: 8 in the checkpoint, 10 now"):
        run(replace(config, data=(replace(config.data[0], hold_out=1),)), trained, quiet=True)
    with pytest.raises(ValueError, match=r'task: "denoise" in the checkpoint, "end_to_end" now'):
        run(replace(config, task="end_to_end"), trained, quiet=True)


@pytest.mark.parametrize("weights", ["saved", "best", "live", "width"])
def test_a_run_is_exported_and_loads(trained: Path, tmp_path: Path, weights: str):
    out = tmp_path / "exported"
    width = 0.08 if weights == "width" else None
    export_checkpoint(trained, out, weights="saved" if width else weights, ema_width=width, dtype="float32")  # pyright: ignore[reportArgumentType]
    exported, saved = (
        load_diffusion(folder, device=torch.device("cpu"), dtype=torch.float32).unet.state_dict()
        for folder in (out, trained / "model")
    )
    same = all(torch.equal(exported[name], value) for name, value in saved.items())
    best = json.loads((trained / "best" / "validation.json").read_text())["step"]
    assert same == (weights == "saved" or (weights == "best" and best == 4))
    if weights == "live":
        live = checkpoints(trained)[-1].tensors("weights")
        assert all(torch.equal(exported[name], value) for name, value in live.items())
    assert sorted(path.name for path in out.iterdir()) == [
        "empty_prompt.safetensors", "latentdepth.json", "model_index.json", "scheduler", "unet", "vae",
    ]  # fmt: skip
    with pytest.raises(ValueError, match="exists; say --overwrite"):
        export_checkpoint(trained, out)


def test_half_precision_halves_the_file_and_what_is_not_there_is_said(trained: Path, tmp_path: Path):
    export_checkpoint(trained, tmp_path / "half", step=2)
    export_checkpoint(trained, tmp_path / "whole", dtype="float32")
    sizes = [(tmp_path / n / "unet" / "diffusion_pytorch_model.safetensors").stat().st_size for n in ("half", "whole")]
    assert sizes[0] == pytest.approx(sizes[1] / 2, rel=0.05)  # the header of names is the rest
    with pytest.raises(ValueError, match=r"no checkpoint of step 3; there are 2, 4"):
        export_checkpoint(trained, tmp_path / "x", step=3)
    with pytest.raises(ValueError, match="holds no checkpoint"):
        export_checkpoint(tmp_path, tmp_path / "x")
    assert not list(tmp_path.glob("x*"))


def test_bad_input_is_named_before_the_first_step(planes: Path, tiny_folder: Path, tmp_path: Path):
    config = tiny(planes, tiny_folder)
    data = config.data[0]

    def refused(message: str, **changes: object) -> None:
        with pytest.raises(ValueError, match=message):
            run(replace(config, **changes), tmp_path / "out", quiet=True)
        assert not (tmp_path / "out" / "checkpoints").exists()

    (tmp_path / "empty").mkdir()
    refused("names no data; add a .*table", data=())
    refused(
        r"data planes: .*gone does not exist; give the folder with --data-root",
        data=(replace(data, path=Path("/gone")),),
    )
    refused("no shards", data=(replace(data, path=tmp_path / "empty"),))
    refused("hold_out is 12 of 12 samples, which leaves none", data=(replace(data, hold_out=12),))
    refused("names must differ", data=(data, data))
    refused("weights of planes are all 0", data=(replace(data, weight=0.0),))
    refused(r"no embedded model 'nothing'", base=BaseConfig("builtin:nothing"))
    refused("unet/config.json is missing.*sd2-community", base=BaseConfig(f"dir:{tmp_path}", "stable_diffusion"))
    refused(r"no layer's name ends in nothing", lora=LoraOptions(rank=2, targets=("nothing",)))
    refused("in_channels", task="lotus")


def test_no_scene_stands_on_both_sides_of_a_split(planes: Path):
    frames = ShardFrames(planes)
    train, held = parted(DataConfig("planes", planes, hold_out=3), frames)  # 9 | 3 would cut scene 4 in two
    assert (len(train), len(held)) == (8, 4)
    assert not {train[i].group for i in range(8)} & {held[i].group for i in range(4)}
    assert isinstance(held, Part)
    assert held.name == frames.name


def test_the_target_decides_what_the_saved_model_says(planes: Path, tiny_folder: Path):
    config = tiny(planes, tiny_folder, target=Target(kind="normals"))
    assert model_task(config).model.facts.modality == "normals"
    assert model_task(tiny(planes, tiny_folder)).model.facts.modality == "depth"


def test_random_starts_depend_on_the_seed_alone_and_weights_take_their_dtype(planes: Path, tiny_folder: Path):
    config = tiny(planes, tiny_folder, lora=LoraOptions(rank=2, targets=("to_q",)))
    before = torch.random.get_rng_state()
    first, second = (moving(build_task(config).network) for _ in range(2))
    assert torch.equal(before, torch.random.get_rng_state())
    assert first.keys() == second.keys()
    assert all("lora" in name and torch.equal(first[name], second[name]) for name in first)
    small = model_task(replace(config, lora=None, loop=replace(config.loop, weights="bfloat16", recompute=True)))
    assert {p.dtype for p in small.network.parameters()} == {torch.bfloat16}
    assert small.model.unet.is_gradient_checkpointing


@pytest.mark.parametrize("task", ["denoise", "normals", "end_to_end", "consistency", "lora", "bfloat16"])
def test_every_task_takes_steps_and_predicts(planes: Path, tiny_folder: Path, tmp_path: Path, task: str):
    config = tiny(planes, tiny_folder)
    config = replace(config, loop=replace(config.loop, steps=2), validate=replace(config.validate, every=2))
    changes: dict[str, object] = {
        "normals": {"target": Target(kind="normals")},
        "lora": {"lora": LoraOptions(rank=2, targets=("to_q", "conv_in"))},
        "bfloat16": {"loop": replace(config.loop, weights="bfloat16", precision="bfloat16", recompute=True)},
    }.get(task, {"task": task})
    fitted = run(replace(config, **changes), tmp_path, quiet=True)
    assert fitted is not None
    prediction = load(f"dir:{fitted.model}", device="cpu", dtype="float32")(plane(0).image[None])
    assert prediction.kind.quantity.value == ("normals" if task == "normals" else "depth")
    line = json.loads((tmp_path / "log.jsonl").read_text().splitlines()[-1])
    assert ("mean_deg" if task == "normals" else "abs_rel") in line


@pytest.mark.slow
def test_from_a_recipe_to_a_prediction(
    planes: Path, tiny_folder: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
):
    """What a reader of the documentation types, on a data set and a model that are small."""
    recipe, out = tmp_path / "mine.toml", tmp_path / "run"
    write_toml(tiny(planes, tiny_folder, log=LogConfig(every=2, tensorboard=True)), recipe)
    words = [str(recipe), "--out", str(out), "--quiet", "--loop.workers", "1"]
    assert train_verb.run(train_verb.parse([*words, "--loop.steps", "2"])) == 0
    assert "the model is dir:" in capfd.readouterr().err
    assert train_verb.run(train_verb.parse([*words, "--loop.steps", "4"])) == 0
    assert [one.step for one in checkpoints(out)] == [2, 4]
    assert len(list((out / "tensorboard").glob("events*"))) == 2
    exported = tmp_path / "model"
    assert export_verb.run(export_verb.ExportCheckpoint(out, exported, dtype="bfloat16")) == 0
    prediction = load(f"dir:{exported}", device="cpu", dtype="float32")(plane(1).image[None], PredictOptions(steps=2))
    assert prediction.value.shape == (1, 1, SIDE, SIDE)
    assert bool(prediction.value.isfinite().all())
    assert "accelerate" in sys.modules
