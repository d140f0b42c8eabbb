"""Weights as eight-bit integers: how far off they may be, what is left alone, and files that lack their scales."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from latentdepth.models.packed import packed, unpacked
from latentdepth.models.student import Student, StudentFacts, load_student


@pytest.mark.parametrize("shape", [(48, 96), (32, 16, 3, 3), (1, 48, 96)])
def test_every_channel_is_rounded_by_its_own_largest_weight(shape: tuple[int, ...]):
    torch.manual_seed(0)
    channels = next(n for n in shape if n > 1)
    weights = {"w": (torch.randn(channels, 4608 // channels) * torch.logspace(-4, 2, channels)[:, None]).view(shape)}
    small = packed(weights)
    assert small["w"].dtype == torch.int8
    error = (unpacked(small)["w"] - weights["w"]).abs().view(channels, -1).amax(1)
    # half a step of 1/127 of the largest, and float32's own rounding
    assert bool((error <= weights["w"].abs().view(channels, -1).amax(1) / 254 * 1.001).all())


def test_a_channel_of_zeros_stays_one():
    weights = torch.randn(8, 1024)
    weights[3] = 0
    found = unpacked(packed({"w": weights}))["w"]
    assert bool((found[3] == 0).all())
    assert bool(torch.isfinite(found).all())


def test_norms_tokens_and_small_kernels_are_left_alone():
    weights = {
        "norm": torch.randn(8192),
        "count": torch.tensor(7),
        "token": torch.randn(1, 1, 384),
        "kernel": torch.randn(1, 32, 3, 3),
    }
    found = packed(weights)
    assert {name: one.dtype for name, one in found.items()} == {name: one.dtype for name, one in weights.items()}
    assert all(unpacked(found)[name] is found[name] for name in weights)


def test_a_packed_student_answers_nearly_the_same_from_a_quarter_of_the_bytes(tmp_path: Path):
    torch.manual_seed(0)
    network = Student(StudentFacts(encoder="vits", width=16)).eval()
    network.save(tmp_path / "whole")
    network.save(tmp_path / "small", dtype=torch.int8)
    sizes = [(tmp_path / name / "model.safetensors").stat().st_size for name in ("small", "whole")]
    assert sizes[0] < 0.28 * sizes[1]
    image = torch.rand(1, 3, 64, 64)
    with torch.no_grad():
        wanted, found = network(image).value, load_student(tmp_path / "small")(image).value
    # 1/254 of a channel's largest weight in each of some sixty layers in a row
    torch.testing.assert_close(found, wanted, atol=0.1 * float(wanted.std()), rtol=0)


@pytest.mark.parametrize("scale", [None, torch.ones(64), torch.ones(32, 1)])
def test_scales_that_are_missing_or_misfit_are_named(tmp_path: Path, scale: torch.Tensor | None):
    name = "encoder.transformer.encoder.layer.0.attention.q_proj.weight"
    Student(StudentFacts(encoder="vits", width=16)).save(tmp_path, dtype=torch.int8)
    path = tmp_path / "model.safetensors"
    weights = load_file(path)
    del weights[name + ".scale"]
    save_file(weights | ({} if scale is None else {name + ".scale": scale}), path)
    with pytest.raises(ValueError, match=r"model.safetensors: .*q_proj.weight is packed as int8 and its scales .* are"):
        load_student(tmp_path)
