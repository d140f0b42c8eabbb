"""The verb: from a model's folder to one that predicts with --vae small."""

from __future__ import annotations

import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from PIL import Image

from latentdepth.core.noise import generator
from latentdepth.loading import load
from latentdepth.models.small_vae import FOLDER
from latentdepth.options import PredictOptions
from latentdepth.verbs.distill_vae import DistillVae, data_format, install, run


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    folder = tmp_path / "photos"
    folder.mkdir()
    for number in range(3):
        pixels = torch.rand(16, 16, 3, generator=generator("photo", number)).mul(255).byte().numpy()
        Image.fromarray(pixels).save(folder / f"{number}.png")
    return folder


def short(model: str, photos: Path, out: Path) -> DistillVae:
    return DistillVae(
        model,
        photos=photos,
        out=out,
        steps=2,
        size=16,
        width=4,
        batch=2,
        micro_batch=2,
        hold_out=1,
        precision="float32",
        device="cpu",
        workers=0,
        quiet=True,
    )


def test_a_folder_s_model_predicts_with_it_afterwards(
    tiny_folder: Path, photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    model = Path(shutil.copytree(tiny_folder, tmp_path / "model"))
    verb = short(f"dir:{model}", photos, tmp_path / "out")
    assert run(verb) == 0
    assert "done at step 2; try: latentdepth predict PHOTO --model dir:" in (told := capsys.readouterr().err)
    assert "--vae small" in told
    found, image = load(f"dir:{model}", device="cpu", dtype="float32"), torch.rand(1, 3, 32, 32)
    small = found(image, PredictOptions(vae="small"))
    assert small.made_with["vae"] == "small"
    apart = found(image, PredictOptions(vae=f"dir:{tmp_path / 'out/model'}"))
    assert torch.equal(apart.value, small.value)
    assert run(verb) == 0  # there is nothing left to do, and no harm in saying it again
    assert sorted(path.name for path in model.iterdir() if FOLDER in path.name) == [FOLDER]


def test_a_folder_can_be_left_as_it_is(
    tiny_folder: Path, photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    verb = replace(short(f"dir:{tiny_folder}", photos, tmp_path / "out"), keep_apart=True)
    assert run(verb) == 0
    assert not (tiny_folder / FOLDER).exists()
    assert f"--vae dir:{tmp_path / 'out/model'}" in capsys.readouterr().err


def test_installing_again_replaces_and_a_half_made_copy_does_no_harm(tmp_path: Path):
    source, model = tmp_path / "run", tmp_path / "model"
    (source / FOLDER).mkdir(parents=True)
    (source / FOLDER / "config.json").write_text("new")
    for rest in (FOLDER, f"{FOLDER}.new", f"{FOLDER}.old"):
        (model / rest).mkdir(parents=True)
        (model / rest / "config.json").write_text("before")
        (model / rest / "left").write_text("before")
    install(source, model)
    assert [path.name for path in model.iterdir()] == [FOLDER]
    assert [path.read_text() for path in (model / FOLDER).iterdir()] == ["new"]


def test_what_a_folder_of_data_holds(tmp_path: Path):
    for name, form in (("a.tar", "shards"), ("manifest.jsonl", "manifest")):
        (tmp_path / form).mkdir()
        (tmp_path / form / name).touch()
        assert data_format(tmp_path / form) == form
    for name in ("rgb", "depth"):
        (tmp_path / "pairs" / name).mkdir(parents=True)
    assert data_format(tmp_path / "pairs") == "folder"


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"photos": None}, r"there is no data: give --data DIR"),
        ({"photos": Path("nowhere")}, r"--photos nowhere is no folder"),
        ({"data": Path("nowhere")}, r"--data nowhere is no folder; .*latentdepth synth --out nowhere"),
        ({"photo_share": 1.0}, r"--photo-share is 1\.0; allowed is above 0 and below 1"),
        ({"size": 20}, r"height is 20; allowed are multiples of 8, such as"),
        ({"batch": 3}, r"loop\.batch is 3, which loop\.micro_batch = 2 does not divide"),
        ({"model": "tiny-diffusion"}, r"did you mean builtin:tiny-diffusion"),
        ({"hold_out": 3}, r"hold_out is 3 of 3 samples, which leaves none to train on"),
    ],
)
def test_what_can_t_be_is_said_before_the_first_step(
    tiny_folder: Path, photos: Path, tmp_path: Path, changes: dict[str, object], message: str
):
    verb = replace(short(f"dir:{tiny_folder}", photos, tmp_path / "out"), **changes)
    with pytest.raises(ValueError, match=message):
        run(verb)
    assert not (tmp_path / "out").exists()


def test_data_without_depth_is_told_what_it_may_be(tiny_folder: Path, photos: Path, tmp_path: Path):
    verb = replace(short(f"dir:{tiny_folder}", photos, tmp_path / "out"), data=photos)
    with pytest.raises(ValueError, match=r"holds no photos with depth: .*photos alone are --photos"):
        run(verb)


def test_the_options_need_no_torch():
    code = "import sys, latentdepth.verbs.distill_vae; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
