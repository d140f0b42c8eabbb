"""Reading a benchmark's files from a folder or from the tar file it is published as, by one and the same path.

Knows no data set: which files belong together is the readers', what is in them ``rasters``'.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from latentdepth.data.benchmarks.benchmark import Facts
from latentdepth.data.pairs import read_bytes
from latentdepth.data.shard_index import index_shard

REMEDY = "unpack or download it again"


class Missing(ValueError):
    """A data set that isn't where it was looked for. ``facts`` say which, what was expected, and where it is had."""

    def __init__(self, facts: Facts, root: Path, fault: str) -> None:
        super().__init__(facts, root, fault)  # the parts, so that the error travels from a worker process
        self.facts, self.root, self.fault = facts, root, fault

    def __str__(self) -> str:
        expected = "\n".join(f"  {line}" for line in self.facts.layout.splitlines())
        return (
            f"{self.facts.title}: {self.fault}\nexpected in {self.root}:\n{expected}\nit is had from: "
            f"{self.facts.source}"
        )


@dataclass(frozen=True)
class Container:
    """A folder, or a plain tar file that reads like one. Holds paths and offsets, never an open handle.

    Paths are relative, with ``/``, without ``./``. In a tar the case of a suffix makes no difference.
    """

    root: Path
    members: Mapping[str, tuple[int, int]] | None = field(default=None, repr=False)
    """Offset and bytes of each member of a tar; None for a folder."""

    def where(self, path: str) -> str:
        """How an error names a file: its place on disk, or archive and member."""
        return str(self.root / path) if self.members is None else f"{self.root}: {path}"

    def has(self, path: str) -> bool:
        """Whether there is such a file."""
        return (self.root / path).is_file() if self.members is None else _member(path) in self.members

    def find(self, pattern: str) -> list[str]:
        """Paths that match a pattern whose ``*`` stay within one part of a path, sorted."""
        if self.members is None:
            found = (path for path in self.root.glob(pattern) if path.is_file() and path.name[0] != ".")
            return sorted(path.relative_to(self.root).as_posix() for path in found)
        fits = re.compile("[^/]*".join(re.escape(part) for part in _member(pattern).split("*")))
        return sorted(name for name in self.members if fits.fullmatch(name))

    def read(self, path: str) -> bytes:
        """The content of a file. ValueError names the file, or archive and member, and what is wrong."""
        if self.members is None:
            return read_bytes(self.root / path, remedy=REMEDY)
        place = self.members.get(_member(path))
        if place is None:
            raise ValueError(f"{self.where(path)}: there is no such member in this tar; {REMEDY}")
        offset, size = place
        try:
            with self.root.open("rb") as file:
                file.seek(offset)
                content = file.read(size)
        except OSError as error:
            raise ValueError(f"{self.root}: can't be read ({error.strerror}); {REMEDY}") from error
        if not content or len(content) != size:
            raise ValueError(
                f"{self.where(path)}: {len(content)} of {size} bytes are there, so the tar was cut off or the member "
                f"is empty; {REMEDY}"
            )
        return content


def open_container(root: Path, facts: Facts, *archives: str) -> Container:
    """``root`` as a container: a tar file, a folder that holds one of ``archives``, or a folder of the files.

    A tar is walked once and its index kept (``shard_index``). Raises ``Missing`` when there is nothing at ``root``,
    ValueError for a tar that is compressed, damaged or cut off.
    """
    if not root.exists():
        raise Missing(facts, root, f"there is no {root}")
    tar = root if root.is_file() else next((root / name for name in archives if (root / name).is_file()), None)
    if tar is None:
        return Container(root)
    index = index_shard(tar)
    return Container(tar, {f"{key}.{suffix}": place for key, parts in index.items() for suffix, place in parts.items()})


def _member(path: str) -> str:
    """A path as the index spells it: suffixes in lower case, and everything from a name's first dot is suffix."""
    folder, slash, file = path.removeprefix("./").rpartition("/")
    stem, dot, suffix = file.partition(".")
    return f"{folder}{slash}{stem}{dot}{suffix.lower()}"
