"""The networks of a latent diffusion model, read from a folder in diffusers' layout: weights, schedule, empty prompt.

Every way in which such a folder can be wrong is named here. Knows no predictions.
"""

from __future__ import annotations

import contextlib
import json
import warnings
from pathlib import Path
from typing import Any

import torch
from diffusers import AutoencoderKL, UNet2DConditionModel
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from latentdepth.core.schedule import Schedule, from_config

EMPTY_PROMPT = "empty_prompt.safetensors"
"""File of the embedded empty prompt, beside the networks."""
WEIGHTS = "diffusion_pytorch_model"
"""Name of a network's weights, without its ending."""
_OLD_ATTENTION = {".query.": ".to_q.", ".key.": ".to_k.", ".value.": ".to_v.", ".proj_attn.": ".to_out.0."}


def read_json(path: Path) -> dict[str, Any]:
    """A JSON object of a model folder. Raises ValueError, naming the file, when it is missing or something else."""
    if not path.exists():
        raise ValueError(
            f"{path} is missing; a model folder holds unet/, vae/, scheduler/ and model_index.json (diffusers layout)"
        )
    try:
        value = json.loads(path.read_text())
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise ValueError(f"{path} is not valid JSON: {error}") from error
    if not isinstance(value, dict):
        raise ValueError(f"{path} holds a {type(value).__name__}; a JSON object is needed")
    return value


def _weights(folder: Path, dtype: torch.dtype) -> dict[str, Tensor]:
    for name in (f"{WEIGHTS}.safetensors", f"{WEIGHTS}.fp16.safetensors"):
        if (folder / name).exists():
            try:
                with safe_open(folder / name, "pt") as file:
                    names = list(file.keys())
                return {one: _weight(folder / name, one, dtype) for one in names}
            except SafetensorError as error:
                raise ValueError(f"{folder / name} is damaged ({error}); download or copy it again") from error
    found = sorted(p.name for p in folder.glob("*.bin")) if folder.is_dir() else []
    raise ValueError(
        f"{folder}: no {WEIGHTS}.safetensors"
        + (f", only {', '.join(found)}; pickled weights are never loaded: convert them to safetensors" if found else "")
    )


def _weight(path: Path, name: str, dtype: torch.dtype) -> Tensor:
    """One tensor, in the layout that it is computed in.

    Copied out of a mapping of its own: from a shared one, the whole file would stay in memory beside the copies.
    """
    with safe_open(path, "pt") as file:
        value: Tensor = file.get_tensor(name)
        layout = torch.channels_last if value.ndim == 4 else torch.contiguous_format
        return value.to(dtype, copy=True, memory_format=layout)


def _load_component(
    kind: type[UNet2DConditionModel] | type[AutoencoderKL], folder: Path, config: dict[str, Any], dtype: torch.dtype
) -> UNet2DConditionModel | AutoencoderKL:
    expected = kind.__init__.__wrapped__.__code__.co_varnames  # pyright: ignore  (diffusers wraps __init__)
    unknown = sorted(k for k in config if not k.startswith("_") and k not in expected)
    if unknown:
        warnings.warn(f"{folder}/config.json: keys not known here are ignored: {', '.join(unknown)}", stacklevel=4)
    with torch.device("meta"):  # random weights that are about to be replaced take time and memory
        network = kind.from_config({k: v for k, v in config.items() if k not in unknown})
    assert isinstance(network, nn.Module)
    weights = _weights(folder, dtype)
    for old, new in _OLD_ATTENTION.items():
        weights = {k.replace(old, new) if "attentions" in k else k: v for k, v in weights.items()}
    wanted = network.state_dict()
    wrong = [
        f"{k} has shape {tuple(weights[k].shape)}, {tuple(v.shape)} is needed"
        for k, v in wanted.items()
        if k in weights and weights[k].shape != v.shape
    ]
    wrong += [f"{k} is missing" for k in wanted if k not in weights] + [
        f"{k} has no place" for k in weights if k not in wanted
    ]
    if wrong:
        more = f" (and {len(wrong) - 3} more)" if len(wrong) > 3 else ""
        raise ValueError(f"{folder}: weights don't fit config.json: {'; '.join(wrong[:3])}{more}")
    for name, value in weights.items():
        if not bool(torch.isfinite(value).all()):
            raise ValueError(
                f"{folder}: {name} holds NaN or infinity; the weights are broken, take an earlier checkpoint"
            )
    network.load_state_dict(weights, assign=True)
    return network


def _empty_prompt(folder: Path, width: int) -> Tensor:
    """The cached embedding of "", or made once from the folder's text encoder and cached there."""
    cached = folder / EMPTY_PROMPT
    if cached.exists():
        embedding = load_file(cached).get("embedding")
        if embedding is None or embedding.ndim != 3 or embedding.shape[0] != 1 or embedding.shape[2] != width:
            raise ValueError(f"{cached} must hold a tensor 'embedding' of shape (1, tokens, {width})")
        return embedding.float()
    if not (folder / "text_encoder").is_dir() or not (folder / "tokenizer").is_dir():
        raise ValueError(
            f"{folder} has neither {EMPTY_PROMPT} nor text_encoder/ and tokenizer/; one of them is needed for the "
            "embedding of the empty prompt"
        )
    from transformers import CLIPTextModel, CLIPTokenizer

    tokenizer = CLIPTokenizer.from_pretrained(folder / "tokenizer", local_files_only=True)
    encoder = CLIPTextModel.from_pretrained(folder / "text_encoder", local_files_only=True, use_safetensors=True).eval()
    tokens = tokenizer("", padding="do_not_pad", return_tensors="pt").input_ids
    with torch.inference_mode():
        embedding = encoder(tokens)[0].float().clone()
    with contextlib.suppress(OSError):  # a read-only folder only means embedding it again next time
        save_file({"embedding": embedding.contiguous()}, cached)
    return embedding


def load_networks(
    folder: Path, *, dtype: torch.dtype = torch.float32
) -> tuple[UNet2DConditionModel, AutoencoderKL, Schedule, Tensor]:
    """U-Net, autoencoder, noise schedule and embedded empty prompt of any diffusers-layout folder, in ``dtype``.

    Raises ValueError, naming the file, for missing, damaged, mismatched or non-finite weights.
    """
    unet_config, vae_config = read_json(folder / "unet" / "config.json"), read_json(folder / "vae" / "config.json")
    scheduler_config = read_json(folder / "scheduler" / "scheduler_config.json")
    unet = _load_component(UNet2DConditionModel, folder / "unet", unet_config, dtype)
    vae = _load_component(AutoencoderKL, folder / "vae", vae_config, dtype)
    assert isinstance(unet, UNet2DConditionModel)
    assert isinstance(vae, AutoencoderKL)
    width = unet.config["cross_attention_dim"]
    prompt = _empty_prompt(folder, int(width[0] if isinstance(width, (list, tuple)) else width))
    return unet, vae, from_config(scheduler_config), prompt
