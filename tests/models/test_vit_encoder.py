"""DINOv2's small transformer as a student's encoder: the same features from patches of 16, maps that nest."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch.nn import functional as F
from transformers import Dinov2Config, Dinov2Model, PreTrainedModel

from latentdepth.models.student import Student, StudentFacts, load_student
from latentdepth.models.vit_encoder import VitEncoder, load_dinov2_small, new_transformer, resampled


def dino(folder: Path, **other: Any) -> Dinov2Model:
    form: dict[str, Any] = {"hidden_size": 384, "num_hidden_layers": 12, "num_attention_heads": 6}
    torch.manual_seed(3)
    form |= {"image_size": 518, "patch_size": 14} | other
    model = Dinov2Model(Dinov2Config(**form)).eval()
    with torch.no_grad():  # transformers draws at 0.02, where a wrong kernel would hardly show beside the positions
        model.embeddings.patch_embeddings.projection.weight.normal_(std=0.2)
    model.save_pretrained(folder)
    return model


def test_a_resampled_kernel_answers_to_the_stretched_patch_as_the_old_one_to_the_patch():
    torch.manual_seed(0)
    kernel, patch = torch.randn(5, 3, 14, 14), torch.randn(2, 3, 14, 14)
    stretched = F.interpolate(patch, (16, 16), mode="bilinear")
    # float32 products of 588 numbers of about 1
    torch.testing.assert_close(
        F.conv2d(stretched, resampled(kernel, 16)), F.conv2d(patch, kernel), atol=2e-4, rtol=1e-4
    )


def test_the_transformer_sees_in_a_stretched_photo_what_dinov2_sees_in_the_photo(tmp_path: Path):
    theirs, encoder = dino(tmp_path), VitEncoder().eval()
    load_dinov2_small(encoder.transformer, tmp_path)
    torch.manual_seed(1)
    photo = F.interpolate(torch.randn(1, 3, 6, 8), (56, 84), mode="bicubic")
    with torch.no_grad():
        wanted = theirs(photo, output_hidden_states=True).hidden_states
        found = encoder.transformer.forward_with_filtered_kwargs(
            F.interpolate(photo, (64, 96), mode="bilinear")
        ).feature_maps
    for block, one in zip((3, 6, 9, 12), found, strict=True):
        theirs_map = wanted[block][:, 1:].transpose(1, 2).unflatten(2, (4, 6))
        # stretching a photo mixes pixels of neighbouring patches at their borders
        assert F.cosine_similarity(one, theirs_map).min() > 0.98, block


def test_maps_have_the_strides_of_a_convolutional_encoder():
    maps = VitEncoder().eval().with_stem(torch.rand(1, 3, 64, 96))
    assert [tuple(one.shape[1:]) for one in maps] == [
        (32, 32, 48),
        (48, 16, 24),
        (96, 8, 12),
        (384, 4, 6),
        (384, 2, 3),
    ]


def test_a_folder_of_another_size_is_refused(tmp_path: Path):
    dino(tmp_path, num_hidden_layers=2)
    with pytest.raises(ValueError, match="num_hidden_layers is 2; this network needs 12"):
        load_dinov2_small(new_transformer(), tmp_path)


def test_a_student_on_it_learns_everywhere_and_is_saved(tmp_path: Path):
    torch.manual_seed(2)
    network = Student(StudentFacts(encoder="vits", width=16)).train()
    image = torch.rand(2, 3, 64, 64)
    network(image).value.std().backward()
    assert [name for name, p in network.named_parameters() if (p.grad is not None) != p.requires_grad] == []
    network.eval().save(tmp_path)
    with torch.no_grad():
        torch.testing.assert_close(load_student(tmp_path)(image).value, network(image).value)


def test_no_part_of_it_guesses_a_loss_when_it_is_traced():
    """Tracing reads every property; transformers' own would warn on the terminal of whoever exports a student."""
    parts = [part for part in new_transformer().modules() if isinstance(part, PreTrainedModel)]
    assert len(parts) > 0
    assert all(part.loss_function is None for part in parts)
