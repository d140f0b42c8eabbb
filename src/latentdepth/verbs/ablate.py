"""``latentdepth ablate``: one thing varied, of a prediction or of a training, measured, tabulated and drawn.

Glue alone: ``recipe_variants`` makes recipes that differ in one thing, ``train.runs`` trains them, ``evaluate`` judges.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from tyro.conf import Positional, arg

from latentdepth.evaluate.options import ProtocolName
from latentdepth.options import Device, Dtype, PredictOptions

if TYPE_CHECKING:
    from latentdepth.data.benchmarks.benchmark import Benchmark
    from latentdepth.evaluate.ablate import Varied
    from latentdepth.evaluate.run import Evaluated
    from latentdepth.evaluate.table import Journal
    from latentdepth.train.config import TrainConfig


@dataclass(frozen=True)
class Ablate:
    """Vary one thing of a prediction or of a training, and draw what it does.

    Of a prediction (of MODEL): members, steps, resolution, seed, sampler, spacing. Of a training (by RECIPE): noise
    (gaussian, multires, annealed), weights (9:1), sets (a, b, a+b), or any key of the recipe (optim.lr).
    Finished settings are not run again."""

    subject: Annotated[Positional[str], arg(metavar="MODEL|RECIPE")]
    """builtin:NAME, dir:PATH or hub:ORG/REPO[@REV]; or a recipe of `latentdepth train`, by name or .toml file, which is
    trained once for each value."""
    vary: Annotated[tuple[str, str], arg(metavar="WHAT VALUE,VALUE,...")]
    """What is varied, and its values: --vary members 1,2,5,10."""
    on: tuple[str, ...]
    """Benchmarks, by comma or space: nyu, kitti, eth3d, ..., folder:DIR for a folder with a manifest."""
    out: Path
    """Folder for rows, tables and plots; trainings go below it."""
    data: Path = Path("data")
    """Folder that holds the benchmarks' folders or tar files."""
    protocol: tuple[ProtocolName, ...] = ()
    """How predictions are fitted to the truth; by default what each benchmark and model ask for."""
    max_frames: int | None = None
    """So many frames of each benchmark, evenly spread."""
    change: tuple[str, ...] = ()
    """Changes of the recipe that hold for all values: --change loop.steps=200 data.0.path=DIR."""
    device: Device = "auto"
    dtype: Dtype = "auto"
    options: PredictOptions = field(default_factory=PredictOptions)


def run(verb: Ablate) -> int:
    """Exit status 0; 1 when a training diverged or ran out of its time, 130 when Ctrl-C stopped it (saved)."""
    what, values = verb.vary[0], [value.strip() for value in verb.vary[1].split(",") if value.strip()]
    recipe = _recipe(verb)
    if recipe is None and verb.change:
        raise ValueError(f"--change is for recipes, and {verb.subject} is a model; leave it out, or give a recipe")

    from latentdepth.data.benchmarks.catalogue import open_benchmark
    from latentdepth.evaluate.ablate import EFFORTS, VARIED, check_values, points, tables, write_points
    from latentdepth.evaluate.plots import import_matplotlib
    from latentdepth.evaluate.table import Journal, write_tables

    if (what in VARIED) != (recipe is None):
        of, wanted = ("prediction", "a model") if what in VARIED else ("training", "a recipe")
        raise ValueError(f"{what} is varied, which is of a {of}, so give {wanted} and not {verb.subject}")
    check_values(what, values)
    import_matplotlib()
    words = [word.strip() for words in verb.on for word in words.split(",") if word.strip()]
    benchmarks = [open_benchmark(word, verb.data) for word in words]
    titles = {one.facts.key: one.facts.title for one in benchmarks}
    if recipe is None:
        contenders = _of_prediction(verb, what, values)
    else:
        models = _trained(verb, what, values, recipe)
        if isinstance(models, int):
            return models
        values, contenders = list(models), _of_training(verb, what, models)
    measured = {"subject": verb.subject, "protocol": list(verb.protocol), "change": list(verb.change)}
    journal = Journal.open(verb.out / "rows.jsonl", measured)
    found = _evaluated(verb, contenders, benchmarks, journal, len(values))
    made = points(found.rows, what, values)
    about = {**measured, "on": words, "dtype": verb.dtype, "options": asdict(verb.options)}
    written = write_points(made, verb.out, vary=what, about=about, titles=titles)
    written += write_tables(journal.rows, verb.out)
    if recipe is None and what in EFFORTS:
        written += [path for one in benchmarks for path in _gain(found, one, what, values, verb.out)]
    _show(tables(made, what, titles))
    print(f"written: {', '.join(str(path) for path in written)}", file=sys.stderr)
    return 0


def _recipe(verb: Ablate) -> TrainConfig | None:
    """The changed recipe where the subject is one; None for a model, whose name has a prefix."""
    from latentdepth.train.recipes import read_recipe, recipe_names
    from latentdepth.verbs.recipe_variants import changed

    if re.match(r"[a-z]{2,}:", verb.subject):
        return None
    try:
        recipe = read_recipe(verb.subject)
    except ValueError as error:
        raise ValueError(
            f"{verb.subject!r} is neither a model (builtin:NAME, dir:PATH, hub:ORG/REPO) nor a recipe "
            f"({', '.join(recipe_names())}): {error}"
        ) from None
    return changed(recipe, verb.change)


def _of_prediction(verb: Ablate, what: str, values: Sequence[str]) -> Iterator[Varied]:
    from latentdepth.evaluate.ablate import settings
    from latentdepth.loading import load

    predictor = load(verb.subject, device=verb.device, dtype=verb.dtype)
    return settings(predictor, what, values, verb.options, dtype=verb.dtype)


def _trained(
    verb: Ablate, what: str, values: Sequence[str], recipe: TrainConfig
) -> dict[str, tuple[str, int]] | Literal[1, 130]:
    """Model and steps of every value's training, all done before anything is measured; or the exit status.

    All recipes are checked before the first is run. Where a model was fine-tuned, it stands last as ``untrained``.
    """
    from latentdepth.evaluate.ablate import UNTRAINED
    from latentdepth.train.devices import leave
    from latentdepth.train.divergence import DivergedError
    from latentdepth.train.runs import run as train
    from latentdepth.verbs.recipe_variants import variants

    recipes = variants(recipe, what, values)
    folders = {value: verb.out / "train" / re.sub(r"[^A-Za-z0-9.+-]", "_", f"{what}-{value}") for value in recipes}
    models: dict[str, tuple[str, int]] = {}
    try:
        for value, one in recipes.items():
            train(one, folders[value], quiet=True, dry=True)
        for value, one in recipes.items():
            print(f"training with {what}={value} in {folders[value]}", file=sys.stderr)
            fitted = train(one, folders[value])
            assert fitted is not None  # only a dry run gives none
            if fitted.ended != "done":
                print(f"{fitted.ended} at step {fitted.step}; the same command goes on from there", file=sys.stderr)
                return 130 if fitted.ended == "interrupted" else 1
            models[value] = (f"dir:{fitted.model}", fitted.step)
    except DivergedError as error:
        print(f"latentdepth: {error}", file=sys.stderr)
        return 1
    finally:
        leave()
    if recipe.base.kind == "model":
        models[UNTRAINED] = (recipe.base.model, 0)
    return models


def _of_training(verb: Ablate, what: str, models: Mapping[str, tuple[str, int]]) -> Iterator[Varied]:
    from latentdepth.evaluate.ablate import Varied
    from latentdepth.loading import load

    for value, (model, step) in models.items():
        predictor = load(model, device=verb.device, dtype=verb.dtype)
        yield Varied(f"{what}={value}", predictor, verb.options, verb.dtype, about={"trained_steps": step})


def _evaluated(
    verb: Ablate, contenders: Iterator[Varied], benchmarks: Sequence[Benchmark], journal: Journal, count: int
) -> Evaluated:
    """``evaluate.run`` with a bar over settings and frames."""
    from latentdepth.evaluate.protocol import PROTOCOLS
    from latentdepth.evaluate.run import evaluate, spread
    from latentdepth.verbs.progress import bar

    rules = [PROTOCOLS[key] for key in dict.fromkeys(verb.protocol)] or None
    frames = count * sum(len(spread(len(one), verb.max_frames)) for one in benchmarks)
    with bar("measuring", total=frames, unit="images/s") as shown:
        return evaluate(
            contenders,
            benchmarks,
            rules,
            journal,
            max_frames=verb.max_frames,
            on_frame=lambda row, made: shown.advance(worked=made),
        )


def _gain(found: Evaluated, benchmark: Benchmark, what: str, values: Sequence[str], out: Path) -> list[Path]:
    """Complexity of every photo beside what more effort gains on it: table, correlations, plot."""
    from latentdepth.evaluate.ablate import errors_by_effort
    from latentdepth.evaluate.gain import draw_gains, gains, measured_complexity, write_gains

    figure, frames, groups, errors = errors_by_effort(found.rows, what, values, benchmark.facts.key)
    index = {benchmark.frame(k): k for k in range(len(benchmark))}
    measured = measured_complexity(benchmark[index[frame]].image for frame in frames)
    gained = gains(frames, groups, measured, errors)
    stem = re.sub(r"[^A-Za-z0-9]+", "-", f"{what}-gain-{benchmark.facts.key}").strip("-")
    written = write_gains(gained, out, stem=stem, varied=what, figure=figure)
    return [*written, draw_gains(gained, out / f"{stem}.png", varied=what, figure=figure)]


def _show(made: Sequence[Any]) -> None:
    from rich.console import Console

    from latentdepth.evaluate.render import to_rich

    console = Console()
    for table in made:
        console.print(to_rich(table))
