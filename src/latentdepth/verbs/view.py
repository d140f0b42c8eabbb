"""``latentdepth view``: a plot with a colour bar and a still view of the scene, beside a result."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from tyro.conf import Positional, arg


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


def run(verb: View) -> int:
    from latentdepth.export import read_prediction
    from latentdepth.images import read
    from latentdepth.inputs import find_result

    stem, beside = find_result(verb.result)
    path = verb.photo or beside
    photo = None if path is None else read(path)
    for picture in draw_beside(read_prediction(stem), photo, stem, overwrite=verb.overwrite):
        print(picture)
        if verb.open:
            import webbrowser

            webbrowser.open(picture.resolve().as_uri())
    return 0


def draw_beside(prediction: Any, photo: Any, stem: Path, *, overwrite: bool) -> list[Path]:
    """The plot and, where there is depth, the view, as ``STEM_plot.png`` and ``STEM_view.png``."""
    from latentdepth.view import plot, relief_picture

    pictures = {stem.with_name(f"{stem.name}_plot.png"): plot}
    if prediction.kind.near_is is not None:
        pictures[stem.with_name(f"{stem.name}_view.png")] = relief_picture
    there = [path for path in pictures if path.exists()]
    if there and not overwrite:
        raise ValueError(f"{there[0]} exists; say --overwrite to replace it")
    return [draw(prediction, photo, path) for path, draw in pictures.items()]
