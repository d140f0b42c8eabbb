"""The operations that a frozen network spends its time in, in the form that is fastest for their shape.

Each computes what the layer of diffusers computes, up to rounding: attention in blocks of queries (a processor's own
flash kernel never reaches its bfloat16 matrix units), nearest doubling and a 3 x 3 convolution as four 2 x 2
convolutions on the small map, attention to a constant prompt as two thin matrices. Everything that may be is done in
place: on a processor, touching new memory costs more than the arithmetic of a norm. For inference only.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

_QUERIES = 256
"""Queries of a block: their scores against 7,000 keys are 3.5 MB in bfloat16, near a core's cache."""
_FEW_SCORES = 256 * 256
"""Below so many scores a head, a block is the whole and the flash kernel costs less than the calls."""


def norm_silu(norm: nn.GroupNorm, x: Float[Tensor, "n c h w"]) -> Float[Tensor, "n c h w"]:
    """``silu(norm(x))``, the activation in place."""
    return F.silu(F.group_norm(x, norm.num_groups, norm.weight, norm.bias, norm.eps), inplace=True)


def attend(
    query: Float[Tensor, "n t heads d"], key: Float[Tensor, "n s heads d"], value: Float[Tensor, "n s heads d"]
) -> Float[Tensor, "n t heads*d"]:
    """softmax(query key^T / sqrt(d)) value for every head."""
    n, t, heads, d = query.shape
    q, k, v = (one.transpose(1, 2) for one in (query, key, value))
    if query.device.type != "cpu" or t * key.shape[1] < _FEW_SCORES:
        return F.scaled_dot_product_attention(q, k, v).transpose(1, 2).reshape(n, t, heads * d)
    return _attend_in_blocks(q, k, v).transpose(1, 2).reshape(n, t, heads * d)


def _attend_in_blocks(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """The same for [n heads tokens d], with the scores of a block in one buffer."""
    q, k, v = q.contiguous(), k.contiguous(), v.contiguous()
    n, heads, t, d = q.shape
    result = torch.empty_like(q)
    buffer = q.new_empty(min(_QUERIES, t), k.shape[2])
    for image in range(n):
        for head in range(heads):
            keys, values = k[image, head].t(), v[image, head]
            for first in range(0, t, _QUERIES):
                part = slice(first, first + _QUERIES)
                rows = q[image, head, part]
                scores = buffer[: len(rows)]
                torch.addmm(scores, rows, keys, beta=0, alpha=1 / math.sqrt(d), out=scores)
                torch.softmax(scores, -1, out=scores)
                torch.mm(scores, values, out=result[image, head, part])
    return result


@dataclass(frozen=True)
class DoublingConv:
    """Nearest doubling and the 3 x 3 convolution after it: four 2 x 2 kernels on the map before doubling, 4/9 the work.

    Every doubled pixel sees two rows and columns of the small map only, some of them twice; the weights of those that
    coincide are summed (in float32). Kernel (a, b) makes the pixels of rows 2 i + a and columns 2 j + b.
    """

    kernels: tuple[tuple[Tensor, Tensor], tuple[Tensor, Tensor]]
    bias: Tensor | None

    @classmethod
    def of(cls, conv: nn.Conv2d) -> DoublingConv:
        """From the convolution that follows the doubling; 3 x 3, padding 1."""
        weight = conv.weight.detach().float()

        def paired(w: Tensor, dim: int, side: int) -> Tensor:
            first, middle, last = w.unbind(dim)
            return torch.stack((first, middle + last) if side == 0 else (first + middle, last), dim)

        def kernel(a: int, b: int) -> Tensor:
            found = paired(paired(weight, 2, a), 3, b).to(conv.weight.dtype)
            return found.contiguous(memory_format=torch.channels_last)

        bias = None if conv.bias is None else conv.bias.detach()
        return cls(((kernel(0, 0), kernel(0, 1)), (kernel(1, 0), kernel(1, 1))), bias)

    def __call__(self, x: Float[Tensor, "n c h w"]) -> Float[Tensor, "n cd h2 w2"]:
        """The convolution of the doubled ``x``."""
        n, _, h, w = x.shape
        channels = self.kernels[0][0].shape[0]
        doubled = x.new_empty(n, h, 2, w, 2, channels)
        for a in (0, 1):
            for b in (0, 1):
                # padded on all sides, so that all four have one shape; one row and column of each is dropped
                phase = F.conv2d(x, self.kernels[a][b], self.bias, padding=1)
                doubled[:, :, a, :, b] = phase[:, :, a : a + h, b : b + w].permute(0, 2, 3, 1)
        return doubled.view(n, 2 * h, 2 * w, channels).permute(0, 3, 1, 2)


def doubling_conv(conv: nn.Conv2d) -> Callable[[Float[Tensor, "n c h w"]], Float[Tensor, "n cd h2 w2"]]:
    """Nearest doubling, then ``conv``, in the form that suits the device: one large kernel is best on a GPU."""
    if conv.weight.device.type == "cpu" and conv.kernel_size == (3, 3) and conv.padding == (1, 1):
        return DoublingConv.of(conv)
    return lambda x: conv(F.interpolate(x, scale_factor=2.0, mode="nearest"))


@dataclass(frozen=True)
class PromptAttention:
    """Attention of a map to a prompt that never changes: keys and values are constants, computed once.

    With T tokens and H heads, query and key weights merge into a (C, H T) matrix and value and output weights into
    (H T, C): 4 C H T operations a pixel instead of 4 C C. Only made where that is less.
    """

    scores: Tensor
    """(H T, C), the root of the head's width divided out."""
    values: Tensor
    """(C, H T)"""
    bias: Tensor | None
    tokens: int

    @classmethod
    def of(cls, q: Tensor, k: Tensor, v: Tensor, out: nn.Linear, prompt: Tensor, heads: int) -> PromptAttention:
        """``q``, ``k``, ``v``: weights of the projections; ``prompt``: (tokens, width)."""
        dtype, tokens = q.dtype, len(prompt)
        q, k, v, prompt = q.detach().float(), k.detach().float(), v.detach().float(), prompt.float()
        keys = (prompt @ k.T).view(tokens, heads, -1)
        values = (prompt @ v.T).view(tokens, heads, -1)
        d = keys.shape[-1]
        scores = torch.einsum("thd,hdc->htc", keys, q.view(heads, d, -1)) / math.sqrt(d)
        mixed = torch.einsum("thd,chd->cht", values, out.weight.detach().float().view(-1, heads, d))
        bias = None if out.bias is None else out.bias.detach()
        return cls(scores.flatten(0, 1).to(dtype), mixed.flatten(1).to(dtype).contiguous(), bias, tokens)

    def __call__(self, x: Float[Tensor, "n p c"]) -> Float[Tensor, "n p c"]:
        """What attention adds to ``x``."""
        found = F.linear(x, self.scores)
        share = torch.softmax(found.unflatten(-1, (-1, self.tokens)), -1)
        return F.linear(share.flatten(-2), self.values, self.bias)
