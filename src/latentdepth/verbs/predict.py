"""``latentdepth predict``: photos in, files out, with a bar and a report. Holds no logic of prediction."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal, Protocol, runtime_checkable

from tyro.conf import Positional, arg

from latentdepth.options import DEFAULT_MODEL, Device, Dtype, FormatName, PredictOptions, Runtime, TileOptions
from latentdepth.verbs.labels import LabelOptions, run_labels
from latentdepth.verbs.progress import bar

if TYPE_CHECKING:
    from latentdepth.bulk import Report, Saving

MODEL_HELP = "builtin:NAME, dir:PATH or hub:ORG/REPO[@REV]; `latentdepth models` lists those that are here."


@dataclass(frozen=True)
class Predict:
    """Predict depth (or what the model gives) for photos."""

    paths: Annotated[Positional[tuple[str, ...]], arg(metavar="PATH...")] = ()
    """Photos, folders, glob patterns; - reads paths from standard input, one a line."""
    model: Annotated[str, arg(help=MODEL_HELP)] = DEFAULT_MODEL
    out: Path = Path("results")
    """Folder for the results; the photos' folders are mirrored in it."""
    to: Literal["files", "shards"] = "files"
    """files: results to look at and to use. shards: labels with their uncertainty, which `latentdepth train` reads; the
    same command goes on where it stopped."""
    formats: tuple[FormatName, ...] = ("preview", "png16")
    """Files to write for each photo."""
    recursive: bool = False
    """Look into folders below the given ones too."""
    skip_existing: bool = False
    """Leave finished results alone, and go on where an earlier run stopped."""
    overwrite: bool = False
    """Replace results that are there."""
    near_far: tuple[float, float] | None = None
    """Distances that the nearest and the farthest point shall have in ply and glb, where depth is only relative."""
    fov_deg: float | None = None
    """Angle of view across the longer side, degrees; by default from the photo, where it says."""
    max_pixels: int | None = None
    """Refuse photos of more pixels (default 178 million)."""
    device: Device = "auto"
    dtype: Dtype = "auto"
    runtime: Runtime = "torch"
    """Engine on the CPU: what `latentdepth export` wrote for openvino or onnx."""
    options: PredictOptions = field(default_factory=PredictOptions)
    tiles: TileOptions = field(default_factory=TileOptions)
    labels: LabelOptions = field(default_factory=LabelOptions)


@runtime_checkable
class ModelChoice(Protocol):
    """What a verb that predicts must say."""

    @property
    def model(self) -> str: ...
    @property
    def device(self) -> Device: ...
    @property
    def dtype(self) -> Dtype: ...
    @property
    def runtime(self) -> Runtime: ...
    @property
    def options(self) -> PredictOptions: ...


def run(verb: Predict) -> int:
    if not verb.paths:
        raise ValueError("no photo is given; type `latentdepth predict PHOTO` (a file, folder or pattern)")
    if verb.skip_existing and verb.overwrite:
        raise ValueError("--skip-existing and --overwrite contradict each other; give one of them")
    _check_target(verb)
    from latentdepth.bulk import Saving
    from latentdepth.export import plan_outputs
    from latentdepth.images import MAX_PIXELS
    from latentdepth.inputs import find_photos

    lines = sys.stdin.read().splitlines() if "-" in verb.paths else []
    given = [line for line in lines if line.strip()] + [path for path in verb.paths if path != "-"]
    saving = Saving(
        formats=verb.formats,
        skip_existing=verb.skip_existing,
        overwrite=verb.overwrite,
        near_far=verb.near_far,
        fov_deg=verb.fov_deg,
        max_pixels=MAX_PIXELS if verb.max_pixels is None else verb.max_pixels,
    )
    photos = find_photos(given, recursive=verb.recursive)
    if verb.to == "shards":
        return run_labels(
            photos,
            verb.out,
            verb.labels,
            verb.options,
            model=verb.model,
            max_pixels=verb.max_pixels,
            device=verb.device,
            dtype=verb.dtype,
            runtime=verb.runtime,
        )
    plan = plan_outputs([path for path in photos if path.exists()], verb.out)
    plan |= {path: verb.out / path.stem for path in photos if path not in plan}  # to be reported as missing
    report = with_progress(verb, plan, saving, verb.tiles)
    return conclude(report, verb.out)


def _check_target(verb: Predict) -> None:
    """Options that say something of the other kind of result are a misunderstanding."""
    plain = Predict()
    if verb.to == "files" and verb.labels != plain.labels:
        raise ValueError("there are options of labels, which are written with --to shards; add that, or leave them out")
    given = [
        one for one in ("formats", "skip_existing", "overwrite", "near_far", "fov_deg") if _differs(one, verb, plain)
    ]
    given += [one.name for one in fields(TileOptions) if _differs(one.name, verb.tiles, plain.tiles)]
    for name in given:
        if verb.to == "shards":
            raise ValueError(
                f"--{name.replace('_', '-')} is for files, and --to shards writes labels: leave it out (the same "
                "command goes on where it stopped; another --out begins anew)"
            )


def _differs(name: str, given: object, plain: object) -> bool:
    return getattr(given, name) != getattr(plain, name)


def with_progress(
    verb: ModelChoice, plan: Mapping[Path, Path], saving: Saving, tiles: TileOptions | None = None
) -> Report:
    """``bulk.predict_files`` with a bar on standard error; a line for each photo that failed or has a note."""
    from latentdepth.bulk import Outcome, predict_files
    from latentdepth.loading import load

    with bar("predicting", total=len(plan)) as shown:

        def on_photo(path: Path, outcome: Outcome, text: str) -> None:
            shown.advance(worked=outcome == "done")
            if text:
                shown.say(f"{'failed' if outcome == 'failed' else 'note'}: {path}: {text}")

        return predict_files(
            lambda: load(verb.model, device=verb.device, dtype=verb.dtype, runtime=verb.runtime),
            plan,
            verb.options,
            saving=saving,
            on_photo=on_photo,
            tiles=tiles,
            on_tile=lambda done, total: shown.within("tiles", done, total),
        )


def conclude(report: Report, folder: Path) -> int:
    """One line of what became of the photos, and the exit status that fits."""
    counts = {"done": report.done, "skipped": report.skipped, "failed": report.failed, "left": report.left}
    line = ", ".join(f"{len(paths)} {word}" for word, paths in counts.items() if paths) or "nothing to do"
    if report.done:
        line += f"; results in {folder}"
    if report.stopped == "disk full":
        line += f". The disk of {folder} is full: free some space, then"
    elif report.stopped == "interrupted":
        line += ". Stopped by Ctrl-C;"
    if report.stopped:
        line += " the same command with --skip-existing goes on from here"
    print(line, file=sys.stderr)
    return 130 if report.stopped == "interrupted" else int(bool(report.failed or report.left))
