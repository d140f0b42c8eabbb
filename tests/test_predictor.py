"""The main path: what a prediction depends on, and what it refuses."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from latentdepth.core.types import AFFINE_DISPARITY, Invariance, Quantity
from latentdepth.loading import load, pick_device, pick_dtype
from latentdepth.models.diffusion import DiffusionModel
from latentdepth.models.facts import Facts
from latentdepth.models.others.diffusers_marigold import MarigoldPipelinePredictor
from latentdepth.models.student import Student, StudentFacts
from latentdepth.models.student_predictor import StudentPredictor
from latentdepth.options import PredictOptions
from latentdepth.predictor import DiffusionPredictor


@pytest.fixture(scope="module")
def predictor(tiny_folder: Path) -> DiffusionPredictor:
    loaded = load(f"dir:{tiny_folder}", device="cpu", dtype="float32")
    assert isinstance(loaded, DiffusionPredictor)
    return loaded


def photo(height: int = 40, width: int = 56, seed: int = 0) -> torch.Tensor:
    return torch.rand(1, 3, height, width, generator=torch.Generator().manual_seed(seed))


def test_value_uncertainty_and_record(predictor: DiffusionPredictor):
    prediction = predictor(photo(), PredictOptions(members=3, steps=2, seed=5))
    assert prediction.value.shape == (1, 1, 40, 56)
    assert prediction.value.dtype == torch.float32
    assert float(prediction.value.min()) >= 0
    assert float(prediction.value.max()) <= 1
    assert (prediction.kind.quantity, prediction.kind.invariance) == (Quantity.DEPTH, Invariance.AFFINE)
    assert prediction.uncertainty is not None
    assert prediction.uncertainty.shape == (1, 1, 40, 56)
    assert prediction.made_with["members"] == 3
    assert prediction.made_with["seed"] == 5
    assert predictor(photo()).uncertainty is None


@pytest.mark.parametrize("batch", [1, 2, 3, 5])
def test_batch_size_does_not_change_the_result(predictor: DiffusionPredictor, batch: int):
    whole = predictor(photo(), PredictOptions(members=5, steps=2, batch=5))
    parts = predictor(photo(), PredictOptions(members=5, steps=2, batch=batch))
    # kernels sum in another order for another batch; the members themselves start from the same noise
    torch.testing.assert_close(parts.value, whole.value, atol=2e-4, rtol=0)


def test_images_do_not_see_each_other(predictor: DiffusionPredictor):
    both = torch.cat((photo(seed=1), photo(seed=2)))
    together = predictor(both, PredictOptions(steps=2)).value
    alone = predictor(both[1:], PredictOptions(steps=2)).value
    torch.testing.assert_close(together[1:], alone, atol=0, rtol=0)


def test_more_members_keep_the_first_ones(predictor: DiffusionPredictor):
    plan = predictor.plan(PredictOptions(members=4, steps=1, batch=1))
    four = predictor.members(photo(), plan)
    two = predictor.members(photo(), replace(plan, members=2))
    torch.testing.assert_close(four[:, :2], two, atol=0, rtol=0)


def test_seed_matters_and_repeats(predictor: DiffusionPredictor):
    first = predictor(photo(), PredictOptions(seed=1)).value
    torch.testing.assert_close(predictor(photo(), PredictOptions(seed=1)).value, first, atol=0, rtol=0)
    assert float((predictor(photo(), PredictOptions(seed=2)).value - first).abs().max()) > 1e-3


def test_effort_and_single_settings(predictor: DiffusionPredictor):
    assert predictor.plan(PredictOptions(effort="fast")).steps == 1
    best = predictor.plan(PredictOptions(effort="best", members=2))
    assert (best.steps, best.members) == (4, 2)
    assert predictor.plan(PredictOptions()).resolution == 64  # what the folder says


@pytest.mark.parametrize("size", [(1, 1), (7, 3), (64, 64), (1, 60)])
def test_small_and_thin_images(predictor: DiffusionPredictor, size: tuple[int, int]):
    value = predictor(photo(*size), PredictOptions(members=2)).value
    assert value.shape[-2:] == size
    assert bool(torch.isfinite(value).all())


def test_an_image_too_thin_for_the_resolution_says_so(predictor: DiffusionPredictor):
    with pytest.raises(ValueError, match="5000 x 1 pixels"):
        predictor(photo(1, 5000))


@pytest.mark.parametrize(
    ("images", "message"),
    [
        (torch.zeros(3, 8, 8), "shape"),
        (torch.zeros(1, 4, 8, 8), "shape"),
        (torch.zeros(1, 3, 8, 8, dtype=torch.uint8), "uint8"),
        (torch.full((1, 3, 8, 8), float("nan")), "NaN"),
        (torch.full((1, 3, 8, 8), 255.0), "0 to 1"),
    ],
)
def test_wrong_tensors_are_explained(images: torch.Tensor, message: str):
    from latentdepth.core.modality import to_float

    with pytest.raises(ValueError, match=message):
        to_float(images)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (PredictOptions(steps=0), "steps is 0"),
        (PredictOptions(members=0), "members is 0"),
        (PredictOptions(resolution=-1), "resolution is -1"),
        (PredictOptions(batch=0), "batch is 0"),
        (PredictOptions(sampler="one_step", steps=3), "one_step"),
        (PredictOptions(steps=2000), "1 to 1000"),
        (PredictOptions(sampler="lcm", steps=60), "1 to 50"),
    ],
)
def test_wrong_options_are_explained(predictor: DiffusionPredictor, options: PredictOptions, message: str):
    with pytest.raises(ValueError, match=message):
        predictor(photo(), options)


def test_lcm_noise_depends_on_seed_and_member_only(predictor: DiffusionPredictor):
    options = PredictOptions(sampler="lcm", steps=3, members=3)
    whole = predictor(photo(), replace(options, batch=3)).value
    # as in the batch-size test above
    torch.testing.assert_close(predictor(photo(), replace(options, batch=1)).value, whole, atol=2e-4, rtol=0)


def test_zeros_start_ignores_the_seed(predictor: DiffusionPredictor):
    model = predictor.model
    facts = replace(model.facts, start="zeros", sampler="one_step", steps=1)
    zeros = DiffusionPredictor(DiffusionModel(model.unet, model.vae, model.schedule, model.prompt, facts), "zeros")
    a, b = (zeros(photo(), PredictOptions(seed=s)).value for s in (1, 2))
    torch.testing.assert_close(a, b, atol=0, rtol=0)


def test_normals_are_unit_vectors(predictor: DiffusionPredictor):
    model = predictor.model
    facts = Facts(modality="normals", steps=1, resolution=32)
    network = DiffusionPredictor(DiffusionModel(model.unet, model.vae, model.schedule, model.prompt, facts), "normals")
    prediction = network(photo(), PredictOptions(members=3))
    assert prediction.value.shape == (1, 3, 40, 56)
    torch.testing.assert_close(prediction.value.norm(dim=1), torch.ones(1, 40, 56), atol=1e-4, rtol=0)


def test_bfloat16_is_close_to_float32(tiny_folder: Path, predictor: DiffusionPredictor):
    half = load(f"dir:{tiny_folder}", device="cpu", dtype="bfloat16")
    difference = (half(photo()).value - predictor(photo()).value).abs()
    assert float(difference.mean()) < 0.02  # eight bits of mantissa through a random network
    assert half.describe()["dtype"] == "bfloat16"


def test_devices_and_dtypes_that_are_not_there():
    cpu = pick_device("cpu")
    with pytest.raises(ValueError, match="many times slower"):
        pick_dtype("float16", cpu)
    assert pick_dtype("auto", cpu) in (torch.bfloat16, torch.float32)
    if not torch.cuda.is_available():
        with pytest.raises(ValueError, match="here are: cpu"):
            pick_device("cuda")


def test_the_folder_says_which_network_it_holds(tmp_path: Path, tiny_folder: Path):
    Student(StudentFacts(width=8, resolution=64)).save(tmp_path / "student")
    student = load(f"dir:{tmp_path / 'student'}", device="cpu", dtype="float32")
    assert isinstance(student, StudentPredictor)
    assert student(photo(64, 64)).kind == AFFINE_DISPARITY
    theirs = load(f"diffusers:{tiny_folder}", device="cpu", dtype="float32")
    assert isinstance(theirs, MarigoldPipelinePredictor)
    assert "diffusers" in theirs.name
    assert (
        load(f"diffusers:dir:{tiny_folder}", device="cpu", dtype="float32").describe()["predicts"]
        == (theirs.describe()["predicts"])
    )
