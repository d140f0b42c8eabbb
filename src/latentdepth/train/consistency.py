"""Consistency distillation: a student that jumps to where its many-step teacher would arrive.

The teacher makes one DDIM step from t to the timestep before; the student at t has to say what its own moving average
says there. Plain Gaussian noise, no guidance. Papers: consistency models (arXiv 2303.01469), LCM (2310.04378).
"""

from __future__ import annotations

import copy
from collections.abc import Mapping

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from latentdepth.core.samplers import boundary
from latentdepth.core.schedule import Schedule
from latentdepth.data.batch import Batch
from latentdepth.models.diffusion import DiffusionModel
from latentdepth.train.latents import LatentBatch
from latentdepth.train.losses import masked_mean, pseudo_huber
from latentdepth.train.model_task import ModelTask
from latentdepth.train.options import ConsistencyOptions, LoraOptions


def grid(schedule: Schedule, count: int) -> list[int]:
    """``count`` evenly spaced timesteps, ascending, the last of them the schedule's last: 199, 399, ... 999 for 5."""
    skip = schedule.length // count
    return [(i + 1) * skip - 1 for i in range(count)]


def _average_of(network: nn.Module) -> nn.Module:
    """A frozen copy in float32: bfloat16 would round away a small step towards the student."""
    return copy.deepcopy(network).requires_grad_(False).float().eval()


class Consistency(ModelTask):
    """Student (trained), teacher (frozen) and target (moving average of the student), all from one model's weights.

    The saved folder asks for the lcm sampler.
    """

    def __init__(self, model: DiffusionModel, options: ConsistencyOptions | None = None) -> None:
        self.options = options or ConsistencyOptions()
        if self.options.timesteps > model.schedule.length:
            raise ValueError(f"timesteps is {self.options.timesteps}; the schedule has {model.schedule.length}")
        self.teacher: nn.Module = copy.deepcopy(model.unet).requires_grad_(False).eval()
        self.target = _average_of(model.unet)
        super().__init__(model, image_enters="beside", sampler="lcm", steps=1)

    def adapt(self, lora: LoraOptions) -> None:
        """Adapters for the student and, the same ones, for the moving average; the teacher stays as it is."""
        super().adapt(lora)
        self.target = _average_of(self.model.unet)

    def to(self, device: torch.device) -> None:
        """Move teacher and target too."""
        super().to(device)
        for network in (self.teacher, self.target):
            nn.Module.to(network, device)

    def jump(
        self,
        network: nn.Module,
        x: Float[Tensor, "n c hl wl"],
        t: Int[Tensor, " n"],
        image: Float[Tensor, "n ci hl wl"],
    ) -> Float[Tensor, "n c hl wl"]:
        """The consistency function: x itself at t = 0, the network's x0 far from it."""
        skip, keep = boundary(t)
        return skip * x + keep * self.x0(network, x, t, image)

    def x0(self, network: nn.Module, x: Tensor, t: Tensor, image: Tensor) -> Float[Tensor, "n c hl wl"]:
        """The clean latent that one call of ``network`` stands for."""
        return self.model.schedule.x0(self.called(network, torch.cat((image, x), 1), t), x, t)

    def earlier(
        self, x: Float[Tensor, "n c hl wl"], t: Int[Tensor, " n"], image: Float[Tensor, "n ci hl wl"]
    ) -> tuple[Float[Tensor, "n c hl wl"], Int[Tensor, " n"]]:
        """The teacher's DDIM step from ``t`` to the timestep before in the grid, or to 0 from its first."""
        schedule = self.model.schedule
        before = (t - schedule.length // self.options.timesteps).clamp(min=0)
        clean = self.x0(self.teacher, x, t, image)
        signal, sigma = schedule.levels(t, x)
        noise = (x - signal * clean) / sigma
        return schedule.add_noise(clean, noise, before), before

    def loss(self, batch: Batch | LatentBatch, draw: torch.Generator) -> dict[str, Tensor]:
        """Pseudo-Huber distance of the student's jump from the target's, over valid latent cells."""
        latents, image = self.latents(batch)
        timesteps = torch.tensor(grid(self.model.schedule, self.options.timesteps))
        t = timesteps[torch.randint(0, len(timesteps), (len(image),), generator=draw)].to(image.device)
        noise = torch.randn(latents.target.shape, generator=draw).to(image)
        x = self.model.schedule.add_noise(latents.target, noise, t)
        with torch.no_grad():
            x_before, before = self.earlier(x, t, image)
            wanted = self.jump(self.target, x_before, before, image)
        difference = self.jump(self.network, x, t, image) - wanted
        return {"loss": masked_mean(pseudo_huber(difference, self.options.huber), latents.valid)}

    def after_step(self) -> None:
        """Move the target towards the student."""
        with torch.no_grad():
            for old, new in zip(self.target.parameters(), self.network.parameters(), strict=True):
                pieces = getattr(new, "full_tensor", None)  # of a network that is spread over several devices
                old.lerp_((new if pieces is None else pieces()).to(old), 1 - self.options.target_decay)

    def state(self) -> dict[str, Tensor]:
        """The target's weights; the teacher is the model that the recipe starts from."""
        return {f"target/{name}": value for name, value in self.target.state_dict().items()}

    def load_state(self, state: Mapping[str, Tensor]) -> None:
        """Take the target back. Raises ValueError when tensors are missing or of another shape."""
        try:
            self.target.load_state_dict({name.removeprefix("target/"): value for name, value in state.items()})
        except RuntimeError as error:
            raise ValueError(f"the checkpoint's target network doesn't fit this model: {error}") from None
