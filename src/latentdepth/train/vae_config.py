"""What the distillation of a small autoencoder can be told. Knows no torch."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from latentdepth.options import DIFFUSION_MODEL
from latentdepth.train.config import DataConfig, ValidateConfig
from latentdepth.train.loop_config import EmaConfig, FitConfig, LogConfig, LoopConfig, OptimConfig, at_least


@dataclass(frozen=True)
class VaeLosses:
    """Weights of the terms in the loss; that of the encoder's latent is 1."""

    consistency: float = 0.5
    """How far pictures decoded by the full decoder from the small encoder's latent and from the full one's differ."""
    decoded: float = 1.0
    """Small decoder against the full one, on the same latent."""
    gradient: float = 0.5
    """The same, differences of neighbouring pixels."""
    truth: float = 0.25
    """Small decoder against the depth map itself."""
    spread: float = 0.1
    """Not a weight: the most noise that is added to latents before they are decoded, as a network's are not exact."""

    def __post_init__(self) -> None:
        at_least(self, "losses", consistency=0, decoded=0, gradient=0, truth=0, spread=0)


@dataclass(frozen=True)
class VaeDistillConfig:
    """Everything that decides a run; its words are those of a recipe (``TrainConfig``)."""

    model: str = DIFFUSION_MODEL
    """Whose autoencoder is learnt."""
    width: int | None = None
    """Channels of the small one; by default those of the full one's first level, at most 64."""
    deep_blocks: int = 4
    data_root: Path = Path()
    data: tuple[DataConfig, ...] = ()
    """Sets with truth, and photos (``target = "photo"``), which need none."""
    skip_bad: int = 0
    losses: VaeLosses = field(default_factory=VaeLosses)
    validate: ValidateConfig = field(default_factory=lambda: ValidateConfig(every=250, frames=16))
    loop: LoopConfig = field(default_factory=lambda: LoopConfig(steps=5000, batch=8, micro_batch=4, save_every=250))
    optim: OptimConfig = field(
        default_factory=lambda: OptimConfig(lr=1e-3, schedule="cosine", warmup=50, final=0.02, weight_decay=0.01)
    )
    ema: EmaConfig = field(default_factory=lambda: EmaConfig(decay=0.99))
    log: LogConfig = field(default_factory=LogConfig)

    def __post_init__(self) -> None:
        at_least(self, "distill-vae", deep_blocks=1, skip_bad=0)
        if self.width is not None:
            at_least(self, "distill-vae", width=4)
        if not self.data:
            raise ValueError("there is no data: give --data DIR (photos with depth), --photos DIR, or both")

    @property
    def fit(self) -> FitConfig:
        """What the loop needs."""
        return FitConfig(self.loop, self.optim, self.ema, self.log)
