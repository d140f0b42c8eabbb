"""Reliefs: relative values to chosen distances, metric ones untouched."""

import pytest
import torch

from latentdepth.core.relief import relief_depth
from latentdepth.core.types import (
    AFFINE_DEPTH,
    AFFINE_DISPARITY,
    METRIC_DEPTH,
    NORMALS,
    Invariance,
    Kind,
    Prediction,
    Quantity,
)

VALUE = torch.linspace(0.2, 0.8, 12).reshape(1, 1, 3, 4)


@pytest.mark.parametrize("quantity", [Quantity.DEPTH, Quantity.DISPARITY, Quantity.LOG_DEPTH])
def test_near_and_far_are_where_they_were_asked_for(quantity: Quantity):
    depth = relief_depth(Prediction(VALUE, Kind(quantity, Invariance.AFFINE)), (2.0, 10.0))
    assert float(depth.min()) == pytest.approx(2)
    assert float(depth.max()) == pytest.approx(10)
    rising = depth.flatten().diff() > 0
    assert bool(rising.all()) if quantity is not Quantity.DISPARITY else not bool(rising.any())


def test_disparity_is_linear_in_inverse_depth():
    depth = relief_depth(Prediction(VALUE, AFFINE_DISPARITY), (1.0, 4.0))
    steps = (1 / depth).flatten().diff()
    torch.testing.assert_close(steps, steps[:1].expand_as(steps), atol=1e-5, rtol=1e-4)


def test_metric_values_stay():
    torch.testing.assert_close(relief_depth(Prediction(VALUE, METRIC_DEPTH), None), VALUE)
    metric_disparity = Prediction(VALUE, Kind(Quantity.DISPARITY, Invariance.METRIC))
    torch.testing.assert_close(relief_depth(metric_disparity, None), 1 / VALUE)
    logs = Prediction(VALUE, Kind(Quantity.LOG_DEPTH, Invariance.METRIC))
    torch.testing.assert_close(relief_depth(logs, None), VALUE.exp())


def test_what_has_no_distances_is_refused():
    with pytest.raises(ValueError, match="normals"):
        relief_depth(Prediction(VALUE.expand(1, 3, 3, 4), NORMALS), (1.0, 2.0))
    with pytest.raises(ValueError, match="--near-far"):
        relief_depth(Prediction(VALUE, AFFINE_DEPTH), None)
    with pytest.raises(ValueError, match="0 < near < far"):
        relief_depth(Prediction(VALUE, AFFINE_DEPTH), (4.0, 1.0))
