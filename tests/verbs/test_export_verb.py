"""`latentdepth export`: what it takes, and a model that is exported, added to and used."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from PIL import Image

from latentdepth.loading import load
from latentdepth.options import PredictOptions
from latentdepth.verbs.export import Export, run


def test_an_embedded_model_is_copied_before_it_is_exported() -> None:
    with pytest.raises(ValueError, match=r"type `latentdepth export builtin:tiny-diffusion .*--out FOLDER`"):
        run(Export("builtin:tiny-diffusion"))


@pytest.mark.parametrize("word", ["384", "384x", "384*288", "-8x8"])
def test_sizes_are_width_x_height(word: str) -> None:
    with pytest.raises(ValueError, match=rf"size is '{word.replace('*', '.')}'; wanted is WIDTHxHEIGHT"):
        run(Export("dir:model", size=(word,)))


def test_a_copy_is_exported_and_used(tiny_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("onnx")
    pytest.importorskip("onnxruntime")
    photo, out = tmp_path / "photo.png", tmp_path / "copy"
    Image.linear_gradient("L").convert("RGB").save(photo)
    whole = Export(f"dir:{tiny_folder}", runtime="onnx", size=("64x48",), out=out, photos=(photo,))
    assert run(whole) == 0
    again = replace(whole, size=("48x64",))
    said = capsys.readouterr()
    assert "beside torch in float32, at 64x48:" in said.out
    assert [line.split()[0] for line in said.out.splitlines()[1:]] == ["decode", "encode", "step"]
    assert f"--model dir:{out} --runtime onnx" in said.err
    assert not (tiny_folder / "runtimes").exists()
    assert run(again) == 0  # the same copy, one size more
    assert "at 64x48, 48x64:" in capsys.readouterr().out
    prediction = load(f"dir:{out}", runtime="onnx")(torch.rand(1, 3, 48, 64), PredictOptions())
    assert prediction.value.shape == (1, 1, 48, 64)


def test_a_folder_that_is_taken_is_left_alone(tiny_folder: Path, tmp_path: Path) -> None:
    pytest.importorskip("onnx")
    pytest.importorskip("onnxruntime")
    taken = Path(shutil.copytree(tiny_folder, tmp_path / "taken"))
    (taken / "latentdepth.json").write_text('{"steps": 3}')
    with pytest.raises(ValueError, match="is there already and is no copy of"):
        run(Export(f"dir:{tiny_folder}", runtime="onnx", out=taken))
