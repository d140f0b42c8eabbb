"""The command line: the verbs, turned into options by tyro, and one place where errors become an exit status.

A verb is a small dataclass and a function, in a file of ``verbs`` that needs no torch before it runs, so that
``latentdepth --help`` needs none. Exit status: 0 all is well, 1 something failed, 2 nothing was started (wrong
arguments, no such model), 130 Ctrl-C.
"""

from __future__ import annotations

import sys
import warnings
from collections.abc import Callable, Mapping, Sequence
from typing import Annotated, Any, Union

import tyro
from tyro.conf import FlagCreatePairsOff, OmitArgPrefixes, subcommand

from latentdepth.verbs import (
    ablate,
    about,
    calibrate,
    card,
    convert,
    demo,
    distill_vae,
    evaluate,
    export,
    export_checkpoint,
    predict,
    prepare,
    synth,
    train,
    view,
)

_SUMMARY = "Depth and surface normals of photographs, by latent diffusion."
_Verb = Union[  # noqa: UP007  (evaluated when the module is read)
    Annotated[predict.Predict, subcommand("predict")],
    Annotated[about.Models, subcommand("models")],
    Annotated[about.Info, subcommand("info")],
    Annotated[view.View, subcommand("view")],
    Annotated[demo.Demo, subcommand("demo")],
    Annotated[synth.Synth, subcommand("synth")],
    Annotated[prepare.Prepare, subcommand("prepare")],
    Annotated[train.Train, subcommand("train")],
    Annotated[export_checkpoint.ExportCheckpoint, subcommand("export-checkpoint")],
    Annotated[distill_vae.DistillVae, subcommand("distill-vae")],
    Annotated[export.Export, subcommand("export")],
    Annotated[evaluate.Evaluate, subcommand("evaluate")],
    Annotated[ablate.Ablate, subcommand("ablate")],
    Annotated[calibrate.Calibrate, subcommand("calibrate")],
    Annotated[card.Card, subcommand("card")],
    Annotated[convert.Convert, subcommand("convert")],
]
_RUN: Mapping[type, Callable[[Any], int]] = {
    predict.Predict: predict.run,
    about.Models: about.run_models,
    about.Info: about.run_info,
    view.View: view.run,
    demo.Demo: demo.run,
    synth.Synth: synth.run,
    prepare.Prepare: prepare.run,
    train.Train: train.run,
    export_checkpoint.ExportCheckpoint: export_checkpoint.run,
    distill_vae.DistillVae: distill_vae.run,
    export.Export: export.run,
    evaluate.Evaluate: evaluate.run,
    ablate.Ablate: ablate.run,
    calibrate.Calibrate: calibrate.run,
    card.Card: card.run,
    convert.Convert: convert.run,
}


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit status."""
    words = list(sys.argv[1:] if argv is None else argv)
    try:
        verb = _parsed(words)
        with warnings.catch_warnings():
            warnings.showwarning = _one_line
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


def _parsed(words: list[str]) -> Any:
    if words[:1] == ["train"]:  # the defaults of its options are those of the recipe that its first word names
        return train.parse(words[1:])
    return tyro.cli(
        _Verb,  # pyright: ignore[reportArgumentType]
        prog="latentdepth",
        description=_SUMMARY,
        args=words,
        config=(FlagCreatePairsOff, OmitArgPrefixes),
    )


def _one_line(message: Warning | str, *where: object) -> None:
    """A warning without the line of code that it comes from."""
    _say(f"note: {message}")


def _say(line: str) -> None:
    print(line, file=sys.stderr)
