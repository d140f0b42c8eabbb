"""A latent diffusion model for dense prediction: VAE, U-Net and schedule from a diffusers-layout folder.

Three public stages, tensor to tensor: ``encode``, ``x0`` (one network call) and ``decode``. Does not know ensembles,
images' sizes or what the values mean. Paper: Marigold (arXiv 2312.02145), section 3.
"""

from __future__ import annotations

import contextlib
import json
import warnings
from pathlib import Path
from typing import Any

import torch
from diffusers import AutoencoderKL, UNet2DConditionModel
from diffusers.models.autoencoders.vae import DiagonalGaussianDistribution
from jaxtyping import Float, Int
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from latentdepth.core.schedule import Schedule, from_config
from latentdepth.models.facts import Facts, read_facts, write_facts

EMPTY_PROMPT = "empty_prompt.safetensors"
_WEIGHTS = "diffusion_pytorch_model"
_OLD_ATTENTION = {".query.": ".to_q.", ".key.": ".to_k.", ".value.": ".to_v.", ".proj_attn.": ".to_out.0."}


class DiffusionModel:
    """The networks, held in one dtype on one device.

    Latents that cross its edge are float32; images are in [-1, 1].
    """

    def __init__(
        self, unet: UNet2DConditionModel, vae: AutoencoderKL, schedule: Schedule, prompt: Tensor, facts: Facts
    ) -> None:
        self.unet, self.vae = unet.eval(), vae.eval()
        for network in (unet, vae):
            nn.Module.to(network, memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]
        self.schedule, self.prompt, self.facts = schedule, prompt, facts
        self.scale = float(vae.config["scaling_factor"])
        self.stride = 2 ** (len(vae.config["block_out_channels"]) - 1)
        self.latent_channels = int(vae.config["latent_channels"])

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return next(self.unet.parameters()).device

    @property
    def dtype(self) -> torch.dtype:
        """What the networks compute in."""
        return next(self.unet.parameters()).dtype

    def to(self, device: torch.device, dtype: torch.dtype) -> DiffusionModel:
        """Move in place."""
        for network in (self.unet, self.vae):
            nn.Module.to(network, device, dtype)  # diffusers' own .to warns of modules that it would keep in float32
        self.prompt = self.prompt.to(device, dtype)
        return self

    def _in(self, x: Float[Tensor, "n c h w"]) -> Float[Tensor, "n c h w"]:
        return x.to(self.device, self.dtype).contiguous(memory_format=torch.channels_last)

    def encode(self, images: Float[Tensor, "n 3 h w"]) -> Float[Tensor, "n c hl wl"]:
        """Scaled mean of the VAE posterior (never a sample). ``images`` in [-1, 1], sides multiples of ``stride``."""
        return posterior(self.vae, self._in(images)).mode().float() * self.scale

    def x0(
        self,
        x_t: Float[Tensor, "n c hl wl"],
        t: Int[Tensor, " n"],
        image_latent: Float[Tensor, "n c hl wl"],
    ) -> Float[Tensor, "n c hl wl"]:
        """One network call, turned into the clean latent it stands for."""
        n = x_t.shape[0]
        x_t = image_latent if self.facts.image_enters == "as_latent" else x_t
        network_in = x_t if self.facts.image_enters == "as_latent" else torch.cat((image_latent, x_t), 1)
        labels = None
        if self.facts.task_embedding is not None:
            labels = torch.tensor([self.facts.task_embedding], device=self.device, dtype=self.dtype).expand(n, -1)
        predicted = self.unet(
            self._in(network_in),
            t.to(self.device),
            encoder_hidden_states=self.prompt.expand(n, -1, -1),
            class_labels=labels,
        ).sample
        return self.schedule.x0(predicted.float(), x_t.to(self.device).float(), t.to(self.device))

    def decode(self, latent: Float[Tensor, "n c hl wl"]) -> Float[Tensor, "n 3 h w"]:
        """Decoded latent as float32; about [-1, 1], not clipped."""
        return decoded(self.vae, self._in(latent / self.scale)).float()

    def save(self, folder: Path, *, dtype: torch.dtype | None = None) -> None:
        """Write a folder that ``load_diffusion`` and diffusers read; ``dtype`` casts the stored weights."""
        for name, network in (("unet", self.unet), ("vae", self.vae)):
            (folder / name).mkdir(parents=True, exist_ok=True)
            network.save_config(folder / name)
            weights = {k: v.detach().cpu().to(dtype or v.dtype).contiguous() for k, v in network.state_dict().items()}
            save_file(weights, folder / name / f"{_WEIGHTS}.safetensors", metadata={"format": "pt"})
        (folder / "scheduler").mkdir(exist_ok=True)
        (folder / "scheduler" / "scheduler_config.json").write_text(
            json.dumps(_scheduler_config(self), indent=2) + "\n"
        )
        save_file({"embedding": self.prompt.detach().cpu().float().contiguous()}, folder / EMPTY_PROMPT)
        write_facts(folder, self.facts)


def posterior(vae: AutoencoderKL, images: Float[Tensor, "n 3 h w"]) -> DiagonalGaussianDistribution:
    """What the encoder says of images in [-1, 1]: mean and log variance, unscaled."""
    encoded: Any = vae.encode(images)  # diffusers types this as a tuple or an object; it is the object
    return encoded.latent_dist


def decoded(vae: AutoencoderKL, latent: Float[Tensor, "n c hl wl"]) -> Float[Tensor, "n 3 h w"]:
    """The picture of an unscaled latent, about [-1, 1]."""
    z: Any = latent  # annotated as a float32 class that bfloat16 tensors are not
    picture: Any = vae.decode(z)
    return picture.sample


def _scheduler_config(model: DiffusionModel) -> dict[str, Any]:
    """diffusers' words for our schedule. Only Stable Diffusion's betas, plain or rescaled, have such words."""
    schedule = model.schedule
    return {
        "_class_name": "LCMScheduler" if model.facts.sampler == "lcm" else "DDIMScheduler",
        "num_train_timesteps": schedule.length,
        "beta_start": 0.00085,
        "beta_end": 0.012,
        "beta_schedule": "scaled_linear",
        "rescale_betas_zero_snr": float(schedule.signal[-1]) == 0.0,
        "prediction_type": schedule.prediction_type,
        "timestep_spacing": schedule.spacing,
        "steps_offset": schedule.offset,
        "set_alpha_to_one": schedule.final_signal == 1.0,
        "clip_sample": False,
    }


def widened(unet: UNet2DConditionModel, targets: int = 1) -> UNet2DConditionModel:
    """Marigold's surgery: room for the photo's latent beside ``targets`` noisy ones, and for as many to come out.

    The input convolution's weights are repeated along the input channels and divided by their number, so that its
    activations keep their size; the output convolution's are repeated as they are. Returns a new network with
    copies of the other weights.
    """
    if targets < 1:
        raise ValueError(f"targets is {targets}; allowed is 1 or more")
    channels, out = int(unet.config["in_channels"]), int(unet.config["out_channels"])
    config = dict(unet.config) | {"in_channels": (targets + 1) * channels, "out_channels": targets * out}
    wider = UNet2DConditionModel.from_config(config)
    assert isinstance(wider, UNet2DConditionModel)
    weights = dict(unet.state_dict())
    weights["conv_in.weight"] = weights["conv_in.weight"].repeat(1, targets + 1, 1, 1) / (targets + 1)
    weights["conv_out.weight"] = weights["conv_out.weight"].repeat(targets, 1, 1, 1)
    weights["conv_out.bias"] = weights["conv_out.bias"].repeat(targets)
    wider.load_state_dict(weights)
    return wider


def doubled_input(unet: UNet2DConditionModel) -> UNet2DConditionModel:
    """``widened`` for one target: the photo's latent beside the noisy one."""
    return widened(unet, 1)


def _json(path: Path) -> dict[str, Any]:
    if not path.exists():
        raise ValueError(
            f"{path} is missing; a model folder holds unet/, vae/, scheduler/ and model_index.json (diffusers layout)"
        )
    try:
        value = json.loads(path.read_text())
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise ValueError(f"{path} is not valid JSON: {error}") from error
    if not isinstance(value, dict):
        raise ValueError(f"{path} holds a {type(value).__name__}; a JSON object is needed")
    return value


def _weights(folder: Path) -> dict[str, Tensor]:
    for name in (f"{_WEIGHTS}.safetensors", f"{_WEIGHTS}.fp16.safetensors"):
        if (folder / name).exists():
            try:
                return load_file(folder / name)
            except SafetensorError as error:
                raise ValueError(f"{folder / name} is damaged ({error}); download or copy it again") from error
    found = sorted(p.name for p in folder.glob("*.bin")) if folder.is_dir() else []
    raise ValueError(
        f"{folder}: no {_WEIGHTS}.safetensors"
        + (f", only {', '.join(found)}; pickled weights are never loaded: convert them to safetensors" if found else "")
    )


def _load_component(
    kind: type[UNet2DConditionModel] | type[AutoencoderKL], folder: Path, config: dict[str, Any]
) -> UNet2DConditionModel | AutoencoderKL:
    expected = kind.__init__.__wrapped__.__code__.co_varnames  # pyright: ignore  (diffusers wraps __init__)
    unknown = sorted(k for k in config if not k.startswith("_") and k not in expected)
    if unknown:
        warnings.warn(f"{folder}/config.json: keys not known here are ignored: {', '.join(unknown)}", stacklevel=4)
    network = kind.from_config({k: v for k, v in config.items() if k not in unknown})
    assert isinstance(network, nn.Module)
    weights = _weights(folder)
    for old, new in _OLD_ATTENTION.items():
        weights = {k.replace(old, new) if "attentions" in k else k: v for k, v in weights.items()}
    wanted = network.state_dict()
    wrong = [
        f"{k} has shape {tuple(weights[k].shape)}, {tuple(v.shape)} is needed"
        for k, v in wanted.items()
        if k in weights and weights[k].shape != v.shape
    ]
    wrong += [f"{k} is missing" for k in wanted if k not in weights] + [
        f"{k} has no place" for k in weights if k not in wanted
    ]
    if wrong:
        more = f" (and {len(wrong) - 3} more)" if len(wrong) > 3 else ""
        raise ValueError(f"{folder}: weights don't fit config.json: {'; '.join(wrong[:3])}{more}")
    for name, value in weights.items():
        if not bool(torch.isfinite(value).all()):
            raise ValueError(
                f"{folder}: {name} holds NaN or infinity; the weights are broken, take an earlier checkpoint"
            )
    network.load_state_dict({k: v.float() for k, v in weights.items()})
    return network


def _empty_prompt(folder: Path, width: int) -> Tensor:
    """The cached embedding of "", or made once from the folder's text encoder and cached there."""
    cached = folder / EMPTY_PROMPT
    if cached.exists():
        embedding = load_file(cached).get("embedding")
        if embedding is None or embedding.ndim != 3 or embedding.shape[0] != 1 or embedding.shape[2] != width:
            raise ValueError(f"{cached} must hold a tensor 'embedding' of shape (1, tokens, {width})")
        return embedding.float()
    if not (folder / "text_encoder").is_dir() or not (folder / "tokenizer").is_dir():
        raise ValueError(
            f"{folder} has neither {EMPTY_PROMPT} nor text_encoder/ and tokenizer/; one of them is needed for the "
            "embedding of the empty prompt"
        )
    from transformers import CLIPTextModel, CLIPTokenizer

    tokenizer = CLIPTokenizer.from_pretrained(folder / "tokenizer", local_files_only=True)
    encoder = CLIPTextModel.from_pretrained(folder / "text_encoder", local_files_only=True, use_safetensors=True).eval()
    tokens = tokenizer("", padding="do_not_pad", return_tensors="pt").input_ids
    with torch.inference_mode():
        embedding = encoder(tokens)[0].float().clone()
    with contextlib.suppress(OSError):  # a read-only folder only means embedding it again next time
        save_file({"embedding": embedding.contiguous()}, cached)
    return embedding


def load_networks(folder: Path) -> tuple[UNet2DConditionModel, AutoencoderKL, Schedule, Tensor]:
    """U-Net, autoencoder, noise schedule and embedded empty prompt of any diffusers-layout folder, in float32.

    Raises ValueError, naming the file, for missing, damaged, mismatched or non-finite weights.
    """
    unet_config, vae_config = _json(folder / "unet" / "config.json"), _json(folder / "vae" / "config.json")
    scheduler_config = _json(folder / "scheduler" / "scheduler_config.json")
    unet = _load_component(UNet2DConditionModel, folder / "unet", unet_config)
    vae = _load_component(AutoencoderKL, folder / "vae", vae_config)
    assert isinstance(unet, UNet2DConditionModel)
    assert isinstance(vae, AutoencoderKL)
    width = unet.config["cross_attention_dim"]
    prompt = _empty_prompt(folder, int(width[0] if isinstance(width, (list, tuple)) else width))
    return unet, vae, from_config(scheduler_config), prompt


def load_diffusion(folder: Path, *, device: torch.device, dtype: torch.dtype) -> DiffusionModel:
    """Load any diffusers-layout folder of a latent depth or normals model, offline.

    Raises ValueError, naming the file, for missing, damaged, mismatched or non-finite weights and unknown facts.
    """
    if not folder.is_dir():
        raise ValueError(f"{folder} is not a folder; give dir:PATH of a folder with unet/, vae/ and scheduler/")
    unet_config = _json(folder / "unet" / "config.json")
    scheduler_config = _json(folder / "scheduler" / "scheduler_config.json")
    facts = read_facts(folder, unet_config, scheduler_config)
    return DiffusionModel(*load_networks(folder), facts).to(device, dtype)
