"""How long the small student takes for one photo: medians after warm-up, on two threads.

    python benchmarks/student.py [FOLDER] [--threads 2] [--dtype bfloat16]

Without a folder, a student of the recipe's form with random weights: time does not depend on what they are.
"""

from __future__ import annotations

import argparse
import statistics
import time
from pathlib import Path

import torch

from latentdepth.models.student import Student, StudentFacts, folded, load_student
from latentdepth.models.student_predictor import StudentPredictor
from latentdepth.options import PredictOptions

RUNS = 21


def seconds(predictor: StudentPredictor, height: int, width: int, resolution: int) -> list[float]:
    """Times of single predictions at the size that the network sees, after three to warm up."""
    image = torch.rand(1, 3, height, width, generator=torch.Generator().manual_seed(0))
    options = PredictOptions(resolution=resolution, match_input=False)
    taken = []
    for run in range(3 + RUNS):
        began = time.perf_counter()
        predictor(image, options)
        taken += [time.perf_counter() - began] if run >= 3 else []
    return taken


def main() -> None:
    """Print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", nargs="?", type=Path)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--dtype", choices=("float32", "bfloat16"), default="bfloat16")
    asked = parser.parse_args()
    torch.set_num_threads(asked.threads)
    networks = {}
    if asked.folder:
        networks[str(asked.folder)] = load_student(asked.folder)
    else:
        for facts in (StudentFacts(), StudentFacts(encoder="lite2", width=96)):
            networks[f"{facts.encoder}, width {facts.width}"] = Student(facts).eval()
    print(f"| student | the network sees | median of {RUNS}, ms | quartiles, ms |\n|---|---|---|---|")
    for name, network in networks.items():
        ready = folded(network).to(getattr(torch, asked.dtype)).to(memory_format=torch.channels_last)
        predictor = StudentPredictor(ready, name)
        for width, height in ((384, 288), (448, 320), (512, 384), (512, 512), (672, 512)):
            taken = [1000 * s for s in seconds(predictor, height, width, max(width, height))]
            low, middle, high = statistics.quantiles(taken, n=4)
            print(f"| {name} | {width} x {height} | {middle:.0f} | {low:.0f} to {high:.0f} |")


if __name__ == "__main__":
    main()
