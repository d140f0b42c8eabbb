"""The teacher's folder as a predictor: known by its tensors, loaded by its name, mirrored for a second member."""

from pathlib import Path

import pytest
import torch

from latentdepth import load
from latentdepth.models.feedforward import DepthPyramid
from latentdepth.models.student import Student, StudentFacts
from latentdepth.models.teacher import FramedPyramid, framed, is_teacher, load_teacher_network
from latentdepth.options import PredictOptions


@pytest.fixture
def pyramid() -> DepthPyramid:
    torch.manual_seed(0)
    pyramid = DepthPyramid(16).eval()
    with torch.no_grad():  # random features of an untrained network can all die in the last ReLU
        for parameter in pyramid.head.parameters():
            parameter.abs_()
    return pyramid


def test_a_folder_is_known_and_predicts(pyramid: DepthPyramid, tmp_path: Path):
    pyramid.save(tmp_path / "teacher")
    assert is_teacher(tmp_path / "teacher")
    image = torch.rand(1, 3, 70, 90, generator=torch.Generator().manual_seed(0))
    model = load(f"dir:{tmp_path / 'teacher'}", device="cpu", dtype="float32")
    assert str(model.modality.kind) == "affine-invariant disparity"
    assert model.describe()["default resolution"] == 288
    two = model(image, PredictOptions(resolution=96, members=2))
    mirrored = model(image.flip(-1), PredictOptions(resolution=96, members=2))
    torch.testing.assert_close(mirrored.value.flip(-1), two.value, atol=1e-4, rtol=0)
    assert two.value.shape == (1, 1, 70, 90)
    assert two.uncertainty is not None
    assert float(two.uncertainty.max()) > 0


def test_values_are_the_pyramid_s_but_for_the_rim(pyramid: DepthPyramid):
    network = FramedPyramid(pyramid)
    image = torch.rand(2, 3, 64, 96, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        seen, mended, bare = network(image), framed(pyramid, image), pyramid(image)
    torch.testing.assert_close(seen.value, mended - mended.amin((1, 2, 3), keepdim=True))
    assert seen.features.shape[-2:] == (2, 3)
    assert torch.equal(mended[..., 4:-4, 4:-4], bare[..., 4:-4, 4:-4])
    assert torch.equal(mended[..., :4, 10], bare[..., 4:5, 10].expand(-1, -1, 4))
    assert torch.equal(mended[..., 20, -4:], bare[..., 20, -5:-4].expand(-1, -1, 4))


def test_other_folders_are_not_taken_for_one(pyramid: DepthPyramid, tmp_path: Path):
    assert not is_teacher(tmp_path)
    Student(StudentFacts(width=8)).save(tmp_path / "student")
    assert not is_teacher(tmp_path / "student")
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken/model.safetensors").write_bytes(b"broken")
    assert not is_teacher(tmp_path / "broken")
    fresh = FramedPyramid(pyramid).fresh(None)
    assert fresh.pyramid.width == 16
    with pytest.raises(ValueError, match="metres are learnt by a student"):
        fresh.fresh(10.0)
    fresh.save(tmp_path / "again")
    assert load_teacher_network(tmp_path / "again").max_depth_m is None
