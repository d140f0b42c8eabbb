"""What every reader gives: a numbered collection of samples, readable in any order."""

from __future__ import annotations

from typing import Protocol, runtime_checkable

from latentdepth.data.sample import Sample


@runtime_checkable
class Frames(Protocol):
    """A data set on disk. Opening one checks what can be checked without decoding a picture.

    Implementations hold paths and offsets, never open handles, so that they travel to worker processes.
    """

    @property
    def name(self) -> str:
        """Short name for mixing weights and reports."""
        ...

    def __len__(self) -> int:
        """Number of samples."""
        ...

    def __getitem__(self, index: int) -> Sample:
        """Decode one sample. ValueError names the file and what is wrong with it."""
        ...
