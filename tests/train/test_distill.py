"""Students' tasks: each loss falls for its own reason, each switch does what it says, wrong networks are refused."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch.nn import functional as F

from latentdepth.core.noise import generator
from latentdepth.core.types import AFFINE_DISPARITY, METRIC_DEPTH
from latentdepth.data.batch import Batch
from latentdepth.models.depth_anything import DepthAnything, Form, new_depth_anything
from latentdepth.models.student import Student, StudentFacts, load_student
from latentdepth.train.distill import Distill, Metric
from latentdepth.train.student_config import DistillOptions, MetricOptions

Descend = Callable[..., None]
TINY = Form(16, 4, 2, (1, 2, 3, 4), (4, 8, 12, 16), 8, grid_px=56, head=4)


def student(*, max_depth_m: float | None = None) -> Student:
    torch.manual_seed(0)
    return Student(StudentFacts(width=16, resolution=64, max_depth_m=max_depth_m))


def anything(*, max_depth_m: float | None = None) -> DepthAnything:
    torch.manual_seed(0)
    made = new_depth_anything(TINY, max_depth_m=max_depth_m)
    with torch.no_grad():
        for parameter in made.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
        made.model.head.conv3.weight.abs_()
    return made


@pytest.fixture
def photos() -> Batch:
    """Three smooth photos of 64 x 64 whose disparity is their brightness; a corner of the second is invalid."""
    coarse = torch.rand(3, 3, 6, 6, generator=generator("students")) * 2 - 1
    image = F.interpolate(coarse, (64, 64), mode="bicubic").clamp(-1, 1)
    valid = torch.ones(3, 1, 64, 64, dtype=torch.bool)
    valid[1, :, 40:, 30:] = False
    return Batch(image, image.mean(1, keepdim=True), valid)


def metres(batch: Batch) -> Batch:
    """The same photos, between 2 and 8 m, with one pixel of 50 m."""
    depth = 5 - 3 * batch.target
    depth[0, 0, 0, 0] = 50.0
    return dataclasses.replace(batch, target=depth)


def value(task: Distill | Metric, batch: Batch, name: str = "loss") -> float:
    with torch.no_grad():
        return float(task.loss(batch, generator("a"))[name])


def test_distilling_learns_this_pictures_depth(photos: Batch, descend: Descend):
    """The loss falls on what is taught, and not on the same disparities given to the wrong photos."""
    task = Distill(student())
    shuffled = dataclasses.replace(photos, target=photos.target.roll(1, 0), valid=photos.valid.roll(1, 0))
    before, other = value(task, photos, "l1"), value(task, shuffled, "l1")
    descend(task, photos, steps=25, lr=3e-3)
    assert value(task, photos, "l1") < 0.5 * before
    assert value(task, shuffled, "l1") > 0.8 * other


def test_the_loss_is_the_weighted_sum_of_its_terms(photos: Batch):
    options = DistillOptions(gradient_weight=2.0, feature_weight=0.5)
    network = student()
    terms = Distill(network, options, teacher=student().fresh(None)).loss(photos, generator("a"))
    assert set(terms) == {"loss", "l1", "gradient", "features"}
    wanted = terms["l1"] + 2 * terms["gradient"] + 0.5 * terms["features"]
    torch.testing.assert_close(terms["loss"], wanted)
    assert set(Distill(network).loss(photos, generator("a"))) == {"loss", "l1", "gradient"}


def test_gradients_are_matched_at_the_distances_asked_for(photos: Batch):
    task = Distill(student().eval())
    farther = Distill(task._bare(), DistillOptions(gradient_scales=6))
    assert value(farther, photos, "l1") == value(task, photos, "l1")
    assert value(farther, photos, "gradient") > 1.2 * value(task, photos, "gradient")
    with pytest.raises(ValueError, match=r"gradient_scales is 0; allowed is 1 to 10"):
        DistillOptions(gradient_scales=0)


def test_any_scale_and_shift_of_the_truth_is_one(photos: Batch):
    task = Distill(student().eval())
    other = dataclasses.replace(photos, target=7 * photos.target + 3)
    assert value(task, other) == pytest.approx(value(task, photos), rel=1e-4)  # float32


def test_only_what_a_teacher_told_is_trimmed(photos: Batch):
    """Outliers in a teacher's labels are left out of the L1; in a measurement they count."""
    target = photos.target.clone()
    target[0, 0, ::8, ::8] = 50.0
    spoilt = Batch(photos.image[:1], target[:1], photos.valid[:1])
    told = dataclasses.replace(spoilt, by_teacher=torch.tensor([True]))
    task = Distill(student().eval(), DistillOptions(trim=0.1))
    assert value(task, told, "l1") < 0.8 * value(task, spoilt, "l1")
    without = Distill(task._bare(), DistillOptions(trim=0.0))
    assert value(without, told, "l1") == pytest.approx(value(task, spoilt, "l1"))
    assert value(task, told, "gradient") == pytest.approx(value(task, spoilt, "gradient"))


def test_features_are_drawn_to_a_frozen_network(photos: Batch, descend: Descend):
    """With the weight the features come nearer to the teacher's than without it, and the teacher stays as it was."""
    teacher = student().fresh(None).eval()
    kept = {k: v.clone() for k, v in teacher.state_dict().items()}
    ends = {}
    for weight in (0.001, 5.0):
        task = Distill(student(), DistillOptions(feature_weight=weight), teacher=teacher)
        descend(task, photos, steps=8, lr=1e-3)
        ends[weight] = value(task, photos, "features")
    assert ends[5.0] < 0.8 * ends[0.001]
    assert all(torch.equal(kept[k], v) for k, v in teacher.state_dict().items())


def test_by_default_features_are_held_to_the_start(photos: Batch, descend: Descend):
    network = anything()
    task = Distill(network, DistillOptions(feature_weight=1.0, feature_margin=1.0))
    small = Batch(photos.image[..., :56, :56], photos.target[..., :56, :56], photos.valid[..., :56, :56])
    assert value(task, small, "features") == pytest.approx(0.0, abs=1e-6)
    descend(task, small, steps=3, lr=1e-2)
    assert value(task, small, "features") > 1e-4


def test_a_network_of_another_form_is_no_teacher(photos: Batch):
    task = Distill(student(), DistillOptions(feature_weight=1.0), teacher=anything())
    small = Batch(photos.image[..., :28, :28], photos.target[..., :28, :28], photos.valid[..., :28, :28])
    with pytest.raises(ValueError, match=r"give distill\.feature_teacher of the student's own form"):
        task.loss(small, generator("a"))


@pytest.mark.parametrize("full_size", [False, True])
def test_metres_are_learnt_as_they_are(photos: Batch, descend: Descend, full_size: bool):
    network = anything(max_depth_m=20.0) if full_size else student(max_depth_m=20.0)
    batch = metres(photos)
    if full_size:
        batch = Batch(batch.image[..., :56, :56], batch.target[..., :56, :56], batch.valid[..., :56, :56])
    task = Metric(network, MetricOptions(max_depth_m=20.0))
    before = value(task, batch)
    descend(task, batch, steps=25, lr=1e-2 if full_size else 3e-3)
    assert value(task, batch) < 0.6 * before
    # twice the metres is another truth, unlike for a relative network
    assert value(task, dataclasses.replace(batch, target=2 * batch.target)) > 1.3 * value(task, batch)


def test_truth_beyond_the_recipes_metres_is_left_out(photos: Batch):
    batch = metres(photos)
    other = batch.target.clone()
    other[0, 0, 0, 0] = 1000.0
    task = Metric(student(max_depth_m=20.0).eval(), MetricOptions(max_depth_m=20.0))
    assert value(task, batch) == value(task, dataclasses.replace(batch, target=other))
    other[0, 0, 0, 0] = 1.0
    assert value(task, batch) != value(task, dataclasses.replace(batch, target=other))


def test_predicting_and_saving(photos: Batch, tmp_path: Path):
    image = (photos.image[:1] + 1) / 2
    relative, metric = Distill(student()), Metric(student(max_depth_m=20.0), MetricOptions(max_depth_m=20.0))
    assert (relative.kind, metric.kind) == ("disparity", "metric_depth")
    for task, kind in ((relative, AFFINE_DISPARITY), (metric, METRIC_DEPTH)):
        task.network.eval()
        prediction = task.predict(image)
        assert prediction.kind == kind
        assert prediction.value.shape == (1, 1, 64, 64)
    metric.save(tmp_path)
    assert load_student(tmp_path).max_depth_m == 20.0
    relative.network = torch.nn.Sequential(relative.network)
    with pytest.raises(TypeError, match="unwrap it"):
        relative.save(tmp_path)


def test_the_encoder_has_its_own_rate():
    assert Distill(student(), DistillOptions(encoder_rate=0.1)).rates() == {"encoder.": 0.1}
    metric = Metric(anything(max_depth_m=20.0), MetricOptions(max_depth_m=20.0))
    assert metric.rates() == {"model.backbone.": 0.1}
    assert any(name.startswith("model.backbone.") for name, _ in metric.network.named_parameters())


def test_networks_of_the_wrong_kind_are_refused():
    with pytest.raises(ValueError, match="gives metres; distill learns relative disparity"):
        Distill(student(max_depth_m=20.0))
    with pytest.raises(ValueError, match=r"largest depth is None, the recipe's metric\.max_depth_m 20\.0"):
        Metric(student(), MetricOptions(max_depth_m=20.0))
    with pytest.raises(ValueError, match="max_depth_m is None"):
        Metric(student(), MetricOptions())
