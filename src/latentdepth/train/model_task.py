"""What every task on a whole diffusion model shares: the frozen parts, the network's call, saving, predicting.

Knows no losses. The U-Net is trained; the autoencoder, the prompt and the schedule stay as they were loaded.
"""

from __future__ import annotations

import dataclasses
from pathlib import Path

import torch
from diffusers import UNet2DConditionModel
from jaxtyping import Float, Int
from torch import Tensor, nn

from latentdepth.core.types import Prediction
from latentdepth.data.batch import Batch
from latentdepth.data.options import TargetKind
from latentdepth.models.diffusion import DiffusionModel
from latentdepth.predictor import DiffusionPredictor
from latentdepth.train.latents import LatentBatch, encoded
from latentdepth.train.lora import has_adapters, save_adapters, with_lora, without_adapters
from latentdepth.train.options import LoraOptions
from latentdepth.train.task import Task


class ModelTask(Task[Batch | LatentBatch]):
    """A task that trains ``model``'s U-Net; ``model`` is taken over, and its facts become those of what is trained.

    Batches come as pixels, which are encoded here, or as latents already encoded.
    """

    def __init__(self, model: DiffusionModel, **facts: object) -> None:
        self.model, self.network = model, model.unet
        self.targets = int(model.unet.config["out_channels"]) // model.latent_channels
        model.facts = dataclasses.replace(model.facts, **facts)  # pyright: ignore[reportArgumentType]
        channels = int(model.unet.config["in_channels"])
        beside = 0 if model.facts.image_enters == "as_latent" else self.targets * model.latent_channels
        wanted = model.seen_channels + beside
        if channels != wanted:
            raise ValueError(
                f"the network takes {channels} channels; {type(self).__name__} needs {wanted} for {self.targets} "
                "predicted pictures: start from a Stable Diffusion folder, which is brought to that form"
            )
        if model.schedule.prediction_type == "epsilon" and float(model.schedule.signal[-1]) == 0.0:
            raise ValueError(
                "this folder predicts noise (epsilon) on a schedule with zero terminal SNR, where that says nothing of "
                "the picture; allowed there are v_prediction and sample (scheduler/scheduler_config.json)"
            )
        model.vae.requires_grad_(False)  # a guide never learns

    def adapt(self, lora: LoraOptions) -> None:
        """Train adapters in place of the network's own weights."""
        with_lora(self.model.unet, lora)

    @property
    def kind(self) -> TargetKind:
        """What the saved model will predict."""
        return self.model.facts.modality

    @property
    def sides_px(self) -> tuple[int, int]:
        """Those of the model."""
        return self.model.sides_px

    @property
    def device(self) -> torch.device:
        """Where the frozen parts are; the network's wrapper may hold its weights in pieces."""
        return next(self.model.vae.parameters()).device

    def to(self, device: torch.device) -> None:
        """Move what is frozen, and the prompt."""
        for network in self.frozen:
            nn.Module.to(network, device)
        self.model.prompt = self.model.prompt.to(device)

    @property
    def frozen(self) -> tuple[nn.Module, ...]:
        """What decides how a batch is encoded."""
        return self.model.networks[1:]

    def encoded(self, batch: Batch) -> LatentBatch:
        """What the loss is computed from: the frozen networks' part, which can be done once for many steps."""
        return encoded(self.model, batch)

    def latents(self, batch: Batch | LatentBatch) -> tuple[LatentBatch, Float[Tensor, "n ci hl wl"]]:
        """The batch encoded, on the task's device, and what the network sees of the photo, which is never None here.

        Raises ValueError when the target's channels are not those that the network puts out.
        """
        given = self.encoded(batch) if isinstance(batch, Batch) else batch.to(self.device)
        wanted = self.targets * self.model.latent_channels
        if given.image is None or given.target.shape[1] != wanted:
            raise ValueError(
                f"the batch has {given.target.shape[1]} target channels and {'no' if given.image is None else 'an'} "
                f"image latent; this network predicts {wanted} beside an image latent ({self.targets} pictures)"
            )
        return given, given.image

    def called(
        self,
        network: nn.Module,
        latent: Float[Tensor, "n c hl wl"],
        t: Int[Tensor, " n"],
        labels: Float[Tensor, "n d"] | None = None,
    ) -> Float[Tensor, "n k hl wl"]:
        """What ``network`` says of a latent input, float32. Not ``DiffusionModel.x0``: the wrapper has to be called."""
        predicted = network(
            latent.contiguous(memory_format=torch.channels_last),
            t,
            encoder_hidden_states=self.model.prompt.expand(latent.shape[0], -1, -1),
            class_labels=labels,
        )
        return predicted.sample.float()

    def save(self, folder: Path) -> None:
        """The whole model; adapters are merged into its weights and lie in ``adapters`` besides."""
        unet, own = self._bare(), self.model.unet
        try:
            self.model.unet = without_adapters(unet)
            self.model.save(folder)
        finally:
            self.model.unet = own
        if has_adapters(unet):
            save_adapters(unet, folder / "adapters")

    def predict(self, image: Float[Tensor, "n 3 h w"]) -> Prediction:
        """What the saved folder gives by default for photos in [0, 1]."""
        if self.targets != 1:
            raise ValueError(f"this network predicts {self.targets} pictures at once; values are read from 1 only")
        unet, own, home = self._bare(), self.model.unet, self.device
        trained, where = unet.training, next(unet.parameters())
        unet.eval()
        try:
            self.model.unet = unet
            self.to(where.device)
            # weights kept in bfloat16 beside a float32 autoencoder: let every layer cast its input
            with torch.autocast(where.device.type, torch.bfloat16, enabled=where.dtype != torch.float32):
                return DiffusionPredictor(self.model, "in training")(image)
        finally:
            self.model.unet = own
            self.to(home)
            unet.train(trained)

    def _bare(self) -> UNet2DConditionModel:
        if not isinstance(self.network, UNet2DConditionModel):
            raise TypeError(f"the network is a {type(self.network).__name__}: unwrap it before saving or predicting")
        return self.network
