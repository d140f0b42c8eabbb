"""Stable Diffusion's autoencoder, frozen: encoder and decoder in the forms of ``quick_ops``.

Weights stay diffusers' own; only the kernels of doubling convolutions are held beside them. For inference only.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from diffusers import AutoencoderKL
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from latentdepth.models.quick_blocks import knows_attention, knows_resnet, resnet, self_attention
from latentdepth.models.quick_ops import doubling_conv, norm_silu


def knows_vae(vae: nn.Module) -> bool:
    """Whether ``QuickVae`` computes what this network does: attention in the middle only."""
    if not isinstance(vae, AutoencoderKL):
        return False
    known: Any = vae
    middles = (known.encoder.mid_block, known.decoder.mid_block)
    blocks = [*known.encoder.down_blocks, *known.decoder.up_blocks]
    if any(getattr(block, "attentions", None) for block in blocks):
        return False
    attentions = [one for middle in middles for one in middle.attentions if one is not None]
    resnets = [one for block in (*middles, *blocks) for one in block.resnets]
    samplers = [one for block in blocks for one in _samplers(block)]
    plain = all(isinstance(one.conv, nn.Conv2d) and one.norm is None for one in samplers)
    return plain and all(map(knows_resnet, resnets)) and all(map(knows_attention, attentions))


class QuickVae:
    """The two halves of an autoencoder whose weights no longer change."""

    def __init__(self, vae: AutoencoderKL) -> None:
        self.vae: Any = vae
        decoder: Any = vae.decoder
        self.doubling = [[doubling_conv(one.conv) for one in _samplers(block)] for block in decoder.up_blocks]

    def mean(self, images: Float[Tensor, "n 3 h w"]) -> Float[Tensor, "n c hl wl"]:
        """Mean of the posterior, unscaled."""
        encoder = self.vae.encoder
        x = encoder.conv_in(images)
        for block in encoder.down_blocks:
            for one in block.resnets:
                x = resnet(one, x)
            for one in _samplers(block):
                x = one.conv(F.pad(x, (0, 1, 0, 1)) if one.padding == 0 else x)
        x = encoder.conv_out(norm_silu(encoder.conv_norm_out, _middle(encoder.mid_block, x)))
        moments = x if self.vae.quant_conv is None else self.vae.quant_conv(x)
        return moments.chunk(2, 1)[0]

    def picture(self, latent: Float[Tensor, "n c hl wl"]) -> Float[Tensor, "n 3 h w"]:
        """The picture of an unscaled latent."""
        decoder = self.vae.decoder
        x = decoder.conv_in(latent if self.vae.post_quant_conv is None else self.vae.post_quant_conv(latent))
        x = _middle(decoder.mid_block, x)
        for block, doubling in zip(decoder.up_blocks, self.doubling, strict=True):
            for one in block.resnets:
                x = resnet(one, x)
            for one in doubling:
                x = one(x)
        return decoder.conv_out(norm_silu(decoder.conv_norm_out, x))


def _samplers(block: Any) -> Iterator[Any]:
    for name in ("downsamplers", "upsamplers"):
        yield from getattr(block, name, None) or ()


def _middle(block: Any, x: Tensor) -> Tensor:
    x = resnet(block.resnets[0], x)
    for attention, one in zip(block.attentions, block.resnets[1:], strict=True):
        x = resnet(one, x if attention is None else _attention(attention, x))
    return x


def _attention(layer: Any, x: Tensor) -> Tensor:
    """Attention over all pixels, with its norm and residual."""
    attended = self_attention(layer, layer.group_norm(x).permute(0, 2, 3, 1).flatten(1, 2))
    return attended.unflatten(1, x.shape[-2:]).permute(0, 3, 1, 2) + x
