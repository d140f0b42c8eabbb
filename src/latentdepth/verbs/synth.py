"""``latentdepth synth``: procedural scenes to training data. Options and reports; ``synth.write`` does the work."""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from tyro.conf import Positional, arg

from latentdepth.synth.kinds import Layout, SceneKind
from latentdepth.verbs.progress import bar

if TYPE_CHECKING:
    from latentdepth.synth.make import Settings
    from latentdepth.synth.write import Make, Report

_LINES = 20  # failures that are printed


@dataclass(frozen=True)
class Synth:
    """Make synthetic photographs with exact depth, normals and cameras, from nothing but numbers.

    The same command goes on where an earlier one stopped; a larger --scenes adds to what is there."""

    out: Annotated[Positional[Path], arg(metavar="OUT")]
    """Folder for the data set."""
    scenes: int = 100
    """Number of scenes."""
    seed: int = 0
    """Scene k depends on (seed, k) alone."""
    size: tuple[int, int] = (384, 288)
    """Width and height of the photographs in pixels."""
    views: int = 6
    """Photographs of each scene."""
    samples: int = 4
    """Paths that are traced per pixel."""
    noisy: bool = False
    """Leave the path tracer's noise in the photographs; by default it is taken out."""
    kinds: tuple[SceneKind, ...] = ()
    """Kinds of scene, equally often; all of them by default."""
    textures: Path | None = None
    """Folder of tileable pictures that walls, floors and facades may wear, besides those that are computed."""
    furniture: Path | None = None
    """Furniture library of Sweet Home 3D (.sh3f), or a folder of them, whose models stand for half of the objects.

    Debian has them: apt-get install sweethome3d-furniture, then --furniture /usr/share/sweethome3d/furniture. The
    attributions that their licences ask for are written to CREDITS.txt."""
    layout: Layout = "shards"
    """How the data set lies on disk: our own shards, as prepared Hypersim, as Virtual KITTI 2, or plain folders."""
    workers: int | None = None
    """Processes; by default one for each processor core. Each needs about 1 GB of memory."""


def run(verb: Synth) -> int:
    """Make the scenes, with a progress bar on standard error; returns the exit status.

    0: all is well; 1: scenes failed or the disk is full; 130: Ctrl-C. ValueError for what is wrong before the first
    scene, ImportError where the extra packages are missing.
    """
    if verb.scenes < 1:
        raise ValueError(f"--scenes is {verb.scenes}; allowed is 1 or more")
    try:
        import embreex  # noqa: F401
        import mitsuba  # noqa: F401
        import mitsuba_oidn  # noqa: F401
    except ImportError as missing:
        raise ValueError(f'{missing.name} is needed to make scenes: pip install "latentdepth[synth]"') from missing
    from latentdepth.synth.library import read_library
    from latentdepth.synth.make import Settings, make_scene, read_tiles
    from latentdepth.synth.mitsuba import choose_variant

    settings = Settings(
        seed=verb.seed,
        width_px=verb.size[0],
        height_px=verb.size[1],
        views=verb.views,
        samples=verb.samples,
        denoise=not verb.noisy,
        kinds=verb.kinds,
        textures=None if verb.textures is None else str(verb.textures),
        furniture=None if verb.furniture is None else str(verb.furniture),
    )
    if settings.textures:
        read_tiles(settings.textures)  # what is wrong with them is said now, not once for each scene
    if settings.furniture:
        read_library(settings.furniture)
    cores = os.cpu_count() or 1
    workers = cores if verb.workers is None else verb.workers
    threads = max(1, cores // max(workers, 1))
    make = partial(make_scene, threads=threads, variant=choose_variant())
    return _conclude(_with_progress(verb, settings, make, workers), verb.out)


def _with_progress(verb: Synth, settings: Settings, make: Make, workers: int) -> Report:
    from latentdepth.synth.write import write_scenes

    with bar("scenes", total=verb.scenes, unit="scenes/h", per_s=3600) as shown:

        def on_scene(number: int, outcome: str, text: str) -> None:
            shown.advance(worked=outcome == "made")
            if outcome == "failed" and shown.lines < _LINES:
                shown.say(f"failed: scene {number}: {text}")

        return write_scenes(
            verb.out, range(verb.scenes), settings, make, layout=verb.layout, workers=workers, on_scene=on_scene
        )


def _conclude(report: Report, out: Path) -> int:
    """A few lines on what became of the scenes, and the exit status that fits."""
    counts = {
        "made": len(report.made),
        "there already": len(report.there_already),
        "failed": len(report.failed),
        "not reached": len(report.left),
    }
    lines = [", ".join(f"{count} {word}" for word, count in counts.items() if count)]
    if report.failed:
        some = ", ".join(str(number) for number in sorted(report.failed)[:_LINES])
        lines[0] += f" (scene {some}{', ...' if len(report.failed) > _LINES else ''})"
    if report.frames:
        lines.append(f"{report.frames} frames in {out}; see {out / 'contact_sheet.jpg'}")
    if report.stopped == "disk full":
        lines.append(f"The disk of {out} is full: free some space, then the same command goes on from here.")
    elif report.stopped == "interrupted":
        lines.append("Stopped by Ctrl-C; the same command goes on from here.")
    print("\n".join(lines), file=sys.stderr)
    if report.stopped == "interrupted":
        return 130
    return int(bool(report.failed or report.stopped))
