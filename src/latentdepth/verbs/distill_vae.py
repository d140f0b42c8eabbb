"""``latentdepth distill-vae``: a small autoencoder for a model, trained and put where ``--vae small`` finds it.

``train.vae_distill`` does the work.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated, Literal

from tyro.conf import Positional, arg

from latentdepth.data.options import Augmentation, TargetKind
from latentdepth.options import DIFFUSION_MODEL, Device
from latentdepth.train.config import DataConfig, DataFormat, ValidateConfig
from latentdepth.train.loop_config import EmaConfig, LogConfig, LoopConfig, OptimConfig
from latentdepth.train.vae_config import VaeDistillConfig, VaeLosses


@dataclass(frozen=True)
class DistillVae:
    """Distil a model's autoencoder into a small one, for `--vae small`. The same command goes on where one stopped."""

    model: Annotated[Positional[str], arg(metavar="MODEL")] = DIFFUSION_MODEL
    """builtin:NAME, dir:PATH or hub:ORG/REPO[@REV] of a diffusion model."""
    data: Path | None = None
    """Photos with depth: a folder of shards (`latentdepth synth`), with manifest.jsonl, or with rgb/ and depth/."""
    photos: Path | None = None
    """Any folder of photos; they need no depth."""
    out: Path = Path("runs/vae-small")
    """Folder for checkpoints, logs and OUT/model/vae_small."""
    steps: int = 5000
    size: int = 128
    """Side of the square views that it is trained on, in pixels; full-size models want 256 or more."""
    photo_share: float = 0.5
    """Share of the micro-batches that are photos, where there are both."""
    consistency: float = 0.5
    """Weight of the pictures that the full decoder makes of the small encoder's latents; 0 leaves them out, which
    makes a step about twice as quick."""
    width: int | None = None
    """Channels of the small autoencoder; by default those of the full one's first level, at most 64."""
    batch: int = 8
    micro_batch: int = 4
    """Samples computed at once; gradients of batch / micro-batch portions are added up."""
    lr: float = 1e-3
    hold_out: int = 16
    """Last samples of each set, which are measured on the way instead of trained on."""
    minutes: float | None = None
    """Stop (saving first) after this long; the same command goes on from there."""
    save_every: int = 250
    """Steps between checkpoints and measurements."""
    seed: int = 2024
    precision: Literal["float32", "bfloat16"] = "bfloat16"
    device: Device = "auto"
    workers: int = 1
    """Processes that read data."""
    keep_apart: bool = False
    """Leave the model's own folder as it is; then --vae dir:OUT/model is the way to use it."""
    fresh: bool = False
    """Start anew; an earlier run in OUT is moved aside."""
    quiet: bool = False
    """No progress bar."""


def run(verb: DistillVae) -> int:
    """Distil; the exit status: 0 done or out of time, 1 diverged, 130 stopped by Ctrl-C (saved)."""
    config = _config(verb)
    from latentdepth.train.divergence import DivergedError
    from latentdepth.train.vae_distill import distil

    try:
        fitted = distil(config, verb.out, fresh=verb.fresh, quiet=verb.quiet)
    except DivergedError as error:
        print(f"latentdepth: {error}", file=sys.stderr)
        return 1
    if fitted.ended == "interrupted":
        print(f"stopped at step {fitted.step}; the same command goes on from there", file=sys.stderr)
        return 130
    use = f"--vae dir:{fitted.model}"
    scheme, _, path = verb.model.partition(":")
    if fitted.ended == "done" and scheme == "dir" and not verb.keep_apart:
        install(fitted.model, Path(path).expanduser())
        use = "--vae small"
    print(
        f"{fitted.ended} at step {fitted.step}; try: latentdepth predict PHOTO --model {verb.model} {use}",
        file=sys.stderr,
    )
    return 0


def install(source: Path, model: Path) -> None:
    """Put the small autoencoder of a run's model into a model's folder, by one swap."""
    from latentdepth.models.small_vae import FOLDER
    from latentdepth.train.checkpoint import point

    point(model / FOLDER, source / FOLDER, linked=False)


def data_format(folder: Path) -> DataFormat:
    """What a folder of photos with depth is, by its files. ValueError says what it may be."""
    if not folder.is_dir():
        raise ValueError(f"--data {folder} is no folder; make one with `latentdepth synth --out {folder}`")
    if any(folder.glob("*.tar")):
        return "shards"
    if (folder / "manifest.jsonl").is_file():
        return "manifest"
    if (folder / "rgb").is_dir() and (folder / "depth").is_dir():
        return "folder"
    raise ValueError(
        f"--data {folder} holds no photos with depth: wanted are shards (*.tar, `latentdepth synth` makes them), "
        "manifest.jsonl, or rgb/ and depth/; photos alone are --photos"
    )


def _config(verb: DistillVae) -> VaeDistillConfig:
    """The run that was asked for. ValueError for a folder that is not there, and for what contradicts itself."""
    if not 0 < verb.photo_share < 1:
        raise ValueError(
            f"--photo-share is {verb.photo_share}; allowed is above 0 and below 1 (for 0 or 1 leave out --photos or "
            "--data)"
        )
    if verb.photos is not None and not verb.photos.is_dir():
        raise ValueError(f"--photos {verb.photos} is no folder; give one with photos in it, at any depth")

    def views(name: str, path: Path, form: DataFormat, target: TargetKind | None, weight: float) -> DataConfig:
        return DataConfig(
            name=name,
            path=path,
            format=form,
            target=target,
            weight=weight,
            height=verb.size,
            width=verb.size,
            hold_out=verb.hold_out,
            augment=Augmentation(window="random", smallest=0.3, recolour=0.5),
        )

    sets = []
    if verb.data is not None:
        sets.append(views("depth", verb.data, data_format(verb.data), None, 1 - verb.photo_share))
    if verb.photos is not None:
        sets.append(views("photos", verb.photos, "photos", "photo", verb.photo_share))
    return VaeDistillConfig(
        model=verb.model,
        width=verb.width,
        losses=VaeLosses(consistency=verb.consistency),
        data=tuple(sets),
        validate=ValidateConfig(every=verb.save_every, frames=16),
        loop=LoopConfig(
            steps=verb.steps,
            minutes=verb.minutes,
            batch=verb.batch,
            micro_batch=verb.micro_batch,
            seed=verb.seed,
            precision=verb.precision,
            device=verb.device,
            workers=verb.workers,
            save_every=verb.save_every,
        ),
        optim=OptimConfig(lr=verb.lr, schedule="cosine", warmup=min(50, verb.steps), final=0.02, weight_decay=0.01),
        ema=EmaConfig(decay=0.99),
        log=LogConfig(tensorboard=find_spec("tensorboard") is not None),
    )
