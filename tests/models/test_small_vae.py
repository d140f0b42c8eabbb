"""Small autoencoders: shapes, files, and a prediction through one."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import torch
from diffusers import AutoencoderTiny
from safetensors.torch import load_file, save_file

from latentdepth.core.noise import generator
from latentdepth.loading import load
from latentdepth.models.small_vae import FOLDER, Coder, SmallVaeFacts, load_small_vae, new_small_vae
from latentdepth.models.tiny_vae import tiny_latent
from latentdepth.models.vae_choice import PublishedVae, load_vae
from latentdepth.options import PredictOptions
from latentdepth.predictor import DiffusionPredictor


def photo(side: int = 32) -> torch.Tensor:
    return torch.rand(1, 3, side, side, generator=generator("photo"))


def tiny_published(*, stride: int = 2) -> AutoencoderTiny:
    levels = stride.bit_length()
    widths = (8,) * levels
    with torch.random.fork_rng():
        torch.manual_seed(3)
        return AutoencoderTiny(
            encoder_block_out_channels=widths,
            decoder_block_out_channels=widths,
            num_encoder_blocks=(1,) * levels,
            num_decoder_blocks=(1,) * levels,
        ).eval()


@pytest.fixture
def folder(tiny_folder: Path, tmp_path: Path) -> Path:
    """The tiny model with a small autoencoder in it."""
    model = Path(shutil.copytree(tiny_folder, tmp_path / "model"))
    new_small_vae(stride=2, width=4, deep_blocks=1).save(model / FOLDER)
    return model


def predictor(folder: Path) -> DiffusionPredictor:
    found = load(f"dir:{folder}", device="cpu", dtype="float32")
    assert isinstance(found, DiffusionPredictor)
    return found


@pytest.mark.parametrize("stride", [2, 4, 8, 16])
@pytest.mark.parametrize("channels", [1, 3])
def test_both_halves_have_the_stride_and_channels_asked_for(stride: int, channels: int):
    vae = new_small_vae(5, stride=stride, channels=channels, width=4, deep_blocks=1)
    assert isinstance(vae, Coder)
    latent = vae.encode(torch.rand(2, 3, 32, 48) * 2 - 1)
    assert latent.shape == (2, 5, 32 // stride, 48 // stride)
    assert vae.decode(latent).shape == (2, channels, 32, 48)


def test_latents_far_out_are_bent_back():
    vae = new_small_vae(width=4, deep_blocks=1)
    far = vae.decode(torch.full((1, 4, 2, 2), 1e6))
    torch.testing.assert_close(far, vae.decode(torch.full((1, 4, 2, 2), 1e9)))  # tanh is 1 in float32 for both
    assert not torch.equal(far, vae.decode(torch.ones(1, 4, 2, 2)))


def test_random_weights_depend_on_the_seed_alone_and_leave_torch_s_own_generator():
    before = torch.random.get_rng_state()
    first, again, other = (new_small_vae(width=4, seed=seed).encode(photo()) for seed in (1, 1, 2))
    assert torch.equal(torch.random.get_rng_state(), before)
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_a_saved_one_loads_to_the_same_numbers(tmp_path: Path):
    vae = new_small_vae(width=4, deep_blocks=2, distilled_from="builtin:x")
    vae.save(tmp_path)
    again = load_small_vae(tmp_path)
    assert again.facts == vae.facts == SmallVaeFacts(width=4, deep_blocks=2, distilled_from="builtin:x")
    assert torch.equal(again.encode(photo()), vae.encode(photo()))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["config.json", "model.safetensors"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"width": 8}, "its config.json is of another network"),
        ({"width": 1}, "width is 1; allowed is 4 or more"),
        ({"stride": 3}, "stride is 3; allowed are 2, 4, 8 and 16"),
        ({"channels": 2}, "channels is 2; allowed are 1"),
        ({"architecture": "other"}, "allowed is 'latentdepth small vae'"),
        ({"depth": 1}, "unknown key depth"),
    ],
)
def test_settings_that_do_not_fit_are_named(tmp_path: Path, change: dict[str, int | str], message: str):
    new_small_vae(width=4, deep_blocks=1).save(tmp_path)
    path = tmp_path / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    with pytest.raises(ValueError, match=message):
        load_small_vae(tmp_path)


def test_nan_weights_are_named(tmp_path: Path):
    new_small_vae(width=4, deep_blocks=1).save(tmp_path)
    weights = load_file(tmp_path / "model.safetensors")
    weights["decoder.0.bias"][2] = torch.nan
    save_file(weights, tmp_path / "model.safetensors")
    with pytest.raises(ValueError, match=r"model\.safetensors: decoder\.0\.bias holds NaN or infinity"):
        load_small_vae(tmp_path)


def test_missing_files_are_named(tmp_path: Path):
    with pytest.raises(ValueError, match=r"config\.json is missing; .*latentdepth distill-vae"):
        load_small_vae(tmp_path)
    new_small_vae(width=4, deep_blocks=1).save(tmp_path)
    (tmp_path / "model.safetensors").write_bytes(b"cut off")
    with pytest.raises(ValueError, match=r"model\.safetensors: can't be read"):
        load_small_vae(tmp_path)


def test_a_prediction_goes_through_it_and_says_so(folder: Path):
    """Against the stages done by hand, at the model's resolution of 64: encode small, one jump, decode small."""
    found = predictor(folder)
    full, small = (found(photo(64), PredictOptions(sampler="one_step", vae=vae)) for vae in ("full", "small"))
    assert small.made_with["vae"] == "small"
    assert "vae" not in full.made_with
    assert not torch.allclose(full.value, small.value)
    vae, model = load_small_vae(folder / FOLDER), found.model
    with torch.inference_mode():
        latent = vae.encode(photo(64) * 2 - 1)
        start = torch.randn(latent.shape[1:], generator=generator("member", 0, 0))[None]
        x0 = model.x0(start, torch.tensor([999]), latent)
        value = (vae.decode(x0).clamp(-1, 1) + 1) / 2
    torch.testing.assert_close(small.value, value)  # one channel, or the mean of three that are equal: rounding apart


def test_the_full_one_is_as_before_after_the_small_one(folder: Path):
    found = predictor(folder)
    before = found(photo(), PredictOptions(members=2)).value
    found(photo(), PredictOptions(members=2, vae="small"))
    assert torch.equal(found(photo(), PredictOptions(members=2, vae="full")).value, before)


def test_from_a_folder_of_its_own(folder: Path, tmp_path: Path):
    found = predictor(folder)
    wanted = found(photo(), PredictOptions(vae="small")).value
    apart = tmp_path / "apart"
    (folder / FOLDER).rename(apart)
    for place in (apart, Path(shutil.copytree(apart, tmp_path / "run" / FOLDER)).parent):
        seen = found(photo(), PredictOptions(vae=f"dir:{place}"))
        assert torch.equal(seen.value, wanted)
        assert seen.made_with["vae"] == f"dir:{place}"


def test_a_published_tiny_one_codes_as_diffusers_does(folder: Path, tmp_path: Path):
    upstream = tiny_published()
    upstream.save_pretrained(tmp_path / "taesd")
    coder = load_vae(f"dir:{tmp_path / 'taesd'}", f"dir:{folder}")
    assert isinstance(coder, PublishedVae)
    assert isinstance(coder, Coder)
    with torch.inference_mode():
        image = photo() * 2 - 1
        latent = tiny_latent(upstream, image)
        assert torch.equal(coder.encode(image), latent)
        assert torch.equal(coder.decode(latent), upstream.decode(latent, return_dict=False)[0])
    value = predictor(folder)(photo(), PredictOptions(vae=f"dir:{tmp_path / 'taesd'}")).value
    assert bool(value.isfinite().all())


def test_taesd_s_own_pair_of_files_is_read(folder: Path, tmp_path: Path):
    """Their decoder counts a clamp as its layer 0, which diffusers has not."""
    upstream = AutoencoderTiny().eval()
    for name, part, first in (("encoder", upstream.encoder, 0), ("decoder", upstream.decoder, 1)):
        weights = {}
        for key, value in part.state_dict().items():
            number, rest = key.removeprefix("layers.").split(".", 1)
            weights[f"{int(number) + first}.{rest}"] = value.contiguous()
        save_file(weights, tmp_path / f"taesdxl_{name}.safetensors")
    coder = load_vae(f"dir:{tmp_path}", f"dir:{folder}")
    with torch.inference_mode():
        assert torch.equal(coder.encode(photo()), tiny_latent(upstream, photo()))


def test_one_of_another_latent_space_is_refused(folder: Path, tmp_path: Path):
    found = predictor(folder)
    new_small_vae(16, stride=2, width=4, deep_blocks=1).save(tmp_path / "wide")
    new_small_vae(4, stride=8, width=4, deep_blocks=1).save(tmp_path / "coarse")
    tiny_published(stride=4).save_pretrained(tmp_path / "taesd")
    with pytest.raises(
        ValueError, match=r"latent channels 16, this model's network wants 4: .*distill-vae.*--vae full"
    ):
        found(photo(), PredictOptions(vae=f"dir:{tmp_path / 'wide'}"))
    with pytest.raises(ValueError, match="stride 8, this model's network wants 2"):
        found(photo(), PredictOptions(vae=f"dir:{tmp_path / 'coarse'}"))
    with pytest.raises(ValueError, match="stride 4, this model's network wants 2"):
        found(photo(), PredictOptions(vae=f"dir:{tmp_path / 'taesd'}"))


def test_normals_need_three_channels(folder: Path, tmp_path: Path):
    (folder / "latentdepth.json").write_text('{"modality": "normals"}')
    with pytest.raises(ValueError, match="decodes to one channel, and this model predicts normals"):
        predictor(folder)(photo(), PredictOptions(vae="small"))
    new_small_vae(stride=2, channels=3, width=4, deep_blocks=1).save(folder / FOLDER)
    value = predictor(folder)(photo(), PredictOptions(vae="small")).value
    torch.testing.assert_close(value.norm(dim=1), torch.ones(1, 32, 32), atol=1e-4, rtol=0)  # after a float32 division


def test_none_in_the_folder_says_what_to_type(tiny_folder: Path):
    with pytest.raises(ValueError, match=r"vae_small is missing.*`latentdepth distill-vae dir:.* --vae small"):
        predictor(tiny_folder)(photo(), PredictOptions(vae="small"))


def test_folders_without_one_are_explained(folder: Path, tmp_path: Path):
    name = f"dir:{folder}"
    with pytest.raises(ValueError, match=r"nowhere.* does not exist"):
        load_vae(f"dir:{tmp_path / 'nowhere'}", name)
    (tmp_path / "empty").mkdir()
    with pytest.raises(ValueError, match=r"holds no small autoencoder; .*AutoencoderTiny.*hub:madebyollin/taesd"):
        load_vae(f"dir:{tmp_path / 'empty'}", name)
    (tmp_path / "empty/config.json").write_text("{")
    with pytest.raises(ValueError, match=r"config\.json is not valid JSON"):
        load_vae(f"dir:{tmp_path / 'empty'}", name)
    (tmp_path / "empty/config.json").write_text('{"_class_name": "AutoencoderTiny"}')
    with pytest.raises(ValueError, match=r"diffusion_pytorch_model\.safetensors: can't be read"):
        load_vae(f"dir:{tmp_path / 'empty'}", name)


@pytest.mark.parametrize("vae", ["smal", "builtin:tiny", ""])
def test_other_words_are_refused(vae: str):
    with pytest.raises(ValueError, match="allowed are full, small, dir:PATH and hub:ORG/REPO"):
        PredictOptions(vae=vae)
