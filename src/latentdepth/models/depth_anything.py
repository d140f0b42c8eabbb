"""Depth Anything V2 at full size through transformers: its configurations, its network, its folder.

DINOv2 encoder and DPT head (arXiv 2406.09414). A folder is what transformers and upstream tools load: ``config.json``,
``model.safetensors``, ``preprocessor_config.json``. Checkpoints in the authors' own layout are ``depth_anything_keys``.
Knows no losses and no options.
"""

from __future__ import annotations

import contextlib
import copy
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeAlias

import torch
from jaxtyping import Float
from torch import Tensor
from transformers import (
    DepthAnythingConfig,
    DepthAnythingForDepthEstimation,
    Dinov2Backbone,
    Dinov2Config,
)
from transformers.utils import logging

from latentdepth.models.dense import DenseNetwork, Seen

DepthAnythingSize: TypeAlias = Literal["small", "base", "large", "giant"]
CLASS_NAME = "DepthAnythingForDepthEstimation"
PATCH_PX = 14
SEEN_PX = 518
"""Shorter side that the published networks see; 37 patches."""
IMAGENET_MEAN, IMAGENET_SPREAD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


@dataclass(frozen=True)
class Form:
    """What the sizes differ in."""

    hidden: int
    layers: int
    heads: int
    taps: tuple[int, int, int, int]
    """Blocks, counted from 1, whose output enters the head."""
    neck: tuple[int, int, int, int]
    """Channels of the four reassembled maps."""
    fusion: int
    """Channels of the fusion blocks."""
    swiglu: bool = False
    """Feed-forward layers of the giant encoder."""
    grid_px: int = SEEN_PX
    """Side of the picture whose patches have learnt positions."""
    head: int = 32
    """Channels of the last layer but one."""


FORMS: dict[DepthAnythingSize, Form] = {
    "small": Form(384, 12, 6, (3, 6, 9, 12), (48, 96, 192, 384), 64),
    "base": Form(768, 12, 12, (3, 6, 9, 12), (96, 192, 384, 768), 128),
    "large": Form(1024, 24, 16, (5, 12, 18, 24), (256, 512, 1024, 1024), 256),
    "giant": Form(1536, 40, 24, (10, 20, 30, 40), (1536, 1536, 1536, 1536), 384, swiglu=True),
}


def encoder_configuration(form: Form, *, patch_px: int = PATCH_PX, **other: Any) -> Dinov2Config:
    """transformers' configuration of the DINOv2 encoder; with other patches the grid of learnt positions stays."""
    construct: Any = Dinov2Config  # its signature leaves out what its parents take
    facts: dict[str, Any] = {
        "hidden_size": form.hidden,
        "num_hidden_layers": form.layers,
        "num_attention_heads": form.heads,
        "image_size": form.grid_px // PATCH_PX * patch_px,
        "patch_size": patch_px,
        "use_swiglu_ffn": form.swiglu,
        "out_indices": list(form.taps),
        "reshape_hidden_states": False,
    }
    return construct(**(facts | other))


def configuration(form: Form, *, max_depth_m: float | None = None) -> DepthAnythingConfig:
    """transformers' configuration; ``max_depth_m`` makes it metric. Raises ValueError for a part of a metre."""
    metric: dict[str, Any] = {}
    if max_depth_m is not None:
        metric = {"depth_estimation_type": "metric", "max_depth": _whole_metres(max_depth_m)}
    return DepthAnythingConfig(
        backbone_config=encoder_configuration(form),
        patch_size=PATCH_PX,
        reassemble_hidden_size=form.hidden,
        neck_hidden_sizes=list(form.neck),
        fusion_hidden_size=form.fusion,
        head_hidden_size=form.head,
        **metric,
    )


def _whole_metres(max_depth_m: float) -> int:
    # transformers' configuration holds an integer
    if max_depth_m != int(max_depth_m) or max_depth_m < 1:
        raise ValueError(
            f"max_depth_m is {max_depth_m}; Depth Anything's configuration allows whole metres of 1 or more"
        )
    return int(max_depth_m)


class DepthAnything(DenseNetwork):
    """transformers' network behind the common signature: photos in [0, 1], sides multiples of 14."""

    encoder_prefix = "model.backbone."
    stride = PATCH_PX
    mean: Tensor
    spread: Tensor

    def __init__(self, model: DepthAnythingForDepthEstimation) -> None:
        super().__init__()
        self.model = model
        # neither has a part in the output, and weights without a gradient stop training on several GPUs
        model.backbone.embeddings.mask_token.requires_grad_(False)
        model.neck.fusion_stage.layers[0].residual_layer1.requires_grad_(False)
        # the published processors stretch the shorter side to 518, which is about this longer side of a 4 : 3 photo
        self._resolution = 49 * PATCH_PX
        self.register_buffer("mean", torch.tensor(IMAGENET_MEAN)[:, None, None], persistent=False)
        self.register_buffer("spread", torch.tensor(IMAGENET_SPREAD)[:, None, None], persistent=False)

    @property
    def resolution(self) -> int:
        """Longer side in pixels that the network sees in validation; a saved folder states 518 for the shorter."""
        return self._resolution

    @property
    def max_depth_m(self) -> float | None:
        """Of a metric network."""
        config: Any = self.model.config
        return float(config.max_depth) if config.depth_estimation_type == "metric" else None

    def _maps(self, image: Float[Tensor, "n 3 h w"]) -> tuple[Tensor, ...]:
        normed = (image - self.mean) / self.spread
        return self.model.backbone.forward_with_filtered_kwargs(normed).feature_maps

    def features(self, image: Float[Tensor, "n 3 h w"]) -> Float[Tensor, "n c hf wf"]:
        """The last block's patches as a map, at stride 14."""
        return _as_map(self._maps(image)[-1], image)

    def forward(self, image: Float[Tensor, "n 3 h w"]) -> Seen:
        """Sides are multiples of 14."""
        maps = self._maps(image)
        rows, columns = image.shape[-2] // PATCH_PX, image.shape[-1] // PATCH_PX
        value = self.model.head(self.model.neck(maps, rows, columns), rows, columns)
        return Seen(value[:, None].float(), _as_map(maps[-1], image))

    def fresh(self, max_depth_m: float | None) -> DepthAnything:
        """The same form with random weights."""
        config = copy.deepcopy(self.model.config)
        config.depth_estimation_type = "relative" if max_depth_m is None else "metric"
        config.max_depth = _whole_metres(max_depth_m) if max_depth_m is not None else 1
        return DepthAnything(DepthAnythingForDepthEstimation(config))

    def save(self, folder: Path) -> None:
        """A plain transformers folder, with the settings of the published image processor."""
        folder.mkdir(parents=True, exist_ok=True)
        with _no_bars():
            self.model.save_pretrained(folder)
        (folder / "preprocessor_config.json").write_text(json.dumps(PROCESSOR, indent=2) + "\n")


PROCESSOR = {
    "image_processor_type": "DPTImageProcessor",
    "do_resize": True,
    "size": {"height": SEEN_PX, "width": SEEN_PX},
    "keep_aspect_ratio": True,
    "ensure_multiple_of": PATCH_PX,
    "resample": 3,
    "do_rescale": True,
    "rescale_factor": 1 / 255,
    "do_normalize": True,
    "image_mean": list(IMAGENET_MEAN),
    "image_std": list(IMAGENET_SPREAD),
    "do_pad": False,
}
"""The published ``preprocessor_config.json``: shorter side 518, bicubic, ImageNet's mean and spread."""


def _as_map(tokens: Float[Tensor, "n t c"], image: Float[Tensor, "n 3 h w"]) -> Float[Tensor, "n c hf wf"]:
    rows, columns = image.shape[-2] // PATCH_PX, image.shape[-1] // PATCH_PX
    return tokens[:, 1:].transpose(1, 2).unflatten(2, (rows, columns))


def is_depth_anything(folder: Path) -> bool:
    """Whether ``config.json`` of ``folder`` names transformers' Depth Anything."""
    try:
        config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    except (OSError, json.JSONDecodeError, UnicodeDecodeError):
        return False
    return isinstance(config, dict) and config.get("architectures") == [CLASS_NAME]


def new_depth_anything(
    form: DepthAnythingSize | Form, *, encoder: Path | None = None, max_depth_m: float | None = None
) -> DepthAnything:
    """A network with random weights from torch's global generator; ``encoder``: a DINOv2 folder that it starts from.

    Raises ValueError for a folder of another size, with registers, or without safetensors.
    """
    form = FORMS[form] if isinstance(form, str) else form
    network = DepthAnything(DepthAnythingForDepthEstimation(configuration(form, max_depth_m=max_depth_m)))
    if encoder is not None:
        load_dinov2(network, encoder)
    return network


def load_dinov2(network: DepthAnything, folder: Path) -> None:
    """Put the weights of a transformers DINOv2 folder into the encoder, in place.

    Raises ValueError as ``read_dinov2`` does.
    """
    network.model.backbone.load_state_dict(read_dinov2(folder, network.model.backbone.config).state_dict())


def read_dinov2(folder: Path, wanted: Dinov2Config) -> Dinov2Backbone:
    """The network of a transformers DINOv2 folder.

    Raises ValueError for a folder that is no DINOv2 without registers, of another size than ``wanted``, or without
    safetensors.
    """
    path = folder / "config.json"
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, json.JSONDecodeError, UnicodeDecodeError) as error:
        raise ValueError(f"{path}: can't be read ({error}); give the folder of a DINOv2 of transformers") from error
    if config.get("model_type") != "dinov2":
        raise ValueError(f"{path}: model_type is {config.get('model_type')!r}; wanted is 'dinov2', without registers")
    for key in ("hidden_size", "num_hidden_layers", "use_swiglu_ffn", "image_size"):
        theirs = config.get(key, getattr(Dinov2Config(), key))
        if theirs != getattr(wanted, key):
            raise ValueError(f"{path}: {key} is {theirs}; this network needs {getattr(wanted, key)}")
    return _from_pretrained(Dinov2Backbone, folder)


def load_depth_anything(folder: Path) -> DepthAnything:
    """The network of a transformers folder, in float32. Raises ValueError for missing or unusable weights."""
    return DepthAnything(_from_pretrained(DepthAnythingForDepthEstimation, folder)).eval()


@contextlib.contextmanager
def _no_bars() -> Iterator[None]:
    """transformers draws bars over files that take no time, into those of training."""
    shown = logging.is_progress_bar_enabled()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        if shown:
            logging.enable_progress_bar()


def _from_pretrained(kind: Any, folder: Path) -> Any:
    """Every weight in place and finite; a partly filled network would predict noise and say nothing."""
    if not any(folder.glob("*.safetensors")):
        raise ValueError(
            f"{folder} holds no safetensors; pickled weights are never opened from a folder: convert an original .pth "
            "by `latentdepth convert depth-anything`"
        )
    try:
        with _no_bars():
            network, report = kind.from_pretrained(
                folder, dtype=torch.float32, use_safetensors=True, local_files_only=True, output_loading_info=True
            )
    except Exception as error:  # the many ways in which a file can be damaged end in as many exceptions
        raise ValueError(f"{folder}: transformers can't load {kind.__name__}: {error}") from error
    for what in ("missing_keys", "mismatched_keys"):
        if report[what]:
            some = ", ".join(str(key) for key in sorted(report[what], key=str)[:3])
            raise ValueError(f"{folder}: {len(report[what])} weights of {kind.__name__} are {what[:-5]}: {some} ...")
    for name, tensor in network.state_dict().items():
        if not bool(torch.isfinite(tensor).all()):
            raise ValueError(f"{folder}: {name} holds NaN or infinity; these weights can't be used")
    return network
