"""Point pairs by hand and against loops."""

from __future__ import annotations

import math
from typing import Any

import jaxtyping
import pytest
import torch

from latentdepth.core.ordinal import ordinal_accuracy, whdr


def test_ordinal_accuracy_counts_pairs_and_misses_ties() -> None:
    depth = torch.arange(12.0).view(1, 3, 4)  # row by row, farther on
    nearer = torch.tensor([[0.5, 0.5], [3.5, 0.5], [2.9, 2.9], [1.0, 1.0]])
    farther = torch.tensor([[1.5, 0.5], [0.5, 1.5], [0.5, 0.5], [1.9, 1.9]])
    # right, right, wrong, tie (both in pixel (1, 1))
    assert float(ordinal_accuracy(depth, nearer, farther, near_is="low")) == 0.5
    assert float(ordinal_accuracy(depth, nearer, farther, near_is="high")) == 0.25
    assert torch.isnan(ordinal_accuracy(depth, nearer[:0], farther[:0], near_is="low"))
    with pytest.raises(ValueError, match="outside the 4 x 3 prediction"):
        ordinal_accuracy(depth, nearer + 2, farther, near_is="low")


def test_whdr_equals_a_loop() -> None:
    generator = torch.Generator().manual_seed(0)
    depth = 1 + 0.4 * torch.rand(1, 9, 11, generator=generator)
    first, second = (torch.rand(200, 2, generator=generator) * torch.tensor([11.0, 9.0]) for _ in range(2))
    relation = torch.randint(-1, 2, (200,), generator=generator)
    weight = torch.rand(200, generator=generator)
    for tau in (0.0, 0.1):
        wrong = 0.0
        for a, b, said, size in zip(first.tolist(), second.tolist(), relation.tolist(), weight.tolist(), strict=True):
            p, q = float(depth[0, int(a[1]), int(a[0])]), float(depth[0, int(b[1]), int(b[0])])
            predicted = 1 if p / q > 1 + tau else -1 if q / p > 1 + tau else 0
            wrong += size * (predicted != said)
        found = whdr(depth, first, second, relation, near_is="low", tau=tau, weight=weight)
        assert float(found) == pytest.approx(wrong / sum(weight.tolist()), rel=1e-12)  # float64
        # Disparity says the same about the same scene.
        same = whdr(1 / depth, first, second, relation, near_is="high", tau=tau, weight=weight)
        assert float(same) == pytest.approx(float(found), rel=1e-12)


def test_whdr_by_hand() -> None:
    depth = torch.tensor([[[1.0, 1.05, 2.0, math.nan]]])
    at = torch.tensor([[0.5, 0.5], [1.5, 0.5], [2.5, 0.5], [3.5, 0.5]])
    first, second = at[[0, 0, 2, 3, 0]], at[[1, 2, 0, 3, 0]]
    # equal within 10 %: right; nearer: right; farther: right; NaN calls itself equal: wrong; with itself: right
    relation = torch.tensor([0, -1, 1, 0, 0])
    assert float(whdr(depth, first, second, relation, near_is="low")) == pytest.approx(1 / 5)
    # Without a margin the first pair is told apart, which people did not.
    assert float(whdr(depth, first, second, relation, near_is="low", tau=0.0)) == pytest.approx(2 / 5)
    weight = torch.tensor([0.0, 0.0, 0.0, 3.0, 1.0])
    assert float(whdr(depth, first, second, relation, near_is="low", weight=weight)) == pytest.approx(3 / 4)
    assert torch.isnan(whdr(depth, first[:0], second[:0], relation[:0], near_is="low"))


def test_what_cannot_be_judged_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    # The type checker that the tests run under would stop some calls first; users run without it.
    monkeypatch.setattr(jaxtyping.config, "jaxtyping_disable", True)
    depth, point, wrong = torch.ones(1, 3, 4), torch.ones(1, 2), "small"
    misnamed: Any = wrong
    with pytest.raises(ValueError, match='allowed are "low"'):
        ordinal_accuracy(depth, point, point, near_is=misnamed)
    with pytest.raises(ValueError, match=r"tau is -0\.1"):
        whdr(depth, point, point, torch.tensor([0]), near_is="low", tau=-0.1)
    with pytest.raises(ValueError, match="not among -1"):
        whdr(depth, point, point, torch.tensor([2]), near_is="low")
    with pytest.raises(ValueError, match="least weight is -1"):
        whdr(depth, point, point, torch.tensor([0]), near_is="low", weight=torch.tensor([-1.0]))
