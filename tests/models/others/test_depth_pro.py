"""Depth Pro: metres and focal length against closed forms, and against upstream where torchvision is."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
import transformers
from torch import Tensor

from latentdepth.core.types import METRIC_DEPTH
from latentdepth.models.others import depth_pro
from latentdepth.models.others.estimate import Request
from latentdepth.models.others.load import load_other
from latentdepth.models.others.one_pass import OnePassPredictor
from latentdepth.options import PredictOptions

CPU = torch.device("cpu")
SQUARE = depth_pro.Square((32, 32), (0.5, 0.5, 0.5), (0.5, 0.5, 0.5))


class Canonical:
    """A network that says one canonical inverse depth everywhere, and one field of view."""

    device, dtype = CPU, torch.float32

    def __init__(self, inverse: float, fov_deg: float | None) -> None:
        self.inverse, self.fov_deg, self.pixels = inverse, fov_deg, torch.empty(0)

    def __call__(self, pixel_values: Tensor) -> Any:
        self.pixels = pixel_values
        fov = None if self.fov_deg is None else torch.tensor([self.fov_deg])
        return SimpleNamespace(predicted_depth=torch.full((1, 64, 64), self.inverse), field_of_view=fov)


@pytest.mark.parametrize(("fov_deg", "width"), [(90.0, 80), (60.0, 80), (60.0, 41)])
def test_metres_by_pen_and_paper(fov_deg: float, width: int):
    found = depth_pro.estimate(Canonical(0.25, fov_deg), SQUARE, Request(torch.rand(1, 3, 50, width), None, True))
    focal_px = width / 2 / math.tan(math.radians(fov_deg) / 2)
    assert found.focal_px == pytest.approx(focal_px, rel=1e-6)
    # depth = f / (width C): 2 m at 90 degrees, where the focal length is half the width
    torch.testing.assert_close(found.value, torch.full((50, width), focal_px / width / 0.25), rtol=1e-5, atol=0)


def test_without_field_of_view():
    found = depth_pro.estimate(Canonical(0.25, None), SQUARE, Request(torch.rand(1, 3, 50, 80), None, True))
    assert found.focal_px is None
    torch.testing.assert_close(found.value, torch.full((50, 80), 4.0))


@pytest.mark.parametrize(("inverse", "depth_m"), [(0.0, 1e4), (1e9, 1e-4)])
def test_the_ends_of_the_range(inverse: float, depth_m: float):
    found = depth_pro.estimate(Canonical(inverse, None), SQUARE, Request(torch.rand(1, 3, 8, 8), None, True))
    torch.testing.assert_close(found.value, torch.full((8, 8), depth_m))


def test_the_photo_is_normalised_then_stretched_without_antialias():
    network, image = Canonical(1.0, None), torch.rand(1, 3, 64, 96)
    depth_pro.estimate(network, SQUARE, Request(image, None, True))
    # 96 to 32: every third pixel, the middle one; 64 to 32: the mean of two rows
    thinned = image.numpy()[..., 1::3]
    expected = (thinned[:, :, 0::2] + thinned[:, :, 1::2]) / 2 * 2 - 1
    np.testing.assert_allclose(network.pixels.numpy(), expected, atol=1e-6)


def test_resolution_is_fixed():
    with pytest.raises(ValueError, match="always sees 32 x 32"):
        depth_pro.estimate(Canonical(1.0, None), SQUARE, Request(torch.rand(1, 3, 8, 8), 64, True))


@pytest.mark.parametrize("size", [(37, 53), (64, 48)])
def test_upstream_forward(
    write_network: Callable[[str], Path], take_photo: Callable[..., Tensor], size: tuple[int, int]
):
    folder = write_network("depth_pro")
    image = take_photo(*size)
    predictor = load_other(folder, device=CPU, dtype=torch.float32, name="pro")
    assert isinstance(predictor, OnePassPredictor)
    found = predictor(image)
    assert found.kind == predictor.modality.kind == METRIC_DEPTH
    network: Any = transformers.DepthProForDepthEstimation.from_pretrained(folder).eval()
    pixels = torch.nn.functional.interpolate(image * 2 - 1, (32, 32), mode="bilinear")
    with torch.inference_mode():
        answer = network(pixels)
    width = size[1]
    focal_px = width / 2 / math.tan(math.radians(float(answer.field_of_view[0])) / 2)
    inverse = answer.predicted_depth[:, None] * width / focal_px
    inverse = torch.nn.functional.interpolate(inverse, size, mode="bilinear")[0, 0]
    # the same kernels in another order of products
    torch.testing.assert_close(1 / found.value[0, 0], inverse.clamp(1e-4, 1e4), rtol=1e-4, atol=1e-4)
    assert found.camera is not None
    assert found.camera.fx_px == pytest.approx(focal_px, rel=1e-5)
    assert (found.camera.width_px, found.camera.height_px) == (width, size[0])
    smaller = predictor(image, PredictOptions(match_input=False))
    assert smaller.camera is not None
    assert (smaller.camera.height_px, smaller.camera.width_px) == tuple(smaller.value.shape[-2:])
    assert smaller.camera.fx_px / smaller.camera.width_px == pytest.approx(focal_px / width, rel=1e-5)
    pytest.importorskip("torchvision", reason="transformers' own processor of Depth Pro needs torchvision")
    theirs = transformers.DepthProImageProcessor.from_pretrained(folder)
    with torch.inference_mode():
        answer = network(**theirs((image[0] * 255).round().to(torch.uint8), return_tensors="pt"))
    expected: Any = theirs.post_process_depth_estimation(answer, target_sizes=[size])[0]
    torch.testing.assert_close(1 / found.value[0, 0], 1 / expected["predicted_depth"], rtol=1e-3, atol=1e-3)


def test_several_images_have_no_one_camera(write_network: Callable[[str], Path], take_photo: Callable[..., Tensor]):
    predictor = load_other(write_network("depth_pro"), device=CPU, dtype=torch.float32, name="pro")
    images = take_photo(40, 30, images=2)
    found = predictor(images)
    assert found.camera is None
    assert torch.equal(found.value, torch.cat([predictor(image).value for image in images.split(1)]))


def test_a_network_without_field_of_view_has_no_camera(
    write_network: Callable[[str], Path], take_photo: Callable[..., Tensor]
):
    predictor = load_other(write_network("depth_pro_no_fov"), device=CPU, dtype=torch.float32, name="pro")
    assert predictor(take_photo(40, 30)).camera is None


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"size": 32}, "wanted are size.height"),
        ({"image_mean": [0.5]}, "three numbers each"),
        ({"image_std": None}, "wanted are size.height"),
        ({"resample": 3}, "allowed is 2, bilinear"),
    ],
)
def test_settings_that_will_not_do(tmp_path: Path, change: dict[str, Any], complaint: str):
    settings = {"size": {"height": 32, "width": 32}, "image_mean": [0.5] * 3, "image_std": [0.5] * 3, "resample": 2}
    (tmp_path / "preprocessor_config.json").write_text(json.dumps(settings | change))
    with pytest.raises(ValueError, match=complaint):
        depth_pro.read_square(tmp_path)


def test_settings_that_are_missing(tmp_path: Path):
    with pytest.raises(ValueError, match=r"no preprocessor_config\.json"):
        depth_pro.read_square(tmp_path)
