"""Cost of merging depth members: latentdepth's closed form beside diffusers' solver, on the same maps.

    python benchmarks/ensemble.py --members 3 5 10 --width 768 --height 576 --runs 5

Both sides run in turn in one process, so that load from elsewhere falls on both; one warm-up each, then the median of
process CPU seconds. Members are synthetic (smooth truth, an affine map and noise each), so the error to the truth
after an affine fit is printed too: speed at equal or better accuracy is the claim.
"""

from __future__ import annotations

import argparse
import os
import platform
import statistics
import time
from collections.abc import Callable

import diffusers
import torch
from diffusers.pipelines.marigold.pipeline_marigold_depth import MarigoldDepthPipeline
from torch import Tensor

from latentdepth.core.ensemble import merge_affine, merge_joint


def make_members(count: int, height: int, width: int, seed: int) -> tuple[Tensor, Tensor]:
    """A smooth truth [h w] and ``count`` noisy affine maps of it [1 e 1 h w]."""
    generator = torch.Generator().manual_seed(seed)
    coarse = torch.randn(1, 1, 6, 8, generator=generator)
    truth = torch.nn.functional.interpolate(coarse, (height, width), mode="bicubic")[0, 0]
    truth = (truth - truth.min()) / (truth.max() - truth.min())
    scale = torch.rand(count, 1, 1, generator=generator) * 0.5 + 0.5
    shift = torch.rand(count, 1, 1, generator=generator) * 0.3
    coarse = torch.randn(count, 1, 12, 16, generator=generator)
    smooth = torch.nn.functional.interpolate(coarse, (height, width), mode="bilinear")[:, 0]
    grain = torch.randn(count, height, width, generator=generator)
    return truth, (scale * truth + shift + 0.03 * smooth + 0.015 * grain).clamp_min(0)[None, :, None]


def error_to_truth(value: Tensor, truth: Tensor) -> float:
    """Mean absolute error after the best scale and shift."""
    design = torch.stack([value.double().flatten(), torch.ones(truth.numel()).double()], 1)
    target = truth.double().flatten()
    return float((design @ torch.linalg.lstsq(design, target).solution - target).abs().mean())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--members", type=int, nargs="+", default=[3, 5, 10], help="ensemble sizes")
    parser.add_argument("--width", type=int, default=768, help="pixels")
    parser.add_argument("--height", type=int, default=576, help="pixels")
    parser.add_argument("--runs", type=int, default=5, help="warm runs of each side; their median is shown")
    parser.add_argument("--threads", type=int, default=1, help="torch threads")
    parser.add_argument("--seed", type=int, default=0, help="seed of the synthetic members")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    print(f"{platform.machine()}, {os.cpu_count()} cores, {arguments.threads} thread(s); maps of", end=" ")
    print(f"{arguments.width} x {arguments.height} px, seed {arguments.seed}, median of {arguments.runs} runs")
    print(f"Python {platform.python_version()}, torch {torch.__version__}, diffusers {diffusers.__version__}")
    print(f"{'members':>7}  {'side':<26} {'CPU s':>8} {'cheaper by':>11} {'error':>9}")
    for count in arguments.members:
        truth, members = make_members(count, arguments.height, arguments.width, arguments.seed)
        sides: dict[str, Callable[[Tensor], Tensor]] = {
            "diffusers ensemble_depth": lambda maps: MarigoldDepthPipeline.ensemble_depth(
                maps[0], output_uncertainty=True
            )[0],
            "merge_affine median": lambda maps: merge_affine(maps)[0],
            "merge_affine mean": lambda maps: merge_affine(maps, reduction="mean")[0],
            "merge_joint": lambda maps: merge_joint(maps)[0],
        }
        seconds: dict[str, list[float]] = {name: [] for name in sides}
        errors = {name: error_to_truth(merge(members), truth) for name, merge in sides.items()}
        for _ in range(arguments.runs):
            for name, merge in sides.items():
                start = time.process_time()
                merge(members)
                seconds[name].append(time.process_time() - start)
        reference = statistics.median(seconds["diffusers ensemble_depth"])
        for name, times in seconds.items():
            middle = statistics.median(times)
            print(f"{count:>7}  {name:<26} {middle:>8.4f} {reference / middle:>10.1f}x {errors[name]:>9.6f}")


if __name__ == "__main__":
    main()
