"""From photos to a dense prediction: the main path, in eight numbered stages.

    1 fit to processing size and pad      2 encode              -> image latent
    3 noise from (seed, member)           4 sample              -> latent
    5 decode                              6 unpad               -> members
    7 merge -> value, uncertainty         8 back to the image's size

Knows no files but through ``images.read``; stages 2, 4 and 5 belong to the model and are the only network calls.
Paper: Marigold (arXiv 2312.02145), figure 3.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial
from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Float, Int
from torch import Tensor

from latentdepth.adaptive import account, answers
from latentdepth.auto import Auto, Settings, asked
from latentdepth.core import samplers
from latentdepth.core.complexity import complexity
from latentdepth.core.modality import Modality, depth_like, fit_size, normals, pad, resize, to_float
from latentdepth.core.noise import generator, member_noise
from latentdepth.core.types import Prediction, Quantity
from latentdepth.models.diffusion import DiffusionModel
from latentdepth.models.kept_memory import kept_memory
from latentdepth.models.vae_choice import load_vae
from latentdepth.options import PredictOptions, SamplerName
from latentdepth.runtimes.predicting import ExportedDiffusion
from latentdepth.stages import Room, Sampler, Stages, rows_at_once

_EFFORT_BEST = {"steps": 4, "members": 10}


@runtime_checkable
class Predictor(Protocol):
    """Whatever turns images into a prediction: a diffusion model, a student, someone else's network."""

    modality: Modality

    def __call__(self, images: Float[Tensor, "n 3 h w"], options: PredictOptions) -> Prediction:
        """``images`` in [0, 1], all of one size."""
        ...


@runtime_checkable
class LoadedPredictor(Predictor, Protocol):
    """A predictor that came from a model's name."""

    name: str

    def __call__(self, images: Float[Tensor, "n 3 h w"], options: PredictOptions | None = None) -> Prediction:
        """As any predictor; without ``options`` all is what the model's folder says."""
        ...

    def describe(self) -> dict[str, str | int | float | bool]:
        """What is known about the model, in printable words."""
        ...


@dataclass(frozen=True)
class Plan:
    """Options with every None filled in, from the effort dial and the model's facts."""

    steps: int
    members: int
    resolution: int
    sampler: SamplerName
    seed: int
    match_input: bool
    batch: int | None
    vae: str = "full"
    auto: Auto | None = None
    """What is left to each photo; ``steps`` and ``members`` are then the most it may take."""


class DiffusionPredictor:
    """A latent diffusion model as a ``Predictor``. Results depend on (image, options) alone, never on batching."""

    def __init__(self, model: DiffusionModel, name: str, adaptive: Settings | None = None) -> None:
        self.model, self.name = model, name
        self.adaptive = adaptive or Settings()
        self._behind: dict[str, DiffusionModel] = {}
        facts = model.facts
        if facts.modality == "normals":
            self.modality = normals()
        else:
            self.modality = depth_like(
                Quantity(facts.modality),
                scale_invariant=facts.scale_invariant,
                shift_invariant=facts.shift_invariant,
            )

    def describe(self) -> dict[str, str | int | float | bool]:
        """What is known about the model, in printable words."""
        facts = self.model.facts
        guide = {} if facts.guide is None else {"guide": facts.guide}
        return {
            "model": self.name,
            "predicts": str(self.modality.kind),
            "parameters": sum(p.numel() for network in self.model.networks for p in network.parameters()),
            **guide,
            "default steps": facts.steps,
            "default resolution": facts.resolution,
            "sampler": facts.sampler,
            "network output": self.model.schedule.prediction_type,
            "spacing": self.model.schedule.spacing,
            "dtype": str(self.model.dtype).removeprefix("torch."),
            "device": str(self.model.device),
        }

    def plan(self, options: PredictOptions) -> Plan:
        """Fill in what was left open. Raises ValueError for values out of range."""
        facts, auto = self.model.facts, asked(options, self.adaptive)
        limits = {"steps": self.adaptive.most_steps, "members": self.adaptive.most_members}
        effort = {"fast": {"steps": 1}, "best": _EFFORT_BEST}.get(options.effort or "normal", {})
        fixed = {"steps": 1} if facts.sampler == "one_step" else {}
        found = {"steps": facts.steps, "members": 1, "resolution": facts.resolution, **effort, **fixed}
        for key in found:
            given = getattr(options, key)
            if given is not None:
                found[key] = limits[key] if given == "auto" else given
            least = 0 if key == "resolution" else 1
            if found[key] < least:
                raise ValueError(f"{key} is {found[key]}; allowed is {least} or more")
        if options.batch is not None and options.batch < 1:
            raise ValueError(f"batch is {options.batch}; allowed is 1 or more")
        sampler = options.sampler or facts.sampler
        if sampler == "one_step" and found["steps"] != 1:
            raise ValueError(f"steps is {found['steps']}; the one_step sampler allows 1")
        if facts.image_enters == "as_latent" and sampler != "one_step":
            raise ValueError(
                f"sampler is {sampler}; this model takes the image itself as its input and allows one_step"
            )
        if auto is not None:
            self._check_auto(auto, sampler)
        return Plan(
            **found,
            sampler=sampler,
            seed=options.seed,
            match_input=options.match_input,
            batch=options.batch,
            vae=options.vae or "full",
            auto=auto,
        )

    def _check_auto(self, auto: Auto, sampler: SamplerName) -> None:
        facts = self.model.facts
        if auto.steps is not None and sampler != "ddim":
            raise ValueError(f"steps is auto and sampler is {sampler}; steps are chosen for the ddim sampler only")
        if auto.members and (facts.start == "zeros" or facts.image_enters == "as_latent"):
            raise ValueError("members is auto; this model draws no noise, so that all its members are the same one")

    def behind(self, vae: str) -> DiffusionModel:
        """The model as it sees and answers through the autoencoder ``vae``, which is loaded when it is first asked for.

        Raises ValueError where there is none of that name, or it is made for another model.
        """
        if vae == "full":
            return self.model
        if vae not in self._behind:
            self._behind[vae] = self.model.with_vae(load_vae(vae, self.name))
        return self._behind[vae]

    def sampler(self, plan: Plan, members: list[int]) -> Sampler:
        """Stage 4 as a function of (denoise, start noise)."""
        schedule = self.model.schedule
        if plan.sampler == "one_step":
            return partial(_one_step, schedule=schedule, timestep=self.model.facts.timestep)
        if plan.sampler == "ddim":
            return partial(samplers.ddim, schedule=schedule, steps=plan.steps)

        def lcm(denoise: samplers.Denoise, noise: Tensor) -> Tensor:
            shape = (noise.shape[1], noise.shape[2], noise.shape[3])

            def renoise(step: int) -> Tensor:
                draws = [torch.randn(shape, generator=generator("lcm", plan.seed, k, step)) for k in members]
                return torch.stack(draws).to(noise)

            return samplers.lcm(denoise, noise, schedule, plan.steps, renoise=renoise)

        return lcm

    def start(self, plan: Plan, members: list[int], shape: tuple[int, int, int]) -> Float[Tensor, "e c hl wl"]:
        """Stage 3: start noise, or zeros where the folder asks for them."""
        if self.model.facts.start == "zeros":
            return torch.zeros((len(members), *shape), device=self.model.device)
        return member_noise(plan.seed, members, shape).to(self.model.device)

    def stages(
        self, images: Float[Tensor, "n 3 h w"], plan: Plan, noise: Float[Tensor, "e c hl wl"] | None = None
    ) -> Stages:
        """Stages 1 and 2, done, and 3 to 6 for whoever decides on steps and members. ``noise`` replaces stage 3."""
        model = self.behind(plan.vae)
        height, width = fit_size(images.shape[-2], images.shape[-1], plan.resolution)
        fitted = resize(images * 2 - 1, (height, width))  # 1
        padded = pad(fitted, model.sides_px[0])
        pixels, channels = padded.shape[-2] * padded.shape[-1], int(model.vae.config["block_out_channels"][0])
        room = Room(plan.batch or rows_at_once(pixels, width=channels, dtype=model.dtype, device=model.device))
        image_latent = room(model.condition, padded)  # 2: once, for all members
        shape = (model.latent_channels, image_latent.shape[2], image_latent.shape[3])

        def start(members: list[int]) -> Float[Tensor, "e c hl wl"]:
            return self.start(plan, members, shape) if noise is None else noise[members].to(self.model.device)  # 3

        def denoise(
            x: Float[Tensor, "a c hl wl"], t: Int[Tensor, " a"], rows: Int[Tensor, " a"]
        ) -> Float[Tensor, "a c hl wl"]:
            return room(model.x0, x, t, image_latent[rows.to(image_latent.device)])

        def sampler(steps: int, members: list[int]) -> Sampler:
            return self.sampler(replace(plan, steps=steps), members)  # 4

        def values(latent: Float[Tensor, "a c hl wl"]) -> Float[Tensor, "a cv h w"]:
            picture = room(model.decode, latent)[..., :height, :width]  # 5, 6
            return self.modality.from_decoded(picture).float().cpu()

        merge = self.modality.merge
        return Stages(len(images), self.model.schedule, start, denoise, sampler, values, merge, room.rows)

    @kept_memory()
    @torch.inference_mode()
    def members(
        self, image: Float[Tensor, "1 3 h w"], plan: Plan, noise: Float[Tensor, "e c hl wl"] | None = None
    ) -> Float[Tensor, "1 e cv hp wp"]:
        """Stages 1 to 6 for one image: every member's value at processing size. ``noise`` replaces stage 3."""
        return self.stages(image, plan, noise).draw(0, range(plan.members), plan.steps)

    @kept_memory()
    @torch.inference_mode()
    def latent(
        self, image: Float[Tensor, "1 3 h w"], options: PredictOptions | None = None
    ) -> tuple[Float[Tensor, "1 c hl wl"], Float[Tensor, "1 1 hl wl"]]:
        """Mean of the members' clean latents, and their standard deviation averaged over channels (one member: zero).

        Nothing is decoded, which is most of a prediction's time: for whoever wants a latent to start from or to
        compare, or where members differ, but no map. ``image`` in [0, 1]. Raises ValueError for steps or members auto,
        which are judged by decoded maps.
        """
        plan = self.plan(options or PredictOptions())
        if plan.auto is not None:
            raise ValueError("steps or members is auto, which is judged by decoded maps; give numbers for a latent")
        drawn = self.stages(to_float(image), plan).latents(0, range(plan.members), plan.steps)
        spread = drawn.std(0, correction=min(1, len(drawn) - 1)).mean(0)
        return drawn.mean(0)[None], spread[None, None]

    @kept_memory()
    @torch.inference_mode()
    def __call__(
        self,
        images: Float[Tensor, "n 3 h w"],
        options: PredictOptions | None = None,
        *,
        noise: Float[Tensor, "e c hl wl"] | None = None,
    ) -> Prediction:
        """Predict for ``images`` in [0, 1], all of one size; see the stages above. ``noise``: start of every member."""
        plan = self.plan(options or PredictOptions())
        images = to_float(images)
        values, uncertainties, spent = [], [], []
        found = None
        if plan.auto is not None:
            measured = complexity(images) if plan.auto.steps == "rule" else None
            stages = self.stages(images, plan, noise)
            found = answers(stages, plan.auto, steps=plan.steps, members=plan.members, measured=measured)
            spent = [one.spent for one in found]
        for index, image in enumerate(images.split(1)):
            members = self.members(image, plan, noise) if found is None else found[index].members
            if not bool(torch.isfinite(members).all()):
                raise ValueError(
                    f"{self.name} gave NaN or infinity in {self.model.dtype}; try --dtype float32 (or bfloat16)"
                )
            value, uncertainty = self.modality.merge(members) if members.shape[1] > 1 else (members[:, 0], None)  # 7
            size = (image.shape[-2], image.shape[-1])
            if plan.match_input:  # 8
                # no antialias: diffusers resizes back without, and results have to agree where images shrink too
                value = self.modality.finish(resize(value, size, antialias=False))
                uncertainty = None if uncertainty is None else resize(uncertainty, size, antialias=False)
            values.append(value)
            uncertainties += [] if uncertainty is None else [uncertainty]
        return Prediction(
            value=torch.cat(values),
            kind=self.modality.kind,
            uncertainty=torch.cat(uncertainties) if uncertainties else None,
            made_with={
                "model": self.name,
                "steps": plan.steps,
                "members": plan.members,
                "resolution": plan.resolution,
                "sampler": plan.sampler,
                "seed": plan.seed,
                "dtype": str(self.model.dtype).removeprefix("torch."),
            }
            | ({} if plan.vae == "full" else {"vae": plan.vae})
            | ({"runtime": self.model.runtime} if isinstance(self.model, ExportedDiffusion) else {})
            | ({} if plan.auto is None else account(spent, plan.auto)),
        )


def _one_step(
    denoise: samplers.Denoise, noise: Tensor, *, schedule: samplers.Schedule, timestep: int | None
) -> Float[Tensor, "n c hl wl"]:
    return samplers.one_step(denoise, noise, schedule, timestep=timestep)
