"""How fast samples are read, and whether a training step waits for them.

    python benchmarks/loading.py --frames 32 --seconds 5 --steps 20

Writes miniature data sets in every layout to a temporary folder (photos with fine texture, planes with a hole as
depth), then measures: images per second of one process with one thread for each reader, decoding alone and as
finished micro-batch rows, by processor time and by wall time; and the share of time that training steps of the
embedded model wait for a loader with two worker processes. On a machine with as many cores as workers the step and
the workers compete, which is counted.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from PIL import Image

import latentdepth.models
from latentdepth.core.geometry import rays
from latentdepth.core.noise import generator
from latentdepth.core.types import Camera
from latentdepth.data.folders import FolderFrames
from latentdepth.data.frames import Frames
from latentdepth.data.hypersim import HypersimFrames, write_hypersim_frame, write_hypersim_lists
from latentdepth.data.loader import stream
from latentdepth.data.mixing import MixedBatches, Portion
from latentdepth.data.options import Augmentation, Target
from latentdepth.data.rasters import camera_facts, encode_normals, encode_photo
from latentdepth.data.sample import Sample
from latentdepth.data.shards import ShardFrames, ShardWriter
from latentdepth.data.virtual_kitti import VirtualKittiFrames, write_vkitti_frame, write_vkitti_lists
from latentdepth.models.diffusion import load_diffusion
from latentdepth.train.denoise import Marigold

WIDTH, HEIGHT = 640, 480
BUILTIN = Path(latentdepth.models.__path__[0]) / "builtin" / "tiny-diffusion"


def made_up(index: int) -> Sample:
    """A photo whose files are as large as real ones, the nearer of two slanted planes, and a hole of 2 %."""
    draw = generator("benchmark", index)
    camera = Camera.from_fov(60.0, WIDTH, HEIGHT)
    image = torch.full((1, 3, HEIGHT, WIDTH), 0.5)
    for side in (4, 16, 64, 256):  # fine noise is weak in photos
        coarse = torch.randn(1, 3, side * 3 // 4, side, generator=draw) * 0.25 / side**0.4
        image = image + torch.nn.functional.interpolate(coarse, (HEIGHT, WIDTH), mode="bilinear")
    slopes = torch.randn(2, 2, generator=draw) * 0.4
    towards = rays(camera)[0]
    depth = torch.stack(
        [(3 + 2 * k) / (1 + slopes[k, 0] * towards[0] + slopes[k, 1] * towards[1]).clamp(min=0.1) for k in range(2)]
    ).amin(0, keepdim=True)
    valid = torch.ones(1, HEIGHT, WIDTH, dtype=torch.bool)
    valid[0, 100:170, 200:288] = False
    normals = torch.zeros(3, HEIGHT, WIDTH)
    normals[2] = 1
    return Sample(image[0].clamp(0, 1), depth, valid, f"scene{index // 8}", camera, normals)


def write_folder(folder: Path, count: int) -> None:
    """``rgb/*.jpg``, 16-bit ``depth/*.png`` in millimetres, ``normals/*.png``, one camera."""
    for part in ("rgb", "depth", "normals"):
        (folder / part).mkdir(parents=True)
    for k in range(count):
        sample = made_up(k)
        millimetres = torch.where(sample.valid, sample.depth_m * 1000, torch.zeros_like(sample.depth_m))
        (folder / "rgb" / f"{k:04d}.jpg").write_bytes(encode_photo(sample.image, form="jpg"))
        counts = millimetres[0].round().clamp(0, 65535).numpy().astype(np.uint16)
        Image.fromarray(counts).save(folder / "depth" / f"{k:04d}.png")
        assert sample.normals is not None
        (folder / "normals" / f"{k:04d}.png").write_bytes(encode_normals(sample.normals))
    (folder / "depth.toml").write_text("unit = 0.001\n")
    (folder / "camera.json").write_text(json.dumps(camera_facts(Camera.from_fov(60.0, WIDTH, HEIGHT))))


def write_shards(folder: Path, count: int) -> None:
    """Shards of 16 samples."""
    with ShardWriter(folder, samples_per_shard=16) as writer:
        for k in range(count):
            writer.add(f"{k:04d}", made_up(k))


def write_hypersim(folder: Path, count: int) -> None:
    """The prepared Hypersim layout: photos are PNG."""
    rows = [
        write_hypersim_frame(folder, "train", f"ai_001_{k // 8:03d}", "cam_00", k, made_up(k)) for k in range(count)
    ]
    write_hypersim_lists(folder, "train", rows)


def write_vkitti(folder: Path, count: int) -> None:
    """The Virtual KITTI layout, uncropped."""
    rows = [write_vkitti_frame(folder, "Scene02", "clone", 0, k, made_up(k)) for k in range(count)]
    write_vkitti_lists(folder, {"train": rows})


LAYOUTS: dict[str, tuple[Callable[[Path, int], None], Callable[[Path], Frames]]] = {
    "folder": (write_folder, FolderFrames),
    "shards": (write_shards, ShardFrames),
    "hypersim": (write_hypersim, lambda folder: HypersimFrames(folder, filtered=False)),
    "vkitti2": (write_vkitti, lambda folder: VirtualKittiFrames(folder, crop=None)),
}


def rate(produce: Callable[[int], object], seconds: float, each: int) -> tuple[float, float]:
    """Items per second of processor time and of wall time, over at least ``seconds`` of wall time and three calls.

    ``each`` items a call. On a machine with other work the first is what one undisturbed worker would reach, if files
    come from memory.
    """
    produce(0)  # warm
    wall, cpu, calls = time.perf_counter(), time.process_time(), 0
    while calls < 3 or time.perf_counter() - wall < seconds:
        calls += 1
        produce(calls)
    return calls * each / (time.process_time() - cpu), calls * each / (time.perf_counter() - wall)


def waiting_share(batches: MixedBatches, *, steps: int, workers: int) -> tuple[float, float]:
    """(share of time spent waiting for the loader, seconds of a step without waiting), after three warm-up steps."""
    model = load_diffusion(BUILTIN, device=torch.device("cpu"), dtype=torch.float32)
    task = Marigold(model)
    optimiser = torch.optim.AdamW(task.network.parameters(), lr=1e-5)
    waited, busy, warm_up = 0.0, 0.0, 3
    ready = stream(batches, range(steps + warm_up), workers=workers)
    for step in range(steps + warm_up):
        start = time.perf_counter()
        batch = next(ready)
        given = time.perf_counter()
        with torch.autocast("cpu", torch.bfloat16):
            loss = task.loss(batch, generator("benchmark", step))["loss"]
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        optimiser.step()
        if step >= warm_up:
            waited, busy = waited + given - start, busy + time.perf_counter() - given
    return waited / (waited + busy), busy / steps


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--frames", type=int, default=32, help="frames of each miniature data set")
    parser.add_argument("--seconds", type=float, default=5.0, help="time for each figure")
    parser.add_argument("--steps", type=int, default=20, help="training steps per reader; 0 leaves them out")
    parser.add_argument("--workers", type=int, default=2, help="worker processes beside the training step")
    parser.add_argument("--batch", type=int, default=8, help="rows of a micro-batch")
    parser.add_argument("--size", type=int, nargs=2, default=[192, 256], help="height and width of a view")
    parser.add_argument("--layouts", nargs="+", choices=list(LAYOUTS), default=list(LAYOUTS))
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    height, width = arguments.size
    print(
        f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}, torch {torch.__version__}"
    )
    print(f"{arguments.frames} frames of {WIDTH} x {HEIGHT}, views of {width} x {height}, one thread a process")
    print(
        f"{'reader':<10} {'MB/frame':>8} {'opened in':>10} {'decoded/s':>10} {'(wall)':>7} {'rows/s':>7} {'(wall)':>7}",
        end="",
    )
    print(f" {'step':>7} {'waits':>6}" if arguments.steps else "")
    for name in arguments.layouts:
        with tempfile.TemporaryDirectory() as temporary:
            folder = Path(temporary) / name
            write, opened_from = LAYOUTS[name]
            write(folder, arguments.frames)
            opened_from(folder)  # once before: shards are indexed at their first opening
            size_mb = sum(p.stat().st_size for p in folder.rglob("*") if p.is_file()) / arguments.frames / 1e6
            start = time.perf_counter()
            frames = opened_from(folder)
            opened = time.perf_counter() - start
            decoded = rate(lambda k, f=frames: f[k % len(f)], arguments.seconds, 1)
            augmentation = Augmentation(window="random", recolour=1.0, motion_blur=0.1, defocus=0.1)
            portion = Portion(frames, 1.0, height, width, augmentation)
            batches = MixedBatches([portion], batch=arguments.batch, seed=0, target=Target("disparity"))
            rows = rate(batches, arguments.seconds, arguments.batch)
            print(f"{name:<10} {size_mb:>8.2f} {opened:>8.3f} s", end="")
            print(f" {decoded[0]:>10.1f} {decoded[1]:>7.1f} {rows[0]:>7.1f} {rows[1]:>7.1f}", end="", flush=True)
            if arguments.steps:
                share, seconds = waiting_share(batches, steps=arguments.steps, workers=arguments.workers)
                print(f" {seconds:>5.2f} s {share:>6.1%}", end="")
            print()


if __name__ == "__main__":
    main()
