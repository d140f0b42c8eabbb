"""``latentdepth train``: a recipe, changed by options of the same names, run. ``train.runs`` does the work.

The options' defaults are the recipe's own values, so ``parse`` reads the recipe before tyro sees the command line.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

import tyro
from tyro.conf import AvoidSubcommands, FlagCreatePairsOff, Positional, arg

from latentdepth.train.config import TrainConfig
from latentdepth.train.recipes import read_recipe, recipe_names


@dataclass(frozen=True)
class Train:
    """Train a model by a recipe. The same command goes on where an earlier one stopped.

    Several GPUs: torchrun --nproc-per-node 4 -m latentdepth train RECIPE, or accelerate launch.
    `latentdepth train RECIPE --help` shows the recipe's own values."""

    recipe: Annotated[Positional[str], arg(metavar="RECIPE")]
    """A recipe that ships with latentdepth, or the path of a .toml file; always the first word."""
    out: Path | None = None
    """Folder for checkpoints, logs and the model; by default runs/RECIPE."""
    fresh: bool = False
    """Start anew; an earlier run in the folder is moved aside."""
    dry: bool = False
    """Check everything and print the recipe as it would run; train nothing."""
    quiet: bool = False
    """No progress bar."""
    config: Annotated[TrainConfig, arg(name="")] = field(default_factory=TrainConfig)


def parse(argv: Sequence[str], prog: str = "latentdepth train") -> Train:
    """The command line after ``train``. ValueError for an unknown recipe and settings that contradict each other."""
    named = argv[0] if argv and not argv[0].startswith("-") else None
    default = Train(named or "RECIPE", config=read_recipe(named) if named else TrainConfig())
    words = list(argv) if named or {"-h", "--help"} & set(argv) else None
    if words is None:
        raise ValueError(f"the first word after train is the recipe: {', '.join(recipe_names())}, or a .toml file")
    return tyro.cli(Train, prog=prog, args=words, default=default, config=(AvoidSubcommands, FlagCreatePairsOff))  # pyright: ignore[reportCallIssue]


def run(verb: Train) -> int:
    """Train; returns the exit status: 0 done or out of time, 1 diverged, 130 stopped by Ctrl-C (saved)."""
    from latentdepth.train.devices import leave
    from latentdepth.train.divergence import DivergedError
    from latentdepth.train.runs import run as run_recipe

    out = verb.out or Path("runs") / Path(verb.recipe).stem
    try:
        fitted = run_recipe(verb.config, out, fresh=verb.fresh, quiet=verb.quiet, dry=verb.dry)
    except DivergedError as error:
        print(f"latentdepth: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print(f"stopped at once. The same command goes on from the last checkpoint in {out}", file=sys.stderr)
        return 130
    finally:
        leave()
    if fitted is None:
        _print_recipe(verb.config)
        return 0
    if os.environ.get("RANK", "0") == "0":  # of several processes, one speaks
        print(f"{fitted.ended} at step {fitted.step}; the model is dir:{fitted.model}", file=sys.stderr)
    return 130 if fitted.ended == "interrupted" else 0


def _print_recipe(config: TrainConfig) -> None:
    import tomli_w

    from latentdepth.config import to_dict

    print(tomli_w.dumps(to_dict(config)), end="")
