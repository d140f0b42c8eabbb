"""The recipes that train the embedded model from nothing, one after the other on a handful of small pictures.

Their networks, tasks and objectives are the recipes' own; sizes, steps and learning rates are a test's.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from latentdepth import load
from latentdepth.core.types import Camera
from latentdepth.data.labels import LabelFrames
from latentdepth.data.options import Augmentation, LabelChoice
from latentdepth.data.sample import Sample
from latentdepth.data.shards import ShardWriter
from latentdepth.labelling import Labelling, label_files
from latentdepth.models.diffusion import load_diffusion
from latentdepth.models.feedforward import load_pyramid
from latentdepth.options import PredictOptions
from latentdepth.train.config import DataConfig, TrainConfig
from latentdepth.train.exporting import export_checkpoint
from latentdepth.train.loop_config import LogConfig
from latentdepth.train.recipes import read_recipe
from latentdepth.train.runs import open_frames, run

pytestmark = pytest.mark.slow
SIDE = 32


def slope(number: int) -> Sample:
    """A slope whose brightness is its nearness."""
    draw = torch.Generator().manual_seed(number)
    tilt = torch.rand(2, generator=draw) * 2 - 1
    y, x = torch.meshgrid(torch.linspace(-1, 1, SIDE), torch.linspace(-1, 1, SIDE), indexing="ij")
    depth = (3 + tilt[0] * x + tilt[1] * y)[None]
    image = (1 / depth).expand(3, -1, -1) * torch.tensor([1.0, 0.8, 0.6])[:, None, None]
    return Sample(
        image.clamp(0, 1), depth, torch.ones_like(depth).bool(), f"s{number}", Camera.from_fov(60, SIDE, SIDE)
    )


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the recipes expect to stand in the folder where they are started: data/photos, data/synthetic."""
    home = tmp_path_factory.mktemp("home")
    (home / "data/photos").mkdir(parents=True)
    with ShardWriter(home / "data/synthetic") as writer:
        for number in range(6):
            writer.add(f"slope-{number}", slope(number))
    for number in range(6, 10):
        pixels = (slope(number).image.permute(1, 2, 0).numpy() * 255).round().astype(np.uint8)
        Image.fromarray(pixels).save(home / f"data/photos/{number}.png")
    return home


def small(name: str, home: Path, steps: int, lr: float) -> TrainConfig:
    """The recipe ``name`` in ``home``: the sets at 32 pixels with two held out, whole pictures, few steps of 4."""
    recipe = read_recipe(name)

    def shrunk(data: DataConfig) -> DataConfig:
        hold_out = 2 if data.hold_out else 0
        data = replace(data, labels=LabelChoice())  # a teacher of ten steps agrees with itself on nothing
        return replace(data, height=SIDE, width=SIDE, hold_out=hold_out, augment=Augmentation(flip=0.0))

    base, align = recipe.base, recipe.align
    if base.model:
        base = replace(base, model=base.model.replace("dir:", f"dir:{home}/"))
    if align is not None:
        align = replace(align, teacher=home / align.teacher)
    return replace(
        recipe,
        base=base,
        align=align,
        data=tuple(shrunk(data) for data in recipe.data),
        data_root=home,
        validate=replace(recipe.validate, every=steps, frames=4, pictures=2),
        loop=replace(recipe.loop, steps=steps, batch=4, micro_batch=2, workers=0, save_every=steps, device="cpu"),
        optim=replace(recipe.optim, lr=lr, warmup=2, schedule="constant"),
        ema=replace(recipe.ema, decay=0.5),
        log=LogConfig(every=1, tensorboard=False),
    )


Lines = list[dict[str, float]]
Train = Callable[[str, int, float], Lines]


@pytest.fixture(scope="module")
def train(home: Path) -> Train:
    """Run a recipe once, and the lines of its log."""

    def once(name: str, steps: int, lr: float) -> Lines:
        out = home / "runs" / name
        if not out.exists():
            assert run(small(name, home, steps, lr), out, quiet=True) is not None
        return [json.loads(line) for line in (out / "log.jsonl").read_text().splitlines()]

    return once


def first_and_last(lines: list[dict[str, float]], name: str) -> tuple[float, float]:
    """The figure as validation found it before the first step and after the last."""
    found = [line[name] for line in lines if line["kind"] == "validation"]
    return found[0], found[-1]


@pytest.fixture(scope="module")
def teacher(train: Train) -> Lines:
    return train("tiny-teacher", 10, 2e-3)


@pytest.fixture(scope="module")
def labels(home: Path, teacher: Lines) -> int:
    name, photos = f"dir:{home / 'runs/tiny-teacher/model'}", sorted((home / "data/photos").iterdir())
    report = label_files(
        lambda: load(name, device="cpu", dtype="float32"), photos, Labelling(), home / "data/labels", model=name
    )
    return report.labelled


@pytest.fixture(scope="module")
def vae(train: Train) -> Lines:
    return train("tiny-vae", 10, 3e-3)


@pytest.fixture(scope="module")
def prior(train: Train, vae: Lines) -> Lines:
    return train("tiny-prior", 6, 1e-3)


@pytest.fixture(scope="module")
def diffusion(train: Train, labels: int, prior: Lines) -> Lines:
    return train("tiny-diffusion", 6, 1e-3)


def test_the_teacher_learns_and_its_folder_says_what_it_is(home: Path, teacher: Lines):
    losses = [line["loss"] for line in teacher if line["kind"] == "train"]
    assert max(losses[-2:]) < 0.5 * losses[0]
    assert {"abs_rel", "delta1"} <= teacher[-1].keys()
    assert load_pyramid(home / "runs/tiny-teacher/model").encoder.size == "lite2"


def test_labels_are_data(home: Path, labels: int):
    assert labels == 4
    data = read_recipe("tiny-diffusion").data[1]
    frames = open_frames(replace(data, labels=LabelChoice()), home)
    assert isinstance(frames, LabelFrames)
    assert len(frames) == 4
    assert frames[0].image.shape == (3, SIDE, SIDE)
    assert len(open_frames(replace(data, labels=LabelChoice(), path=Path("data/labels/shard-00000?.tar")), home)) == 4
    frames.check_target("disparity")
    with pytest.raises(ValueError, match=r"data labels: none of 4 labels is left"):
        open_frames(replace(data, labels=LabelChoice(min_agreement=1.0)), home)


def test_the_autoencoder_learns_photos_and_depth(vae: Lines):
    for name in ("l1", "depth_l1", "photo_l1"):
        first, last = first_and_last(vae, name)
        assert last < 0.9 * first, name


def test_the_prior_learns_to_denoise_photos(home: Path, prior: Lines):
    first, last = first_and_last(prior, "loss")  # at fixed timesteps with fixed noise
    assert last < 0.7 * first
    saved = {path.name for path in (home / "runs/tiny-prior/model").iterdir()}
    assert saved == {"unet", "vae", "scheduler", "empty_prompt.safetensors"}


def test_the_last_stage_learns_depth_and_what_the_teacher_sees(diffusion: Lines):
    lines = [line for line in diffusion if line["kind"] == "train"]
    # each step draws its own noise levels, which move the first of the two as much as learning does
    for name, share in (("denoising", 0.95), ("alignment", 0.8)):
        assert sum(line[name] for line in lines[-2:]) < share * sum(line[name] for line in lines[:2]), name


def test_the_end_is_a_model_like_the_embedded_one(home: Path, diffusion: Lines, tmp_path: Path):
    export_checkpoint(home / "runs/tiny-diffusion", tmp_path / "model")
    stored = sum(p.stat().st_size for p in (tmp_path / "model").rglob("*.safetensors"))
    assert stored < 32e6  # what may lie in the package
    facts = load_diffusion(tmp_path / "model", device=torch.device("cpu"), dtype=torch.float32).facts
    assert (facts.modality, facts.steps, facts.resolution) == ("disparity", 1, 256)
    model = load(f"dir:{tmp_path / 'model'}", device="cpu", dtype="float32")
    prediction = model(torch.rand(1, 3, 48, 64), PredictOptions(members=2))
    assert bool(torch.isfinite(prediction.value).all())
    assert str(prediction.kind) == "affine-invariant disparity"


@pytest.mark.parametrize("name", ["tiny-teacher", "tiny-vae", "tiny-prior"])
def test_every_stage_is_exported_in_half_the_size(home: Path, diffusion: Lines, tmp_path: Path, name: str):
    out = home / "runs" / name
    export_checkpoint(out, tmp_path / "half")
    given, half = (
        {p.relative_to(root): p.stat().st_size for p in root.rglob("*") if p.is_file()}
        for root in (out / "model", tmp_path / "half")
    )
    assert given.keys() == half.keys()
    for path, size in given.items():
        if path.suffix == ".safetensors" and path.name != "empty_prompt.safetensors":
            assert half[path] == pytest.approx(size / 2, rel=0.05)  # the header of names is the rest
        else:
            assert half[path] == size
    if name == "tiny-teacher":
        load_pyramid(tmp_path / "half")


def test_more_steps_go_on_and_encode_nothing_again(home: Path, diffusion: Lines):
    store = home / "runs/tiny-diffusion/latents"
    before = {path: path.stat().st_mtime_ns for path in store.rglob("*") if path.is_file()}
    assert len(before) == 4  # two sets, each a part and a note
    fitted = run(small("tiny-diffusion", home, 7, 1e-3), home / "runs/tiny-diffusion", quiet=True)
    assert fitted is not None
    assert fitted.step == 7
    assert {path: path.stat().st_mtime_ns for path in store.rglob("*") if path.is_file()} == before
