"""From a model's folder to its stages on another engine, each compared with torch on photographs before it counts.

What fails the comparison is not left behind. Knows no command line.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

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
from latentdepth.runtimes.comparing import Reference, Size, compared, pairs, references, worst_of
from latentdepth.runtimes.engine import Engine, Quantiser, engine
from latentdepth.runtimes.quantising import calibration, quantise_stage
from latentdepth.runtimes.traced import Traceable, example, traceable


@dataclass(frozen=True)
class Progress:
    """Told of what is being done; by default nothing happens."""

    begins: Callable[[int], None] = lambda steps: None
    """So many steps: stages to write, all stages' inputs to calibrate on, and comparisons."""
    wrote: Callable[[str], None] = lambda stage: None
    calibrated: Callable[[], None] = lambda: None
    checked: Callable[[Check], None] = lambda check: None


def export_model(
    model: Path,
    runtime: Runtime,
    *,
    name: str,
    photos: Sequence[Path],
    calibrate: Sequence[Path] = (),
    sizes: Sequence[Size] = (),
    overwrite: bool = False,
    progress: Progress | None = None,
) -> Artefact:
    """Write ``model``'s stages for ``runtime`` into its folder and compare them with torch in float32.

    ``sizes`` are (width, height) that the network sees; by default those of usual shapes at the model's resolution.
    ``name`` is how messages call the model. An export that fits is kept, and ``sizes`` are added to it; ``overwrite``
    begins anew. Raises ValueError for missing libraries, sizes that the network can't see, broken weights, a stage that
    is further from torch than ``ALLOWED``, and for an export there that no longer fits.

    An engine of 8 bits takes the ranges of its layers from ``calibrate``, by default ``photos``. A stage that is then
    further from torch than ``ALLOWED_INT8`` stays as it is; ValueError where that is every one.
    """
    found, progress = engine(runtime, exports=True), progress or Progress()
    if not photos:
        raise ValueError('no photo to compare on: pip install "latentdepth[demo]" for the samples, or give --photos')
    folder = artefact_folder(model, runtime)
    kept = None
    if (folder / "artefact.json").exists() and not overwrite:
        kept = read_artefact(model, runtime, version=found.version, name=name)
    traced = traceable(model)
    wanted = [size for size in _checked_sizes(sizes or traced.sizes, traced) if not kept or size not in kept.sizes]
    quantises = isinstance(found, Quantiser)
    steps = 0 if kept else len(traced.stages) + quantises
    comparisons = len(pairs(wanted, photos, every_photo=quantises)) * len(traced.stages) * len(found.dtypes)
    progress.begins(steps + comparisons)
    making = folder if kept else folder.parent / f".{runtime}.partial"
    try:
        if not kept:
            _write_stages(traced, found, making, progress)
        beside = tuple(references(traced, wanted, photos, thorough=quantises))
        int8, missed = (kept.int8, kept.missed) if kept else ((), ())
        if isinstance(found, Quantiser) and not kept:
            checks, missed = _quantised(traced, found, making, calibrate or photos, beside, progress)
            left = [one.stage for one in missed]
            int8 = tuple(stage for stage in traced.stages if stage not in left)
        else:
            checks = _compared(traced, found, making, beside, int8, progress)
        _refuse(checks, runtime)
        artefact = new_artefact(
            model,
            runtime,
            version=found.version,
            graphs=making,
            checks=(kept.checks if kept else ()) + checks,
            network=traced.network,
            int8=int8,
            missed=missed,
        )
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
    traced: Traceable,
    found: Engine,
    folder: Path,
    beside: Sequence[Reference],
    int8: Sequence[str],
    progress: Progress,
) -> tuple[Check, ...]:
    done: list[Check] = []
    for stage in traced.stages:
        path = folder / f"{stage}{found.suffix}"
        done += compared(found, path, _of(stage, beside), int8=stage in int8, checked=progress.checked)
    return tuple(done)


def _quantised(
    traced: Traceable,
    found: Quantiser,
    folder: Path,
    photos: Sequence[Path],
    beside: Sequence[Reference],
    progress: Progress,
) -> tuple[tuple[Check, ...], tuple[Check, ...]]:
    """Comparisons of what is there now, and of each stage that int8 is too far off for, and that stays, the worst."""
    sizes = tuple(dict.fromkeys((one.width, one.height) for one in beside))
    inputs = calibration(traced, sizes, photos)
    progress.calibrated()
    done: list[Check] = []
    missed: list[Check] = []
    for stage in traced.stages:
        path, own = folder / f"{stage}{found.suffix}", _of(stage, beside)
        holds, checks = quantise_stage(found, path, inputs[stage], own, checked=progress.checked)
        if not holds:
            missed.append(worst_of(checks))
            checks = tuple(compared(found, path, own, int8=False, checked=lambda check: None))
        done += checks
    if len(missed) == len(traced.stages):
        worst = worst_of(missed)
        raise ValueError(
            f"{found.runtime} differs from torch by {worst.difference:.2g} in {worst.stage} at "
            f"{worst.width}x{worst.height}; allowed is {worst.allowed:g}, and no other stage holds either. Nothing was "
            "exported: take --runtime openvino, or give --calibrate more photos, and such as the model shall see"
        )
    return tuple(done), tuple(missed)


def _of(stage: str, beside: Sequence[Reference]) -> tuple[Reference, ...]:
    return tuple(one for one in beside if one.stage == stage)


def _refuse(checks: Sequence[Check], runtime: Runtime) -> None:
    failed = [one for one in checks if not one.passed]
    if failed:
        worst = worst_of(failed)
        raise ValueError(
            f"{runtime} differs from torch by {worst.difference:.2g} in {worst.stage} at {worst.width}x{worst.height} "
            f"in {worst.dtype}; allowed is {worst.allowed:g} ({len(failed)} of {len(checks)} comparisons failed). "
            "Nothing was exported: run this model on torch"
        )
