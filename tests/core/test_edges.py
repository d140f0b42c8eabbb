"""Boundaries and edge distances against loops, SciPy and scikit-image, and by hand."""

from __future__ import annotations

import math

import jaxtyping
import numpy as np
import pytest
import torch
from scipy import ndimage
from skimage import feature
from torch import Tensor
from torch.nn import functional as F

from latentdepth.core.edges import boundaries, boundary_f1, canny, edge_distance, edge_errors


def naive_boundary_f1(prediction: np.ndarray, truth: np.ndarray, valid: np.ndarray) -> float:
    """Depth Pro's definition on inverse depth, one pixel and neighbour after the other."""
    ratios, scores = np.linspace(1.05, 1.25, 10), []
    h, w = truth.shape
    for ratio in ratios:
        precision, recall = [], []
        for dy, dx in ((0, 1), (0, -1), (1, 0), (-1, 0)):
            hits = found = real = 0
            for y in range(h):
                for x in range(w):
                    v, u = y + dy, x + dx
                    if 0 <= v < h and 0 <= u < w and valid[y, x] and valid[v, u]:
                        a = (1 / prediction[v, u]) / (1 / prediction[y, x]) > ratio
                        b = (1 / truth[v, u]) / (1 / truth[y, x]) > ratio
                        hits, found, real = hits + (a and b), found + a, real + b
            precision.append(hits / max(found, 1))
            recall.append(hits / max(real, 1))
        p, r = np.mean(precision), np.mean(recall)
        scores.append(2 * p * r / (p + r) if p + r else 0.0)
    return float((np.array(scores) * ratios / ratios.sum()).sum())


def test_boundary_f1_equals_a_loop() -> None:
    generator = torch.Generator().manual_seed(9)
    truth = 1 + torch.rand(2, 1, 10, 12, generator=generator)
    prediction = truth + 0.1 * torch.randn(truth.shape, generator=generator)
    valid = torch.rand(truth.shape, generator=generator) > 0.1
    found = boundary_f1(prediction, truth, valid)
    for k in range(2):
        arrays = prediction[k, 0].double().numpy(), truth[k, 0].double().numpy(), valid[k, 0].numpy()
        assert float(found[k]) == pytest.approx(naive_boundary_f1(*arrays), rel=1e-10)  # float64
    assert (boundary_f1(truth, truth, valid) > 1 - 1e-12).all()  # weights that sum to one, up to rounding
    assert torch.isnan(boundary_f1(prediction, torch.ones_like(truth), valid)).all()
    # An image in which nothing counts says nothing, and leaves the other alone.
    emptied = valid.clone()
    emptied[0] = False
    assert torch.isnan(boundary_f1(prediction, truth, emptied)[0])
    assert boundary_f1(prediction, truth, emptied)[1] == found[1]


def test_precision_and_recall_of_one_boundary() -> None:
    truth = torch.ones(1, 1, 4, 8)
    truth[..., 4:] = 2.0
    prediction = torch.ones_like(truth)
    prediction[:, :, :2, 4:] = 2.0  # half of the boundary, and one of its own between rows 1 and 2
    valid = torch.ones_like(truth, dtype=torch.bool)
    found = boundaries(prediction, truth, valid)
    # Of four directions, one finds 2 of 4 and nothing wrong, one finds 4 wrong ones, two are without both.
    assert float(found.recall) == pytest.approx(0.5 / 4)
    assert float(found.precision) == pytest.approx(1 / 4)
    assert float(found.f1) == pytest.approx(2 * 0.25 * 0.125 / 0.375)


def exact_distance(edges: Tensor) -> np.ndarray:
    """Distance of each pixel of one image [1 h w] to the nearest edge, by SciPy."""
    return np.asarray(ndimage.distance_transform_edt(~edges[0].numpy()))


def relief(seed: int, h: int = 60, w: int = 75) -> Tensor:
    """Two patches of constant depth on a smooth ground, with noise [1 1 h w]."""
    generator = torch.Generator().manual_seed(seed)
    z = F.interpolate(torch.rand(1, 1, 4, 5, generator=generator), (h, w), mode="bicubic")
    z[:, :, 10:30, 15:40] += 1.0
    z[:, :, 25:50, 35:60] += 1.6
    return (z + 0.08 * torch.randn(z.shape, generator=generator)).double()


@pytest.mark.parametrize(("low", "high", "sigma_px"), [(0.15, 0.3, 2**0.5), (0.05, 0.4, 1.0), (0.0, 0.0, 2.0)])
def test_canny_equals_scikit_image(low: float, high: float, sigma_px: float) -> None:
    for seed in range(4):
        z = relief(seed)
        found = canny(z, sigma_px=sigma_px, low=low, high=high)[0, 0].numpy()
        stretched = ((z - z.min()) / (z.max() - z.min()))[0, 0].numpy()
        expected = feature.canny(stretched, sigma=sigma_px, low_threshold=low, high_threshold=high)
        np.testing.assert_array_equal(found, expected)
        assert expected.any()
        assert not expected.all()


def test_canny_of_a_step_and_of_nothing() -> None:
    step = torch.zeros(2, 1, 20, 20)
    step[0, :, :, 10:] = 3.0
    found = canny(step)
    assert not bool(found[1].any()), "a constant map has no edges"
    # The two columns beside the step are equally steep: both are edges, but for the border.
    assert found[0, 0, 1:-1].nonzero()[:, 1].unique().tolist() == [9, 10]
    assert not bool(found[0, 0, 0].any())
    step[0, 0, 0, 0] = math.nan
    with pytest.raises(ValueError, match="fill them first"):
        canny(step)
    with pytest.raises(ValueError, match="0 <= low <= high"):
        canny(torch.ones(1, 1, 5, 5), low=0.4, high=0.3)


@pytest.mark.parametrize("share", [0.0, 0.001, 0.02, 0.3])
def test_edge_distance_equals_scipy(share: float) -> None:
    edges = torch.rand(2, 1, 41, 57, generator=torch.Generator().manual_seed(3)) < share
    found = edge_distance(edges)
    for k in range(2):
        exact = exact_distance(edges[k]) if edges[k].any() else np.full((41, 57), 99.0)
        np.testing.assert_allclose(found[k, 0], np.minimum(exact, 10), rtol=1e-6)  # float32 roots
    assert float(edge_distance(torch.ones(1, 1, 1, 1, dtype=torch.bool))) == 0
    narrow = torch.tensor([True, False, False]).view(1, 1, 1, 3)  # narrower than the farthest distance
    assert edge_distance(narrow).flatten().tolist() == [0, 1, 2]


def test_edge_errors_equal_the_published_script() -> None:
    """What iBims-1's evaluation computes, written out with SciPy."""
    generator = torch.Generator().manual_seed(4)
    true = torch.rand(3, 1, 50, 60, generator=generator) < 0.004
    predicted = torch.rand(3, 1, 50, 60, generator=generator) < 0.006
    found = edge_errors(predicted, true)
    for k in range(3):
        p, t = predicted[k, 0].numpy(), true[k, 0].numpy()
        to_true, to_predicted = exact_distance(true[k]), exact_distance(predicted[k])
        near = p & (to_true < 10)
        assert near.sum() < p.sum(), "some predicted edges must be far for this test to mean anything"
        both = np.minimum(to_true * p, 10) + np.minimum(to_predicted * t, 10)
        expected = {
            "accuracy_px": to_true[near].mean(),
            "completeness_px": np.minimum(to_predicted, 10)[t].mean(),
            "chamfer_px": both.sum() / (p.sum() + t.sum()),
        }
        for name, value in expected.items():
            assert float(found[name][k]) == pytest.approx(value, rel=1e-6), name  # float32 distances


def test_edge_errors_by_hand() -> None:
    true = torch.zeros(1, 1, 40, 40, dtype=torch.bool)
    true[..., 5] = True
    for name, value in edge_errors(true, true).items():
        assert float(value) == 0, name
    shifted = true.roll(3, -1)
    for name, value in edge_errors(shifted, true).items():
        assert float(value) == 3, name
    far = true.roll(30, -1)
    for predicted in (far, torch.zeros_like(true)):
        for name, value in edge_errors(predicted, true).items():
            assert float(value) == 10, name
    # Half of the true edge is predicted, and a far edge that accuracy does not mind.
    half = true.clone()
    half[:, :, 10:] = False
    half |= far
    found = edge_errors(half, true)
    assert float(found["accuracy_px"]) == 0
    down = [min(y - 9, 10) for y in range(10, 40)]
    assert float(found["completeness_px"]) == pytest.approx(sum(down) / 40)
    assert float(found["chamfer_px"]) == pytest.approx((sum(down) + 40 * 10) / (40 + 50))
    assert all(torch.isnan(value).all() for value in edge_errors(true, torch.zeros_like(true)).values())


def test_edges_of_different_sizes_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    # The type checker that the tests run under would stop the call first; users run without it.
    monkeypatch.setattr(jaxtyping.config, "jaxtyping_disable", True)
    with pytest.raises(ValueError, match="allowed is one size"):
        edge_errors(torch.ones(1, 1, 3, 4, dtype=torch.bool), torch.ones(1, 1, 4, 3, dtype=torch.bool))
    z = torch.ones(1, 1, 3, 4)
    with pytest.raises(ValueError, match="resize the prediction"):
        boundary_f1(z, z[..., 1:], z > 0)
