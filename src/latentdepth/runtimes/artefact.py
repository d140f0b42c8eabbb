"""What was exported, for which weights, library and processor: ``MODEL/runtimes/NAME/artefact.json``.

Decides whether an export still fits. Knows files and hashes, neither engines nor networks.
"""

from __future__ import annotations

import hashlib
import json
import platform
from dataclasses import dataclass
from pathlib import Path

import torch

from latentdepth.config import read_json, to_dict
from latentdepth.models.small_vae import FOLDER as SMALL_VAE
from latentdepth.options import Runtime

FOLDER = "runtimes"
_FILE = "artefact.json"
_FORMAT = 1
_CHUNK_BYTES = 1 << 22


@dataclass(frozen=True)
class Processor:
    """What kernels are chosen by."""

    machine: str
    features: tuple[str, ...]

    def __str__(self) -> str:
        return f"{self.machine} with {', '.join(self.features) or 'no extensions'}"


@dataclass(frozen=True)
class Check:
    """One stage at one size beside torch in float32."""

    stage: str
    width: int
    """Of what the network sees, in pixels of the photo."""
    height: int
    dtype: str
    difference: float
    """Root of the mean squared difference over the root of the mean square of torch's answer."""
    allowed: float

    @property
    def passed(self) -> bool:
        """NaN does not pass."""
        return self.difference <= self.allowed


@dataclass(frozen=True)
class Network:
    """What a predictor must know of a feed-forward network that it doesn't load."""

    stride: int
    resolution: int
    parameters: int
    max_depth_m: float | None = None


@dataclass(frozen=True)
class Artefact:
    """``artefact.json``."""

    format: int
    runtime: Runtime
    version: str
    """Of the runtime's library."""
    weights: str
    """Hash of the model's files."""
    processor: Processor
    size_bytes: int
    """Of the graphs together, so that a cut-off copy is noticed."""
    checks: tuple[Check, ...]
    network: Network | None = None
    """None for a diffusion model, whose folder says all."""
    int8: tuple[str, ...] = ()
    """Stages with layers in 8-bit integers."""
    missed: tuple[Check, ...] = ()
    """Worst comparison of each stage that was too far from torch in int8, and therefore stayed as it was."""

    @property
    def sizes(self) -> tuple[tuple[int, int], ...]:
        """(width, height) that it was checked at."""
        return tuple(dict.fromkeys((one.width, one.height) for one in self.checks))


def this_processor() -> Processor:
    """As torch sees it."""
    able = {
        torch.backends.cpu.get_cpu_capability().lower(): True,
        "avx512_bf16": torch.cpu._is_avx512_bf16_supported(),
        "avx512_vnni": torch.cpu._is_vnni_supported(),
        "amx": torch.cpu._is_amx_tile_supported(),
    }
    return Processor(platform.machine(), tuple(name for name, there in able.items() if there))


def artefact_folder(model: Path, runtime: Runtime) -> Path:
    """Where a model's exports for ``runtime`` lie."""
    return model / FOLDER / runtime


def hash_of(model: Path) -> str:
    """SHA-256 over the names and contents of a model folder's weights and settings.

    ``adaptive.json`` says nothing of the networks and is left out, and so are a small autoencoder, which stays on
    torch, and what was exported.
    """
    found = hashlib.sha256()
    patterns = ("*.safetensors", "*.json", "*/*.safetensors", "*/*.json")
    own = [path for pattern in patterns for path in model.glob(pattern)]
    for path in sorted(own):
        inside = path.relative_to(model)
        if inside.parts[0] in (FOLDER, SMALL_VAE) or path.name == "adaptive.json":
            continue
        found.update(f"{inside.as_posix()}\0{path.stat().st_size}\0".encode())
        with path.open("rb") as file:
            while chunk := file.read(_CHUNK_BYTES):
                found.update(chunk)
    return found.hexdigest()


def new_artefact(
    model: Path,
    runtime: Runtime,
    *,
    version: str,
    graphs: Path,
    checks: tuple[Check, ...],
    network: Network | None,
    int8: tuple[str, ...] = (),
    missed: tuple[Check, ...] = (),
) -> Artefact:
    """For the graphs that lie in ``graphs`` and were just made, here, of ``model``."""
    weights, size_bytes = hash_of(model), _bytes(graphs)
    return Artefact(
        _FORMAT, runtime, version, weights, this_processor(), size_bytes, checks, network, int8=int8, missed=missed
    )


def write_artefact(artefact: Artefact, folder: Path) -> None:
    """``artefact.json``, last of all files: without it there is no export."""
    (folder / _FILE).write_text(json.dumps(to_dict(artefact), indent=2) + "\n", encoding="utf-8")


def read_artefact(model: Path, runtime: Runtime, *, version: str, name: str) -> Artefact:
    """The export of ``model`` that fits here. ``name`` is how messages call the model, ``version`` the library's.

    Raises ValueError, saying what to type, when there is none, it is damaged, of other weights, another version of the
    library or another processor.
    """
    path = artefact_folder(model, runtime) / _FILE
    again = f"type `latentdepth export {name} --runtime {runtime} --overwrite`"
    if not path.is_file():
        raise ValueError(
            f"{name} was not exported for {runtime} ({path.parent} is missing): type "
            f"`latentdepth export {name} --runtime {runtime}`, or leave --runtime out to run on torch"
        )
    try:
        artefact = read_json(Artefact, path)
    except ValueError as error:
        raise ValueError(f"{error}; {again}") from error
    here = this_processor()
    if artefact.format != _FORMAT:
        raise ValueError(f"{path} is of format {artefact.format}, this version reads {_FORMAT}; {again}")
    if artefact.version != version:
        raise ValueError(f"{path.parent} was checked with {runtime} {artefact.version}, here is {version}; {again}")
    if artefact.processor != here:
        raise ValueError(
            f"{path.parent} was checked on another processor ({artefact.processor}), this one is {here}; {again}"
        )
    if _bytes(path.parent) != artefact.size_bytes:
        raise ValueError(f"{path.parent}: files are missing or cut off; {again}")
    if hash_of(model) != artefact.weights:
        raise ValueError(f"{path.parent} is stale: the model's weights or settings changed since; {again}")
    return artefact


def _bytes(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.iterdir() if path.is_file() and path.name != _FILE)
