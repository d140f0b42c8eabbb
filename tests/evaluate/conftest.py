"""A procedural miniature benchmark: real frames of a made-up floor and wall, held in memory."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import pytest
import torch

from latentdepth.core.types import Kind, Prediction
from latentdepth.data.benchmarks.benchmark import Facts, OrdinalSample, Truth
from latentdepth.data.sample import Sample

SIZE = (12, 16)


@dataclass(frozen=True)
class Miniature:
    """Frames ``scene/k``, four frames a scene, each with its own depth map; those in ``broken`` can't be read."""

    frames: int = 8
    truth: Truth = "depth"
    key: str = "miniature"
    broken: tuple[int, ...] = ()

    @property
    def facts(self) -> Facts:
        return Facts(self.key, "Miniature", self.truth, self.frames, 0.1, 80.0, None, "made in memory", "ours")

    @property
    def notice(self) -> str | None:
        return None

    def __len__(self) -> int:
        return self.frames

    def frame(self, index: int) -> str:
        return f"{'abc'[index // 4 % 3]}/{index:03d}"

    def __getitem__(self, index: int) -> Sample | OrdinalSample:
        if index in self.broken:
            raise ValueError(f"{self.frame(index)}.png: truncated or damaged; write the file again")
        depth_m = depth_of(index)
        # the photo tells the depth to those who know how: red is 1 / depth
        image = (0.5 / depth_m).clamp(0, 1).expand(3, -1, -1).contiguous()
        group = self.frame(index).split("/")[0]
        if self.truth == "point_pairs":
            top, bottom = torch.tensor([[3.0, 1.0], [9.0, 2.0]]), torch.tensor([[3.0, 10.0], [9.0, 11.0]])
            return OrdinalSample(image, bottom, top, group)
        valid = torch.ones_like(depth_m, dtype=torch.bool)
        valid[:, 0] = False
        normals = torch.nn.functional.normalize(torch.stack((depth_m[0] * 0, depth_m[0], 1 + depth_m[0])), dim=0)
        return Sample(image, depth_m, valid, group, normals=normals if self.truth == "normals" else None)


def depth_of(index: int) -> torch.Tensor:
    """Farther towards the top, with a bump that moves from frame to frame; 1 to about 9 m."""
    h, w = SIZE
    row, column = torch.meshgrid(torch.linspace(1, 0, h), torch.linspace(0, 1, w), indexing="ij")
    return (1 + 4 * row + 2 * torch.sin(3 * column + index) * row + 0.2 * index)[None] + 0.3 * column[None]


@dataclass
class Oracle:
    """Knows the truth and says it, changed by ``change(value, index)``; counts how often it was asked."""

    kind: Kind
    change: Callable[[torch.Tensor, int], torch.Tensor] = lambda value, _: value
    name: str = "oracle"
    asked: list[str] = field(default_factory=list)

    @property
    def settings(self) -> dict[str, str]:
        return {"kind": str(self.kind)}

    def predict(self, frame: str, image: torch.Tensor) -> Prediction:
        self.asked.append(frame)
        index = int(frame.split("/")[1])
        depth_m = depth_of(index)[None]
        quantity = self.kind.quantity.value
        if quantity == "normals":
            value = torch.cat((depth_m * 0, depth_m, 1 + depth_m), 1)
            value = torch.nn.functional.normalize(value, dim=1)
        else:
            value = {"depth": depth_m, "disparity": 1 / depth_m, "log_depth": depth_m.log()}[quantity]
        return Prediction(self.change(value, index), self.kind, made_with={"steps": 2, "members": 3})


@pytest.fixture
def miniature() -> type[Miniature]:
    return Miniature


@pytest.fixture
def oracle() -> type[Oracle]:
    return Oracle
