"""Predict many photos, one after the other, and survive what goes wrong on the way.

One bad file costs one line; finished results are whole and stay; the same call resumes. Knows nothing of models or
file formats: a predictor, ``images.read`` and ``export.write`` do the work. The next photo is read and the last result
is written while the network runs; photos looked at in tiles are large, and come one after the other.
"""

from __future__ import annotations

import contextlib
import errno
import shutil
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Literal

from latentdepth.adaptive import shortfall
from latentdepth.core.types import Camera, Invariance, Prediction, Quantity
from latentdepth.export import DEFAULT_RELIEF, FORMATS, ExportError, finished, sidecar, write
from latentdepth.images import MAX_PIXELS, ImageError, Photo, read
from latentdepth.models.kept_memory import kept_memory
from latentdepth.options import PredictOptions, TileOptions
from latentdepth.predictor import Predictor
from latentdepth.tile_store import discard
from latentdepth.tiling import OnTile, check, predict_tiled

Outcome = Literal["done", "skipped", "failed"]
OnPhoto = Callable[[Path, Outcome, str], None]
"""Called in the order of the photos with what became of each, and why or what to know."""

_FULL_DISK_BYTES = 1_000_000  # less than one result takes


@dataclass(frozen=True)
class Saving:
    """What is written for each photo, and what may be replaced."""

    formats: tuple[str, ...] = ("preview", "png16")
    skip_existing: bool = False
    """Leave finished results alone. Results that lack their sidecar were cut off and are made again."""
    overwrite: bool = False
    near_far: tuple[float, float] | None = None
    fov_deg: float | None = None
    """Angle of view across the longer side; None takes the photo's own, where it is known."""
    max_pixels: int = MAX_PIXELS


@dataclass
class Report:
    """What became of each photo. ``left`` are those that were not reached."""

    done: list[Path] = field(default_factory=list)
    skipped: list[Path] = field(default_factory=list)
    failed: list[tuple[Path, str]] = field(default_factory=list)
    left: list[Path] = field(default_factory=list)
    stopped: Literal["interrupted", "disk full"] | None = None


@dataclass
class _Run:
    """One call's bookkeeping: the report, and the result that is still being written."""

    plan: Mapping[Path, Path]
    saving: Saving
    on_photo: OnPhoto
    tiles: TileOptions
    on_tile: OnTile
    report: Report = field(default_factory=Report)
    writing: tuple[Path, Photo, Future[list[Path]]] | None = None

    def note(self, path: Path, outcome: Outcome, text: str = "") -> None:
        if outcome == "failed":
            self.report.failed.append((path, text))
        else:
            (self.report.done if outcome == "done" else self.report.skipped).append(path)
        self.on_photo(path, outcome, text)

    def settle(self) -> None:
        """Wait for the result that is being written and note what became of it."""
        if self.writing is None:
            return
        path, photo, future = self.writing
        wait([future])  # Ctrl-C in here leaves the result to the next call
        self.writing = None
        try:
            future.result()
        except (ValueError, FileExistsError) as error:
            self.note(path, "failed", str(error))
        except ExportError as error:
            self.note(path, "failed", str(error))
            if _disk_is_full(error, self.plan[path].parent):
                self.report.stopped = "disk full"
        else:
            self.note(path, "done", "; ".join(photo.notes))


def predict_files(
    load_model: Callable[[], Predictor],
    plan: Mapping[Path, Path],
    options: PredictOptions,
    *,
    saving: Saving | None = None,
    on_photo: OnPhoto = lambda path, outcome, text: None,
    tiles: TileOptions | None = None,
    on_tile: OnTile = lambda done, total: None,
) -> Report:
    """Predict every photo of ``plan`` (photo to result stem, see ``export.plan_outputs``).

    ``load_model`` is called only if there is something to do, and its errors are the caller's. Ctrl-C and a full disk
    end the run early: ``Report.stopped`` says so, what was finished is kept, ``Report.left`` is what remains. With
    ``tiles``, those that are finished lie beside the result until it is whole, for ``skip_existing`` to go on from.
    """
    run = _Run(plan, saving or Saving(), on_photo, tiles or TileOptions(), on_tile)
    waiting = _left_to_do(run)
    if not waiting:
        return run.report
    predictor = load_model()
    _check_mesh(predictor, run.saving)
    if run.tiles.tiles != "off":
        check(predictor, options, run.tiles)
    # With tiles photos may be huge, and what they freed would be kept beside what the next step takes.
    memory = kept_memory() if run.tiles.tiles == "off" else contextlib.nullcontext()
    with ThreadPoolExecutor(1) as reader, ThreadPoolExecutor(1) as writer, memory:
        try:
            for path, reading in _readings(run, waiting, reader):
                _one(run, path, reading, predictor, options, writer)
                del reading  # it holds the photo while the next one is read
                if run.report.stopped:
                    break
            run.settle()
        except KeyboardInterrupt:
            run.report.stopped = "interrupted"
            run.settle()
        reader.shutdown(cancel_futures=True)
    reached = {*run.report.done, *run.report.skipped, *(path for path, _ in run.report.failed)}
    run.report.left = [path for path in plan if path not in reached]
    return run.report


def _readings(run: _Run, waiting: list[Path], reader: ThreadPoolExecutor) -> Iterator[tuple[Path, Future[Photo]]]:
    """Each photo, being read; the next one already, but with tiles: two such photos may be more than memory holds."""
    submit = partial(reader.submit, read, max_pixels=run.saving.max_pixels)
    if run.tiles.tiles != "off":
        for path in waiting:
            run.settle()
            if run.report.stopped:
                return
            yield path, submit(path)
        return
    ahead = submit(waiting[0])
    for k, path in enumerate(waiting):
        reading = ahead
        if k + 1 < len(waiting):
            ahead = submit(waiting[k + 1])
        yield path, reading


def _left_to_do(run: _Run) -> list[Path]:
    """Photos without a finished result; those whose result may not be replaced fail here, before any work."""
    waiting = []
    for path, stem in run.plan.items():
        if run.saving.skip_existing and finished(stem, run.saving.formats):
            run.note(path, "skipped")
        elif sidecar(stem).exists() and not run.saving.overwrite:
            hint = "it lacks some of the formats asked for; " if run.saving.skip_existing else ""
            run.note(path, "failed", f"{sidecar(stem)} exists; {hint}say --overwrite to replace the result")
        else:
            waiting.append(path)
    return waiting


def _check_mesh(predictor: Predictor, saving: Saving) -> None:
    """What ``export.write`` would refuse for every photo is refused before the first."""
    meshes = " and ".join(name for name in saving.formats if name in FORMATS and FORMATS[name].geometry)
    kind = predictor.modality.kind
    if meshes and kind.quantity is Quantity.NORMALS:
        raise ValueError(f"{meshes}: depth or disparity is needed, and the model predicts normals")
    if meshes and kind.invariance is not Invariance.METRIC and saving.near_far is None:
        raise ValueError(
            f"{meshes}: distances are needed, and the model predicts {kind}, which has no scale; give the nearest and "
            f"farthest distance, such as --near-far {DEFAULT_RELIEF[0]:g} {DEFAULT_RELIEF[1]:g}"
        )


def _one(
    run: _Run,
    path: Path,
    reading: Future[Photo],
    predictor: Predictor,
    options: PredictOptions,
    writer: ThreadPoolExecutor,
) -> None:
    try:
        photo = reading.result()
        prediction = _predicted(run, path, photo, predictor, options)
        if run.saving.fov_deg is not None:
            height, width = photo.pixels.shape[-2:]
            photo = replace(photo, camera=Camera.from_fov(run.saving.fov_deg, width, height))
        # a few networks say the camera themselves; what the photo's file says goes before
        prediction = replace(prediction, camera=photo.camera or prediction.camera)
        if missed := shortfall(prediction.made_with):
            photo = replace(photo, notes=(*photo.notes, missed))
    except ImageError as error:
        run.settle()  # keeps the lines in the order of the photos
        run.note(path, "failed", str(error).removeprefix(f"{path}: "))
        return
    except (ValueError, RuntimeError, MemoryError) as error:  # torch says RuntimeError when memory runs out
        run.settle()
        short = str(error).partition("\n")[0]
        run.note(
            path, "failed", f"{short} (if memory ran out: --resolution or --members lower)" if _memory(error) else short
        )
        return
    except ExportError as error:
        run.settle()
        run.note(path, "failed", str(error))
        if _disk_is_full(error, run.plan[path].parent):
            run.report.stopped = "disk full"
        return
    run.settle()
    if run.report.stopped:
        return
    future = writer.submit(
        write,
        prediction,
        run.plan[path],
        formats=run.saving.formats,
        photo=photo,
        # what lies there without a sidecar is an earlier run that was cut off
        overwrite=run.saving.overwrite or run.saving.skip_existing,
        near_far=run.saving.near_far,
    )
    run.writing = (path, photo, future)


def _predicted(run: _Run, path: Path, photo: Photo, predictor: Predictor, options: PredictOptions) -> Prediction:
    """Whole, or in tiles that a kill or Ctrl-C leaves to the next call. Those of a photo that failed are no use."""
    if run.tiles.tiles == "off":
        return predictor(photo.pixels, options)
    folder = tiles_folder(run.plan[path])
    if not run.saving.skip_existing:
        discard(folder)
    try:
        return predict_tiled(predictor, photo.pixels, options, tiles=run.tiles, folder=folder, on_tile=run.on_tile)
    except OSError as error:
        discard(folder)
        raise ExportError(f"{folder}: tiles can't be kept ({error.strerror or error})") from error
    except Exception:
        discard(folder)
        raise


def tiles_folder(stem: Path) -> Path:
    """Where the finished tiles of the result ``stem`` lie while it isn't whole: hidden, and no result by its name."""
    return stem.with_name(f".tiles-{stem.name}")


def _memory(error: Exception) -> bool:
    return isinstance(error, MemoryError) or "memory" in str(error).lower()


def _disk_is_full(error: ExportError, folder: Path) -> bool:
    """By the system's error number, or, where a library swallowed it, by the space that is left."""
    cause = error.__cause__
    if isinstance(cause, OSError) and cause.errno is not None:
        return cause.errno in (errno.ENOSPC, errno.EDQUOT)
    return folder.exists() and shutil.disk_usage(folder).free < _FULL_DISK_BYTES
