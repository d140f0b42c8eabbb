"""Views that are encoded once, before the first step, and trained on many times.

    FOLDER/NAME/{store.json, part-00000.safetensors, ...}    latents in half precision, a part for 128 samples

A part is there wholly or not at all, so encoding goes on where it was stopped. Knows no networks: how a batch becomes
latents is handed in.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from bisect import bisect_right
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from rich.progress import track
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from latentdepth.core.noise import generator
from latentdepth.data.batch import Batch, stacked
from latentdepth.data.loader import stream
from latentdepth.data.mixing import Portion, UnusableError, taught
from latentdepth.data.options import Target
from latentdepth.data.views import view
from latentdepth.train.latents import LatentBatch
from latentdepth.whole import write_whole

_PART = 128
Encode = Callable[[Batch], LatentBatch]


@dataclass(frozen=True)
class SampleViews:
    """``views(i)``: all random views of sample i that can be learnt from. View v depends on (seed, set, i, v) alone."""

    portion: Portion
    target: Target
    count: int
    seed: int

    def __call__(self, index: int) -> Batch:
        """A batch of at most ``count``, maybe empty. ValueError names a file that can't be read."""
        portion, rows = self.portion, []
        sample = portion.frames[index]
        for number in range(self.count):
            draw = generator("stored view", self.seed, portion.frames.name, index, number)
            seen = view(sample, portion.height, portion.width, portion.augmentation, draw)
            try:
                rows.append(taught(seen, self.target, f"sample {index} of data set {portion.frames.name}"))
            except UnusableError:  # too little valid, or one flat wall: the other views will do
                continue
        size = (portion.height, portion.width)
        none = Batch(torch.zeros(0, 3, *size), torch.zeros(0, 1, *size), torch.zeros(0, 1, *size).bool())
        return stacked(rows) if rows else none


def begin_store(folder: Path, facts: Mapping[str, Any]) -> Path:
    """A folder for latents of ``facts``: what lies there of the same ones is kept, what is of others goes.

    ``facts`` are flat JSON values that decide the latents: the set's settings, the autoencoder.
    """
    note, facts = folder / "store.json", json.loads(json.dumps(dict(facts)))
    if not note.exists() or json.loads(note.read_text()) != facts:
        shutil.rmtree(folder, ignore_errors=True)
        write_whole(note, json.dumps(facts, indent=1).encode())
    return folder


def encode_views(
    views: SampleViews,
    encode: Encode,
    folder: Path,
    *,
    process: int = 0,
    processes: int = 1,
    workers: int = 0,
    quiet: bool = False,
) -> Path:
    """Encode to ``folder``, a begun store, what it lacks of all views of a set's samples.

    Of several ``processes`` that do so at one time, each takes every so-many-th part.
    """
    samples = len(views.portion.frames)
    mine = list(range(0, samples, _PART))[process::processes]  # by number, whoever has done what before
    starts = [s for s in mine if not _part(folder, s).exists()]
    name = views.portion.frames.name
    for start in track(starts, description=f"encoding {name}", console=Console(stderr=True), disable=quiet):
        indices = range(start, min(start + _PART, samples))
        latents = [encode(batch) for batch in stream(views, indices, workers=workers) if len(batch.image)]
        columns = _columns(latents)
        fresh = folder / f"part.new{process}"
        save_file({k: torch.cat(v).contiguous() for k, v in columns.items()}, fresh)
        fresh.replace(_part(folder, start))
    return folder


def _part(folder: Path, start: int) -> Path:
    return folder / f"part-{start // _PART:05d}.safetensors"


def _columns(latents: Iterable[LatentBatch]) -> dict[str, list[Tensor]]:
    columns: dict[str, list[Tensor]] = {}
    for one in latents:
        rows = {"target": one.target.half(), "valid": one.valid}
        rows |= {} if one.image is None else {"image": one.image.half()}
        rows |= {f"features_{k}": feature.half() for k, feature in enumerate(one.features)}
        for name, tensor in rows.items():
            columns.setdefault(name, []).append(tensor.cpu())
    return columns


def digest(networks: Sequence[nn.Module]) -> str:
    """A fingerprint of all weights: latents of other networks are others."""
    found = hashlib.sha256()
    for network in networks:
        for name, value in network.state_dict().items():
            numbers = value.detach().cpu().contiguous().flatten().view(torch.uint8).numpy()
            found.update(name.encode() + numbers.tobytes())
    return found.hexdigest()


class Store:
    """The rows of one folder that ``encode_views`` filled, read one by one: a large store need not fit into memory."""

    def __init__(self, folder: Path) -> None:
        self._parts = [safe_open(path, framework="pt") for path in sorted(folder.glob("part-*.safetensors"))]
        self._parts = [part for part in self._parts if len(part.keys())]
        lengths = [part.get_slice("target").get_shape()[0] for part in self._parts]
        self._ends = list(accumulate(lengths))
        if not self._ends:
            raise ValueError(f"{folder}: no view of this data set can be learnt from; look at its depth and masks")
        self.names = list(self._parts[0].keys())

    def __len__(self) -> int:
        return self._ends[-1]

    def row(self, index: int) -> dict[str, Tensor]:
        """One view's tensors."""
        place = bisect_right(self._ends, index)
        part, start = self._parts[place], 0 if place == 0 else self._ends[place - 1]
        return {name: part.get_slice(name)[index - start] for name in self.names}


@dataclass(frozen=True, eq=False)
class StoredBatches:
    """``batches(index)``: rows drawn from stores by ``weights``; they depend on (seed, index) alone."""

    stores: tuple[Store, ...]
    weights: tuple[float, ...]
    batch: int
    seed: int

    def __call__(self, index: int) -> LatentBatch:
        draw = generator("batch", self.seed, index)
        chosen = torch.multinomial(torch.tensor(self.weights), self.batch, replacement=True, generator=draw).tolist()
        rows = [self.stores[s].row(int(torch.randint(len(self.stores[s]), (1,), generator=draw))) for s in chosen]
        columns = {name: torch.stack([row[name] for row in rows]) for name in rows[0]}
        features = tuple(columns[name].float() for name in sorted(columns) if name.startswith("features_"))
        image = columns["image"].float() if "image" in columns else None
        return LatentBatch(columns["target"].float(), image, columns["valid"], features)
