"""Figures of predictions that are known, and the sheet that shows them."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

from latentdepth.core.types import AFFINE_DEPTH, AFFINE_DISPARITY, METRIC_DEPTH, NORMALS, Kind, Prediction
from latentdepth.data.mixing import Portion
from latentdepth.data.options import Augmentation, Target
from latentdepth.data.sample import Sample
from latentdepth.train.task import Judged
from latentdepth.train.validation import collected, contact_sheet, judge_depth, judge_normals, measure, whole_views


def sample(*, valid: bool = True) -> Sample:
    draw = torch.Generator().manual_seed(1)
    depth = 1 + 4 * torch.rand(1, 12, 16, generator=draw)
    depth[0, :3] = torch.inf  # sky
    normals = F.normalize(torch.randn(3, 12, 16, generator=draw), dim=0)
    mask = torch.full((1, 12, 16), valid)
    return Sample(torch.rand(3, 12, 16, generator=draw), depth, mask, normals=normals)


class Says:
    """A task that predicts what it was made with."""

    def __init__(self, value: Tensor, kind: Kind) -> None:
        self.value, self.kind = value, kind

    def predict(self, image: Float[Tensor, "n 3 h w"]) -> Prediction:
        return Prediction(self.value[None].expand(len(image), -1, -1, -1), self.kind)


def test_an_affine_map_of_the_truth_is_perfect_in_its_own_space():
    truth = sample()
    depth = torch.where(truth.depth_m.isinf(), 9.0, truth.depth_m)
    for kind, value in ((AFFINE_DEPTH, 0.1 * depth + 0.05), (AFFINE_DISPARITY, 0.7 / depth + 0.1)):
        judged = judge_depth(Prediction(value[None], kind), truth)
        assert judged.figures["abs_rel"] == pytest.approx(0, abs=1e-5)
        assert judged.figures["delta1"] == 1
        assert len(judged.pictures) == 4
        assert (judged.pictures[2][:, :3] == 0).all()  # sky has no truth to draw
    wrong = judge_depth(Prediction(0.7 / depth[None] + 0.1, AFFINE_DEPTH), truth)
    assert wrong.figures["abs_rel"] > 0.05


def test_normals_turned_by_an_angle_are_off_by_it():
    truth = sample()
    assert truth.normals is not None
    other = F.normalize(torch.randn(3, 12, 16), dim=0)
    across = F.normalize(other - (other * truth.normals).sum(0) * truth.normals, dim=0)
    turned = math.cos(math.radians(10)) * truth.normals + math.sin(math.radians(10)) * across
    judged = judge_normals(Prediction(turned[None], NORMALS), truth)
    assert judged.figures["mean_deg"] == pytest.approx(10, abs=1e-3)
    assert judged.figures["below_11.25"] == 1


def test_samples_without_a_usable_pixel_do_not_count():
    good, bad = sample(), sample(valid=False)
    task = Says(0.1 * torch.where(good.depth_m.isinf(), 9.0, good.depth_m), AFFINE_DEPTH)
    found = measure(task, [bad, good, bad, good], pictures=1)
    assert found.score == found.metrics["abs_rel"] == pytest.approx(0, abs=1e-5)
    assert found.picture is not None
    assert found.picture.shape == (3, 180, 4 * 244 - 4)
    with pytest.raises(ValueError, match="no sample of the validation sets has a usable pixel"):
        measure(task, [bad], pictures=1)
    with pytest.raises(ValueError, match="has no normals"):
        judge_normals(Prediction(torch.zeros(1, 3, 12, 16), NORMALS), Sample(good.image, good.depth_m, good.valid))


def test_figures_that_only_some_have_are_averaged_over_those():
    picture = torch.zeros(3, 4, 4)
    rows = [
        Judged({"l1": 1.0, "photo_l1": 1.0}, (picture,)),
        Judged({"l1": 3.0, "depth_l1": 3.0}, (picture,)),
        Judged({"l1": math.nan}, (picture,)),
    ]
    found = collected(rows, pictures=5)
    assert found.metrics == {"l1": 2.0, "photo_l1": 1.0, "depth_l1": 3.0}
    assert found.score == 2.0
    assert found.picture is not None
    assert found.picture.shape[1] == 2 * 180 + 4


def test_whole_views_are_the_whole_picture_and_leave_out_what_has_no_truth():
    frames = Both()
    portion = Portion(frames, 1.0, 24, 32, Augmentation(window="random", flip=1.0))
    target = Target(kind="disparity")
    (view,) = whole_views([(portion, 0), (portion, 1)], target)
    assert view.image.shape == (1, 3, 24, 32)
    small = F.interpolate(frames[1].image[None], (24, 32), mode="bilinear", antialias=True)
    torch.testing.assert_close((view.image + 1) / 2, small)
    photos = whole_views([(replace(portion, kind="photo"), 0)], target)
    assert [torch.equal(one.image, one.target) for one in photos] == [True]


class Both:
    """A sample without a valid pixel, and one with."""

    name = "both"

    def __len__(self) -> int:
        return 2

    def __getitem__(self, index: int) -> Sample:
        return sample(valid=index == 1)


def test_pictures_keep_their_shape_in_the_sheet():
    sheet = contact_sheet([(torch.zeros(3, 90, 30), torch.zeros(3, 10, 100))])
    dark = (sheet == 0).all(0)
    assert dark[:, :240].sum() == 180 * 60  # 90 x 30 fills the height
    assert dark[:, 244:].sum() == 240 * 24  # 10 x 100 fills the width


def test_metres_are_measured_as_they_are():
    """A metric prediction that is a tenth too far is off by a tenth; of a relative one nothing is left."""
    truth = sample()
    depth = torch.where(truth.depth_m.isfinite(), truth.depth_m, 1.0)[None] * 1.1
    assert judge_depth(Prediction(depth, METRIC_DEPTH), truth).figures["abs_rel"] == pytest.approx(0.1, rel=1e-4)
    assert judge_depth(Prediction(depth, AFFINE_DEPTH), truth).figures["abs_rel"] < 1e-4
