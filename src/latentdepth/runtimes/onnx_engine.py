"""ONNX Runtime as an engine, in float32.

The only file that knows of onnx and onnxruntime.
"""

from __future__ import annotations

import logging
import warnings
from pathlib import Path
from typing import Any

import onnx  # noqa: F401  (torch's exporter needs it and says so late)
import onnxruntime
import torch
from torch import Tensor, nn

from latentdepth.options import Runtime

_OPSET = 18


class OnnxEngine:
    """ONNX Runtime on the processor."""

    runtime: Runtime = "onnx"
    suffix = ".onnx"

    @property
    def version(self) -> str:
        """Of ONNX Runtime."""
        return onnxruntime.__version__

    @property
    def dtypes(self) -> tuple[torch.dtype, ...]:
        """Its kernels for the processor have no bfloat16."""
        return (torch.float32,)

    def write(self, network: nn.Module, example: tuple[Tensor, ...], path: Path) -> None:
        """``path``, with the weights beside it where they pass 2 GB."""
        names = [f"input{i}" for i in range(len(example))]
        axes = {name: {2: "h", 3: "w"} for name, one in zip(names, example, strict=True) if one.ndim == 4}
        log = logging.getLogger("torch.onnx")
        level = log.level
        with warnings.catch_warnings(), torch.no_grad():
            # by tracing, which torch calls deprecated: its successor takes 2 to 40 times as long on these networks
            # (135 s for the small student) and logs what it lacks; the tracer warns of Python branches on shapes, and
            # that both ways agree is measured, at every size
            warnings.simplefilter("ignore")
            log.setLevel(logging.ERROR)
            try:
                torch.onnx.export(
                    network,
                    example,
                    str(path),
                    dynamo=False,
                    input_names=names,
                    output_names=["output"],
                    dynamic_axes=axes | {"output": {2: "h", 3: "w"}},
                    opset_version=_OPSET,
                )
            finally:
                log.setLevel(level)

    def read(self, path: Path, *, dtype: torch.dtype, cache: Path | None) -> OnnxGraph:
        """The network of ``path``; nothing is compiled that would be worth keeping. ValueError for a damaged file."""
        assert dtype is torch.float32
        return OnnxGraph(path)


class OnnxGraph:
    """One network, for every size."""

    def __init__(self, path: Path) -> None:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = torch.get_num_threads()
        options.log_severity_level = 3  # its hints about shapes that it merges are no concern of the user's
        try:
            self.session: Any = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
        except Exception as error:  # its classes of errors have no common one but this
            raise ValueError(f"{path} can't be read ({str(error).splitlines()[0]}); export the model again") from error
        self.names = [one.name for one in self.session.get_inputs()]

    def __call__(self, *inputs: Tensor) -> Tensor:
        given = {name: one.detach().cpu().contiguous().numpy() for name, one in zip(self.names, inputs, strict=True)}
        return torch.from_numpy(self.session.run(None, given)[0]).float()
