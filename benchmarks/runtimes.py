"""The heavy stages on torch, OpenVINO and ONNX Runtime: same weights, same inputs, runs interleaved.

    python benchmarks/runtimes.py diffusion [FOLDER] --size 256x192
    python benchmarks/runtimes.py student [FOLDER] --size 512x384 --size 384x288
    python benchmarks/runtimes.py diffusion --stages step --compile --engines openvino

Layers in 8 bits are calibrated on the samples of `latentdepth demo`. --compile adds torch.compile, by a C++ compiler.

Without a folder: the embedded diffusion model, or a student of the recipe's form with random weights. Prints medians of
the processor's time, which other work on the machine disturbs little, and of the clock's.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
from torch import Tensor, nn

from latentdepth.demo import sample_photos
from latentdepth.models.diffusion import DiffusionModel, load_diffusion
from latentdepth.models.source import resolve
from latentdepth.models.student import Student, StudentFacts, folded, load_student
from latentdepth.models.teacher import is_teacher
from latentdepth.runtimes.comparing import relative_difference
from latentdepth.runtimes.engine import Engine, Quantiser, engine
from latentdepth.runtimes.quantising import calibration
from latentdepth.runtimes.traced import DECODE, ENCODE, STEP, WHOLE, Traceable, example, traceable

Run = Callable[..., Tensor]
BASE = "torch bfloat16"
COMPILED = "torch.compile bfloat16"


def torch_stages(model: DiffusionModel) -> dict[str, Run]:
    """As `latentdepth predict` runs them, on raw tensors."""

    def step(network_in: Tensor, t: Tensor) -> Tensor:
        channels = model.seen_channels
        return model.x0(network_in[:, channels:], t, network_in[:, :channels])

    return {ENCODE: model.condition, STEP: step, DECODE: model.decode}


def student_of(folder: Path | None) -> tuple[Traceable, dict[str, Run]]:
    """The network to export, and torch's bfloat16 of it."""
    with tempfile.TemporaryDirectory() as scratch:
        if folder is None:
            torch.manual_seed(0)
            folder = Path(scratch)
            Student(StudentFacts()).save(folder)
        assert not is_teacher(folder), "a student is wanted"
        network = folded(load_student(folder))
        nn.Module.to(network, torch.device("cpu"), torch.bfloat16, memory_format=torch.channels_last)  # pyright: ignore
        traced = traceable(folder)

    def whole(image: Tensor) -> Tensor:
        return network(image.bfloat16().contiguous(memory_format=torch.channels_last)).value

    return traced, {WHOLE: whole}


@contextmanager
def _engines(traced: Traceable, names: list[str], stage: str, sizes: list[tuple[int, int]]) -> Iterator[dict[str, Run]]:
    """Every engine's graph of one stage; its files last as long as they are used."""
    with tempfile.TemporaryDirectory() as scratch:
        runs: dict[str, Run] = {}
        for name in names:
            found: Engine = engine(name, exports=True)  # pyright: ignore[reportArgumentType]
            path = Path(scratch) / f"{name}-{stage}{found.suffix}"
            began = time.perf_counter()
            found.write(traced.stages[stage], example(stage, traced), path)
            if isinstance(found, Quantiser):
                photos = tuple(sample_photos().values())
                source, path = path, path.with_stem(f"quantised-{stage}")
                found.quantise(source, calibration(traced, sizes, photos)[stage], path)
            print(f"{name}: {stage} exported in {time.perf_counter() - began:.0f} s", flush=True)
            for dtype in found.dtypes:
                word = str(dtype).removeprefix("torch.")
                runs[f"{name} {word}"] = found.read(path, dtype=dtype, cache=None)
        yield runs


def measure(runs: dict[str, Run], inputs: tuple[Tensor, ...], times: int) -> dict[str, tuple[float, float]]:
    """Median seconds of the processor and of the clock, all sides in turn, after one to warm up."""
    taken: dict[str, list[tuple[float, float]]] = {name: [] for name in runs}
    for turn in range(times + 1):
        for name, run in runs.items():
            began = time.process_time(), time.perf_counter()
            run(*inputs)
            if turn:
                taken[name].append((time.process_time() - began[0], time.perf_counter() - began[1]))
    return {name: (statistics.median(a for a, _ in t), statistics.median(b for _, b in t)) for name, t in taken.items()}


def _size(word: str) -> tuple[int, int]:
    width, height = word.split("x")
    return int(width), int(height)


def main() -> None:
    """Print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("diffusion", "student"))
    parser.add_argument("folder", nargs="?", type=Path)
    parser.add_argument("--size", action="append", default=[], metavar="WxH")
    parser.add_argument("--runs", type=int, default=9)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--engines", default="openvino,openvino-int8,onnx")
    parser.add_argument("--stages", help="only these, such as encode,step")
    parser.add_argument("--compile", action="store_true", help="torch.compile beside the others")
    asked = parser.parse_args()
    torch.set_num_threads(asked.threads)
    torch.set_grad_enabled(False)
    cpu = torch.device("cpu")
    if asked.what == "student":
        traced, ours = student_of(asked.folder)
    else:
        folder = asked.folder or resolve("builtin:tiny-diffusion")
        traced = traceable(folder)
        ours = torch_stages(load_diffusion(folder, device=cpu, dtype=torch.bfloat16).freeze())
    rows = []
    sizes = [_size(word) for word in asked.size or ["384x288"]]
    for stage in asked.stages.split(",") if asked.stages else traced.stages:
        with _engines(traced, asked.engines.split(","), stage, sizes) as graphs:
            if asked.compile:
                graphs[COMPILED] = torch.compile(ours[stage], dynamic=False)
            for width, height in sizes:
                photo = torch.rand((1, 3, height, width), generator=torch.Generator().manual_seed(0))
                inputs = traced.inputs(photo)[stage][0]
                wanted = traced.stages[stage](*inputs)
                runs = {BASE: ours[stage], **graphs}
                seconds = measure(runs, inputs, asked.runs)
                for name, (busy, clock) in seconds.items():
                    ratio, by_clock = seconds[BASE][0] / busy, seconds[BASE][1] / clock
                    # torch's step goes on to the clean latent, whose difference is another number
                    own = stage == STEP and name in (BASE, COMPILED)
                    off = "" if own else f"{relative_difference(runs[name](*inputs), wanted):.1e}"
                    rows.append(
                        f"| {stage} {width}x{height} | {name} | {1000 * busy:.0f} | {1000 * clock:.0f} | "
                        f"x{ratio:.2f} | x{by_clock:.2f} | {off} |"
                    )
    print(f"| stage | runtime | processor, ms | clock, ms | x {BASE} by processor | by clock | off float32 |")
    print("|---|---|---|---|---|---|---|", *rows, sep="\n")


if __name__ == "__main__":
    main()
