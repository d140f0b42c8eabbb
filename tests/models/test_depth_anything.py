"""Depth Anything through transformers: the published constants, parity, its folders, starting from DINOv2."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import (
    AutoImageProcessor,
    AutoModelForDepthEstimation,
    DepthAnythingForDepthEstimation,
    Dinov2Config,
    Dinov2Model,
)

from latentdepth.core.types import AFFINE_DISPARITY, METRIC_DEPTH
from latentdepth.models.depth_anything import (
    FORMS,
    DepthAnything,
    Form,
    configuration,
    is_depth_anything,
    load_depth_anything,
    new_depth_anything,
)
from latentdepth.models.others.load import load_other

TINY = Form(16, 4, 2, (1, 2, 3, 4), (4, 8, 12, 16), 8, grid_px=56, head=4)
GIANT_LIKE = Form(16, 4, 2, (1, 2, 3, 4), (4, 8, 12, 16), 8, grid_px=56, head=4, swiglu=True)


def network(form: Form = TINY, max_depth_m: float | None = None) -> DepthAnything:
    torch.manual_seed(0)
    made = new_depth_anything(form, max_depth_m=max_depth_m).eval()
    with torch.no_grad():  # transformers starts at 0.02, where bfloat16-sized differences would not show
        for parameter in made.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
        made.model.head.conv3.weight.abs_()  # or the last ReLUs may cut everything off
        for layer, level in ((made.model.head.conv2, 0.5), (made.model.head.conv3, 0.1)):
            assert layer.bias is not None
            layer.bias.fill_(level)
    return made


@pytest.mark.parametrize(
    ("size", "millions"),
    # the paper's and the repository's figures, rounded there; 1.3 billion for the giant
    [("small", 24.8), ("base", 97.5), ("large", 335.3), ("giant", 1300.0)],
)
def test_the_published_sizes(size: Any, millions: float):
    with torch.device("meta"):
        model = DepthAnythingForDepthEstimation(configuration(FORMS[size]))
    count = sum(p.numel() for p in model.parameters()) / 1e6
    assert count == pytest.approx(millions, abs=50 if size == "giant" else 0.1)


def test_the_published_constants():
    assert [FORMS[s].taps for s in ("small", "large", "giant")] == [(3, 6, 9, 12), (5, 12, 18, 24), (10, 20, 30, 40)]
    config: Any = configuration(FORMS["base"])
    encoder = config.backbone_config
    assert (encoder.image_size, encoder.patch_size, encoder.layer_norm_eps, encoder.qkv_bias) == (518, 14, 1e-6, True)
    assert (encoder.apply_layernorm, encoder.reshape_hidden_states, encoder.layerscale_value) == (True, False, 1.0)
    assert (list(config.reassemble_factors), config.head_hidden_size) == ([4, 2, 1, 0.5], 32)
    assert (config.depth_estimation_type, config.max_depth) == ("relative", 1)


@pytest.mark.parametrize("form", [TINY, GIANT_LIKE])
@pytest.mark.parametrize("max_depth_m", [None, 20.0])
def test_our_forward_pass_is_that_of_transformers(form: Form, max_depth_m: float | None):
    made, image = network(form, max_depth_m), torch.rand(2, 3, 42, 56)
    with torch.no_grad():
        seen = made(image)
        mean, spread = (torch.tensor(v)[:, None, None] for v in ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)))
        wanted = made.model(pixel_values=(image - mean) / spread).predicted_depth
        torch.testing.assert_close(seen.value[:, 0], wanted, atol=0, rtol=0)
        torch.testing.assert_close(made.features(image), seen.features, atol=0, rtol=0)
    assert seen.features.shape == (2, 16, 3, 4)
    assert float(seen.value.std()) > 0
    assert made.kind == (AFFINE_DISPARITY if max_depth_m is None else METRIC_DEPTH)
    if max_depth_m is not None:
        assert bool(((seen.value >= 0) & (seen.value <= max_depth_m)).all())


def test_features_lie_where_their_patches_do():
    """A change in one patch of the photo moves that patch's feature most."""
    made, image = network(), torch.zeros(1, 3, 42, 56)
    changed = image.clone()
    changed[..., 14:28, 42:56] = 1.0
    with torch.no_grad():
        moved = (made.features(changed) - made.features(image)).norm(dim=1)[0]
    assert divmod(int(moved.argmax()), moved.shape[1]) == (1, 3)


@pytest.mark.parametrize("max_depth_m", [None, 80.0])
def test_a_saved_folder_loads_here_in_transformers_and_among_the_others(tmp_path: Path, max_depth_m: float | None):
    made, image = network(max_depth_m=max_depth_m), torch.rand(1, 3, 42, 56)
    made.save(tmp_path)
    assert is_depth_anything(tmp_path)
    theirs = AutoModelForDepthEstimation.from_pretrained(tmp_path, local_files_only=True)
    other = load_other(tmp_path, device=torch.device("cpu"), dtype=torch.float32, name="x")
    with torch.no_grad():
        wanted = made(image).value
        torch.testing.assert_close(load_depth_anything(tmp_path)(image).value, wanted, atol=0, rtol=0)
        torch.testing.assert_close(
            theirs(pixel_values=(image - made.mean) / made.spread).predicted_depth, wanted[:, 0], atol=0, rtol=0
        )
    assert other.modality.kind == made.kind
    assert load_depth_anything(tmp_path).max_depth_m == max_depth_m


def test_a_saved_folder_has_the_published_processor(tmp_path: Path):
    network().save(tmp_path)
    processor: Any = AutoImageProcessor.from_pretrained(tmp_path, backend="pil", local_files_only=True)
    seen = processor(torch.rand(3, 480, 640).numpy(), do_rescale=False, return_tensors="pt")["pixel_values"]
    # the shorter side 518, 690.7 rounded to a multiple of 14
    assert tuple(seen.shape) == (1, 3, 518, 686)


def test_weights_without_a_part_in_the_output_are_frozen():
    made = network()
    made(torch.rand(1, 3, 28, 28)).value.sum().backward()
    assert all((p.grad is not None) == p.requires_grad for p in made.parameters())


def test_the_same_form_afresh():
    made, image = network(), torch.rand(1, 3, 28, 28)
    metric = made.fresh(20.0)
    assert (metric.max_depth_m, made.max_depth_m) == (20.0, None)
    metric.load_state_dict(made.state_dict())
    with torch.no_grad():
        # ReLU against twenty times the sigmoid of the same number
        relative, metres = made(image).value, metric.eval()(image).value
        raised = relative[relative > 0]
        torch.testing.assert_close(metres[relative > 0], 20 * torch.sigmoid(raised))


def test_the_encoder_starts_from_dinov2(tmp_path: Path):
    torch.manual_seed(5)
    config = Dinov2Config(
        hidden_size=16, num_hidden_layers=4, num_attention_heads=2, image_size=56, patch_size=14, use_swiglu_ffn=True
    )
    dino = Dinov2Model(config).eval()
    dino.save_pretrained(tmp_path)
    made, image = new_depth_anything(GIANT_LIKE, encoder=tmp_path).eval(), torch.rand(1, 3, 56, 56)
    with torch.no_grad():
        wanted: Any = dino(pixel_values=(image - made.mean) / made.spread).last_hidden_state
        # the last tap is the last block, after the final norm
        torch.testing.assert_close(made.features(image).flatten(2).transpose(1, 2), wanted[:, 1:])


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"model_type": "dinov2_with_registers"}, "without registers"),
        ({"hidden_size": 384}, "hidden_size is 384; this network needs 16"),
        ({"use_swiglu_ffn": True}, "use_swiglu_ffn is True"),
    ],
)
def test_an_encoder_of_another_form_is_refused(tmp_path: Path, change: dict[str, object], said: str):
    config = {"model_type": "dinov2", "hidden_size": 16, "num_hidden_layers": 4, "image_size": 56} | change
    (tmp_path / "config.json").write_text(json.dumps(config))
    with pytest.raises(ValueError, match=said):
        new_depth_anything(TINY, encoder=tmp_path)


def test_damaged_folders_are_refused(tmp_path: Path):
    with pytest.raises(ValueError, match=r"config\.json: can't be read"):
        new_depth_anything(TINY, encoder=tmp_path)
    network().save(tmp_path)
    weights = load_file(tmp_path / "model.safetensors")
    save_file(weights | {"head.conv3.bias": torch.tensor([math.nan])}, tmp_path / "model.safetensors", {"format": "pt"})
    with pytest.raises(ValueError, match=r"head\.conv3\.bias holds NaN"):
        load_depth_anything(tmp_path)
    weights.pop("head.conv3.bias")
    save_file(weights, tmp_path / "model.safetensors", {"format": "pt"})
    with pytest.raises(ValueError, match=r"1 weights of .* are missing: head\.conv3\.bias"):
        load_depth_anything(tmp_path)
    (tmp_path / "model.safetensors").rename(tmp_path / "pytorch_model.bin")
    with pytest.raises(ValueError, match="holds no safetensors"):
        load_depth_anything(tmp_path)


def test_metres_are_whole():
    with pytest.raises(ValueError, match=r"max_depth_m is 0\.5"):
        configuration(TINY, max_depth_m=0.5)
