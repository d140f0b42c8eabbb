"""What the autoencoder costs for one photo: Stable Diffusion 2's, TAESD's form and the small one, interleaved.

    python benchmarks/small_vae.py [--width 768] [--height 576] [--rounds 3] [--threads 2]

Random weights of the real shapes in bfloat16, channels last: time does not depend on what they are. CPU seconds are
over all threads, and hold on a busy machine too.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable, Iterator
from typing import Any

import torch
from diffusers import AutoencoderKL, AutoencoderTiny
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from latentdepth.models.diffusion import decoded, posterior
from latentdepth.models.quick_vae import QuickVae
from latentdepth.models.small_vae import new_small_vae
from latentdepth.models.vae_choice import PublishedVae


def full_vae() -> AutoencoderKL:
    """Stable Diffusion 2's autoencoder, 84 million random weights."""
    construct: Any = AutoencoderKL  # its annotations allow one level only
    return construct(
        block_out_channels=(128, 256, 512, 512),
        down_block_types=("DownEncoderBlock2D",) * 4,
        up_block_types=("UpDecoderBlock2D",) * 4,
        layers_per_block=2,
        latent_channels=4,
    )


def stages() -> Iterator[tuple[str, int, Callable[[Tensor], Tensor], Callable[[Tensor], Tensor]]]:
    """Name, parameters, encoder and decoder of every side, each frozen in bfloat16."""
    full = frozen(full_vae())
    quick = QuickVae(full)
    yield "full, diffusers", weights(full), lambda x: posterior(full, x).mode(), lambda z: decoded(full, z)
    yield "full, latentdepth", weights(full), quick.mean, quick.picture
    published, small = frozen(PublishedVae(AutoencoderTiny())), frozen(new_small_vae(latent_channels=4))
    yield "TAESD's form", weights(published), published.encode, published.decode
    yield "small", weights(small), small.encode, small.decode


def frozen(network: Any) -> Any:
    """In bfloat16 and channels last, for inference."""
    return nn.Module.to(network, torch.bfloat16, memory_format=torch.channels_last).eval().requires_grad_(False)  # pyright: ignore


def weights(network: nn.Module) -> int:
    """How many."""
    return sum(p.numel() for p in network.parameters())


def operations(call: Callable[[Tensor], Tensor], x: Tensor) -> float:
    """Of one call, 2 for a multiplication with its addition."""
    with FlopCounterMode(display=False) as counter:
        call(x)
    return float(counter.get_total_flops())


def taken(call: Callable[[Tensor], Tensor], x: Tensor) -> tuple[float, float]:
    """Seconds by the clock, and CPU seconds."""
    wall, cpu = time.perf_counter(), time.process_time()
    call(x)
    return time.perf_counter() - wall, time.process_time() - cpu


@torch.inference_mode()
def main() -> None:
    """Print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--width", type=int, default=768)
    parser.add_argument("--height", type=int, default=576)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=2)
    asked = parser.parse_args()
    torch.set_num_threads(asked.threads)
    draw = torch.Generator().manual_seed(0)
    image = torch.rand(1, 3, asked.height, asked.width, generator=draw) * 2 - 1
    latent = torch.randn(1, 4, asked.height // 8, asked.width // 8, generator=draw)
    inputs = [x.bfloat16().contiguous(memory_format=torch.channels_last) for x in (image, latent)]
    sides = list(stages())
    counted = {
        (name, stage): operations(call, x)
        for name, _, *calls in sides
        for stage, (call, x) in enumerate(zip(calls, inputs, strict=True))
    }  # and this is the run that warms up
    times: dict[tuple[str, int], list[tuple[float, float]]] = {key: [] for key in counted}
    for _ in range(asked.rounds):
        for name, _, *calls in sides:
            for stage, (call, x) in enumerate(zip(calls, inputs, strict=True)):
                times[name, stage].append(taken(call, x))
    print(f"{asked.width} x {asked.height}, {asked.threads} threads, medians of {asked.rounds} interleaved rounds\n")
    print(
        "| autoencoder | weights, M | stage | GFLOP | seconds | CPU seconds | x CPU of diffusers |\n" + "|---" * 7 + "|"
    )
    for name, count, *_ in sides:
        for stage, title in enumerate(("encode", "decode")):
            wall, cpu = (statistics.median(values) for values in zip(*times[name, stage], strict=True))
            first = statistics.median(cpu for _, cpu in times[sides[0][0], stage])
            print(
                f"| {name} | {count / 1e6:.1f} | {title} | {counted[name, stage] / 1e9:.0f} | {wall:.2f} | {cpu:.2f} "
                f"| {first / cpu:.1f} |"
            )


if __name__ == "__main__":
    main()
