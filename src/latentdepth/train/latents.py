"""Examples as the frozen autoencoder sees them: encoded within a step, or once for many steps.

``encode_views`` writes one safetensors file of image latents, target latents and latent masks. Knows no losses.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
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
from latentdepth.data.batch import Batch
from latentdepth.data.sample import Sample, normalised
from latentdepth.models.diffusion import DiffusionModel, posterior

ReadSample = Callable[[], Sample]
Features = Callable[[Float[Tensor, "n 3 h w"]], Sequence[Float[Tensor, "n _ _ _"]]]


@dataclass(frozen=True)
class LatentBatch:
    """Encoded examples; ``image`` is None when the photo itself is the target (image prior).

    ``target`` has 4 channels for each picture that is predicted, one picture for depth, disparity and normals.
    """

    target: Float[Tensor, "n k hl wl"]
    image: Float[Tensor, "n 4 hl wl"] | None
    valid: Bool[Tensor, "n 1 hl wl"]
    features: tuple[Float[Tensor, "n _ _ _"], ...] = ()
    """What a teacher network sees in the photos, where alignment with it is trained."""

    def to(self, device: torch.device | str) -> LatentBatch:
        """The same batch elsewhere."""
        image = None if self.image is None else self.image.to(device)
        features = tuple(f.to(device) for f in self.features)
        return LatentBatch(self.target.to(device), image, self.valid.to(device), features)


def latent_mask(valid: Bool[Tensor, "n 1 h w"], stride: int) -> Bool[Tensor, "n 1 hl wl"]:
    """A latent cell is valid only if all of its pixels are (max-pool of the invalid mask)."""
    return F.max_pool2d((~valid).float(), stride) < 0.5


@torch.inference_mode()
def encode(vae: AutoencoderKL, image: Float[Tensor, "n 3 h w"], scale: float) -> Float[Tensor, "n 4 hl wl"]:
    """Scaled mean latent of images in [-1, 1], in bfloat16 autocast, returned as float32."""
    with torch.autocast(image.device.type, torch.bfloat16):
        latent = posterior(vae, image.contiguous(memory_format=torch.channels_last)).mode()
    return latent.float() * scale


@torch.no_grad()
def encoded(model: DiffusionModel, batch: Batch) -> LatentBatch:
    """``batch`` as latents of ``model``'s autoencoder: means, scaled. A cell is valid where all of its pixels are.

    A target of one channel is encoded as a grey picture, of 3k channels as k pictures whose latents are stacked.
    Raises ValueError for other numbers of channels and for sides that the autoencoder's stride doesn't divide.
    """
    n, channels, h, w = batch.target.shape
    if channels != 1 and channels % 3:
        raise ValueError(f"the target has {channels} channels; allowed are 1 and multiples of 3")
    if h % model.stride or w % model.stride:
        raise ValueError(
            f"the batch is {w} x {h} pixels; both must be multiples of {model.stride}, the autoencoder's stride: "
            "choose another size in the recipe"
        )
    pictures = batch.target.expand(-1, 3, -1, -1) if channels == 1 else batch.target
    pictures = pictures.reshape(-1, 3, h, w)
    latents = latent_mean(model.vae, torch.cat((batch.image, pictures))) * model.scale
    image, target = latents[:n], latents[n:].reshape(n, -1, *latents.shape[-2:])
    return LatentBatch(target, image, latent_mask(batch.valid.to(target.device), model.stride))


def latent_mean(vae: AutoencoderKL, images: Float[Tensor, "n 3 h w"]) -> Float[Tensor, "n 4 hl wl"]:
    """Unscaled mean latent of images in [-1, 1], float32, on the autoencoder's device and in its dtype."""
    weight = next(vae.parameters())
    return posterior(vae, images.to(weight).contiguous(memory_format=torch.channels_last)).mode().float()


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
    smallest: float = 0.55,
    features: Features | None = None,
) -> Path:
    """Encode ``views`` random views of every sample to ``path``; ``quantity`` None makes the photo its own target.

    ``smallest`` is the least share of the picture's side that a view shows; ``features`` looks at the photos of the
    views, in [0, 1], and what it sees is kept beside the latents. View v of sample i depends on (seed, i, v) alone.
    Views that have too few valid pixels are left out.
    """
    if path.exists():
        return path
    images, targets, masks = [], [], []
    seen: list[list[Tensor]] = []
    batch: list[tuple[Tensor, Tensor, Tensor]] = []

    def flush() -> None:
        if not batch:
            return
        image, target, valid = (torch.stack(column) for column in zip(*batch, strict=True))
        image_latent = encode(vae, image, scale)
        images.append(image_latent.half())
        targets.append(image_latent.half() if quantity is None else encode(vae, target, scale).half())
        masks.append(latent_mask(valid, image.shape[-1] // image_latent.shape[-1]))
        if features is not None:
            seen.append([f.half() for f in features((image + 1) / 2)])
        batch.clear()

    for i, read in enumerate(track(samples, description=f"encoding {path.stem}")):
        sample = read()
        for v in range(views):
            draw = generator("view", seed, i, v)
            view = crop_and_flip(sample, *size, draw, smallest=smallest)
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
    columns |= {f"features_{k}": list(column) for k, column in enumerate(zip(*seen, strict=True))}
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
        names = () if prior else sorted(k for k in stores[0] if k.startswith("features_"))
        features = tuple(torch.stack([s[k][r] for s, r in rows]).float() for k in names)
        return LatentBatch(target, None if prior else image, valid, features)

    return batches
