"""Exported stages behind the models' own signatures: what ``load(..., runtime=...)`` gives to the predictor.

Knows no engine by name and no photos' files.
"""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from diffusers import AutoencoderKL, UNet2DConditionModel
from jaxtyping import Float, Int
from torch import Tensor, nn

from latentdepth.core.schedule import from_config
from latentdepth.core.types import Prediction
from latentdepth.models.dense import DenseNetwork, Seen
from latentdepth.models.diffusion import DiffusionModel
from latentdepth.models.facts import read_facts
from latentdepth.models.guide import guide_of
from latentdepth.models.small_vae import Coder
from latentdepth.models.student import Student
from latentdepth.models.student_predictor import StudentPredictor
from latentdepth.options import Dtype, PredictOptions, Runtime
from latentdepth.runtimes.artefact import Artefact, Network, artefact_folder, read_artefact
from latentdepth.runtimes.engine import Engine, Graph, engine, pick_runtime_dtype
from latentdepth.runtimes.traced import DECODE, ENCODE, STEP, WHOLE

_COMPILED = "compiled"


class Exported:
    """The graphs of one model, and the sizes that they were checked at."""

    def __init__(self, folder: Path, found: Engine, artefact: Artefact, name: str, dtype: torch.dtype) -> None:
        self.folder, self.found, self.artefact, self.name, self.dtype = folder, found, artefact, name, dtype
        self.runtime = f"{found.runtime} {found.version}"

    def graph(self, stage: str) -> Graph:
        """One stage, in the dtype asked for; what is compiled of it stays in the folder, where that can be written."""
        folder = artefact_folder(self.folder, self.artefact.runtime)
        cache = folder / _COMPILED
        try:
            cache.mkdir(exist_ok=True)
        except OSError:
            cache = None
        return self.found.read(folder / f"{stage}{self.found.suffix}", dtype=self.dtype, cache=cache)

    def check(self, width: int, height: int) -> None:
        """Raises ValueError, saying what to type, for a size that nothing was compared at."""
        if (width, height) in self.artefact.sizes:
            return
        there = ", ".join(f"{w}x{h}" for w, h in sorted(self.artefact.sizes, reverse=True))
        raise ValueError(
            f"size is {width}x{height} (what the network sees), and {self.name} was exported for {self.found.runtime} "
            f"at {there}: type `latentdepth export {self.name} --runtime {self.found.runtime} --size {width}x{height}` "
            "to add it, or leave --runtime out to run on torch"
        )


class ExportedDiffusion(DiffusionModel):
    """A diffusion model whose stages run elsewhere, one image or member at a time; its own networks hold no weights.

    A small autoencoder that stands in for the full one still runs on torch, and so does the guide beside it, which is
    otherwise part of the first stage and read only then: its transformer takes seconds to import.
    """

    def __init__(self, exported: Exported) -> None:
        folder = exported.folder
        settings = {part: _settings(folder / part / "config.json") for part in ("unet", "vae")}
        scheduler = _settings(folder / "scheduler" / "scheduler_config.json")
        with torch.device("meta"):
            unet: Any = UNet2DConditionModel.from_config(settings["unet"])
            vae: Any = AutoencoderKL.from_config(settings["vae"])
        facts = read_facts(folder, settings["unet"], scheduler)
        super().__init__(unet, vae, from_config(scheduler), torch.zeros(1, 0, 1), facts)
        self.exported, self.runtime = exported, exported.runtime
        self.graphs = {stage: exported.graph(stage) for stage in (ENCODE, STEP, DECODE)}

    @property
    def device(self) -> torch.device:
        """The processor."""
        return torch.device("cpu")

    @property
    def dtype(self) -> torch.dtype:
        """What the engine computes in."""
        return self.exported.dtype

    @property
    def sides_px(self) -> tuple[int, int]:
        """As every diffusion model."""
        step, least = super().sides_px
        return (step, least) if self.facts.guide is None else (max(step, Student.stride), max(least, Student.stride))

    @property
    def seen_channels(self) -> int:
        """Of what ``condition`` gives."""
        if self.facts.guide is None:
            return super().seen_channels
        return int(self.unet.config["in_channels"]) - self.latent_channels

    def with_vae(self, coder: Coder) -> DiffusionModel:
        """As every diffusion model; ValueError, too, for a guide that isn't there."""
        model = super().with_vae(coder)
        model.guide = guide_of(self.exported.folder, self.facts, self.stride)
        return model

    def condition(
        self, images: Float[Tensor, "n 3 h w"], latent: Float[Tensor, "n c hl wl"] | None = None
    ) -> Float[Tensor, "n ci hl wl"]:
        """As every diffusion model; ValueError for a size that was not exported."""
        self.exported.check(images.shape[-1], images.shape[-2])
        if self.coder is not None:
            return super().condition(images, latent)
        return torch.cat([self.graphs[ENCODE](one.float()) for one in images.split(1)])

    def encode(self, images: Float[Tensor, "n 3 h w"]) -> Float[Tensor, "n c hl wl"]:
        """As every diffusion model; ValueError for a size that was not exported."""
        return self.condition(images)[:, : self.latent_channels] if self.coder is None else super().encode(images)

    def x0(
        self,
        x_t: Float[Tensor, "n c hl wl"],
        t: Int[Tensor, " n"],
        image_latent: Float[Tensor, "n ci hl wl"],
    ) -> Float[Tensor, "n c hl wl"]:
        """One network call for each row, turned into the clean latents they stand for."""
        alone = self.facts.image_enters == "as_latent"
        x_t = (image_latent if alone else x_t).cpu().float()
        network_in = x_t if alone else torch.cat((image_latent.cpu().float(), x_t), 1)
        rows = zip(network_in.split(1), t.cpu().long().split(1), strict=True)
        return self.schedule.x0(torch.cat([self.graphs[STEP](x, when) for x, when in rows]), x_t, t.cpu())

    def decode(self, latent: Float[Tensor, "n c hl wl"]) -> Float[Tensor, "n 3 h w"]:
        """As every diffusion model."""
        if self.coder is not None:
            return super().decode(latent)
        return torch.cat([self.graphs[DECODE](one.float()) for one in latent.split(1)])

    def save(self, folder: Path, *, dtype: torch.dtype | None = None) -> None:
        """Refused: there are no weights here."""
        raise ValueError(f"{self.exported.name} runs on {self.runtime} and holds no weights: load it on torch to save")


class ExportedDense(DenseNetwork):
    """A feed-forward network that runs elsewhere. Features stay inside and are an empty tensor here."""

    def __init__(self, exported: Exported, facts: Network) -> None:
        super().__init__()
        self.exported, self.facts = exported, facts
        self.stride = facts.stride  # pyright: ignore[reportAttributeAccessIssue]  (of the class, elsewhere)
        self.graph = exported.graph(WHOLE)
        # what a predictor reads dtype and device from
        self.register_parameter("precision", nn.Parameter(torch.empty(0, dtype=exported.dtype), requires_grad=False))

    @property
    def resolution(self) -> int:
        """Longer side in pixels that the network sees when none is asked for."""
        return self.facts.resolution

    @property
    def max_depth_m(self) -> float | None:
        """Of a metric network."""
        return self.facts.max_depth_m

    def forward(self, image: Float[Tensor, "n 3 h w"]) -> Seen:
        """One image at a time; ValueError for a size that was not exported."""
        self.exported.check(image.shape[-1], image.shape[-2])
        value = torch.cat([self.graph(one.float()) for one in image.split(1)])
        return Seen(value, image.new_empty((image.shape[0], 0, 0, 0)))


class ExportedPredictor(StudentPredictor):
    """A feed-forward network on another engine, which says so."""

    def __init__(self, network: ExportedDense, name: str) -> None:
        super().__init__(network, name)
        self.exported, self.facts = network.exported, network.facts

    def describe(self) -> dict[str, str | int | float | bool]:
        """What is known about the model, in printable words."""
        return super().describe() | {"parameters": self.facts.parameters, "runtime": self.exported.runtime}

    def __call__(self, images: Float[Tensor, "n 3 h w"], options: PredictOptions | None = None) -> Prediction:
        """As every feed-forward network."""
        prediction = super().__call__(images, options)
        return replace(prediction, made_with=dict(prediction.made_with) | {"runtime": self.exported.runtime})


def load_exported(folder: Path, runtime: Runtime, *, dtype: Dtype, name: str) -> ExportedDiffusion | ExportedPredictor:
    """The stages of ``folder`` that ``latentdepth export`` wrote for ``runtime``, on the processor.

    Raises ValueError, saying what to type, for a missing library, a dtype that it lacks here, and an export that is
    missing, damaged, stale or of another processor.
    """
    found = engine(runtime)
    precision = pick_runtime_dtype(dtype, found)
    artefact = read_artefact(folder, runtime, version=found.version, name=name)
    exported = Exported(folder, found, artefact, name, precision)
    if artefact.network is None:
        return ExportedDiffusion(exported)
    return ExportedPredictor(ExportedDense(exported, artefact.network), name)


def _settings(path: Path) -> dict[str, Any]:
    return json.loads(path.read_text(encoding="utf-8"))
