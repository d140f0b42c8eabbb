"""The feed-forward teacher: what its loss takes, and what it predicts."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from latentdepth.core.noise import generator
from latentdepth.core.types import AFFINE_DISPARITY
from latentdepth.data.batch import Batch
from latentdepth.models.feedforward import DepthPyramid
from latentdepth.train.losses import scale_shift_invariant
from latentdepth.train.options import RegressOptions
from latentdepth.train.regress import Regress, load_teacher, new_teacher, seen_whole, unit_range
from latentdepth.train.task import Feeds, Predicts


def batch() -> Batch:
    draw = generator("regress")
    image = torch.rand(2, 3, 32, 32, generator=draw) * 2 - 1
    return Batch(image, image.mean(1, keepdim=True), torch.ones(2, 1, 32, 32, dtype=torch.bool))


def test_the_loss_is_midas_s_on_what_the_network_says_of_photos_in_the_unit_range():
    torch.manual_seed(0)
    network = DepthPyramid().eval()
    task = Regress(network, RegressOptions(trim=0.2, gradient_weight=0.25))
    assert isinstance(task, Feeds)
    assert isinstance(task, Predicts)
    given = batch()
    with torch.no_grad():
        losses = task.loss(given, generator("unused"))
        said = network((given.image + 1) / 2)
    wanted = scale_shift_invariant(said, given.target, given.valid, trim=0.2, gradient_weight=0.25)
    # the same convolutions in another memory layout; differences of a nearly constant map are magnified by its spread
    torch.testing.assert_close(losses, wanted, atol=1e-3, rtol=1e-3)
    # sky and metres: what a target is scaled to does not matter
    moved = Batch(given.image, 0.1 * given.target + 3, given.valid)
    with torch.no_grad():
        torch.testing.assert_close(task.loss(moved, generator("unused")), losses, atol=1e-4, rtol=1e-4)


def test_it_predicts_affine_disparity_of_the_photo_s_size():
    torch.manual_seed(0)
    task = Regress(DepthPyramid().eval())
    with torch.no_grad():
        found = task.predict(torch.rand(2, 3, 50, 70, generator=generator("photo")))
    assert found.kind == AFFINE_DISPARITY
    assert found.value.shape == (2, 1, 50, 70)
    for value in found.value:
        assert float(value.min()) == 0.0
        assert float(value.max()) <= 1.0
    assert torch.equal(unit_range(torch.zeros(1, 1, 2, 2)), torch.zeros(1, 1, 2, 2))
    task.network = torch.nn.Identity()  # pyright: ignore[reportAttributeAccessIssue]
    with pytest.raises(TypeError, match="the network is a Identity"):
        task.predict(torch.rand(1, 3, 32, 32))


def test_photos_are_continued_beyond_their_border():
    """A network that looks around itself sees no zeros: of a plain picture it says one number everywhere."""
    torch.manual_seed(0)
    network = DepthPyramid().eval()
    with torch.no_grad():
        said = seen_whole(network, torch.full((1, 3, 64, 96), 0.5), long_side_px=96)
        bare = network(torch.full((1, 3, 64, 96), 0.5))
    assert said.shape == (1, 1, 64, 96)
    assert float(said.std()) < float(bare.std())


def test_where_it_starts_from(tmp_path: Path):
    assert new_teacher(RegressOptions(encoder="lite1")).encoder.size == "lite1"
    with pytest.raises(ValueError, match=r"regress\.imagenet: .*gone\.pth does not exist"):
        new_teacher(RegressOptions(imagenet=tmp_path / "gone.pth"))
    with pytest.raises(ValueError, match=r"model\.safetensors is missing; give the model of a teacher"):
        load_teacher(tmp_path)
    torch.manual_seed(0)
    network = DepthPyramid()
    Regress(network).save(tmp_path / "model")
    again = load_teacher(tmp_path / "model").state_dict()
    assert all(torch.equal(again[name], value) for name, value in network.state_dict().items())
