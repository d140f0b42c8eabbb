"""Which folders are somebody else's network, and which are refused with what to do about it."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from latentdepth.models.others.load import is_other, load_other
from latentdepth.models.others.one_pass import OnePassPredictor

CPU = torch.device("cpu")


def load(folder: Path) -> OnePassPredictor:
    predictor = load_other(folder, device=CPU, dtype=torch.float32, name="dir:theirs")
    assert isinstance(predictor, OnePassPredictor)
    return predictor


@pytest.fixture
def folder(tmp_path: Path, write_network: Callable[[str], Path]) -> Path:
    """A folder of Depth Anything that a test may damage."""
    return Path(shutil.copytree(write_network("anything"), tmp_path / "anything"))


def edit(folder: Path, **changes: object) -> None:
    path = folder / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def test_is_other(folder: Path, tiny_folder: Path, tmp_path: Path):
    assert is_other(folder)
    assert not is_other(tiny_folder)  # a diffusion pipeline is our own code's
    assert not is_other(tmp_path)
    (tmp_path / "config.json").write_text("[1]")
    assert not is_other(tmp_path)
    (tmp_path / "config.json").write_text("{")
    assert not is_other(tmp_path)
    (tmp_path / "config.json").write_text('{"width": 3}')
    assert not is_other(tmp_path)


def test_describe(folder: Path):
    described = load(folder).describe()
    assert described["predicts"] == "affine-invariant disparity"
    assert described["network"] == "DepthAnythingForDepthEstimation"
    assert described["parameters"] == sum(v.numel() for v in load_file(folder / "model.safetensors").values())


def test_pickled_weights_are_refused(folder: Path):
    (folder / "model.safetensors").unlink()
    with pytest.raises(ValueError, match="no weights"):
        load(folder)
    (folder / "pytorch_model.bin").write_bytes(b"never read")
    with pytest.raises(ValueError, match=r"only pytorch_model\.bin, which can run code"):
        load(folder)


def test_damaged_weights(folder: Path):
    (folder / "model.safetensors").write_bytes(b"\x10")
    with pytest.raises(ValueError, match="can't load DepthAnythingForDepthEstimation"):
        load(folder)


def test_missing_weights(folder: Path):
    weights = load_file(folder / "model.safetensors")
    save_file(
        {k: v for k, v in weights.items() if "head.conv3" not in k}, folder / "model.safetensors", {"format": "pt"}
    )
    with pytest.raises(ValueError, match=r"2 weights of DepthAnythingForDepthEstimation are missing: head\.conv3"):
        load(folder)


def test_unsupported_networks(folder: Path):
    edit(folder, architectures=["DPTForSemanticSegmentation"])
    with pytest.raises(ValueError, match=r"no depth network of transformers.*DPTForDepthEstimation \(DPT and MiDaS"):
        load(folder)
    edit(folder, architectures=["CHMv2ForDepthEstimation"], depth_estimation_type=None)
    with pytest.raises(ValueError, match=r"not known.*ZoeDepthForDepthEstimation \(ZoeDepth"):
        load(folder)
    edit(folder, architectures=None)
    with pytest.raises(ValueError, match="architectures is None"):
        load(folder)


def test_a_class_without_a_family_of_its_own(folder: Path, take_photo: Callable[..., torch.Tensor]):
    # any class of AutoModelForDepthEstimation runs the plain way once the folder says what it outputs
    (folder / "latentdepth.json").write_text('{"quantity": "depth", "invariance": "scale"}')
    predictor = load(folder)
    found = predictor(take_photo(30, 40))
    assert str(found.kind) == "scale-invariant depth"
    assert float(found.value.max()) != 1  # only affine-invariant values are stretched


def test_settings_of_the_processor(folder: Path):
    settings = folder / "preprocessor_config.json"
    settings.write_text('{"image_processor_type": "Nobody"}')
    with pytest.raises(ValueError, match="transformers can't use it"):
        load(folder)
    settings.unlink()
    with pytest.raises(ValueError, match=r"no preprocessor_config\.json"):
        load(folder)


def test_no_config(tmp_path: Path):
    with pytest.raises(ValueError, match=r"has no config\.json"):
        load(tmp_path)
