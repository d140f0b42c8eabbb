"""From a model's name to its predictor: the folder says what kind it is, the machine what it computes with.

The only file that knows every kind of predictor.
"""

from __future__ import annotations

import torch

from latentdepth.auto import read_settings
from latentdepth.models.diffusion import DiffusionModel, load_diffusion
from latentdepth.models.others.load import is_other, load_other
from latentdepth.models.source import SCHEMES, resolve
from latentdepth.models.student import is_student
from latentdepth.models.student_predictor import StudentPredictor, load_student_predictor
from latentdepth.models.teacher import is_teacher, load_teacher_network
from latentdepth.options import DEFAULT_MODEL, Device, Dtype, Runtime
from latentdepth.predictor import DiffusionPredictor, LoadedPredictor
from latentdepth.runtimes.predicting import load_exported


def load(
    name: str = DEFAULT_MODEL, *, device: Device = "auto", dtype: Dtype = "auto", runtime: Runtime = "torch"
) -> LoadedPredictor:
    """A predictor from ``builtin:NAME``, ``dir:PATH`` or ``hub:ORG/REPO[@REV]``; the folder says what kind it is.

    ``diffusers:`` before any of these, or before a path, runs a Marigold folder by diffusers' own pipeline instead,
    the yardstick for ours. A ``runtime`` other than torch takes what `latentdepth export` wrote into the folder.
    Raises ValueError when the name, the folder, the device, the dtype or the export won't do.
    """
    if runtime != "torch":
        return _load_exported(name, runtime, device=device, dtype=dtype)
    where = pick_device(device)
    precision = pick_dtype(dtype, where)
    scheme, _, rest = name.partition(":")
    if scheme == "diffusers":
        folder = resolve(rest if rest.startswith(SCHEMES) else f"dir:{rest}")
        return load_other(folder, device=where, dtype=precision, name=name)
    folder = resolve(name)
    if is_student(folder):
        return load_student_predictor(folder, device=where, dtype=precision, name=name)
    if is_teacher(folder):
        return StudentPredictor(load_teacher_network(folder).to(where, precision), name)
    if is_other(folder):
        return load_other(folder, device=where, dtype=precision, name=name)
    model = load_diffusion(folder, device=where, dtype=precision).freeze()
    return DiffusionPredictor(model, name, read_settings(folder))


def _load_exported(name: str, runtime: Runtime, *, device: Device, dtype: Dtype) -> LoadedPredictor:
    if device not in ("auto", "cpu"):
        raise ValueError(f"device is {device} and runtime {runtime}, which runs on the cpu here: leave one of them out")
    if name.startswith("diffusers:"):
        raise ValueError(f"{name} runs by diffusers' own pipeline; give the folder without diffusers:, or no --runtime")
    folder = resolve(name)
    loaded = load_exported(folder, runtime, dtype=dtype, name=name)
    if isinstance(loaded, DiffusionModel):
        return DiffusionPredictor(loaded, name, read_settings(folder))
    return loaded


def pick_device(device: Device = "auto") -> torch.device:
    """``auto``: cuda, else mps, else cpu. Raises ValueError for a device that is not there."""
    there = {"cpu": True, "cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    if device == "auto":
        return torch.device(next(name for name in ("cuda", "mps", "cpu") if there[name]))
    if not there.get(device, False):
        raise ValueError(f"device is {device!r}; here are: {', '.join(k for k, v in there.items() if v)} (or auto)")
    return torch.device(device)


def pick_dtype(dtype: Dtype, device: torch.device) -> torch.dtype:
    """``auto``: float16 on mps, bfloat16 where the device computes in it, else float32. float16 is refused on a CPU."""
    if dtype == "float16" and device.type == "cpu":
        raise ValueError("dtype is float16 on a CPU, which computes it many times slower; take bfloat16 or float32")
    if dtype != "auto":
        return {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}[dtype]
    if device.type == "mps":
        return torch.float16
    if device.type == "cuda":
        return torch.bfloat16 if torch.cuda.is_bf16_supported() else torch.float16
    return torch.bfloat16 if torch.cpu._is_avx512_bf16_supported() else torch.float32
