"""The feed-forward network: geometry of its padding, sizes, the published encoder's numbers, saving."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch.nn import functional as F

from latentdepth.models.feedforward import DepthPyramid, LiteEncoder, LiteSize, load_imagenet, load_pyramid


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


@pytest.mark.parametrize(("size", "parameters"), [("lite1", 3_723_520), ("lite2", 4_357_952)])
def test_larger_encoders_have_the_published_size(size: LiteSize, parameters: int):
    # 5.42 M and 6.09 M with the classifier: 1280 x (320 or 352) + 2 x 1280 and 1280 x 1000 + 1000 more
    encoder = LiteEncoder(size)
    assert sum(p.numel() for p in encoder.parameters()) == parameters
    with torch.no_grad():
        taps = encoder.eval()(torch.rand(1, 3, 64, 64))
    assert tuple(t.shape[1] for t in taps) == encoder.channels


def test_a_larger_pyramid_comes_back_as_it_was(tmp_path: Path):
    network = DepthPyramid(32, encoder="lite2").eval()
    network.save(tmp_path)
    loaded = load_pyramid(tmp_path)
    assert (loaded.width, loaded.encoder.size) == (32, "lite2")
    with torch.no_grad():
        image = torch.rand(1, 3, 64, 64)
        torch.testing.assert_close(loaded(image), network(image), atol=0, rtol=0)


def test_an_encoder_that_is_not_known_is_named(network: DepthPyramid, tmp_path: Path):
    save_file(network.state_dict(), tmp_path / "model.safetensors", {"encoder": "lite9"})
    with pytest.raises(ValueError, match="lite9"):
        load_pyramid(tmp_path)


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


def test_filters_of_one_channel_learn_in_float32_and_answer_in_what_autocast_asks_for():
    torch.manual_seed(1)
    filters = (one for one in LiteEncoder().modules() if isinstance(one, torch.nn.Conv2d) and one.groups > 1)
    convolution = next(one for one in filters if one.stride == (2, 2))  # 3 x 3
    image = torch.randn(2, convolution.in_channels, 15, 18).bfloat16()
    exact, weight = image.double().requires_grad_(), convolution.weight.detach().double().requires_grad_()
    wanted = F.conv2d(F.pad(exact, (0, 1, 1, 1)), weight, stride=2, groups=convolution.in_channels)
    push = torch.randn(wanted.shape).bfloat16()
    image_grad, weight_grad = torch.autograd.grad(wanted, (exact, weight), push.double())
    with torch.autocast("cpu", torch.bfloat16):
        answer = convolution(image.requires_grad_())
    answer.backward(push)
    assert answer.dtype == torch.bfloat16
    assert image.grad is not None
    assert convolution.weight.grad is not None
    torch.testing.assert_close(image.grad.double(), image_grad, atol=1e-3, rtol=2**-7)
    # a weight rounded to bfloat16's eight bits, or a sum in it, would be off by some of 2**-8
    torch.testing.assert_close(convolution.weight.grad.double(), weight_grad, atol=1e-5, rtol=1e-5)


def test_filters_of_one_channel_keep_float64():
    torch.manual_seed(1)
    filters = (one for one in LiteEncoder().double().modules() if isinstance(one, torch.nn.Conv2d) and one.groups > 1)
    convolution = next(one for one in filters if one.stride == (2, 2))
    image = torch.randn(2, convolution.in_channels, 15, 18).double()
    with torch.no_grad():
        wanted = convolution(image)
    torch.testing.assert_close(convolution(image), wanted, atol=1e-14, rtol=0)


def test_saved_and_loaded_says_the_same(network: DepthPyramid, tmp_path: Path):
    image = torch.rand(1, 3, 64, 64)
    network.save(tmp_path)
    with torch.no_grad():
        torch.testing.assert_close(load_pyramid(tmp_path)(image), network(image), atol=0, rtol=0)


def test_a_file_that_is_not_the_known_one_is_never_opened(tmp_path: Path):
    path = tmp_path / "weights.pth"
    path.write_bytes(b"cos\nsystem\n(S'exit'\ntR.")
    with pytest.raises(ValueError, match="SHA-256"):
        load_imagenet(LiteEncoder(), path)
