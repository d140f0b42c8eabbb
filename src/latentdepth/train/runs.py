"""A recipe made real: base model, task, data, validation; then the loop. Everything that can be wrong is found here.

Knows no losses and no steps: those are the tasks' and the loop's.
"""

from __future__ import annotations

import dataclasses
import glob
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import torch

from latentdepth.config import to_dict
from latentdepth.data.batch import Batch
from latentdepth.data.folders import FolderFrames
from latentdepth.data.frames import Frames
from latentdepth.data.hypersim import HypersimFrames
from latentdepth.data.interiorverse import InteriorVerseFrames
from latentdepth.data.labels import LabelFrames, is_labelled
from latentdepth.data.loader import stream
from latentdepth.data.mixing import MixedBatches, Portion
from latentdepth.data.options import LabelChoice, Target
from latentdepth.data.sample import Sample
from latentdepth.data.shards import ShardFrames
from latentdepth.data.training import PairFrames, PhotoFrames, log_coded_pairs, manifest_pairs
from latentdepth.data.virtual_kitti import CROP, VirtualKittiFrames
from latentdepth.models.diffusion import DiffusionModel, load_diffusion
from latentdepth.models.facts import Facts
from latentdepth.models.guide import guided, load_guide
from latentdepth.models.source import resolve
from latentdepth.models.stable_diffusion import from_stable_diffusion
from latentdepth.models.tiny_vae import load_tiny_vae
from latentdepth.train.alignment import AlignedMarigold
from latentdepth.train.autoencode import Autoencode
from latentdepth.train.config import DataConfig, TrainConfig, ValidateConfig, flat
from latentdepth.train.consistency import Consistency
from latentdepth.train.denoise import Marigold
from latentdepth.train.distill import Distill, Metric
from latentdepth.train.end_to_end import EndToEnd
from latentdepth.train.fit import Fitted, Record, Source, Validated, Validation, fit
from latentdepth.train.latents import LatentBatch
from latentdepth.train.lotus import Lotus
from latentdepth.train.model_task import ModelTask
from latentdepth.train.prior import ImagePrior
from latentdepth.train.regress import Regress, load_teacher, new_teacher
from latentdepth.train.store import SampleViews, Store, StoredBatches, begin_store, digest, encode_views
from latentdepth.train.student_config import FEED_FORWARD
from latentdepth.train.students import build_student
from latentdepth.train.task import Judges, Predicts
from latentdepth.train.tiny_networks import channels_last, model_on, new_vae
from latentdepth.train.validation import collected, measure, whole_views

RecipeTask = ModelTask | Autoencode | Regress | Distill | Metric


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
    assert wanted not in ("log_depth", "sqrt_depth", "metric_depth")  # TrainConfig refuses them
    modality = "depth" if wanted in (None, "photo") else wanted
    folder = resolve(base.model)
    if base.kind == "stable_diffusion":
        switch = config.task == "lotus"
        model = from_stable_diffusion(folder, modality=modality, schedule=base.schedule, switch=switch)
    elif base.kind == "autoencoder":
        channels = 4 if wanted == "photo" else 8  # the noisy latent alone, or beside the photo's
        model = model_on(folder, channels=channels, facts=Facts(modality=modality))
    else:
        model = load_diffusion(folder, device=torch.device("cpu"), dtype=torch.float32)
        if wanted is not None:
            model.facts = dataclasses.replace(model.facts, modality=modality)
    own = {"steps": base.steps, "resolution": base.resolution}
    model.facts = dataclasses.replace(model.facts, **{k: v for k, v in own.items() if v is not None})
    if base.guide is not None:
        model = under_guide(model, base.guide)
    if config.loop.weights == "bfloat16":
        model.to(torch.device("cpu"), torch.bfloat16)
    if config.loop.recompute:
        model.unet.enable_gradient_checkpointing()
    return model


def under_guide(model: DiffusionModel, name: str) -> DiffusionModel:
    """``model`` with a student as its guide, to whose map its U-Net gives no weight yet.

    Raises ValueError for a model that has one already, sees no noise beside the photo, or predicts several pictures.
    """
    facts, channels = model.facts, model.latent_channels
    if model.guide is not None or int(model.unet.config["in_channels"]) != 2 * channels:
        raise ValueError(
            f"base.guide is {name}: the base model has a guide already, or its U-Net sees other than the photo's "
            "latent beside one noisy latent; leave base.guide out"
        )
    guide = load_guide(resolve(name), model.stride)
    unet = guided(model.unet, guide.channels, latent_channels=channels)
    return DiffusionModel(unet, model.vae, model.schedule, model.prompt, facts, guide)


def build_task(config: TrainConfig) -> RecipeTask:
    """The recipe's task on its networks; weights that start at random depend on the seed alone."""
    with torch.random.fork_rng():
        torch.manual_seed(config.loop.seed)  # modules have no generator argument
        if config.task == "autoencode":
            folder = config.autoencode.teacher
            teacher = None if folder is None else channels_last(load_tiny_vae(folder))
            return Autoencode(channels_last(new_vae()), config.autoencode, teacher=teacher)
        if config.task == "regress":
            return Regress(channels_last(new_teacher(config.regress)), config.regress)
        if config.task in FEED_FORWARD:
            return build_student(config)
        model = load_base(config)
        if config.task == "denoise" and config.target.kind == "photo":
            task = ImagePrior(model, config.denoise)
        elif config.task == "denoise" and config.align is not None:
            teacher = channels_last(load_teacher(config.align.teacher))
            task = AlignedMarigold(model, config.denoise, teacher, config.align)
        elif config.task == "denoise":
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
    if not path.exists() and not glob.has_magic(str(path)):
        raise ValueError(
            f"data {data.name}: {path} does not exist; give the folder with --data-root, or change path in the recipe"
        )
    if data.format == "shards":
        frames = ShardFrames(path, name=data.name)
        return LabelFrames(frames, data.labels) if data.labels != LabelChoice() or is_labelled(frames) else frames
    if data.format == "photos":
        return PhotoFrames(path, name=data.name)
    if data.format == "log_coded":
        return PairFrames(log_coded_pairs(path), folder=path, name=data.name)
    if data.format == "manifest":
        chosen = data.manifest
        pairs = manifest_pairs(path, sources=chosen.sources, shipped_only=chosen.shipped_only)
        return PairFrames(pairs, folder=path, name=data.name)
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
    portions = [
        Portion(train, data.weight, data.height, data.width, data.augment, data.target, data.by_teacher)
        for data, (train, _) in zip(config.data, parts, strict=True)
    ]
    target = dataclasses.replace(config.target, kind=config.target.kind or task.kind)
    for data, frames in zip(config.data, opened, strict=True):
        if isinstance(frames, LabelFrames):
            frames.check_target(data.target or target.kind or "depth")
    loop = config.loop
    batches = MixedBatches(portions, batch=loop.micro_batch, seed=loop.seed, target=target, skip_bad=config.skip_bad)
    _check_sides(config, task)
    judged = [dataclasses.replace(p, frames=held) for p, (_, held) in zip(portions, parts, strict=True)]
    judged = judged if config.validate.held_out else []
    judged += [
        Portion(open_frames(data, config.data_root), 1.0, data.height, data.width, kind=data.target)
        for data in config.validate.data
    ]
    validation = validation_on(config.validate, target, judged)
    if dry:
        return None
    counts = {f"data.{i}.samples": len(train) for i, (train, _) in enumerate(parts)}
    if isinstance(task, ModelTask) and any(data.views for data in config.data):
        source = _stored(config, task, portions, target, out / "latents", quiet)
    else:
        source = _read(batches, loop.workers)
    record = Record(config, counts)
    return fit(config.fit, task, source, out, validation=validation, record=record, fresh=fresh, quiet=quiet)


def _read(batches: Callable[[int], Batch], workers: int) -> Source[Any]:
    return lambda indices: stream(batches, indices, workers=workers)


def _stored(
    config: TrainConfig, task: ModelTask, portions: Sequence[Portion], target: Target, folder: Path, quiet: bool
) -> Source[Any]:
    """Micro-batches of views that are encoded first, by all processes together, where that was not done before."""
    loop = config.loop

    def encoded(batch: Batch) -> LatentBatch:
        with torch.autocast(task.device.type, torch.bfloat16, enabled=loop.precision == "bfloat16"):
            return task.encoded(batch)

    def begin(frozen: str) -> None:
        for data, portion in zip(config.data, portions, strict=True):
            facts = {k: v for k, v in flat(to_dict(data)).items() if k not in ("path", "weight", "hold_out")}
            facts |= {"samples": len(portion.frames), "target": to_dict(target), "seed": loop.seed, "frozen": frozen}
            begin_store(folder / data.name, facts)

    def encode(process: int, processes: int) -> None:
        for data, portion in zip(config.data, portions, strict=True):
            views = SampleViews(portion, target, data.views, loop.seed)
            encode_views(
                views,
                encoded,
                folder / data.name,
                process=process,
                processes=processes,
                workers=loop.workers,
                quiet=quiet or process > 0,
            )

    def source(indices: Sequence[int]) -> Iterable[LatentBatch]:
        several = torch.distributed.is_available() and torch.distributed.is_initialized()
        process, processes = (torch.distributed.get_rank(), torch.distributed.get_world_size()) if several else (0, 1)
        if process == 0:
            begin(digest(task.frozen))
        if several:
            torch.distributed.barrier()
        encode(process, processes)
        if several:
            torch.distributed.barrier()
        stores = tuple(Store(folder / data.name) for data in config.data)
        weights = tuple(data.weight for data in config.data)
        return map(StoredBatches(stores, weights, loop.micro_batch, loop.seed), indices)

    return source


def validation_on(options: ValidateConfig, target: Target, sets: Sequence[Portion]) -> Validation | None:
    """Evenly spaced frames of all sets; None where there are none."""
    places = [(portion, i) for portion in sets for i in range(len(portion.frames))]
    if not places:
        return None
    count = min(options.frames, len(places))
    chosen = [places[k * len(places) // count] for k in range(count)]
    return Validation(options.every, partial(_measured, chosen, target, options.pictures))


def _measured(
    chosen: Sequence[tuple[Portion, int]], target: Target, pictures: int, task: Judges | Predicts
) -> Validated:
    if isinstance(task, Judges):
        return collected(map(task.judge, whole_views(chosen, target)), pictures=pictures)
    return measure(task, (portion.frames[i] for portion, i in chosen), pictures=pictures)


def _check_sides(config: TrainConfig, task: RecipeTask) -> None:
    step, least = task.sides_px
    for data in config.data:
        for key, pixels in (("height", data.height), ("width", data.width)):
            if pixels % step:
                raise ValueError(f"data {data.name}: {key} is {pixels}; this model's network needs multiples of {step}")
            if pixels < least:
                raise ValueError(
                    f"data {data.name}: {key} is {pixels}; this model's network needs at least {least} pixels"
                )
