"""Accuracy of a model on RGB-D pairs, per source, beside a constant, a vertical ramp and luminance.

    python benchmarks/accuracy.py --model builtin:tiny-diffusion --pairs DIR [DIR ...]

Every folder holds a manifest.jsonl (latentdepth.data.training). Protocol: scale and shift fitted per image by least
squares in disparity, clamped to the farthest true depth, then AbsRel and delta1 of depth over valid pixels, averaged
over images. It measures nothing but the network: no crops, no post-processing.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
import tyro
from rich.console import Console
from rich.progress import track
from torch import Tensor

from latentdepth.core.align import fit_disparity
from latentdepth.core.metrics import abs_rel, delta
from latentdepth.core.types import Quantity
from latentdepth.data.training import manifest_pairs
from latentdepth.options import PredictOptions
from latentdepth.predictor import DEFAULT_MODEL, load


@dataclass(frozen=True)
class Measure:
    """Which model, on which pairs."""

    pairs: tuple[Path, ...]
    """Folders with manifest.jsonl."""
    model: str = DEFAULT_MODEL
    sources: tuple[str, ...] = ()
    """Only these sources; empty: all."""
    every: int = 1
    """Take every k-th pair of a source."""
    steps: int | None = None
    members: int | None = None
    resolution: int | None = None


def constant(image: Tensor) -> Tensor:
    """The same everywhere."""
    return torch.ones_like(image[:, :1])


def ramp(image: Tensor) -> Tensor:
    """Near at the bottom: disparity rises linearly with the row."""
    h, w = image.shape[-2:]
    return torch.linspace(0, 1, h)[None, None, :, None].expand(1, 1, h, w)


def luminance(image: Tensor) -> Tensor:
    """Bright is near."""
    return (image * torch.tensor([0.299, 0.587, 0.114])[None, :, None, None]).sum(1, keepdim=True)


def main() -> None:
    """Entry point."""
    ask = tyro.cli(Measure)
    predictor = load(ask.model)
    options = PredictOptions(steps=ask.steps, members=ask.members, resolution=ask.resolution)

    def network(image: Tensor) -> Tensor:
        prediction = predictor(image, options)
        if prediction.kind.quantity is Quantity.DEPTH:
            return 1 / (prediction.value + 0.1)  # an affine depth has no disparity; this only keeps the order
        return prediction.value

    ways: dict[str, Callable[[Tensor], Tensor]] = {
        ask.model: network,
        "ramp": ramp,
        "luminance": luminance,
        "constant": constant,
    }
    scores: dict[str, dict[str, list[tuple[float, float]]]] = defaultdict(lambda: defaultdict(list))
    for folder in ask.pairs:
        by_source = defaultdict(list)
        for pair in manifest_pairs(folder, sources=ask.sources):
            by_source[pair.source].append(pair)
        for source, pairs in by_source.items():
            for pair in track(pairs[:: ask.every], description=f"{source:24}", console=Console(stderr=True)):
                sample = pair.read()
                truth, valid = sample.depth_m[None], sample.valid[None]
                for name, way in ways.items():
                    depth, _ = fit_disparity(way(sample.image[None]), truth, valid)
                    scores[source][name].append(
                        (float(abs_rel(depth, truth, valid)), float(delta(depth, truth, valid)))
                    )
    print("| source | n | " + " | ".join(ways) + " |")
    print("|---|---|" + "---|" * len(ways))
    means: dict[str, list[Tensor]] = defaultdict(list)
    for source, columns in sorted(scores.items()):
        cells = []
        for name in ways:
            mean = torch.tensor(columns[name], dtype=torch.float64).nanmean(0)
            means[name].append(mean)
            cells.append(f"{mean[0]:.3f} / {mean[1]:.3f}")
        print(f"| {source} | {len(columns[ask.model])} | " + " | ".join(cells) + " |")
    summary = [torch.stack(means[name]).nanmean(0) for name in ways]
    print(f"| mean over {len(scores)} sources | | " + " | ".join(f"{m[0]:.3f} / {m[1]:.3f}" for m in summary) + " |")


if __name__ == "__main__":
    main()
