"""A latent diffusion model for dense prediction: VAE, U-Net and schedule from a diffusers-layout folder.

Three public stages, tensor to tensor: ``encode``, ``x0`` (one network call) and ``decode``. Does not know ensembles,
images' sizes or what the values mean. Paper: Marigold (arXiv 2312.02145), section 3.
"""

from __future__ import annotations

import copy
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from diffusers import AutoencoderKL, UNet2DConditionModel
from diffusers.models.autoencoders.vae import DiagonalGaussianDistribution
from jaxtyping import Float, Int
from safetensors.torch import save_file
from torch import Tensor, nn

from latentdepth.core.schedule import Schedule
from latentdepth.models.facts import Facts, read_facts, write_facts
from latentdepth.models.guide import Guide, guide_of
from latentdepth.models.networks import EMPTY_PROMPT, WEIGHTS, load_networks, read_json
from latentdepth.models.quick_unet import QuickUNet, knows_unet
from latentdepth.models.quick_vae import QuickVae, knows_vae
from latentdepth.models.small_vae import Coder


class DiffusionModel:
    """The networks, held in one dtype on one device.

    Latents that cross its edge are float32; images are in [-1, 1].
    """

    def __init__(
        self,
        unet: UNet2DConditionModel,
        vae: AutoencoderKL,
        schedule: Schedule,
        prompt: Tensor,
        facts: Facts,
        guide: Guide | None = None,
    ) -> None:
        self.unet, self.vae, self.guide = unet.eval(), vae.eval(), guide
        for network in self.networks:
            nn.Module.to(network, memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]
        self.schedule, self.prompt, self.facts = schedule, prompt, facts
        self.scale = float(vae.config["scaling_factor"])
        self.stride = stride_of(vae)
        self.latent_channels = int(vae.config["latent_channels"])
        self.coder: Coder | None = None
        """Stands in for the autoencoder in ``encode`` and ``decode``, never in training."""
        self._quick_unet: QuickUNet | None = None
        self._quick_vae: QuickVae | None = None

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return next(self.unet.parameters()).device

    @property
    def dtype(self) -> torch.dtype:
        """What the networks compute in."""
        return next(self.unet.parameters()).dtype

    @property
    def networks(self) -> tuple[nn.Module, ...]:
        """All that has weights."""
        return (self.unet, self.vae) if self.guide is None else (self.unet, self.vae, self.guide)

    @property
    def sides_px(self) -> tuple[int, int]:
        """What an image's sides are multiples of, the autoencoder's stride or the guide's student's, and the
        least: one cell of the U-Net's deepest level."""
        levels = len(self.unet.config["block_out_channels"])
        step = self.stride if self.guide is None else self.guide.student.stride
        return step, max(step, self.stride * 2 ** (levels - 1))

    @property
    def seen_channels(self) -> int:
        """Of what ``condition`` gives."""
        return self.latent_channels + (0 if self.guide is None else self.guide.channels)

    def to(self, device: torch.device, dtype: torch.dtype) -> DiffusionModel:
        """Move in place."""
        for network in self.networks:
            nn.Module.to(network, device, dtype)  # diffusers' own .to warns of modules that it would keep in float32
        self.prompt = self.prompt.to(device, dtype)
        return self

    @torch.no_grad()
    def freeze(self) -> DiffusionModel:
        """Say that weights, device and dtype no longer change: from here on inference takes quick forms; in place.

        Results are the same up to rounding. A network of another build than Stable Diffusion's runs as it did.
        """
        if knows_unet(self.unet):
            self._quick_unet = QuickUNet(self.unet, self.prompt, self._labels())
        if knows_vae(self.vae):
            self._quick_vae = QuickVae(self.vae)
        return self

    def _labels(self) -> Float[Tensor, "1 k"] | None:
        if self.facts.task_embedding is None:
            return None
        return torch.tensor([self.facts.task_embedding], device=self.device, dtype=self.dtype)

    def _in(self, x: Float[Tensor, "n c h w"]) -> Float[Tensor, "n c h w"]:
        return x.to(self.device, self.dtype).contiguous(memory_format=torch.channels_last)

    def encode(self, images: Float[Tensor, "n 3 h w"]) -> Float[Tensor, "n c hl wl"]:
        """Scaled mean of the VAE posterior (never a sample). ``images`` in [-1, 1], sides multiples of ``stride``."""
        if self.coder is not None:
            return self.coder.encode(self._in(images)).float()
        x = self._in(images)
        quick = None if torch.is_grad_enabled() else self._quick_vae
        return (posterior(self.vae, x).mode() if quick is None else quick.mean(x)).float() * self.scale

    def condition(
        self, images: Float[Tensor, "n 3 h w"], latent: Float[Tensor, "n c hl wl"] | None = None
    ) -> Float[Tensor, "n ci hl wl"]:
        """What the U-Net sees of the photos: their latents, and behind these the guide's map where there is one.

        ``latent``: what ``encode`` gives, where that is known already.
        """
        latent = self.encode(images) if latent is None else latent
        return latent if self.guide is None else torch.cat((latent, self.guide(images.to(latent.device))), 1)

    def x0(
        self,
        x_t: Float[Tensor, "n c hl wl"],
        t: Int[Tensor, " n"],
        image_latent: Float[Tensor, "n ci hl wl"],
    ) -> Float[Tensor, "n c hl wl"]:
        """One network call, turned into the clean latent it stands for. ``image_latent``: what ``condition`` gives."""
        n = x_t.shape[0]
        x_t = image_latent if self.facts.image_enters == "as_latent" else x_t
        network_in = x_t if self.facts.image_enters == "as_latent" else torch.cat((image_latent, x_t), 1)
        if self._quick_unet is not None and not torch.is_grad_enabled():
            predicted = self._quick_unet(self._in(network_in), t)
        else:
            labels = self._labels()
            predicted = self.unet(
                self._in(network_in),
                t.to(self.device),
                encoder_hidden_states=self.prompt.expand(n, -1, -1),
                class_labels=None if labels is None else labels.expand(n, -1),
            ).sample
        return self.schedule.x0(predicted.float(), x_t.to(self.device).float(), t.to(self.device))

    def decode(self, latent: Float[Tensor, "n c hl wl"]) -> Float[Tensor, "n 3 h w"]:
        """Decoded latent as float32; about [-1, 1], not clipped."""
        if self.coder is not None:
            return self.coder.decode(self._in(latent)).float().expand(-1, 3, -1, -1)
        z = self._in(latent / self.scale)
        quick = None if torch.is_grad_enabled() else self._quick_vae
        return (decoded(self.vae, z) if quick is None else quick.picture(z)).float()

    def with_vae(self, coder: Coder) -> DiffusionModel:
        """The same networks behind ``coder``, which is moved to where they are. ValueError where it won't fit."""
        wanted = {"latent channels": self.latent_channels, "stride": self.stride}
        given = {"latent channels": coder.latent_channels, "stride": coder.stride}
        for name in wanted:
            if given[name] != wanted[name]:
                raise ValueError(
                    f"the small autoencoder has {name} {given[name]}, this model's network wants {wanted[name]}: take "
                    "one that was made for this model (`latentdepth distill-vae` makes one), or --vae full"
                )
        if self.facts.modality == "normals" and coder.channels != 3:
            raise ValueError(
                "the small autoencoder decodes to one channel, and this model predicts normals, which have three: "
                "distil one for this model, or give --vae full"
            )
        assert isinstance(coder, nn.Module)
        nn.Module.to(coder, self.device, self.dtype, memory_format=torch.channels_last)  # pyright: ignore
        model = copy.copy(self)
        model.coder = coder
        return model

    def save(self, folder: Path, *, dtype: torch.dtype | None = None) -> None:
        """Write a folder that ``load_diffusion`` and diffusers read; ``dtype`` casts the stored weights."""
        for name, network in (("unet", self.unet), ("vae", self.vae)):
            (folder / name).mkdir(parents=True, exist_ok=True)
            network.save_config(folder / name)
            weights = {k: v.detach().cpu().to(dtype or v.dtype).contiguous() for k, v in network.state_dict().items()}
            save_file(weights, folder / name / f"{WEIGHTS}.safetensors", metadata={"format": "pt"})
        (folder / "scheduler").mkdir(exist_ok=True)
        (folder / "scheduler" / "scheduler_config.json").write_text(
            json.dumps(_scheduler_config(self), indent=2) + "\n"
        )
        save_file({"embedding": self.prompt.detach().cpu().float().contiguous()}, folder / EMPTY_PROMPT)
        guide = {"guide": None, "guide_sha256": None} if self.guide is None else self.guide.save(folder)
        write_facts(folder, replace(self.facts, **guide))


def stride_of(vae: AutoencoderKL) -> int:
    """Pixels to a latent cell."""
    return 2 ** (len(vae.config["block_out_channels"]) - 1)


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


def load_diffusion(folder: Path, *, device: torch.device, dtype: torch.dtype) -> DiffusionModel:
    """Load any diffusers-layout folder of a latent depth or normals model, offline.

    Raises ValueError, naming the file, for missing, damaged, mismatched or non-finite weights and unknown facts.
    """
    if not folder.is_dir():
        raise ValueError(f"{folder} is not a folder; give dir:PATH of a folder with unet/, vae/ and scheduler/")
    unet_config = read_json(folder / "unet" / "config.json")
    scheduler_config = read_json(folder / "scheduler" / "scheduler_config.json")
    facts = read_facts(folder, unet_config, scheduler_config)
    networks = load_networks(folder, dtype=dtype)
    model = DiffusionModel(*networks, facts, guide_of(folder, facts, stride_of(networks[1])))
    wanted, found = model.seen_channels + model.latent_channels, int(unet_config.get("in_channels", 0))
    if model.guide is not None and found != wanted:
        raise ValueError(
            f"{folder}/unet/config.json: in_channels is {found}; with the guide {facts.guide} {wanted} are needed"
        )
    return model.to(device, dtype)
