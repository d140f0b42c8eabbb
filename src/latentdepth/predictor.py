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
from latentdepth.auto import Auto, Settings, asked, read_settings
from latentdepth.core import samplers
from latentdepth.core.complexity import complexity
from latentdepth.core.modality import Modality, depth_like, fit_size, normals, pad, resize, to_float
from latentdepth.core.noise import generator, member_noise
from latentdepth.core.types import Prediction, Quantity
from latentdepth.models.diffusion import DiffusionModel, load_diffusion
from latentdepth.models.kept_memory import kept_memory
from latentdepth.models.others.load import is_other, load_other
from latentdepth.models.source import SCHEMES, resolve
from latentdepth.models.student import is_student
from latentdepth.models.student_predictor import StudentPredictor, load_student_predictor
from latentdepth.models.teacher import is_teacher, load_teacher_network
from latentdepth.models.vae_choice import load_vae
from latentdepth.options import DEFAULT_MODEL, Device, Dtype, PredictOptions, Runtime, SamplerName
from latentdepth.runtimes.predicting import ExportedDiffusion, load_exported
from latentdepth.stages import Room, Sampler, Stages

_BYTES_PER_PIXEL = 3500  # a full-size VAE decoder in bfloat16: 768 x 576 peaks 1.5 GB above the weights
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
        parameters = sum(p.numel() for net in (self.model.unet, self.model.vae) for p in net.parameters())
        return {
            "model": self.name,
            "predicts": str(self.modality.kind),
            "parameters": parameters,
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
        padded = pad(fitted, model.stride)
        batch = plan.batch or _members_at_once(model, padded.shape[-2] * padded.shape[-1])
        room = Room(batch)
        image_latent = room(model.encode, padded)  # 2: once, for all members
        shape = (image_latent.shape[1], image_latent.shape[2], image_latent.shape[3])

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


def _members_at_once(model: DiffusionModel, pixels: int) -> int:
    """As many members as a quarter of the free memory takes; the decoder's widest layer sets the cost."""
    width = int(model.vae.config["block_out_channels"][0])
    each = pixels * _BYTES_PER_PIXEL * width / 128 * torch.finfo(model.dtype).bits / 16
    free = torch.cuda.mem_get_info(model.device)[0] if model.device.type == "cuda" else _free_memory()
    return max(1, int(free / 4 / each))


def _free_memory() -> int:
    """Bytes of main memory that are free, where the system says (Linux); else a careful 2 GiB."""
    try:
        with open("/proc/meminfo") as lines:
            for line in lines:
                if line.startswith("MemAvailable:"):
                    return int(line.split()[1]) * 1024
    except OSError:
        pass
    return 2 * 1024**3


def pick_device(device: Device = "auto") -> torch.device:
    """``auto``: cuda, else mps, else cpu. Raises ValueError for a device that is not there."""
    there = {"cpu": True, "cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    if device == "auto":
        return torch.device(next(name for name in ("cuda", "mps", "cpu") if there[name]))
    if not there.get(device, False):
        raise ValueError(f"device is {device!r}; here are: {', '.join(k for k, v in there.items() if v)} (or auto)")
    return torch.device(device)


def pick_dtype(dtype: Dtype, device: torch.device) -> torch.dtype:
    """``auto``: float16 on mps, bfloat16 where the device computes in it, else float32. float16 is refused on a CPU."""
    if dtype == "float16" and device.type == "cpu":
        raise ValueError("dtype is float16 on a CPU, which computes it many times slower; take bfloat16 or float32")
    if dtype != "auto":
        return {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}[dtype]
    if device.type == "mps":
        return torch.float16
    if device.type == "cuda":
        return torch.bfloat16 if torch.cuda.is_bf16_supported() else torch.float16
    return torch.bfloat16 if torch.cpu._is_avx512_bf16_supported() else torch.float32


def load(
    name: str = DEFAULT_MODEL, *, device: Device = "auto", dtype: Dtype = "auto", runtime: Runtime = "torch"
) -> LoadedPredictor:
    """A predictor from ``builtin:NAME``, ``dir:PATH`` or ``hub:ORG/REPO[@REV]``; the folder says what kind it is.

    ``diffusers:`` before any of these, or before a path, runs a Marigold folder by diffusers' own pipeline instead,
    the yardstick for ours. A ``runtime`` other than torch takes what `latentdepth export` wrote into the folder.
    Raises ValueError when the name, the folder, the device, the dtype or the export won't do.
    """
    if runtime != "torch":
        return _load_exported(name, runtime, device=device, dtype=dtype)
    where = pick_device(device)
    precision = pick_dtype(dtype, where)
    scheme, _, rest = name.partition(":")
    if scheme == "diffusers":
        folder = resolve(rest if rest.startswith(SCHEMES) else f"dir:{rest}")
        return load_other(folder, device=where, dtype=precision, name=name)
    folder = resolve(name)
    if is_student(folder):
        return load_student_predictor(folder, device=where, dtype=precision, name=name)
    if is_teacher(folder):
        return StudentPredictor(load_teacher_network(folder).to(where, precision), name)
    if is_other(folder):
        return load_other(folder, device=where, dtype=precision, name=name)
    model = load_diffusion(folder, device=where, dtype=precision).freeze()
    return DiffusionPredictor(model, name, read_settings(folder))


def _load_exported(name: str, runtime: Runtime, *, device: Device, dtype: Dtype) -> LoadedPredictor:
    if device not in ("auto", "cpu"):
        raise ValueError(f"device is {device} and runtime {runtime}, which runs on the cpu here: leave one of them out")
    if name.startswith("diffusers:"):
        raise ValueError(f"{name} runs by diffusers' own pipeline; give the folder without diffusers:, or no --runtime")
    folder = resolve(name)
    loaded = load_exported(folder, runtime, dtype=dtype, name=name)
    if isinstance(loaded, DiffusionModel):
        return DiffusionPredictor(loaded, name, read_settings(folder))
    return loaded
