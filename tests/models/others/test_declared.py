"""What a folder of another family outputs follows from its own words, or it is refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from latentdepth.core.types import AFFINE_DISPARITY, METRIC_DEPTH, NORMALS, Invariance, Kind, Quantity
from latentdepth.models.others.declared import architecture, modality_of, output_kind, read_config


@pytest.mark.parametrize(
    ("name", "config", "kind"),
    [
        ("DPTForDepthEstimation", {}, AFFINE_DISPARITY),
        ("DPTForDepthEstimation", {"is_hybrid": True}, AFFINE_DISPARITY),
        ("DPTForDepthEstimation", {"add_projection": True}, METRIC_DEPTH),
        ("DepthAnythingForDepthEstimation", {}, AFFINE_DISPARITY),
        ("DepthAnythingForDepthEstimation", {"depth_estimation_type": "relative"}, AFFINE_DISPARITY),
        ("DepthAnythingForDepthEstimation", {"depth_estimation_type": "metric"}, METRIC_DEPTH),
        ("ZoeDepthForDepthEstimation", {}, METRIC_DEPTH),
        ("DepthProForDepthEstimation", {}, METRIC_DEPTH),
        ("GLPNForDepthEstimation", {}, METRIC_DEPTH),
        ("SomethingNewForDepthEstimation", {"depth_estimation_type": "metric"}, METRIC_DEPTH),
    ],
)
def test_published_outputs(tmp_path: Path, name: str, config: dict[str, Any], kind: Kind):
    assert output_kind(tmp_path, config, name) == kind


def test_the_folder_has_the_last_word(tmp_path: Path):
    (tmp_path / "latentdepth.json").write_text('{"quantity": "log_depth", "invariance": "scale"}')
    expected = Kind(Quantity.LOG_DEPTH, Invariance.SCALE)
    assert output_kind(tmp_path, {}, "DPTForDepthEstimation") == expected
    assert output_kind(tmp_path, {}, "SomethingNewForDepthEstimation") == expected


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ('{"quantity": "height", "invariance": "metric"}', r"quantity is 'height'.*'depth'"),
        ('{"quantity": "depth"}', "invariance is missing"),
        ('{"quantity": "normals", "invariance": "metric"}', "one value a pixel"),
        ("[1, 2", "latentdepth.json: "),
    ],
)
def test_a_wrong_statement_names_its_file(tmp_path: Path, text: str, complaint: str):
    (tmp_path / "latentdepth.json").write_text(text)
    with pytest.raises(ValueError, match=complaint):
        output_kind(tmp_path, {}, "DPTForDepthEstimation")


def test_silence_is_refused_with_the_list(tmp_path: Path):
    with pytest.raises(ValueError, match=r"(?s)not known.*ZoeDepthForDepthEstimation.*latentdepth\.json"):
        output_kind(tmp_path, {}, "CHMv2ForDepthEstimation")
    with pytest.raises(ValueError, match="not known"):
        output_kind(tmp_path, {"depth_estimation_type": "heights"}, "DepthAnythingForDepthEstimation")
    with pytest.raises(ValueError, match="prompt"):
        output_kind(tmp_path, {"depth_estimation_type": "metric"}, "PromptDepthAnythingForDepthEstimation")


def test_architecture(tmp_path: Path):
    assert architecture(tmp_path, {"architectures": ["DPTForDepthEstimation"]}) == "DPTForDepthEstimation"
    for wrong in ({}, {"architectures": []}, {"architectures": ["A", "B"]}, {"architectures": "A"}):
        with pytest.raises(ValueError, match="architectures is"):
            architecture(tmp_path, wrong)


def test_config_that_cannot_be_read(tmp_path: Path):
    with pytest.raises(ValueError, match=r"has no config\.json"):
        read_config(tmp_path)
    (tmp_path / "config.json").write_text("{")
    with pytest.raises(ValueError, match="not JSON"):
        read_config(tmp_path)
    (tmp_path / "config.json").write_text(json.dumps([1]))
    with pytest.raises(ValueError, match="wanted is a table"):
        read_config(tmp_path)


def test_modality_keeps_metres():
    metres = torch.rand(1, 2, 1, 3, 4) * 50
    modality = modality_of(METRIC_DEPTH)
    value, _ = modality.merge(metres)
    torch.testing.assert_close(value, metres.mean(1))  # two members: the median is their middle
    assert torch.equal(modality.finish(metres[:, 0]), metres[:, 0])
    picture = modality.to_latent_image(metres[:, 0])
    torch.testing.assert_close(modality.from_decoded(picture), metres[:, 0])


@pytest.mark.parametrize("kind", [AFFINE_DISPARITY, METRIC_DEPTH, NORMALS, Kind(Quantity.DEPTH, Invariance.SCALE)])
def test_modality_has_the_kind(kind: Kind):
    assert modality_of(kind).kind == kind
