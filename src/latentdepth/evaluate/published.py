"""Figures that papers print, as data: who, on what, by which protocol, from which source, and how far it was checked.

Figures of two protocols never share a table. One system's differing figures from two sources are separate rows; nothing
is averaged or chosen between them. Knows no measured figures. ``python -m latentdepth.evaluate.published`` prints the
page ``docs/published.md``.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from latentdepth.config import read_toml
from latentdepth.evaluate.figures import FIGURES, Figure
from latentdepth.evaluate.protocol import PROTOCOLS

PAGE_COMMAND = "python -m latentdepth.evaluate.published > docs/published.md"
OWN_PROTOCOL = "own"
"""Protocol of figures that were taken by none of ours: never to be set beside measured ones."""
PUBLISHED_FIGURES: Mapping[str, Figure] = {
    **FIGURES,
    "delta001": Figure("δ0.01", "high", percent=True, digits=1),
    "seed_std": Figure("std over seeds", "low"),
    "seed_range": Figure("range over seeds", "low"),
    "edge_chamfer": Figure("edge Chamfer", "low"),
    "see_3": Figure("SEE 3", "low"),
    "see_5": Figure("SEE 5", "low"),
    "see_7": Figure("SEE 7", "low"),
    "psnr_db": Figure("PSNR dB", "high", digits=2),
    "ssim": Figure("SSIM", "high"),
    "lpips": Figure("LPIPS", "low"),
}
"""Figures of ours, and those that only papers have."""
DATA_SETS: Mapping[str, str] = {
    "nyu": "NYUv2",
    "kitti": "KITTI",
    "eth3d": "ETH3D",
    "scannet": "ScanNet",
    "diode": "DIODE",
    "diode-indoor": "DIODE indoors",
    "diode-cleaned": "DIODE, cleaned",
    "ibims": "iBims-1",
    "sintel": "Sintel",
    "hypersim": "Hypersim",
    "da2k": "DA-2K",
    "nyu-normals": "NYUv2",
    "scannet-normals": "ScanNet",
    "ibims-normals": "iBims-1",
    "sintel-normals": "Sintel",
    "diode-normals": "DIODE",
    "oasis-normals": "OASIS",
    "nyu-train": "NYUv2 (training part)",
    "kitti-train-800": "KITTI (800 of the training part)",
    "sun-rgbd": "SUN RGB-D",
    "nuscenes": "nuScenes",
    "ddad": "DDAD",
    "hammer": "HAMMER",
    "spring": "Spring",
    "moge-7": "mean of 7",
    "moge-10": "mean of 10",
    "synth4k-1": "Synth4K-1",
    "interiorverse-albedo": "InteriorVerse albedo",
    "interiorverse-material": "InteriorVerse material",
    "hypersim-albedo": "Hypersim albedo",
    "hypersim-shading": "Hypersim shading",
}
"""Titles. Where the catalogue of benchmarks has the same data, the key is its word behind ``--on``."""
Checked = Literal["paper", "code", "thread", "third_party"]
_CHECKED: Mapping[Checked, str] = {
    "paper": "read in the paper",
    "code": "read in the authors' code or README",
    "thread": "read in a thread by the authors",
    "third_party": "from somebody who quotes it; not checked",
}


@dataclass(frozen=True)
class Source:
    """Where figures stand."""

    key: str
    title: str
    checked: Checked
    arxiv: tuple[str, ...] = ()
    note: str = ""


@dataclass(frozen=True)
class TableRow:
    """One line of a printed table."""

    system: str
    values: tuple[float, ...]
    """As printed: for each data set in turn, each figure in turn; NaN where there is none."""
    steps: int | None = None
    members: int | None = None
    trained_on: str = ""
    remark: str = ""
    rank: float | None = None
    """The table's own mean rank, where it prints one."""


@dataclass(frozen=True)
class PrintedTable:
    """Rows of one source by one protocol."""

    source: str
    protocol: str
    data_sets: tuple[str, ...]
    figures: tuple[str, ...]
    rows: tuple[TableRow, ...]
    printed: Literal["percent", "ratio"] = "percent"
    """How the source prints what ``Figure.percent`` says is a ratio."""
    note: str = ""


@dataclass(frozen=True)
class Published:
    """All of it: the file ``published.toml``."""

    sources: tuple[Source, ...]
    tables: tuple[PrintedTable, ...]


@dataclass(frozen=True)
class PublishedRow:
    """One system on one data set, in the units of measured rows."""

    system: str
    steps: int | None
    members: int | None
    trained_on: str
    data_set: str
    protocol: str
    figures: Mapping[str, float]
    """By the names of ``PUBLISHED_FIGURES``; ratios as ratios (AbsRel 5.5 % is 0.055)."""
    source: Source
    remark: str


@functools.cache
def published() -> Published:
    """The figures that ship with the package."""
    return checked(read_toml(Published, Path(__file__).with_name("published.toml")))


def checked(found: Published) -> Published:
    """``found`` as it is. ValueError names the place where it contradicts itself or uses words that are not known."""
    keys = [source.key for source in found.sources]
    for table in found.tables:
        where = f"published.toml: table of {table.source}, {table.protocol}, {', '.join(table.data_sets)}"
        for what, names, known in (
            ("source", [table.source], keys),
            ("protocol", [table.protocol], [*PROTOCOLS, OWN_PROTOCOL]),
            ("data set", table.data_sets, list(DATA_SETS)),
            ("figure", table.figures, list(PUBLISHED_FIGURES)),
        ):
            unknown = [name for name in names if name not in known]
            if unknown:
                raise ValueError(f"{where}: {what} {unknown[0]!r} is unknown; known are {', '.join(known)}")
        for row in table.rows:
            wanted = len(table.data_sets) * len(table.figures)
            if len(row.values) != wanted:
                raise ValueError(f"{where}: {row.system} has {len(row.values)} values; wanted are {wanted}")
    return found


def published_rows(data_set: str, protocol: str) -> tuple[PublishedRow, ...]:
    """Rows of one data set by one protocol, in the order of the file; none where nobody published any.

    ``data_set`` is the word behind ``--on``, or another of ``DATA_SETS``.
    """
    sources = {source.key: source for source in published().sources}
    rows = []
    for table in published().tables:
        if table.protocol != protocol or data_set not in table.data_sets:
            continue
        first = table.data_sets.index(data_set) * len(table.figures)
        for row in table.rows:
            values = row.values[first : first + len(table.figures)]
            figures = {
                name: value / 100 if PUBLISHED_FIGURES[name].percent and table.printed == "percent" else value
                for name, value in zip(table.figures, values, strict=True)
                if not math.isnan(value)
            }
            if figures:
                work = (row.steps, row.members, row.trained_on)
                source = sources[table.source]
                rows.append(PublishedRow(row.system, *work, data_set, protocol, figures, source, row.remark))
    return tuple(rows)


def mean_ranks(table: PrintedTable) -> tuple[float, ...]:
    """Each row's rank in each column, averaged over the columns: equal figures share the better place (1, 2, 2, 4)."""
    columns = list(zip(*(row.values for row in table.rows), strict=True))
    totals = [0.0] * len(table.rows)
    for index, column in enumerate(columns):
        high = PUBLISHED_FIGURES[table.figures[index % len(table.figures)]].better == "high"
        for line, value in enumerate(column):
            totals[line] += 1 + sum(other > value if high else other < value for other in column)
    return tuple(total / len(columns) for total in totals)


def page() -> str:
    """The text of ``docs/published.md``."""
    found = published()
    sources = {source.key: source for source in found.sources}
    lines = [
        "# Published figures",
        "",
        "Made from `src/latentdepth/evaluate/published.toml` by",
        f"`{PAGE_COMMAND}`; a test holds the two together.",
        "",
        "What papers print, not what was measured here. Figures of two protocols are never comparable, and of two",
        "sources only with care: the same system's figures differ by who ran it. `latentdepth evaluate",
        "--with-published` prints rows of the same data set and protocol beside measured ones.",
        "",
    ]
    for protocol in [*PROTOCOLS, OWN_PROTOCOL]:
        tables = [table for table in found.tables if table.protocol == protocol]
        if not tables:
            continue
        if protocol == OWN_PROTOCOL:
            lines += ["## Protocols of their own", "", "By none of the protocols above: for reading alone.", ""]
        else:
            rule = PROTOCOLS[protocol]
            lines += [f"## `{protocol}`: {rule.title}", "", f"{rule.source}.", ""]
        for table in tables:
            lines += [*_heading(table, sources[table.source]), *_markdown(table), ""]
    lines += ["## How far each source was checked", ""]
    for source in found.sources:
        papers = "".join(f", arXiv {number}" for number in source.arxiv)
        lines.append(f"- {source.title}{papers}: {_CHECKED[source.checked]}." + f" {source.note}".rstrip())
    lines += [
        "",
        "`DIODE, cleaned` is DIODE with edges and doubtful pixels masked by each source's own rule. LeReS, HDN,",
        "Omnidata and DiverseDepth are carried by no library: evaluate them by folders of their predictions.",
    ]
    return "\n".join(lines) + "\n"


def _heading(table: PrintedTable, source: Source) -> list[str]:
    return [f"**{source.title}** ({_CHECKED[source.checked]})." + f" {table.note}".rstrip(), ""]


def _markdown(table: PrintedTable) -> list[str]:
    extra = [name for name in ("trained_on", "remark", "rank") if any(getattr(row, name) for row in table.rows)]
    titles = {"trained_on": "trained on", "remark": "remark", "rank": "mean rank"}
    one = PUBLISHED_FIGURES[table.figures[0]].head if len(table.figures) == 1 else ""
    heads = [
        "system",
        "steps × members",
        *(DATA_SETS[key] for key in table.data_sets),
        *(titles[name] for name in extra),
    ]
    together = " / ".join(PUBLISHED_FIGURES[name].head for name in table.figures)
    lines = [f"Each field: {one or together}", "", "| " + " | ".join(heads) + " |", "|---" * len(heads) + "|"]
    for row in table.rows:
        work = f"{row.steps or '?'} × {row.members or '?'}" if row.steps or row.members else ""
        cells = [row.system, work]
        for index in range(len(table.data_sets)):
            first = index * len(table.figures)
            cells.append(
                " / ".join(_number(table, name, row.values[first + i]) for i, name in enumerate(table.figures))
            )
        cells += [f"{value:g}" if isinstance(value := getattr(row, name), float) else value or "" for name in extra]
        lines.append("| " + " | ".join(cells) + " |")
    return lines


def _number(table: PrintedTable, name: str, value: float) -> str:
    if math.isnan(value):
        return "–"
    as_ratio = PUBLISHED_FIGURES[name].percent and table.printed == "ratio"
    return f"{value * 100:.1f}" if as_ratio else repr(value)


if __name__ == "__main__":
    print(page(), end="")
