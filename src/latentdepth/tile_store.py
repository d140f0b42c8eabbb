"""Tiles and the picture that grows from them, on disk: what is finished survives a kill, and memory stays small.

Four files in a folder: ``tiles.f32`` (every tile's values), ``value.f32`` and ``weight.f32`` (the running mean), and
``journal.txt``: a key that says what the tiles are of, then the number of each finished tile. A tile is on the disk
before its number is; numbers are written once a second, so a kill costs a second's tiles. The picture is mapped piece
by piece, so that what was touched doesn't stay in memory.
Knows neither networks nor blending.
"""

from __future__ import annotations

import contextlib
import os
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

_NOTE_SECONDS = 1.0
_ZEROS = 1 << 20  # bytes written at once
_FILES = ("tiles.f32", "value.f32", "weight.f32", "journal.txt")
PARTS = ("latents", "values")
"""Folders of the stores that one photo may need in turn."""


@dataclass(frozen=True)
class Extent:
    """How large everything is: tiles as the network gave them, and the picture."""

    tiles: int
    channels: int
    tile_height: int
    tile_width: int
    height: int
    width: int


class TileStore:
    """An open folder. Raises ValueError where the folder holds something else, OSError where the disk is full."""

    def __init__(self, folder: Path, key: str, extent: Extent) -> None:
        self.folder, self.extent = folder, extent
        folder.mkdir(parents=True, exist_ok=True)
        strangers = sorted(path.name for path in folder.iterdir() if path.name not in _FILES)
        if strangers:
            raise ValueError(f"{folder} holds {strangers[0]}; a folder for tiles must be empty or an earlier run's")
        self._journal = folder / "journal.txt"
        lines = self._journal.read_text().split("\n") if self._journal.exists() else []
        if not lines or lines[0] != key:  # another photo, model or layout: nothing here can be used
            for name in _FILES:
                (folder / name).unlink(missing_ok=True)
            self._sized("tiles.f32", (extent.tiles, extent.channels, extent.tile_height, extent.tile_width))
            lines = []
        # the last piece has no line end: nothing, or a number that a kill cut short and the next would be glued to
        self.done = {int(line) for line in lines[1:-1]}
        self._journal.write_text("".join(f"{line}\n" for line in (key, *sorted(self.done))))
        self._unnoted: list[int] = []
        self._noted_at = time.monotonic()
        for name, layers in (("value.f32", extent.channels), ("weight.f32", 1)):
            (folder / name).unlink(missing_ok=True)
            self._sized(name, (layers, extent.height, extent.width))

    def _sized(self, name: str, shape: tuple[int, ...]) -> None:
        """A file of zeros. Its blocks are taken now: a disk that fills up under a mapped file ends the process."""
        size = 4 * int(np.prod(shape, dtype=np.int64))
        with (self.folder / name).open("wb") as file:
            if size and hasattr(os, "posix_fallocate"):
                os.posix_fallocate(file.fileno(), 0, size)
            else:  # macOS, Windows
                for done in range(0, size, _ZEROS):
                    file.write(bytes(min(_ZEROS, size - done)))

    def put(self, number: int, values: Float[Tensor, "1 c ht wt"]) -> None:
        """Keep a tile, to be noted as finished by the next ``commit``, which this calls once a second."""
        with (self.folder / "tiles.f32").open("rb+") as file:
            file.seek(number * self._tile_bytes())
            file.write(values[0].contiguous().numpy().tobytes())
        self.done.add(number)
        self._unnoted.append(number)
        if time.monotonic() - self._noted_at > _NOTE_SECONDS:
            self.commit()

    def commit(self) -> None:
        """Tiles that are finished to the disk, then their numbers."""
        if self._unnoted:
            with (self.folder / "tiles.f32").open("rb+") as file:
                os.fsync(file.fileno())
            with self._journal.open("a") as file:
                file.write("".join(f"{number}\n" for number in self._unnoted))
                file.flush()
                os.fsync(file.fileno())
        self._unnoted, self._noted_at = [], time.monotonic()

    def get(self, number: int) -> Float[Tensor, "1 c ht wt"]:
        """A finished tile."""
        with (self.folder / "tiles.f32").open("rb") as file:
            file.seek(number * self._tile_bytes())
            content = bytearray(file.read(self._tile_bytes()))
        shape = (1, self.extent.channels, self.extent.tile_height, self.extent.tile_width)
        return torch.frombuffer(content, dtype=torch.float32).view(shape)

    def _tile_bytes(self) -> int:
        return 4 * self.extent.channels * self.extent.tile_height * self.extent.tile_width

    def rows(self, name: str, layer: int, first: int, last: int) -> np.memmap:
        """Rows ``first`` to ``last`` of one layer of ``value`` or ``weight``, to be read and written in place."""
        where = 4 * self.extent.width * (layer * self.extent.height + first)
        shape = (last - first, self.extent.width)
        return np.memmap(self.folder / f"{name}.f32", np.float32, "r+", offset=where, shape=shape)

    def remove(self) -> None:
        """Delete what is stored, and the folder."""
        discard(self.folder)


def discard(folder: Path) -> None:
    """Delete a store, or a folder of stores, and whatever else of them is there; nothing that isn't ours."""
    for part in (*(folder / name for name in PARTS), folder):
        for name in _FILES:
            (part / name).unlink(missing_ok=True)
        with contextlib.suppress(OSError):  # not there, or something else is in it
            part.rmdir()


@contextlib.contextmanager
def opened(folder: Path | None, key: str, extent: Extent) -> Iterator[TileStore]:
    """The store; deleted when all went well, and always where nobody named a folder."""
    if folder is None:
        with tempfile.TemporaryDirectory(prefix="latentdepth-tiles-") as temporary:
            yield TileStore(Path(temporary) / "tiles", key, extent)
        return
    for part in PARTS:
        discard(folder / part)  # of a call that joined its tiles otherwise
    store = TileStore(folder, key, extent)
    try:
        yield store
    except BaseException:
        store.commit()  # what is finished when Ctrl-C comes
        raise
    store.remove()
