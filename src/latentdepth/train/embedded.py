"""From nothing to the embedded model: autoencoder, image prior, depth, one folder in the full models' layout.

    python -m latentdepth.train.embedded vae   --photos DIR --frames DIR
    python -m latentdepth.train.embedded prior --photos DIR --frames DIR
    python -m latentdepth.train.embedded depth --photos DIR --frames DIR [--pairs DIR --sources a b]
    python -m latentdepth.train.embedded assemble

Each stage resumes when the same command is given again. Paper: Marigold (arXiv 2312.02145).
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Literal

import torch
import tyro
from diffusers import AutoencoderKL, UNet2DConditionModel
from jaxtyping import Float
from torch import Tensor

from latentdepth.core.noise import generator
from latentdepth.core.types import Quantity
from latentdepth.data.augment import crop_and_flip, photometric
from latentdepth.data.sample import normalised
from latentdepth.data.training import Pair, log_coded_pairs, manifest_pairs, photo_paths, read_photo
from latentdepth.models.diffusion import doubled_input
from latentdepth.models.feedforward import DepthPyramid, load_pyramid
from latentdepth.models.tiny_vae import load_tiny_vae
from latentdepth.train.alignment import AlignedDenoise
from latentdepth.train.latents import Features, ReadSample, encode, encode_views, latent_batches
from latentdepth.train.stages import Plan, fit_stage
from latentdepth.train.tasks import Autoencode, Denoise
from latentdepth.train.tiny_networks import SIZE, channels_last, empty_prompt, new_unet, new_vae, schedule

ALIGNED = {"down_blocks.1.attentions.0": (128, 112), "mid_block": (224, 320)}
"""U-Net layer -> its channels, and those of the teacher's features at the same resolution (strides 16 and 32)."""


@dataclass(frozen=True)
class Build:
    """Train one stage of the embedded diffusion model."""

    stage: tyro.conf.Positional[Literal["vae", "prior", "depth", "assemble"]]
    photos: Path | None = None
    """Folder of photos without depth."""
    frames: Path | None = None
    """Folder of log-coded synthetic frames."""
    pairs: Path | None = None
    """Folder with manifest.jsonl of further RGB-D pairs; only rows that shipped weights may be trained on are read."""
    sources: tuple[str, ...] = ()
    """Which sources of ``pairs`` to train on; they must not be measured on afterwards."""
    labels: Path | None = None
    """Folder of photos that a teacher has labelled (``latentdepth.train.teacher``)."""
    label_views: int = 3
    """Augmented views of each labelled photo."""
    label_share: float = 0.6
    """Share of depth-training samples that are labelled photos."""
    min_agreement: float = 0.9
    """Labelled photos whose mirror image was told otherwise (correlation below this) are left out."""
    teacher: Path | None = None
    """Folder of the feed-forward teacher (``model.safetensors``) whose features the U-Net is aligned with."""
    align_weight: float = 0.5
    """Of that alignment in the loss."""
    smallest: float = 0.75
    """Least share of a picture's side that a training view shows."""
    teacher_vae: Path | None = None
    """Folder with taesdxl_encoder.safetensors and taesdxl_decoder.safetensors; the autoencoder learns its latents."""
    out: Path = Path("runs/tiny-diffusion")
    minutes: float | None = None
    """Stop after this long; the same command resumes."""
    steps: int | None = None
    batch: int | None = None
    lr: float | None = None
    views: int = 12
    """Augmented views of each pair that are encoded before training."""
    last_share: float = 0.4
    """Share of depth-training samples at the last timestep, where one-step inference lives."""
    multires_strength: float = 0.9
    """Of the annealed multi-resolution training noise; 0 is plain Gaussian noise."""
    without_prior: bool = False
    """Start the depth stage from random weights instead of the image prior, in a folder of its own."""

    @property
    def depth_folder(self) -> Path:
        """Where the depth stage lives."""
        return self.out / ("depth-without-prior" if self.without_prior else "depth")


def _pairs(build: Build) -> list[Pair]:
    pairs = log_coded_pairs(build.frames) if build.frames else []
    if build.pairs:
        pairs += manifest_pairs(build.pairs, sources=build.sources, shipped_only=True)
    if not pairs:
        raise SystemExit("no RGB-D pairs: give --frames DIR (log-coded frames) or --pairs DIR --sources NAME ...")
    return pairs


def vae_batches(build: Build, batch: int, crop: int = 96) -> Callable[[int], Tensor]:
    """Half photos and colour frames, half normalised depth maps as grey images; in [-1, 1]."""
    pairs = _pairs(build)
    photos = [partial(read_photo, p) for p in (photo_paths(build.photos) if build.photos else [])] + [
        p.read for p in pairs
    ]

    def batches(step: int) -> Tensor:
        draw = generator("vae batch", step)
        rows = []
        while len(rows) < batch:
            depth = len(rows) % 2 == 1
            pool = [p.read for p in pairs] if depth else photos
            sample = pool[int(torch.randint(0, len(pool), (1,), generator=draw))]()
            view = crop_and_flip(sample, crop, crop, draw, smallest=0.3)
            if depth:
                quantity = Quantity.DISPARITY if float(torch.rand((), generator=draw)) < 0.7 else Quantity.LOG_DEPTH
                try:
                    rows.append(normalised(view, quantity).expand(3, -1, -1))
                except ValueError:  # a crop without range; draw another
                    continue
            else:
                rows.append(photometric(view.image, draw) * 2 - 1)
        return torch.stack(rows)

    return batches


def _plan(build: Build, usual: Plan) -> Plan:
    given = {"steps": build.steps, "batch": build.batch, "lr": build.lr, "minutes": build.minutes}
    return replace(usual, **{key: value for key, value in given.items() if value is not None})


def load_vae(out: Path) -> tuple[AutoencoderKL, float]:
    """The trained autoencoder and the scale that brings its latents to unit variance."""
    vae = channels_last(AutoencoderKL.from_pretrained(out / "vae" / "model").eval())
    return vae, float(json.loads((out / "vae" / "scale.json").read_text())["scaling_factor"])


def train_vae(build: Build) -> None:
    """Stage 1."""
    torch.manual_seed(0)  # initial weights: modules have no generator argument
    vae = channels_last(new_vae())
    teacher = channels_last(load_tiny_vae(build.teacher_vae)) if build.teacher_vae else None
    plan = _plan(build, Plan(steps=1400, batch=16, lr=1.2e-3, warmup=50, ema=0.99, seed=0))
    batches = vae_batches(build, plan.batch)
    fit_stage(plan, Autoencode(vae, teacher=teacher), batches, build.out / "vae")
    vae = AutoencoderKL.from_pretrained(build.out / "vae" / "model").eval()
    latents = torch.cat([encode(vae, batches(10_000_000 + i), 1.0) for i in range(8)])
    (build.out / "vae" / "scale.json").write_text(json.dumps({"scaling_factor": round(1 / float(latents.std()), 5)}))


def train_prior(build: Build) -> None:
    """Stage 2: the U-Net as an image generator on photos."""
    if build.photos is None:
        raise SystemExit("the prior stage needs --photos DIR")
    vae, scale = load_vae(build.out)
    readers = [partial(read_photo, p) for p in photo_paths(build.photos)] + [p.read for p in _pairs(build)]
    store = encode_views(
        vae,
        scale,
        readers,
        build.out / "photo-latents.safetensors",
        quantity=None,
        views=1,
        size=SIZE,
        seed=1,
        smallest=build.smallest,
    )
    torch.manual_seed(1)
    task = Denoise(channels_last(new_unet(4)), schedule(), empty_prompt(), multires_strength=0.0)
    plan = _plan(build, Plan(steps=550, batch=32, lr=5e-4, seed=1))
    fit_stage(plan, task, latent_batches([store], [1.0], batch=plan.batch, seed=1, prior=True), build.out / "prior")


def teacher_features(teacher: DepthPyramid) -> Features:
    """The teacher's encoder at strides 16 and 32."""
    channels_last(teacher)

    @torch.inference_mode()
    def features(photos: Float[Tensor, "n 3 h w"]) -> list[Tensor]:
        with torch.autocast("cpu", torch.bfloat16):
            return [f.float() for f in teacher.features(photos)[-2:]]

    return features


def train_depth(build: Build) -> None:
    """Stage 3: conv_in doubled, fine-tuned on synthetic depth by Marigold's protocol."""
    vae, scale = load_vae(build.out)
    pairs = _pairs(build)
    by_source: dict[str, list[ReadSample]] = {}
    for pair in pairs:
        by_source.setdefault(pair.source, []).append(pair.read)
    weights = [len(readers) / len(pairs) for readers in by_source.values()]
    if build.labels:
        labelled = manifest_pairs(build.labels, min_agreement=build.min_agreement)
        by_source["pseudo_labels"] = [pair.read for pair in labelled]
        weights = [w * (1 - build.label_share) for w in weights] + [build.label_share]
    stores = [
        encode_views(
            vae,
            scale,
            readers,
            build.out / f"depth-latents-{source}.safetensors",
            quantity=Quantity.DISPARITY,
            views=build.label_views if source == "pseudo_labels" else build.views,
            size=SIZE,
            seed=2,
            smallest=build.smallest,
            features=None if build.teacher is None else teacher_features(load_pyramid(build.teacher)),
        )
        for source, readers in by_source.items()
    ]
    torch.manual_seed(2)
    if build.without_prior:
        unet = new_unet(8)
    else:
        prior = UNet2DConditionModel.from_pretrained(build.out / "prior" / "model")
        unet = doubled_input(prior)
    noise = {"multires_strength": build.multires_strength, "last_share": build.last_share}
    if build.teacher is None:
        task = Denoise(channels_last(unet), schedule(), empty_prompt(), **noise)
    else:
        task = AlignedDenoise(
            channels_last(unet), schedule(), empty_prompt(), taps=ALIGNED, weight=build.align_weight, **noise
        )
    plan = _plan(build, Plan(steps=3600, batch=16, lr=7e-4, seed=2))
    fit_stage(plan, task, latent_batches(stores, weights, batch=plan.batch, seed=2, prior=False), build.depth_folder)


def assemble(build: Build) -> None:
    """Stage 4: one folder in the full models' layout, float16 safetensors."""
    from latentdepth.models.diffusion import DiffusionModel
    from latentdepth.models.facts import Facts

    vae, scale = load_vae(build.out)
    vae.register_to_config(scaling_factor=scale)
    unet = UNet2DConditionModel.from_pretrained(build.depth_folder / "model")
    facts = Facts(modality="disparity", steps=1, resolution=256)
    DiffusionModel(unet, vae, schedule(), empty_prompt(), facts).save(build.out / "model", dtype=torch.float16)
    print(f"wrote {build.out / 'model'}")


def main() -> None:
    """Entry point."""
    build = tyro.cli(Build)
    {"vae": train_vae, "prior": train_prior, "depth": train_depth, "assemble": assemble}[build.stage](build)


if __name__ == "__main__":
    main()
