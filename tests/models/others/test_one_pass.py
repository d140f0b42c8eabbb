"""What holds for every network that answers in one pass: options, ranges, bad input."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor

from latentdepth.core.types import AFFINE_DISPARITY, METRIC_DEPTH, Kind
from latentdepth.models.others.estimate import Estimate, Request
from latentdepth.models.others.one_pass import OnePassPredictor
from latentdepth.options import PredictOptions
from latentdepth.predictor import Predictor

NETWORK: Any = SimpleNamespace(dtype=torch.float32, device=torch.device("cpu"))


def saying(value: Callable[[Tensor], Tensor], kind: Kind) -> OnePassPredictor:
    """A predictor whose network's answer is a function of the photo."""

    def family(network: Any, processor: Any, request: Request) -> Estimate:
        return Estimate(value(request.image[0]))

    return OnePassPredictor(NETWORK, None, family, kind, "theirs")


def test_is_a_predictor():
    assert isinstance(saying(lambda image: image[0], AFFINE_DISPARITY), Predictor)


def test_affine_values_are_stretched_image_by_image_and_metres_are_not():
    images = torch.stack([torch.full((3, 4, 5), 0.2), torch.full((3, 4, 5), 0.4)])
    images[:, :, 0, 0] = 0
    relative = saying(lambda image: image[0] * 7 - 3, AFFINE_DISPARITY)(images).value
    assert torch.equal(relative.amax((1, 2, 3)), torch.ones(2))
    assert torch.equal(relative.amin((1, 2, 3)), torch.zeros(2))
    metres = saying(lambda image: image[0] * 7, METRIC_DEPTH)(images).value
    torch.testing.assert_close(metres[:, 0], images[:, 0] * 7)


def test_a_constant_answer_is_zero():
    found = saying(lambda image: torch.full_like(image[0], 3.0), AFFINE_DISPARITY)(torch.rand(1, 3, 4, 5))
    assert torch.equal(found.value, torch.zeros(1, 1, 4, 5))


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
@pytest.mark.parametrize("kind", [AFFINE_DISPARITY, METRIC_DEPTH])
def test_not_a_number_is_an_error(bad: float, kind: Kind):
    with pytest.raises(ValueError, match=r"NaN or infinity in torch\.float32"):
        saying(lambda image: image[0] + bad, kind)(torch.rand(1, 3, 4, 5))


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        (PredictOptions(steps=4), "steps is 4.*one forward pass.*allowed is 1"),
        (PredictOptions(members=10), "members is 10.*allowed is 1"),
        (PredictOptions(sampler="ddim"), "sampler is ddim.*leave it out"),
        (PredictOptions(resolution=-1), "resolution is -1.*0 or more"),
    ],
)
def test_options_of_diffusion_are_refused(options: PredictOptions, complaint: str):
    with pytest.raises(ValueError, match=complaint):
        saying(lambda image: image[0], AFFINE_DISPARITY)(torch.rand(1, 3, 4, 5), options)


@pytest.mark.parametrize(
    "options", [PredictOptions(steps=1, members=1, seed=3, batch=2), PredictOptions(effort="best")]
)
def test_options_that_change_nothing_are_taken(options: PredictOptions):
    images = torch.rand(1, 3, 4, 5)
    predictor = saying(lambda image: image[0], AFFINE_DISPARITY)
    assert torch.equal(predictor(images, options).value, predictor(images).value)


def test_images_that_are_none():
    predictor = saying(lambda image: image[0], AFFINE_DISPARITY)
    with pytest.raises(ValueError, match="range from"):
        predictor(torch.full((1, 3, 4, 5), 255.0))


def test_made_with():
    found = saying(lambda image: image[0], METRIC_DEPTH)(torch.rand(1, 3, 4, 5))
    assert found.made_with["model"] == "theirs"
    assert found.uncertainty is None
