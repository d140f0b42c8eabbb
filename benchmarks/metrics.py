"""Time of fitting and measuring one large image: latentdepth beside the NumPy and SciPy loop that the field runs.

    python benchmarks/metrics.py --width 6048 --height 4032 --runs 5 --threads 2

The loop is written as evaluation scripts are: least squares by ``np.linalg.lstsq`` over the valid pixels, then one
metric after the other, each taking its valid pixels anew; edges by scikit-image's Canny and SciPy's distance
transform. It runs in float64, as ours does, and in float32, as the files come. Both sides run in turn in one process,
one warm-up each, then the median of process CPU seconds (all threads summed) and of wall seconds. The largest relative
difference of our figures from the float64 loop's is printed too: speed at equal figures is the claim. The truth is
made: slanted planes with noise, measured in blobs and speckles as a laser's returns are.
"""

from __future__ import annotations

import argparse
import os
import platform
import statistics
import time
from collections.abc import Callable

import numpy as np
import scipy
import torch
from scipy import ndimage
from skimage import feature
from torch import Tensor

from latentdepth.core.align import fit_depth, fit_disparity
from latentdepth.core.edges import canny, edge_errors
from latentdepth.core.metrics import depth_metrics

Figures = dict[str, float]
Array = np.ndarray
Loop = Callable[[Array, Array, Array], Figures]
Fitter = Callable[[Tensor, Tensor, Tensor], tuple[Tensor, object]]


def make_image(width: int, height: int, share: float, seed: int) -> tuple[Tensor, Tensor, Tensor]:
    """Affine-invariant prediction, truth in metres and mask [1 1 h w]; about ``share`` of the pixels are measured."""
    generator = torch.Generator().manual_seed(seed)
    coarse = torch.rand(1, 1, 6, 8, generator=generator)
    truth = 2 + 18 * torch.nn.functional.interpolate(coarse, (height, width), mode="bilinear")
    prediction = (truth - 1) / 20 * (1 + 0.05 * torch.randn(truth.shape, generator=generator))
    blobs = torch.nn.functional.interpolate(torch.rand(1, 1, 40, 60, generator=generator), (height, width))
    # A fifth of what lies in a measured blob is missing pixel by pixel.
    valid = (blobs < share / 0.8) & (torch.rand(truth.shape, generator=generator) < 0.8)
    return prediction.clamp(0, 1), torch.where(valid, truth, 0.0), valid


def make_steps(width: int, height: int, seed: int) -> tuple[Tensor, Tensor]:
    """Two maps of depth [1 1 h w] whose steps lie a few pixels apart, with noise."""
    generator = torch.Generator().manual_seed(seed)
    steps = torch.nn.functional.interpolate(torch.rand(1, 1, 6, 8, generator=generator), (height, width)) + 1
    noise = 0.01 * torch.randn(2, *steps.shape, generator=generator)
    return steps.roll(2, -1) + noise[0], steps + noise[1]


def loop_metrics(p: Array, g: Array, valid: Array) -> Figures:
    """Thirteen figures, one after the other, each with its own masking."""

    def worse() -> Array:
        return np.maximum(p[valid] / g[valid], g[valid] / p[valid])

    def log_error() -> Array:
        return np.log(p[valid]) - np.log(g[valid])

    figures = {
        "abs_rel": np.mean(np.abs(p[valid] - g[valid]) / g[valid]),
        "sq_rel": np.mean((p[valid] - g[valid]) ** 2 / g[valid]),
        "mae": np.mean(np.abs(p[valid] - g[valid])),
        "rmse": np.sqrt(np.mean((p[valid] - g[valid]) ** 2)),
        "rmse_log": np.sqrt(np.mean(log_error() ** 2)),
        "log10": np.mean(np.abs(np.log10(p[valid]) - np.log10(g[valid]))),
        "si_log": 100 * np.std(log_error()),
        "i_mae": np.mean(np.abs(1 / p[valid] - 1 / g[valid])),
        "i_rmse": np.sqrt(np.mean((1 / p[valid] - 1 / g[valid]) ** 2)),
        "delta05": np.mean(worse() < 1.25**0.5),
        "delta1": np.mean(worse() < 1.25),
        "delta2": np.mean(worse() < 1.25**2),
        "delta3": np.mean(worse() < 1.25**3),
    }
    return {name: float(value) for name, value in figures.items()}


def loop_fit(prediction: Array, target: Array, valid: Array) -> tuple[float, float]:
    design = np.stack([prediction[valid], np.ones_like(prediction[valid])], 1)
    scale, shift = np.linalg.lstsq(design, target[valid], rcond=None)[0]
    return scale, shift


def in_depth(prediction: Array, truth: Array, valid: Array) -> Figures:
    scale, shift = loop_fit(prediction, truth, valid)
    return loop_metrics(np.clip(prediction * scale + shift, 1e-6, None), truth, valid)


def in_disparity(prediction: Array, truth: Array, valid: Array) -> Figures:
    disparity = np.zeros_like(truth)
    disparity[valid] = 1 / truth[valid]
    scale, shift = loop_fit(prediction, disparity, valid)
    aligned = 1 / np.clip(prediction * scale + shift, 1 / truth[valid].max(), None)
    return loop_metrics(aligned, truth, valid)


def loop_edges(depth: Array, truth: Array) -> Figures:
    """iBims-1's edge errors between the Canny edges of two maps."""
    predicted, true = (
        feature.canny((z - z.min()) / np.ptp(z), sigma=2**0.5, low_threshold=0.15, high_threshold=0.3)
        for z in (depth, truth)
    )
    to_true, to_predicted = (np.asarray(ndimage.distance_transform_edt(~edges)) for edges in (true, predicted))
    near = predicted & (to_true < 10)
    return {"accuracy_px": to_true[near].mean(), "completeness_px": np.minimum(to_predicted[true], 10).mean()}


def our_edges(prediction: Tensor, truth: Tensor) -> Figures:
    found = edge_errors(canny(prediction), canny(truth))
    return {name: float(found[name]) for name in ("accuracy_px", "completeness_px")}


def ours(fit: Fitter, prediction: Tensor, truth: Tensor, valid: Tensor) -> Figures:
    aligned, _ = fit(prediction, truth, valid)
    return {name: float(value) for name, value in depth_metrics(aligned, truth, valid).items()}


def compare(name: str, sides: dict[str, Callable[[], Figures]], runs: int) -> None:
    """Times of the sides in turn; the first is the float64 loop that the others are measured against."""
    figures = {side: run() for side, run in sides.items()}
    cpu: dict[str, list[float]] = {side: [] for side in sides}
    wall: dict[str, list[float]] = {side: [] for side in sides}
    for _ in range(runs):
        for side, run in sides.items():
            start_cpu, start = time.process_time(), time.perf_counter()
            run()
            cpu[side].append(time.process_time() - start_cpu)
            wall[side].append(time.perf_counter() - start)
    reference = figures[next(iter(sides))]
    us = [statistics.median(times[list(sides)[-1]]) for times in (cpu, wall)]
    for side in sides:
        seconds = [statistics.median(times[side]) for times in (cpu, wall)]
        off = max(abs(figures[side][key] / value - 1) for key, value in reference.items() if value)
        print(
            f"{name:<26} {side:<16} {seconds[0]:>7.2f} {seconds[1]:>7.2f} {seconds[0] / us[0]:>8.1f}x "
            f"{seconds[1] / us[1]:>8.1f}x {off:>10.1e}"
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--width", type=int, default=6048, help="pixels")
    parser.add_argument("--height", type=int, default=4032, help="pixels")
    parser.add_argument("--share", type=float, default=0.4, help="share of pixels with truth, at most 0.8")
    parser.add_argument("--runs", type=int, default=5, help="warm runs of each side; their median is shown")
    parser.add_argument("--threads", type=int, default=2, help="torch threads")
    parser.add_argument("--seed", type=int, default=0, help="seed of the made image")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    image = make_image(arguments.width, arguments.height, arguments.share, arguments.seed)
    single_p, single_g, valid = (values[0, 0].numpy() for values in image)
    singles, doubles = (single_p, single_g), (single_p.astype(np.float64), single_g.astype(np.float64))
    print(f"{platform.machine()}, {os.cpu_count()} cores, {arguments.threads} torch thread(s); one image of", end=" ")
    print(f"{arguments.width} x {arguments.height} px, {valid.mean():.0%} valid, median of {arguments.runs} runs")
    print(f"Python {platform.python_version()}, torch {torch.__version__}, NumPy {np.__version__}", end=", ")
    print(f"SciPy {scipy.__version__}")
    print(f"{'':<26} {'side':<16} {'CPU s':>7} {'wall s':>7} {'/ ours':>9} {'/ ours':>9} {'figures off':>11}")
    rows: tuple[tuple[str, Loop, Fitter], ...] = (
        ("fit in depth, metrics", in_depth, fit_depth),
        ("fit in disparity, metrics", in_disparity, fit_disparity),
    )
    for name, loop, fit in rows:
        sides: dict[str, Callable[[], Figures]] = {
            "loop, float64": lambda loop=loop: loop(*doubles, valid),
            "loop, float32": lambda loop=loop: loop(*singles, valid),
            "latentdepth": lambda fit=fit: ours(fit, *image),
        }
        compare(name, sides, arguments.runs)
    depths = make_steps(640, 480, arguments.seed)
    arrays = [values[0, 0].numpy().astype(np.float64) for values in depths]
    sides = {"SciPy": lambda: loop_edges(*arrays), "latentdepth": lambda: our_edges(*depths)}
    compare("edges at 640 x 480", sides, arguments.runs)


if __name__ == "__main__":
    main()
