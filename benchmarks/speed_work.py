"""How many operations a prediction's networks take, and how many the processor can do: what a time is a share of.

Operations (two a multiplication) are torch's own count of diffusers' forwards, on tensors without values: what the
network is, whoever runs it. The peak is a matrix product in bfloat16, measured in the same run.
"""

from __future__ import annotations

import statistics
import time
from typing import Any

import torch
from benchmarks.speed_models import STAGES, Work
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from latentdepth.models.diffusion import DiffusionModel

_SIDE = {"cpu": 2048, "cuda": 8192}


def operations(model: DiffusionModel, work: Work) -> dict[str, float]:
    """Operations of each stage, all its calls together."""
    unet, vae = (_without_values(network) for network in (model.unet, model.vae))
    size = (work.height // model.stride, work.width // model.stride)
    channels = model.latent_channels
    with torch.device("meta"), torch.no_grad():
        photo, latent = torch.empty(1, 3, work.height, work.width), torch.empty(1, channels, *size)
        noisy, prompt, t = torch.empty(1, 2 * channels, *size), torch.empty(model.prompt.shape), torch.zeros(1)
        found = (
            _count(lambda: vae.encode(photo)),
            _count(lambda: unet(noisy, t, encoder_hidden_states=prompt)) * work.steps * work.members,
            _count(lambda: vae.decode(latent)) * work.members,
        )
    return dict(zip(STAGES, found, strict=True))


def _without_values(network: Any) -> Any:
    with torch.device("meta"):
        return type(network).from_config(dict(network.config)).eval()


def _count(call: Any) -> float:
    with FlopCounterMode(display=False) as counter:
        call()
    return float(counter.get_total_flops())


def peak(device: torch.device) -> tuple[float, float]:
    """Operations a second of a square matrix product in bfloat16: by the clock, and by CPU seconds over all threads."""
    side = _SIDE[device.type]
    a: Tensor = torch.randn(side, side).to(device, torch.bfloat16)
    wall, cpu = [], []
    for _ in range(12):
        began = time.perf_counter(), time.process_time()
        product = a @ a
        float(product[0, 0])  # waits for it
        wall.append(time.perf_counter() - began[0])
        cpu.append(time.process_time() - began[1])
    return 2 * side**3 / statistics.median(wall[2:]), 2 * side**3 / statistics.median(cpu[2:])
