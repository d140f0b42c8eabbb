"""How long a training step of the embedded student's form takes on a processor, by what of its encoders learns.

    python benchmarks/student_step.py [--threads 1] [--views 4] [--rounds 7]

Forward and backward pass in bfloat16 with the recipe's loss, medians of interleaved rounds after one to warm up. The
row "filters in bfloat16" is what torch does unless told otherwise: filters of one channel go back in autocast's dtype.
Weights are random: time does not depend on what they are.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
import tyro

from latentdepth.data.batch import Batch
from latentdepth.models import feedforward
from latentdepth.models.student import Student, StudentFacts
from latentdepth.train.distill import Distill
from latentdepth.train.student_config import DistillOptions
from latentdepth.train.students import free_parts
from latentdepth.train.tiny_networks import channels_last

VECTORS: dict[str, Any] = {"gradient_weight": 1.0, "gradient_scales": 7, "transformer_rate": 0.5}
LOW_RANK = VECTORS | {"transformer_part": "low_rank"}
FORMS: dict[str, dict[str, Any]] = {
    "vectors, filters in bfloat16": VECTORS,
    "vectors": VECTORS,
    "vectors and differences of rank 16": LOW_RANK,
    "the same, convolutions kept": LOW_RANK | {"convolution_rate": 0.0},
    "matrices, convolutions kept": VECTORS | {"transformer_part": "all", "convolution_rate": 0.0},
}


@dataclass(frozen=True)
class Settings:
    """What to measure."""

    threads: int = 1
    """Processor threads; recipes take one for each process."""
    views: int = 4
    """In a micro-batch."""
    height: int = 288
    width: int = 384
    rounds: int = 7


def stepper(options: DistillOptions, views: torch.Tensor) -> Callable[[], None]:
    """One forward and backward pass of a new student."""
    torch.manual_seed(0)
    network = channels_last(Student(StudentFacts(encoder="lite2+vits"))).train()
    free_parts(network, options)
    task = Distill(network, options)
    batch = Batch(views * 2 - 1, views.mean(1, keepdim=True), torch.ones_like(views[:, :1], dtype=torch.bool))

    def step() -> None:
        network.zero_grad(set_to_none=True)
        with torch.autocast("cpu", torch.bfloat16):
            loss = task.loss(batch, torch.Generator())["loss"]
        loss.backward()

    return step


def measure(settings: Settings) -> dict[str, list[float]]:
    """Seconds of each round, by form."""
    torch.set_num_threads(settings.threads)
    views = torch.rand(settings.views, 3, settings.height, settings.width).contiguous(memory_format=torch.channels_last)
    steps = {name: stepper(DistillOptions(**options), views) for name, options in FORMS.items()}
    ours, plain = feedforward._Same._in_float32, torch.nn.Conv2d.forward  # pyright: ignore[reportPrivateUsage]
    taken: dict[str, list[float]] = {name: [] for name in FORMS}
    for round_ in range(settings.rounds + 1):
        for name, step in steps.items():
            feedforward._Same._in_float32 = plain if "bfloat16" in name else ours  # pyright: ignore[reportPrivateUsage, reportAttributeAccessIssue]
            began = time.perf_counter()
            step()
            taken[name] += [time.perf_counter() - began] if round_ else []
    return taken


if __name__ == "__main__":
    settings = tyro.cli(Settings, description=__doc__)
    print(f"| what learns of the encoders | s for {settings.views} views | range |\n|---|---|---|")
    for name, seconds in measure(settings).items():
        print(f"| {name} | {statistics.median(seconds):.2f} | {min(seconds):.2f} to {max(seconds):.2f} |")
