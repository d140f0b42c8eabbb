"""The command line: the verbs, turned into options by tyro, and one place where errors become an exit status.

A verb is a small dataclass and a function, in a file of ``verbs`` that needs no torch before it runs, so that
``latentdepth --help`` needs none. Exit status: 0 all is well, 1 something failed, 2 nothing was started (wrong
arguments, no such model), 130 Ctrl-C.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Annotated, Any, Union

import tyro
from tyro.conf import FlagCreatePairsOff, OmitArgPrefixes, subcommand

from latentdepth.verbs import about, demo, predict, view

_SUMMARY = "Depth and surface normals of photographs, by latent diffusion."
_Verb = Union[  # noqa: UP007  (evaluated when the module is read)
    Annotated[predict.Predict, subcommand("predict")],
    Annotated[about.Models, subcommand("models")],
    Annotated[about.Info, subcommand("info")],
    Annotated[view.View, subcommand("view")],
    Annotated[demo.Demo, subcommand("demo")],
]
_RUN: Mapping[type, Callable[[Any], int]] = {
    predict.Predict: predict.run,
    about.Models: about.run_models,
    about.Info: about.run_info,
    view.View: view.run,
    demo.Demo: demo.run,
}


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit status."""
    verb = tyro.cli(
        _Verb,  # pyright: ignore[reportArgumentType]
        prog="latentdepth",
        description=_SUMMARY,
        args=argv,
        config=(FlagCreatePairsOff, OmitArgPrefixes),
    )
    try:
        return _RUN[type(verb)](verb)
    except KeyboardInterrupt:
        _say("stopped by Ctrl-C; nothing was written")
        return 130
    except ValueError as error:
        _say(f"latentdepth: {error}")
        return 2
    except OSError as error:
        _say(f"latentdepth: {error}")
        return 1


def _say(line: str) -> None:
    print(line, file=sys.stderr)
