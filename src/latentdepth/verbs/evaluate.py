"""``latentdepth evaluate``: models and folders of predictions against truth. ``latentdepth.evaluate`` does the work."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from tyro.conf import Positional, arg

from latentdepth.evaluate.options import ExtraName, KindName, ProtocolName
from latentdepth.options import Device, Dtype, PredictOptions, Runtime

if TYPE_CHECKING:
    from latentdepth.core.types import Kind
    from latentdepth.data.benchmarks.benchmark import Benchmark
    from latentdepth.evaluate.contender import Contender
    from latentdepth.evaluate.protocol import Rule
    from latentdepth.evaluate.run import Evaluated
    from latentdepth.evaluate.table import Row

_MODELS_HELP = (
    "builtin:NAME, dir:PATH or hub:ORG/REPO[@REV]; predictions:DIR, a folder of predictions made elsewhere; "
    "baseline:constant, baseline:ramp, baseline:luminance."
)
_FOLDER, _BASELINE = "predictions:", "baseline:"


@dataclass(frozen=True)
class Evaluate:
    """Score models and folders of predictions on benchmarks, by protocol.

    The same command goes on where an earlier one stopped, and tries again what failed or was missing."""

    models: Annotated[Positional[tuple[str, ...]], arg(metavar="MODEL...", help=_MODELS_HELP)] = ()
    on: tuple[str, ...] = ()
    """Benchmarks, by comma or space: nyu, kitti, eth3d, ..., folder:DIR for a folder with a manifest, shards:DIR for
    shards of `latentdepth synth`."""
    data: Path = Path("data")
    """Folder that holds the benchmarks' folders or tar files."""
    protocol: tuple[ProtocolName, ...] = ()
    """How predictions are fitted to depth; several are scored in one go. By default metric predictions are taken as
    they are, all else goes by marigold. Point pairs and normals have one protocol each."""
    extra: tuple[ExtraName, ...] = ()
    """Further figures: boundary_f1, edges (accuracy and completeness), cloud (Chamfer and F-score; needs the camera),
    ause (of the uncertainty, which needs members, beside that of the photo's gradient magnitude as a control)."""
    out: Path = Path("evaluation")
    """Folder for rows, tables and sheets."""
    margin: int = 0
    """Leave out truth within so many pixels of a hole or of the picture's edge, where depth that was resized or warped
    mixes distances with nothing. Scattered truth stays whole. Each margin needs its own --out."""
    max_frames: int | None = None
    """Take that many frames of each benchmark, evenly spread."""
    compare: bool = False
    """Compare every two models on the frames that both have."""
    by_source: bool = False
    """Means by the first part of the frames' names too."""
    with_published: bool = False
    """Print published figures of the same benchmark and protocol beside the measured ones."""
    sheet: int = 3
    """Best and worst frames on the picture sheet of each model and benchmark; 0 for no sheet."""
    predicts: tuple[KindName, ...] = ()
    """What folders of predictions hold: one for all, or one for each in order. Not needed where latentdepth
    wrote them."""
    names: str | None = None
    """How the files of predictions are called, such as {frame}_depth, or {flat} with _ for /; suffixes follow."""
    unit: float | None = None
    """Factor on the values in files of predictions, such as 0.001 for millimetres."""
    resize: bool = False
    """Bring predictions in files to the size of the truth; else another size is a fault."""
    device: Device = "auto"
    dtype: Dtype = "auto"
    runtime: Runtime = "torch"
    """Engine on the CPU for all models: what `latentdepth export` wrote for openvino or onnx. Each needs its own --out:
    tables tell models apart, not engines."""
    options: PredictOptions = field(default_factory=PredictOptions)


def run(verb: Evaluate) -> int:
    """Exit status: 0 all is scored, 1 a benchmark is missing or frames could not be scored, 130 stopped by Ctrl-C."""
    _check(verb)
    try:
        return _evaluated(verb)
    except KeyboardInterrupt:
        print(f"stopped by Ctrl-C; the same command goes on with the rows in {verb.out}", file=sys.stderr)
        return 130


def _evaluated(verb: Evaluate) -> int:
    from latentdepth.evaluate.protocol import PROTOCOLS
    from latentdepth.evaluate.run import evaluate, spread
    from latentdepth.evaluate.table import Journal, write_tables
    from latentdepth.verbs.progress import bar

    kinds = _kinds(verb)
    benchmarks, skipped = _benchmarks(verb)
    journal = Journal.open(verb.out / "rows.jsonl", {"protocol": verb.protocol, "extra": verb.extra})
    frames = len(verb.models) * sum(len(spread(len(one), verb.max_frames)) for one in benchmarks)
    with bar("evaluating", total=frames, unit="images/s") as shown:

        def on_frame(row: Row, made: bool) -> None:
            shown.advance(worked=made)
            notes = dict.fromkeys(f"{entry.fault}: {entry.note}" for entry in row.entries if not entry.figures)
            for note in notes:
                shown.say(f"{row.model} on {row.benchmark}, {row.frame}: {note}")

        done = evaluate(
            _contenders(verb, kinds),
            benchmarks,
            [PROTOCOLS[key] for key in dict.fromkeys(verb.protocol)] or None,
            journal,
            extra=verb.extra,
            max_frames=verb.max_frames,
            on_frame=on_frame,
            on_scored=lambda *scored: _sheets(verb, *scored),
        )
    write_tables(done.rows, verb.out)
    faulty = _report(verb, done, benchmarks, skipped)
    print(f"rows, tables and sheets are in {verb.out}", file=sys.stderr)
    return int(faulty or bool(skipped))


def _check(verb: Evaluate) -> None:
    if not verb.models:
        raise ValueError("no model is given; type `latentdepth evaluate builtin:tiny-student --on folder:DIR`")
    if not _words(verb.on):
        raise ValueError("no benchmark is given; type --on nyu,kitti or --on folder:DIR")
    if verb.compare and len(verb.models) < 2:
        raise ValueError("--compare needs two models or more")
    if verb.sheet < 0:
        raise ValueError(f"--sheet is {verb.sheet}; allowed is 0 or more")


def _words(given: Sequence[str]) -> list[str]:
    return [word.strip() for words in given for word in words.split(",") if word.strip()]


def _kinds(verb: Evaluate) -> dict[str, Kind | None]:
    """What every folder of predictions holds, as the user says."""
    from latentdepth.core.types import NORMALS, Invariance, Kind, Quantity

    folders = [word for word in verb.models if word.startswith(_FOLDER)]
    if verb.predicts and len(verb.predicts) not in (1, len(folders)):
        raise ValueError(
            f"--predicts says {len(verb.predicts)} kinds for {len(folders)} folders of predictions; give one for all, "
            "or one for each"
        )
    said: list[Kind | None] = []
    for word in verb.predicts:
        invariance, _, quantity = word.partition("-")
        said.append(NORMALS if word == "normals" else Kind(Quantity(quantity), Invariance(invariance)))
    return dict(zip(folders, said * len(folders) if len(said) == 1 else said or [None] * len(folders), strict=True))


def _benchmarks(verb: Evaluate) -> tuple[list[Benchmark], dict[str, str]]:
    """Those that are here, and what is said of those that are not."""
    from latentdepth.data.benchmarks.catalogue import open_benchmark
    from latentdepth.data.benchmarks.container import Missing
    from latentdepth.data.benchmarks.margin import WithMargin

    here, skipped = [], {}
    for word in _words(verb.on):
        try:
            found = open_benchmark(word, verb.data)
            here.append(WithMargin(found, verb.margin) if verb.margin else found)
        except Missing as error:
            skipped[word] = str(error)
            print(f"skipped: {error}", file=sys.stderr)
    if not here:
        raise ValueError(f"none of the benchmarks is here ({', '.join(skipped)}); see above for what was expected")
    return here, skipped


def _contenders(verb: Evaluate, kinds: Mapping[str, Kind | None]) -> Iterator[Contender]:
    """One at a time, so that one network at most is in memory."""
    from latentdepth.evaluate.baselines import Baseline
    from latentdepth.evaluate.contender import Network
    from latentdepth.evaluate.prediction_folder import PredictionFolder
    from latentdepth.loading import load

    for word in verb.models:
        if word.startswith(_BASELINE):
            yield Baseline.of(word)
        elif word.startswith(_FOLDER):
            folder = Path(word.removeprefix(_FOLDER))
            yield PredictionFolder.open(folder, kinds[word], names=verb.names, unit=verb.unit, resized=verb.resize)
        else:
            predictor = load(word, device=verb.device, dtype=verb.dtype, runtime=verb.runtime)
            yield Network(word, predictor, verb.options, verb.dtype, verb.runtime)


def _sheets(
    verb: Evaluate, contender: Contender, benchmark: Benchmark, rules: Sequence[Rule], rows: Sequence[Row]
) -> None:
    """One sheet a model and benchmark, by the first protocol."""
    from latentdepth.evaluate.sheet import sheet_name, write_sheet

    if verb.sheet and benchmark.facts.truth != "point_pairs":
        path = verb.out / "sheets" / sheet_name(contender.name, benchmark.facts.key)
        try:
            write_sheet(contender, benchmark, rules[0], rows, path, most=verb.sheet)
        except (ValueError, OSError, RuntimeError) as error:  # the figures are there: a picture must not cost them
            print(f"no sheet of {contender.name} on {benchmark.facts.key}: {error}", file=sys.stderr)


def _report(verb: Evaluate, done: Evaluated, benchmarks: Sequence[Benchmark], skipped: Mapping[str, str]) -> bool:
    """Print and write the tables; whether a frame could not be scored."""
    from rich.console import Console

    from latentdepth.evaluate import render, report
    from latentdepth.evaluate.published import published_rows
    from latentdepth.evaluate.summary import comparisons, lines, sources

    summary = lines(done.rows)
    asked = dict.fromkeys((line.benchmark, line.protocol) for line in summary) if verb.with_published else ()
    published = [row for key in asked for row in published_rows(*key)]
    for benchmark, protocol in asked:
        if (benchmark, protocol) not in {(row.data_set, row.protocol) for row in published}:
            print(f"no figure on {benchmark} by protocol {protocol} is known to be published", file=sys.stderr)
    compared = comparisons(done.rows) if verb.compare else []
    titles = {one.facts.key: one.facts.title for one in benchmarks}
    notices = {one.facts.key: one.notice for one in benchmarks if one.notice is not None}
    tables = [
        *report.result_tables(summary, titles, notices=notices, published=published),
        *report.overview_tables(summary, titles),
    ]
    tables += [report.comparison_table(compared)] if compared else []
    tables += report.source_tables(sources(done.rows)) if verb.by_source else []
    about = {"refused": [asdict(one) for one in done.refused], "skipped": dict(skipped), "benchmarks": titles}
    about |= {"notices": notices, "published": [asdict(row) for row in published]}
    render.write_reports(tables, summary, compared, about, verb.out)
    console = Console(width=None if sys.stdout.isatty() else 160)
    for table in tables:
        console.print(render.to_rich(table))
        console.print()
    for one in done.refused:
        print(f"not scored: {one.model} on {one.benchmark}: {one.reason}", file=sys.stderr)
    return any(len(line.scored) < line.frames for line in summary)
