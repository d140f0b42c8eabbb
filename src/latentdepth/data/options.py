"""What can be chosen about training data: the words that recipes and readers share. Knows no torch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

TargetKind: TypeAlias = Literal["depth", "log_depth", "sqrt_depth", "disparity", "normals", "photo", "metric_depth"]
"""What a network is to give for a photo; ``photo``: the photo itself, for autoencoders and image priors;
``metric_depth``: metres as they are, not brought to [-1, 1]."""
Filling: TypeAlias = Literal["middle", "near", "nearest"]


@dataclass(frozen=True)
class Augmentation:
    """Chances are in [0, 1]. The default is the published depth recipe: the whole picture, every other one mirrored."""

    window: Literal["whole", "random"] = "whole"
    """``whole``: the picture stretched to the size. ``random``: a window of about its aspect, resized."""
    flip: float = 0.5
    """Chance of exchanging left and right."""
    turn: float = 0.0
    """Chance that the picture is turned, by a half or (each half as likely) a quarter either way, before the window is
    cut: for cameras held on their side or upside down. For random windows alone."""
    smallest: float = 0.55
    """Least side of a random window, as a share of the largest possible one."""
    stretch: float = 1.2
    """Most that a random window's aspect is bent, as a factor of at least 1."""
    motion_blur: float = 0.0
    """Chance of a straight camera shake of 3 to 11 pixels at any angle."""
    defocus: float = 0.0
    """Chance of defocus with sigma from 0 to 4 pixels, half Gaussian, half disc."""
    colours: Literal["photometric", "jitter"] = "photometric"
    """``photometric``: exposure, white balance, gamma, noise and more. ``jitter``: as the published normals recipe."""
    recolour: float = 0.0
    """Chance that the colours are changed."""

    def __post_init__(self) -> None:
        for name in ("flip", "turn", "motion_blur", "defocus", "recolour"):
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f"{name} is {getattr(self, name)}; a chance lies from 0 to 1")
        if self.turn > 0 and self.window != "random":
            raise ValueError(
                'turn is for window = "random": a whole picture on its side would be squeezed; leave it out'
            )
        if not 0 < self.smallest <= 1:
            raise ValueError(f"smallest is {self.smallest}; allowed is above 0 up to 1")
        if self.stretch < 1:
            raise ValueError(f"stretch is {self.stretch}; allowed is 1 or more")


@dataclass(frozen=True)
class Target:
    """What the network is to learn, and how its truth is encoded (``data.sample.normalised``)."""

    kind: TargetKind | None = None
    """By default what the base model predicts; depth where there is none."""
    tails: float = 0.02
    """Share of valid pixels beyond each end of [-1, 1]."""
    filling: Filling = "middle"
    """What invalid pixels hold before encoding: the middle of the range, its near end (as published), or the value of
    the nearest valid pixel."""
    least_valid: float = 0.1
    """Views of which a smaller share is valid are replaced by the next sample."""

    def __post_init__(self) -> None:
        if not 0 <= self.tails < 0.5:
            raise ValueError(f"tails is {self.tails}; allowed is from 0 to below 0.5")
        if not 0 <= self.least_valid <= 1:
            raise ValueError(f"least_valid is {self.least_valid}; a share lies from 0 to 1")


@dataclass(frozen=True)
class LabelChoice:
    """Which labels of a network are good enough. Uncertainty is a share of the range of a label's values."""

    min_agreement: float = -1.0
    """Leave out photos whose mirror image was told otherwise: correlation of both below this."""
    max_uncertainty: float | None = None
    """Leave out photos whose uncertainty is above this in the mean."""
    mask_uncertainty: float | None = None
    """Leave out pixels whose uncertainty is above this."""

    def __post_init__(self) -> None:
        if not -1 <= self.min_agreement <= 1:
            raise ValueError(f"min_agreement is {self.min_agreement}; a correlation lies from -1 to 1")
        for name in ("max_uncertainty", "mask_uncertainty"):
            share = getattr(self, name)
            if share is not None and not 0 <= share <= 1:
                raise ValueError(f"{name} is {share}; a share of the range lies from 0 to 1")
