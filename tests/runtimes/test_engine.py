"""Engines by name, and what is said where their library is missing."""

from __future__ import annotations

import math
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from latentdepth.options import Runtime
from latentdepth.runtimes.artefact import Check, this_processor
from latentdepth.runtimes.comparing import relative_difference
from latentdepth.runtimes.engine import engine


@pytest.mark.parametrize(("runtime", "library"), [("openvino", "openvino"), ("onnx", "onnxruntime")])
def test_a_missing_library_is_named_with_what_to_type(
    runtime: Runtime, library: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if library == "onnxruntime":
        pytest.importorskip("onnx")  # which is looked for first
    monkeypatch.delitem(sys.modules, f"latentdepth.runtimes.{runtime}_engine", raising=False)
    monkeypatch.setitem(sys.modules, library, None)  # how Python marks a module that can't be imported
    with pytest.raises(ValueError, match=rf'{library} is not installed: pip install "latentdepth\[{runtime}\]"'):
        engine(runtime)


def test_torch_needs_no_engine() -> None:
    with pytest.raises(ValueError, match=r"runtime is 'torch'; exported for are: openvino, openvino-int8, onnx"):
        engine("torch")


@pytest.mark.parametrize(("difference", "passed"), [(0.0, True), (0.05, True), (0.051, False), (math.nan, False)])
def test_nan_does_not_pass_a_comparison(difference: float, passed: bool) -> None:
    assert Check("step", 64, 48, "bfloat16", difference, 0.05).passed is passed


def test_relative_difference_by_hand() -> None:
    wanted = torch.tensor([3.0, 4.0])
    assert relative_difference(wanted * 1.1, wanted) == pytest.approx(0.1, rel=1e-6)
    assert math.isnan(relative_difference(torch.tensor([3.0, math.nan]), wanted))


def test_the_processor_says_what_torch_uses() -> None:
    here: Any = this_processor()
    assert torch.backends.cpu.get_cpu_capability().lower() in here.features
    assert ("avx512_bf16" in here.features) is torch.cpu._is_avx512_bf16_supported()


_TWO_GRAPHS = """
import gc, signal, subprocess, sys
from pathlib import Path
import torch
from latentdepth.runtimes.openvino_engine import OpenVinoEngine

engine, path = OpenVinoEngine(), Path(sys.argv[1])
image = torch.rand(1, 3, 8, 8)
engine.write(torch.nn.Conv2d(3, 2, 3), (image,), path)
heard = []
signal.signal(signal.SIGCHLD, lambda *_: heard.append(1))
graphs = [engine.read(path, dtype=torch.float32, cache=None) for _ in range(2)]
for graph in graphs:
    graph(image)
del graph
while graphs:  # the oldest first
    graphs.pop(0)
    gc.collect()
subprocess.run([sys.executable, "-c", ""], check=True)
assert heard
"""


@pytest.mark.skipif(sys.platform == "win32", reason="no SIGCHLD")
def test_signals_are_handled_after_networks_are_let_go(tmp_path: Path) -> None:
    pytest.importorskip("openvino")
    subprocess.run([sys.executable, "-c", _TWO_GRAPHS, str(tmp_path / "small.xml")], check=True)
