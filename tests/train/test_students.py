"""A recipe's student from its settings or a folder, and whole runs: trained, resumed, exported, made metric."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from latentdepth.config import from_dict
from latentdepth.core.types import Camera
from latentdepth.data.sample import Sample
from latentdepth.data.shards import ShardWriter
from latentdepth.models.depth_anything import DepthAnything, Form, load_depth_anything, new_depth_anything
from latentdepth.models.feedforward import DepthPyramid
from latentdepth.models.student import Student, StudentFacts, load_student
from latentdepth.train.checkpoint import checkpoints
from latentdepth.train.config import TrainConfig
from latentdepth.train.distill import Distill, Metric
from latentdepth.train.exporting import Rest, export_checkpoint
from latentdepth.train.runs import build_task, run
from latentdepth.train.student_config import MetricOptions, StudentConfig
from latentdepth.train.students import as_metric, build_student, new_network

SIDE = 32
TINY = Form(16, 4, 2, (1, 2, 3, 4), (4, 8, 12, 16), 8, grid_px=56, head=4)


def slope(number: int) -> Sample:
    """A slope whose brightness is its nearness."""
    tilt = torch.rand(2, generator=torch.Generator().manual_seed(number)) * 2 - 1
    y, x = torch.meshgrid(torch.linspace(-1, 1, SIDE), torch.linspace(-1, 1, SIDE), indexing="ij")
    depth = (3 + tilt[0] * x + tilt[1] * y)[None]
    camera = Camera.from_fov(60, SIDE, SIDE)
    return Sample((1 / depth).expand(3, -1, -1).clamp(0, 1), depth, torch.ones_like(depth).bool(), f"s{number}", camera)


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Shards in ``shards``, and photos that a teacher labelled in ``labels``."""
    home = tmp_path_factory.mktemp("home")
    with ShardWriter(home / "shards") as writer:
        for number in range(5):
            writer.add(f"slope-{number}", slope(number))
    (home / "labels").mkdir()
    rows = []
    for number in (7, 8):
        sample = slope(number)
        Image.fromarray((sample.image.permute(1, 2, 0).numpy() * 255).astype(np.uint8)).save(home / f"{number}.png")
        counts = (65535 / 5 / sample.depth_m[0]).numpy().astype(np.uint16)
        Image.fromarray(counts).save(home / f"labels/{number}.png")
        row = {"rgb": f"../{number}.png", "depth": f"{number}.png", "source": "pseudo_labels", "group": "a"}
        row |= {
            "kind": "disparity_relative",
            "value_per_count": 1 / 65535,
            "agreement": 0.95,
            "may_train_shipped": True,
        }
        rows.append(json.dumps(row) + "\n")
    (home / "labels/manifest.jsonl").write_text("".join(rows))
    return home


def recipe(home: Path, **changes: Any) -> TrainConfig:
    size = {"height": SIDE, "width": SIDE}
    table: dict[str, Any] = {
        "task": "distill",
        "base": {"kind": "nothing", "model": ""},
        "student": {"network": "lite0", "width": 16, "resolution": SIDE},
        "data_root": str(home),
        "data": [
            {"name": "synthetic", "path": "shards", "hold_out": 1, **size},
            {"name": "photos", "path": "labels", "format": "manifest", "by_teacher": True, **size},
        ],
        "validate": {"every": 2, "frames": 1, "pictures": 1},
        "loop": {"steps": 4, "batch": 4, "micro_batch": 2, "workers": 0, "save_every": 2, "device": "cpu"},
        "optim": {"lr": 1e-3, "warmup": 1},
        "log": {"every": 1, "tensorboard": False},
    }
    return from_dict(TrainConfig, table | changes)


def test_a_student_is_trained_and_exported(home: Path, tmp_path: Path):
    config = recipe(home)
    whole = tmp_path / "whole"
    assert run(config, whole, quiet=True) is not None
    lines = [json.loads(line) for line in (whole / "log.jsonl").read_text().splitlines()]
    assert {line["kind"] for line in lines} == {"train", "validation"}
    assert all("l1" in line and "gradient" in line for line in lines if line["kind"] == "train")
    trained = load_student(whole / "model")
    assert trained.facts == StudentFacts(width=16, resolution=SIDE)
    start = build_task(config).network.state_dict()
    assert not torch.equal(start["value.weight"], trained.state_dict()["value.weight"])
    export_checkpoint(whole, tmp_path / "small")
    assert (tmp_path / "small/model.safetensors").stat().st_size < 0.6 * (
        whole / "model/model.safetensors"
    ).stat().st_size
    image = torch.rand(1, 3, SIDE, SIDE)
    with torch.no_grad():
        wanted, found = trained(image).value, load_student(tmp_path / "small")(image).value
    torch.testing.assert_close(found, wanted, atol=0.02 * float(wanted.max()), rtol=0)  # float16


def test_a_run_is_exported_half_way_to_the_student_it_went_on_from(home: Path, tmp_path: Path):
    whole = tmp_path / "whole"
    run(recipe(home), whole, quiet=True)
    trained = load_student(whole / "model")
    before = Student(StudentFacts(width=16, resolution=2 * SIDE))  # at which it works is no part of the form
    before.save(tmp_path / "before")
    export_checkpoint(whole, tmp_path / "mean", mean_with=f"dir:{tmp_path / 'before'}", dtype="float32")
    theirs, found = before.state_dict(), load_student(tmp_path / "mean").state_dict()
    for key, own in trained.state_dict().items():
        if own.is_floating_point():
            torch.testing.assert_close(found[key], (own + theirs[key]) / 2)
    assert load_student(tmp_path / "mean").facts == trained.facts
    export_checkpoint(whole, tmp_path / "more", mean_with=f"dir:{tmp_path / 'before'}", share=0.8, dtype="float32")
    more = load_student(tmp_path / "more").state_dict()["value.weight"]
    torch.testing.assert_close(more, 0.8 * trained.state_dict()["value.weight"] + 0.2 * theirs["value.weight"])
    for wrong in (0.0, 1.0, -0.5, float("nan")):
        with pytest.raises(ValueError, match="above 0 and below 1"):
            export_checkpoint(whole, tmp_path / "no", mean_with=f"dir:{tmp_path / 'before'}", share=wrong)
    with pytest.raises(ValueError, match="give --mean-with, too"):
        export_checkpoint(whole, tmp_path / "no", share=0.5)
    Student(StudentFacts(width=24)).save(tmp_path / "wider")
    with pytest.raises(ValueError, match="another form"):
        export_checkpoint(whole, tmp_path / "no", mean_with=f"dir:{tmp_path / 'wider'}")
    with pytest.raises(ValueError, match="no feed-forward student"):
        export_checkpoint(whole, tmp_path / "no", mean_with="builtin:tiny-diffusion")
    assert not (tmp_path / "no").exists()


def test_a_run_is_exported_with_its_first_blocks_alone(home: Path, tmp_path: Path):
    joined = {"network": "lite2+vits", "width": 16, "resolution": SIDE}
    distill = {"transformer_rate": 0.5, "transformer_part": "all"}
    run(recipe(home, student=joined, distill=distill), tmp_path / "whole", quiet=True)
    trained = load_student(tmp_path / "whole/model")
    before = Student(trained.facts)
    before.save(tmp_path / "before")
    name = f"dir:{tmp_path / 'before'}"
    theirs = before.state_dict()
    parts: list[tuple[Rest, int]] = [("all", 3), ("transformer", 0), ("transformer", 3)]
    for rest, blocks in parts:
        out = tmp_path / f"{rest}-{blocks}"
        export_checkpoint(tmp_path / "whole", out, rest_from=name, rest=rest, blocks=blocks, dtype="float32")
        found = load_student(out).state_dict()
        for key, own in trained.state_dict().items():
            block = key.removeprefix("encoder.transformer.encoder.layer.")
            kept = rest == "transformer" if block == key else int(block.split(".")[0]) < blocks
            assert torch.equal(found[key], own if kept else theirs[key]), key
    with pytest.raises(ValueError, match="blocks is 12; allowed is 1 to 11"):
        export_checkpoint(tmp_path / "whole", tmp_path / "no", rest_from=name, blocks=12)
    with pytest.raises(ValueError, match="allowed is 1 to 11"):
        export_checkpoint(tmp_path / "whole", tmp_path / "no", rest_from=name, blocks=0)
    with pytest.raises(ValueError, match="--rest transformer says what --rest-from gives"):
        export_checkpoint(tmp_path / "whole", tmp_path / "no", rest="transformer")
    with pytest.raises(ValueError, match="--blocks 3 says what --rest-from leaves"):
        export_checkpoint(tmp_path / "whole", tmp_path / "no", blocks=3)
    run(recipe(home), tmp_path / "convolutions", quiet=True)
    with pytest.raises(ValueError, match="for students with a transformer of blocks, and this is lite0"):
        export_checkpoint(
            tmp_path / "convolutions", tmp_path / "no", rest_from=f"dir:{tmp_path / 'convolutions/model'}"
        )
    assert not (tmp_path / "no").exists()


def test_a_resumed_run_ends_with_the_same_weights(home: Path, tmp_path: Path):
    config = recipe(home, optim={"lr": 1e-3, "warmup": 1, "schedule": "constant"}, distill={"encoder_rate": 0.1})
    run(config, tmp_path / "whole", quiet=True)
    run(replace(config, loop=replace(config.loop, steps=2)), tmp_path / "parts", quiet=True)
    run(config, tmp_path / "parts", quiet=True)
    a, b = (checkpoints(tmp_path / name)[-1].tensors("weights") for name in ("whole", "parts"))
    assert all(torch.equal(a[k], b[k]) for k in a)


def test_batches_say_what_a_teacher_told(home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Both sets come, and only those of the labelled one are marked."""
    told = []
    loss = Distill.loss

    def spy(self: Distill, batch: Any, draw: Any) -> Any:
        told.append(None if batch.by_teacher is None else batch.by_teacher.tolist())
        return loss(self, batch, draw)

    monkeypatch.setattr(Distill, "loss", spy)
    run(recipe(home, validate={"held_out": False}), tmp_path, quiet=True)
    assert len(told) == 8
    assert {str(row) for row in told} == {"None", "[True, True]"}


def test_a_relative_student_becomes_metric(home: Path, tmp_path: Path):
    torch.manual_seed(3)
    Student(StudentFacts(width=16, resolution=SIDE)).save(tmp_path / "base")
    changes: dict[str, Any] = {
        "task": "metric",
        "base": {"model": f"dir:{tmp_path / 'base'}"},
        "student": {},
        "metric": {"max_depth_m": 20.0},
        "data": [{"name": "synthetic", "path": "shards", "hold_out": 1, "height": SIDE, "width": SIDE}],
    }
    config = recipe(home, **changes)
    task = build_task(config)
    assert isinstance(task, Metric)
    base, own = load_student(tmp_path / "base").state_dict(), task.network.state_dict()
    assert torch.equal(base["encoder.stem.0.weight"], own["encoder.stem.0.weight"])
    assert not torch.equal(base["last.1.weight"], own["last.1.weight"])
    fitted = run(config, tmp_path / "run", quiet=True)
    assert fitted is not None
    assert load_student(fitted.model).max_depth_m == 20.0


@pytest.mark.parametrize(("start", "kept"), [("encoder", False), ("everything", True)])
def test_what_a_metric_network_starts_from(start: Any, kept: bool):
    torch.manual_seed(0)
    base = new_depth_anything(TINY)
    torch.manual_seed(1)
    metric = as_metric(base, MetricOptions(max_depth_m=80.0, start=start))
    assert metric.max_depth_m == 80.0
    key = "model.backbone.embeddings.cls_token"
    assert torch.equal(metric.state_dict()[key], base.state_dict()[key])
    key = "model.head.conv1.weight"
    assert torch.equal(metric.state_dict()[key], base.state_dict()[key]) == kept


def test_depth_anything_is_trained_from_its_folder(home: Path, tmp_path: Path):
    torch.manual_seed(0)
    new_depth_anything(TINY).save(tmp_path / "base")
    data = [{"name": "synthetic", "path": "shards", "hold_out": 1, "height": 42, "width": 56}]
    base = {"model": f"dir:{tmp_path / 'base'}"}
    loop = {"steps": 2, "batch": 2, "micro_batch": 2, "workers": 0, "device": "cpu", "recompute": True}
    config = recipe(home, base=base, student={}, data=data, loop=loop, distill={"feature_weight": 1.0})
    fitted = run(config, tmp_path / "run", quiet=True)
    assert fitted is not None
    before, after = (load_depth_anything(p).state_dict() for p in (tmp_path / "base", fitted.model))
    assert not torch.equal(before["model.head.conv3.weight"], after["model.head.conv3.weight"])


def test_networks_by_name(tmp_path: Path):
    with torch.device("meta"):
        assert isinstance(new_network(StudentConfig("small")), DepthAnything)
    with pytest.raises(ValueError, match=r"student\.encoder: .* does not exist"):
        new_network(StudentConfig(encoder=tmp_path / "gone.pth"))
    wrong = tmp_path / "wrong.pth"
    wrong.write_bytes(b"x")
    with pytest.raises(ValueError, match="SHA-256"):
        new_network(StudentConfig(encoder=wrong))


def test_an_encoder_starts_as_a_teacher_s_or_a_student_s(tmp_path: Path):
    pyramid = DepthPyramid(8, encoder="lite1")
    pyramid.save(tmp_path / "teacher")
    taught = new_network(StudentConfig("lite1", encoder=tmp_path / "teacher", width=16))
    assert isinstance(taught, Student)
    pairs = zip(taught.encoder.parameters(), pyramid.encoder.parameters(), strict=True)
    assert all(torch.equal(a, b) for a, b in pairs)
    taught.save(tmp_path / "student")
    again = new_network(StudentConfig("lite1", encoder=tmp_path / "student"))
    assert isinstance(again, Student)
    assert all(torch.equal(a, b) for a, b in zip(again.encoder.parameters(), pyramid.encoder.parameters(), strict=True))
    with pytest.raises(ValueError, match=r"has the encoder lite1, and student\.network is lite0: give --student"):
        new_network(StudentConfig("lite0", encoder=tmp_path / "teacher"))


def test_folders_of_other_networks_are_refused(home: Path, tmp_path: Path):
    with pytest.raises(ValueError, match="holds no feed-forward network"):
        build_student(recipe(home, base={"model": f"dir:{tmp_path}"}, student={}))
    recomputed = recipe(home, loop={"recompute": True})
    with pytest.raises(ValueError, match=r"loop\.recompute is for Depth Anything"):
        build_student(recomputed)


def test_the_resolution_of_a_trained_student_is_the_recipe_s(home: Path, tmp_path: Path):
    Student(StudentFacts(width=16, resolution=SIDE)).save(tmp_path / "base")
    base = {"model": f"dir:{tmp_path / 'base'}", "resolution": 2 * SIDE}
    student = build_student(recipe(home, base=base, student={})).network
    assert isinstance(student, Student)
    student.save(tmp_path / "trained")
    assert load_student(tmp_path / "trained").facts == StudentFacts(width=16, resolution=2 * SIDE)
    with pytest.raises(ValueError, match="resolution is 16; allowed is 32 or more"):
        build_student(recipe(home, base=base | {"resolution": 16}, student={}))
    new_depth_anything(TINY).save(tmp_path / "anything")
    with pytest.raises(ValueError, match=r"base.resolution is 64, for small students"):
        build_student(recipe(home, base={"model": f"dir:{tmp_path / 'anything'}", "resolution": 64}, student={}))


def test_views_have_the_sides_that_the_network_needs(home: Path, tmp_path: Path):
    data = [{"name": "synthetic", "path": "shards", "height": 40, "width": 64}]
    with pytest.raises(ValueError, match=r"height is 40; .* multiples of 32"):
        run(recipe(home, data=data), tmp_path, dry=True)


def test_weights_in_bfloat16(home: Path):
    task = build_task(recipe(home, loop={"weights": "bfloat16"}))
    assert {p.dtype for p in task.network.parameters()} == {torch.bfloat16}
