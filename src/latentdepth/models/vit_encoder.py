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
from transformers import Dinov2Backbone

from latentdepth.models.depth_anything import (
    FORMS,
    IMAGENET_MEAN,
    IMAGENET_SPREAD,
    encoder_configuration,
    read_dinov2,
)
from latentdepth.models.feedforward import STEM_CHANNELS, batch_norm

_FORM = FORMS["small"]
TAP_CHANNELS = _FORM.hidden
"""Of each map that the transformer gives."""
PATCH_PX = 16
"""What one patch of the transformer is wide."""


def new_transformer() -> Any:
    """DINOv2 S with patches of 16 pixels, random weights; its feature maps are bare residual streams."""
    form = encoder_configuration(_FORM, patch_px=PATCH_PX, apply_layernorm=False, reshape_hidden_states=True)
    transformer: Any = Dinov2Backbone(form)
    transformer.set_attn_implementation("eager")  # on processors torch's fused attention takes twice as long
    for part in (transformer, transformer.encoder):
        part.loss_function = None  # tracing reads every property, and this one would warn that it has to guess
    # A step of Adam moves a patch's 768 weights together, by as much as the embedding itself is large (MoCo v3,
    # arXiv 2104.02057, keeps them too).
    transformer.embeddings.requires_grad_(False)
    transformer.layernorm.requires_grad_(False)  # taps are normalised by ``tap_norms`` instead
    return transformer


def tap_norms() -> nn.ModuleList:
    """One norm for each feature map, over the batch.

    A few channels are tens of times larger than all others, and a head on the bare maps learns at a tenth of the rate.
    """
    # variances of the first tap's channels are near 1e-4
    return nn.ModuleList(nn.BatchNorm2d(TAP_CHANNELS, eps=1e-6, momentum=0.03) for _ in _FORM.taps)


def tapped(transformer: Any, norms: nn.ModuleList, x: Float[Tensor, "n 3 h w"]) -> list[Float[Tensor, "n c hp wp"]]:
    """The transformer's feature maps, normalised by ``tap_norms``."""
    maps = transformer.forward_with_filtered_kwargs(x).feature_maps
    return [norm(one) for norm, one in zip(norms, maps, strict=True)]


class VitEncoder(nn.Module):
    """Four maps at strides 4, 8, 16 and 32, and a convolutional one at stride 2, as ``LiteEncoder`` gives them."""

    mean, spread = IMAGENET_MEAN, IMAGENET_SPREAD
    size = "vits"

    def __init__(self) -> None:
        super().__init__()
        self.channels = (TAP_CHANNELS // 8, TAP_CHANNELS // 4, TAP_CHANNELS, TAP_CHANNELS)
        self.stem = nn.Sequential(
            nn.Conv2d(3, STEM_CHANNELS, 3, 2, padding=1, bias=False), batch_norm(STEM_CHANNELS), nn.ReLU6()
        )
        self.transformer = new_transformer()
        self.norms = tap_norms()
        self.finer = nn.ModuleList(
            nn.Sequential(nn.Conv2d(TAP_CHANNELS, channels * times**2, 1), nn.PixelShuffle(times))
            for channels, times in zip(self.channels, (4, 2), strict=False)
        )
        self.coarser = nn.Conv2d(TAP_CHANNELS, TAP_CHANNELS, 3, 2, padding=1)

    def forward(self, x: Tensor) -> list[Tensor]:
        return self.with_stem(x)[1:]

    def with_stem(self, x: Float[Tensor, "n 3 h w"]) -> list[Float[Tensor, "n _ _ _"]]:
        """The map at stride 2, then the four; sides are multiples of 32."""
        maps = tapped(self.transformer, self.norms, x)
        return [self.stem(x), self.finer[0](maps[0]), self.finer[1](maps[1]), maps[2], self.coarser(maps[3])]


def load_dinov2_small(transformer: Any, folder: Path) -> None:
    """Put a transformers folder of DINOv2 S into ``transformer``, in place, patches resampled from 14 to 16 pixels.

    Raises ValueError for a folder that is no DINOv2 S without registers, or without safetensors.
    """
    weights = read_dinov2(folder, encoder_configuration(_FORM)).state_dict()
    name = "embeddings.patch_embeddings.projection.weight"
    weights[name] = resampled(weights[name], PATCH_PX)
    transformer.load_state_dict(weights)


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
