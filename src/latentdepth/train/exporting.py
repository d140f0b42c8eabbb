"""From a run's folder to a model folder in the public layout. Knows no training steps."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Literal, TypeAlias

import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor

from latentdepth.config import read_toml
from latentdepth.models.diffusion import EMPTY_PROMPT, load_diffusion
from latentdepth.models.joined_encoder import JoinedEncoder
from latentdepth.models.source import resolve
from latentdepth.models.student import Student, is_student, load_student
from latentdepth.train.checkpoint import Checkpoint, checkpoints, disk_room
from latentdepth.train.config import TrainConfig
from latentdepth.train.ema import posthoc_ema, snapshots, update
from latentdepth.train.runs import build_task
from latentdepth.train.state import moving
from latentdepth.whole import whole_folder

Stored: TypeAlias = Literal["float32", "float16", "bfloat16", "int8"]
"""What weights are written in; int8 with a scale for each output channel, of students alone."""
Rest: TypeAlias = Literal["all", "transformer"]
"""What another student gives beside the run's first blocks: everything, or the transformer's later blocks."""
_DTYPES = {"float32": torch.float32, "float16": torch.float16, "bfloat16": torch.bfloat16, "int8": torch.int8}


def export_checkpoint(
    run: Path,
    out: Path,
    *,
    weights: Literal["saved", "best", "live"] = "saved",
    step: int | None = None,
    ema_width: float | None = None,
    mean_with: str | None = None,
    share: float | None = None,
    rest_from: str | None = None,
    rest: Rest = "all",
    blocks: int | None = None,
    dtype: Stored = "float16",
    overwrite: bool = False,
) -> None:
    """Write the model of ``run`` to ``out``, whole or not at all, after loading it once to see that it does.

    What is no depth model (an autoencoder, an image prior, a teacher) is copied, its weights cast.

    ``ema_width`` makes a power-function average from the run's snapshots instead. ``mean_with`` names a student that
    the run went on from: what is written is the mean of both (arXiv 2109.01903), ``share`` of it the run's (above 0,
    below 1; a half unless given). With ``rest_from``, another, all but the run's first ``blocks`` (8 unless given) of
    the transformer is first taken from it; with ``rest`` "transformer" only the later blocks are. Raises ValueError for
    what is not there, for students of two forms or without such blocks, and for weights that the dtype can't hold.
    """
    if out.exists() and not overwrite:
        raise ValueError(f"{out} exists; say --overwrite to replace it, or give another folder")
    if ema_width is not None and weights != "saved":
        raise ValueError(f"--ema-width makes weights of its own; leave out --weights {weights}")
    if blocks is not None and rest_from is None:
        raise ValueError(f"--blocks {blocks} says what --rest-from leaves of the run; give that, too, or leave it out")
    if rest != "all" and rest_from is None:
        raise ValueError(f"--rest {rest} says what --rest-from gives; give that, too, or leave it out")
    if share is not None and mean_with is None:
        raise ValueError(f"--share {share} is of a mean; give --mean-with, too, or leave it out")
    if share is not None and not 0 < share < 1:
        raise ValueError(f"--share is {share}; allowed is above 0 and below 1: the rest is what --mean-with gives")
    with disk_room(out.parent), whole_folder(out) as fresh:
        source = _source(run, fresh / "rebuilt", weights, step, ema_width)
        if dtype == "int8" and not is_student(source):
            raise ValueError("int8 is for feed-forward students; allowed here are float32, float16 and bfloat16")
        for flag, other in (("--mean-with", mean_with), ("--rest-from", rest_from)):
            if other is not None and not is_student(source):
                raise ValueError(f"{flag} is for feed-forward students, and {run} is another model; leave it out")
        if (source / "model_index.json").exists():
            model = load_diffusion(source, device=torch.device("cpu"), dtype=torch.float32)
            model.save(fresh, dtype=_DTYPES[dtype])
            load_diffusion(fresh, device=torch.device("cpu"), dtype=_DTYPES[dtype])
        elif is_student(source):
            student = load_student(source)
            if rest_from is not None:
                other = _alike("--rest-from", rest_from, student)
                student = _with_rest(student, other, rest, 8 if blocks is None else blocks)
            if mean_with is not None:
                # running averages too
                other = _alike("--mean-with", mean_with, student)
                update(student.state_dict(), other.state_dict(), 0.5 if share is None else share)
            student.save(fresh, dtype=_DTYPES[dtype])
            load_student(fresh)
        else:
            copy_cast(source, fresh, _DTYPES[dtype])
        shutil.rmtree(fresh / "rebuilt", ignore_errors=True)
        if out.exists():
            shutil.rmtree(out)


def _alike(flag: str, name: str, student: Student) -> Student:
    """The student ``name``; ValueError unless it is of the other's form."""
    folder = resolve(name)
    if not is_student(folder):
        raise ValueError(f"{flag} {name} is no feed-forward student of latentdepth; name one that the run went on from")
    other = load_student(folder)
    if replace(other.facts, resolution=student.facts.resolution) != student.facts:  # the run's is kept
        raise ValueError(
            f"{flag} {name} is a student of another form: {other.facts}, and the run's is {student.facts}; "
            "name one that the run went on from"
        )
    return other


def _with_rest(student: Student, other: Student, rest: Rest, blocks: int) -> Student:
    """One of two students of the same form with the first ``blocks`` of ``student`` and the ``rest`` of ``other``."""
    if not (isinstance(other.encoder, JoinedEncoder) and isinstance(student.encoder, JoinedEncoder)):
        raise ValueError(
            f"--rest-from is for students with a transformer of blocks, and this is {student.facts.encoder}"
        )
    first, depth = 1 if rest == "all" else 0, len(other.encoder.blocks)
    if not first <= blocks < depth:
        raise ValueError(f"--blocks is {blocks}; allowed is {first} to {depth - 1}: the rest is what --rest-from gives")
    if rest == "transformer":
        student.encoder.blocks[blocks:].load_state_dict(other.encoder.blocks[blocks:].state_dict())
        return student
    other.encoder.blocks[:blocks].load_state_dict(student.encoder.blocks[:blocks].state_dict())
    return other


def copy_cast(source: Path, target: Path, dtype: torch.dtype) -> None:
    """Copy a folder, weights in ``dtype`` but for the embedded prompt. ValueError where they don't fit into it."""
    for path in sorted(p for p in source.rglob("*") if p.is_file()):
        place = target / path.relative_to(source)
        place.parent.mkdir(parents=True, exist_ok=True)
        if path.suffix != ".safetensors" or path.name == EMPTY_PROMPT:
            shutil.copyfile(path, place)
            continue
        with safe_open(path, framework="pt") as file:
            weights, header = {name: file.get_tensor(name) for name in file.keys()}, file.metadata()  # noqa: SIM118
        cast = {name: w.to(dtype) if w.is_floating_point() else w for name, w in weights.items()}
        for name, weight in cast.items():
            if not bool(torch.isfinite(weight).all()):
                raise ValueError(f"{path}: {name} holds numbers that {dtype} can't; export it as bfloat16 or float32")
        save_file(cast, place, header)


def _source(run: Path, rebuilt: Path, weights: str, step: int | None, ema_width: float | None) -> Path:
    """A folder with the model that was asked for, made in ``rebuilt`` where no checkpoint holds it."""
    if weights == "best":
        if not (run / "best").is_dir():
            raise ValueError(f"{run} has no best model: it was not validated; leave out --weights best")
        return run / "best"
    if ema_width is not None:
        return _rebuilt(run, posthoc_ema(snapshots(run / "ema"), ema_width, step=step), rebuilt)
    chosen = _chosen(run, step)
    if weights == "live":
        return _rebuilt(run, chosen.tensors("weights"), rebuilt)
    return chosen.model


def _chosen(run: Path, step: int | None) -> Checkpoint:
    done = checkpoints(run)
    if not done:
        raise ValueError(f"{run} holds no checkpoint; give a folder that `latentdepth train` wrote")
    found = [one for one in done if step in (None, one.step)]
    if not found:
        raise ValueError(f"{run} has no checkpoint of step {step}; there are {', '.join(str(o.step) for o in done)}")
    return found[-1]


def _rebuilt(run: Path, weights: Mapping[str, Tensor], folder: Path) -> Path:
    """The run's task, built again with other weights, saved."""
    task = build_task(read_toml(TrainConfig, run / "config.toml"))
    wanted = moving(task.network)
    if wanted.keys() != weights.keys():
        raise ValueError(f"the weights of {run} don't fit its config.toml; was that file changed?")
    for name, target in wanted.items():
        target.copy_(weights[name])
    folder.mkdir()
    task.save(folder)
    return folder
