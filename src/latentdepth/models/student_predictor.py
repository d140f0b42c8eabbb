"""A feed-forward depth network of our own as a predictor: one pass, or two with the mirrored photo.

Knows options and sizes, not architectures.
"""

from __future__ import annotations

from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor, nn

from latentdepth.core.modality import resize, to_float
from latentdepth.core.types import Invariance, Prediction
from latentdepth.models.dense import DenseNetwork
from latentdepth.models.others.declared import modality_of
from latentdepth.models.student import folded, load_student
from latentdepth.options import DIFFUSION_MODEL, PredictOptions


class StudentPredictor:
    """``network`` (its weights in the dtype that it shall compute in) behind the signature of a predictor.

    Each image is looked at alone, so results do not depend on batching.
    """

    def __init__(self, network: DenseNetwork, name: str) -> None:
        self.network, self.name = network, name
        self.modality = modality_of(network.kind)
        weights = max(network.parameters(), key=lambda p: p.ndim)  # norms may be kept in float32
        self.dtype, self.device = weights.dtype, weights.device

    def describe(self) -> dict[str, str | int | float | bool]:
        """What is known about the model, in printable words."""
        return {
            "model": self.name,
            "predicts": str(self.modality.kind),
            "parameters": sum(p.numel() for p in self.network.parameters()),
            "default resolution": self.network.resolution,
            "network": type(self.network).__name__,
            "dtype": str(self.dtype).removeprefix("torch."),
            "device": str(self.device),
        }

    @torch.inference_mode()
    def __call__(self, images: Float[Tensor, "n 3 h w"], options: PredictOptions | None = None) -> Prediction:
        """Predict for ``images`` in [0, 1], all of one size.

        ``options.resolution`` is the longer side that the network sees, both sides rounded to multiples of its stride;
        0: the image's own size. Two ``members`` are the photo and its mirror image, merged, with their disagreement as
        the uncertainty; effort ``best`` asks for both. Raises ValueError for options that one pass can't follow, and
        for NaN or infinity.
        """
        options = options or PredictOptions()
        members = self._members(options)
        resolution = self.network.resolution if options.resolution is None else options.resolution
        images = to_float(images)
        size = (images.shape[-2], images.shape[-1])
        fitted = fitted_size(*size, resolution, self.network.stride)
        values, uncertainties = [], []
        for image in images.split(1):
            value, uncertainty = self._merged(resize(image, fitted).clamp(0, 1), members)
            if options.match_input:
                value = self.modality.finish(resize(value, size, antialias=False))
                uncertainty = None if uncertainty is None else resize(uncertainty, size, antialias=False)
            values.append(value)
            uncertainties += [] if uncertainty is None else [uncertainty]
        return Prediction(
            value=torch.cat(values),
            kind=self.modality.kind,
            uncertainty=torch.cat(uncertainties) if uncertainties else None,
            made_with={
                "model": self.name,
                "members": members,
                "resolution": resolution,
                "dtype": str(self.dtype).removeprefix("torch."),
            },
        )

    def _members(self, options: PredictOptions) -> int:
        for key in ("steps", "sampler"):
            asked = getattr(options, key)
            if asked not in (None, 1):
                raise ValueError(
                    f"{key} is {asked}; this model answers in one forward pass: leave it out, or take a diffusion "
                    f"model (--model {DIFFUSION_MODEL})"
                )
        if options.vae not in (None, "full"):
            raise ValueError(f"vae is {options.vae}; this model has no autoencoder to replace: leave it out")
        members = (2 if options.effort == "best" else 1) if options.members is None else options.members
        if members not in (1, 2):
            raise ValueError(
                f"members is {members}; allowed are 1 and 2: this model has no noise to draw, and its two members are "
                f"the photo and its mirror image; a diffusion model takes any number (--model {DIFFUSION_MODEL})"
            )
        return members

    def _merged(
        self, image: Float[Tensor, "1 3 h w"], members: int
    ) -> tuple[Float[Tensor, "1 1 h w"], Float[Tensor, "1 1 h w"] | None]:
        views = torch.cat((image, image.flip(-1))) if members == 2 else image
        views = views.to(self.device, self.dtype).contiguous(memory_format=torch.channels_last)
        said = self.network(views).value.float().cpu()
        if not bool(torch.isfinite(said).all()):
            raise ValueError(f"{self.name} gave NaN or infinity in {self.dtype}; try --dtype float32 (or bfloat16)")
        if self.modality.kind.invariance is Invariance.AFFINE:
            low, high = said.amin((1, 2, 3), keepdim=True), said.amax((1, 2, 3), keepdim=True)
            # a map that is one value everywhere is 0
            said = (said - low) / torch.where(high > low, high - low, 1.0)
        if members == 1:
            return said, None
        return self.modality.merge(torch.stack((said[:1], said[1:].flip(-1)), 1))


def load_student_predictor(folder: Path, *, device: torch.device, dtype: torch.dtype, name: str) -> StudentPredictor:
    """The student of ``folder``, made ready to predict. ``name`` is what predictions say they were made with.

    Raises ValueError, naming the file, for missing, damaged, mismatched or non-finite weights and unknown facts.
    """
    network = folded(load_student(folder)).to(device, dtype)
    nn.Module.to(network, memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]
    return StudentPredictor(network, name)


def fitted_size(height: int, width: int, longer: int, stride: int) -> tuple[int, int]:
    """Size with the longer side about ``longer`` (0: unchanged), both rounded to the nearest multiple of ``stride``.

    Raises ValueError for a negative resolution.
    """
    if longer < 0:
        raise ValueError(f"resolution is {longer}; allowed is 0 or more")
    scale = longer / max(height, width) if longer else 1.0
    new = [max(stride, round(side * scale / stride) * stride) for side in (height, width)]
    return new[0], new[1]
