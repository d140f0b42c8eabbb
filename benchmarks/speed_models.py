"""What ``speed`` runs: a model folder of Stable Diffusion 2's shape with random weights, and both sides on it.

Speed, memory and agreement of two implementations don't depend on what the weights are; accuracy does, and is measured
elsewhere.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import torch
from benchmarks.train_step import random_model
from diffusers import UNet2DConditionModel
from torch import Tensor

from latentdepth.loading import load
from latentdepth.models.diffusion import DiffusionModel, load_diffusion
from latentdepth.models.kept_memory import give_back, kept_memory
from latentdepth.models.others.diffusers_marigold import MarigoldPipelinePredictor
from latentdepth.models.small_vae import FOLDER, new_small_vae
from latentdepth.models.source import resolve
from latentdepth.options import DIFFUSION_MODEL, Device, PredictOptions
from latentdepth.predictor import DiffusionPredictor

STAGES = ("encode", "U-Net", "decode")


@dataclass(frozen=True)
class Work:
    """One photo's prediction."""

    height: int
    width: int
    steps: int = 1
    members: int = 1

    @property
    def title(self) -> str:
        """As a table's first column says it."""
        parts = [f"{self.width} x {self.height}", f"{self.steps} step{'s' * (self.steps > 1)}"]
        return ", ".join(parts + [f"{self.members} members"] * (self.members > 1))


@dataclass(frozen=True)
class Taken:
    """Time of one prediction, and what it gave."""

    wall_s: float
    cpu_s: float
    stages: dict[str, tuple[float, float]]
    """Wall and CPU seconds of every network."""
    depth: Tensor = field(repr=False)


def full_size_folder(folder: Path) -> Path:
    """``folder`` with 949 million random weights in bfloat16 (1.9 GB), written when it is not there yet."""
    if not (folder / "model_index.json").exists():
        print(f"writing random weights of the full shape to {folder} (1.9 GB, once)", flush=True)
        random_model("full", torch.bfloat16).save(folder)
    if not (folder / FOLDER / "config.json").exists():
        new_small_vae(latent_channels=4).save(folder / FOLDER)
    return folder


@contextlib.contextmanager
def _timed(spent: dict[str, list[float]], name: str) -> Iterator[None]:
    _settle()
    wall, cpu = time.perf_counter(), time.process_time()
    yield
    _settle()
    for key, began, clock in (("wall", wall, time.perf_counter), ("cpu", cpu, time.process_time)):
        spent.setdefault(f"{name} {key}", []).append(clock() - began)


def _settle() -> None:
    if torch.cuda.is_available():
        torch.cuda.synchronize()


def _watched(owner: Any, attribute: str, spent: dict[str, list[float]], name: str) -> None:
    """Time every call of ``owner.attribute``."""
    inner: Callable[..., Any] = getattr(owner, attribute)

    def outer(*args: Any, **kwargs: Any) -> Any:
        with _timed(spent, name):
            return inner(*args, **kwargs)

    setattr(owner, attribute, outer)


class Side:
    """One implementation on one model, asked for the same photo from the same noise."""

    def __init__(
        self, title: str, model: str, dtype: torch.dtype, device: Device, *, vae: Literal["full", "small"] = "full"
    ) -> None:
        self.title, self.dtype, self.vae = title, dtype, vae
        self._spent: dict[str, list[float]] = {}
        name: Any = str(dtype).removeprefix("torch.")
        self.predictor: Any = load(model, device=device, dtype=name)
        if isinstance(self.predictor, MarigoldPipelinePredictor):
            pipeline = self.predictor.pipeline
            parts = ((pipeline.vae, "encode"), (pipeline.unet, "forward"), (pipeline.vae, "decode"))
        else:
            assert isinstance(self.predictor, DiffusionPredictor)
            model_behind = self.predictor.behind(vae)
            parts = tuple((model_behind, attribute) for attribute in ("encode", "x0", "decode"))
        for (owner, attribute), stage in zip(parts, STAGES, strict=True):
            _watched(owner, attribute, self._spent, stage)

    def predict(self, photo: Tensor, noise: Tensor, work: Work) -> Taken:
        """Depth of ``photo`` (1 3 h w) from ``noise`` (e 4 h/8 w/8). diffusers takes members one by one, its default.

        Memory that the other side has kept is given back first, so that neither gains by the other's. Ours is then
        timed as in a loop over photos, where the one before has left its memory; theirs leaves none.
        """
        give_back()
        ours = isinstance(self.predictor, DiffusionPredictor)
        with torch.inference_mode(), kept_memory() if ours else contextlib.nullcontext():
            if ours:
                self._depth(photo, noise, work)
            self._spent.clear()
            with _timed(self._spent, "all"):
                depth = self._depth(photo, noise, work)
        stages = {stage: (sum(self._spent[f"{stage} wall"]), sum(self._spent[f"{stage} cpu"])) for stage in STAGES}
        return Taken(self._spent["all wall"][0], self._spent["all cpu"][0], stages, depth)

    def _depth(self, photo: Tensor, noise: Tensor, work: Work) -> Tensor:
        if isinstance(self.predictor, MarigoldPipelinePredictor):
            pipeline = self.predictor.pipeline
            found = pipeline(
                photo,
                num_inference_steps=work.steps,
                ensemble_size=work.members,
                processing_resolution=0,
                latents=noise.to(pipeline.unet.device, pipeline.unet.dtype),
                output_type="pt",
                output_uncertainty=work.members > 1,
            )
            return found.prediction.float().cpu()
        options = PredictOptions(steps=work.steps, members=work.members, resolution=0, vae=self.vae)
        return self.predictor(photo, options, noise=noise).value

    @contextlib.contextmanager
    def at(self, dtype: torch.dtype) -> Iterator[None]:
        """The same weights in another precision, for a while; from bfloat16 and back nothing is lost."""
        pipeline = self.predictor.pipeline
        own, prompt = pipeline.unet.dtype, pipeline.empty_text_embedding
        pipeline.to(dtype)
        pipeline.empty_text_embedding = prompt.to(dtype)
        yield
        pipeline.to(own)
        pipeline.empty_text_embedding = prompt


def unguided(folder: Path) -> Path:
    """The embedded diffusion model in ``folder`` without its guide, of which diffusers knows nothing.

    What it predicts is of no use; how long that takes doesn't depend on the weights.
    """
    model = load_diffusion(resolve(DIFFUSION_MODEL), device=torch.device("cpu"), dtype=torch.float32)
    unet, latent = model.unet, model.latent_channels
    plain = UNet2DConditionModel.from_config(dict(unet.config) | {"in_channels": 2 * latent})
    assert isinstance(plain, UNet2DConditionModel)
    weights = dict(unet.state_dict())
    kernel = weights["conv_in.weight"]
    weights["conv_in.weight"] = torch.cat((kernel[:, :latent], kernel[:, -latent:]), 1)
    plain.load_state_dict(weights)
    DiffusionModel(plain, model.vae, model.schedule, model.prompt, model.facts).save(folder)
    return folder
