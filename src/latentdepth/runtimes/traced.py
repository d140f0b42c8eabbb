"""The heavy stages as plain networks, tensors in and one tensor out, and real inputs for each.

What never changes is inside: the prompt, the task's label, the latent's scale. Knows no engines.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import torch
from diffusers import AutoencoderKL, UNet2DConditionModel
from jaxtyping import Float, Int
from torch import Tensor, nn

from latentdepth.core import samplers
from latentdepth.core.modality import fit_size
from latentdepth.core.noise import generator, member_noise
from latentdepth.models.dense import DenseNetwork
from latentdepth.models.diffusion import DiffusionModel, decoded, load_diffusion, posterior
from latentdepth.models.guide import Guide
from latentdepth.models.student import folded, is_student, load_student
from latentdepth.models.student_predictor import fitted_size
from latentdepth.models.teacher import is_teacher, load_teacher_network
from latentdepth.runtimes.artefact import Network

_SHAPES = ((4, 3), (3, 4), (3, 2), (2, 3), (16, 9), (9, 16), (1, 1))
_STEPS = 4  # at least, of those that say what a U-Net may meet: predictions take 1 to 4
ENCODE, STEP, DECODE, WHOLE = "encode", "step", "decode", "network"


class Encode(nn.Module):
    """Images in [-1, 1] to the scaled mean of the posterior, and behind it the guide's map where there is one."""

    def __init__(self, vae: AutoencoderKL, guide: Guide | None) -> None:
        super().__init__()
        self.vae, self.scale = vae, float(vae.config["scaling_factor"])
        self.guide = guide

    def forward(self, images: Float[Tensor, "1 3 h w"]) -> Float[Tensor, "1 ci hl wl"]:
        latent = posterior(self.vae, images).mode() * self.scale
        return latent if self.guide is None else torch.cat((latent, self.guide(images)), 1)


class Step(nn.Module):
    """What the U-Net says of its input (with the image's latent beside, or alone) at one time step."""

    prompt: Tensor

    def __init__(self, unet: UNet2DConditionModel, prompt: Tensor, label: tuple[float, ...] | None) -> None:
        super().__init__()
        self.unet: Any = unet
        self.register_buffer("prompt", prompt)
        self.register_buffer("label", None if label is None else torch.tensor([label]))

    def forward(self, network_in: Float[Tensor, "1 ci hl wl"], t: Int[Tensor, " 1"]) -> Float[Tensor, "1 co hl wl"]:
        said = self.unet(network_in, t, encoder_hidden_states=self.prompt, class_labels=self.label, return_dict=False)
        return said[0]


class Decode(nn.Module):
    """Scaled latent to picture."""

    def __init__(self, vae: AutoencoderKL) -> None:
        super().__init__()
        self.vae, self.scale = vae, float(vae.config["scaling_factor"])

    def forward(self, latent: Float[Tensor, "1 c hl wl"]) -> Float[Tensor, "1 3 h w"]:
        return decoded(self.vae, latent / self.scale)


class Whole(nn.Module):
    """A feed-forward network's values, without its features."""

    def __init__(self, network: DenseNetwork) -> None:
        super().__init__()
        self.network = network

    def forward(self, image: Float[Tensor, "1 3 h w"]) -> Float[Tensor, "1 1 h w"]:
        return self.network(image).value


Inputs = tuple[Tensor, ...]


@runtime_checkable
class Inspect(Protocol):
    """Runs torch on a photo to find what the stages take."""

    def __call__(self, photo: Float[Tensor, "1 3 h w"], *, every_step: bool = False) -> dict[str, list[Inputs]]:
        """Of each stage, for a photo in [0, 1] whose sides are multiples of the stride.

        The sampler's first step alone, or every one: of a single jump, and of at least four steps.
        """
        ...


@dataclass(frozen=True)
class Traceable:
    """A model in float32, cut into stages."""

    stages: dict[str, nn.Module]
    stride: int
    inputs: Inspect
    sizes: tuple[tuple[int, int], ...]
    """(width, height) that photos of usual shapes come to at the model's own resolution."""
    network: Network | None
    affine: bool
    """Whether the answer of its one stage has any scale and shift, which no loss held."""


def traceable(folder: Path) -> Traceable:
    """The model of ``folder``. Raises ValueError for one of other people's networks, and as the loaders do."""
    if (folder / "unet").is_dir():
        return _of_diffusion(load_diffusion(folder, device=torch.device("cpu"), dtype=torch.float32))
    if not is_student(folder) and not is_teacher(folder):
        raise ValueError(
            f"{folder} is neither a diffusion model in diffusers' layout nor a student: it runs on torch alone"
        )
    network = folded(load_student(folder)) if is_student(folder) else load_teacher_network(folder)
    whole = Whole(network.requires_grad_(False)).eval()
    facts = Network(
        network.stride, network.resolution, sum(p.numel() for p in network.parameters()), network.max_depth_m
    )

    def inputs(photo: Float[Tensor, "1 3 h w"], *, every_step: bool = False) -> dict[str, list[Inputs]]:
        return {WHOLE: [(photo,)]}

    shapes = ((h * 1000, w * 1000) for w, h in _SHAPES)
    fitted = (fitted_size(h, w, network.resolution, network.stride) for h, w in shapes)
    sizes = tuple(dict.fromkeys((w, h) for h, w in fitted))
    return Traceable({WHOLE: whole}, network.stride, inputs, sizes, facts, affine=network.max_depth_m is None)


def _of_diffusion(model: DiffusionModel) -> Traceable:
    facts, stride = model.facts, model.sides_px[0]
    for network in model.networks:
        network.requires_grad_(False)
    stages: dict[str, nn.Module] = {
        ENCODE: Encode(model.vae, model.guide).eval(),
        STEP: Step(model.unet, model.prompt, facts.task_embedding).eval(),
        DECODE: Decode(model.vae).eval(),
    }

    @torch.inference_mode()
    def inputs(photo: Float[Tensor, "1 3 h w"], *, every_step: bool = False) -> dict[str, list[Inputs]]:
        image = photo * 2 - 1
        latent = stages[ENCODE](image)
        shape = (model.latent_channels, latent.shape[2], latent.shape[3])
        start = torch.zeros((1, *shape)) if facts.start == "zeros" else member_noise(0, [0], shape)
        alone = facts.image_enters == "as_latent"
        steps: list[Inputs] = []

        def denoise(x: Tensor, t: Tensor) -> Tensor:
            noisy = latent if alone else x
            steps.append((latent if alone else torch.cat((latent, x), 1), t))
            return model.schedule.x0(stages[STEP](*steps[-1]), noisy, t)

        def renoise(step: int) -> Tensor:
            return torch.randn((1, *shape), generator=generator("lcm", 0, 0, step))

        clean = [samplers.one_step(denoise, start, model.schedule, timestep=facts.timestep)]
        if every_step and facts.sampler == "ddim":
            clean.append(samplers.ddim(denoise, start, model.schedule, max(facts.steps, _STEPS)))
        elif every_step and facts.sampler == "lcm":
            clean.append(samplers.lcm(denoise, start, model.schedule, max(facts.steps, _STEPS), renoise=renoise))
        return {ENCODE: [(image,)], STEP: steps, DECODE: [(one,) for one in clean]}

    def seen(width: int, height: int) -> tuple[int, int]:
        fitted = fit_size(height * 1000, width * 1000, facts.resolution or 768)
        h, w = (-(-side // stride) * stride for side in fitted)
        return w, h

    sizes = tuple(dict.fromkeys(seen(*shape) for shape in _SHAPES))
    return Traceable(stages, stride, inputs, sizes, None, affine=False)


def example(stage: str, traced: Traceable) -> Inputs:
    """Inputs to trace ``stage`` with.

    Their latent has odd sides, so that what a U-Net does for sides that don't halve evenly is part of the trace; for
    those that do, it does the same.
    """
    height, width = 9 * traced.stride, 11 * traced.stride
    photo = torch.rand((1, 3, height, width), generator=torch.Generator().manual_seed(0))
    # copies, because the tracer takes no tensors that were made in inference mode
    return tuple(one.clone() for one in traced.inputs(photo)[stage][0])
