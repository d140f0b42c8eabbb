"""The few facts in which latent-diffusion depth models differ, read from and written to their folders.

Knows JSON, not networks. Everything a prediction defaults to (steps, resolution, what the values mean) comes from here.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from latentdepth.config import from_dict, to_dict
from latentdepth.options import SamplerName

OWN_FILE = "latentdepth.json"
"""Optional file beside model_index.json: states facts that a published folder leaves unsaid."""

ModalityName = Literal["depth", "disparity", "normals"]
_PIPELINES: dict[str, ModalityName] = {
    "MarigoldDepthPipeline": "depth",
    "MarigoldPipeline": "depth",
    "MarigoldNormalsPipeline": "normals",
    "GenPerceptPipeline": "depth",
    "LotusDPipeline": "disparity",
    "LotusGPipeline": "disparity",
}


@dataclass(frozen=True)
class Facts:
    """What must be known to run a folder."""

    modality: ModalityName = "depth"
    scale_invariant: bool = True
    shift_invariant: bool = True
    steps: int = 4
    """Denoising steps when none are asked for."""
    resolution: int = 768
    """Longer side in pixels when none is asked for."""
    sampler: SamplerName = "ddim"
    image_enters: Literal["beside", "as_latent"] = "beside"
    """beside: concatenated with the noisy latent (Marigold); as_latent: in its place (GenPercept, Lotus-D)."""
    start: Literal["noise", "zeros"] = "noise"
    """What the first step starts from; E2E fine-tuned folders want zeros."""
    timestep: int | None = None
    """Fixed timestep of a one-step folder; None is the last one."""
    task_embedding: tuple[float, ...] | None = None
    """Fed as class label where the network wants one (Lotus)."""
    guide: str | None = None
    """A student whose head's map the network sees behind the image latent: a folder inside the model's, or the
    builtin:NAME of one that ships with the package."""
    guide_sha256: str | None = None
    """Of that one's weights: another release may ship others."""


def read_facts(folder: Path, unet_config: dict[str, Any], scheduler_config: dict[str, Any]) -> Facts:
    """Facts of ``folder``: model_index.json, then the networks' own configs, then ``latentdepth.json``.

    Raises ValueError naming the file and the key for unknown pipelines, unknown keys and wrong values.
    """
    index = json.loads((folder / "model_index.json").read_text()) if (folder / "model_index.json").exists() else {}
    own = json.loads((folder / OWN_FILE).read_text()) if (folder / OWN_FILE).exists() else {}
    pipeline = str(index.get("_class_name", ""))
    values: dict[str, Any] = {}
    if pipeline in _PIPELINES:
        values["modality"] = _PIPELINES[pipeline]
    elif "modality" not in own:
        raise ValueError(
            f"{folder}/model_index.json: pipeline is {pipeline!r}; known are {', '.join(sorted(_PIPELINES))}. "
            f'For another depth model put a file {OWN_FILE} there with at least {{"modality": "depth"}}'
        )
    if index.get("prediction_type") in ("depth", "disparity"):
        values["modality"] = index["prediction_type"]
    for key, ours in (
        ("scale_invariant", "scale_invariant"),
        ("shift_invariant", "shift_invariant"),
        ("default_denoising_steps", "steps"),
        ("default_processing_resolution", "resolution"),
    ):
        if index.get(key) is not None:
            values[ours] = index[key]
    values.setdefault("steps", 10 if scheduler_config.get("timestep_spacing", "leading") == "leading" else 4)
    if scheduler_config.get("_class_name") == "LCMScheduler":
        values["sampler"] = "lcm"
    channels = int(unet_config.get("in_channels", 4))
    if channels == 4:
        values |= {"image_enters": "as_latent", "sampler": "one_step", "steps": 1}
        if pipeline == "GenPerceptPipeline":
            values["timestep"] = 1
    elif channels != 8 and not own.get("guide"):
        raise ValueError(
            f"{folder}/unet/config.json: in_channels is {channels}; allowed are 8 (image latent beside the noisy "
            f"latent), 4 (image latent alone), and more than 8 where {OWN_FILE} names a guide"
        )
    if unet_config.get("class_embed_type") == "projection" and pipeline.startswith("Lotus"):
        # sin and cos of the two-way switch "estimate" (against "reconstruct the photo")
        values["task_embedding"] = [0.8414709848, 0.0, 0.5403023059, 1.0]
    return _checked(folder, values | own)


def _checked(folder: Path, values: dict[str, Any]) -> Facts:
    """Types and names by the strict reader; what a type can't say here."""
    try:
        facts = from_dict(Facts, values)
    except ValueError as error:
        raise ValueError(f"{folder}: {error}") from error
    for key, least in (("steps", 1), ("resolution", 0)):
        value = getattr(facts, key)
        if value < least:
            raise ValueError(f"{folder}: {key} is {value}; allowed is a whole number, at least {least}")
    return facts


def write_facts(folder: Path, facts: Facts) -> None:
    """``model_index.json`` that diffusers reads too, and ``latentdepth.json`` for what it has no words for."""
    normals = facts.modality == "normals"
    index: dict[str, Any] = {
        "_class_name": "MarigoldNormalsPipeline" if normals else "MarigoldDepthPipeline",
        "_diffusers_version": "0.42.1",
        "unet": ["diffusers", "UNet2DConditionModel"],
        "vae": ["diffusers", "AutoencoderKL"],
        "scheduler": ["diffusers", "LCMScheduler" if facts.sampler == "lcm" else "DDIMScheduler"],
        "text_encoder": [None, None],
        "tokenizer": [None, None],
        "default_denoising_steps": facts.steps,
        "default_processing_resolution": facts.resolution,
    }
    if not normals:
        index |= {
            "prediction_type": facts.modality,
            "scale_invariant": facts.scale_invariant,
            "shift_invariant": facts.shift_invariant,
        }
    (folder / "model_index.json").write_text(json.dumps(index, indent=2) + "\n")
    (folder / OWN_FILE).write_text(json.dumps(to_dict(facts), indent=2) + "\n")
