"""From text-to-image folders to models that can be trained: shapes, activations, schedules, and what is refused."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import torch
from diffusers import UNet2DConditionModel

from latentdepth.core.noise import generator
from latentdepth.core.schedule import scaled_linear, zero_terminal_snr
from latentdepth.models.stable_diffusion import from_stable_diffusion, switched


@pytest.fixture
def folder(base_folder: Path, tmp_path: Path) -> Path:
    """A copy that a test may break."""
    return Path(shutil.copytree(base_folder, tmp_path / "base"))


def change(path: Path, **values: object) -> None:
    path.write_text(json.dumps(json.loads(path.read_text()) | values))


@pytest.mark.parametrize("targets", [1, 2, 3])
def test_equal_latents_give_what_the_base_gives(base_folder: Path, targets: int):
    model = from_stable_diffusion(base_folder, modality="depth", targets=targets)
    plain = UNet2DConditionModel.from_pretrained(base_folder / "unet")
    x, prompt = torch.randn(2, 4, 8, 8, generator=generator("x")), model.prompt.expand(2, -1, -1)
    with torch.no_grad():
        wanted = plain(x, 10, encoder_hidden_states=prompt).sample
        found = model.unet(x.repeat(1, targets + 1, 1, 1), 10, encoder_hidden_states=prompt).sample
    assert found.shape == (2, 4 * targets, 8, 8)
    # sums of 4 (targets + 1) terms instead of 4, through a whole network
    torch.testing.assert_close(found, wanted.repeat(1, targets, 1, 1), atol=1e-4, rtol=1e-4)


def test_the_schedule_is_the_base_s_or_rescaled(base_folder: Path):
    first = from_stable_diffusion(base_folder, modality="depth", schedule="base")
    assert first.schedule.spacing == "leading"
    torch.testing.assert_close(first.schedule.signal, scaled_linear())
    second = from_stable_diffusion(base_folder, modality="normals", schedule="zero_snr", resolution=512)
    assert second.schedule.spacing == "trailing"
    torch.testing.assert_close(second.schedule.signal, zero_terminal_snr(scaled_linear()))
    assert (first.facts.steps, second.facts.steps) == (10, 4)
    assert (second.facts.modality, second.facts.resolution) == ("normals", 512)


def test_the_switch_starts_without_effect(base_folder: Path):
    model = from_stable_diffusion(base_folder, modality="disparity", switch=True)
    assert model.facts.image_enters == "as_latent"
    assert model.schedule.prediction_type == "sample"
    plain = UNet2DConditionModel.from_pretrained(base_folder / "unet")
    x, prompt = torch.randn(2, 4, 8, 8, generator=generator("x")), model.prompt.expand(2, -1, -1)
    with torch.no_grad():
        wanted = plain(x, 999, encoder_hidden_states=prompt).sample
        zeros, random = torch.zeros(2, 4), torch.randn(2, 4, generator=generator("l"))
        found = [model.unet(x, 999, encoder_hidden_states=prompt, class_labels=v).sample for v in (zeros, random)]
    assert torch.equal(*found)
    torch.testing.assert_close(found[0], wanted, atol=1e-5, rtol=1e-5)  # another memory layout, other rounding
    assert float(switched(plain).get_parameter("class_embedding.linear_1.weight").detach().std()) > 0


def test_a_missing_base_says_where_such_weights_are(tmp_path: Path):
    with pytest.raises(ValueError, match=r"config\.json is missing.*sd2-community.*stable-diffusion-2\.tar"):
        from_stable_diffusion(tmp_path / "stable-diffusion-2", modality="depth")


def test_other_folders_are_refused(folder: Path, tiny_folder: Path):
    with pytest.raises(ValueError, match="in_channels is 8; a text-to-image base has 4"):
        from_stable_diffusion(tiny_folder, modality="depth")
    with pytest.raises(ValueError, match="targets is 2; the form with a switch predicts 1"):
        from_stable_diffusion(folder, modality="depth", targets=2, switch=True)
    with pytest.raises(ValueError, match="targets is 0; allowed is 1 or more"):
        from_stable_diffusion(folder, modality="depth", targets=0)
    change(folder / "scheduler/scheduler_config.json", prediction_type="epsilon")
    with pytest.raises(ValueError, match="nothing of the picture at zero terminal SNR; give schedule base"):
        from_stable_diffusion(folder, modality="depth")
    assert from_stable_diffusion(folder, modality="depth", schedule="base").schedule.prediction_type == "epsilon"
    change(folder / "scheduler/scheduler_config.json", beta_end=0.02)
    with pytest.raises(ValueError, match="betas are not Stable Diffusion's"):
        from_stable_diffusion(folder, modality="depth", schedule="base")
    (folder / "unet/config.json").write_text("{")
    with pytest.raises(ValueError, match="not valid JSON"):
        from_stable_diffusion(folder, modality="depth")
