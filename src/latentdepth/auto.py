"""What ``--steps auto`` and ``--members auto`` ask for, and what a model folder says about it.

``adaptive.json`` in a model's folder holds what ``latentdepth calibrate`` found; without it a target is taken as it
reads. Knows no loops (``adaptive``) and no networks.
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass, field
from pathlib import Path

from latentdepth.config import read_json, to_dict
from latentdepth.core.controllers import StepRule
from latentdepth.options import Controller, PredictOptions

OWN_FILE = "adaptive.json"


@dataclass(frozen=True)
class Thresholds:
    """What the words of ``--target`` mean for one controller. Uncalibrated: shares of the map's range."""

    rough: float = 0.02
    good: float = 0.01
    fine: float = 0.005

    def __post_init__(self) -> None:
        if not 0 <= self.fine <= self.good <= self.rough < math.inf:
            raise ValueError(
                f"thresholds are rough {self.rough}, good {self.good}, fine {self.fine}; they may not rise from rough "
                "to fine, and none is negative or infinite"
            )


@dataclass(frozen=True)
class Settings:
    """``adaptive.json``: limits, thresholds and the rule's bounds of one model."""

    controller: Controller = "doubling"
    """What decides on steps where the user names nothing."""
    most_steps: int = 8
    least_members: int = 4
    most_members: int = 12
    members: Thresholds = field(default_factory=Thresholds)
    doubling: Thresholds = field(default_factory=Thresholds)
    convergence: Thresholds = field(default_factory=Thresholds)
    rule: StepRule | None = None
    """None until calibrated: complexity has no natural scale."""
    calibrated_on: str = ""
    """The data and how many frames of it."""

    def __post_init__(self) -> None:
        if self.most_steps < 1:
            raise ValueError(f"most_steps is {self.most_steps}; allowed is 1 or more")
        if not 2 <= self.least_members <= self.most_members:
            raise ValueError(
                f"members go from {self.least_members} to {self.most_members}; needed is 2 <= least <= most"
            )


@dataclass(frozen=True)
class Auto:
    """What is left to the photo, with the numbers that decide. None: not left to it."""

    steps: Controller | None
    members: bool
    target: str
    settings: Settings

    @property
    def certainty(self) -> float:
        """Standard error at which members are enough."""
        return tolerance(self.target, self.settings.members)

    @property
    def stillness(self) -> float:
        """Change at which steps are enough."""
        by_convergence = self.steps == "convergence"
        return tolerance(self.target, self.settings.convergence if by_convergence else self.settings.doubling)


def asked(options: PredictOptions, settings: Settings) -> Auto | None:
    """What of ``options`` is left to the photo; None where nothing is.

    Raises ValueError for words and numbers that are no target, for a target that the rule can't follow, and for the
    rule where nothing was calibrated.
    """
    steps, members = options.steps == "auto", options.members == "auto"
    if not (steps or members):
        return None
    controller = (options.controller or settings.controller) if steps else None
    if controller == "rule" and settings.rule is None:
        raise ValueError(
            "controller is rule, and this model has no bounds for it: complexity has no natural scale. Type "
            "`latentdepth calibrate MODEL --on folder:DIR` first, or take doubling or convergence"
        )
    if controller == "rule" and options.target is not None and not members:
        raise ValueError(
            f"target is {options.target!r}, and the rule looks at the photo alone and can't tell how settled its map "
            "is: leave the target out, or take doubling or convergence"
        )
    auto = Auto(controller, members, options.target or "good", settings)
    tolerance(auto.target, settings.members)
    return auto


def tolerance(target: str, thresholds: Thresholds) -> float:
    """The number behind a word, or behind a percentage such as "1.5%". ValueError says what is allowed."""
    if target in ("rough", "good", "fine"):
        return getattr(thresholds, target)
    number, percent, rest = target.strip().partition("%")
    try:
        share = float(number) / 100
    except ValueError:
        share = math.nan
    if not percent or rest or not 0 < share < 1:
        raise ValueError(
            f"target is {target!r}; allowed are rough, good, fine, or a share of the map's range such as 1.5% "
            "(above 0% and below 100%)"
        )
    return share


def read_settings(folder: Path) -> Settings:
    """``adaptive.json`` of a model's folder; the defaults where there is none. ValueError names file and key."""
    path = folder / OWN_FILE
    if not path.exists():
        return Settings()
    try:
        return read_json(Settings, path)
    except ValueError as error:
        raise ValueError(f"{error}; mend it, or make it again: latentdepth calibrate") from error


def write_settings(settings: Settings, folder: Path) -> Path:
    """``adaptive.json`` in ``folder``, replacing what is there."""
    path = folder / OWN_FILE
    path.write_text(json.dumps(to_dict(settings), indent=2) + "\n", encoding="utf-8")
    return path
