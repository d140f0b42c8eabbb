"""Augmented views, encoded once: the autoencoder is frozen, so its work need not be done again at every step.

Writes one safetensors file of image latents, target latents and latent masks.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import torch
from diffusers import AutoencoderKL
from jaxtyping import Bool, Float
from rich.progress import track
from safetensors.torch import load_file, save_file
from torch import Tensor
from torch.nn import functional as F

from latentdepth.core.noise import generator
from latentdepth.core.types import Quantity
from latentdepth.data.augment import crop_and_flip, photometric
from latentdepth.data.sample import Sample, normalised
from latentdepth.models.diffusion import posterior
from latentdepth.train.tasks import LatentBatch

ReadSample = Callable[[], Sample]


def latent_mask(valid: Bool[Tensor, "n 1 h w"], stride: int) -> Bool[Tensor, "n 1 hl wl"]:
    """A latent cell is valid only if all of its pixels are (max-pool of the invalid mask)."""
    return F.max_pool2d((~valid).float(), stride) < 0.5


@torch.inference_mode()
def encode(vae: AutoencoderKL, image: Float[Tensor, "n 3 h w"], scale: float) -> Float[Tensor, "n 4 hl wl"]:
    """Scaled mean latent of images in [-1, 1], in bfloat16 autocast, returned as float32."""
    with torch.autocast(image.device.type, torch.bfloat16):
        latent = posterior(vae, image.contiguous(memory_format=torch.channels_last)).mode()
    return latent.float() * scale


def encode_views(
    vae: AutoencoderKL,
    scale: float,
    samples: Sequence[ReadSample],
    path: Path,
    *,
    quantity: Quantity | None,
    views: int,
    size: tuple[int, int],
    seed: int,
) -> Path:
    """Encode ``views`` random views of every sample to ``path``; ``quantity`` None makes the photo its own target.

    View v of sample i depends on (seed, i, v) alone. Views that have too few valid pixels are left out.
    """
    if path.exists():
        return path
    images, targets, masks = [], [], []
    batch: list[tuple[Tensor, Tensor, Tensor]] = []

    def flush() -> None:
        if not batch:
            return
        image, target, valid = (torch.stack(column) for column in zip(*batch, strict=True))
        image_latent = encode(vae, image, scale)
        images.append(image_latent.half())
        targets.append(image_latent.half() if quantity is None else encode(vae, target, scale).half())
        masks.append(latent_mask(valid, image.shape[-1] // image_latent.shape[-1]))
        batch.clear()

    for i, read in enumerate(track(samples, description=f"encoding {path.stem}")):
        sample = read()
        for v in range(views):
            draw = generator("view", seed, i, v)
            view = crop_and_flip(sample, *size, draw)
            image = photometric(view.image, draw) if quantity is not None else view.image
            if quantity is None:
                target, valid = image, torch.ones_like(view.valid)
            else:
                if float(view.valid.float().mean()) < 0.3:
                    continue
                try:
                    target = normalised(view, quantity).expand(3, -1, -1)
                except ValueError:  # a crop of one flat wall has no range to normalise; another view will do
                    continue
                valid = view.valid
            batch.append((image * 2 - 1, target, valid))
            if len(batch) == 16:
                flush()
    flush()
    path.parent.mkdir(parents=True, exist_ok=True)
    fresh = path.with_suffix(".new")
    columns = {"image": images, "target": targets, "valid": masks}
    save_file({k: torch.cat(v).contiguous() for k, v in columns.items()}, fresh)
    fresh.replace(path)
    return path


def latent_batches(
    paths: Sequence[Path], weights: Sequence[float], *, batch: int, seed: int, prior: bool
) -> Callable[[int], LatentBatch]:
    """``batches(step)``: rows drawn from the files by ``weights``; a step's rows depend on (seed, step) alone."""
    stores = [load_file(p) for p in paths]
    chance = torch.tensor(weights, dtype=torch.float32)

    def batches(step: int) -> LatentBatch:
        draw = generator("batch", seed, step)
        store = torch.multinomial(chance, batch, replacement=True, generator=draw).tolist()
        rows = [(stores[s], int(torch.randint(0, len(stores[s]["image"]), (1,), generator=draw))) for s in store]
        image = torch.stack([s["image"][r] for s, r in rows]).float()
        target = torch.stack([s["target"][r] for s, r in rows]).float()
        valid = torch.stack([s["valid"][r] for s, r in rows])
        return LatentBatch(target, None if prior else image, valid)

    return batches
