"""Photos labelled by a feed-forward teacher: synthetic truth reaches real photographs (arXiv 2406.09414).

    python -m latentdepth.train.labelling --teacher runs/tiny-teacher/model --photos PHOTOS --out data/labels

The labels are a folder with ``manifest.jsonl`` and 16-bit disparity maps: data of the format ``manifest``.
"""

from __future__ import annotations

import io
import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import tyro
from jaxtyping import Float
from PIL import Image
from rich.console import Console
from rich.progress import track
from torch import Tensor
from torch.nn import functional as F

from latentdepth.data.filelists import write_whole
from latentdepth.data.training import PhotoFrames, read_photo
from latentdepth.models.feedforward import DepthPyramid
from latentdepth.train.regress import framed, load_teacher, unit_range
from latentdepth.train.tiny_networks import channels_last


@dataclass(frozen=True)
class Labelling:
    """Label every photo below a folder with the disparity that a feed-forward teacher sees in it."""

    teacher: Path
    """The model of `latentdepth train tiny-teacher`, such as runs/tiny-teacher/model."""
    photos: Path
    """Folder of photos."""
    out: Path
    """Folder for the labels. Those that are there are made again."""


@torch.inference_mode()
def label(
    network: DepthPyramid, image: Float[Tensor, "3 h w"], *, long_side_px: int = 288
) -> tuple[Float[Tensor, "h w"], float]:
    """Disparity in [0, 1] of a photo in [0, 1], and how well the mirrored photo agrees, a correlation.

    The label is the mean of what the photo and its mirror image are told.
    """
    with torch.autocast("cpu", torch.bfloat16):
        both = framed(network, torch.stack((image, image.flip(-1))), long_side_px=long_side_px)
    both = torch.cat((both[:1], both[1:].flip(-1)))
    both = (both - both.mean((1, 2, 3), keepdim=True)) / both.std((1, 2, 3), keepdim=True).clamp(min=1e-6)
    agreement = float((both[0] * both[1]).mean())
    mean = F.interpolate(both.mean(0, keepdim=True), image.shape[-2:], mode="bilinear")
    return unit_range(mean)[0, 0], agreement


def label_photos(labelling: Labelling) -> int:
    """Label the photos; the manifest is written last and whole. Returns their number.

    Raises ValueError for a folder without photos, a photo that can't be read and a teacher that is not there.
    """
    paths = PhotoFrames(labelling.photos, name="photos").paths
    network = channels_last(load_teacher(labelling.teacher))
    rows = []
    for path in track(paths, description="labelling", console=Console(stderr=True)):
        place = path.relative_to(labelling.photos)
        target = place.with_name(f"{place.name}.png")  # a.jpg and a.png may stand side by side
        disparity, agreement = label(network, read_photo(path).image)
        counts = io.BytesIO()
        Image.fromarray((1 + disparity * 65534).round().numpy().astype(np.uint16)).save(counts, "PNG")
        write_whole(labelling.out / target, counts.getvalue())
        rows.append(
            {
                "rgb": str(path.resolve()),
                "depth": str(target),
                "source": "pseudo_labels",
                "group": path.parent.name,
                "kind": "disparity_relative",
                "value_per_count": 1 / 65535,
                "agreement": round(agreement, 4),
                "may_train_shipped": True,
            }
        )
    write_whole(labelling.out / "manifest.jsonl", "".join(json.dumps(row) + "\n" for row in rows).encode())
    return len(rows)


def main() -> None:
    """Entry point."""
    labelling = tyro.cli(Labelling)
    try:
        count = label_photos(labelling)
    except ValueError as error:
        raise SystemExit(f"labelling: {error}") from None
    print(f"{count} photos labelled: {labelling.out / 'manifest.jsonl'}")


if __name__ == "__main__":
    main()
