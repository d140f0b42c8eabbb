"""The recipes of feed-forward students against what was published, and what they build."""

from __future__ import annotations

import re

import pytest

from latentdepth.models.depth_anything import FORMS
from latentdepth.train.optim import learning_rate
from latentdepth.train.recipes import read_recipe, recipe_path


@pytest.mark.parametrize("size", ["small", "base", "large", "giant"])
def test_depth_anything_v2_as_published(size: str):
    config = read_recipe(f"depth-anything-v2-{size}")
    assert (config.task, config.student.network) == ("distill", size)
    assert config.student.network in FORMS
    assert (config.optim.lr, config.optim.lr * config.distill.encoder_rate) == (5e-5, pytest.approx(5e-6))
    assert config.distill.gradient_weight == 2.0
    assert {(data.height, data.width) for data in config.data} == {(518, 518)}
    teacher = size == "giant"
    assert (config.loop.batch, config.loop.steps) == ((64, 160_000) if teacher else (192, 480_000))
    # students see labels of a teacher and no synthetic truth, teachers the other way round
    assert {data.by_teacher for data in config.data} == {not teacher}
    if teacher:
        assert {data.name: data.weight for data in config.data} == {
            "blendedmvs": 115, "hypersim": 60, "irs": 103, "tartanair": 306, "vkitti2": 20,
        }  # fmt: skip
    else:
        assert config.distill.trim == 0.1
        assert (config.distill.feature_weight > 0, config.distill.feature_margin) == (True, 0.85)


@pytest.mark.parametrize(("name", "metres"), [("indoor", 20.0), ("outdoor", 80.0)])
def test_metric_fine_tuning_as_published(name: str, metres: float):
    config = read_recipe(f"metric-{name}")
    assert (config.task, config.metric.max_depth_m, config.metric.variance_share) == ("metric", metres, 0.5)
    assert (config.metric.nearest_m, config.metric.start) == (0.001, "encoder")
    assert config.optim.lr * config.metric.encoder_rate == pytest.approx(5e-6)
    assert (config.optim.name, config.optim.betas, config.optim.weight_decay) == ("adamw", (0.9, 0.999), 0.01)
    half = learning_rate(config.optim, config.loop.steps // 2, config.loop.steps)
    assert half == pytest.approx(5e-5 * 0.5**0.9, rel=1e-3)
    assert config.loop.batch == 32


def test_the_embedded_student_learns_on_both_kinds_of_truth():
    config = read_recipe("tiny-student")
    assert (config.task, config.student.network, config.base.kind) == ("distill", "lite2", "nothing")
    assert {data.by_teacher for data in config.data} == {True, False}
    assert all(data.labels.min_agreement >= 0.9 for data in config.data if data.by_teacher)
    assert all(data.height % 32 == 0 and data.width % 32 == 0 for data in config.data)


@pytest.mark.parametrize(
    "name", ["depth-anything-v2-small", "depth-anything-v2-giant", "metric-indoor", "tiny-student"]
)
def test_headers_name_the_folders_that_must_be_there(name: str):
    config, text = read_recipe(name), recipe_path(name).read_text()
    header = text[: text.index("\n\n")]
    for data in config.data:
        assert re.search(rf"\b{re.escape(data.path.as_posix().rpartition('/')[2])}\b", header)
    if config.student.encoder is not None:
        assert config.student.encoder.as_posix() in header
