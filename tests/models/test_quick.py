"""Frozen networks: the quick forms give what diffusers' own forwards give, and constants are computed once."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import torch
from diffusers import AutoencoderKL, UNet2DConditionModel
from torch import Tensor, nn
from torch.nn import functional as F

from latentdepth.models.diffusion import DiffusionModel, load_diffusion
from latentdepth.models.quick_ops import DoublingConv, PromptAttention, attend, doubling_conv
from latentdepth.models.quick_unet import QuickUNet, knows_unet
from latentdepth.models.quick_vae import QuickVae, knows_vae
from latentdepth.options import PredictOptions
from latentdepth.predictor import DiffusionPredictor

CPU = torch.device("cpu")


def draw(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def load(folder: Path) -> DiffusionModel:
    return load_diffusion(folder, device=CPU, dtype=torch.float32)


def unet_of(**changed: Any) -> UNet2DConditionModel:
    construct: Any = UNet2DConditionModel
    asked: dict[str, Any] = {
        "in_channels": 8,
        "out_channels": 4,
        "layers_per_block": 1,
        "block_out_channels": (32, 64),
        "down_block_types": ("CrossAttnDownBlock2D", "DownBlock2D"),
        "up_block_types": ("UpBlock2D", "CrossAttnUpBlock2D"),
        "cross_attention_dim": 32,
        "attention_head_dim": 4,
        "norm_num_groups": 8,
    }
    torch.manual_seed(0)
    return construct(**(asked | changed)).eval()


@pytest.mark.parametrize("keys", [7, 500, 700])
def test_attention_in_blocks_is_that_of_float64(keys: int):
    q, k, v = draw(2, 300, 2, 16), draw(2, keys, 2, 16, seed=1), draw(2, keys, 2, 16, seed=2)
    scores = torch.einsum("nthd,nshd->nhts", q.double(), k.double()) / 4
    wanted = torch.einsum("nhts,nshd->nthd", scores.softmax(-1), v.double()).flatten(2)
    # float32 sums of up to 700 terms of size one
    torch.testing.assert_close(attend(q, k, v).double(), wanted, atol=1e-5, rtol=0)


@pytest.mark.parametrize(("height", "width"), [(1, 1), (5, 4)])
def test_doubling_in_four_phases_is_the_convolution_of_the_doubled_map(height: int, width: int):
    conv = nn.Conv2d(6, 8, 3, padding=1)
    x = draw(2, 6, height, width).contiguous(memory_format=torch.channels_last)
    with torch.no_grad():
        wanted = conv.double()(F.interpolate(x.double(), scale_factor=2.0, mode="nearest"))
        quick = doubling_conv(conv.float())
        assert isinstance(quick, DoublingConv)
        # float32 sums of 54 products of size one
        torch.testing.assert_close(quick(x).double(), wanted, atol=1e-5, rtol=0)


def test_attention_to_a_constant_prompt_is_two_thin_matrices():
    construct: Any = nn.Linear
    q, k, v, out = construct(32, 32, bias=False), construct(24, 32, bias=False), construct(24, 32), construct(32, 32)
    x, prompt = draw(2, 9, 32), draw(2, 24, seed=1)
    with torch.no_grad():
        merged = PromptAttention.of(q.weight, k.weight, v.weight, out, prompt, 4)
        query, key, value = (t.unflatten(-1, (4, 8)) for t in (q(x), k(prompt), prompt @ v.weight.T))
        scores = torch.einsum("nphd,thd->nhpt", query, key) / 8**0.5
        wanted = out(torch.einsum("nhpt,thd->nphd", scores.softmax(-1), value).flatten(2))
        assert merged.scores.shape == (8, 32)
        # float32 sums, taken in another order
        torch.testing.assert_close(merged(x), wanted, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("linear", [True, False])
@pytest.mark.parametrize("tokens", [2, 40])
@pytest.mark.parametrize("size", [(8, 12), (7, 9)])
def test_quick_unet_gives_what_diffusers_gives(size: tuple[int, int], tokens: int, linear: bool):
    """Sides that are odd before they are halved too, and prompts of which merging matrices doesn't pay."""
    unet = unet_of(use_linear_projection=linear)
    prompt, x, t = draw(1, tokens, 32, seed=3), draw(2, 8, *size), torch.tensor([999, 5])
    assert knows_unet(unet)
    with torch.no_grad():
        wanted = unet(x, t, encoder_hidden_states=prompt.expand(2, -1, -1)).sample
        quick = QuickUNet(unet, prompt, None)
        torch.testing.assert_close(quick(x, t), wanted, atol=2e-5, rtol=0)  # float32 rounding over 30 layers
        same = unet(x, t[:1], encoder_hidden_states=prompt.expand(2, -1, -1)).sample
        torch.testing.assert_close(quick(x, t[:1].expand(2)), same, atol=2e-5, rtol=0)


def test_quick_unet_adds_the_class_labels():
    unet = unet_of(class_embed_type="projection", projection_class_embeddings_input_dim=4)
    prompt, x, t, labels = draw(1, 2, 32, seed=3), draw(1, 8, 8, 8), torch.tensor([999]), draw(1, 4, seed=4)
    with torch.no_grad():
        wanted = unet(x, t, encoder_hidden_states=prompt, class_labels=labels).sample
        torch.testing.assert_close(QuickUNet(unet, prompt, labels)(x, t), wanted, atol=2e-5, rtol=0)
        other = QuickUNet(unet, prompt, torch.zeros(1, 4))(x, t)
    assert float((other - wanted).abs().max()) > 1e-3


def test_quick_autoencoder_gives_what_diffusers_gives():
    construct: Any = AutoencoderKL
    torch.manual_seed(0)
    vae = construct(
        block_out_channels=(16, 32),
        down_block_types=("DownEncoderBlock2D",) * 2,
        up_block_types=("UpDecoderBlock2D",) * 2,
        norm_num_groups=8,
    ).eval()
    assert knows_vae(vae)
    quick, x, z = QuickVae(vae), draw(2, 3, 64, 48), draw(2, 4, 24, 32)
    with torch.no_grad():
        torch.testing.assert_close(quick.mean(x), vae.encode(x).latent_dist.mode(), atol=2e-5, rtol=0)
        torch.testing.assert_close(quick.picture(z), vae.decode(z).sample, atol=2e-5, rtol=0)


def test_other_builds_are_left_to_diffusers():
    assert not knows_unet(unet_of(resnet_time_scale_shift="scale_shift"))
    assert not knows_unet(unet_of(only_cross_attention=True, attention_head_dim=8))
    assert not knows_unet(unet_of(down_block_types=("AttnDownBlock2D", "DownBlock2D")))
    assert not knows_vae(nn.Linear(2, 2))


def test_frozen_model_gives_the_same_and_trains_as_before(tiny_folder: Path):
    plain, frozen = load(tiny_folder), load(tiny_folder).freeze()
    image, t = draw(2, 3, 16, 24).clamp(-1, 1), torch.tensor([999, 999])
    with torch.inference_mode():
        latent = plain.encode(image)
        torch.testing.assert_close(frozen.encode(image), latent, atol=2e-5, rtol=0)
        torch.testing.assert_close(frozen.x0(latent, t, latent), plain.x0(latent, t, latent), atol=2e-5, rtol=0)
        torch.testing.assert_close(frozen.decode(latent), plain.decode(latent), atol=2e-5, rtol=0)
    frozen.decode(frozen.x0(latent.clone(), t, latent.clone())).sum().backward()  # in place would be an error here
    assert frozen.unet.conv_in.weight.grad is not None


def test_prompt_is_projected_never_and_time_once(tiny_folder: Path):
    """Counted at the layers themselves, over two photos, four steps and three members."""
    predictor = DiffusionPredictor(load(tiny_folder).freeze(), "tiny")
    calls: Counter[str] = Counter()
    for name, module in (*predictor.model.unet.named_modules(), *predictor.model.vae.named_modules()):
        if name.endswith(("attn2.to_k", "attn2.to_v", "time_emb_proj", "encoder.conv_in", "decoder.conv_in")):
            module.register_forward_hook(lambda *_, name=name: calls.update([name]))
    images = torch.rand(2, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    predictor(images, PredictOptions(steps=4, members=3, batch=1))
    projections = {name: count for name, count in calls.items() if name.endswith("time_emb_proj")}
    assert projections
    assert set(projections.values()) == {4}  # one for every time step, whatever photos and members there are
    assert not [name for name in calls if "attn2" in name]
    assert calls["encoder.conv_in"] == 2  # once a photo
    assert calls["decoder.conv_in"] == 6  # once a member
