"""The small feed-forward student: EfficientNet-Lite encoder, a dense prediction head, and its folder.

The head is that of DPT (arXiv 2103.13413, as in Depth Anything V2, 2406.09414): fusion blocks of residual units from
coarse to fine, here with batch norms, a scene vector and the encoder's stem at stride 2. The last factor of two is a
learnt convex combination of neighbours (RAFT, arXiv 2003.12039), which keeps edges that bilinear interpolation blurs.
A folder is ``config.json`` and ``model.safetensors``. Knows no losses, no options and no photos' files.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal, TypeAlias, TypeVar

import torch
from jaxtyping import Float
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.nn import functional as F

from latentdepth.config import read_json, to_dict
from latentdepth.models.dense import DenseNetwork, Seen
from latentdepth.models.feedforward import STEM_CHANNELS, LiteEncoder, LiteSize, batch_norm
from latentdepth.models.packed import packed, unpacked

ARCHITECTURE = "latentdepth student"
EncoderSize: TypeAlias = LiteSize | Literal["vits", "lite2+vits"]
FUSED_STRIDES = (4, 8, 16, 32)
"""Strides that the head has a map at."""
_WEIGHTS = "model.safetensors"


@dataclass(frozen=True)
class StudentFacts:
    """What ``config.json`` says."""

    architecture: str = ARCHITECTURE
    encoder: EncoderSize = "lite0"
    width: int = 64
    """Channels of the head."""
    resolution: int = 384
    """Longer side in pixels that the network sees when none is asked for."""
    patch_px: int = 16
    """lite2+vits only: pixels of the photo for each patch that the transformer sees, 8 to 16."""
    max_depth_m: float | None = None
    """The depth that a metric student's largest output stands for; None: affine-invariant disparity."""

    def __post_init__(self) -> None:
        if self.architecture != ARCHITECTURE:
            raise ValueError(f"architecture is {self.architecture!r}; allowed is {ARCHITECTURE!r}")
        if self.width < 8 or self.width % 2:
            raise ValueError(f"width is {self.width}; allowed are even numbers of 8 or more")
        if self.resolution < 32:
            raise ValueError(f"resolution is {self.resolution}; allowed is 32 or more")
        if not 8 <= self.patch_px <= 16:
            raise ValueError(f"patch_px is {self.patch_px}; allowed is 8 to 16")
        if self.patch_px != 16 and self.encoder != "lite2+vits":
            raise ValueError(
                f"patch_px is {self.patch_px}, and the encoder is {self.encoder}; only that of lite2+vits has a choice"
            )
        if self.max_depth_m is not None and not self.max_depth_m > 0:
            raise ValueError(f"max_depth_m is {self.max_depth_m}; allowed is a number of metres above 0")


def _conv3(inputs: int, outputs: int) -> tuple[nn.Module, nn.Module]:
    return nn.Conv2d(inputs, outputs, 3, padding=1, bias=False), batch_norm(outputs)


def new_encoder(size: EncoderSize, patch_px: int) -> Any:
    """A ``LiteEncoder``, a ``VitEncoder`` or both, with random weights."""
    if size == "lite0" or size == "lite1" or size == "lite2":
        return LiteEncoder(size)
    # transformers takes seconds to import
    if size == "vits":
        from latentdepth.models.vit_encoder import VitEncoder

        return VitEncoder()
    from latentdepth.models.joined_encoder import JoinedEncoder

    return JoinedEncoder("lite2", patch_px)


class _Residual(nn.Module):
    """x plus two normalised convolutions of it, activation first."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.ReLU(), *_conv3(width, width), nn.ReLU(), *_conv3(width, width))

    def forward(self, x: Tensor) -> Tensor:
        return x + self.body(x)


class Student(DenseNetwork):
    """Photo in [0, 1] to affine-invariant disparity (greater is nearer) or metres, same size, float32."""

    encoder_prefix = "encoder."
    stride = 32
    mean: Tensor
    spread: Tensor

    def __init__(self, facts: StudentFacts | None = None) -> None:
        super().__init__()
        self.facts = facts or StudentFacts()
        width, half = self.facts.width, self.facts.width // 2
        self.encoder = new_encoder(self.facts.encoder, self.facts.patch_px)
        channels = self.encoder.channels
        self.reassemble = nn.ModuleList(
            nn.Sequential(nn.Conv2d(c, width, 1, bias=False), batch_norm(width)) for c in channels
        )
        self.scene = nn.Conv2d(channels[-1], width, 1)  # what the whole image says, added everywhere
        self.skip = nn.ModuleList(_Residual(width) for _ in channels)
        self.fuse = nn.ModuleList(_Residual(width) for _ in channels)
        self.narrow = nn.Sequential(*_conv3(width, half))
        self.fine = nn.Sequential(nn.Conv2d(STEM_CHANNELS, half, 1, bias=False), batch_norm(half))
        self.last = nn.Sequential(nn.ReLU(), *_conv3(half, half), nn.ReLU())
        self.value = nn.Conv2d(half, 1, 3, padding=1)
        self.neighbours = nn.Conv2d(half, 4 * 9, 1)  # for each of 2 x 2 finer pixels, weights of 3 x 3 coarser ones
        self.register_buffer("mean", torch.tensor(self.encoder.mean)[:, None, None], persistent=False)
        self.register_buffer("spread", torch.tensor(self.encoder.spread)[:, None, None], persistent=False)

    @property
    def resolution(self) -> int:
        """Longer side in pixels that the network sees when none is asked for."""
        return self.facts.resolution

    @property
    def max_depth_m(self) -> float | None:
        """Of a metric student."""
        return self.facts.max_depth_m

    def features(self, image: Float[Tensor, "n 3 h w"]) -> Float[Tensor, "n c hf wf"]:
        """The encoder's map at stride 32."""
        return self.encoder((image - self.mean) / self.spread)[-1]

    def forward(self, image: Float[Tensor, "n 3 h w"]) -> Seen:
        """Any size of at least 32 x 32; the features have stride 32."""
        stem, *taps = self.encoder.with_stem((image - self.mean) / self.spread)
        x = self._fused(taps, finest=0)
        x = F.interpolate(self.narrow(x), stem.shape[-2:], mode="bilinear") + self.fine(stem)
        x = self.last(x)
        height, width = image.shape[-2:]
        fine = convex_doubled(self._activated(_in_float32(self.value, x)), self.neighbours(x).float())
        return Seen(fine[..., :height, :width], taps[-1])

    def fused(self, image: Float[Tensor, "n 3 h w"], stride: int) -> Float[Tensor, "n c hs ws"]:
        """The head's map at a stride of 4, 8, 16 or 32: what encoder and head know together, before it is a value.

        Sides of ``image`` are multiples of 32.
        """
        taps = self.encoder((image - self.mean) / self.spread)
        return self._fused(taps, finest=FUSED_STRIDES.index(stride))

    def _fused(self, taps: Sequence[Tensor], *, finest: int) -> Tensor:
        x = self.scene(taps[-1].mean((-2, -1), keepdim=True))
        for i in reversed(range(finest, len(taps))):
            tap = self.reassemble[i](taps[i])
            x = self.fuse[i](F.interpolate(x, tap.shape[-2:], mode="bilinear") + self.skip[i](tap))
        return x

    def fresh(self, max_depth_m: float | None) -> Student:
        """The same form with random weights."""
        return Student(replace(self.facts, max_depth_m=max_depth_m))

    def _activated(self, raw: Tensor) -> Tensor:
        if self.facts.max_depth_m is None:
            # As it is: no loss holds its scale and shift, and a bend lets pictures drift to where they are all flat.
            return raw
        return torch.sigmoid(raw) * self.facts.max_depth_m

    def save(self, folder: Path, *, dtype: torch.dtype | None = None) -> None:
        """``config.json`` and ``model.safetensors``; ``dtype`` is what kernels and matrices are stored in.

        int8 packs them with a scale for each output channel. Norms and biases stay float32: they are few, and variances
        leave the range of float16.
        """
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "config.json").write_text(json.dumps(to_dict(self.facts), indent=2) + "\n")
        weights = {name: tensor.detach().cpu().contiguous() for name, tensor in self.state_dict().items()}
        if dtype == torch.int8:
            weights = packed(weights)
        elif dtype is not None:
            weights = {name: one.to(dtype) if one.ndim in (2, 4) else one for name, one in weights.items()}
        save_file(weights, folder / _WEIGHTS, metadata={"format": "pt"})


def _in_float32(layer: nn.Conv2d, x: Tensor) -> Tensor:
    """A convolution in float32: its result has any offset, beside which bfloat16 would round a scene's detail away."""
    bias = None if layer.bias is None else layer.bias.float()
    with torch.autocast(x.device.type, enabled=False):
        return F.conv2d(x.float(), layer.weight.float(), bias, padding="same")


def convex_doubled(
    value: Float[Tensor, "n 1 h w"], neighbours: Float[Tensor, "n 36 h w"]
) -> Float[Tensor, "n 1 2*h 2*w"]:
    """Twice the size: each finer pixel is a mean of the 3 x 3 pixels around, with weights softmax(``neighbours``)."""
    n, _, h, w = value.shape
    weights = neighbours.view(n, 4, 9, h, w).softmax(2)
    around = F.unfold(F.pad(value, (1, 1, 1, 1), mode="replicate"), 3).view(n, 1, 9, h, w)
    return F.pixel_shuffle((weights * around).sum(2), 2)


def is_student(folder: Path) -> bool:
    """Whether ``folder`` holds a student: its ``config.json`` says so."""
    try:
        config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    except (OSError, json.JSONDecodeError, UnicodeDecodeError):
        return False
    return isinstance(config, dict) and config.get("architecture") == ARCHITECTURE


def load_student(folder: Path) -> Student:
    """The network of a folder that ``Student.save`` wrote, in float32, ready to predict.

    Raises ValueError, naming the file, for missing, damaged, mismatched or non-finite weights and unknown facts.
    """
    path = folder / "config.json"
    if not path.is_file():
        raise ValueError(f"{folder} has no config.json; wanted is the folder of a student")
    network = Student(read_json(StudentFacts, path))
    fill(network, read_weights(folder / _WEIGHTS), folder / _WEIGHTS)
    return network.eval()


def read_weights(path: Path) -> dict[str, Tensor]:
    """The tensors of a safetensors file, int8 unpacked to float32.

    Raises ValueError, naming the file, when it is missing, damaged or not finite.
    """
    try:
        weights = load_file(path)
    except (OSError, SafetensorError) as error:
        raise ValueError(f"{path}: can't be read as safetensors ({error}); copy or write it again") from error
    for name, tensor in weights.items():
        if tensor.is_floating_point() and not bool(torch.isfinite(tensor).all()):
            raise ValueError(f"{path}: {name} holds NaN or infinity; these weights can't be used")
    try:
        return unpacked(weights)
    except ValueError as error:
        raise ValueError(f"{path}: {error}; copy or write it again") from error


def fill(network: nn.Module, weights: Mapping[str, Tensor], path: Path) -> None:
    """Put ``weights`` into ``network``, in its dtype. Raises ValueError for missing, foreign or misshapen ones."""
    wanted = network.state_dict()
    wrong = [f"{k} is missing" for k in wanted if k not in weights]
    wrong += [f"{k} has no place" for k in weights if k not in wanted]
    wrong += [
        f"{k} has shape {tuple(weights[k].shape)}, needed is {tuple(v.shape)}"
        for k, v in wanted.items()
        if k in weights and weights[k].shape != v.shape
    ]
    if wrong:
        more = f" (and {len(wrong) - 3} more)" if len(wrong) > 3 else ""
        raise ValueError(f"{path}: {'; '.join(wrong[:3])}{more}; its config.json is of another network")
    network.load_state_dict({k: weights[k].to(v.dtype) for k, v in wanted.items()})


ModuleT = TypeVar("ModuleT", bound=nn.Module)


def folded(network: ModuleT) -> ModuleT:
    """A copy for prediction in which every norm that follows a convolution is part of its weights.

    The same function, faster, and safe in bfloat16: weights are rounded after folding, not the norms' statistics.
    """
    network = copy.deepcopy(network).eval()
    for module in list(network.modules()):
        if not isinstance(module, nn.Sequential):
            continue
        layers: list[nn.Module] = []
        for layer in module:
            if isinstance(layer, nn.BatchNorm2d) and layers and isinstance(layers[-1], nn.Conv2d):
                fused: Any = nn.utils.fuse_conv_bn_eval(layers[-1], layer)
                layers[-1] = fused
            else:
                layers.append(layer)
        module._modules = {str(i): layer for i, layer in enumerate(layers)}
    return network
