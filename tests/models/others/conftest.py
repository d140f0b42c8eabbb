"""Tiny networks of other people's families with random weights, in folders as transformers writes them."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

_DINO: dict[str, Any] = {
    "model_type": "dinov2",
    "hidden_size": 16,
    "num_hidden_layers": 4,
    "num_attention_heads": 2,
    "image_size": 28,
    "patch_size": 14,
    "out_indices": [1, 2, 3, 4],
    "reshape_hidden_states": False,
}
_VIT: dict[str, Any] = {
    "hidden_size": 16,
    "num_hidden_layers": 4,
    "num_attention_heads": 2,
    "intermediate_size": 32,
    "image_size": 32,
    "patch_size": 16,
    "backbone_out_indices": [0, 1, 2, 3],
}
_BIT: dict[str, Any] = {
    "model_type": "bit",
    "global_padding": "same",
    "layer_type": "bottleneck",
    "depths": [1, 1, 1],
    "hidden_sizes": [8, 8, 16],
    "embedding_size": 8,
    "num_groups": 2,
    "out_features": ["stage1", "stage2", "stage3"],
    "embedding_dynamic_padding": True,
}
_BEIT: dict[str, Any] = {
    "model_type": "beit",
    "image_size": 32,
    "patch_size": 16,
    "num_hidden_layers": 4,
    "hidden_size": 16,
    "intermediate_size": 32,
    "num_attention_heads": 2,
    "use_relative_position_bias": True,
    "reshape_hidden_states": False,
    "out_features": ["stage1", "stage2", "stage3", "stage4"],
}
_PATCH_VIT: dict[str, Any] = {
    "model_type": "dinov2",
    "num_hidden_layers": 2,
    "hidden_size": 16,
    "num_attention_heads": 2,
    "patch_size": 4,
    "image_size": 16,
}
_NARROW: dict[str, Any] = {"neck_hidden_sizes": [8, 8, 8, 8], "fusion_hidden_size": 8}
_WIDE_HEAD: dict[str, Any] = {**_NARROW, "fusion_hidden_size": 256}  # the projection of the DINOv2 head has 256 fixed
_ZOE_BINS: dict[str, Any] = {
    "bottleneck_features": 8,
    "num_attractors": [4, 2, 2, 1],
    "bin_embedding_dim": 8,
    "num_relative_features": 4,
    "bin_configurations": [{"n_bins": 8, "min_depth": 0.001, "max_depth": 10.0}],
}
_ANYTHING: dict[str, Any] = {"backbone_config": _DINO, "reassemble_hidden_size": 16, "head_hidden_size": 4}
_PRO: dict[str, Any] = {
    "patch_size": 16,
    "fusion_hidden_size": 16,
    "intermediate_hook_ids": [1, 0],
    "intermediate_feature_dims": [8, 8],
    "scaled_images_ratios": [0.5, 1.0],
    "scaled_images_overlap_ratios": [0.0, 0.2],
    "scaled_images_feature_dims": [12, 12],
    "num_fov_head_layers": 0,
    "image_model_config": _PATCH_VIT,
    "patch_model_config": _PATCH_VIT,
    "fov_model_config": _PATCH_VIT,
}
_CONFIGS: dict[str, tuple[str, dict[str, Any]]] = {
    "dpt": ("DPT", _VIT | _NARROW),
    "dpt_hybrid": (
        "DPT",
        _VIT | _NARROW | {"is_hybrid": True, "backbone_config": _BIT, "backbone_featmap_shape": [1, 16, 2, 2]},
    ),
    "dpt_dino": ("DPT", _WIDE_HEAD | {"backbone_config": _DINO, "add_projection": True, "hidden_size": 16}),
    "anything": ("DepthAnything", _ANYTHING | _NARROW),
    "anything_metric": ("DepthAnything", _ANYTHING | _NARROW | {"depth_estimation_type": "metric", "max_depth": 20}),
    "zoe": ("ZoeDepth", _NARROW | _ZOE_BINS | {"backbone_config": _BEIT}),
    "glpn": (
        "GLPN",
        {
            "hidden_sizes": [8, 8, 8, 8],
            "depths": [1, 1, 1, 1],
            "num_attention_heads": [1, 1, 1, 1],
            "decoder_hidden_size": 64,
        },
    ),
    "depth_pro": ("DepthPro", _PRO | {"use_fov_model": True}),
    "depth_pro_no_fov": ("DepthPro", _PRO | {"use_fov_model": False}),
}
_IMAGENET: dict[str, Any] = {"image_mean": [0.485, 0.456, 0.406], "image_std": [0.229, 0.224, 0.225], "resample": 3}
_HALF: dict[str, Any] = {"image_mean": [0.5, 0.5, 0.5], "image_std": [0.5, 0.5, 0.5]}
_PROCESSORS: dict[str, dict[str, Any]] = {
    "dpt": {"image_processor_type": "DPTImageProcessor", "size": {"height": 32, "width": 32}, "resample": 3, **_HALF},
    "dpt_dino": {
        "image_processor_type": "DPTImageProcessor",
        "do_resize": False,
        "do_pad": True,
        "size_divisor": 14,
        **_IMAGENET,
    },
    "anything": {
        "image_processor_type": "DPTImageProcessor",
        "size": {"height": 42, "width": 42},
        "keep_aspect_ratio": True,
        "ensure_multiple_of": 14,
        **_IMAGENET,
    },
    "zoe": {
        "image_processor_type": "ZoeDepthImageProcessor",
        "size": {"height": 32, "width": 64},
        "ensure_multiple_of": 32,
        "resample": 2,
        **_HALF,
    },
    "glpn": {"image_processor_type": "GLPNImageProcessor", "size_divisor": 32, "resample": 2},
    "depth_pro": {
        "image_processor_type": "DepthProImageProcessorFast",
        "size": {"height": 32, "width": 32},
        "resample": 2,
        **_HALF,
    },
}

WriteNetwork = Callable[[str], Path]


@pytest.fixture(scope="session")
def write_network(tmp_path_factory: pytest.TempPathFactory) -> WriteNetwork:
    """Name of a tiny network above -> its folder, written once a session."""
    written: dict[str, Path] = {}

    def write(name: str) -> Path:
        if name not in written:
            written[name] = tmp_path_factory.mktemp("others") / name
            _write(name, written[name])
        return written[name]

    return write


def _write(name: str, folder: Path) -> None:
    import transformers

    family, config = _CONFIGS[name]
    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = getattr(transformers, f"{family}ForDepthEstimation")(
            getattr(transformers, f"{family}Config")(**config)
        )
        with torch.no_grad():
            for parameter in network.parameters():  # as initialised, they answer nearly the same for every pixel
                parameter.add_(torch.randn_like(parameter) * (0.5 if name == "zoe" else 0.1))
            if name == "depth_pro":
                network.fov_model.head.layers[-1].bias.fill_(55)  # a field of view in degrees
    network.save_pretrained(folder)
    processor = _PROCESSORS.get(name) or next(v for k, v in _PROCESSORS.items() if name.startswith(k))
    (folder / "preprocessor_config.json").write_text(json.dumps(processor))


def photo(height: int, width: int, images: int = 1) -> Tensor:
    """Noise of 8-bit photos in [0, 1]."""
    draws = torch.Generator().manual_seed(height * 1000 + width)
    return torch.randint(0, 256, (images, 3, height, width), generator=draws) / 255


@pytest.fixture
def take_photo() -> Callable[..., Tensor]:
    """(height, width, images) -> noise of 8-bit photos in [0, 1]."""
    return photo
