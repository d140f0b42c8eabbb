"""The student's network and folder: sizes, the convex upsampling by its definition, round trips, bad folders."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from latentdepth.core.types import AFFINE_DISPARITY, METRIC_DEPTH
from latentdepth.models.student import Student, StudentFacts, convex_doubled, folded, is_student, load_student

FACTS = StudentFacts(width=16, resolution=64)


def trained(facts: StudentFacts = FACTS) -> Student:
    """A student whose norms have seen something, so that their statistics matter."""
    torch.manual_seed(0)
    network = Student(facts)
    with torch.no_grad():
        for _ in range(3):
            network(torch.rand(2, 3, 64, 64))
    return network.eval()


@pytest.fixture(scope="module")
def student() -> Student:
    return trained()


@pytest.mark.parametrize("size", [(32, 32), (64, 96), (45, 71)])
def test_disparity_of_the_photos_size_and_at_least_0(student: Student, size: tuple[int, int]):
    with torch.no_grad():
        value, features = student(torch.rand(2, 3, *size))
    assert value.shape == (2, 1, *size)
    assert value.dtype == torch.float32
    assert bool((value >= 0).all())
    assert features.shape == (2, 320, -(-size[0] // 32), -(-size[1] // 32))
    assert student.kind == AFFINE_DISPARITY


def test_a_metric_student_stays_within_its_metres():
    network = trained(StudentFacts(width=16, max_depth_m=20.0))
    with torch.no_grad():
        value = network(torch.rand(1, 3, 64, 64)).value
    assert bool(((value > 0) & (value < 20)).all())
    assert network.kind == METRIC_DEPTH


def test_the_features_are_those_of_the_forward_pass(student: Student):
    image = torch.rand(1, 3, 64, 64)
    with torch.no_grad():
        torch.testing.assert_close(student.features(image), student(image).features, atol=0, rtol=0)


def test_convex_upsampling_is_what_its_definition_says():
    torch.manual_seed(1)
    value, logits = torch.rand(1, 1, 4, 5).double(), torch.randn(1, 36, 4, 5).double()
    found = convex_doubled(value, logits)
    wanted = torch.zeros(8, 10).double()
    for row in range(8):
        for column in range(10):
            r, c = row // 2, column // 2
            sub = (row % 2) * 2 + column % 2
            weights = logits[0, sub * 9 : sub * 9 + 9, r, c].exp()
            around = [
                value[0, 0, min(max(r + dr, 0), 3), min(max(c + dc, 0), 4)] for dr in (-1, 0, 1) for dc in (-1, 0, 1)
            ]
            wanted[row, column] = (weights * torch.stack(around)).sum() / weights.sum()
    torch.testing.assert_close(found[0, 0], wanted)


def test_convex_upsampling_never_leaves_the_range_of_its_neighbours():
    value = torch.rand(1, 1, 6, 6)
    fine = convex_doubled(value, 10 * torch.randn(1, 36, 6, 6))
    assert float(fine.min()) >= float(value.min()) - 1e-6  # float32 sums of nine weights
    assert float(fine.max()) <= float(value.max()) + 1e-6


def test_folding_the_norms_changes_nothing_but_the_layers(student: Student):
    image = torch.rand(1, 3, 64, 96)
    quick = folded(student)
    assert not any(isinstance(m, torch.nn.BatchNorm2d) for m in quick.modules())
    assert any(isinstance(m, torch.nn.BatchNorm2d) for m in student.modules())
    with torch.no_grad():
        # float32 rounding through about sixty layers
        torch.testing.assert_close(quick(image).value, student(image).value, atol=1e-4, rtol=1e-4)


def test_saved_and_loaded_is_the_same_to_the_bit(student: Student, tmp_path: Path):
    student.save(tmp_path)
    loaded, image = load_student(tmp_path), torch.rand(1, 3, 64, 64)
    assert is_student(tmp_path)
    assert loaded.facts == FACTS
    with torch.no_grad():
        torch.testing.assert_close(loaded(image).value, student(image).value, atol=0, rtol=0)


def test_half_precision_is_for_convolutions_alone(student: Student, tmp_path: Path):
    student.save(tmp_path, dtype=torch.float16)
    stored = load_file(tmp_path / "model.safetensors")
    assert {t.dtype for t in stored.values() if t.ndim == 4} == {torch.float16}
    assert torch.float16 not in {t.dtype for t in stored.values() if t.ndim < 4}
    with torch.no_grad():
        image = torch.rand(1, 3, 64, 64)
        wanted = student(image).value
        # 11 bits of mantissa, through about sixty layers
        torch.testing.assert_close(load_student(tmp_path)(image).value, wanted, atol=0.02 * float(wanted.max()), rtol=0)


def test_the_same_form_afresh(student: Student):
    other = student.fresh(10.0)
    assert other.max_depth_m == 10.0
    assert {k: v.shape for k, v in other.state_dict().items()} == {k: v.shape for k, v in student.state_dict().items()}


def change(folder: Path, name: str, tensor: Tensor | None) -> None:
    weights = load_file(folder / "model.safetensors")
    weights.pop(name)
    save_file(weights if tensor is None else weights | {name: tensor}, folder / "model.safetensors")


@pytest.mark.parametrize(
    ("name", "tensor", "said"),
    [
        ("value.bias", None, "value.bias is missing"),
        ("value.bias", torch.tensor([float("nan")]), "value.bias holds NaN or infinity"),
        ("encoder.stem.0.weight", torch.zeros(32, 4, 3, 3), r"shape \(32, 4, 3, 3\), needed is \(32, 3, 3, 3\)"),
    ],
)
def test_weights_that_do_not_fit_are_named(student: Student, tmp_path: Path, name: str, tensor: Tensor, said: str):
    student.save(tmp_path)
    change(tmp_path, name, tensor)
    with pytest.raises(ValueError, match=f"model.safetensors.*{said}"):
        load_student(tmp_path)


def test_a_folder_of_something_else(student: Student, tmp_path: Path):
    with pytest.raises(ValueError, match=r"no config\.json"):
        load_student(tmp_path)
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "dpt"}))
    assert not is_student(tmp_path)
    with pytest.raises(ValueError, match="model_type"):
        load_student(tmp_path)
    (tmp_path / "config.json").write_text("{")
    assert not is_student(tmp_path)
    student.save(tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps(config | {"encoder": "lite9"}))
    with pytest.raises(ValueError, match=r"config\.json: encoder.*lite9"):
        load_student(tmp_path)
    student.save(tmp_path)
    (tmp_path / "model.safetensors").write_bytes(b"\0" * 20)
    with pytest.raises(ValueError, match="can't be read as safetensors"):
        load_student(tmp_path)


@pytest.mark.parametrize(
    "facts",
    [{"width": 7}, {"resolution": 8}, {"max_depth_m": -1.0}, {"architecture": "another"}],
)
def test_facts_out_of_range_are_refused(facts: dict[str, object]):
    with pytest.raises(ValueError, match=next(iter(facts))):
        StudentFacts(**facts)  # pyright: ignore[reportArgumentType]
