"""One real training step of a U-Net of Stable Diffusion 2's shape (866 M weights, random): peak memory and seconds.

    python benchmarks/train_step.py                      bfloat16 weights, float32 master copy, recomputed activations
    python benchmarks/train_step.py --no-master          moments in bfloat16 too
    python benchmarks/train_step.py --weights float32    what recipes do by default
    python benchmarks/train_step.py --shape tiny         the script itself, in seconds

The step is that of the recipes: encode photo and depth, Marigold's loss, backward pass, clipping, AdamW. Peak memory
is the process's own (resident set), libraries and start-up included; on CUDA also what the allocator held at most.
"""

from __future__ import annotations

import json
import platform
import resource
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import Any, Literal

import torch
import tyro
from diffusers import AutoencoderKL, UNet2DConditionModel
from torch import nn

from latentdepth.core.noise import generator
from latentdepth.core.schedule import Schedule, scaled_linear, zero_terminal_snr
from latentdepth.data.batch import Batch
from latentdepth.models.diffusion import DiffusionModel
from latentdepth.models.facts import Facts
from latentdepth.train.denoise import Marigold
from latentdepth.train.loop_config import OptimConfig, Precision
from latentdepth.train.optim import make_optimiser

_FULL_UNET: dict[str, Any] = {
    "sample_size": 96,
    "block_out_channels": (320, 640, 1280, 1280),
    "down_block_types": ("CrossAttnDownBlock2D",) * 3 + ("DownBlock2D",),
    "up_block_types": ("UpBlock2D",) + ("CrossAttnUpBlock2D",) * 3,
    "cross_attention_dim": 1024,
    "attention_head_dim": (5, 10, 20, 20),
    "use_linear_projection": True,
}
_TINY_UNET: dict[str, Any] = {
    "sample_size": 16,
    "block_out_channels": (32, 64),
    "down_block_types": ("CrossAttnDownBlock2D", "DownBlock2D"),
    "up_block_types": ("UpBlock2D", "CrossAttnUpBlock2D"),
    "cross_attention_dim": 32,
    "attention_head_dim": (2, 4),
    "use_linear_projection": True,
}
_VAE_WIDTHS = {"full": (128, 256, 512, 512), "tiny": (16, 16, 32, 32)}


@dataclass(frozen=True)
class Settings:
    """What to measure."""

    shape: Literal["full", "tiny"] = "full"
    weights: Precision = "bfloat16"
    """What weights are stored in."""
    precision: Precision = "bfloat16"
    """What networks compute in."""
    master: bool = True
    """Keep a float32 copy of bfloat16 weights and float32 moments."""
    recompute: bool = True
    """Gradient checkpointing."""
    height: int = 352
    width: int = 480
    batch: int = 1
    steps: int = 1
    threads: int | None = None
    """Processor threads; by default torch's choice."""


@contextmanager
def _built_in(dtype: torch.dtype) -> Iterator[None]:
    """New weights in ``dtype`` at once: made in float32 first, they would set the peak that is to be measured."""
    before = torch.get_default_dtype()
    torch.set_default_dtype(dtype)
    try:
        yield
    finally:
        torch.set_default_dtype(before)


def random_model(shape: Literal["full", "tiny"], dtype: torch.dtype) -> DiffusionModel:
    """A depth model of that shape with random weights."""
    construct: tuple[Any, Any] = (UNet2DConditionModel, AutoencoderKL)  # their annotations allow one level only
    config, widths = {"full": _FULL_UNET, "tiny": _TINY_UNET}[shape], _VAE_WIDTHS[shape]
    with _built_in(dtype), torch.random.fork_rng():
        torch.manual_seed(0)
        unet = construct[0](in_channels=8, out_channels=4, **config)
        vae = construct[1](
            block_out_channels=widths,
            down_block_types=("DownEncoderBlock2D",) * 4,
            up_block_types=("UpDecoderBlock2D",) * 4,
            layers_per_block=2 if shape == "full" else 1,
            latent_channels=4,
            norm_num_groups=32 if shape == "full" else 8,
        )
    prompt = torch.randn(1, 2, config["cross_attention_dim"], generator=generator("prompt")).to(dtype)
    return DiffusionModel(unet, vae, Schedule(zero_terminal_snr(scaled_linear())), prompt, Facts())


def measure(settings: Settings) -> dict[str, Any]:
    """Take the steps; weights, seconds per step, peak memory in GiB, the losses and how many weights moved."""
    if settings.threads is not None:
        torch.set_num_threads(settings.threads)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    model = random_model(settings.shape, getattr(torch, settings.weights)).to(device, getattr(torch, settings.weights))
    if settings.recompute:
        model.unet.enable_gradient_checkpointing()
    task = Marigold(model)
    network = task.network.train()
    trained = list(network.parameters())
    optimiser = make_optimiser(OptimConfig(lr=3e-5, master=settings.master), trained)
    probe = trained[0].detach().clone()
    seconds, losses = [], []
    for step in range(settings.steps):
        began = time.monotonic()
        draw = generator("benchmark", step)
        shape = (settings.batch, 3, settings.height, settings.width)
        image = torch.rand(shape, generator=draw) * 2 - 1
        valid = torch.ones(shape[0], 1, *shape[2:], dtype=torch.bool)
        with torch.autocast(device.type, torch.bfloat16, enabled=settings.precision == "bfloat16"):
            loss = task.loss(Batch(image, image[:, :1], valid).to(device), draw)["loss"]
        loss.backward()
        nn.utils.clip_grad_norm_(trained, 1.0, foreach=False)
        optimiser.step()
        optimiser.zero_grad(set_to_none=True)
        losses.append(float(loss.detach()))
        seconds.append(time.monotonic() - began)
    peak_bytes = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
    return {
        **asdict(settings),
        "unet_weights": sum(p.numel() for p in trained),
        "seconds_per_step": round(sum(seconds) / len(seconds), 2),
        "peak_gib": round(peak_bytes / 2**30, 2),
        "cuda_peak_gib": round(torch.cuda.max_memory_allocated() / 2**30, 2) if device.type == "cuda" else None,
        "losses": losses,
        "weights_moved": bool((trained[0].detach() != probe).any()),
        "torch": torch.__version__,
        "threads": torch.get_num_threads(),
        "processor": platform.processor() or platform.machine(),
    }


if __name__ == "__main__":
    print(json.dumps(measure(tyro.cli(Settings)), indent=1))
