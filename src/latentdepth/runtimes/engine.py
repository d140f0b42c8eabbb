"""What runs a network outside torch: write a traced network, read it back as a function of tensors.

One engine is one optional library, imported when it is first asked for. Knows no models and no stages.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Protocol, get_args, runtime_checkable

import torch
from torch import Tensor, nn

from latentdepth.options import Dtype, Runtime

Graph = Callable[..., Tensor]
"""Tensors as the network takes them, batch 1, to its one answer in float32. Compiled for a shape when first seen."""


@runtime_checkable
class Engine(Protocol):
    """One library."""

    runtime: Runtime
    suffix: str
    """Of the file that ``write`` makes; weights may lie beside it under the same stem."""

    @property
    def version(self) -> str:
        """Of the library."""
        ...

    @property
    def dtypes(self) -> tuple[torch.dtype, ...]:
        """What it computes in on this processor, the fastest first."""
        ...

    def write(self, network: nn.Module, example: tuple[Tensor, ...], path: Path) -> None:
        """Trace ``network`` and write it, height and width left open."""
        ...

    def read(self, path: Path, *, dtype: torch.dtype, cache: Path | None) -> Graph:
        """The network of ``path``. ``cache``: a folder for what is compiled, or None to keep nothing."""
        ...


@runtime_checkable
class Quantiser(Engine, Protocol):
    """An engine that can put a network's layers into 8 bits."""

    def check_calibrating(self) -> None:
        """Raises ModuleNotFoundError where the library that does it is missing; predicting needs none."""
        ...

    def quantise(self, source: Path, inputs: Sequence[tuple[Tensor, ...]], path: Path) -> None:
        """The network of ``source``, as ``write`` made it, into ``path``, with ranges from ``inputs``."""
        ...


def engine(runtime: Runtime, *, exports: bool = False) -> Engine:
    """The engine of that name; ``exports`` if it shall write networks, for which some need more than to read them.

    Raises ValueError, saying what to install, where its library is missing.
    """
    try:
        if runtime == "openvino-int8":
            from latentdepth.runtimes.openvino_int8 import OpenVinoInt8Engine

            found = OpenVinoInt8Engine()
            if exports:
                found.check_calibrating()
            return found
        if runtime == "openvino":
            from latentdepth.runtimes.openvino_engine import OpenVinoEngine

            return OpenVinoEngine()
        if runtime == "onnx":
            from latentdepth.runtimes.onnx_engine import OnnxEngine

            return OnnxEngine()
    except ModuleNotFoundError as error:
        if error.name is None or error.name.partition(".")[0] not in ("openvino", "nncf", "onnxruntime", "onnx"):
            raise
        raise ValueError(
            f"runtime is {runtime}, and the library {error.name} is not installed: pip install "
            f'"latentdepth[{runtime}]", or leave --runtime out to run on torch'
        ) from error
    others = ", ".join(name for name in get_args(Runtime) if name != "torch")
    raise ValueError(f"runtime is {runtime!r}; exported for are: {others}. torch needs no export")


def pick_runtime_dtype(dtype: Dtype, found: Engine) -> torch.dtype:
    """``auto``: the fastest that ``found`` has on this processor. Raises ValueError for one that it has not."""
    names = {str(one).removeprefix("torch."): one for one in found.dtypes}
    if dtype == "auto":
        return found.dtypes[0]
    if dtype not in names:
        raise ValueError(f"dtype is {dtype}; {found.runtime} computes on this processor in {' or '.join(names)}")
    return names[dtype]
