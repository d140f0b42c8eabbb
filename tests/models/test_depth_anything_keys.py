"""The authors' layout against transformers': names as published, an exact inverse, what attention makes of them."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor
from torch.nn import functional as F

from latentdepth.models.depth_anything import Form, load_depth_anything
from latentdepth.models.depth_anything_keys import (
    form_of,
    names,
    read_original,
    to_original,
    to_transformers,
    write_original,
    write_transformers,
)

TINY = Form(16, 4, 2, (1, 2, 3, 4), (4, 8, 12, 16), 8, grid_px=56, head=4)
GIANT_LIKE = Form(16, 4, 2, (1, 2, 3, 4), (4, 8, 12, 16), 8, grid_px=56, head=4, swiglu=True)


def original(form: Form = TINY) -> dict[str, Tensor]:
    """A random checkpoint in the authors' layout, its shapes written out from their description."""
    torch.manual_seed(0)
    c, p = form.hidden, "pretrained"
    shapes: dict[str, tuple[int, ...]] = {
        f"{p}.cls_token": (1, 1, c),
        f"{p}.mask_token": (1, c),
        f"{p}.pos_embed": (1, (form.grid_px // 14) ** 2 + 1, c),
        f"{p}.patch_embed.proj.weight": (c, 3, 14, 14),
        f"{p}.patch_embed.proj.bias": (c,),
        f"{p}.norm.weight": (c,),
        f"{p}.norm.bias": (c,),
    }
    wide = (int(4 * c * 2 / 3) + 7) // 8 * 8 if form.swiglu else 4 * c
    feed = (
        {"mlp.w12": (2 * wide, c), "mlp.w3": (c, wide)} if form.swiglu else {"mlp.fc1": (wide, c), "mlp.fc2": (c, wide)}
    )
    for i in range(form.layers):
        for name, shape in {"attn.qkv": (3 * c, c), "attn.proj": (c, c), **feed}.items():
            shapes |= {f"{p}.blocks.{i}.{name}.weight": shape, f"{p}.blocks.{i}.{name}.bias": shape[:1]}
        for name in ("norm1", "norm2"):
            shapes |= {f"{p}.blocks.{i}.{name}.weight": (c,), f"{p}.blocks.{i}.{name}.bias": (c,)}
        shapes |= {f"{p}.blocks.{i}.ls{k}.gamma": (c,) for k in (1, 2)}
    d, f = "depth_head", form.fusion
    for i, n in enumerate(form.neck):
        shapes |= {f"{d}.projects.{i}.weight": (n, c, 1, 1), f"{d}.projects.{i}.bias": (n,)}
        if i != 2:
            side = (4, 2, 0, 3)[i]
            shapes |= {f"{d}.resize_layers.{i}.weight": (n, n, side, side), f"{d}.resize_layers.{i}.bias": (n,)}
        shapes[f"{d}.scratch.layer{i + 1}_rn.weight"] = (f, n, 3, 3)
        fusion = f"{d}.scratch.refinenet{i + 1}"
        shapes |= {f"{fusion}.out_conv.weight": (f, f, 1, 1), f"{fusion}.out_conv.bias": (f,)}
        for unit in ("resConfUnit1.conv1", "resConfUnit1.conv2", "resConfUnit2.conv1", "resConfUnit2.conv2"):
            shapes |= {f"{fusion}.{unit}.weight": (f, f, 3, 3), f"{fusion}.{unit}.bias": (f,)}
    for name, (o, i, k) in {
        "output_conv1": (f // 2, f, 3),
        "output_conv2.0": (form.head, f // 2, 3),
        "output_conv2.2": (1, form.head, 1),
    }.items():
        shapes |= {f"{d}.scratch.{name}.weight": (o, i, k, k), f"{d}.scratch.{name}.bias": (o,)}
    return {k: 0.3 * torch.randn(s) for k, s in shapes.items()}


@pytest.mark.parametrize(
    ("theirs", "ours"),
    # from the published mapping
    [
        ("pretrained.pos_embed", "backbone.embeddings.position_embeddings"),
        ("pretrained.patch_embed.proj.bias", "backbone.embeddings.patch_embeddings.projection.bias"),
        ("pretrained.blocks.1.mlp.fc1.weight", "backbone.encoder.layer.1.mlp.fc1.weight"),
        ("pretrained.blocks.1.attn.proj.weight", "backbone.encoder.layer.1.attention.output.dense.weight"),
        ("pretrained.blocks.0.ls2.gamma", "backbone.encoder.layer.0.layer_scale2.lambda1"),
        ("pretrained.norm.weight", "backbone.layernorm.weight"),
        ("depth_head.projects.3.bias", "neck.reassemble_stage.layers.3.projection.bias"),
        ("depth_head.resize_layers.0.weight", "neck.reassemble_stage.layers.0.resize.weight"),
        ("depth_head.scratch.layer4_rn.weight", "neck.convs.3.weight"),
        (
            "depth_head.scratch.refinenet4.resConfUnit1.conv2.bias",
            "neck.fusion_stage.layers.0.residual_layer1.convolution2.bias",
        ),
        ("depth_head.scratch.refinenet1.out_conv.weight", "neck.fusion_stage.layers.3.projection.weight"),
        ("depth_head.scratch.output_conv2.2.weight", "head.conv3.weight"),
    ],
)
def test_names_are_the_published_ones(theirs: str, ours: str):
    assert names(2)[theirs] == ours


def test_no_two_tensors_share_a_name():
    for swiglu in (False, True):
        table = names(3, swiglu=swiglu)
        assert len(set(table.values())) == len(table)
    assert names(1, swiglu=True)["pretrained.blocks.0.mlp.w12.bias"] == "backbone.encoder.layer.0.mlp.weights_in.bias"


@pytest.mark.parametrize("form", [TINY, GIANT_LIKE])
def test_there_and_back_is_the_same_to_the_bit(form: Form):
    given = original(form)
    renamed = to_transformers(given)
    back = to_original(renamed)
    assert back.keys() == given.keys()
    assert all(torch.equal(back[k], given[k]) for k in given)
    again = to_transformers(back)
    assert again.keys() == renamed.keys()
    assert all(torch.equal(again[k], renamed[k]) for k in renamed)


@pytest.mark.parametrize("form", [TINY, GIANT_LIKE])
def test_the_converted_encoder_computes_what_the_authors_do(form: Form, tmp_path: Path):
    """The first block and the final norm, written out with their fused weights."""
    given = original(form)
    write_transformers(given, tmp_path / "converted", form=form)
    made, image = load_depth_anything(tmp_path / "converted"), torch.rand(1, 3, 56, 56)

    def weights(name: str) -> tuple[Tensor, Tensor]:
        return given[f"{name}.weight"], given[f"{name}.bias"]

    b, c, heads = "pretrained.blocks.0", form.hidden, form.heads
    with torch.no_grad():
        normed = (image - made.mean) / made.spread
        patches = F.conv2d(normed, *weights("pretrained.patch_embed.proj"), stride=14).flatten(2).transpose(1, 2)
        x = torch.cat((given["pretrained.cls_token"], patches), 1) + given["pretrained.pos_embed"]
        y = F.layer_norm(x, (c,), *weights(f"{b}.norm1"), eps=1e-6)
        q, k, v = F.linear(y, *weights(f"{b}.attn.qkv")).reshape(1, -1, 3, heads, c // heads).permute(2, 0, 3, 1, 4)
        y = ((q @ k.transpose(-1, -2) / math.sqrt(c / heads)).softmax(-1) @ v).transpose(1, 2).reshape(1, -1, c)
        x = x + F.linear(y, *weights(f"{b}.attn.proj")) * given[f"{b}.ls1.gamma"]
        y = F.layer_norm(x, (c,), *weights(f"{b}.norm2"), eps=1e-6)
        if form.swiglu:
            one, two = F.linear(y, *weights(f"{b}.mlp.w12")).chunk(2, dim=-1)
            y = F.linear(F.silu(one) * two, *weights(f"{b}.mlp.w3"))
        else:
            y = F.linear(F.gelu(F.linear(y, *weights(f"{b}.mlp.fc1"))), *weights(f"{b}.mlp.fc2"))
        x = x + y * given[f"{b}.ls2.gamma"]
        wanted = F.layer_norm(x, (c,), *weights("pretrained.norm"), eps=1e-6)
        found = made.model.backbone.forward_with_filtered_kwargs(normed).feature_maps[0]
    torch.testing.assert_close(found, wanted, atol=1e-5, rtol=1e-5)  # float32 in another order


def test_a_checkpoint_goes_to_a_folder_and_back(tmp_path: Path):
    given = original()
    path, folder, back = tmp_path / "vits.pth", tmp_path / "folder", tmp_path / "back.safetensors"
    torch.save(given, path)
    write_transformers(read_original(path), folder, form=TINY, max_depth_m=20.0)
    assert load_depth_anything(folder).max_depth_m == 20.0
    write_original(folder, back)
    found = load_file(back)
    assert found.keys() == given.keys()
    assert all(torch.equal(found[k], given[k]) for k in given)
    assert {p.name for p in folder.iterdir()} == {"config.json", "model.safetensors", "preprocessor_config.json"}


def test_checkpoints_of_the_authors_metric_training(tmp_path: Path):
    given = original()
    torch.save({"model": {f"module.{k}": v for k, v in given.items()}, "epoch": 3}, tmp_path / "latest.pth")
    assert read_original(tmp_path / "latest.pth").keys() == given.keys()


class Harmful:
    def __reduce__(self) -> tuple[object, tuple[str]]:
        return (print, ("opened",))


def test_files_that_are_no_checkpoint(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    path = tmp_path / "a.pth"
    with pytest.raises(ValueError, match=r"a\.pth: can't be read"):
        read_original(path)
    torch.save({"x": Harmful()}, path)
    with pytest.raises(ValueError, match="could run code"):
        read_original(path)
    assert "opened" not in capsys.readouterr().out
    torch.save([1, 2], path)
    with pytest.raises(ValueError, match="no table of tensors"):
        read_original(path)
    torch.save({"x": torch.tensor([math.inf])}, path)
    with pytest.raises(ValueError, match="x holds NaN or infinity"):
        read_original(path)
    path.write_bytes(b"not a checkpoint")
    with pytest.raises(ValueError, match=r"a\.pth"):
        read_original(path)
    cut = tmp_path / "cut.safetensors"
    save_file({"x": torch.zeros(8)}, cut)
    cut.write_bytes(cut.read_bytes()[:-4])
    with pytest.raises(ValueError, match=r"cut\.safetensors: can't be read"):
        read_original(cut)


def test_other_tensors_are_named():
    given = original()
    with pytest.raises(ValueError, match=r"1 missing: pretrained\.norm\.bias"):
        to_transformers({k: v for k, v in given.items() if k != "pretrained.norm.bias"})
    with pytest.raises(ValueError, match="1 unknown: more"):
        to_transformers(given | {"more": torch.zeros(1)})
    with pytest.raises(ValueError, match="transformers' layout"):
        to_original(given)
    with pytest.raises(ValueError, match="the encoder's width is 16; known are small 384"):
        form_of(given)
    assert form_of({"pretrained.cls_token": torch.zeros(1, 1, 1536)}).swiglu


def test_nothing_is_overwritten_and_nothing_half_written(tmp_path: Path):
    given = original()
    with pytest.raises(ValueError, match="unknown"):
        write_transformers(given | {"more": torch.zeros(1)}, tmp_path / "new", form=TINY)
    assert not list(tmp_path.iterdir())
    with pytest.raises(ValueError, match="exists"):
        write_transformers(given, tmp_path, form=TINY)
    write_transformers(given, tmp_path / "new", form=TINY)
    with pytest.raises(ValueError, match=r"wanted is a name that ends in \.safetensors"):
        write_original(tmp_path / "new", tmp_path / "a.pth")
    with pytest.raises(ValueError, match="is no folder of transformers'"):
        write_original(tmp_path, tmp_path / "a.safetensors")
    (tmp_path / "b.safetensors").touch()
    with pytest.raises(ValueError, match="exists"):
        write_original(tmp_path / "new", tmp_path / "b.safetensors")
