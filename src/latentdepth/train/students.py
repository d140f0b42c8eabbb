"""A recipe's feed-forward student: its network, new or from a folder, and its task.

Knows the kinds of networks and where weights start from; losses are the tasks', architectures are in ``models``.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import torch
from torch import nn

from latentdepth.models.dense import DenseNetwork
from latentdepth.models.depth_anything import DepthAnything, is_depth_anything, load_depth_anything, new_depth_anything
from latentdepth.models.feedforward import LiteEncoder, load_imagenet, load_pyramid
from latentdepth.models.joined_encoder import JoinedEncoder
from latentdepth.models.source import resolve
from latentdepth.models.student import Student, StudentFacts, is_student, load_student
from latentdepth.models.teacher import is_teacher
from latentdepth.models.vit_encoder import VitEncoder, load_dinov2_small
from latentdepth.train.config import TrainConfig
from latentdepth.train.distill import Distill, Metric
from latentdepth.train.lora import add_adapters
from latentdepth.train.student_config import TINY_NETWORKS, DistillOptions, MetricOptions, StudentConfig
from latentdepth.train.tiny_networks import channels_last


def build_student(config: TrainConfig) -> Distill | Metric:
    """The task ``distill`` or ``metric`` on its network; random weights come from torch's global generator.

    Raises ValueError for folders that hold no feed-forward network, and weights that don't fit.
    """
    new = config.base.kind == "nothing"
    network = new_network(config.student) if new else load_network(resolve(config.base.model))
    if config.base.resolution is not None:
        work_at(network, config.base.resolution)
    if config.task == "metric":
        network = as_metric(network, config.metric)
    prepared(network, config)
    if config.task == "metric":
        return Metric(network, config.metric)
    free_parts(network, config.distill)
    folder = config.distill.feature_teacher
    teacher = None if folder is None else channels_last(load_network(folder))
    return Distill(network, config.distill, teacher=teacher)


def free_parts(network: DenseNetwork, options: DistillOptions) -> None:
    """Say which parts of an encoder of two learn, where ``options`` has a rate for them; in place.

    Raises ValueError for rates of parts that ``network`` does not have.
    """
    rates = {"transformer_rate": options.transformer_rate or None, "convolution_rate": options.convolution_rate}
    given = [f"distill.{name} is {rate:g}" for name, rate in rates.items() if rate is not None]
    if not given:
        return
    if not isinstance(network, Student) or not isinstance(network.encoder, JoinedEncoder):
        raise ValueError(
            f"{' and '.join(given)}, for lite2+vits students; this is another network, of whose whole encoder "
            "encoder_rate speaks: leave it out"
        )
    if options.transformer_rate > 0:
        blocks = network.encoder.free_transformer(
            matrices=options.transformer_part == "all", first=options.transformer_blocks
        )
        if options.transformer_part == "low_rank":
            add_adapters(blocks, options.transformer_rank)
    if options.convolution_rate == 0:
        network.encoder.lite.requires_grad_(False)


def new_network(student: StudentConfig) -> DenseNetwork:
    """A network whose head, and encoder where no file is named, start at random."""
    if student.encoder is not None and not student.encoder.exists():
        raise ValueError(f"student.encoder: {student.encoder} does not exist; leave it out to start at random")
    if student.network not in TINY_NETWORKS:
        return new_depth_anything(student.network, encoder=student.encoder)
    facts = StudentFacts(
        encoder=student.network, width=student.width, resolution=student.resolution, patch_px=student.patch_px
    )
    network = Student(facts)
    if isinstance(network.encoder, JoinedEncoder):
        if student.start is not None:
            begin_as(network, student.start)
        if student.encoder is not None:
            _load_transformer(network.encoder, student.encoder)
    elif student.encoder is not None and isinstance(network.encoder, VitEncoder):
        load_dinov2_small(network.encoder.transformer, student.encoder)
    elif student.encoder is not None and student.encoder.is_dir():
        network.encoder.load_state_dict(_encoder_of(student.encoder, student.network).state_dict())
    elif student.encoder is not None:
        load_imagenet(network.encoder, student.encoder)
    return network


def begin_as(network: Student, folder: Path) -> None:
    """Give ``network`` (lite2+vits) the weights of the student in ``folder``, and no weight to what lite2 lacks.

    Raises ValueError for a student of another encoder or width.
    """
    smaller = load_student(folder)
    form = (smaller.facts.encoder, smaller.facts.width)
    if form == (network.facts.encoder, network.facts.width):
        network.load_state_dict(smaller.state_dict())
        return
    if form != ("lite2", network.facts.width):
        raise ValueError(
            f"student.start: {folder} is a student with {smaller.facts.encoder}, {smaller.facts.width} channels wide; "
            f"wanted is lite2 or lite2+vits with {network.facts.width}"
        )
    weights = network.state_dict()
    for name, tensor in smaller.state_dict().items():
        place = weights[name.replace("encoder.", "encoder.lite.", 1) if name.startswith("encoder.") else name]
        if place.ndim > 1:
            place.zero_()
            place[:, : tensor.shape[1]] = tensor  # the transformer's channels stand behind the convolutional ones
        else:
            place.copy_(tensor)


def _load_transformer(encoder: JoinedEncoder, folder: Path) -> None:
    if not is_student(folder):
        load_dinov2_small(encoder.transformer, folder)
        return
    taught = load_student(folder).encoder
    if not isinstance(taught, VitEncoder):
        raise ValueError(
            f"student.encoder: {folder} is a student with {taught.size}; wanted is vits, or a DINOv2 folder"
        )
    encoder.transformer.load_state_dict(taught.transformer.state_dict())
    encoder.norms.load_state_dict(taught.norms.state_dict())


def _encoder_of(folder: Path, size: str) -> LiteEncoder:
    """The encoder that a teacher or another student has learnt. Raises ValueError where it is of another size."""
    encoder = load_pyramid(folder).encoder if is_teacher(folder) else load_student(folder).encoder
    if encoder.size != size:
        raise ValueError(
            f"student.encoder: {folder} has the encoder {encoder.size}, and student.network is {size}: give "
            f"--student.network {encoder.size}"
        )
    return encoder


def load_network(folder: Path) -> DenseNetwork:
    """The feed-forward network of a folder, in float32. Raises ValueError for any other folder."""
    if is_student(folder):
        return load_student(folder)
    if is_depth_anything(folder):
        return load_depth_anything(folder)
    raise ValueError(
        f"{folder} holds no feed-forward network that can be trained here: wanted is the model of `latentdepth train "
        "tiny-student`, or a Depth Anything folder of transformers (`latentdepth convert depth-anything` makes one)"
    )


def work_at(network: DenseNetwork, resolution: int) -> None:
    """Let ``resolution`` be the longer side in pixels that a student works at by default; in place.

    Raises ValueError for Depth Anything, whose folders have no such setting, and fewer than 32 pixels.
    """
    if not isinstance(network, Student):
        raise ValueError(f"base.resolution is {resolution}, for small students; this is Depth Anything: leave it out")
    network.facts = replace(network.facts, resolution=resolution)


def as_metric(network: DenseNetwork, options: MetricOptions) -> DenseNetwork:
    """A network in metres whose encoder, or everything, starts as that of ``network``; the rest is random."""
    metric = network.fresh(options.max_depth_m)
    kept = "" if options.start == "everything" else network.encoder_prefix
    metric.load_state_dict({k: v for k, v in network.state_dict().items() if k.startswith(kept)}, strict=False)
    return metric


def prepared(network: nn.Module, config: TrainConfig) -> None:
    """Memory layout, weights' dtype and recomputation, as the recipe's loop asks; in place."""
    channels_last(network)
    if config.loop.weights == "bfloat16":
        network.to(torch.bfloat16)
    if config.loop.recompute:
        if not isinstance(network, DepthAnything):
            raise ValueError(
                "loop.recompute is for Depth Anything; the small students need little memory: leave it out"
            )
        network.model.gradient_checkpointing_enable()
