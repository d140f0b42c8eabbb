"""``latentdepth card``: what a model's card says of its figures, printed from an evaluation."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from tyro.conf import Positional, arg

from latentdepth.options import DEFAULT_MODEL


@dataclass(frozen=True)
class Card:
    """Print the figures section of a model's card (Markdown) from what `latentdepth evaluate` wrote."""

    folder: Annotated[Positional[Path], arg(metavar="FOLDER")] = Path("evaluation")
    """The evaluation's --out."""
    model: str = DEFAULT_MODEL
    """As it was named to `latentdepth evaluate`."""
    worst: int = 3
    """Frames named as the worst of each benchmark."""


def run(verb: Card) -> int:
    from latentdepth.evaluate.card import card_section

    if verb.worst < 0:
        raise ValueError(f"--worst is {verb.worst}; allowed is 0 or more")
    print(card_section(verb.folder, verb.model, worst=verb.worst))
    return 0
