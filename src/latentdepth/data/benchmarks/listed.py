"""A benchmark that is a list of frames, each a few files in one container, and what is said when some aren't there.

Knows no data set: the reader gives the rows and the function that decodes one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from importlib.resources import files
from pathlib import Path, PurePosixPath

from latentdepth.core.types import Camera
from latentdepth.data.benchmarks.benchmark import Facts
from latentdepth.data.benchmarks.container import REMEDY, Container, Missing
from latentdepth.data.filelists import read_list
from latentdepth.data.pairs import decode_pair
from latentdepth.data.rasters import DepthCoding
from latentdepth.data.sample import Sample


@dataclass(frozen=True)
class Row:
    """The files of one frame, as paths in the container."""

    frame: str
    """The photo's path in the published archive, without suffix, whatever the layout here."""
    photo: str
    depth: str
    mask: str = ""
    """Empty where validity is in the depth itself."""
    group: str = ""
    """The scene or drive."""

    @property
    def paths(self) -> tuple[str, ...]:
        """All files of the frame."""
        return tuple(path for path in (self.photo, self.depth, self.mask) if path)


@dataclass(frozen=True)
class ListedBenchmark:
    """A ``Benchmark`` of rows. ``decode`` is a function of a module, so that all of it travels to worker processes."""

    facts: Facts
    container: Container
    rows: tuple[Row, ...] = field(repr=False)
    decode: Callable[[Container, Row], Sample]
    notice: str | None = None
    """How the frames here differ from the published split, for the report; None where they don't."""

    def __len__(self) -> int:
        return len(self.rows)

    def frame(self, index: int) -> str:
        """Unique name of a frame: the photo's path in the published archive, without suffix."""
        return self.rows[index].frame

    def __getitem__(self, index: int) -> Sample:
        """Decode a frame; ``valid`` already holds range, mask and crop. ValueError names the file and its fault."""
        return self.decode(self.container, self.rows[index])


def listed(
    facts: Facts,
    root: Path,
    container: Container,
    wanted: Iterable[Row],
    decode: Callable[[Container, Row], Sample],
    *,
    absent: Sequence[str] = (),
    list_file: Path | None = None,
) -> ListedBenchmark:
    """The rows whose files are all there, with a notice of those that aren't and of another count than published.

    ``absent`` names frames known to be gone, one each, where their paths can't be; ``list_file`` is named where the
    rows come from a list of the user's. Raises ``Missing`` when no row is left, ValueError when a frame is listed
    twice.
    """
    present: list[Row] = []
    incomplete = list(absent)
    seen: set[str] = set()
    for row in wanted:
        if row.frame in seen:
            raise ValueError(f"{list_file or container.root}: {row.frame} is there twice; a frame counts once")
        seen.add(row.frame)
        gone = next((path for path in row.paths if not container.has(path)), None)
        if gone is None:
            present.append(row)
        else:
            incomplete.append(gone)
    source = f" that {list_file} names" if list_file else ""
    if not present:
        first = f"; looked for {incomplete[0]} first" if incomplete else ""
        raise Missing(facts, root, f"none of its frames{source} is in {container.root}{first}")
    remarks = []
    if incomplete:
        total = len(seen) + len(absent)
        remarks.append(f"{len(incomplete)} of {total} frames{source} lack files, the first {incomplete[0]}")
    if facts.frames is not None and len(present) != facts.frames:
        remarks.append(
            f"frames here: {len(present)}, in the published split: {facts.frames}; figures are not comparable with "
            "published ones"
        )
    notice = f"{facts.title}: {'; '.join(remarks)}" if remarks else None
    return ListedBenchmark(facts, container, tuple(present), decode, notice)


def rows_of_list(list_file: Path, *, columns: int, group: Callable[[str], str]) -> list[Row]:
    """Rows of a list in the published form: photo, depth and, with three columns, mask; further words are ignored.

    Lines whose depth is ``None`` have no ground truth and are left out. ``group`` finds the scene in the photo's path.
    Raises ValueError for a list that is absent, empty, or has shorter lines.
    """
    remedy = f"a line holds the paths of {'photo, depth and mask' if columns == 3 else 'photo and depth'}"
    rows = []
    for photo, depth, *mask in read_list(list_file, columns=columns, remedy=remedy):
        if depth != "None":
            path = PurePosixPath(photo)
            rows.append(Row(str(path.with_suffix("")), str(path), depth, mask[0] if mask else "", group(str(path))))
    return rows


def read_split(name: str) -> dict[str, list[int]]:
    """The published split of that name in this package: frame numbers by scene."""
    text = (files("latentdepth.data.benchmarks") / "splits" / f"{name}.txt").read_text(encoding="utf-8")
    split: dict[str, list[int]] = {}
    for line in text.splitlines():
        if line and not line.startswith("#"):
            scene, *numbers = line.split()
            split.setdefault(scene, []).extend(map(int, numbers))
    return split


def read_png_pair(container: Container, row: Row, coding: DepthCoding, *, camera: Camera | None = None) -> Sample:
    """Photo and 16-bit PNG of a row as one sample, before range and crop. ValueError names the file and its fault."""
    return decode_pair(
        container.read(row.photo),
        container.read(row.depth),
        coding,
        photo_name=container.where(row.photo),
        depth_name=container.where(row.depth),
        camera=camera,
        group=row.group,
        remedy=REMEDY,
    )
