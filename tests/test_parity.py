"""Single predictions against diffusers' Marigold pipelines on the same weights and start noise.

Its ensembling is no reference (it is unstable in itself: a 1e-7 change of its input moves its result by several per
cent); single predictions are, and the values that diffusers publishes for its dummy network are pinned here.
"""

from __future__ import annotations

import random
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from diffusers import (
    AutoencoderKL,
    DDIMScheduler,
    MarigoldDepthPipeline,
    MarigoldNormalsPipeline,
    UNet2DConditionModel,
)
from torch import Tensor
from transformers import CLIPTextConfig, CLIPTextModel

from latentdepth.core import samplers
from latentdepth.core.modality import fit_size, pad, resize
from latentdepth.core.schedule import from_config
from latentdepth.models.diffusion import DiffusionModel, load_diffusion
from latentdepth.models.facts import Facts
from latentdepth.options import PredictOptions
from latentdepth.predictor import DiffusionPredictor

DDIM = {
    "beta_start": 0.00085,
    "beta_end": 0.012,
    "beta_schedule": "scaled_linear",
    "clip_sample": False,
    "prediction_type": "v_prediction",
    "timestep_spacing": "trailing",
    "rescale_betas_zero_snr": True,
}
LCM = {k: v for k, v in DDIM.items() if k not in ("timestep_spacing", "rescale_betas_zero_snr")} | {
    "set_alpha_to_one": False,
    "steps_offset": 1,
}


def their_pipeline(model: DiffusionModel, scheduler: Any, *, normals: bool = False):
    kind: Any = MarigoldNormalsPipeline if normals else MarigoldDepthPipeline
    nothing: Any = None  # no text encoder: the pipelines keep the embedding of "" once they have it
    asked = {} if normals else {"prediction_type": "depth"}
    pipe = kind(unet=model.unet, vae=model.vae, scheduler=scheduler, text_encoder=nothing, tokenizer=nothing, **asked)
    pipe.empty_text_embedding = model.prompt
    pipe.set_progress_bar_config(disable=True)
    return pipe


def photo(height: int, width: int) -> Tensor:
    return torch.rand(1, 3, height, width, generator=torch.Generator().manual_seed(height * 1000 + width))


@pytest.fixture(scope="module")
def model(tiny_folder: Path) -> DiffusionModel:
    return load_diffusion(tiny_folder, device=torch.device("cpu"), dtype=torch.float32)


@pytest.mark.parametrize("steps", [1, 4, 10])
@pytest.mark.parametrize("size", [(48, 64), (37, 53), (90, 41)])
@pytest.mark.parametrize("match_input", [True, False])
@pytest.mark.parametrize("normals", [False, True])
def test_ddim_predictions_agree(
    model: DiffusionModel, steps: int, size: tuple[int, int], match_input: bool, normals: bool
):
    facts = Facts(modality="normals" if normals else "depth", resolution=48)
    ours = DiffusionPredictor(DiffusionModel(model.unet, model.vae, from_config(DDIM), model.prompt, facts), "tiny")
    h, w = fit_size(*size, 48)
    stride = ours.model.stride
    noise = torch.randn(1, 4, -(-h // stride), -(-w // stride), generator=torch.Generator().manual_seed(steps))
    image = photo(*size)
    theirs = their_pipeline(ours.model, DDIMScheduler(**DDIM), normals=normals)(
        image,
        num_inference_steps=steps,
        processing_resolution=48,
        match_input_resolution=match_input,
        latents=noise,
        output_type="pt",
    ).prediction
    value = ours(image, PredictOptions(steps=steps, match_input=match_input), noise=noise).value
    assert value.shape == theirs.shape
    # float32 sums in another order (channels_last kernels), through up to ten calls of a random network; normals
    # divide by a length that random networks leave near zero in places
    torch.testing.assert_close(value, theirs, atol=2e-3 if normals else 2e-4, rtol=0)


@pytest.mark.parametrize("steps", [1, 4])
def test_native_size_is_only_padded(model: DiffusionModel, tiny_folder: Path, steps: int):
    ours = DiffusionPredictor(model, "tiny")
    image = photo(45, 61)
    h, w = -(-45 // model.stride), -(-61 // model.stride)
    noise = torch.randn(1, 4, h, w, generator=torch.Generator().manual_seed(3))
    theirs = their_pipeline(model, DDIMScheduler.from_pretrained(tiny_folder / "scheduler"))(
        image, num_inference_steps=steps, processing_resolution=0, latents=noise, output_type="pt"
    ).prediction
    value = ours(image, PredictOptions(steps=steps, resolution=0), noise=noise).value
    torch.testing.assert_close(value, theirs, atol=2e-4, rtol=0)  # as above


def published_dummy() -> DiffusionModel:
    """The dummy network of diffusers' own tests: every part initialised from seed 0."""
    torch.manual_seed(0)
    unet = UNet2DConditionModel(
        block_out_channels=(32, 64),
        layers_per_block=2,
        sample_size=32,
        in_channels=8,
        out_channels=4,
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"),
        cross_attention_dim=32,
    )
    torch.manual_seed(0)
    construct: Any = AutoencoderKL  # its annotations allow one level only
    vae = construct(
        block_out_channels=(32, 64),
        down_block_types=("DownEncoderBlock2D",) * 2,
        up_block_types=("UpDecoderBlock2D",) * 2,
        latent_channels=4,
    )
    torch.manual_seed(0)
    text = CLIPTextModel(
        CLIPTextConfig(
            bos_token_id=0,
            eos_token_id=2,
            hidden_size=32,
            intermediate_size=37,
            layer_norm_eps=1e-5,
            num_attention_heads=4,
            num_hidden_layers=5,
            pad_token_id=1,
            vocab_size=1000,
        )
    ).eval()
    with torch.inference_mode():
        prompt = text(torch.tensor([[0, 1]]))[0].clone()
    return DiffusionModel(unet, vae, from_config(LCM), prompt, Facts(sampler="lcm", steps=1))


PUBLISHED = {
    (1, 0): (0.43442, 0.51455, 0.48409, 0.43800, 0.43542, 0.41082, 0.52997, 0.48687, 0.45823),
    (1, 32): (0.43442, 0.51455, 0.48409, 0.43800, 0.43542, 0.41082, 0.52997, 0.48687, 0.45823),
    (1, 16): (0.44393, 0.46028, 0.46846, 0.49471, 0.49320, 0.49244, 0.52010, 0.50965, 0.50443),
    (2, 32): (0.40830, 0.45729, 0.46504, 0.39601, 0.45839, 0.51121, 0.51142, 0.50824, 0.50636),
    (1, 64): (0.47847, 0.53579, 0.50407, 0.54443, 0.50714, 0.47101, 0.44327, 0.46812, 0.43958),
}


@pytest.mark.parametrize(("steps", "resolution"), list(PUBLISHED))
def test_published_slices(steps: int, resolution: int):
    model = published_dummy()
    numbers = random.Random(0)
    image = torch.tensor([numbers.random() for _ in range(3 * 32 * 32)]).view(1, 3, 32, 32) / 2 + 0.5
    draw = torch.Generator().manual_seed(0)
    fitted = pad(resize(image * 2 - 1, fit_size(32, 32, resolution)), model.stride)
    with torch.inference_mode():
        condition = model.encode(fitted)
        noise = torch.randn(condition.shape, generator=draw)
        latent = samplers.lcm(
            partial(lambda x, t: model.x0(x, t, condition)),
            noise,
            model.schedule,
            steps,
            renoise=lambda step: torch.randn(condition.shape, generator=draw),
        )
        value = DiffusionPredictor(model, "dummy").modality.from_decoded(model.decode(latent))
        value = resize(value, (32, 32), antialias=False)
    # the published tests allow 1e-4: five printed digits
    np.testing.assert_allclose(value[0, 0, -3:, -3:].flatten().numpy(), PUBLISHED[steps, resolution], atol=1e-4)
