"""The command line: one small dataclass per verb, turned into options by tyro, and a function that runs it.

Imports a verb's modules only after parsing, so that ``latentdepth --help`` needs no torch. Holds no logic of its own.
Exit status: 0 all is well, 1 something failed, 2 nothing was started (wrong arguments, no such model), 130 Ctrl-C.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Union

import tyro
from rich.console import Console
from tyro.conf import FlagCreatePairsOff, OmitArgPrefixes, Positional, arg, subcommand

from latentdepth.options import DEFAULT_MODEL, Device, Dtype, FormatName, PredictOptions

if TYPE_CHECKING:
    from latentdepth.bulk import Report, Saving

_MODEL_HELP = "builtin:NAME, dir:PATH or hub:ORG/REPO[@REV]; `latentdepth models` lists those that are here."


@dataclass(frozen=True)
class Predict:
    """Predict depth (or what the model gives) for photos."""

    paths: Annotated[Positional[tuple[str, ...]], arg(metavar="PATH...")] = ()
    """Photos, folders, glob patterns; - reads paths from standard input, one a line."""
    model: Annotated[str, arg(help=_MODEL_HELP)] = DEFAULT_MODEL
    out: Path = Path("results")
    """Folder for the results; the photos' folders are mirrored in it."""
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
    options: PredictOptions = field(default_factory=PredictOptions)


@dataclass(frozen=True)
class Models:
    """List the models that load without network."""


@dataclass(frozen=True)
class Info:
    """Say what a photo or a model holds."""

    subject: Annotated[Positional[str], arg(metavar="IMAGE|MODEL")]
    """A photo, or a model as --model takes it."""


@dataclass(frozen=True)
class View:
    """Draw a result: a plot with a colour bar, and the scene seen from the side, as pictures next to it."""

    result: Annotated[Positional[Path], arg(metavar="RESULT")]
    """Any file of the result, such as its .latentdepth.json."""
    photo: Path | None = None
    """The photo that the result is of; by default the one of its name beside the result, else colours of depth."""
    overwrite: bool = False
    """Replace pictures that are there."""
    open: bool = False
    """Show the pictures when they are drawn."""


@dataclass(frozen=True)
class Demo:
    """Predict the sample photos that scikit-image, scikit-learn and Matplotlib ship, and draw the results."""

    model: Annotated[str, arg(help=_MODEL_HELP)] = DEFAULT_MODEL
    out: Path = Path("demo")
    """Folder for the results."""
    overwrite: bool = False
    """Replace results that are there."""
    device: Device = "auto"
    dtype: Dtype = "auto"
    options: PredictOptions = field(default_factory=lambda: PredictOptions(members=4))


_SUMMARY = "Depth and surface normals of photographs, by latent diffusion."
_Verb = Union[  # noqa: UP007  (evaluated when the module is read)
    Annotated[Predict, subcommand("predict")],
    Annotated[Models, subcommand("models")],
    Annotated[Info, subcommand("info")],
    Annotated[View, subcommand("view")],
    Annotated[Demo, subcommand("demo")],
]


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit status."""
    verb = tyro.cli(
        _Verb,  # pyright: ignore[reportArgumentType]
        prog="latentdepth",
        description=_SUMMARY,
        args=argv,
        config=(FlagCreatePairsOff, OmitArgPrefixes),
    )
    try:
        return _RUN[type(verb)](verb)
    except KeyboardInterrupt:
        _say("stopped by Ctrl-C; nothing was written")
        return 130
    except ValueError as error:
        _say(f"latentdepth: {error}")
        return 2
    except OSError as error:
        _say(f"latentdepth: {error}")
        return 1


def _predict(verb: Predict) -> int:
    if not verb.paths:
        raise ValueError("no photo is given; type `latentdepth predict PHOTO` (a file, folder or pattern)")
    if verb.skip_existing and verb.overwrite:
        raise ValueError("--skip-existing and --overwrite contradict each other; give one of them")
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
    plan = plan_outputs([path for path in photos if path.exists()], verb.out)
    plan |= {path: verb.out / path.stem for path in photos if path not in plan}  # to be reported as missing
    report = _with_progress(verb, plan, saving)
    return _conclude(report, verb.out)


def _models(verb: Models) -> int:
    from latentdepth.models.source import builtin_models, cached_models

    models = [*builtin_models(), *cached_models()]
    for model in models:
        print(f"{model.name}  {model.size_bytes / 1e6:.1f} MB" + (f"  {model.summary}" if model.summary else ""))
    print("dir:PATH loads any folder in the diffusers layout, hub:ORG/REPO[@REV] downloads one.")
    return 0


def _info(verb: Info) -> int:
    facts: Mapping[str, Any]
    if verb.subject.startswith(("builtin:", "dir:", "hub:")):
        from latentdepth.predictor import load

        facts = load(verb.subject, device="cpu").describe()
    else:
        from latentdepth.images import read
        from latentdepth.models.source import resolve

        if not Path(verb.subject).suffix and not Path(verb.subject).is_file():
            resolve(verb.subject)  # says how models are spelt
        photo = read(verb.subject)
        height, width = photo.pixels.shape[-2:]
        camera = photo.camera
        seen = f"{camera.fx_px:.0f} px, {camera.fov_deg:.1f} degrees across" if camera else "not stated in the file"
        facts = {"photo": verb.subject, "size": f"{width} x {height}", "focal length": seen}
        facts = {**facts, **({"notes": "; ".join(photo.notes)} if photo.notes else {})}
    for name, value in facts.items():
        print(f"{name}: {value}")
    return 0


def _view(verb: View) -> int:
    from latentdepth.export import read_prediction
    from latentdepth.images import read
    from latentdepth.inputs import find_result

    stem, beside = find_result(verb.result)
    path = verb.photo or beside
    photo = None if path is None else read(path)
    for picture in _draw(read_prediction(stem), photo, stem, overwrite=verb.overwrite):
        print(picture)
        if verb.open:
            import webbrowser

            webbrowser.open(picture.resolve().as_uri())
    return 0


def _demo(verb: Demo) -> int:
    from latentdepth.bulk import Saving
    from latentdepth.demo import sample_photos
    from latentdepth.export import read_prediction
    from latentdepth.images import read

    photos = sample_photos()
    if not photos:
        raise ValueError('the packages with the sample photos are missing: pip install "latentdepth[demo]"')
    plan = {path: verb.out / name for name, path in photos.items()}
    report = _with_progress(verb, plan, Saving(("preview", "png16"), overwrite=verb.overwrite))
    quantity = ""
    for path in report.done:
        prediction = read_prediction(plan[path])
        quantity = prediction.kind.quantity.value
        _draw(prediction, read(path), plan[path], overwrite=True)
    if report.done:
        print(f"The pictures are in {verb.out.resolve()}:")
        print(f"  {', '.join(plan[path].name for path in report.done)}, each with")
        print(f"  *_{quantity}.png (near is red), *_uncertainty.png, *_plot.png (with a colour bar),")
        print("  and *_view.png (the scene from the side)")
    return _conclude(report, verb.out)


_RUN: Mapping[type, Callable[[Any], int]] = {
    Predict: _predict,
    Models: _models,
    Info: _info,
    View: _view,
    Demo: _demo,
}


def _draw(prediction: Any, photo: Any, stem: Path, *, overwrite: bool) -> list[Path]:
    from latentdepth.view import plot, relief_picture

    pictures = {stem.with_name(f"{stem.name}_plot.png"): plot}
    if prediction.kind.near_is is not None:
        pictures[stem.with_name(f"{stem.name}_view.png")] = relief_picture
    there = [path for path in pictures if path.exists()]
    if there and not overwrite:
        raise ValueError(f"{there[0]} exists; say --overwrite to replace it")
    return [draw(prediction, photo, path) for path, draw in pictures.items()]


def _with_progress(verb: Predict | Demo, plan: Mapping[Path, Path], saving: Saving) -> Report:
    """``bulk.predict_files`` with a bar on standard error; a line for each photo that failed or has a note."""
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    from latentdepth.bulk import Outcome, predict_files
    from latentdepth.predictor import load

    rate, remaining = TextColumn("{task.fields[rate]}"), TimeRemainingColumn(compact=True)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), rate, remaining)
    with Progress(*columns, console=Console(stderr=True)) as progress:
        task = progress.add_task("predicting", total=len(plan), rate="")
        predicted, started = 0, time.monotonic()

        def on_photo(path: Path, outcome: Outcome, text: str) -> None:
            nonlocal predicted
            predicted += outcome == "done"
            progress.update(task, advance=1, rate=f"{predicted / (time.monotonic() - started):.2f} photos/s")
            if text:
                line = f"{'failed' if outcome == 'failed' else 'note'}: {path}: {text}"
                progress.console.print(line, markup=False, highlight=False, soft_wrap=True)

        return predict_files(
            lambda: load(verb.model, device=verb.device, dtype=verb.dtype),
            plan,
            verb.options,
            saving=saving,
            on_photo=on_photo,
        )


def _conclude(report: Report, folder: Path) -> int:
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
    _say(line)
    return 130 if report.stopped == "interrupted" else int(bool(report.failed or report.left))


def _say(line: str) -> None:
    print(line, file=sys.stderr)
