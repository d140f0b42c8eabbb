"""A recipe made real: base model, task, data, validation; then the loop. Everything that can be wrong is found here.

Knows no losses and no steps: those are the tasks' and the loop's.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from pathlib import Path

import torch

from latentdepth.data.batch import Batch
from latentdepth.data.folders import FolderFrames
from latentdepth.data.frames import Frames
from latentdepth.data.hypersim import HypersimFrames
from latentdepth.data.interiorverse import InteriorVerseFrames
from latentdepth.data.loader import stream
from latentdepth.data.mixing import MixedBatches, Portion
from latentdepth.data.sample import Sample
from latentdepth.data.shards import ShardFrames
from latentdepth.data.virtual_kitti import CROP, VirtualKittiFrames
from latentdepth.models.diffusion import DiffusionModel, load_diffusion
from latentdepth.models.source import resolve
from latentdepth.models.stable_diffusion import from_stable_diffusion
from latentdepth.train.config import DataConfig, TrainConfig
from latentdepth.train.consistency import Consistency
from latentdepth.train.denoise import Marigold
from latentdepth.train.end_to_end import EndToEnd
from latentdepth.train.fit import Fitted, Record, Validated, Validation, fit
from latentdepth.train.lotus import Lotus
from latentdepth.train.model_task import ModelTask
from latentdepth.train.task import Predicts
from latentdepth.train.validation import measure


class Part:
    """Samples ``start`` to ``stop`` of a data set, under its name."""

    def __init__(self, frames: Frames, start: int, stop: int) -> None:
        self.frames, self.start, self.stop = frames, start, stop
        self.name = frames.name

    def __len__(self) -> int:
        return self.stop - self.start

    def __getitem__(self, index: int) -> Sample:
        return self.frames[self.start + index]


def load_base(config: TrainConfig) -> DiffusionModel:
    """The model that training starts from, on the CPU, with the target's modality among its facts."""
    base, wanted = config.base, config.target.kind
    assert wanted not in ("log_depth", "sqrt_depth")  # TrainConfig refuses them
    folder = resolve(base.model)
    if base.kind == "stable_diffusion":
        switch = config.task == "lotus"
        model = from_stable_diffusion(
            folder, modality=wanted or "depth", schedule=base.schedule, switch=switch, resolution=base.resolution
        )
    else:
        model = load_diffusion(folder, device=torch.device("cpu"), dtype=torch.float32)
        if wanted is not None:
            model.facts = dataclasses.replace(model.facts, modality=wanted)
    if config.loop.weights == "bfloat16":
        model.to(torch.device("cpu"), torch.bfloat16)
    if config.loop.recompute:
        model.unet.enable_gradient_checkpointing()
    return model


def build_task(config: TrainConfig) -> ModelTask:
    """The recipe's task on its base model; weights that start at random depend on the seed alone."""
    with torch.random.fork_rng():
        torch.manual_seed(config.loop.seed)  # modules have no generator argument
        model = load_base(config)
        if config.task == "denoise":
            task = Marigold(model, config.denoise)
        elif config.task == "end_to_end":
            task = EndToEnd(model, config.end_to_end)
        elif config.task == "consistency":
            task = Consistency(model, config.consistency)
        else:
            task = Lotus(model, config.lotus)
        if config.lora is not None:
            task.adapt(config.lora)
    return task


def open_frames(data: DataConfig, root: Path) -> Frames:
    """The data set; its reader names what is missing. ValueError for a path that is not there."""
    path = root / data.path
    listed = None if data.list_file is None else root / data.list_file
    if not path.exists() and "*" not in str(path):
        raise ValueError(
            f"data {data.name}: {path} does not exist; give the folder with --data-root, or change path in the recipe"
        )
    if data.format == "shards":
        return ShardFrames(path, name=data.name)
    if data.format == "folder":
        return FolderFrames(path, name=data.name, split=listed)
    if data.format == "hypersim":
        return HypersimFrames(path, split=data.split, list_file=listed, name=data.name)
    if data.format == "vkitti2":
        return VirtualKittiFrames(
            path,
            split=data.split,
            list_file=listed,
            crop=CROP if data.crop else None,
            sky=data.sky,
            name=data.name,
        )
    return InteriorVerseFrames(path, split=data.split, list_file=listed, name=data.name)


def parted(data: DataConfig, frames: Frames) -> tuple[Frames, Frames]:
    """What is trained on and what is held out. No scene stands on both sides: the border moves to a scene's start."""
    if data.hold_out == 0:
        return frames, Part(frames, len(frames), len(frames))
    border = len(frames) - data.hold_out
    while border > 0 and (group := frames[border].group) and group == frames[border - 1].group:
        border -= 1
    if border <= 0:
        raise ValueError(
            f"data {data.name}: hold_out is {data.hold_out} of {len(frames)} samples, which leaves none to train on "
            "(samples of one scene stay together); lower it"
        )
    return Part(frames, 0, border), Part(frames, border, len(frames))


def run(
    config: TrainConfig, out: Path, *, fresh: bool = False, quiet: bool = False, dry: bool = False
) -> Fitted | None:
    """Check everything that the recipe names, then train in ``out``; ``dry`` stops before the first step.

    Raises ValueError for what the recipe, its data or an earlier run in ``out`` has wrong.
    """
    if not config.data:
        raise ValueError("the recipe names no data; add a [[data]] table with name, path and format")
    opened = [open_frames(data, config.data_root) for data in config.data]
    parts = [parted(data, frames) for data, frames in zip(config.data, opened, strict=True)]
    task = build_task(config)
    kind = task.model.facts.modality
    portions = [
        Portion(train, data.weight, data.height, data.width, data.augment)
        for data, (train, _) in zip(config.data, parts, strict=True)
    ]
    target = dataclasses.replace(config.target, kind=kind)
    loop = config.loop
    batches = MixedBatches(portions, batch=loop.micro_batch, seed=loop.seed, target=target, skip_bad=config.skip_bad)
    _check_stride(config, task.model)
    judged = [held for _, held in parts] if config.validate.held_out else []
    judged += [open_frames(data, config.data_root) for data in config.validate.data]
    validation = _validation(config, [frames for frames in judged if len(frames)])
    if dry:
        return None
    counts = {f"data.{i}.samples": len(train) for i, (train, _) in enumerate(parts)}
    source = partial(_read, batches, loop.workers)
    record = Record(config, counts)
    return fit(config.fit, task, source, out, validation=validation, record=record, fresh=fresh, quiet=quiet)


def _read(batches: Callable[[int], Batch], workers: int, indices: Sequence[int]) -> Iterable[Batch]:
    return stream(batches, indices, workers=workers)


def _validation(config: TrainConfig, sets: Sequence[Frames]) -> Validation | None:
    """Evenly spaced frames of all sets; None where there are none."""
    places = [(frames, i) for frames in sets for i in range(len(frames))]
    if not places:
        return None
    count = min(config.validate.frames, len(places))
    chosen = [places[k * len(places) // count] for k in range(count)]
    return Validation(config.validate.every, partial(_measured, chosen, config.validate.pictures))


def _measured(chosen: Sequence[tuple[Frames, int]], pictures: int, task: Predicts) -> Validated:
    return measure(task, (frames[i] for frames, i in chosen), pictures=pictures)


def _check_stride(config: TrainConfig, model: DiffusionModel) -> None:
    deepest = model.stride * 2 ** (len(model.unet.config["block_out_channels"]) - 1)
    for data in config.data:
        for key, pixels in (("height", data.height), ("width", data.width)):
            if pixels % model.stride:
                raise ValueError(
                    f"data {data.name}: {key} is {pixels}; this model's autoencoder needs multiples of {model.stride}"
                )
            if pixels < deepest:
                raise ValueError(
                    f"data {data.name}: {key} is {pixels}; this model's network needs at least {deepest} pixels"
                )
