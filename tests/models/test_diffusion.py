"""Loading folders: round trips, surgery, and every way a folder can be wrong."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from diffusers import UNet2DConditionModel
from safetensors.torch import load_file, save_file

from latentdepth.models.diffusion import EMPTY_PROMPT, DiffusionModel, doubled_input, load_diffusion, widened

CPU = torch.device("cpu")
UNET_WEIGHTS = "unet/diffusion_pytorch_model.safetensors"


def load(folder: Path) -> DiffusionModel:
    return load_diffusion(folder, device=CPU, dtype=torch.float32)


@pytest.fixture
def folder(tiny_folder: Path, tmp_path: Path) -> Path:
    """A copy that a test may break."""
    return Path(shutil.copytree(tiny_folder, tmp_path / "model"))


def test_stages_have_their_shapes_and_are_deterministic(tiny_folder: Path):
    model = load(tiny_folder)
    image = torch.rand(2, 3, 16, 24, generator=torch.Generator().manual_seed(0)) * 2 - 1
    with torch.inference_mode():
        latent = model.encode(image)
        assert latent.shape == (2, 4, 8, 12)
        torch.testing.assert_close(model.encode(image), latent, atol=0, rtol=0)  # the mean, never a sample
        x0 = model.x0(torch.zeros_like(latent), torch.tensor([999, 999]), latent)
        assert x0.shape == latent.shape
        assert model.decode(x0).shape == image.shape


def test_saved_folder_loads_to_the_same_numbers(tiny_folder: Path, tmp_path: Path):
    model = load(tiny_folder)
    model.save(tmp_path / "copy")
    again = load(tmp_path / "copy")
    assert again.facts == model.facts
    torch.testing.assert_close(again.schedule.signal, model.schedule.signal, atol=0, rtol=0)
    assert again.schedule.final_signal == model.schedule.final_signal
    for (name, a), (_, b) in zip(model.unet.state_dict().items(), again.unet.state_dict().items(), strict=True):
        torch.testing.assert_close(a, b, atol=0, rtol=0, msg=name)


def test_saved_folder_is_one_that_diffusers_loads(tiny_folder: Path, tmp_path: Path):
    from diffusers import MarigoldDepthPipeline

    load(tiny_folder).save(tmp_path / "copy")
    pipe = MarigoldDepthPipeline.from_pretrained(tmp_path / "copy", text_encoder=None, tokenizer=None)
    assert pipe.default_processing_resolution == 64
    assert pipe.scheduler.config["rescale_betas_zero_snr"] is True


def test_doubled_input_keeps_the_activations_of_two_equal_latents():
    torch.manual_seed(0)
    unet = UNet2DConditionModel(
        in_channels=4,
        out_channels=4,
        block_out_channels=(32,),
        down_block_types=("DownBlock2D",),
        up_block_types=("UpBlock2D",),
        cross_attention_dim=8,
        norm_num_groups=8,
    )
    wider = doubled_input(unet)
    x = torch.randn(1, 4, 6, 6)
    assert wider.config["in_channels"] == 8
    # equal up to the order of float32 sums
    torch.testing.assert_close(wider.conv_in(torch.cat((x, x), 1)), unet.conv_in(x), atol=1e-5, rtol=1e-5)


def test_widened_for_two_targets_repeats_the_output():
    torch.manual_seed(0)
    construct: Any = UNet2DConditionModel
    unet = construct(
        in_channels=4,
        out_channels=4,
        block_out_channels=(32,),
        down_block_types=("DownBlock2D",),
        up_block_types=("UpBlock2D",),
        cross_attention_dim=8,
        norm_num_groups=8,
    )
    wider = widened(unet, 2)
    x, h = torch.randn(1, 4, 6, 6), torch.randn(1, 32, 6, 6)
    assert (wider.config["in_channels"], wider.config["out_channels"]) == (12, 8)
    # equal up to the order of float32 sums
    torch.testing.assert_close(wider.conv_in(x.repeat(1, 3, 1, 1)), unet.conv_in(x), atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(wider.conv_out(h), unet.conv_out(h).repeat(1, 2, 1, 1), atol=1e-5, rtol=1e-5)
    with pytest.raises(ValueError, match="targets is 0"):
        widened(unet, 0)


def test_truncated_weights_are_named(folder: Path):
    path = folder / UNET_WEIGHTS
    path.write_bytes(path.read_bytes()[:5000])
    with pytest.raises(ValueError, match=r"unet.*damaged"):
        load(folder)


def test_nan_weights_are_named(folder: Path):
    weights = load_file(folder / UNET_WEIGHTS)
    weights["conv_out.bias"][1] = float("nan")
    save_file(weights, folder / UNET_WEIGHTS)
    with pytest.raises(ValueError, match=r"conv_out\.bias holds NaN"):
        load(folder)


def test_missing_and_mismatched_weights_are_named(folder: Path):
    weights = load_file(folder / UNET_WEIGHTS)
    del weights["conv_out.bias"]
    weights["conv_in.weight"] = weights["conv_in.weight"][:, :4].clone()
    save_file(weights, folder / UNET_WEIGHTS)
    with pytest.raises(ValueError, match=r"conv_in\.weight has shape \(32, 4, 3, 3\).*conv_out\.bias is missing"):
        load(folder)


def test_pickled_weights_are_refused(folder: Path):
    (folder / UNET_WEIGHTS).rename(folder / "unet/diffusion_pytorch_model.bin")
    with pytest.raises(ValueError, match="never loaded"):
        load(folder)


def test_half_precision_variant_is_found(folder: Path):
    weights = {k: v.half() for k, v in load_file(folder / UNET_WEIGHTS).items()}
    (folder / UNET_WEIGHTS).unlink()
    save_file(weights, folder / "unet/diffusion_pytorch_model.fp16.safetensors")
    assert load(folder).dtype == torch.float32


def test_old_attention_names_are_understood(folder: Path):
    """Stable Diffusion 2's autoencoder was saved with query / key / value / proj_attn."""
    path = folder / "vae/diffusion_pytorch_model.safetensors"
    weights = load_file(path)
    names = {".to_q.": ".query.", ".to_k.": ".key.", ".to_v.": ".value.", ".to_out.0.": ".proj_attn."}
    for new, old in names.items():
        weights = {k.replace(new, old): v for k, v in weights.items()}
    assert any(".query." in k for k in weights)
    save_file(weights, path)
    load(folder)


def test_empty_prompt_must_fit(folder: Path):
    save_file({"embedding": torch.zeros(1, 2, 7)}, folder / EMPTY_PROMPT)
    with pytest.raises(ValueError, match=r"shape \(1, tokens, 32\)"):
        load(folder)
    (folder / EMPTY_PROMPT).unlink()
    with pytest.raises(ValueError, match="empty prompt"):
        load(folder)


@pytest.mark.parametrize("name", ["unet/config.json", "scheduler/scheduler_config.json"])
def test_missing_and_broken_json_is_named(folder: Path, name: str):
    (folder / name).write_text("{")
    with pytest.raises(ValueError, match="not valid JSON"):
        load(folder)
    (folder / name).unlink()
    with pytest.raises(ValueError, match="is missing"):
        load(folder)


def test_unknown_config_key_is_told(folder: Path):
    config = json.loads((folder / "unet/config.json").read_text())
    (folder / "unet/config.json").write_text(json.dumps(config | {"moon_phase": 3}))
    with pytest.warns(UserWarning, match="moon_phase"):
        load(folder)


def test_not_a_folder(tmp_path: Path):
    with pytest.raises(ValueError, match="not a folder"):
        load(tmp_path / "nothing")


def test_text_encoder_is_asked_once_and_cached(folder: Path):
    from transformers import CLIPTextConfig, CLIPTextModel, CLIPTokenizer

    (folder / EMPTY_PROMPT).unlink()
    torch.manual_seed(0)
    config = CLIPTextConfig(
        vocab_size=4,
        hidden_size=32,
        intermediate_size=37,
        num_attention_heads=4,
        num_hidden_layers=2,
        max_position_embeddings=8,
        bos_token_id=2,
        eos_token_id=3,
    )
    CLIPTextModel(config).save_pretrained(folder / "text_encoder")
    (folder / "vocab.json").write_text(json.dumps({"a": 0, "b</w>": 1, "<|startoftext|>": 2, "<|endoftext|>": 3}))
    (folder / "merges.txt").write_text("#version: 0.2\n")
    CLIPTokenizer(str(folder / "vocab.json"), str(folder / "merges.txt")).save_pretrained(folder / "tokenizer")
    prompt = load(folder).prompt
    assert prompt.shape == (1, 2, 32)  # BOS and EOS, no padding
    shutil.rmtree(folder / "text_encoder")
    torch.testing.assert_close(load(folder).prompt, prompt)
