"""A student's map beside the photo's latent: what begins as before, what is kept on disk, and what fits together."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import torch

from latentdepth.loading import load
from latentdepth.models.diffusion import DiffusionModel, load_diffusion
from latentdepth.models.guide import Guide, load_guide
from latentdepth.models.small_vae import new_small_vae
from latentdepth.models.source import BUILTIN
from latentdepth.models.student import Student, StudentFacts
from latentdepth.options import PredictOptions, TileOptions
from latentdepth.predictor import DiffusionPredictor
from latentdepth.runtimes.exporting import export_model
from latentdepth.runtimes.predicting import ExportedDiffusion, load_exported
from latentdepth.tiling import predict_tiled
from latentdepth.train.runs import under_guide

CPU, FULL = torch.device("cpu"), torch.float32


def photo(height: int, width: int) -> torch.Tensor:
    rough = torch.rand(1, 3, 4, 5, generator=torch.Generator().manual_seed(width))
    return torch.nn.functional.interpolate(rough, (height, width), mode="bilinear")


@pytest.fixture
def model(stride4_folder: Path, student_folder: Path) -> DiffusionModel:
    return under_guide(load_diffusion(stride4_folder, device=CPU, dtype=FULL), f"dir:{student_folder}")


@pytest.fixture(scope="module")
def kept(stride4_folder: Path, student_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A guided model on disk that listens to its guide; not to be changed."""
    model = under_guide(load_diffusion(stride4_folder, device=CPU, dtype=FULL), f"dir:{student_folder}")
    with torch.no_grad():
        model.unet.conv_in.weight[:, 4:20] = 0.1 * torch.randn(
            (32, 16, 3, 3), generator=torch.Generator().manual_seed(5)
        )
    folder = tmp_path_factory.mktemp("models") / "guided"
    model.save(folder)
    return folder


def test_it_begins_as_what_it_was(stride4_folder: Path, model: DiffusionModel):
    image, options = photo(64, 96), PredictOptions(resolution=0)
    wanted = DiffusionPredictor(load_diffusion(stride4_folder, device=CPU, dtype=FULL), "plain")(image, options).value
    torch.testing.assert_close(DiffusionPredictor(model, "guided")(image, options).value, wanted, atol=1e-5, rtol=0)


def test_the_map_lies_on_the_latents_cells(model: DiffusionModel):
    guide = model.guide
    assert guide is not None
    image = photo(64, 96) * 2 - 1
    seen = model.condition(image)
    assert tuple(seen.shape) == (1, model.seen_channels, 16, 24) == (1, 20, 16, 24)
    torch.testing.assert_close(seen[:, :4], model.encode(image))
    torch.testing.assert_close(seen[:, 4:], guide(image))
    # a photo that 32 doesn't divide is continued, not shrunk: the same cells, beside others at its edge
    part = guide(image[..., :44, :60])
    assert tuple(part.shape) == (1, 16, 11, 15)
    with torch.no_grad():
        whole = guide.student.fused((image + 1) / 2, 4)
    torch.testing.assert_close(4 * guide(image), whole)


def test_a_guide_is_kept_with_the_model_and_makes_a_difference(kept: Path, stride4_folder: Path, student_folder: Path):
    assert sorted(path.name for path in (kept / "guide").iterdir()) == ["config.json", "model.safetensors"]
    assert (kept / "guide" / "model.safetensors").read_bytes() == (student_folder / "model.safetensors").read_bytes()
    image = photo(60, 90)
    found = load(f"dir:{kept}", device="cpu", dtype="float32")(image).value
    assert not torch.allclose(
        found, load(f"dir:{stride4_folder}", device="cpu", dtype="float32")(image).value, atol=1e-3
    )
    again = load_diffusion(kept, device=CPU, dtype=FULL)
    # the quick forms that ``load`` takes and the plain networks
    torch.testing.assert_close(DiffusionPredictor(again, "again")(image).value, found, atol=1e-5, rtol=0)
    again.save(kept)  # over itself
    torch.testing.assert_close(load(f"dir:{kept}", device="cpu", dtype="float32")(image).value, found, atol=0, rtol=0)


def test_a_student_of_the_package_is_named_instead_of_copied(stride4_folder: Path, tmp_path: Path):
    guide = load_guide(BUILTIN / "tiny-student", 8)
    said = guide.save(tmp_path)
    assert said["guide"] == "builtin:tiny-student"
    assert not any(tmp_path.iterdir())
    named = under_guide(load_diffusion(stride4_folder, device=CPU, dtype=FULL), "builtin:tiny-student")
    named.save(tmp_path)
    facts = json.loads((tmp_path / "latentdepth.json").read_text())
    assert {key: facts[key] for key in said} == said
    again = load_diffusion(tmp_path, device=CPU, dtype=FULL)
    image = photo(64, 64) * 2 - 1
    assert torch.equal(again.condition(image), named.condition(image))
    (tmp_path / "latentdepth.json").write_text(json.dumps(facts | {"guide_sha256": "0" * 64}))
    with pytest.raises(ValueError, match=r"trained beside another builtin:tiny-student than this release has"):
        load_diffusion(tmp_path, device=CPU, dtype=FULL)


def test_members_and_steps_see_the_guide_once_each(kept: Path):
    predictor, calls = load(f"dir:{kept}", device="cpu", dtype="float32"), 0
    assert isinstance(predictor, DiffusionPredictor)
    guide = predictor.model.guide
    assert guide is not None

    def count(module: Guide, given: object, made: object) -> None:
        nonlocal calls
        calls += 1

    guide.register_forward_hook(count)
    said = predictor(photo(64, 64), PredictOptions(steps=3, members=4))
    assert said.uncertainty is not None
    assert calls == 1


def test_tiles_are_denoised_jointly(kept: Path):
    predictor, image = load(f"dir:{kept}", device="cpu", dtype="float32"), photo(64, 96)
    options = PredictOptions(resolution=0, steps=2)
    whole = predictor(image, options).value
    one = predict_tiled(predictor, image, options, tiles=TileOptions(tiles="latent", tile_size=96)).value
    torch.testing.assert_close(one, whole, atol=1e-5, rtol=0)
    several = predict_tiled(
        predictor, image, options, tiles=TileOptions(tiles="latent", tile_size=64, tile_overlap=0.5)
    )
    assert several.value.shape == whole.shape


@pytest.fixture(scope="module")
def exported(kept: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    pytest.importorskip("openvino")
    from PIL import Image

    place = tmp_path_factory.mktemp("exported")
    folder = Path(shutil.copytree(kept, place / "guided"))
    picture = (photo(64, 96)[0].permute(1, 2, 0) * 255).byte().numpy()
    Image.fromarray(picture).save(place / "photo.png")
    export_model(folder, "openvino", name="guided", photos=[place / "photo.png"], sizes=[(96, 64)])
    return folder


def test_it_runs_on_another_engine(exported: Path):
    folder = exported
    options = PredictOptions(resolution=96)
    wanted = load(f"dir:{folder}", dtype="float32")(photo(64, 96), options).value
    found = load(f"dir:{folder}", dtype="float32", runtime="openvino")(photo(64, 96), options).value
    torch.testing.assert_close(found, wanted, atol=1e-4, rtol=0)


def test_on_another_engine_its_weights_wait_for_a_small_autoencoder(exported: Path):
    here = load_exported(exported, "openvino", dtype="float32", name="guided")
    there = load_diffusion(exported, device=CPU, dtype=FULL)
    assert isinstance(here, ExportedDiffusion)
    assert here.guide is None
    assert (here.sides_px, here.seen_channels) == (there.sides_px, there.seen_channels)
    vae = new_small_vae(there.latent_channels, stride=there.stride, width=4, deep_blocks=1)
    images = photo(64, 96) * 2 - 1
    with torch.inference_mode():
        found, wanted = here.with_vae(vae).condition(images), there.with_vae(vae).condition(images)
    torch.testing.assert_close(found, wanted, atol=1e-5, rtol=1e-4)  # both by torch, on other layouts in memory
    assert here.guide is None


def test_what_does_not_fit_is_said(
    kept: Path, stride4_folder: Path, student_folder: Path, tmp_path: Path, tiny_folder: Path
):
    folder = Path(shutil.copytree(kept, tmp_path / "guided"))
    facts = json.loads((folder / "latentdepth.json").read_text())
    (folder / "latentdepth.json").write_text(json.dumps(facts | {"guide": None}))
    with pytest.raises(ValueError, match=r"in_channels is 24; allowed are 8 .* where latentdepth.json names a guide"):
        load_diffusion(folder, device=CPU, dtype=FULL)
    (folder / "latentdepth.json").write_text(json.dumps(facts | {"guide": "elsewhere"}))
    with pytest.raises(ValueError, match=r"elsewhere has no config.json"):
        load_diffusion(folder, device=CPU, dtype=FULL)
    Student(StudentFacts(width=24)).save(folder / "guide")
    (folder / "latentdepth.json").write_text(json.dumps(facts))
    with pytest.raises(ValueError, match=r"in_channels is 24; with the guide guide 32 are needed"):
        load_diffusion(folder, device=CPU, dtype=FULL)
    with pytest.raises(ValueError, match=r"the autoencoder's stride is 2; a guide has maps at strides of 4, 8, 16, 32"):
        under_guide(load_diffusion(tiny_folder, device=CPU, dtype=FULL), f"dir:{student_folder}")
    with pytest.raises(ValueError, match=r"base.guide is dir:.*: the base model has a guide already"):
        under_guide(load_diffusion(kept, device=CPU, dtype=FULL), f"dir:{student_folder}")
