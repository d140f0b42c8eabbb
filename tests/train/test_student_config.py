"""What recipes may say of students, and what contradicts itself."""

from __future__ import annotations

from typing import Any

import pytest

from latentdepth.config import from_dict
from latentdepth.train.config import TrainConfig
from latentdepth.train.student_config import DistillOptions, MetricOptions, StudentConfig

NEW = {"task": "distill", "base": {"kind": "nothing", "model": ""}}


def test_tables_are_read_as_options():
    config = from_dict(TrainConfig, NEW | {"student": {"network": "lite2", "width": 96}, "distill": {"trim": 0.0}})
    assert config.student == StudentConfig("lite2", width=96)
    assert config.distill == DistillOptions(trim=0.0)


@pytest.mark.parametrize(
    ("table", "said"),
    [
        ({"task": "metric"}, r"metric\.max_depth_m is not given"),
        ({"task": "metric", "metric": {"max_depth_m": 20.0}, "target": {"kind": "depth"}}, "metric learns metres"),
        (NEW | {"task": "metric", "metric": {"max_depth_m": 20.0}}, "metric needs a base.model"),
        (NEW | {"target": {"kind": "depth"}}, "distill learns disparity"),
        ({"task": "distill", "student": {"width": 32}}, r"remove \[student\]"),
        ({"student": {"width": 32}}, r"remove \[student\]"),
        ({"distill": {"trim": 0.2}}, "distill has settings, but task is denoise"),
        (NEW | {"metric": {"max_depth_m": 20.0}}, "metric has settings, but task is distill"),
        ({"task": "distill", "base": {"kind": "stable_diffusion"}}, "distill starts from model"),
        (NEW | {"lora": {}}, r"remove \[lora\]"),
        ({"task": "distill", "base": {"steps": 4}}, "base.steps is for denoisers, and task distill trains none"),
        ({"task": "distill", "base": {"guide": "builtin:tiny-student"}}, "base.guide is for denoisers"),
        (NEW | {"data": [{"name": "a", "path": "x", "height": 100}]}, "or of 14 for Depth Anything"),
    ],
)
def test_contradictions_are_named(table: dict[str, Any], said: str):
    with pytest.raises(ValueError, match=said):
        from_dict(TrainConfig, table)


def test_sides_of_patches_are_allowed():
    config = from_dict(TrainConfig, NEW | {"data": [{"name": "a", "path": "x", "height": 518, "width": 518}]})
    assert config.data[0].height == 518


@pytest.mark.parametrize(
    ("options", "values", "said"),
    [
        (DistillOptions, {"trim": 1.0}, r"distill\.trim is 1\.0; allowed is 0 to 0\.9"),
        (DistillOptions, {"gradient_weight": -1.0}, r"distill\.gradient_weight"),
        (DistillOptions, {"feature_margin": 2.0}, r"distill\.feature_margin"),
        (MetricOptions, {"variance_share": 2.0}, r"metric\.variance_share"),
        (MetricOptions, {"max_depth_m": -20.0}, r"metric\.max_depth_m is -20\.0"),
        (MetricOptions, {"max_depth_m": 20.0, "nearest_m": 30.0}, "nearest_m 30.0"),
        (StudentConfig, {"network": "small", "width": 32}, "are for lite"),
    ],
)
def test_values_out_of_range(options: Any, values: dict[str, Any], said: str):
    with pytest.raises(ValueError, match=said):
        options(**values)


def test_a_teacher_of_features_that_nothing_asks_for():
    with pytest.raises(ValueError, match="would not be looked at"):
        from_dict(DistillOptions, {"feature_teacher": "somewhere"})
