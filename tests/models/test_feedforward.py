"""The feed-forward network: geometry of its padding, sizes, the published encoder's numbers, saving."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch.nn import functional as F

from latentdepth.models.feedforward import DepthPyramid, LiteEncoder, load_imagenet_lite0, load_pyramid


@pytest.fixture(scope="module")
def network() -> DepthPyramid:
    torch.manual_seed(0)
    return DepthPyramid().eval()


@pytest.mark.parametrize("size", [(32, 32), (64, 96), (45, 71)])
def test_a_map_of_the_photos_size(network: DepthPyramid, size: tuple[int, int]):
    with torch.no_grad():
        disparity = network(torch.rand(2, 3, *size))
    assert disparity.shape == (2, 1, *size)
    assert disparity.dtype == torch.float32
    assert bool(torch.isfinite(disparity).all())


def test_features_at_the_four_strides():
    with torch.no_grad():
        taps = LiteEncoder().eval()(torch.rand(1, 3, 64, 96))
    assert [tuple(t.shape[1:]) for t in taps] == [(24, 16, 24), (40, 8, 12), (112, 4, 6), (320, 2, 3)]


def test_the_encoder_has_the_published_size():
    # EfficientNet-Lite0 has 4.65 M parameters, of which 1280 x 320 + 2 x 1280 and 1280 x 1000 + 1000 are the
    # classifier's; without them, 4,652,008 - 409,600 - 2,560 - 1,281,000
    assert sum(p.numel() for p in LiteEncoder().parameters()) == 2_958_848


def test_padding_is_that_of_tensorflow():
    # For even sizes and stride 2, TensorFlow pads nothing before and one pixel after.
    encoder = LiteEncoder().eval()
    convolution = encoder.stem[0]
    assert isinstance(convolution, torch.nn.Conv2d)
    image = torch.rand(1, 3, 32, 32)
    with torch.no_grad():
        torch.testing.assert_close(
            convolution(image), F.conv2d(F.pad(image, (0, 1, 0, 1)), convolution.weight, stride=2)
        )


def test_saved_and_loaded_says_the_same(network: DepthPyramid, tmp_path: Path):
    image = torch.rand(1, 3, 64, 64)
    network.save(tmp_path)
    with torch.no_grad():
        torch.testing.assert_close(load_pyramid(tmp_path)(image), network(image), atol=0, rtol=0)


def test_a_file_that_is_not_the_known_one_is_never_opened(tmp_path: Path):
    path = tmp_path / "weights.pth"
    path.write_bytes(b"cos\nsystem\n(S'exit'\ntR.")
    with pytest.raises(ValueError, match="SHA-256"):
        load_imagenet_lite0(LiteEncoder(), path)
