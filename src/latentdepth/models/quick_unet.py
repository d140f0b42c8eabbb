"""Stable Diffusion's U-Net, frozen, with a prompt that never changes: what depends on neither photo nor noise, once.

Keys and values of the prompt are computed when it is made, the time step's part of every residual block when a time
step is first seen. Weights stay diffusers' own. For inference only.
"""

from __future__ import annotations

from typing import Any

import torch
from diffusers import UNet2DConditionModel
from diffusers.models.attention import BasicTransformerBlock
from diffusers.models.transformers.transformer_2d import Transformer2DModel
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional as F

from latentdepth.models.quick_blocks import knows_attention, knows_resnet, resnet, self_attention
from latentdepth.models.quick_ops import PromptAttention, attend, doubling_conv, norm_silu

_BLOCKS = {"DownBlock2D", "CrossAttnDownBlock2D", "UpBlock2D", "CrossAttnUpBlock2D"}


def knows_unet(unet: nn.Module) -> bool:
    """Whether ``QuickUNet`` computes what this network does: Stable Diffusion's blocks and nothing beside them."""
    if type(unet) is not UNet2DConditionModel:
        return False
    config: Any = unet.config
    if not {*config["down_block_types"], *config["up_block_types"]} <= _BLOCKS:
        return False
    wanted = {"mid_block_type": "UNetMidBlock2DCrossAttn", "act_fn": "silu", "center_input_sample": False}
    unwanted = ("class_embeddings_concat", "addition_embed_type", "encoder_hid_dim_type", "time_embedding_act_fn")
    if any(config[key] != value for key, value in wanted.items()) or any(config.get(key) for key in unwanted):
        return False
    resnets = [one for one in unet.modules() if type(one).__name__.startswith("ResnetBlock")]
    return all(map(knows_resnet, resnets)) and all(_knows_transformer(one) for one in _transformers(unet))


class QuickUNet:
    """A U-Net whose weights, prompt and class labels no longer change."""

    def __init__(self, unet: UNet2DConditionModel, prompt: Float[Tensor, "1 k c"], labels: Tensor | None) -> None:
        self.unet: Any = unet
        self.labels = labels
        self.prompts = {
            id(block): _prompt_attention(block.attn2, prompt[0])
            for transformer in _transformers(unet)
            for block in transformer.transformer_blocks
        }
        self.doubling = {id(one): doubling_conv(one.conv) for b in self.unet.up_blocks for one in b.upsamplers or ()}
        self.biases: dict[int, dict[int, Tensor]] = {}

    def __call__(self, x: Float[Tensor, "n c hl wl"], t: Int[Tensor, " n"]) -> Float[Tensor, "n co hl wl"]:
        unet, biases = self.unet, self._biases(t)
        x = unet.conv_in(x)
        skips = [x]
        for block in unet.down_blocks:
            for k, one in enumerate(block.resnets):
                x = self._attended(block, k, resnet(one, x, biases[id(one)]))
                skips.append(x)
            for one in block.downsamplers or ():
                x = one.conv(F.pad(x, (0, 1, 0, 1)) if one.padding == 0 else x)
                skips.append(x)
        middle = unet.mid_block
        x = resnet(middle.resnets[0], x, biases[id(middle.resnets[0])])
        for k, one in enumerate(middle.resnets[1:]):
            x = resnet(one, self._attended(middle, k, x), biases[id(one)])
        for block in unet.up_blocks:
            for k, one in enumerate(block.resnets):
                x = self._attended(block, k, resnet(one, torch.cat((x, skips.pop()), 1), biases[id(one)]))
            for one in block.upsamplers or ():
                x = self._doubled(one, x, skips[-1].shape[-2:])
        return unet.conv_out(norm_silu(unet.conv_norm_out, x))

    def _doubled(self, sampler: Any, x: Tensor, size: torch.Size) -> Tensor:
        if tuple(size) == (2 * x.shape[-2], 2 * x.shape[-1]):
            return self.doubling[id(sampler)](x)
        return sampler.conv(F.interpolate(x, size, mode="nearest"))  # a side that was odd before it was halved

    def _biases(self, t: Tensor) -> dict[int, Tensor]:
        """For every residual block what its first convolution adds: (c,) where all rows share a time step."""
        steps = t.tolist()
        for step in set(steps) - self.biases.keys():
            self.biases[step] = self._biases_at(step)
        if len(set(steps)) == 1:
            return self.biases[steps[0]]
        rows = [self.biases[step] for step in steps]
        return {key: torch.stack([row[key] for row in rows]) for key in rows[0]}

    def _biases_at(self, step: int) -> dict[int, Tensor]:
        unet, weight = self.unet, self.unet.conv_in.weight
        t = torch.tensor([step], device=weight.device)
        embedded = unet.time_embedding(unet.time_proj(t).to(weight.dtype))
        if self.labels is not None and unet.class_embedding is not None:
            embedded = embedded + unet.get_class_embed(sample=weight[:1], class_labels=self.labels)
        active = F.silu(embedded)
        blocks = [one for one in unet.modules() if knows_resnet(one)]
        return {id(one): one.conv1.bias + one.time_emb_proj(active)[0] for one in blocks}

    def _attended(self, block: Any, index: int, x: Tensor) -> Tensor:
        """The block's transformer of that number, or ``x`` where it has none."""
        if getattr(block, "attentions", None) is None:
            return x
        transformer = block.attentions[index]
        before, after = transformer.proj_in, transformer.proj_out
        # a 1 x 1 convolution on channels-last memory is a linear layer
        tokens = F.linear(transformer.norm(x).permute(0, 2, 3, 1).flatten(1, 2), before.weight.flatten(1), before.bias)
        for one in transformer.transformer_blocks:
            tokens = tokens + self_attention(one.attn1, one.norm1(tokens))
            tokens = tokens.add_(self.prompts[id(one)](one.norm2(tokens)))
            tokens = tokens.add_(_fed_forward(one.ff, one.norm3(tokens)))
        tokens = F.linear(tokens, after.weight.flatten(1), after.bias)
        return tokens.unflatten(1, x.shape[-2:]).permute(0, 3, 1, 2).add_(x)


def _fed_forward(layer: Any, tokens: Tensor) -> Tensor:
    """Gated feed-forward layer. Value and gate are computed apart, so that neither is a view with gaps."""
    project, after = layer.net[0].proj, layer.net[2]
    half = project.weight.shape[0] // 2
    bias = project.bias
    gate = F.linear(tokens, project.weight[half:], None if bias is None else bias[half:])
    value = F.linear(tokens, project.weight[:half], None if bias is None else bias[:half])
    return after(value.mul_(F.gelu(gate)))


def _transformers(unet: nn.Module) -> list[Any]:
    return [one for one in unet.modules() if isinstance(one, Transformer2DModel)]


def _knows_transformer(transformer: Any) -> bool:
    blocks = list(transformer.transformer_blocks)
    if not transformer.is_input_continuous or not all(isinstance(one, BasicTransformerBlock) for one in blocks):
        return False
    return all(
        one.norm_type == "layer_norm"
        and one.pos_embed is None
        and not one.only_cross_attention
        and one.attn2 is not None
        and one.attn2.to_q.bias is None
        and one.attn2.to_k.bias is None
        and type(one.ff.net[0]).__name__ == "GEGLU"
        and knows_attention(one.attn1)
        and knows_attention(one.attn2)
        for one in blocks
    )


def _prompt_attention(layer: Any, prompt: Tensor) -> Any:
    q, k, v = (one.weight for one in (layer.to_q, layer.to_k, layer.to_v))
    if layer.heads * len(prompt) < q.shape[1] // 2:
        return PromptAttention.of(q, k, v, layer.to_out[0], prompt, layer.heads)
    key, value = (one(prompt).unflatten(-1, (layer.heads, -1))[None] for one in (layer.to_k, layer.to_v))

    def attended(x: Tensor) -> Tensor:
        query = layer.to_q(x).unflatten(-1, (layer.heads, -1))
        n = len(x)
        return layer.to_out[0](attend(query, key.expand(n, -1, -1, -1), value.expand(n, -1, -1, -1)))

    return attended
