"""What looking in tiles gives and costs: boundaries, error and seams on photos larger than the network.

    python benchmarks/tiling.py FOLDER [--model builtin:tiny-diffusion] [--picture FILE.png --of 0]
    python benchmarks/tiling.py --megapixels 100 [--as-floats]

FOLDER is a plain data set (rgb/, depth/). Errors are after a least-squares fit of scale and shift in disparity.
``--model right`` is no network: it is shown the true disparity in the photo's place, at 256 pixels, and answers with it
up to a scale and shift that differ from call to call. What it loses is lost by looking, not by the network.
"""

from __future__ import annotations

import argparse
import math
import statistics
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float
from PIL import Image
from torch import Tensor

from latentdepth.core.align import fit_disparity
from latentdepth.core.colours import depth_colours
from latentdepth.core.edges import boundaries
from latentdepth.core.metrics import abs_rel
from latentdepth.core.modality import depth_like, fit_size, resize
from latentdepth.core.seams import seam_energy
from latentdepth.core.tiles import Layout, grid
from latentdepth.core.types import Prediction, Quantity
from latentdepth.data.folders import FolderFrames
from latentdepth.data.sample import Sample
from latentdepth.evaluate.statistics import paired
from latentdepth.loading import load
from latentdepth.options import PredictOptions, TileOptions
from latentdepth.predictor import DiffusionPredictor, LoadedPredictor
from latentdepth.tiling import predict_tiled

WAYS: dict[str, TileOptions | int | None] = {
    "plain upsampling": None,
    "whole at its own size": 0,
    "grid, overlap 1/4": TileOptions(tiles="grid", tile_overlap=0.25),
    "grid, overlap 1/2": TileOptions(tiles="grid"),
    "shifted, overlap 1/4": TileOptions(tiles="shifted", tile_overlap=0.25),
    "random": TileOptions(tiles="random", tile_overlap=0.25),
    "adaptive": TileOptions(tiles="adaptive"),
    "grid, tiles of 1/2": TileOptions(tiles="grid", tile_size=512),
    "grid, by context": TileOptions(tiles="grid", tile_by_context=True),
    "latent, overlap 1/4": TileOptions(tiles="latent", tile_overlap=0.25),
    "latent, overlap 1/2": TileOptions(tiles="latent"),
    "latent, tiles of 1/2": TileOptions(tiles="latent", tile_size=512),
}
COLUMNS = ("AbsRel", "boundary F1", "F1 over 8 px", "seams", "tiles", "CPU seconds")
WIDE_PX = 8


class RightAtItsSize:
    """Answers with what it is shown, in an unknown scale and shift: the best that a network of its size can be."""

    name = "right at 256 pixels"

    def __init__(self) -> None:
        self.modality = depth_like(Quantity.DISPARITY)
        self._draw = torch.Generator().manual_seed(0)

    def describe(self) -> dict[str, str | int | float | bool]:
        return {"default resolution": 256}

    def __call__(self, images: Float[Tensor, "n 3 h w"], options: PredictOptions | None = None) -> Prediction:
        size = (images.shape[-2], images.shape[-1])
        longer = self.describe()["default resolution"] if options is None else options.resolution
        longer = 256 if longer is None else int(longer)
        seen = resize(resize(images[:, :1], fit_size(*size, longer)), size, antialias=False)
        scale, shift = torch.rand(2, generator=self._draw).tolist()
        return Prediction(value=seen * (0.3 + 0.6 * scale) + 0.1 * shift, kind=self.modality.kind)


def as_photo(sample: Sample) -> Float[Tensor, "3 h w"]:
    """The true disparity in the place of a photo, its nearest point 1."""
    counts = sample.valid & sample.depth_m.isfinite() & (sample.depth_m > 0)
    disparity = torch.where(counts, 1 / sample.depth_m.clamp_min(1e-3), 0.0)
    return (disparity / disparity.max()).expand(3, -1, -1)


def look(predictor: LoadedPredictor, sample: Sample, way: TileOptions | int | None, steps: int | None) -> Prediction:
    """One photo in one way."""
    photo = sample.image[None]
    if isinstance(way, TileOptions):
        return predict_tiled(predictor, photo, PredictOptions(steps=steps), tiles=way)
    return predictor(photo, PredictOptions(resolution=way, steps=steps))


def figures(prediction: Prediction, sample: Sample, seconds: float) -> dict[str, float]:
    """One photo's row. Seams are counted where the quarter-overlap grid has its borders, whatever the way."""
    truth = sample.depth_m[None]
    valid = sample.valid[None] & truth.isfinite() & (truth > 0)
    depth_m, _ = fit_disparity(prediction.value, torch.where(valid, truth, 1.0), valid)
    found = boundaries(depth_m, torch.where(valid, truth, 1.0), valid)
    # neighbours 8 pixels apart: what a soft network knows of an edge, wherever in those pixels it puts it
    wide = boundaries(*(m[..., ::WIDE_PX, ::WIDE_PX] for m in (depth_m, torch.where(valid, truth, 1.0), valid)))
    height, width = truth.shape[-2:]
    layout = Layout(height, width, 192, 256)
    return {
        "AbsRel": float(abs_rel(depth_m, truth, valid)),
        "boundary F1": float(found.f1),
        "F1 over 8 px": float(wide.f1),
        "seams": seam_energy(prediction.value, grid(layout, overlap=0.25), layout),
        "tiles": float(prediction.made_with.get("tile_count") or 1),
        "CPU seconds": seconds,
    }


def memory(megapixels: float, *, as_floats: bool) -> None:
    """Peak memory above that of the loaded libraries, for a square photo of noise and a cheap predictor."""
    side = round((megapixels * 1e6) ** 0.5)
    with tempfile.TemporaryDirectory() as folder:
        mapped = np.memmap(Path(folder) / "photo.raw", np.uint8, "w+", shape=(side, side, 3))
        draw = np.random.default_rng(0)
        for top in range(0, side, 500):
            mapped[top : top + 500] = draw.integers(0, 256, mapped[top : top + 500].shape, np.uint8)
        del mapped
        mapped = np.memmap(Path(folder) / "photo.raw", np.uint8, "r", shape=(side, side, 3))
        with Path("/proc/self/clear_refs").open("w") as reset:
            reset.write("5")  # the peak so far is forgotten
        before = resident_mib("VmRSS")
        photo = torch.empty(1, 3, side, side) if as_floats else mapped
        if isinstance(photo, torch.Tensor):
            for top in range(0, side, 500):
                part = torch.from_numpy(np.array(mapped[top : top + 500])).permute(2, 0, 1)
                photo[0, :, top : top + 500] = part.float() / 255
        began = time.perf_counter()
        found = predict_tiled(
            RightAtItsSize(),
            photo,
            PredictOptions(resolution=512),
            tiles=TileOptions(tiles="grid", tile_overlap=0.25),
            on_tile=lambda done, total: print(f"\r{done}/{total}", end="", file=sys.stderr),
        )
    kept = "floats in memory" if as_floats else "bytes on disk"
    print(
        f"\n{side} x {side} pixels, {kept}: result {tuple(found.value.shape)}, {found.made_with['tile_count']} tiles, "
        f"{time.perf_counter() - began:.0f} s, {resident_mib('VmHWM') - before:.0f} MiB at most"
    )


def resident_mib(line: str) -> float:
    """VmRSS (now) or VmHWM (at most) of this process, from Linux."""
    said = Path("/proc/self/status").read_text()
    return int(said.partition(f"{line}:")[2].split()[0]) / 1024


def main() -> None:
    """Print a table of means over the folder's photos, or what memory a large one takes."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path, nargs="?")
    parser.add_argument("--megapixels", type=float, help="measure memory instead")
    parser.add_argument("--as-floats", action="store_true", help="with the photo in memory, as the command line has it")
    parser.add_argument("--model", default="builtin:tiny-diffusion")
    parser.add_argument("--ways", nargs="*", help="by default all that the model can do")
    parser.add_argument("--steps", type=int, help="denoising steps; by default what the model says")
    parser.add_argument("--picture", type=Path)
    parser.add_argument("--of", type=int, default=0)
    asked = parser.parse_args()
    torch.set_num_threads(1)
    if asked.megapixels:
        return memory(asked.megapixels, as_floats=asked.as_floats)
    if asked.folder is None:
        parser.error("give a folder, or --megapixels 100")
    predictor: LoadedPredictor = RightAtItsSize() if asked.model == "right" else load(asked.model)
    frames = FolderFrames(asked.folder)
    latent = isinstance(predictor, DiffusionPredictor)  # what has no steps can't be joined at every step
    ways = asked.ways or [way for way in WAYS if latent or not way.startswith("latent")]
    rows: dict[str, list[dict[str, float]]] = {way: [] for way in ways}
    shown = []
    for index in range(len(frames)):
        sample = frames[index]
        if asked.model == "right":
            sample = replace(sample, image=as_photo(sample))
        for way in ways:
            began = time.process_time()
            prediction = look(predictor, sample, WAYS[way], asked.steps)
            rows[way].append(figures(prediction, sample, time.process_time() - began))
            print(index, way, {k: round(v, 4) for k, v in rows[way][-1].items()}, file=sys.stderr, flush=True)
            if asked.picture and index == asked.of:
                shown.append(depth_colours(prediction.value, prediction.kind))
        if asked.picture and index == asked.of:
            strip = torch.cat([sample.image[None], *shown], -1)[0].permute(1, 2, 0).numpy()
            Image.fromarray((strip * 255).round().astype(np.uint8)).save(asked.picture)
    print_tables(rows)


def print_tables(rows: dict[str, list[dict[str, float]]]) -> None:
    """Means over photos, and each way's paired difference to the first with its 95 % bootstrap interval."""
    print(f"| | {' | '.join(COLUMNS)} |\n|---|{'---|' * len(COLUMNS)}")
    first, *others = rows
    for way, each in rows.items():
        means = [statistics.fmean(row[name] for row in each if row[name] == row[name]) for name in COLUMNS]
        print(f"| {way} | " + " | ".join(f"{mean:.3g}" for mean in means) + " |")
    print(f"\n| less {first} | AbsRel | F1 over 8 px |\n|---|---|---|")
    for way in others:
        shown = []
        for name in ("AbsRel", "F1 over 8 px"):
            pairs = [(row[name], plain[name]) for row, plain in zip(rows[way], rows[first], strict=True)]
            pairs = [pair for pair in pairs if math.isfinite(sum(pair))]
            found = paired([pair[0] for pair in pairs], [pair[1] for pair in pairs]).difference
            shown.append(f"{found.mean:+.4f} ({found.low:+.4f} to {found.high:+.4f})")
        print(f"| {way} | {' | '.join(shown)} |")


if __name__ == "__main__":
    main()
