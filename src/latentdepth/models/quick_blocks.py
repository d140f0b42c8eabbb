"""Residual blocks and self-attention that diffusers' U-Net and autoencoder share, run in their quick form.

Reads diffusers' modules and never changes them; says of a module whether it is one that it knows. For inference only.
"""

from __future__ import annotations

from typing import Any

from diffusers.models.attention_processor import Attention
from diffusers.models.resnet import ResnetBlock2D
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from latentdepth.models.quick_ops import attend, norm_silu


def knows_resnet(block: nn.Module) -> bool:
    """Whether ``resnet`` computes what this block does."""
    if not isinstance(block, ResnetBlock2D):
        return False
    known: Any = block
    shifted = known.time_embedding_norm == "default" or known.time_emb_proj is None
    plain = shifted and known.output_scale_factor == 1 and not known.skip_time_act
    return plain and known.upsample is None and known.downsample is None and isinstance(known.nonlinearity, nn.SiLU)


def resnet(block: Any, x: Float[Tensor, "n c h w"], bias: Tensor | None = None) -> Float[Tensor, "n cd h w"]:
    """A residual block. ``bias`` (c, or n c): what the first convolution adds, the time step's part included."""
    first: nn.Conv2d = block.conv1
    inner = norm_silu(block.norm1, x)
    if bias is not None and bias.ndim == 2:
        inner = F.conv2d(inner, first.weight, None, padding=1).add_(bias[:, :, None, None])
    else:
        inner = F.conv2d(inner, first.weight, first.bias if bias is None else bias, padding=1)
    inner = block.conv2(norm_silu(block.norm2, inner))
    return inner.add_(x if block.conv_shortcut is None else block.conv_shortcut(x))


def knows_attention(attention: nn.Module) -> bool:
    """Whether ``self_attention`` computes what this layer does, its norm and residual aside."""
    if not isinstance(attention, Attention):
        return False
    known: Any = attention
    extras = (known.spatial_norm, known.norm_q, known.norm_k, known.norm_cross, known.added_kv_proj_dim)
    plain = all(type(one) is nn.Linear for one in (known.to_q, known.to_k, known.to_v, known.to_out[0]))
    return plain and not any(extras) and known.rescale_output_factor == 1


def self_attention(layer: Any, x: Float[Tensor, "n p c"]) -> Float[Tensor, "n p c"]:
    """Attention of ``x`` to itself, projections included."""
    query, key, value = (
        project(x).unflatten(-1, (layer.heads, -1)) for project in (layer.to_q, layer.to_k, layer.to_v)
    )
    return layer.to_out[0](attend(query, key, value))
