"""Peak memory of one side in a process of its own: loads a model, predicts once, prints GiB. Called by ``speed``.

python -m benchmarks.speed_memory dir:FOLDER bfloat16 576 768
"""

from __future__ import annotations

import resource
import sys
from typing import Any

import torch

from latentdepth.loading import load
from latentdepth.options import PredictOptions


def main() -> None:
    model, dtype, height, width = sys.argv[1:]
    name: Any = dtype
    predictor = load(model, device="cpu", dtype=name)
    predictor(torch.rand(1, 3, int(height), int(width)), PredictOptions(steps=1, members=1, resolution=0))
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
    print(most / 2**30)


if __name__ == "__main__":
    main()
