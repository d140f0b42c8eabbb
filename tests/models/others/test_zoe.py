"""ZoeDepth: our second half of the path against closed forms, and the whole against upstream where torchvision is."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
import transformers
from torch import Tensor

from latentdepth.core.types import METRIC_DEPTH
from latentdepth.models.others import zoe
from latentdepth.models.others.estimate import Request
from latentdepth.models.others.load import load_other
from latentdepth.options import PredictOptions

CPU = torch.device("cpu")


class Brightness:
    """A network whose depth is the brightness it sees, plus a ramp to the right that averaging takes away."""

    device, dtype = CPU, torch.float32

    def __init__(self, ramp: float = 0.0) -> None:
        self.ramp, self.seen = ramp, []

    def __call__(self, pixel_values: Tensor) -> Any:
        self.seen.append(tuple(pixel_values.shape[-2:]))
        ramp = torch.linspace(-self.ramp, self.ramp, pixel_values.shape[-1])
        return SimpleNamespace(predicted_depth=pixel_values.mean(1) * 0.5 + 0.5 + ramp)


def processor(**settings: Any) -> Any:
    return transformers.ZoeDepthImageProcessorPil(**settings)


def smooth(height: int, width: int) -> Tensor:
    y, x = torch.meshgrid(torch.linspace(0, 3, height), torch.linspace(0, 3, width), indexing="ij")
    return (0.5 + 0.3 * torch.sin(y) * torch.cos(x)).expand(1, 3, -1, -1)


@pytest.mark.parametrize("size", [(60, 80), (81, 57)])
@pytest.mark.parametrize("do_pad", [True, False])
def test_what_the_network_says_lies_where_the_photo_shows_it(size: tuple[int, int], do_pad: bool):
    image = smooth(*size)
    found = zoe.estimate(Brightness(), processor(do_pad=do_pad), Request(image, None, True))
    assert found.value.shape == size
    # resized up and down once each (theirs aligns corners on the way in, not on the way back: a pixel at most)
    torch.testing.assert_close(found.value, image[0, 0], atol=0.03, rtol=0)


def test_mirror_images_are_averaged():
    image = smooth(60, 80)
    plain = zoe.estimate(Brightness(), processor(), Request(image, None, True)).value
    ramped = zoe.estimate(Brightness(ramp=5), processor(), Request(image, None, True)).value
    torch.testing.assert_close(ramped, plain, atol=1e-5, rtol=0)  # float32 sums of numbers near 5


@pytest.mark.parametrize("resolution", [64, 160, 0])
def test_resolution_is_the_photos_share(resolution: int):
    network, image = Brightness(), smooth(96, 160)
    zoe.estimate(network, processor(ensure_multiple_of=1), Request(image, resolution, True))
    longer = resolution or 160
    border = int((160 / 2) ** 0.5 * 3)
    assert network.seen[0][1] == pytest.approx(longer * (160 + 2 * border) / 160, abs=1)


def test_at_the_networks_size():
    network = Brightness()
    found = zoe.estimate(network, processor(), Request(smooth(60, 80), None, False))
    height, width = network.seen[0]
    # border of int(3 sqrt(30)) and int(3 sqrt(40)) pixels on each side
    assert found.value.shape == (round(height * 60 / (60 + 2 * 16)), round(width * 80 / (80 + 2 * 18)))


def test_precision_of_the_photo_is_kept():
    image = torch.full((1, 3, 40, 60), 0.5 + 1 / 65536)
    value = zoe.estimate(Brightness(), processor(), Request(image, None, True)).value
    torch.testing.assert_close(value, torch.full_like(value, 0.5 + 1 / 65536), atol=1e-6, rtol=0)  # float32 sums


def test_too_small_for_the_border():
    with pytest.raises(ValueError, match="at least 5 x 5"):
        zoe.estimate(Brightness(), processor(), Request(smooth(4, 60), None, True))
    assert zoe.estimate(Brightness(), processor(), Request(smooth(5, 60), None, True)).value.shape == (5, 60)


def test_upstream_forward(write_network: Callable[[str], Path], take_photo: Callable[..., Tensor]):
    folder, size = write_network("zoe"), (37, 53)
    image = take_photo(*size)
    predictor = load_other(folder, device=CPU, dtype=torch.float32, name="zoe")
    found = predictor(image)
    assert found.kind == predictor.modality.kind == METRIC_DEPTH
    network: Any = transformers.ZoeDepthForDepthEstimation.from_pretrained(folder).eval()
    theirs = transformers.AutoImageProcessor.from_pretrained(folder, backend="pil")
    picture = (image[0] * 255).round().to(torch.uint8).permute(1, 2, 0).numpy()
    pixels = theirs(picture, return_tensors="pt")["pixel_values"]
    with torch.inference_mode():
        straight, mirrored = network(pixels), network(pixels.flip(-1))
    middle = (straight.predicted_depth + mirrored.predicted_depth.flip(-1)) / 2
    assert float(found.value.std()) > 1e-3 * float(found.value.mean())  # a random network that says something
    # what comes back are values between those of the network, up to the overshoot of bicubic resizing
    spread = float(middle.max() - middle.min())
    assert float(middle.min()) - 0.2 * spread <= float(found.value.min())
    assert float(found.value.max()) <= float(middle.max()) + 0.2 * spread
    pytest.importorskip("torchvision", reason="transformers' own post-processing of ZoeDepth needs torchvision")
    expected = theirs.post_process_depth_estimation(
        straight, source_sizes=[size], target_sizes=[size], outputs_flipped=mirrored
    )[0]["predicted_depth"]
    # its processor multiplies bytes by 1/255 in float64, we hand over float32: a last bit
    torch.testing.assert_close(found.value[0, 0], expected, atol=0, rtol=1e-4)


def test_two_images(write_network: Callable[[str], Path], take_photo: Callable[..., Tensor]):
    predictor = load_other(write_network("zoe"), device=CPU, dtype=torch.float32, name="zoe")
    images = take_photo(40, 30, images=2)
    together = predictor(images, PredictOptions()).value
    assert torch.equal(together, torch.cat([predictor(image).value for image in images.split(1)]))
