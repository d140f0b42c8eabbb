"""Peak memory of one side in a process of its own: loads a model, predicts once, prints GiB. Called by ``speed``.

python -m benchmarks.speed_memory dir:FOLDER bfloat16 576 768
"""

from __future__ import annotations

import resource
import sys
from pathlib import Path
from typing import Any

import torch

from latentdepth.loading import load
from latentdepth.options import PredictOptions


def main() -> None:
    model, dtype, height, width = sys.argv[1:]
    name: Any = dtype
    predictor = load(model, device="cpu", dtype=name)
    predictor(torch.rand(1, 3, int(height), int(width)), PredictOptions(steps=1, members=1, resolution=0))
    print(_peak_bytes() / 2**30)


def _peak_bytes() -> int:
    """The most memory that this program had. On Linux ``ru_maxrss`` would begin with that of the program's parent."""
    if sys.platform == "linux":
        lines = Path("/proc/self/status").read_text().splitlines()
        return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM:"))
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


if __name__ == "__main__":
    main()
