"""A DINOv2 encoder out of an ONNX file: every weight, the sizes, and files that hold none."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from transformers import Dinov2Config, Dinov2Model

onnx = pytest.importorskip("onnx")

from latentdepth.models.dinov2_onnx import read_onnx_dinov2, write_dinov2  # noqa: E402

_PRODUCTS = {
    "attention.q_proj": "attention.attention.query",
    "attention.k_proj": "attention.attention.key",
    "attention.v_proj": "attention.attention.value",
    "attention.o_proj": "attention.output.dense",
}
"""transformers' present names of layers that torch exported under older ones."""


def exported(path: Path, *, without: str = "(none)") -> Dinov2Model:
    """An ONNX file as torch writes it: products transposed and nameless, position embeddings in two."""
    torch.manual_seed(0)
    config = Dinov2Config(hidden_size=128, num_hidden_layers=2, num_attention_heads=2, image_size=56, patch_size=14)
    model = Dinov2Model(config).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.normal_()
        assert model.embeddings.mask_token is not None
        model.embeddings.mask_token.zero_()  # not exported
    initializers, nodes = [], []

    def keep(name: str, tensor: torch.Tensor) -> None:
        initializers.append(onnx.numpy_helper.from_array(np.ascontiguousarray(tensor.numpy()), name))

    for name, tensor in model.state_dict().items():
        if name == "embeddings.mask_token" or without in name:
            continue
        for new, old in _PRODUCTS.items():
            name = name.replace(new, old)
        if name == "embeddings.position_embeddings":
            keep("onnx::Concat_7", tensor[:, :1])
            keep("onnx::Reshape_8", tensor[:, 1:])
        elif tensor.ndim == 2:
            keep(f"onnx::MatMul_{len(initializers)}", tensor.T)
            layer = "/backbone/" + name.removesuffix(".weight").replace(".", "/").replace("layer/", "layer.")
            nodes.append(onnx.helper.make_node("MatMul", ["x", initializers[-1].name], ["y"], name=layer + "/MatMul"))
        else:
            keep(f"backbone.{name}", tensor)
    keep("decoder.final.weight", torch.ones(1, 3, 1, 1))
    onnx.save(onnx.helper.make_model(onnx.helper.make_graph(nodes, "g", [], [], initializers)), str(path))
    return model


def test_every_weight_comes_back(tmp_path: Path):
    wanted = exported(tmp_path / "model.onnx")
    write_dinov2(read_onnx_dinov2(tmp_path / "model.onnx"), tmp_path / "dino")
    found: Any = Dinov2Model.from_pretrained(tmp_path / "dino")
    assert (found.config.num_attention_heads, found.config.image_size) == (2, 56)
    for name, tensor in wanted.state_dict().items():
        torch.testing.assert_close(found.state_dict()[name], tensor, rtol=0, atol=0, msg=name)


@pytest.mark.parametrize(
    ("without", "said"),
    [("cls_token", "holds no DINOv2 under the name 'backbone'"), ("position", "no position embeddings")],
)
def test_a_file_that_lacks_something_is_refused(tmp_path: Path, without: str, said: str):
    exported(tmp_path / "model.onnx", without=without)
    with pytest.raises(ValueError, match=said):
        read_onnx_dinov2(tmp_path / "model.onnx")


def test_no_onnx_and_full_folders_are_refused(tmp_path: Path):
    (tmp_path / "model.onnx").write_bytes(b"no protobuf")
    with pytest.raises(ValueError, match=r"model\.onnx: can't be read as ONNX"):
        read_onnx_dinov2(tmp_path / "model.onnx")
    exported(tmp_path / "model.onnx")
    weights = read_onnx_dinov2(tmp_path / "model.onnx")
    with pytest.raises(ValueError, match="holds something else"):
        write_dinov2(weights, tmp_path)
    write_dinov2(weights, tmp_path / "dino")
    written = (tmp_path / "dino/model.safetensors").stat().st_mtime_ns
    write_dinov2(weights, tmp_path / "dino")
    assert (tmp_path / "dino/model.safetensors").stat().st_mtime_ns == written
    with pytest.raises(ValueError, match="holds something else"):
        write_dinov2(weights | {"layernorm.bias": weights["layernorm.bias"] + 1}, tmp_path / "dino")
