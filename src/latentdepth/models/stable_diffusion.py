"""From a Stable Diffusion folder to a network that training can start from: surgery, schedule, facts.

Knows no tasks. Papers: Marigold (arXiv 2312.02145) for the input beside the noise, zero terminal SNR (2305.08891),
Lotus (2409.18124) for the switch.
"""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Literal

import torch
from diffusers import UNet2DConditionModel

from latentdepth.core.schedule import Schedule, scaled_linear, zero_terminal_snr
from latentdepth.models.diffusion import DiffusionModel, load_networks, widened
from latentdepth.models.facts import Facts, ModalityName

ScheduleName = Literal["base", "zero_snr"]

WHERE = (
    "Stable Diffusion 2, which Marigold started from, is no longer at its first address: "
    "stabilityai/stable-diffusion-2 left the hub in November 2025. The same weights are had from community mirrors "
    "under https://huggingface.co/sd2-community and from the Marigold authors' archive, "
    "https://share.phys.ethz.ch/~pf/bingkedata/marigold/checkpoint/stable-diffusion-2.tar"
)


def from_stable_diffusion(
    folder: Path,
    *,
    modality: ModalityName,
    targets: int = 1,
    schedule: ScheduleName = "zero_snr",
    switch: bool = False,
    resolution: int = 768,
) -> DiffusionModel:
    """A depth, disparity or normals model to train, from a Stable-Diffusion-layout folder; float32, on the CPU.

    ``targets`` pictures are predicted beside the photo. ``schedule`` base keeps the folder's own (Marigold v1.0),
    zero_snr rescales it and spaces steps trailing (v1.1). ``switch`` makes the form of Lotus-D instead: the photo's
    latent is the whole input, the clean latent is predicted, and a class embedding of four numbers, whose output
    starts at zero, tells the two tasks apart. ``resolution`` is the longer side that the model will be asked for.

    Raises ValueError for a folder that is not there (saying where such weights are had), is already a depth model,
    has other channels than 4, or noise betas other than Stable Diffusion's.
    """
    config_path = folder / "unet" / "config.json"
    if not config_path.exists():
        raise ValueError(f"{config_path} is missing: the base model is to be a folder in the diffusers layout. {WHERE}")
    try:
        channels = json.loads(config_path.read_text()).get("in_channels")
    except (ValueError, AttributeError):
        channels = 4  # a broken file is named by the loader, with what is broken
    if channels != 4:
        raise ValueError(
            f"{config_path}: in_channels is {channels}; a text-to-image base has 4 (8 is a depth model already, "
            "9 is for inpainting)"
        )
    unet, vae, base, prompt = load_networks(folder)
    own = _own_schedule(folder, base, schedule)
    if switch:
        if targets != 1:
            raise ValueError(f"targets is {targets}; the form with a switch predicts 1 picture")
        own = dataclasses.replace(own, prediction_type="sample")
        facts = Facts(modality=modality, steps=1, resolution=resolution, sampler="one_step", image_enters="as_latent")
        return DiffusionModel(switched(unet), vae, own, prompt, facts)
    facts = Facts(modality=modality, steps=4 if own.spacing == "trailing" else 10, resolution=resolution)
    return DiffusionModel(widened(unet, targets), vae, own, prompt, facts)


def switched(unet: UNet2DConditionModel) -> UNet2DConditionModel:
    """The network with a class embedding of four numbers, added to the time embedding.

    The embedding's last layer starts at zero, so the network starts as what it was; its other layer takes its random
    start from torch's global generator. Returns a new network with copies of the other weights.
    """
    config = dict(unet.config) | {"class_embed_type": "projection", "projection_class_embeddings_input_dim": 4}
    new = UNet2DConditionModel.from_config(config)
    assert isinstance(new, UNet2DConditionModel)
    weights = dict(new.state_dict()) | dict(unet.state_dict())
    for name in ("class_embedding.linear_2.weight", "class_embedding.linear_2.bias"):
        weights[name] = torch.zeros_like(weights[name])
    new.load_state_dict(weights)
    return new


def _own_schedule(folder: Path, base: Schedule, name: ScheduleName) -> Schedule:
    """The folder's schedule or its rescaled form; only Stable Diffusion's betas can be written back."""
    plain = scaled_linear(length=base.length)
    if not torch.allclose(base.signal, plain) and not torch.allclose(base.signal, zero_terminal_snr(plain)):
        raise ValueError(
            f"{folder}/scheduler/scheduler_config.json: the betas are not Stable Diffusion's (scaled_linear from "
            "0.00085 to 0.012); other schedules can't be written into the saved model"
        )
    if name == "base":
        return base
    if base.prediction_type == "epsilon":
        raise ValueError(
            f"{folder} predicts noise (epsilon), which says nothing of the picture at zero terminal SNR; give schedule "
            "base, or a base model with v_prediction such as Stable Diffusion 2 (768)"
        )
    return dataclasses.replace(base, signal=zero_terminal_snr(plain), spacing="trailing")
