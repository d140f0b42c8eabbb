"""Do adaptive steps and members pay? Error against network evaluations: fixed, adaptive, random, oracle.

    python benchmarks/adaptive.py measure ../shared/data/rgbd --rows adaptive.jsonl
    python benchmarks/adaptive.py report --rows adaptive.jsonl --out docs/images/adaptive
    python benchmarks/adaptive.py time ../shared/data/photos --photos 200

``measure`` runs the embedded diffusion model on at most 20 frames of each source, evenly spread, on one thread: every
fixed step count and every prefix of one ensemble. A controller only ever picks one of these answers, so ``report``
replays all controllers at all thresholds on the same numbers (``adaptive_report``). ``time`` runs the real thing on
photos, fixed and adaptive in turn.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import adaptive_report
import torch
from rich.progress import track

from latentdepth.core.controllers import change
from latentdepth.data.benchmarks.catalogue import open_benchmark
from latentdepth.evaluate.calibrate import measure
from latentdepth.evaluate.protocol import PROTOCOLS
from latentdepth.images import read
from latentdepth.inputs import find_photos
from latentdepth.loading import load
from latentdepth.options import DIFFUSION_MODEL, PredictOptions
from latentdepth.predictor import DiffusionPredictor

_PER_SOURCE = 20


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    verbs = parser.add_subparsers(dest="verb", required=True)
    one = verbs.add_parser("measure", help="run the model on frames with truth")
    one.add_argument("folder", help="folder with a manifest, as of `latentdepth evaluate --on folder:DIR`")
    one.add_argument("--rows", type=Path, required=True, help="where to; frames that are in it are not run again")
    two = verbs.add_parser("report", help="tables and plots from the rows")
    two.add_argument("--rows", type=Path, required=True)
    two.add_argument("--out", type=Path, required=True, help="folder for plots")
    three = verbs.add_parser("time", help="seconds on photos")
    three.add_argument("folder", type=Path)
    three.add_argument("--photos", type=int, default=200)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    if arguments.verb == "measure":
        measure_all(arguments.folder, arguments.rows)
    elif arguments.verb == "report":
        rows = [json.loads(line) for line in arguments.rows.read_text().splitlines()]
        adaptive_report.report(rows, arguments.out)
    else:
        time_all(arguments.folder, arguments.photos)


def embedded() -> DiffusionPredictor:
    loaded = load(DIFFUSION_MODEL, device="cpu")
    assert isinstance(loaded, DiffusionPredictor)
    return loaded


def measure_all(folder: str, path: Path) -> None:
    predictor, benchmark = embedded(), open_benchmark(f"folder:{folder}", Path())
    by_source: dict[str, list[int]] = {}
    for index in range(len(benchmark)):
        by_source.setdefault(benchmark.frame(index).partition("/")[0], []).append(index)
    chosen = [
        rows[k * len(rows) // min(_PER_SOURCE, len(rows))]
        for rows in by_source.values()
        for k in range(min(_PER_SOURCE, len(rows)))
    ]
    done = {json.loads(line)["frame"] for line in path.read_text().splitlines()} if path.exists() else set()
    with path.open("a", encoding="utf-8") as file:
        for index in track(chosen, "measuring"):
            if benchmark.frame(index) in done:
                continue
            found = measure(predictor, benchmark, index, PROTOCOLS["disparity"], PredictOptions())
            if found is not None:
                row = asdict(found) | {"settled": distances(predictor, benchmark[index].image[None])}
                file.write(json.dumps(row) + "\n")
                file.flush()


@torch.inference_mode()
def distances(predictor: DiffusionPredictor, image: torch.Tensor) -> list[float]:
    """How far the median of the first 1, 2, ... members is from that of as many other members as there are at most.

    A reference that shares no member with what is judged: distance to one's own last prefix would shrink by itself.
    """
    most = predictor.adaptive.most_members
    plan = predictor.plan(PredictOptions(members=2 * most))
    stages = predictor.stages(image, plan)
    drawn = stages.draw(0, range(2 * most), plan.steps)
    reference = stages.merge(drawn[:, most:])[0]
    medians = [drawn[:, 0], *(stages.merge(drawn[:, :count])[0] for count in range(2, most + 1))]
    return [float(change(one, reference, stages.merge)) for one in medians]


def time_all(folder: Path, count: int) -> None:
    """CPU seconds a photo, every setting on every photo in turn, photos without truth."""
    predictor = embedded()
    found = find_photos([str(folder)], recursive=True)
    paths = [found[k * len(found) // count] for k in range(count)]
    settings = {
        "1 step, 1 member": PredictOptions(steps=1),
        "8 steps": PredictOptions(steps=8),
        "steps auto, doubling, good": PredictOptions(steps="auto", controller="doubling"),
        "steps auto, convergence, 10%": PredictOptions(steps="auto", controller="convergence", target="10%"),
        "4 members": PredictOptions(members=4),
        "10 members": PredictOptions(members=10),
        "members auto, good": PredictOptions(members="auto"),
        "members auto, 0.7%": PredictOptions(members="auto", target="0.7%"),
    }
    spent: dict[str, list[tuple[float, Any]]] = {name: [] for name in settings}
    for path in track(paths, "timing"):
        photo = read(path).pixels
        for name, options in settings.items():
            start = time.process_time()
            prediction = predictor(photo, replace(options, match_input=False))
            spent[name].append((time.process_time() - start, prediction.made_with))
    print(f"{count} photos of {folder}, one thread, {predictor.model.dtype}; CPU seconds a photo")
    print(f"{'setting':<30} {'median':>7} {'mean':>7} {'95 %':>7} {'calls':>6} {'met':>5}")
    for name, rows in spent.items():
        seconds = sorted(row[0] for row in rows)
        print(
            f"{name:<30} {statistics.median(seconds):>7.3f} {statistics.mean(seconds):>7.3f} "
            f"{seconds[int(0.95 * len(seconds))]:>7.3f} {_calls([row[1] for row in rows]):>6.2f} "
            f"{statistics.mean(bool(row[1].get('target_met', True)) for row in rows):>5.0%}"
        )


def _calls(made: Sequence[Any]) -> float:
    return statistics.mean(int(one.get("network_calls", one["steps"] * one["members"])) for one in made)


if __name__ == "__main__":
    main()
