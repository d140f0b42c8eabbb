"""A folder with somebody else's network to a predictor.

``config.json`` and safetensors beside it: a depth network of transformers. ``model_index.json`` of a Marigold pipeline:
diffusers' own implementation of it, as the outside yardstick for ours. Never runs code from a folder, never opens
pickled weights, never asks the network.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch

from latentdepth.models.others import depth_pro, dpt, zoe
from latentdepth.models.others.declared import architecture, output_kind, read_config, supported
from latentdepth.models.others.diffusers_marigold import MarigoldPipelinePredictor, load_pipeline
from latentdepth.models.others.estimate import Family
from latentdepth.models.others.one_pass import OnePassPredictor

_FAMILIES: dict[str, Family] = {
    "ZoeDepthForDepthEstimation": zoe.estimate,
    "DepthProForDepthEstimation": depth_pro.estimate,
}
_PICKLES = ("*.bin", "*.pt", "*.pth", "*.ckpt", "*.pkl", "*.h5", "*.msgpack")


def is_other(folder: Path) -> bool:
    """Whether ``folder`` holds a network of transformers (and no diffusion pipeline, which our own code runs)."""
    path = folder / "config.json"
    if not path.is_file() or (folder / "model_index.json").exists():
        return False
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
    except (json.JSONDecodeError, UnicodeDecodeError):
        return False
    return isinstance(config, dict) and "model_type" in config


def load_other(
    folder: Path, *, device: torch.device, dtype: torch.dtype, name: str
) -> OnePassPredictor | MarigoldPipelinePredictor:
    """The network of ``folder`` as a predictor. ``name`` is what predictions say they were made with.

    Raises ValueError for unsupported networks (listing those supported), weights that are missing, pickled, damaged or
    incomplete, and folders without the settings of their image processor.
    """
    if (folder / "model_index.json").exists():
        return load_pipeline(folder, device=device, dtype=dtype, name=name)
    config = read_config(folder)
    class_name = architecture(folder, config)
    kind = output_kind(folder, config, class_name)
    _refuse_pickles(folder)
    network = _network(folder, class_name, dtype).to(device)
    processor = depth_pro.read_square(folder) if class_name == "DepthProForDepthEstimation" else _processor(folder)
    return OnePassPredictor(network, processor, _FAMILIES.get(class_name, dpt.estimate), kind, name)


def _refuse_pickles(folder: Path) -> None:
    if any(folder.glob("*.safetensors")):
        return
    pickled = sorted(path.name for pattern in _PICKLES for path in folder.glob(pattern))
    what = f"only {', '.join(pickled)}, which can run code when read and is never opened" if pickled else "no weights"
    raise ValueError(
        f"{folder} holds {what}; wanted is model.safetensors. Convert on a machine that trusts the file, with "
        "transformers' save_pretrained, or take a repository that has safetensors"
    )


def _network(folder: Path, class_name: str, dtype: torch.dtype) -> Any:
    """The network with every weight in place; a partly filled one would predict noise and say nothing."""
    import transformers
    from transformers.models.auto.modeling_auto import MODEL_FOR_DEPTH_ESTIMATION_MAPPING_NAMES

    if class_name not in MODEL_FOR_DEPTH_ESTIMATION_MAPPING_NAMES.values():
        raise ValueError(
            f"{folder}/config.json: architectures is [{class_name!r}], which is no depth network of transformers "
            f"{transformers.__version__}; supported are {supported()}"
        )
    try:
        network, report = getattr(transformers, class_name).from_pretrained(
            folder, dtype=dtype, use_safetensors=True, local_files_only=True, output_loading_info=True
        )
    except Exception as error:  # the many ways in which a file can be damaged end in as many exceptions
        raise ValueError(f"{folder}: transformers can't load {class_name}: {error}") from error
    for what in ("missing_keys", "mismatched_keys"):
        if report[what]:
            some = ", ".join(str(key) for key in sorted(report[what], key=str)[:3])
            raise ValueError(f"{folder}: {len(report[what])} weights of {class_name} are {what[:-5]}: {some} ...")
    return network.eval()


def _processor(folder: Path) -> Any:
    """The folder's image processor on Pillow and NumPy; the other kind needs torchvision and rounds otherwise."""
    from transformers import AutoImageProcessor

    if not (folder / "preprocessor_config.json").exists():
        raise ValueError(f"{folder} has no preprocessor_config.json, which says how the network sees a photo")
    try:
        return AutoImageProcessor.from_pretrained(folder, backend="pil", local_files_only=True, trust_remote_code=False)
    except Exception as error:
        raise ValueError(f"{folder}/preprocessor_config.json: transformers can't use it: {error}") from error
