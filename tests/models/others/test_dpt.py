"""DPT, Depth Anything and GLPN against the upstream classes, step by step as their documentation calls them."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from PIL import Image
from torch import Tensor

from latentdepth.core.types import AFFINE_DISPARITY, METRIC_DEPTH
from latentdepth.models.others.load import load_other
from latentdepth.models.others.one_pass import OnePassPredictor
from latentdepth.options import PredictOptions

CPU = torch.device("cpu")


def load(folder: Path, dtype: torch.dtype = torch.float32) -> OnePassPredictor:
    predictor = load_other(folder, device=CPU, dtype=dtype, name="theirs")
    assert isinstance(predictor, OnePassPredictor)
    return predictor


def upstream(folder: Path, image: Tensor, target: tuple[int, int] | None, **asked: Any) -> Tensor:
    """Photo by photo: their processor on a Pillow picture, their forward, their post-processing."""
    network: Any = transformers.AutoModelForDepthEstimation.from_pretrained(folder).eval()
    processor = transformers.AutoImageProcessor.from_pretrained(folder, backend="pil")
    picture = Image.fromarray((image * 255).round().to(torch.uint8).permute(1, 2, 0).numpy())
    with torch.inference_mode():
        answer = network(**processor(picture, return_tensors="pt", **asked))
        sizes = None if target is None else [target]
        return processor.post_process_depth_estimation(answer, target_sizes=sizes)[0]["predicted_depth"]


def unit(value: Tensor) -> Tensor:
    return (value - value.min()) / (value.max() - value.min())


@pytest.mark.parametrize("name", ["dpt", "dpt_hybrid", "dpt_dino", "anything", "anything_metric", "glpn"])
@pytest.mark.parametrize("size", [(37, 53), (64, 48)])
def test_agrees_with_upstream(
    write_network: Callable[[str], Path], take_photo: Callable[..., Tensor], name: str, size: tuple[int, int]
):
    image = take_photo(*size)
    folder = write_network(name)
    predictor = load(folder)
    found = predictor(image)
    expected = upstream(folder, image[0], size)
    metric = name in ("dpt_dino", "anything_metric", "glpn")
    assert found.kind == predictor.modality.kind == (METRIC_DEPTH if metric else AFFINE_DISPARITY)
    assert found.value.shape == (1, 1, *size)
    # the same weights through the same kernels on the same 8-bit pixels: no tolerance
    assert torch.equal(found.value[0, 0], expected if metric else unit(expected))
    assert float(found.value.max() - found.value.min()) > 1e-3  # a random network that says something


def test_at_the_networks_size(write_network: Callable[[str], Path], take_photo: Callable[..., Tensor]):
    image = take_photo(37, 53)
    folder = write_network("anything")
    found = load(folder)(image, PredictOptions(match_input=False))
    expected = upstream(folder, image[0], None)
    assert found.value.shape[-2:] == expected.shape == (42, 56)  # short side to 42, long side to a multiple of 14
    assert torch.equal(found.value[0, 0], unit(expected))


def test_every_image_is_looked_at_alone(write_network: Callable[[str], Path], take_photo: Callable[..., Tensor]):
    predictor = load(write_network("anything"))
    images = take_photo(30, 44, images=3)
    together = predictor(images).value
    alone = torch.cat([predictor(image).value for image in images.split(1)])
    assert together.shape == (3, 1, 30, 44)
    assert torch.equal(together, alone)
    assert not torch.equal(together[0], together[1])


@pytest.mark.parametrize(
    ("name", "resolution", "seen"),
    [("anything", 70, (42, 70)), ("anything", 0, (28, 56)), ("dpt", 64, (64, 64)), ("dpt", 0, (64, 64))],
)
def test_resolution_is_the_longer_side_of_what_the_network_sees(
    write_network: Callable[[str], Path],
    take_photo: Callable[..., Tensor],
    name: str,
    resolution: int,
    seen: tuple[int, int],
):
    folder = write_network(name)
    image = take_photo(33, 55)
    found = load(folder)(image, PredictOptions(resolution=resolution))
    size = {"height": seen[0], "width": seen[1]}
    expected = upstream(folder, image[0], (33, 55), size=size, keep_aspect_ratio=False)
    assert torch.equal(found.value[0, 0], unit(expected))


@pytest.mark.parametrize(
    ("name", "resolution", "complaint"),
    [
        ("dpt_hybrid", 64, "one size"),
        ("dpt_dino", 64, "keeps the image's size: allowed is 0"),
        ("glpn", 64, "keeps the image's size: allowed is 0"),
        ("anything", 7, "whole multiples of 14"),
        ("anything", -1, "resolution is -1"),
    ],
)
def test_resolution_refused(
    write_network: Callable[[str], Path],
    take_photo: Callable[..., Tensor],
    name: str,
    resolution: int,
    complaint: str,
):
    with pytest.raises(ValueError, match=complaint):
        load(write_network(name))(take_photo(33, 55), PredictOptions(resolution=resolution))


def test_own_size_where_the_processor_keeps_it(write_network: Callable[[str], Path], take_photo: Callable[..., Tensor]):
    predictor = load(write_network("glpn"))
    image = take_photo(64, 48)
    assert torch.equal(predictor(image, PredictOptions(resolution=0)).value, predictor(image).value)


def test_a_square_network_refuses_other_shapes(
    tmp_path: Path, write_network: Callable[[str], Path], take_photo: Callable[..., Tensor]
):
    # 16 x 64 pixels of patches of 16 would pass as 2 x 2 patches and come out scrambled
    folder = tmp_path / "dpt"
    shutil.copytree(write_network("dpt"), folder)
    settings = folder / "preprocessor_config.json"
    settings.write_text(settings.read_text().replace('"height": 32, "width": 32', '"height": 16, "width": 64'))
    with pytest.raises(ValueError, match="squares only"):
        load(folder)(take_photo(40, 60))


def test_half_precision_network_answers_in_float32(
    write_network: Callable[[str], Path], take_photo: Callable[..., Tensor]
):
    image = take_photo(42, 42)
    full = load(write_network("anything"))(image).value
    half = load(write_network("anything"), torch.bfloat16)(image)
    assert half.value.dtype is torch.float32
    assert half.made_with["dtype"] == "bfloat16"
    # 8 bits of mantissa through a few tens of layers
    assert float((half.value - full).abs().mean()) < 0.1


@pytest.mark.parametrize("brightness", [0.0, 1.0])
def test_black_and_white_photos_stay_black_and_white(
    write_network: Callable[[str], Path], take_photo: Callable[..., Tensor], brightness: float
):
    # floats that are all whole numbers are taken for 0 to 255 by their processors: white would be nearly black
    folder = write_network("anything_metric")
    image = torch.full((1, 3, 42, 42), brightness)
    assert torch.equal(load(folder)(image).value[0, 0], upstream(folder, image[0], (42, 42)))
