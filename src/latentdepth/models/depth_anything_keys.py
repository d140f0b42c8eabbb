"""Depth Anything checkpoints in the authors' layout to folders of transformers, and back, bit for bit.

The two layouts hold the same tensors under other names; query, key and value are one tensor in the authors' and three
in the other. A ``.pth`` file is a pickle: it is only ever opened with PyTorch's tensors-only reader, and never written.
Knows names and files, runs no network.
"""

from __future__ import annotations

import contextlib
import json
import os
import pickle
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from latentdepth.models.depth_anything import (
    CLASS_NAME,
    FORMS,
    PROCESSOR,
    Form,
    configuration,
    is_depth_anything,
    load_depth_anything,
)
from latentdepth.whole import whole_folder

_ENCODER, _HEAD = "pretrained", "depth_head"
_QKV = ("query", "key", "value")
_SUFFIXES = ("weight", "bias")


def names(layers: int, *, swiglu: bool = False) -> dict[str, str]:
    """The authors' name of every tensor to transformers' name in a file, but for the fused query, key and value."""
    pairs = {f"{_ENCODER}.{k}": f"backbone.embeddings.{k}" for k in ("cls_token", "mask_token")}
    pairs[f"{_ENCODER}.pos_embed"] = "backbone.embeddings.position_embeddings"
    modules = {
        f"{_ENCODER}.patch_embed.proj": "backbone.embeddings.patch_embeddings.projection",
        f"{_ENCODER}.norm": "backbone.layernorm",
    }
    feed = {"mlp.w12": "mlp.weights_in", "mlp.w3": "mlp.weights_out"} if swiglu else {"mlp.fc1": "", "mlp.fc2": ""}
    block = {"norm1": "", "norm2": "", "attn.proj": "attention.output.dense", **feed}
    for i in range(layers):
        theirs, ours = f"{_ENCODER}.blocks.{i}", f"backbone.encoder.layer.{i}"
        modules |= {f"{theirs}.{k}": f"{ours}.{v or k}" for k, v in block.items()}
        pairs |= {f"{theirs}.ls{k}.gamma": f"{ours}.layer_scale{k}.lambda1" for k in (1, 2)}
    for i in range(4):
        layer = f"neck.reassemble_stage.layers.{i}"
        modules[f"{_HEAD}.projects.{i}"] = f"{layer}.projection"
        if i != 2:  # the third map keeps its size
            modules[f"{_HEAD}.resize_layers.{i}"] = f"{layer}.resize"
        pairs[f"{_HEAD}.scratch.layer{i + 1}_rn.weight"] = f"neck.convs.{i}.weight"
        # theirs count from fine to coarse, transformers in the order of use
        theirs, ours = f"{_HEAD}.scratch.refinenet{i + 1}", f"neck.fusion_stage.layers.{3 - i}"
        modules[f"{theirs}.out_conv"] = f"{ours}.projection"
        for unit in (1, 2):
            for conv in (1, 2):
                residual = f"residual_layer{unit}.convolution{conv}"
                modules[f"{theirs}.resConfUnit{unit}.conv{conv}"] = f"{ours}.{residual}"
    head = {"output_conv1": "conv1", "output_conv2.0": "conv2", "output_conv2.2": "conv3"}
    modules |= {f"{_HEAD}.scratch.{k}": f"head.{v}" for k, v in head.items()}
    return pairs | {f"{k}.{s}": f"{v}.{s}" for k, v in modules.items() for s in _SUFFIXES}


def _attention(layer: int, suffix: str) -> tuple[str, list[str]]:
    ours = f"backbone.encoder.layer.{layer}.attention.attention"
    return f"{_ENCODER}.blocks.{layer}.attn.qkv.{suffix}", [f"{ours}.{part}.{suffix}" for part in _QKV]


def to_transformers(original: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Tensors under transformers' names. Raises ValueError for tensors that are missing or not known."""
    layers = _layers(original, f"{_ENCODER}.blocks.")
    swiglu = f"{_ENCODER}.blocks.0.mlp.w12.weight" in original
    table = names(layers, swiglu=swiglu)
    fused = [_attention(i, suffix) for i in range(layers) for suffix in _SUFFIXES]
    _same_names(set(original), set(table) | {name for name, _ in fused}, "the authors' layout")
    renamed = {table[k]: v for k, v in original.items() if k in table}
    for name, parts in fused:
        renamed |= dict(zip(parts, (t.contiguous() for t in original[name].chunk(3)), strict=True))
    return renamed


def to_original(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The exact inverse of ``to_transformers``. Raises ValueError for tensors that are missing or not known."""
    layers = _layers(weights, "backbone.encoder.layer.")
    swiglu = "backbone.encoder.layer.0.mlp.weights_in.weight" in weights
    table = {ours: theirs for theirs, ours in names(layers, swiglu=swiglu).items()}
    fused = [_attention(i, suffix) for i in range(layers) for suffix in _SUFFIXES]
    _same_names(set(weights), set(table) | {part for _, parts in fused for part in parts}, "transformers' layout")
    renamed = {table[k]: v for k, v in weights.items() if k in table}
    return renamed | {name: torch.cat([weights[part] for part in parts]) for name, parts in fused}


def _layers(weights: Mapping[str, Tensor], beginning: str) -> int:
    numbers = {int(k[len(beginning) :].split(".")[0]) for k in weights if k.startswith(beginning)}
    return max(numbers) + 1 if numbers else 0


def _same_names(given: set[str], wanted: set[str], layout: str) -> None:
    missing, foreign = sorted(wanted - given), sorted(given - wanted)
    if missing or foreign:
        parts = [
            f"{len(k)} {what}: {', '.join(k[:3])}" for k, what in ((missing, "missing"), (foreign, "unknown")) if k
        ]
        raise ValueError(f"this is no Depth Anything checkpoint in {layout}; of its tensors {'; '.join(parts)}")


def form_of(original: Mapping[str, Tensor]) -> Form:
    """Which published size the tensors have. Raises ValueError for none of them."""
    hidden = original[f"{_ENCODER}.cls_token"].shape[-1] if f"{_ENCODER}.cls_token" in original else None
    found = next((form for form in FORMS.values() if form.hidden == hidden), None)
    if found is None:
        known = ", ".join(f"{name} {form.hidden}" for name, form in FORMS.items())
        raise ValueError(f"the encoder's width is {hidden}; known are {known}")
    return found


def read_original(path: Path) -> dict[str, Tensor]:
    """The tensors of a checkpoint, ``.pth`` or ``.safetensors``, in the authors' names.

    Checkpoints of the authors' own metric training hold them under ``model``, each name after ``module.``. Raises
    ValueError for a file that is missing or damaged, holds anything but tensors and numbers, or is not finite.
    """
    try:
        if path.suffix == ".safetensors":
            content: Any = load_file(path)
        else:
            content = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise ValueError(f"{path} holds more than tensors, which could run code, and is not opened: {error}") from error
    except (OSError, SafetensorError, RuntimeError, EOFError, ValueError) as error:
        raise ValueError(f"{path}: can't be read as a checkpoint ({error}); download it again") from error
    if isinstance(content, dict) and isinstance(content.get("model"), dict):
        content = content["model"]
    if not isinstance(content, dict) or not all(isinstance(v, Tensor) for v in content.values()):
        raise ValueError(f"{path} holds no table of tensors; wanted is a checkpoint such as depth_anything_v2_vits.pth")
    weights = {str(k).removeprefix("module."): v for k, v in content.items()}
    for name, tensor in weights.items():
        if not bool(torch.isfinite(tensor).all()):
            raise ValueError(f"{path}: {name} holds NaN or infinity; these weights can't be used")
    return weights


def write_transformers(
    original: Mapping[str, Tensor], folder: Path, *, max_depth_m: float | None = None, form: Form | None = None
) -> None:
    """A folder of transformers, whole or not at all, loaded once to see that it does.

    ``max_depth_m``: the checkpoint is metric, and its largest output stands for that (the file doesn't say). ``form``:
    for networks of no published size. Raises ValueError for what doesn't fit, and for a folder that exists.
    """
    if folder.exists():
        raise ValueError(f"{folder} exists; give another folder, or remove it")
    config = configuration(form or form_of(original), max_depth_m=max_depth_m)
    config.architectures = [CLASS_NAME]
    with whole_folder(folder) as fresh:
        config.save_pretrained(fresh)
        save_file(_separate(to_transformers(original)), fresh / "model.safetensors", metadata={"format": "pt"})
        (fresh / "preprocessor_config.json").write_text(json.dumps(PROCESSOR, indent=2) + "\n")
        load_depth_anything(fresh)


def write_original(folder: Path, path: Path) -> None:
    """The weights of a transformers folder in the authors' names, as safetensors.

    The authors' code reads them by ``model.load_state_dict(safetensors.torch.load_file(path))``. Raises ValueError for
    a folder of another network, a path that exists or has another suffix.
    """
    if path.suffix != ".safetensors":
        raise ValueError(f"{path}: wanted is a name that ends in .safetensors; pickled weights (.pth) are not written")
    if path.exists():
        raise ValueError(f"{path} exists; give another name, or remove it")
    if not is_depth_anything(folder):
        raise ValueError(f"{folder} is no folder of transformers' {CLASS_NAME}")
    weights: dict[str, Tensor] = {}
    try:
        for part in sorted(folder.glob("*.safetensors")):
            weights |= load_file(part)
    except (OSError, SafetensorError) as error:
        raise ValueError(f"{folder}: its weights can't be read ({error}); copy or download them again") from error
    renamed = _separate(to_original(weights))
    fresh = path.with_name(path.name + ".new")
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        save_file(renamed, fresh, metadata={"format": "pt"})
        os.replace(fresh, path)
    finally:
        with contextlib.suppress(FileNotFoundError):
            fresh.unlink()


def _separate(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Tensors that share no memory, as safetensors wants them."""
    return {k: v.clone().contiguous() for k, v in weights.items()}
