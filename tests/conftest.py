"""What every test may use: a tiny model with random weights in the layout of the full ones."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import Any

# Tiny tensors gain nothing from threads, and on a busy machine threads that wait for each other make the tests
# twenty times slower. Set before torch is imported, and inherited by the processes that tests start.
os.environ.setdefault("OMP_NUM_THREADS", "1")

import pytest
import torch

# plain dictionaries, because diffusers annotates its tuples as one element long
_UNET: dict[str, Any] = {
    "sample_size": 16,
    "in_channels": 8,
    "out_channels": 4,
    "layers_per_block": 1,
    "block_out_channels": (32, 64),
    "down_block_types": ("DownBlock2D", "CrossAttnDownBlock2D"),
    "up_block_types": ("CrossAttnUpBlock2D", "UpBlock2D"),
    "cross_attention_dim": 32,
    "attention_head_dim": 8,
    "norm_num_groups": 8,
}
_VAE: dict[str, Any] = {
    "block_out_channels": (32, 64),
    "down_block_types": ("DownEncoderBlock2D", "DownEncoderBlock2D"),
    "up_block_types": ("UpDecoderBlock2D", "UpDecoderBlock2D"),
    "latent_channels": 4,
    "norm_num_groups": 8,
}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Tests that need a GPU are skipped, by name, where there is none."""
    if torch.cuda.is_available():
        return
    for item in items:
        if item.get_closest_marker("gpu"):
            item.add_marker(pytest.mark.skip(reason="no CUDA device here"))


@pytest.fixture(scope="session")
def tiny_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A Marigold depth folder as diffusers writes it: 2 x spatial reduction, 4 latent channels, random weights.

    No text encoder: the embedded empty prompt lies beside the networks.
    """
    from diffusers import AutoencoderKL, DDIMScheduler, UNet2DConditionModel
    from safetensors.torch import save_file

    folder = tmp_path_factory.mktemp("models") / "tiny"
    with torch.random.fork_rng():
        torch.manual_seed(0)
        unet = UNet2DConditionModel(**_UNET)
        vae = AutoencoderKL(**_VAE)
        prompt = torch.randn(1, 2, 32)
    scheduler = DDIMScheduler(
        num_train_timesteps=1000,
        beta_start=0.00085,
        beta_end=0.012,
        beta_schedule="scaled_linear",
        clip_sample=False,
        set_alpha_to_one=False,
        prediction_type="v_prediction",
        timestep_spacing="trailing",
        rescale_betas_zero_snr=True,
        steps_offset=1,
    )
    for name, part in (("unet", unet), ("vae", vae), ("scheduler", scheduler)):
        part.save_pretrained(folder / name)
    save_file({"embedding": prompt}, folder / "empty_prompt.safetensors")
    index = {
        "_class_name": "MarigoldDepthPipeline",
        "_diffusers_version": "0.42.1",
        "unet": ["diffusers", "UNet2DConditionModel"],
        "vae": ["diffusers", "AutoencoderKL"],
        "scheduler": ["diffusers", "DDIMScheduler"],
        "text_encoder": [None, None],
        "tokenizer": [None, None],
        "prediction_type": "depth",
        "scale_invariant": True,
        "shift_invariant": True,
        "default_denoising_steps": 1,
        "default_processing_resolution": 64,
    }
    (folder / "model_index.json").write_text(json.dumps(index, indent=2))
    return folder


@pytest.fixture(scope="session")
def base_folder(tiny_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A text-to-image folder in Stable Diffusion 2's layout, with its leading schedule: 4 channels in, 4 out."""
    from diffusers import UNet2DConditionModel

    folder = Path(shutil.copytree(tiny_folder, tmp_path_factory.mktemp("models") / "base"))
    with torch.random.fork_rng():
        torch.manual_seed(1)
        config: dict[str, Any] = {**_UNET, "in_channels": 4}
        unet = UNet2DConditionModel(**config)
    unet.save_pretrained(folder / "unet")
    (folder / "model_index.json").write_text('{"_class_name": "StableDiffusionPipeline"}')
    path = folder / "scheduler/scheduler_config.json"
    schedule = {"rescale_betas_zero_snr": False, "timestep_spacing": "leading"}
    path.write_text(json.dumps(json.loads(path.read_text()) | schedule))
    return folder


@pytest.fixture(scope="session")
def stride4_folder(tiny_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny depth model behind an autoencoder of stride 4, the least that a guide has a map at."""
    from diffusers import AutoencoderKL

    folder = Path(shutil.copytree(tiny_folder, tmp_path_factory.mktemp("models") / "stride4"))
    config: dict[str, Any] = {
        "block_out_channels": (8, 16, 32),
        "down_block_types": ("DownEncoderBlock2D",) * 3,
        "up_block_types": ("UpDecoderBlock2D",) * 3,
        "latent_channels": 4,
        "norm_num_groups": 8,
    }
    with torch.random.fork_rng():
        torch.manual_seed(4)
        AutoencoderKL(**config).save_pretrained(folder / "vae")
    return folder


@pytest.fixture(scope="session")
def student_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A student of 16 channels with random weights, whose norms have seen something."""
    from latentdepth.models.student import Student, StudentFacts

    folder = tmp_path_factory.mktemp("models") / "student"
    with torch.random.fork_rng():
        torch.manual_seed(3)
        network = Student(StudentFacts(width=16))
        network(torch.rand(2, 3, 64, 64))
    network.save(folder)
    return folder
