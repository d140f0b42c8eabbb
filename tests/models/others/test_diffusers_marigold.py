"""diffusers' own pipelines as predictors: the same answers as when they are called by hand."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import diffusers
import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

from latentdepth.core.types import AFFINE_DEPTH, NORMALS
from latentdepth.models.others.diffusers_marigold import MarigoldPipelinePredictor
from latentdepth.models.others.load import load_other
from latentdepth.options import PredictOptions
from latentdepth.predictor import Predictor

CPU = torch.device("cpu")


def load(folder: Path) -> MarigoldPipelinePredictor:
    predictor = load_other(folder, device=CPU, dtype=torch.float32, name="diffusers")
    assert isinstance(predictor, MarigoldPipelinePredictor)
    return predictor


@pytest.fixture
def folder(tmp_path: Path, tiny_folder: Path) -> Path:
    """A Marigold folder that a test may damage, with the resolution of a tiny network."""
    copy = Path(shutil.copytree(tiny_folder, tmp_path / "tiny"))
    edit(copy, default_denoising_steps=2, default_processing_resolution=32)
    return copy


def edit(folder: Path, **changes: object) -> None:
    path = folder / "model_index.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def by_hand(folder: Path, image: Tensor, **settings: Any) -> Any:
    index = json.loads((folder / "model_index.json").read_text())
    kind = getattr(diffusers, index["_class_name"])
    pipeline = kind.from_pretrained(folder, text_encoder=None, tokenizer=None)
    pipeline.empty_text_embedding = load_file(folder / "empty_prompt.safetensors")["embedding"]
    pipeline.set_progress_bar_config(disable=True)
    return pipeline(image, generator=torch.Generator().manual_seed(3), output_type="pt", **settings)


@pytest.mark.parametrize("class_name", ["MarigoldDepthPipeline", "MarigoldNormalsPipeline"])
def test_one_member(folder: Path, take_photo: Callable[..., Tensor], class_name: str):
    edit(folder, _class_name=class_name)
    if class_name == "MarigoldNormalsPipeline":
        index = json.loads((folder / "model_index.json").read_text())
        kept = {k: v for k, v in index.items() if k not in ("prediction_type", "scale_invariant", "shift_invariant")}
        (folder / "model_index.json").write_text(json.dumps(kept))
    image = take_photo(37, 45)
    predictor = load(folder)
    assert isinstance(predictor, Predictor)
    found = predictor(image, PredictOptions(seed=3))
    assert torch.equal(found.value, by_hand(folder, image).prediction)
    assert found.kind == predictor.modality.kind == (NORMALS if "Normals" in class_name else AFFINE_DEPTH)
    assert found.uncertainty is None
    assert (found.made_with["steps"], found.made_with["resolution"]) == (2, 32)


def test_settings_reach_the_pipeline(folder: Path, take_photo: Callable[..., Tensor]):
    image = take_photo(37, 45)
    options = PredictOptions(seed=3, steps=1, members=3, resolution=24, match_input=False)
    found = load(folder)(image, options)
    theirs = by_hand(
        folder,
        image,
        num_inference_steps=1,
        ensemble_size=3,
        processing_resolution=24,
        match_input_resolution=False,
        output_uncertainty=True,
    )
    assert torch.equal(found.value, theirs.prediction)
    assert found.uncertainty is not None
    assert torch.equal(found.uncertainty, theirs.uncertainty)
    assert found.value.shape[-2:] == (19, 24)


def test_two_images_start_from_the_same_noise(folder: Path, take_photo: Callable[..., Tensor]):
    predictor, images = load(folder), take_photo(30, 24, images=2)
    together = predictor(images).value
    assert torch.equal(together, torch.cat([predictor(image).value for image in images.split(1)]))


def test_disparity_is_declared(folder: Path):
    edit(folder, prediction_type="disparity")
    assert str(load(folder).modality.kind) == "affine-invariant disparity"


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        (PredictOptions(sampler="lcm"), "sampler is lcm"),
        (PredictOptions(effort="best"), "effort is best.*steps and members"),
        (PredictOptions(steps=0), "steps is 0; allowed is 1"),
        (PredictOptions(members=0), "members is 0; allowed is 1"),
        (PredictOptions(resolution=-2), "resolution is -2; allowed is 0"),
    ],
)
def test_options_refused(folder: Path, take_photo: Callable[..., Tensor], options: PredictOptions, complaint: str):
    with pytest.raises(ValueError, match=complaint):
        load(folder)(take_photo(16, 16), options)


def test_a_folder_that_says_no_steps(folder: Path, take_photo: Callable[..., Tensor]):
    edit(folder, default_denoising_steps=None)
    with pytest.raises(ValueError, match="says nothing of steps"):
        load(folder)(take_photo(16, 16))
    assert load(folder)(take_photo(16, 16), PredictOptions(steps=1)).made_with["steps"] == 1


def test_folders_refused(folder: Path):
    edit(folder, _class_name="StableDiffusionPipeline")
    with pytest.raises(ValueError, match=r"'StableDiffusionPipeline'.*MarigoldNormalsPipeline"):
        load(folder)
    edit(folder, _class_name="MarigoldDepthPipeline")
    (folder / "empty_prompt.safetensors").unlink()
    with pytest.raises(ValueError, match="neither empty_prompt"):
        load(folder)
    for weights in (folder / "unet").glob("*.safetensors"):
        weights.unlink()
    with pytest.raises(ValueError, match="unet holds no safetensors"):
        load(folder)
