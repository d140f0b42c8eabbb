"""A table for a terminal, Markdown or LaTeX, and the numbers behind it as JSON. Knows no figures, only fields."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from rich.table import Table as RichTable
from rich.text import Text

from latentdepth.evaluate.protocol import PROTOCOLS
from latentdepth.evaluate.summary import Comparison, Line


@dataclass(frozen=True)
class Cell:
    """One field."""

    text: str
    bold: bool = False


@dataclass(frozen=True)
class Table:
    """Fields in rows, with what has to be said above and below."""

    title: str
    heads: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]
    notes: tuple[str, ...] = ()


def to_rich(table: Table) -> RichTable:
    """For a terminal."""
    drawn = RichTable(title=Text(table.title), title_justify="left", caption_justify="left")
    drawn.caption = Text("\n".join(table.notes)) if table.notes else None
    for k, head in enumerate(table.heads):
        drawn.add_column(Text(head), justify="left" if k == 0 else "right", overflow="fold")
    for row in table.rows:
        # intervals on a line of their own: eighty columns are soon used up
        drawn.add_row(*(Text(cell.text.replace(" [", "\n["), style="bold" if cell.bold else "") for cell in row))
    return drawn


def to_markdown(table: Table) -> str:
    """A heading, a pipe table, and the notes as a list."""

    def field(text: str) -> str:
        return text.replace("\\", "\\\\").replace("|", "\\|")

    lines = [f"### {table.title}", "", "| " + " | ".join(map(field, table.heads)) + " |"]
    lines.append("|---|" + "---:|" * (len(table.heads) - 1))
    for row in table.rows:
        texts = [f"**{field(cell.text)}**" if cell.bold else field(cell.text) for cell in row]
        lines.append("| " + " | ".join(texts) + " |")
    return "\n".join([*lines, "", *(f"- {note}" for note in table.notes)]).rstrip() + "\n"


_TEX = {
    **{c: f"\\{c}" for c in "&%$#_{}"},
    **{"\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "<": "$<$", ">": "$>$"},
    **{"↓": r"$\downarrow$", "↑": r"$\uparrow$", "δ": r"$\delta$", "°": r"$^\circ$", "×": r"$\times$", "·": r"$\cdot$"},
    **{"–": "--", "−": "$-$"},
}


def latex_text(text: str) -> str:
    """Plain text for LaTeX: its special signs, and ours that its default fonts lack, escaped."""
    return "".join(_TEX.get(character, character) for character in text)


def to_latex(table: Table) -> str:
    """A booktabs table (needs ``\\usepackage{booktabs}``)."""
    lines = [r"\begin{table}", r"\centering", rf"\caption{{{latex_text(table.title)}}}"]
    lines += [rf"\begin{{tabular}}{{l{'r' * (len(table.heads) - 1)}}}", r"\toprule"]
    lines += [" & ".join(map(latex_text, table.heads)) + r" \\", r"\midrule"]
    for row in table.rows:
        texts = [rf"\textbf{{{latex_text(cell.text)}}}" if cell.bold else latex_text(cell.text) for cell in row]
        lines.append(" & ".join(texts) + r" \\")
    lines += [r"\bottomrule", r"\end{tabular}"]
    lines += [rf"\par\footnotesize {latex_text(note)}" for note in table.notes]
    return "\n".join([*lines, r"\end{table}"]) + "\n"


def to_json(lines: Sequence[Line], compared: Sequence[Comparison], about: Mapping[str, Any]) -> str:
    """Everything in numbers; ``about`` is put first. What isn't finite is null."""
    used = dict.fromkeys(line.protocol for line in lines)
    whole = {
        **about,
        "protocols": {key: asdict(PROTOCOLS[key]) for key in used},
        "lines": [asdict(line) | {"scored": len(line.scored)} for line in lines],
        "comparisons": [asdict(one) for one in compared],
    }
    return json.dumps(_finite(whole), indent=2, allow_nan=False, ensure_ascii=False) + "\n"


def write_reports(
    tables: Sequence[Table],
    lines: Sequence[Line],
    compared: Sequence[Comparison],
    about: Mapping[str, Any],
    folder: Path,
) -> None:
    """``summary.md``, ``summary.tex`` and ``summary.json``, each whole or not at all."""
    contents = {
        "summary.md": "\n".join(map(to_markdown, tables)),
        "summary.tex": "\n".join(map(to_latex, tables)),
        "summary.json": to_json(lines, compared, about),
    }
    for name, content in contents.items():
        part = folder / f"{name}.part"
        part.write_text(content, encoding="utf-8")
        part.replace(folder / name)


def _finite(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
