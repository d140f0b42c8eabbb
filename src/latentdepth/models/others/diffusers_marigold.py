"""diffusers' own Marigold pipelines as a predictor: the outside implementation that ours is measured against.

The same folders as ``models.diffusion`` reads, but every stage is theirs, the ensembling by scipy included. Paper:
Marigold (arXiv 2312.02145).
"""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from safetensors.torch import load_file
from torch import Tensor

from latentdepth.core.modality import depth_like, normals, to_float
from latentdepth.core.types import Prediction, Quantity
from latentdepth.models.diffusion import EMPTY_PROMPT
from latentdepth.options import PredictOptions

_PIPELINES = ("MarigoldDepthPipeline", "MarigoldNormalsPipeline")


class MarigoldPipelinePredictor:
    """A pipeline of diffusers, asked for one image at a time."""

    def __init__(self, pipeline: Any, name: str) -> None:
        self.pipeline, self.name = pipeline, name
        if type(pipeline).__name__ == "MarigoldNormalsPipeline":
            self.modality = normals()
        else:
            self.modality = depth_like(
                Quantity(pipeline.config.prediction_type or "depth"),
                scale_invariant=pipeline.config.scale_invariant is not False,
                shift_invariant=pipeline.config.shift_invariant is not False,
            )

    def describe(self) -> dict[str, str | int | float | bool]:
        """What is known about the model, in printable words."""
        networks = (self.pipeline.unet, self.pipeline.vae)
        return {
            "model": self.name,
            "predicts": str(self.modality.kind),
            "parameters": sum(p.numel() for network in networks for p in network.parameters()),
            "network": f"diffusers' {type(self.pipeline).__name__}",
            "dtype": str(self.pipeline.unet.dtype).removeprefix("torch."),
            "device": str(self.pipeline.unet.device),
        }

    @torch.inference_mode()
    def __call__(self, images: Float[Tensor, "n 3 h w"], options: PredictOptions | None = None) -> Prediction:
        """Predict for ``images`` in [0, 1], all of one size. Every image starts from the noise of the same seed.

        Raises ValueError for what their pipelines have no words for (a sampler, the effort dial), for values out of
        range, and for NaN or infinity.
        """
        options = options or PredictOptions()
        steps = self._setting("steps", options, self.pipeline.default_denoising_steps)
        resolution = self._setting("resolution", options, self.pipeline.default_processing_resolution)
        _refuse(options)
        members = self._setting("members", options, 1)
        values, uncertainties = [], []
        for image in to_float(images).split(1):
            found = self.pipeline(
                image,
                num_inference_steps=steps,
                ensemble_size=members,
                processing_resolution=resolution,
                match_input_resolution=options.match_input,
                batch_size=options.batch or 1,
                generator=torch.Generator().manual_seed(options.seed),
                output_type="pt",
                output_uncertainty=members > 1,
            )
            value = found.prediction.float().cpu()
            if not bool(torch.isfinite(value).all()):
                raise ValueError(f"{self.name} gave NaN or infinity in {self.pipeline.unet.dtype}; try --dtype float32")
            values.append(value)
            if members > 1:
                uncertainties.append(found.uncertainty.float().cpu())
        return Prediction(
            value=torch.cat(values),
            kind=self.modality.kind,
            uncertainty=torch.cat(uncertainties) if uncertainties else None,
            made_with={
                "model": self.name,
                "network": f"diffusers {type(self.pipeline).__name__}",
                "steps": steps,
                "members": members,
                "resolution": resolution,
                "seed": options.seed,
                "dtype": str(self.pipeline.unet.dtype).removeprefix("torch."),
            },
        )

    def _setting(self, key: str, options: PredictOptions, default: int | None) -> int:
        asked = getattr(options, key)
        value = default if asked is None else asked
        if value is None:
            raise ValueError(f"{self.name} says nothing of {key} in its model_index.json: give {key}")
        return value


def load_pipeline(folder: Path, *, device: torch.device, dtype: torch.dtype, name: str) -> MarigoldPipelinePredictor:
    """diffusers' pipeline on the weights of ``folder``, offline.

    Raises ValueError for other pipelines, weights that are missing or pickled, and folders without any way to the
    embedding of the empty prompt.
    """
    import diffusers

    index = json.loads((folder / "model_index.json").read_text(encoding="utf-8"))
    class_name = index.get("_class_name")
    if class_name not in _PIPELINES:
        raise ValueError(
            f"{folder}/model_index.json: pipeline is {class_name!r}; diffusers' own implementation exists for "
            f"{' and '.join(_PIPELINES)}"
        )
    for part in ("unet", "vae"):
        if not any((folder / part).glob("*.safetensors")):
            raise ValueError(f"{folder}/{part} holds no safetensors; pickled weights are never opened")
    # parts that the index names as absent, or that a folder with an embedded prompt leaves out
    absent: dict[str, Any] = {part: None for part in ("text_encoder", "tokenizer") if not (folder / part).is_dir()}
    if absent and not (folder / EMPTY_PROMPT).exists():
        raise ValueError(f"{folder} has neither {EMPTY_PROMPT} nor text_encoder/ and tokenizer/; one of them is needed")
    try:
        pipeline = (
            getattr(diffusers, class_name)
            .from_pretrained(folder, torch_dtype=dtype, use_safetensors=True, local_files_only=True, **absent)
            .to(device)
        )
    except Exception as error:
        raise ValueError(f"{folder}: diffusers can't load {class_name}: {error}") from error
    if absent:
        pipeline.empty_text_embedding = load_file(folder / EMPTY_PROMPT)["embedding"].to(device, dtype)
    pipeline.set_progress_bar_config(disable=True)
    return MarigoldPipelinePredictor(pipeline, name)


def _refuse(options: PredictOptions) -> None:
    if options.sampler is not None:
        raise ValueError(f"sampler is {options.sampler}; diffusers' pipelines take the one of the folder: leave it out")
    if options.vae not in (None, "full"):
        raise ValueError(f"vae is {options.vae}; diffusers' pipelines run the one of the folder: leave it out")
    if options.effort not in (None, "normal"):
        raise ValueError(f"effort is {options.effort}; diffusers' pipelines have no such dial: give steps and members")
    for key, least in (("steps", 1), ("members", 1), ("resolution", 0), ("batch", 1)):
        asked = getattr(options, key)
        if asked == "auto":
            raise ValueError(f"{key} is auto; diffusers' pipelines take a number: give one, or leave it out")
        if asked is not None and asked < least:
            raise ValueError(f"{key} is {asked}; allowed is {least} or more")
    if options.members not in (None, 1) and importlib.util.find_spec("scipy") is None:
        raise ValueError(f"members is {options.members}; diffusers merges members with scipy: pip install scipy")
