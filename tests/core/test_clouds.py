"""Distances between clouds against SciPy's k-d tree, and by hand."""

from __future__ import annotations

from typing import Any

import jaxtyping
import numpy as np
import pytest
import torch
from scipy.spatial import KDTree
from torch import Tensor

from latentdepth.core.clouds import cloud_metrics, evenly_spaced, nearest_distances
from latentdepth.core.geometry import unproject
from latentdepth.core.types import Camera

CAMERA = Camera.from_fov(70, 32, 24)


def scene(seed: int = 0) -> tuple[Tensor, Tensor, Tensor]:
    """Prediction, truth in metres and mask [1 1 24 32]."""
    generator = torch.Generator().manual_seed(seed)
    truth = 2 + torch.rand(1, 1, 24, 32, generator=generator)
    prediction = truth * (1 + 0.03 * torch.randn(truth.shape, generator=generator))
    return prediction, truth, torch.rand(truth.shape, generator=generator) > 0.3


def points(depth: Tensor, valid: Tensor, camera: Camera) -> np.ndarray:
    return unproject(depth.double(), camera)[0].flatten(1).T[valid.flatten()].numpy()


@pytest.mark.parametrize("queries", [1, 7, 10_000])
@pytest.mark.parametrize("spread", ["even", "far apart", "one plane", "repeated"])
def test_nearest_distances_equal_a_tree(queries: int, spread: str) -> None:
    generator = torch.Generator().manual_seed(0)
    here, there = torch.randn(300, 3, generator=generator), torch.randn(200, 3, generator=generator)
    if spread == "far apart":
        here = here * torch.tensor([1.0, 30.0, 1.0]) + 20
    elif spread == "one plane":
        here[:, 0] = there[:, 0] = 2.0
    elif spread == "repeated":
        here, there = here.round(), there.round()
    found = nearest_distances(here, there, queries=queries)
    expected, _ = KDTree(there.double().numpy()).query(here.double().numpy())
    np.testing.assert_allclose(found, expected, rtol=1e-12, atol=0)  # float64
    assert float(nearest_distances(here, here, queries=queries).max()) == 0
    with pytest.raises(ValueError, match="no other points"):
        nearest_distances(here, there[:0])


@pytest.mark.parametrize("threshold_is", ["metres", "share of range"])
def test_cloud_metrics_equal_a_tree(threshold_is: Any) -> None:
    prediction, truth, valid = scene()
    truth[0, 0, 0, :3] = torch.tensor([torch.nan, 0.0, -1.0])
    valid[0, 0, 0, :3] = True
    other = Camera.from_fov(65, 32, 24)
    counts = valid & (truth > 0)
    found = cloud_metrics(
        prediction, truth, valid, CAMERA, predicted_camera=other, threshold=0.04, threshold_is=threshold_is
    )
    p, g = points(prediction, counts, other), points(truth, counts, CAMERA)
    to_true, to_predicted = KDTree(g).query(p)[0], KDTree(p).query(g)[0]
    limit = 0.04 if threshold_is == "metres" else 0.04 * float(truth[counts].max())
    precision, recall = (to_true < limit).mean(), (to_predicted < limit).mean()
    expected = {
        "cloud_accuracy_m": to_true.mean(),
        "cloud_completeness_m": to_predicted.mean(),
        "chamfer_m": (to_true.mean() + to_predicted.mean()) / 2,
        "cloud_precision": precision,
        "cloud_recall": recall,
        "f_score": 2 * precision * recall / (precision + recall),
    }
    assert found.keys() == expected.keys()
    assert 0 < expected["f_score"] < 1
    for name, value in expected.items():
        assert found[name] == pytest.approx(value, rel=1e-9), name  # float64


def test_a_wall_moved_back() -> None:
    wall = torch.full((1, 1, 24, 32), 2.0)
    valid = torch.ones_like(wall, dtype=torch.bool)
    perfect = cloud_metrics(wall, wall, valid, CAMERA)
    assert [perfect[name] for name in ("chamfer_m", "f_score")] == [0, 1]
    # Points move along their rays, outwards: the distance is 2 cm at the least and little more.
    moved = cloud_metrics(wall + 0.02, wall, valid, CAMERA)
    assert 0.02 <= moved["chamfer_m"] < 0.02 * 1.3
    assert moved["f_score"] == 1
    assert cloud_metrics(wall + 0.02, wall, valid, CAMERA, threshold=0.019)["f_score"] == 0
    # Scaling both scales distances.
    scaled = cloud_metrics(3 * (wall + 0.02), 3 * wall, valid, CAMERA)
    assert scaled["chamfer_m"] == pytest.approx(3 * moved["chamfer_m"], rel=1e-6)  # float32 depth


def test_fewer_points_are_the_same_ones_every_time() -> None:
    assert evenly_spaced(torch.arange(10), 4).tolist() == [0, 2, 5, 7]
    assert evenly_spaced(torch.arange(3), 4).tolist() == [0, 1, 2]
    prediction, truth, valid = scene()
    some = cloud_metrics(prediction, truth, valid, CAMERA, points=100)
    assert some == cloud_metrics(prediction, truth, valid, CAMERA, points=100)
    chosen = torch.zeros_like(valid)
    chosen.view(-1)[evenly_spaced(valid.flatten().nonzero()[:, 0], 100)] = True
    assert some == cloud_metrics(prediction, truth, chosen, CAMERA)
    assert some["chamfer_m"] > cloud_metrics(prediction, truth, valid, CAMERA)["chamfer_m"]


def test_nothing_to_measure_is_nan() -> None:
    prediction, truth, valid = scene()
    assert all(np.isnan(v) for v in cloud_metrics(prediction, truth, valid & False, CAMERA).values())
    hole = prediction.where(~valid, torch.nan)
    assert all(np.isnan(v) for v in cloud_metrics(hole, truth, valid, CAMERA).values())
    masked = prediction.where(valid, torch.nan)  # what doesn't count is not read
    assert cloud_metrics(masked, truth, valid, CAMERA) == cloud_metrics(prediction, truth, valid, CAMERA)


def test_what_makes_no_sense_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    # The type checker that the tests run under would stop some calls first; users run without it.
    monkeypatch.setattr(jaxtyping.config, "jaxtyping_disable", True)
    prediction, truth, valid = scene()
    wrong: Any = "feet"
    with pytest.raises(ValueError, match="more than 0"):
        cloud_metrics(prediction, truth, valid, CAMERA, threshold=0.0)
    with pytest.raises(ValueError, match='"share of range"'):
        cloud_metrics(prediction, truth, valid, CAMERA, threshold_is=wrong)
    with pytest.raises(ValueError, match="allowed is one size"):
        cloud_metrics(prediction[..., 1:], truth, valid, CAMERA)
    with pytest.raises(ValueError, match=r"camera\.resized"):
        cloud_metrics(prediction, truth, valid, CAMERA.resized(64, 48))
