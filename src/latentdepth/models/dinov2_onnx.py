"""A DINOv2 encoder out of an ONNX file that torch exported from a transformers network. Knows no networks of depth.

Exported files keep the names of most weights; those of matrix products are transposed and named after nothing, but the
nodes that use them are named after their layers.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from latentdepth.whole import whole_folder

PREFIX = "backbone."
"""What the names of the encoder's weights open with."""
_HEAD_CHANNELS = 64  # of every published DINOv2


def read_onnx_dinov2(path: Path) -> dict[str, Tensor]:
    """The encoder's weights by transformers' names, float32. ValueError for a file without a whole DINOv2."""
    try:
        import onnx
        from onnx import numpy_helper
    except ImportError as error:
        raise ValueError('reading ONNX needs a library: pip install "latentdepth[onnx]"') from error
    try:
        graph = onnx.load(str(path)).graph
    except Exception as error:  # protobuf's errors have no common class of ours
        raise ValueError(f"{path}: can't be read as ONNX ({error}); copy or download it again") from error
    given: dict[str, Any] = {one.name: one for one in graph.initializer}

    def tensor(name: str) -> Tensor:
        return torch.from_numpy(numpy_helper.to_array(given[name]).copy()).float()

    weights = {name.removeprefix(PREFIX): tensor(name) for name in given if name.startswith(PREFIX)}
    for node in graph.node:
        layer = node.name.strip("/").replace("/", ".")
        if node.op_type == "MatMul" and layer.startswith(PREFIX):
            weight = layer.removeprefix(PREFIX).removesuffix(".MatMul") + ".weight"
            for name in given.keys() & node.input:
                weights[weight] = tensor(name).T.contiguous()
    if "embeddings.cls_token" not in weights or "layernorm.weight" not in weights:
        raise ValueError(f"{path} holds no DINOv2 under the name {PREFIX.rstrip('.')!r}")
    if "embeddings.position_embeddings" not in weights:
        # split by the exporter into that of the class and those of the grid, the only ones of three axes with its width
        width = weights["embeddings.cls_token"].shape[-1]
        free = [name for name in given if "." not in name and tuple(given[name].dims[::2]) == (1, width)]
        parts = sorted((tensor(name) for name in free if len(given[name].dims) == 3), key=lambda one: one.shape[1])
        if [one.shape[1] == 1 for one in parts] != [True, False]:
            raise ValueError(f"{path} holds no position embeddings that could be told from its other constants")
        weights["embeddings.position_embeddings"] = torch.cat(parts, dim=1)
    weights.setdefault("embeddings.mask_token", torch.zeros(1, weights["embeddings.cls_token"].shape[-1]))
    return weights


def _holds(folder: Path, weights: dict[str, Tensor]) -> bool:
    try:
        there = load_file(folder / "model.safetensors")
    except (OSError, SafetensorError):
        return False
    return there.keys() == weights.keys() and all(torch.equal(there[name], weights[name]) for name in weights)


def write_dinov2(weights: dict[str, Tensor], folder: Path) -> None:
    """A transformers folder of DINOv2, whole or not at all; the sizes are read off the weights.

    One that is there already stays. Raises ValueError where the folder holds anything else.
    """
    if folder.exists() and any(folder.iterdir()):
        if not _holds(folder, weights):
            raise ValueError(f"{folder} holds something else; name another folder, or delete this one")
        return
    width, _, _, patch = weights["embeddings.patch_embeddings.projection.weight"].shape
    grid = round((weights["embeddings.position_embeddings"].shape[1] - 1) ** 0.5)
    blocks = {name.split(".")[2] for name in weights if name.startswith("encoder.layer.")}
    config = {
        "model_type": "dinov2",
        "architectures": ["Dinov2Model"],
        "hidden_size": width,
        "num_hidden_layers": len(blocks),
        "num_attention_heads": max(width // _HEAD_CHANNELS, 1),
        "patch_size": patch,
        "image_size": grid * patch,
        "use_swiglu_ffn": any(".mlp.weights_in" in name for name in weights),
        "layerscale_value": 1.0,
    }
    with whole_folder(folder) as fresh:
        (fresh / "config.json").write_text(json.dumps(config, indent=2) + "\n")
        save_file(
            {k: v.contiguous() for k, v in weights.items()}, fresh / "model.safetensors", metadata={"format": "pt"}
        )
