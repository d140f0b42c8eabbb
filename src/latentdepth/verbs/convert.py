"""``latentdepth convert``: checkpoints in their authors' layout to folders that load here, and back."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from tyro.conf import Positional, arg


@dataclass(frozen=True)
class Convert:
    """Convert a Depth Anything V2 checkpoint (.pth or .safetensors) to a folder of transformers, or such a folder back
    to the authors' layout (.safetensors); or take the DINOv2 encoder out of an ONNX file, as a folder of transformers
    that `latentdepth train` can start from. The weights stay the same to the bit."""

    layout: Annotated[Positional[Literal["depth-anything", "dinov2-onnx"]], arg(metavar="LAYOUT")]
    """Whose checkpoint: depth-anything or dinov2-onnx."""
    source: Annotated[Positional[Path], arg(metavar="CHECKPOINT")]
    """The authors' file, a folder of transformers, or an .onnx file."""
    out: Annotated[Positional[Path], arg(metavar="OUT")]
    """A folder; to go back to the authors' layout, a name that ends in .safetensors."""
    max_depth_m: float | None = None
    """The checkpoint is metric and its largest output stands for so many metres, which the file does not say: 20 for
    the published indoor models, 80 for the outdoor ones."""


def run(verb: Convert) -> int:
    """Convert; returns the exit status. ValueError for what is missing, damaged or of another network."""
    if verb.layout == "dinov2-onnx":
        from latentdepth.models.dinov2_onnx import read_onnx_dinov2, write_dinov2

        if verb.max_depth_m is not None:
            raise ValueError("an encoder has no depths; leave out --max-depth-m")
        write_dinov2(read_onnx_dinov2(verb.source), verb.out)
        print(f"{verb.out}: train on it with --student.encoder {verb.out}", file=sys.stderr)
        return 0
    from latentdepth.models.depth_anything_keys import read_original, write_original, write_transformers

    if verb.source.is_dir():
        if verb.max_depth_m is not None:
            raise ValueError(f"{verb.source} says itself whether it is metric; leave out --max-depth-m")
        write_original(verb.source, verb.out)
        print(f"{verb.out}: the authors' names", file=sys.stderr)
        return 0
    write_transformers(read_original(verb.source), verb.out, max_depth_m=verb.max_depth_m)
    print(f"{verb.out}: load it as dir:{verb.out}", file=sys.stderr)
    return 0
