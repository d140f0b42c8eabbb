"""Cost of synthetic frames: CPU seconds of each step, frames per hour, memory.

    python benchmarks/synth.py --scenes 7 --size 384 288 --views 6 --samples 4

Scenes 0, 1, 2, ... of a seed, in one process with one thread, after one scene that isn't counted (the path tracer
compiles its program in it, once for a machine). CPU seconds, because wall time depends on what else runs. Frames per
hour are those of one core; processes share nothing, so that as many cores make as many times more.
"""

from __future__ import annotations

import argparse
import os
import platform
import resource
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import numpy as np
import torch

from latentdepth.synth.cast import RayScene
from latentdepth.synth.compose import compose
from latentdepth.synth.labels import label
from latentdepth.synth.layouts import scene_shard, write_scene
from latentdepth.synth.make import Settings, make_scene
from latentdepth.synth.mitsuba import Tracing, choose_variant, render
from latentdepth.synth.photograph import any_sensor, photograph
from latentdepth.synth.viewpoints import choose

Result = TypeVar("Result")
STEPS = ("compose", "triangle tree", "choose views", "trace", "denoise", "camera model", "depth and normals", "write")


def one_scene(settings: Settings, number: int, out: Path) -> tuple[dict[str, float], str, int, int]:
    """CPU seconds by step, the kind, and the numbers of triangles and frames."""
    seconds: dict[str, float] = {step: 0.0 for step in STEPS}

    def timed(step: str, work: Callable[[], Result]) -> Result:
        start = time.process_time()
        answer = work()
        seconds[step] += time.process_time() - start
        return answer

    scene = timed("compose", lambda: compose(settings.seed, number))
    rays = timed("triangle tree", lambda: RayScene(scene))
    draw = np.random.default_rng([settings.seed, number, 99])
    wide, high = settings.width_px, settings.height_px
    views = timed(
        "choose views",
        lambda: choose(
            rays, scene.views, draw, count=settings.views, width_px=wide, height_px=high, limits=scene.limits
        ),
    )
    noisy = Tracing(samples=settings.samples, denoise=False, threads=1)
    timed("trace", lambda: render(scene, views, noisy))
    clean = Tracing(samples=settings.samples, threads=1)
    pictures = timed("denoise", lambda: render(scene, views, clean))
    seconds["denoise"] -= seconds["trace"]
    for view, radiance in zip(views, pictures, strict=True):
        timed("camera model", lambda r=radiance: photograph(r, any_sensor(draw), draw))
        timed("depth and normals", lambda v=view: label(rays, v))
    made = make_scene(settings, number, threads=1)
    timed("write", lambda: write_scene(out, "shards", settings, number, made))
    return seconds, scene.kind, len(rays.faces), len(views)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--scenes", type=int, default=7, help="scenes to measure")
    parser.add_argument("--size", type=int, nargs=2, default=(384, 288), help="width and height in pixels")
    parser.add_argument("--views", type=int, default=6, help="photographs of each scene")
    parser.add_argument("--samples", type=int, default=4, help="paths per pixel")
    parser.add_argument("--seed", type=int, default=0, help="seed of the scenes")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    width, height = arguments.size
    settings = Settings(arguments.seed, width, height, arguments.views, arguments.samples)
    print(f"{platform.machine()}, {os.cpu_count()} cores, one used; Python {platform.python_version()}; ", end="")
    print(f"{choose_variant()}; {width} x {height} px, {settings.samples} paths a pixel, seed {settings.seed}\n")
    rows = []
    memory = []
    with tempfile.TemporaryDirectory() as folder:
        for number in range(-1, arguments.scenes):
            seconds, kind, triangles, frames = one_scene(settings, number % 10**6, Path(folder))
            memory.append(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20)
            if number >= 0:
                rows.append((kind, triangles, frames, seconds))
        shards = [scene_shard(Path(folder), number) for number in range(arguments.scenes)]
        size = sum(path.stat().st_size for path in shards) / sum(r[2] for r in rows) / 1024
    print("| scene | triangles | frames | " + " | ".join(STEPS) + " | all, a frame |")
    print("|" + "---|" * (4 + len(STEPS)))
    for kind, triangles, frames, seconds in rows:
        steps = " | ".join(f"{seconds[step]:.2f}" for step in STEPS)
        print(f"| {kind} | {triangles} | {frames} | {steps} | {sum(seconds.values()) / frames:.2f} |")
    frame = sum(sum(r[3].values()) for r in rows) / sum(r[2] for r in rows)
    middle = statistics.median(sum(r[3].values()) / r[2] for r in rows)
    print(f"\nCPU seconds a frame: mean {frame:.2f}, median {middle:.2f}; {3600 / frame:.0f} frames an hour and core.")
    print(f"Most memory: {memory[0]:.2f} GiB after the first scene, {memory[-1]:.2f} GiB after the last.")
    print(f"On disk: {size:.0f} KiB a frame as shards.")


if __name__ == "__main__":
    main()
