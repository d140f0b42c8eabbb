"""``latentdepth export``: a model's stages for another engine than torch, compared with it on photographs.

Not the writing of results, which is ``latentdepth.export``, nor of trained weights, which is ``export-checkpoint``.
"""

from __future__ import annotations

import re
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from tyro.conf import Positional, UseAppendAction, arg

from latentdepth.options import DEFAULT_MODEL
from latentdepth.verbs.progress import bar

if TYPE_CHECKING:
    from latentdepth.runtimes.artefact import Artefact, Check

_SIZE = re.compile(r"(\d+)x(\d+)")


@dataclass(frozen=True)
class Export:
    """Write a model's stages for OpenVINO or ONNX Runtime, and refuse to where they differ from torch."""

    model: Annotated[Positional[str], arg(metavar="MODEL")] = DEFAULT_MODEL
    """dir:PATH of a model; builtin:NAME and hub:ORG/REPO need --out."""
    runtime: Literal["openvino", "openvino-int8", "onnx"] = "openvino"
    """openvino-int8: layers in 8-bit integers, calibrated on photos; quicker, and further from torch."""
    size: Annotated[UseAppendAction[tuple[str, ...]], arg(metavar="WxH")] = ()
    """What the network shall see, such as 384x288; give it again for each size. By default what photos of usual shapes
    come to at the model's resolution. Added to those that are exported already."""
    out: Path | None = None
    """Folder for a copy of the model with its export, used as dir:OUT; by default it goes into the model's own."""
    photos: tuple[Path, ...] = ()
    """Photos to compare on; by default the samples that `latentdepth demo` shows."""
    calibrate: tuple[str, ...] = ()
    """Photos or folders of them that openvino-int8 takes the ranges of layers from, best of what it shall see; by
    default those that it is compared on."""
    overwrite: bool = False
    """Begin anew, where there is an export."""


def run(verb: Export) -> int:
    """Export; returns the exit status. ValueError for what can't be exported, or came out too far from torch."""
    sizes = [_size(word) for word in verb.size]
    if verb.out is None and not verb.model.startswith("dir:"):
        raise ValueError(
            f"{verb.model} is no folder of yours to write into: type `latentdepth export {verb.model} --runtime "
            f"{verb.runtime} --out FOLDER`, then use dir:FOLDER"
        )
    if verb.calibrate and verb.runtime != "openvino-int8":
        raise ValueError(
            f"calibrate is given and runtime is {verb.runtime}, which has no layers in 8 bits: give --runtime "
            "openvino-int8, or leave --calibrate out"
        )
    from latentdepth.demo import sample_photos
    from latentdepth.inputs import find_photos
    from latentdepth.models.source import resolve
    from latentdepth.runtimes.artefact import artefact_folder
    from latentdepth.runtimes.engine import engine
    from latentdepth.runtimes.exporting import Progress, copy_model, export_model

    engine(verb.runtime, exports=True)  # a missing library is said before anything is copied
    calibrate = find_photos(verb.calibrate) if verb.calibrate else ()
    folder, name = resolve(verb.model), verb.model
    if verb.out is not None:
        copy_model(folder, verb.out)
        folder, name = verb.out, f"dir:{verb.out}"
    photos = verb.photos or tuple(sample_photos().values())
    with bar(f"exporting for {verb.runtime}", unit="stages/s") as shown:

        def checked(check: Check) -> None:
            shown.advance()

        artefact = export_model(
            folder,
            verb.runtime,
            name=name,
            photos=photos,
            calibrate=calibrate,
            sizes=sizes,
            overwrite=verb.overwrite,
            progress=Progress(
                begins=shown.of, wrote=lambda stage: shown.advance(), calibrated=shown.advance, checked=checked
            ),
        )
    for line in _table(artefact):
        print(line)
    where = artefact_folder(folder, verb.runtime)
    print(f"{where}: use it with --model {name} --runtime {verb.runtime}", file=sys.stderr)
    return 0


def _size(word: str) -> tuple[int, int]:
    match = _SIZE.fullmatch(word)
    if match is None:
        raise ValueError(f"size is {word!r}; wanted is WIDTHxHEIGHT in pixels, such as 384x288")
    return int(match[1]), int(match[2])


def _table(artefact: Artefact) -> list[str]:
    """The largest difference of every stage in every dtype, over all sizes."""
    rows: dict[tuple[str, str], Check] = {}
    for check in artefact.checks:
        key = (check.stage, check.dtype)
        if key not in rows or check.difference > rows[key].difference:
            rows[key] = check
    sizes = ", ".join(f"{w}x{h}" for w, h in artefact.sizes)
    lines = [f"{artefact.runtime} {artefact.version} beside torch in float32, at {sizes}:"]
    for (stage, dtype), one in sorted(rows.items()):
        lines.append(
            f"  {stage:8} {dtype:13} differs by {one.difference:.1e} at most ({one.width}x{one.height}); allowed "
            f"{one.allowed:g}"
        )
    for one in artefact.missed:
        lines.append(
            f"  {one.stage:8} stays as it is: int8 would differ by {one.difference:.1e} ({one.width}x{one.height}); "
            f"allowed {one.allowed:g}"
        )
    return lines
