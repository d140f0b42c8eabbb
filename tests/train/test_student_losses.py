"""The students' losses against naive loops in float64, and what has no influence on them."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import Tensor

from latentdepth.train.losses import feature_alignment, scale_shift_invariant, silog, trimmed_l1


def naive_ssi(predicted: np.ndarray, truth: np.ndarray, valid: np.ndarray, trim: float) -> float:
    """One image: both maps less their median over their mean absolute deviation; the largest errors left out."""

    def normalised(values: np.ndarray) -> np.ndarray:
        inside = np.sort(values[valid])
        centred = values - inside[(len(inside) - 1) // 2]  # torch's median is the lower of two
        return centred / np.abs(centred[valid]).mean()

    errors = np.sort(np.abs(normalised(predicted) - normalised(truth))[valid])
    return float(errors[: len(errors) - int(len(errors) * trim)].mean())


@pytest.fixture
def maps() -> tuple[Tensor, Tensor, Tensor]:
    draw = torch.Generator().manual_seed(0)
    predicted, truth = torch.rand(3, 1, 8, 9, generator=draw), torch.rand(3, 1, 8, 9, generator=draw)
    return predicted, truth, torch.rand(3, 1, 8, 9, generator=draw) > 0.3


def test_each_image_may_have_its_own_trim(maps: tuple[Tensor, Tensor, Tensor]):
    predicted, truth, valid = maps
    trims = [0.0, 0.1, 0.5]
    found = scale_shift_invariant(predicted, truth, valid, trim=torch.tensor(trims))["l1"]
    arrays = [[part[i, 0].double().numpy() for part in (predicted, truth)] for i in range(3)]
    wanted = [naive_ssi(a, b, valid[i, 0].numpy(), trims[i]) for i, (a, b) in enumerate(arrays)]
    assert float(found) == pytest.approx(np.mean(wanted), rel=1e-5)  # float32
    everywhere = scale_shift_invariant(predicted, truth, valid, trim=torch.zeros(3))["l1"]
    assert float(everywhere) == pytest.approx(float(scale_shift_invariant(predicted, truth, valid)["l1"]))


def test_what_is_trimmed_gets_no_gradient():
    predicted, truth = torch.zeros(1, 1, 2, 5, requires_grad=True), torch.zeros(1, 1, 2, 5)
    truth[0, 0, 1, 3] = 100.0
    truth[0, 0, 0] = torch.arange(1.0, 6.0)
    trimmed_l1(predicted, truth, torch.ones_like(truth).bool(), torch.tensor([0.1])).backward()
    assert predicted.grad is not None
    assert float(predicted.grad[0, 0, 1, 3]) == 0.0
    assert float(predicted.grad[0, 0, 0, 4]) != 0.0


@pytest.mark.parametrize("margin", [0.85, 0.2, -0.9])
def test_features_are_drawn_together_where_they_differ(margin: float):
    draw = torch.Generator().manual_seed(1)
    a, b = torch.randn(2, 4, 3, 5, generator=draw), torch.randn(2, 4, 3, 5, generator=draw)
    a = a + 1.5 * b  # some alike, some not
    terms = []
    for n in range(2):
        for y in range(3):
            for x in range(5):
                u, v = a[n, :, y, x].double().numpy(), b[n, :, y, x].double().numpy()
                cosine = float(u @ v / np.linalg.norm(u) / np.linalg.norm(v))
                terms += [1 - cosine] if cosine < margin else []
    wanted = np.mean(terms) if terms else 0.0
    assert float(feature_alignment(a, b, margin=margin)) == pytest.approx(wanted, rel=1e-5, abs=1e-7)


def test_what_looks_alike_is_left_free():
    wanted = torch.tensor([[1.0, 0.0], [0.0, 1.0]]).T.reshape(1, 2, 1, 2)
    features = (wanted + torch.tensor([[0.1], [0.1]]).reshape(1, 2, 1, 1)).requires_grad_()
    feature_alignment(features, wanted).backward()  # cosines of 0.995
    assert features.grad is not None
    assert float(features.grad.abs().max()) == 0.0
    assert float(feature_alignment(-wanted, wanted)) == pytest.approx(2.0)


@pytest.mark.parametrize("share", [0.0, 0.5, 1.0])
def test_silog_by_its_formula(share: float, maps: tuple[Tensor, Tensor, Tensor]):
    predicted, truth, valid = maps
    predicted, truth = 1 + 9 * predicted, 1 + 9 * truth
    g = (truth.double().log() - predicted.double().log())[valid].numpy()
    wanted = math.sqrt((g**2).mean() - share * g.mean() ** 2)
    assert float(silog(predicted, truth, valid, variance_share=share)) == pytest.approx(wanted, rel=1e-5)


def test_at_share_1_a_common_factor_costs_nothing(maps: tuple[Tensor, Tensor, Tensor]):
    predicted, truth, valid = maps
    predicted, truth = 1 + predicted, 1 + truth
    one = silog(predicted, truth, valid, variance_share=1.0)
    torch.testing.assert_close(silog(3 * predicted, truth, valid, variance_share=1.0), one, atol=1e-4, rtol=1e-4)
    assert float(silog(3 * predicted, truth, valid)) > 1.2 * float(silog(predicted, truth, valid))


def test_silog_looks_at_valid_pixels_alone(maps: tuple[Tensor, Tensor, Tensor]):
    predicted, truth, valid = maps
    predicted, truth = (1 + predicted).requires_grad_(), torch.where(valid, 1 + truth, torch.nan)
    silog(predicted, truth, valid).backward()
    assert predicted.grad is not None
    assert bool(torch.isfinite(predicted.grad).all())
    assert bool((predicted.grad[~valid] == 0).all())
    nowhere = torch.zeros_like(valid)
    again = (1 + maps[0]).requires_grad_()
    loss = silog(again, truth, nowhere)
    loss.backward()
    assert float(loss.detach()) < 1e-5  # the floor under the root
    assert again.grad is not None
    assert float(again.grad.abs().max()) == 0.0


def test_a_perfect_prediction_has_a_finite_gradient():
    depth = torch.full((1, 1, 4, 4), 3.0)
    predicted = depth.clone().requires_grad_()
    silog(predicted, depth, torch.ones_like(depth).bool()).backward()
    assert predicted.grad is not None
    assert bool(torch.isfinite(predicted.grad).all())
