"""A network that answers in one forward pass, as a predictor.

Holds the network and what it outputs; the way through it belongs to its family (``dpt``, ``zoe``, ``depth_pro``).
"""

from __future__ import annotations

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from latentdepth.core.modality import to_float
from latentdepth.core.types import Camera, Invariance, Kind, Prediction
from latentdepth.models.others.declared import modality_of
from latentdepth.models.others.estimate import Estimate, Family, Request
from latentdepth.options import PredictOptions


class OnePassPredictor:
    """Somebody else's network. Each image is looked at alone, so results do not depend on batching."""

    def __init__(self, network: Any, processor: Any, family: Family, kind: Kind, name: str) -> None:
        self.network, self.processor, self.family, self.name = network, processor, family, name
        self.modality = modality_of(kind)

    def describe(self) -> dict[str, str | int | float | bool]:
        """What is known about the model, in printable words."""
        return {
            "model": self.name,
            "predicts": str(self.modality.kind),
            "parameters": sum(p.numel() for p in self.network.parameters()),
            "network": type(self.network).__name__,
            "dtype": str(self.network.dtype).removeprefix("torch."),
            "device": str(self.network.device),
        }

    @torch.inference_mode()
    def __call__(self, images: Float[Tensor, "n 3 h w"], options: PredictOptions | None = None) -> Prediction:
        """Predict for ``images`` in [0, 1], all of one size, the way its authors do.

        Affine-invariant values are stretched to [0, 1] for each image (a constant map becomes zero); metric ones are
        the network's own. A predicted field of view becomes the camera where there is one image: a prediction holds
        one camera. Raises ValueError for options that one forward pass can't follow, and for NaN or infinity.
        """
        options = options or PredictOptions()
        refuse_diffusion_options(options)
        images = to_float(images).cpu()
        estimates = [
            self.family(self.network, self.processor, Request(image, options.resolution, options.match_input))
            for image in images.split(1)
        ]
        value = torch.stack([self._in_range(estimate) for estimate in estimates])[:, None]
        height, width = images.shape[-2:]
        camera = None
        if len(estimates) == 1 and estimates[0].focal_px is not None:
            camera = Camera.from_focal(estimates[0].focal_px, width, height).resized(value.shape[-1], value.shape[-2])
        return Prediction(
            value=value,
            kind=self.modality.kind,
            camera=camera,
            made_with={
                "model": self.name,
                "network": type(self.network).__name__,
                "resolution": options.resolution,
                "dtype": str(self.network.dtype).removeprefix("torch."),
            },
        )

    def _in_range(self, estimate: Estimate) -> Float[Tensor, "h w"]:
        value = estimate.value
        if not bool(torch.isfinite(value).all()):
            raise ValueError(
                f"{self.name} gave NaN or infinity in {self.network.dtype}; try --dtype float32 (or bfloat16)"
            )
        if self.modality.kind.invariance is not Invariance.AFFINE:
            return value
        low, high = value.min(), value.max()
        return (value - low) / (high - low) if bool(high > low) else torch.zeros_like(value)


def refuse_diffusion_options(options: PredictOptions) -> None:
    """Raise ValueError for options that only diffusion has; the effort dial has one notch here, and seed no meaning."""
    for key in ("steps", "members"):
        asked = getattr(options, key)
        if asked not in (None, 1):
            raise ValueError(f"{key} is {asked}; this model answers in one forward pass, always the same: allowed is 1")
    if options.vae not in (None, "full"):
        raise ValueError(f"vae is {options.vae}; this model has no autoencoder to replace: leave it out")
    if options.sampler is not None:
        raise ValueError(f"sampler is {options.sampler}; this model does not sample: leave it out")
    if options.resolution is not None and options.resolution < 0:
        raise ValueError(f"resolution is {options.resolution}; allowed is 0 or more")
