"""OpenVINO as an engine: its own intermediate representation, compiled for each size on first use.

The only file that knows of openvino.
"""

from __future__ import annotations

import contextlib
import functools
import warnings
from collections import OrderedDict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import openvino
import torch
from torch import Tensor, nn

from latentdepth.options import Runtime

_KEPT = 4
"""Sizes that stay compiled: each holds a copy of the weights in the order that its kernels want."""
_HINT = {torch.float32: "f32", torch.bfloat16: "bf16"}


@functools.cache
def _core() -> openvino.Core:
    """One for the process, never let go.

    Each core gives the thread a stack for signal handlers, and takes its memory away when it goes. Of two that go in
    the order in which they came, the second puts back the stack of the first, and the next Ctrl-C or child's end is a
    segmentation fault.
    """
    return openvino.Core()


@contextlib.contextmanager
def one_core() -> Iterator[openvino.Core]:
    """The process's core, which meanwhile every library gets that asks openvino for one of its own."""
    core = _core()
    made = openvino.Core
    openvino.Core = lambda: core  # pyright: ignore[reportAttributeAccessIssue]
    try:
        yield core
    finally:
        openvino.Core = made


class OpenVinoEngine:
    """OpenVINO on the processor."""

    runtime: Runtime = "openvino"
    suffix = ".xml"

    @property
    def version(self) -> str:
        """Without the build's hash."""
        return openvino.__version__.partition("-")[0]

    @property
    def dtypes(self) -> tuple[torch.dtype, ...]:
        """bfloat16 first, where the processor multiplies in it."""
        able = _core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")
        return (torch.bfloat16, torch.float32) if "BF16" in able else (torch.float32,)

    def write(self, network: nn.Module, example: tuple[Tensor, ...], path: Path) -> None:
        """``path`` and the weights beside it, as .bin. Raises what OpenVINO raises for a network it can't express."""
        with warnings.catch_warnings(), torch.no_grad():
            # the tracer warns of each Python branch on a shape; that both ways agree is measured, at every size
            warnings.simplefilter("ignore")
            # traced here, because OpenVINO's own call compares two traces by the names of their variables as well
            traced = torch.jit.trace(network.eval(), example, strict=False, check_trace=False)
            written = openvino.convert_model(traced, example_input=example)
        # weights in float16 would be half the size and, of a folder in float16, the same; but what the trace computed
        # once is rounded too, and the frequencies of the time step then miss by 0.2 % in the answer
        openvino.save_model(written, path, compress_to_fp16=False)

    def read(self, path: Path, *, dtype: torch.dtype, cache: Path | None) -> OpenVinoGraph:
        """The network of ``path``. Raises ValueError for a damaged file."""
        return OpenVinoGraph(path, _HINT[dtype], cache)


class OpenVinoGraph:
    """One network; the sizes that were asked for last stay compiled."""

    def __init__(self, path: Path, hint: str, cache: Path | None) -> None:
        settings: dict[str, Any] = {
            "INFERENCE_PRECISION_HINT": hint,
            "INFERENCE_NUM_THREADS": torch.get_num_threads(),
            "PERFORMANCE_HINT": "LATENCY",
        }
        # OpenVINO tells networks in its cache apart by their graph, not by the precision: what was compiled in float32
        # would be taken for bfloat16 and give wrong numbers, so that each setting has a folder of its own
        own = None if cache is None else cache / f"{hint}-{settings['INFERENCE_NUM_THREADS']}"
        self.settings = settings if own is None else settings | {"CACHE_DIR": str(own)}
        try:
            self.network = _core().read_model(path)
        except RuntimeError as error:
            raise ValueError(f"{path} can't be read ({str(error).splitlines()[0]}); export the model again") from error
        self.compiled: OrderedDict[tuple[tuple[int, ...], ...], openvino.CompiledModel] = OrderedDict()

    def __call__(self, *inputs: Tensor) -> Tensor:
        shapes = tuple(tuple(one.shape) for one in inputs)
        if shapes not in self.compiled:
            fixed = self.network.clone()
            fixed.reshape({i: list(shape) for i, shape in enumerate(shapes)})
            self.compiled[shapes] = _core().compile_model(fixed, "CPU", self.settings)
            while len(self.compiled) > _KEPT:
                self.compiled.popitem(last=False)
        self.compiled.move_to_end(shapes)
        given: Any = [one.detach().cpu().contiguous().numpy() for one in inputs]
        return torch.from_numpy(self.compiled[shapes](given)[0].copy()).float()
