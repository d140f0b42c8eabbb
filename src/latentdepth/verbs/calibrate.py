"""``latentdepth calibrate``: thresholds of ``--steps auto`` and ``--members auto`` from a folder with truth.

``latentdepth.evaluate.calibrate`` does the work; this file chooses where the result is kept.
"""

from __future__ import annotations

import shutil
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from tyro.conf import Positional, arg

from latentdepth.evaluate.options import ProtocolName
from latentdepth.options import Device, Dtype, PredictOptions

if TYPE_CHECKING:
    from latentdepth.auto import Settings
    from latentdepth.data.benchmarks.benchmark import Benchmark
    from latentdepth.evaluate.calibrate import FrameEffort
    from latentdepth.evaluate.protocol import Rule
    from latentdepth.predictor import DiffusionPredictor

_MODEL_HELP = (
    "dir:PATH, into which adaptive.json is written; builtin:NAME or hub:ORG/REPO[@REV] with --out, which gets a copy."
)


@dataclass(frozen=True)
class Calibrate:
    """Fit what --steps auto and --members auto stop at, for one model on one set of photos with truth.

    rough, good and fine then mean: on average at most 5 %, 2 % and 0.5 % worse than the longest run."""

    model: Annotated[Positional[str], arg(metavar="MODEL", help=_MODEL_HELP)]
    on: str = ""
    """Photos with truth: folder:DIR, or a benchmark's word."""
    data: Path = Path("data")
    """Folder that holds the benchmarks' folders or tar files."""
    out: Path | None = None
    """Folder for a copy of the model with its adaptive.json; the model itself is then left as it is."""
    max_frames: int | None = 100
    """Take that many frames, evenly spread."""
    protocol: ProtocolName | None = None
    """How predictions are fitted to the truth; by default as `latentdepth evaluate` does."""
    most_steps: int = 8
    """Steps that --steps auto may take."""
    least_members: int = 4
    """Members that --members auto draws before it asks how certain their median is."""
    most_members: int = 12
    """Members that --members auto may draw."""
    device: Device = "auto"
    dtype: Dtype = "auto"
    options: PredictOptions = field(default_factory=PredictOptions)


def run(verb: Calibrate) -> int:
    """Exit status: 0 done. Raises ValueError before any work where the result could not be kept."""
    from dataclasses import replace

    from latentdepth.auto import write_settings
    from latentdepth.data.benchmarks.catalogue import open_benchmark
    from latentdepth.evaluate.calibrate import fitted
    from latentdepth.evaluate.protocol import PROTOCOLS, default_rule
    from latentdepth.loading import load
    from latentdepth.models.source import resolve
    from latentdepth.predictor import DiffusionPredictor

    if not verb.on:
        raise ValueError("no data are given; type --on folder:DIR, a folder with rgb/ and depth/ or a manifest")
    if "auto" in (verb.options.steps, verb.options.members):
        raise ValueError("auto is what is being calibrated: leave --steps and --members out")
    if verb.out is None and not verb.model.startswith("dir:"):
        raise ValueError(
            f"{verb.model} is not yours to change: give --out FOLDER for a copy with the calibration, "
            "then use dir:FOLDER"
        )
    if verb.out is not None and verb.out.exists() and (not verb.out.is_dir() or any(verb.out.iterdir())):
        raise ValueError(f"{verb.out} exists and is no empty folder; give a new one with --out")
    benchmark = open_benchmark(verb.on, verb.data)
    loaded = load(verb.model, device=verb.device, dtype=verb.dtype)
    if not isinstance(loaded, DiffusionPredictor):
        raise ValueError(f"{verb.model} answers in one forward pass, so that nothing is left to calibrate")
    base = replace(
        loaded.adaptive, most_steps=verb.most_steps, least_members=verb.least_members, most_members=verb.most_members
    )
    predictor = DiffusionPredictor(loaded.model, loaded.name, base)
    kind = predictor.modality.kind
    rule = default_rule(benchmark.facts.truth, kind) if verb.protocol is None else PROTOCOLS[verb.protocol]
    frames = _measured(predictor, benchmark, rule, verb)
    settings = fitted(frames, base, f"{len(frames)} frames of {benchmark.facts.title}")
    folder = resolve(verb.model)
    if verb.out is not None:
        folder = Path(shutil.copytree(folder, verb.out, dirs_exist_ok=True))
    path = write_settings(settings, folder)
    _show(frames, settings)
    print(f"written: {path}", file=sys.stderr)
    return 0


def _measured(predictor: DiffusionPredictor, benchmark: Benchmark, rule: Rule, verb: Calibrate) -> list[FrameEffort]:
    from latentdepth.evaluate.calibrate import measure
    from latentdepth.evaluate.run import spread
    from latentdepth.verbs.progress import bar

    indices = spread(len(benchmark), verb.max_frames)
    frames = []
    with bar("calibrating", total=len(indices), unit="images/s") as shown:
        for index in indices:
            found = measure(predictor, benchmark, index, rule, verb.options)
            shown.advance()
            if found is None:
                shown.say(f"left out: {benchmark.frame(index)} has no finite error")
            else:
                frames.append(found)
    return frames


def _show(frames: Sequence[FrameEffort], settings: Settings) -> None:
    """What each word costs, beside the shortest and the longest run, and whether complexity says anything."""
    from rich.console import Console

    from latentdepth.core.complexity import mixed
    from latentdepth.evaluate.calibrate import measures, replay
    from latentdepth.evaluate.gain import correlation
    from latentdepth.evaluate.render import Cell, Table, to_rich

    cells = []
    for name in ("members", "doubling", "convergence"):
        ladders = [getattr(frame, name) for frame in frames]
        words = {word: getattr(getattr(settings, name), word) for word in ("rough", "good", "fine")}
        for word, tolerance in {"shortest": float("inf"), **words, "longest": 0.0}.items():
            found = replay(ladders, tolerance)
            if word == "shortest":  # an infinite tolerance still needs something to compare with
                calls = sum(one.calls[0] for one in ladders) / len(ladders)
                error = sum(one.errors[0] for one in ladders) / len(ladders)
            else:
                calls, error = found.calls, found.error
            threshold = f"{tolerance:.4f}" if word in words else "–"
            cells.append(tuple(map(Cell, (name, word, threshold, f"{calls:.2f}", f"{error:.4f}"))))
    heads = ("controller", "target", "threshold", "network calls", "mean error")
    title = f"adaptive effort · {settings.calibrated_on}"
    Console().print(to_rich(Table(title, heads, tuple(cells), ())))
    if settings.rule is not None and len(frames) > 1:
        import numpy as np

        seen = mixed(measures(frames), settings.rule.calibration, energy_share=1.0).numpy()
        gain = np.array([frame.doubling.errors[0] - frame.doubling.errors[-1] for frame in frames])
        found = correlation(seen, gain, [frame.group for frame in frames])
        print(
            f"gradient energy against what {settings.most_steps} steps gain over one: Spearman's rho {found.rho:.2f} "
            f"(p = {found.p:.2g}, {found.n} frames); the rule can save without loss only as far as that is above 0"
        )
