"""From a model's folder to its stages on another engine, each compared with torch on photographs before it counts.

What fails the comparison is not left behind. Knows no command line.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor

from latentdepth.core.modality import resize
from latentdepth.images import read
from latentdepth.options import Runtime
from latentdepth.runtimes.artefact import (
    Artefact,
    Check,
    artefact_folder,
    hash_of,
    new_artefact,
    read_artefact,
    write_artefact,
)
from latentdepth.runtimes.engine import Engine, Graph, engine
from latentdepth.runtimes.traced import Traceable, example, traceable

ALLOWED = {torch.float32: 1e-4, torch.bfloat16: 0.08}
"""Relative difference of a stage. float32, which is always compared, proves that the graph is the network: only sums
are in another order. bfloat16 has 8 bits, and its roundings come to 1 to 5 % at the end of a deep network."""
Size = tuple[int, int]


@dataclass(frozen=True)
class Progress:
    """Told of what is being done; by default nothing happens."""

    begins: Callable[[int], None] = lambda steps: None
    """So many steps: stages to write, and comparisons."""
    wrote: Callable[[str], None] = lambda stage: None
    checked: Callable[[Check], None] = lambda check: None


def export_model(
    model: Path,
    runtime: Runtime,
    *,
    name: str,
    photos: Sequence[Path],
    sizes: Sequence[Size] = (),
    overwrite: bool = False,
    progress: Progress | None = None,
) -> Artefact:
    """Write ``model``'s stages for ``runtime`` into its folder and compare them with torch in float32.

    ``sizes`` are (width, height) that the network sees; by default those of usual shapes at the model's resolution.
    ``name`` is how messages call the model. An export that fits is kept, and ``sizes`` are added to it; ``overwrite``
    begins anew. Raises ValueError for missing libraries, sizes that the network can't see, broken weights, a stage that
    is further from torch than ``ALLOWED``, and for an export there that no longer fits.
    """
    found, progress = engine(runtime), progress or Progress()
    if not photos:
        raise ValueError('no photo to compare on: pip install "latentdepth[demo]" for the samples, or give --photos')
    folder = artefact_folder(model, runtime)
    kept = None
    if (folder / "artefact.json").exists() and not overwrite:
        kept = read_artefact(model, runtime, version=found.version, name=name)
    traced = traceable(model)
    wanted = [size for size in _checked_sizes(sizes or traced.sizes, traced) if not kept or size not in kept.sizes]
    progress.begins((0 if kept else len(traced.stages)) + len(wanted) * len(traced.stages) * len(found.dtypes))
    making = folder if kept else folder.parent / f".{runtime}.partial"
    try:
        if not kept:
            _write_stages(traced, found, making, progress)
        checks = tuple(_compared(traced, found, making, wanted, photos, progress))
        _refuse(checks, runtime)
        checks = (kept.checks if kept else ()) + checks
        network = traced.network
        artefact = new_artefact(model, runtime, version=found.version, graphs=making, checks=checks, network=network)
        write_artefact(artefact, making)
        if not kept:
            shutil.rmtree(folder, ignore_errors=True)
            making.rename(folder)
    finally:
        if not kept:
            shutil.rmtree(making, ignore_errors=True)
    return artefact


def copy_model(model: Path, out: Path) -> None:
    """The model's own files in ``out``, without what was exported of it. A copy that is there is good.

    Raises ValueError where ``out`` holds anything else.
    """
    if out.exists() and (out.is_file() or any(out.iterdir())):
        if out.is_dir() and hash_of(out) == hash_of(model):
            return
        raise ValueError(f"{out} is there already and is no copy of {model}; give another --out")
    shutil.copytree(model, out, dirs_exist_ok=True, ignore=lambda at, names: {"runtimes"} & set(names))


def _checked_sizes(sizes: Sequence[Size], traced: Traceable) -> list[Size]:
    for width, height in sizes:
        if width % traced.stride or height % traced.stride or min(width, height) < traced.stride:
            near = [max(1, round(side / traced.stride)) * traced.stride for side in (width, height)]
            raise ValueError(
                f"size is {width}x{height}; this network sees sides that are multiples of {traced.stride}: the nearest "
                f"is {near[0]}x{near[1]}"
            )
    return list(dict.fromkeys(sizes))


def _write_stages(traced: Traceable, found: Engine, folder: Path, progress: Progress) -> None:
    shutil.rmtree(folder, ignore_errors=True)  # of an attempt that was killed
    folder.mkdir(parents=True)
    for stage, network in traced.stages.items():
        found.write(network, example(stage, traced), folder / f"{stage}{found.suffix}")
        progress.wrote(stage)


def _compared(
    traced: Traceable, found: Engine, folder: Path, sizes: Sequence[Size], photos: Sequence[Path], progress: Progress
) -> Iterator[Check]:
    """Every stage at every size in every dtype, each size on another photo."""
    graphs: dict[tuple[str, torch.dtype], Graph] = {
        (stage, dtype): found.read(folder / f"{stage}{found.suffix}", dtype=dtype, cache=None)
        for stage in traced.stages
        for dtype in found.dtypes
    }
    for i, (width, height) in enumerate(sizes):
        photo = resize(read(photos[i % len(photos)]).pixels, (height, width)).clamp(0, 1)
        for stage, inputs in traced.inputs(photo).items():
            with torch.inference_mode():
                wanted = traced.stages[stage](*inputs)
            for dtype in found.dtypes:
                said = graphs[stage, dtype](*inputs)
                word = str(dtype).removeprefix("torch.")
                check = Check(stage, width, height, word, relative_difference(said, wanted), ALLOWED[dtype])
                progress.checked(check)
                yield check


def relative_difference(said: Float[Tensor, "*shape"], wanted: Float[Tensor, "*shape"]) -> float:
    """|said - wanted| / |wanted|, in the Euclidean norm; NaN where either holds one."""
    wanted = wanted.double()
    return float((said.double() - wanted).norm() / wanted.norm().clamp_min(1e-12))


def _refuse(checks: Sequence[Check], runtime: Runtime) -> None:
    failed = [one for one in checks if not one.passed]
    if failed:
        worst = max(failed, key=lambda one: one.difference if one.difference == one.difference else float("inf"))
        raise ValueError(
            f"{runtime} differs from torch by {worst.difference:.2g} in {worst.stage} at {worst.width}x{worst.height} "
            f"in {worst.dtype}; allowed is {worst.allowed:g} ({len(failed)} of {len(checks)} comparisons failed). "
            "Nothing was exported: run this model on torch"
        )
