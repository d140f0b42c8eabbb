"""EfficientNet-Lite for outlines beside DINOv2's frozen small transformer for what things are: a student's encoder.

A patch of 16 pixels knows its object but not where that object ends, and a small convolutional network the other way
round. (Depth Anything V2's small models have the first alone, at 37 x 37 patches; here there are 24 x 18, or with
``patch_px`` 12 32 x 24.)
"""

from __future__ import annotations

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from latentdepth.models.feedforward import LiteEncoder, LiteSize, batch_norm
from latentdepth.models.vit_encoder import PATCH_PX, TAP_CHANNELS, new_transformer, tap_norms, tapped

_SHARED = 192
"""Channels that the transformer's four taps come down to."""


class JoinedEncoder(nn.Module):
    """``LiteEncoder``'s maps, those at strides 8, 16 and 32 with maps made of the transformer's taps behind them.

    The transformer stays as it was unless ``free_transformer`` is called: steps of a few pictures disturb its matrices
    more than they teach them. With patches of less than its own 16 pixels it is shown the photo enlarged, and its maps
    are brought to those strides.
    """

    def __init__(self, size: LiteSize, patch_px: int = PATCH_PX) -> None:
        super().__init__()
        self.patch_px = patch_px
        self.lite = LiteEncoder(size)
        self.mean, self.spread = self.lite.mean, self.lite.spread
        self.size = f"{size}+vits"
        self.transformer: Any = new_transformer().requires_grad_(False)
        self.norms = tap_norms()
        self.mix = nn.Sequential(
            nn.Conv2d(TAP_CHANNELS * len(self.norms), 256, 1, bias=False),
            batch_norm(256),
            nn.ReLU(),
            nn.Conv2d(256, _SHARED, 3, padding=1, bias=False),
            batch_norm(_SHARED),
            nn.ReLU(),
        )
        self.finer = nn.PixelShuffle(2)
        self.coarser = nn.AvgPool2d(2)
        quarter, eighth, sixteenth, last = self.lite.channels
        self.channels = (quarter, eighth + _SHARED // 4, sixteenth + _SHARED, last + _SHARED)

    def forward(self, x: Tensor) -> list[Tensor]:
        return self.with_stem(x)[1:]

    def with_stem(self, x: Float[Tensor, "n 3 h w"]) -> list[Float[Tensor, "n _ _ _"]]:
        """The stem's map at stride 2, then the four; sides are multiples of 32."""
        stem, quarter, eighth, sixteenth, last = self.lite.with_stem(x)
        mixed = self.mix(torch.cat(tapped(self.transformer, self.norms, self._enlarged(x)), dim=1))
        finer = self.finer(mixed)
        if self.patch_px != PATCH_PX:
            finer, mixed = (
                F.interpolate(said, place.shape[-2:], mode="bilinear")
                for said, place in ((finer, eighth), (mixed, sixteenth))
            )
        return [
            stem,
            quarter,
            torch.cat((eighth, finer), dim=1),
            torch.cat((sixteenth, mixed), dim=1),
            torch.cat((last, self.coarser(mixed)), dim=1),
        ]

    @property
    def blocks(self) -> nn.ModuleList:
        """The transformer's, from the photo's side."""
        return self.transformer.encoder.layer

    def free_transformer(self, *, matrices: bool, first: int | None = None) -> nn.ModuleList:
        """Let the ``first`` of the transformer's blocks learn (by default all) and return them; its embeddings stay.

        Without their ``matrices`` what learns is norms, biases and layer scales, one weight in 300: they bend what the
        features weigh and not what they are (of biases: BitFit, arXiv 2106.10199).
        """
        blocks = self.blocks[:first]
        for weight in blocks.parameters():
            weight.requires_grad_(matrices or weight.ndim == 1)
        return blocks

    def _enlarged(self, x: Float[Tensor, "n 3 h w"]) -> Float[Tensor, "n 3 hp wp"]:
        """The photo at as many of the transformer's patches as it has of ``patch_px``, rounded."""
        if self.patch_px == PATCH_PX:
            return x
        height, width = (round(side / self.patch_px) * PATCH_PX for side in x.shape[-2:])
        return F.interpolate(x, (height, width), mode="bilinear")
