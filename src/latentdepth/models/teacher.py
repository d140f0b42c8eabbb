"""The feed-forward teacher of a folder, as a network that answers in one pass.

A folder is the one ``model.safetensors`` that ``DepthPyramid.save`` writes. Knows no losses and no options.
"""

from __future__ import annotations

from pathlib import Path

from jaxtyping import Float
from safetensors import SafetensorError, safe_open
from torch import Tensor
from torch.nn import functional as F

from latentdepth.models.dense import DenseNetwork, Seen
from latentdepth.models.feedforward import DepthPyramid, load_pyramid

LONG_SIDE_PX = 288
"""What a teacher sees when nothing else is asked for: about what it was trained on."""
_RIM_PX = 4
"""As far in from the borders as zero padding darkens the map."""
_OF_A_PYRAMID = {"lateral.0.0.weight", "scene.weight", "head.2.bias"}


class FramedPyramid(DenseNetwork):
    """A pyramid without the frame of several pixels that its zero padding darkens all around."""

    encoder_prefix = "pyramid.encoder."
    stride = 32

    def __init__(self, pyramid: DepthPyramid) -> None:
        super().__init__()
        self.pyramid = pyramid

    @property
    def resolution(self) -> int:
        """Longer side in pixels that the network sees when none is asked for."""
        return LONG_SIDE_PX

    @property
    def max_depth_m(self) -> None:
        """Its values are relative."""
        return

    def forward(self, image: Float[Tensor, "n 3 h w"]) -> Seen:
        """Sides of at least 32."""
        value = framed(self.pyramid, image)
        return Seen(value - value.amin((1, 2, 3), keepdim=True), self.features(image))

    def features(self, image: Float[Tensor, "n 3 h w"]) -> Float[Tensor, "n c hf wf"]:
        """The encoder's map at stride 32."""
        return self.pyramid.features(image)[-1]

    def fresh(self, max_depth_m: float | None) -> FramedPyramid:
        """A pyramid with random weights. ValueError for a metric one, which there is not."""
        if max_depth_m is not None:
            raise ValueError("a teacher's pyramid gives relative disparity; metres are learnt by a student")
        return FramedPyramid(DepthPyramid(self.pyramid.width, encoder=self.pyramid.encoder.size))

    def save(self, folder: Path) -> None:
        """The pyramid's own file."""
        self.pyramid.save(folder)


def framed(pyramid: DepthPyramid, image: Float[Tensor, "n 3 h w"]) -> Float[Tensor, "n 1 h w"]:
    """What ``pyramid`` says of photos in [0, 1] of at least 32 x 32, its rim replaced by what stands just inside.

    Showing it each photo continued by reflection avoids the rim too, but costs 3 points of delta1 on NYUv2.
    """
    value, rim = pyramid(image), (_RIM_PX,) * 4
    return F.pad(value[..., _RIM_PX:-_RIM_PX, _RIM_PX:-_RIM_PX], rim, mode="replicate")


def is_teacher(folder: Path) -> bool:
    """Whether ``folder`` is what `latentdepth train tiny-teacher` leaves: by the names of its tensors."""
    path = folder / "model.safetensors"
    if (folder / "config.json").exists() or not path.is_file():
        return False
    try:
        with safe_open(path, framework="pt") as file:
            return set(file.keys()) >= _OF_A_PYRAMID
    except SafetensorError:
        return False


def load_teacher_network(folder: Path) -> FramedPyramid:
    """The teacher of ``folder``, ready to predict. Raises ValueError as ``load_pyramid`` does."""
    return FramedPyramid(load_pyramid(folder)).eval()
