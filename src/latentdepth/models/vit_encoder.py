"""DINOv2's small vision transformer as a student's encoder: maps at strides 4 to 32 from one at stride 16.

DINOv2 (arXiv 2304.07193), whose patches of 14 pixels are resampled to 16 (FlexiViT, 2212.08013), so that the maps
nest as those of a convolutional encoder do. Knows no head, no losses and no training.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F
from transformers import Dinov2Backbone, Dinov2Config

from latentdepth.models.depth_anything import read_dinov2
from latentdepth.models.feedforward import STEM_CHANNELS

_WIDTH, _BLOCKS, _HEADS, _GRID = 384, 12, 6, 37
_TAPS = (3, 6, 9, 12)
_PATCH_PX = 16


class VitEncoder(nn.Module):
    """Four maps at strides 4, 8, 16 and 32, and a convolutional one at stride 2, as ``LiteEncoder`` gives them.

    Each tap of the transformer is normalised over the batch first: a few of its channels are tens of times larger than
    all others, and a head on the bare maps learns at a tenth of the rate.
    """

    mean = (0.485, 0.456, 0.406)
    spread = (0.229, 0.224, 0.225)

    size = "vits"

    def __init__(self) -> None:
        super().__init__()
        self.channels = (_WIDTH // 8, _WIDTH // 4, _WIDTH, _WIDTH)
        self.stem = nn.Sequential(
            nn.Conv2d(3, STEM_CHANNELS, 3, 2, padding=1, bias=False), _norm(STEM_CHANNELS), nn.ReLU6()
        )
        self.transformer: Any = Dinov2Backbone(_configuration())
        self.transformer.embeddings.mask_token.requires_grad_(False)  # of its pretraining: no part in the maps
        self.transformer.layernorm.requires_grad_(False)  # taps are normalised below instead
        # variances of the first tap's channels are near 1e-4
        self.norms = nn.ModuleList(nn.BatchNorm2d(_WIDTH, eps=1e-6, momentum=0.03) for _ in _TAPS)
        self.finer = nn.ModuleList(
            nn.Sequential(nn.Conv2d(_WIDTH, channels * times**2, 1), nn.PixelShuffle(times))
            for channels, times in zip(self.channels, (4, 2), strict=False)
        )
        self.coarser = nn.Conv2d(_WIDTH, _WIDTH, 3, 2, padding=1)

    def forward(self, x: Tensor) -> list[Tensor]:
        return self.with_stem(x)[1:]

    def with_stem(self, x: Float[Tensor, "n 3 h w"]) -> list[Float[Tensor, "n _ _ _"]]:
        """The map at stride 2, then the four; sides are multiples of 32."""
        given = self.transformer.forward_with_filtered_kwargs(x).feature_maps
        maps = [norm(one) for norm, one in zip(self.norms, given, strict=True)]
        return [self.stem(x), self.finer[0](maps[0]), self.finer[1](maps[1]), maps[2], self.coarser(maps[3])]


def load_dinov2_small(encoder: VitEncoder, folder: Path) -> None:
    """Put a transformers folder of DINOv2 S into ``encoder``, in place; its patches are resampled from 14 to 16 pixels.

    Raises ValueError for a folder that is no DINOv2 S without registers, or without safetensors.
    """
    weights = read_dinov2(folder, Dinov2Config(**_FORM)).state_dict()
    name = "embeddings.patch_embeddings.projection.weight"
    weights[name] = resampled(weights[name], _PATCH_PX)
    encoder.transformer.load_state_dict(weights)


def resampled(kernel: Float[Tensor, "o c k k"], size: int) -> Float[Tensor, "o c size size"]:
    """The kernel that answers to a patch stretched to ``size`` as this one does to the patch (FlexiViT, section 3.4).

    Exact for patches that are stretched bilinearly to a larger size.
    """
    k = kernel.shape[-1]
    unit = torch.eye(k * k, dtype=torch.float64).view(k * k, 1, k, k)
    stretch = F.interpolate(unit, (size, size), mode="bilinear", align_corners=False).flatten(1)  # [k*k, size*size]
    back = torch.linalg.pinv(stretch)  # [size*size, k*k]
    flat = kernel.double().flatten(2) @ back.T
    return flat.unflatten(2, (size, size)).to(kernel.dtype)


_FORM: dict[str, Any] = {"hidden_size": _WIDTH, "num_hidden_layers": _BLOCKS, "num_attention_heads": _HEADS}
_FORM |= {"image_size": 518, "patch_size": 14, "layerscale_value": 1.0}


def _configuration() -> Dinov2Config:
    form = _FORM | {"image_size": _GRID * _PATCH_PX, "patch_size": _PATCH_PX, "out_indices": list(_TAPS)}
    return Dinov2Config(**form, apply_layernorm=False, reshape_hidden_states=True)


def _norm(channels: int) -> nn.BatchNorm2d:
    return nn.BatchNorm2d(channels, eps=1e-3, momentum=0.03)
