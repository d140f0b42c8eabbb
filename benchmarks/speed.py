"""One prediction beside diffusers' MarigoldDepthPipeline: the same weights, photo and noise, in turn, in one process.

    python -m benchmarks                          about 10 minutes on two idle cores; says what it left out
    python -m benchmarks --full                   ensembles and 4 steps of every size too
    python -m benchmarks --threads 1              CPU seconds that a busy machine can't blur
    python -m benchmarks --quick                  the embedded model only, in a minute
    python -m benchmarks --list                   the other benchmarks

Times are medians of warm runs, wall and CPU seconds. Shares are of a bfloat16 matrix product measured in the same run.
Peak memory is that of a process of its own for each side. Where there is a GPU, the same table follows for it.
"""

from __future__ import annotations

import argparse
import os
import platform
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import diffusers
import torch
from benchmarks.speed_models import STAGES, Side, Taken, Work, full_size_folder, unguided
from benchmarks.speed_work import operations, peak
from diffusers.utils import logging
from torch import Tensor

from latentdepth.core.noise import member_noise
from latentdepth.options import Device

OURS, FP32, BF16 = "latentdepth bf16", "diffusers fp32", "diffusers bf16"
SMALL = "latentdepth bf16, --vae small"
_EMBEDDED = [Work(288, 384, steps, members) for members in (1, 10) for steps in (1, 4)]
_DEFAULT = [Work(288, 384), Work(288, 384, 4), Work(576, 768)]
_FULL = [Work(h, w, steps, members) for members in (1, 10) for h, w in ((288, 384), (576, 768)) for steps in (1, 4)]
_ON_GPU = [Work(h, w, steps, members) for h, w in ((384, 384), (768, 768)) for steps in (1, 4) for members in (1, 10)]


@dataclass(frozen=True)
class Peak:
    """Operations a second of a matrix product."""

    by_clock: float
    by_cpu: float


def measure(
    sides: Sequence[Side], works: Sequence[Work], *, runs: int, fp32: bool
) -> dict[Work, dict[str, list[Taken]]]:
    """Every side on every work in turn, one warm-up each. With ``fp32`` the last side runs in that precision too."""
    found: dict[Work, dict[str, list[Taken]]] = {}
    for work in works:
        photo, noise = _photo(work), member_noise(0, list(range(work.members)), (4, work.height // 8, work.width // 8))
        rows = found.setdefault(work, {})
        for run in range(runs + 1):
            for side in sides:
                _keep(rows, side.title, side.predict(photo, noise, work), run)
            if fp32:
                with sides[-1].at(torch.float32):
                    _keep(rows, FP32, sides[-1].predict(photo, noise, work), run)
            print(f"  {work.title}: round {run} of {runs}", file=sys.stderr, flush=True)
    return found


def _keep(rows: dict[str, list[Taken]], side: str, taken: Taken, run: int) -> None:
    if run:
        rows.setdefault(side, []).append(taken)


def _photo(work: Work) -> Tensor:
    coarse = torch.rand(1, 3, 9, 12, generator=torch.Generator().manual_seed(0))
    return torch.nn.functional.interpolate(coarse, (work.height, work.width), mode="bicubic").clamp(0, 1)


def show(found: dict[Work, dict[str, list[Taken]]], sides: Sequence[Side], top: Peak) -> None:
    """Print a table of predictions and one of stages."""
    print(f"\n| prediction | side | s | CPU s | x {FP32} | x {BF16} | largest, mean difference from {BF16} |")
    print("|---|---|---|---|---|---|---|")
    for work, rows in found.items():
        reference = rows.get(BF16)
        for title, taken in rows.items():
            wall, cpu = (_middle([getattr(one, key) for one in taken]) for key in ("wall_s", "cpu_s"))
            ratios = [f"{_cpu(rows[other]) / cpu:.2f}" if other in rows else "" for other in (FP32, BF16)]
            words = ""
            if reference and title != SMALL:  # random weights: another autoencoder says other things
                apart = (taken[0].depth - reference[0].depth).abs()
                words = f"{float(apart.max()):.3f}, {float(apart.mean()):.4f}"
            print(f"| {work.title} | {title} | {wall:.2f} | {cpu:.2f} | {ratios[0]} | {ratios[1]} | {words} |")
    print("\n| prediction | stage | Tera-operations | side | CPU s | share of peak |")
    print("|---|---|---|---|---|---|")
    for work, rows in found.items():
        counts = operations(sides[0].predictor.model, work)
        for stage in STAGES:
            for title, taken in rows.items():
                wall, cpu = (_middle([one.stages[stage][k] for one in taken]) for k in (0, 1))
                on_cpu = sides[0].predictor.model.device.type == "cpu"
                share = counts[stage] / cpu / top.by_cpu if on_cpu else counts[stage] / wall / top.by_clock
                words = "another network" if title == SMALL and stage != "U-Net" else f"{share:.0%}"
                print(f"| {work.title} | {stage} | {counts[stage] / 1e12:.3f} | {title} | {cpu:.2f} | {words} |")


def _middle(values: Sequence[float]) -> float:
    return statistics.median(values)


def _cpu(taken: Sequence[Taken]) -> float:
    return _middle([one.cpu_s for one in taken])


def memory(folder: Path, work: Work) -> None:
    """Print the peak of a process that loads one side and predicts once."""
    print("\n| side, own process | peak memory, GiB |\n|---|---|")
    for title, model, dtype in _three(folder):
        command = [sys.executable, "-m", "benchmarks.speed_memory", model, dtype, str(work.height), str(work.width)]
        ended = subprocess.run(command, capture_output=True, text=True, check=True)
        print(f"| {title}, {work.title} | {float(ended.stdout.split()[-1]):.2f} |", flush=True)


def _three(folder: Path) -> list[tuple[str, str, str]]:
    theirs = f"diffusers:dir:{folder}"
    return [(OURS, f"dir:{folder}", "bfloat16"), (BF16, theirs, "bfloat16"), (FP32, theirs, "float32")]


def compare(
    model: str, works: Sequence[Work], device: Device, *, runs: int, fp32: bool, top: Peak, small: bool = False
) -> None:
    """Both sides on one model, and with ``small`` ours through its small autoencoder too: run and print."""
    print(f"\n{model} on {device}")
    theirs = f"diffusers:{model}"
    sides = [Side(OURS, model, torch.bfloat16, device)]
    sides += [Side(SMALL, model, torch.bfloat16, device, vae="small")] if small else []
    sides += [Side(BF16, theirs, torch.bfloat16, device)]
    show(measure(sides, works, runs=runs, fp32=fp32), sides, top)


def main(arguments: argparse.Namespace) -> None:
    logging.set_verbosity_error()  # it warns of every change of precision
    if arguments.threads:
        torch.set_num_threads(arguments.threads)
    threads = torch.get_num_threads()
    print(
        f"{platform.machine()}, {os.cpu_count()} cores, {threads} threads, Python {platform.python_version()},", end=" "
    )
    print(f"torch {torch.__version__}, diffusers {diffusers.__version__}, load {os.getloadavg()[0]:.1f} at the start")
    top = Peak(*peak(torch.device("cpu")))
    print(
        f"matrix product in bfloat16: {top.by_clock / 1e9:.0f} Giga-operations/s, {top.by_cpu / 1e9:.0f} a CPU second"
    )
    if not arguments.works:
        with tempfile.TemporaryDirectory() as scratch:
            compare(f"dir:{unguided(Path(scratch))}", _EMBEDDED, "cpu", runs=5, fp32=True, top=top)
    if arguments.quick:
        return
    folder = full_size_folder(arguments.weights)
    model = f"dir:{folder}"
    works = arguments.works or (_FULL if arguments.full else _DEFAULT)
    compare(model, works, "cpu", runs=arguments.runs, fp32=not arguments.no_fp32, top=top, small=True)
    memory(folder, Work(576, 768))
    if torch.cuda.is_available():
        print(f"\nGPU: {torch.cuda.get_device_name()}")
        on_gpu = Peak(*peak(torch.device("cuda")))
        print(f"matrix product in bfloat16: {on_gpu.by_clock / 1e12:.0f} Tera-operations/s")
        compare(model, _ON_GPU, "cuda", runs=5, fp32=False, top=on_gpu, small=True)
    left = [work.title for work in _FULL if work not in works]
    if left:
        print(f"\nleft out (give --full): {'; '.join(left)}")
