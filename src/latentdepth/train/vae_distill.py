"""A small autoencoder from a model's own: the encoder learns its latents, the decoder what it decodes, in one channel.

The decoder sees what it will be given: latents of depth maps, and on photos without depth those that the model itself
predicts in one step. Runs in the same loop as every other task. TAESD (github.com/madebyollin/taesd) is the idea.
"""

from __future__ import annotations

import dataclasses
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor, nn

from latentdepth.core import samplers
from latentdepth.core.colours import uncertainty_colours
from latentdepth.core.noise import generator
from latentdepth.data.batch import Batch
from latentdepth.data.loader import stream
from latentdepth.data.mixing import MixedBatches, Portion
from latentdepth.data.options import Target, TargetKind
from latentdepth.models.diffusion import DiffusionModel, load_diffusion
from latentdepth.models.small_vae import FOLDER, SmallVae, new_small_vae
from latentdepth.models.source import resolve
from latentdepth.train.autoencode import gradient_l1, three_channels
from latentdepth.train.fit import Fitted, Record, fit
from latentdepth.train.runs import open_frames, parted, validation_on
from latentdepth.train.task import Judged, Task
from latentdepth.train.tiny_networks import channels_last
from latentdepth.train.vae_config import VaeDistillConfig, VaeLosses

_WIDEST = 64


class Halves(nn.Module):
    """Encoder and decoder as one call, which is what a wrapper for several processes needs."""

    def __init__(self, small: SmallVae) -> None:
        super().__init__()
        self.small = small

    def forward(
        self, images: Float[Tensor, "n 3 h w"], latent: Float[Tensor, "n c hl wl"]
    ) -> tuple[Float[Tensor, "n c hl wl"], Float[Tensor, "n p h w"]]:
        """The images' latent; the picture of another latent."""
        return self.small.encode(images).float(), self.small.decode(latent).float()


class SmallVaeTask(Task[Batch]):
    """Both halves of ``small`` at once, against the frozen autoencoder of ``model``."""

    def __init__(self, model: DiffusionModel, small: SmallVae, losses: VaeLosses | None = None) -> None:
        self.model, self.losses = model, losses or VaeLosses()
        self.network: nn.Module = Halves(small)
        self.channels = small.channels
        for frozen in (model.vae, model.unet):
            frozen.requires_grad_(False)

    @property
    def kind(self) -> TargetKind:
        """What the model predicts."""
        return self.model.facts.modality

    @property
    def sides_px(self) -> tuple[int, int]:
        """Those of the model."""
        return self.model.sides_px

    def to(self, device: torch.device) -> None:
        """Move the frozen model."""
        self.model.to(device, self.model.dtype)

    def loss(self, batch: Batch, draw: torch.Generator) -> dict[str, Tensor]:
        """``latent``, ``consistency``, ``decoded``, ``gradient``, ``truth`` (0 for photos), and their weighted sum.

        Photos have no truth, but the term stays, as all micro-batches of a step tell the same names."""
        weights = self.losses
        with torch.no_grad():
            wanted = self.model.encode(batch.image)
            clean = self.answer(batch, wanted, draw)
            amount = weights.spread * torch.rand((len(clean), 1, 1, 1), generator=draw)
            given = clean + (amount * torch.randn(clean.shape, generator=draw)).to(clean)
            picture = self.picture(given)
        latent, decoded = self.network(channels_last_image(batch.image), given)
        terms = {
            "latent": (latent - wanted).abs().mean(),
            "decoded": (decoded - picture).abs().mean(),
            "gradient": gradient_l1(decoded, picture),
            "truth": decoded.new_zeros(()),
        }
        if not is_photos(batch):
            valid = batch.valid.expand_as(decoded)
            terms["truth"] = ((decoded - batch.target).abs() * valid).sum() / valid.sum().clamp(min=1)
        if weights.consistency > 0:
            with torch.no_grad():
                seen = self.model.decode(wanted)
            terms["consistency"] = (self.model.decode(latent) - seen).abs().mean()
        parts = [getattr(weights, name) * term for name, term in terms.items() if name != "latent"]
        return {"loss": terms["latent"] + sum(parts), **terms}

    def answer(
        self, batch: Batch, image_latent: Float[Tensor, "n c hl wl"], draw: torch.Generator
    ) -> Float[Tensor, "n c hl wl"]:
        """The latent of the truth; for photos without any, what the model predicts in one step."""
        if not is_photos(batch):
            return self.model.encode(three_channels(batch.target))
        seen = self.model.condition(batch.image, image_latent)
        start = torch.randn(image_latent.shape, generator=draw).to(seen)
        start = torch.zeros_like(start) if self.model.facts.start == "zeros" else start
        return samplers.one_step(
            lambda x, t: self.model.x0(x, t, seen),
            start,
            self.model.schedule,
            timestep=self.model.facts.timestep,
        )

    def picture(self, latent: Float[Tensor, "n c hl wl"]) -> Float[Tensor, "n p h w"]:
        """What the full decoder makes of a latent, with as many channels as the small one gives."""
        decoded = self.model.decode(latent)
        return decoded if self.channels == 3 else decoded.mean(1, keepdim=True)

    @torch.no_grad()
    def judge(self, batch: Batch) -> Judged:
        """Mean absolute errors of latent (unit variance) and decoded picture (in [-1, 1]), and their sum; full
        decoder, small decoder, error."""
        small, device = self._bare(), self.model.device
        batch = batch.to(device)
        wanted = self.model.encode(batch.image)
        answer = self.answer(batch, wanted, generator("judged"))
        picture, decoded = self.picture(answer), small.decode(answer).float()
        latent_l1 = float((small.encode(batch.image).float() - wanted).abs().mean())
        error = (decoded - picture).abs().mean(1, keepdim=True).cpu()
        decoded_l1 = float(error.mean())
        shown = tuple(((three_channels(one)[0] + 1) / 2).clamp(0, 1).cpu() for one in (picture, decoded))
        figures = {"l1": latent_l1 + decoded_l1, "latent_l1": latent_l1, "decoded_l1": decoded_l1}
        return Judged(figures, (((batch.image[0] + 1) / 2).cpu(), *shown, uncertainty_colours(error)[0]))

    def save(self, folder: Path) -> None:
        """A ``vae_small`` component folder inside ``folder``."""
        self._bare().save(folder / FOLDER)

    def _bare(self) -> SmallVae:
        if not isinstance(self.network, Halves):
            raise TypeError(f"the network is a {type(self.network).__name__}: unwrap it before saving or judging")
        return self.network.small


def is_photos(batch: Batch) -> bool:
    """Whether the batch teaches the photos themselves, for want of depth."""
    return batch.target.shape == batch.image.shape and torch.equal(batch.target, batch.image)


def channels_last_image(images: Float[Tensor, "n 3 h w"]) -> Float[Tensor, "n 3 h w"]:
    """The same values in the layout that the network's weights have."""
    return images.contiguous(memory_format=torch.channels_last)


def build(config: VaeDistillConfig) -> SmallVaeTask:
    """The task on the model that ``config`` names, the small autoencoder new."""
    model = load_diffusion(resolve(config.model), device=torch.device("cpu"), dtype=torch.float32)
    small = new_small_vae(
        model.latent_channels,
        stride=model.stride,
        channels=3 if model.facts.modality == "normals" else 1,
        width=config.width or min(_WIDEST, int(model.vae.config["block_out_channels"][0])),
        deep_blocks=config.deep_blocks,
        distilled_from=config.model,
        seed=config.loop.seed,
    )
    return SmallVaeTask(model, channels_last(small), config.losses)


def distil(config: VaeDistillConfig, out: Path, *, fresh: bool = False, quiet: bool = False) -> Fitted:
    """Distil in ``out``, from the newest checkpoint there; ``OUT/model`` holds ``vae_small``.

    Raises ValueError for what the model, the data or an earlier run in ``out`` has wrong.
    """
    task = build(config)
    step, least = task.sides_px
    for data in config.data:
        if data.height % step or data.width % step or min(data.height, data.width) < least:
            raise ValueError(
                f"data {data.name}: views are {data.width} x {data.height} pixels; this model needs multiples of "
                f"{step}, at least {least}"
            )
    opened = [parted(data, open_frames(data, config.data_root)) for data in config.data]
    target = Target(kind=task.kind)
    portions = [
        Portion(train, data.weight, data.height, data.width, data.augment, data.target)
        for data, (train, _) in zip(config.data, opened, strict=True)
    ]
    loop = config.loop
    batches = MixedBatches(portions, batch=loop.micro_batch, seed=loop.seed, target=target, skip_bad=config.skip_bad)
    counts = {f"data.{i}.samples": len(train) for i, (train, _) in enumerate(opened)}
    held = [dataclasses.replace(one, frames=part) for one, (_, part) in zip(portions, opened, strict=True)]
    return fit(
        config.fit,
        task,
        lambda indices: stream(batches, indices, workers=loop.workers),
        out,
        validation=validation_on(config.validate, target, held),
        record=Record(config, counts),
        fresh=fresh,
        quiet=quiet,
    )
