"""Facts of published folder layouts, and errors for wrong ones."""

import json
from pathlib import Path

import pytest

from latentdepth.models.facts import OWN_FILE, Facts, read_facts, write_facts

BESIDE = {"in_channels": 8}
TRAILING = {"_class_name": "DDIMScheduler", "timestep_spacing": "trailing"}


def folder_with(tmp_path: Path, index: dict, own: dict | None = None) -> Path:
    (tmp_path / "model_index.json").write_text(json.dumps(index))
    if own is not None:
        (tmp_path / OWN_FILE).write_text(json.dumps(own))
    return tmp_path


def test_marigold_v1_1(tmp_path: Path):
    index = {
        "_class_name": "MarigoldDepthPipeline",
        "default_denoising_steps": 4,
        "default_processing_resolution": 768,
        "prediction_type": "depth",
        "scale_invariant": True,
        "shift_invariant": True,
    }
    assert read_facts(folder_with(tmp_path, index), BESIDE, TRAILING) == Facts("depth", True, True, 4, 768)


def test_marigold_v1_0_has_leading_steps_and_no_defaults(tmp_path: Path):
    facts = read_facts(
        folder_with(tmp_path, {"_class_name": "MarigoldPipeline"}), BESIDE, {"_class_name": "DDIMScheduler"}
    )
    assert (facts.steps, facts.resolution, facts.sampler) == (10, 768, "ddim")


def test_lcm(tmp_path: Path):
    index = {"_class_name": "MarigoldDepthPipeline", "default_denoising_steps": 1}
    facts = read_facts(folder_with(tmp_path, index), BESIDE, {"_class_name": "LCMScheduler"})
    assert (facts.steps, facts.sampler) == (1, "lcm")


def test_normals(tmp_path: Path):
    index = {"_class_name": "MarigoldNormalsPipeline", "default_denoising_steps": 4}
    assert read_facts(folder_with(tmp_path, index), BESIDE, TRAILING).modality == "normals"


def test_disparity_is_read_from_the_index(tmp_path: Path):
    index = {"_class_name": "MarigoldDepthPipeline", "prediction_type": "disparity"}
    assert read_facts(folder_with(tmp_path, index), BESIDE, TRAILING).modality == "disparity"


def test_one_step_folders_take_the_image_as_the_latent(tmp_path: Path):
    genpercept = read_facts(folder_with(tmp_path, {"_class_name": "GenPerceptPipeline"}), {"in_channels": 4}, TRAILING)
    assert (genpercept.image_enters, genpercept.sampler, genpercept.steps, genpercept.timestep) == (
        "as_latent",
        "one_step",
        1,
        1,
    )
    lotus = read_facts(
        folder_with(tmp_path, {"_class_name": "LotusDPipeline"}),
        {"in_channels": 4, "class_embed_type": "projection"},
        TRAILING,
    )
    assert (lotus.image_enters, lotus.modality, lotus.timestep) == ("as_latent", "disparity", None)
    assert lotus.task_embedding is not None
    assert len(lotus.task_embedding) == 4


def test_end_to_end_folders_say_that_they_start_from_zeros(tmp_path: Path):
    index = {"_class_name": "MarigoldPipeline"}
    own = {"start": "zeros", "sampler": "one_step", "steps": 1}
    facts = read_facts(folder_with(tmp_path, index, own), BESIDE, TRAILING)
    assert (facts.start, facts.sampler, facts.steps) == ("zeros", "one_step", 1)


def test_written_facts_are_read_back(tmp_path: Path):
    facts = Facts("disparity", steps=2, resolution=256, start="zeros", task_embedding=(0.0, 1.0))
    write_facts(tmp_path, facts)
    assert read_facts(tmp_path, BESIDE, TRAILING) == facts


@pytest.mark.parametrize(
    ("index", "own", "unet", "message"),
    [
        ({"_class_name": "StableDiffusionPipeline"}, None, BESIDE, "StableDiffusionPipeline"),
        ({"_class_name": "MarigoldDepthPipeline"}, {"stepz": 3}, BESIDE, "unknown key stepz"),
        ({"_class_name": "MarigoldDepthPipeline"}, {"sampler": "euler"}, BESIDE, "sampler"),
        ({"_class_name": "MarigoldDepthPipeline"}, {"steps": 0}, BESIDE, "steps is 0"),
        ({"_class_name": "MarigoldDepthPipeline"}, {"resolution": "big"}, BESIDE, "resolution is 'big'"),
        ({"_class_name": "MarigoldDepthPipeline"}, None, {"in_channels": 9}, "in_channels is 9"),
    ],
)
def test_wrong_folders_are_explained(tmp_path: Path, index: dict, own: dict | None, unet: dict, message: str):
    with pytest.raises(ValueError, match=message):
        read_facts(folder_with(tmp_path, index, own), unet, TRAILING)
