"""Controllers against closed forms: a denoiser of Gaussian data, members of known variance, rules by hand."""

from __future__ import annotations

import itertools
import math
from dataclasses import replace

import pytest
import torch
from torch import Tensor

from latentdepth.core.complexity import Calibration, Complexity
from latentdepth.core.controllers import (
    StepRule,
    buckets,
    change,
    doubling,
    rungs,
    standard_error,
    until_certain,
    until_converged,
)
from latentdepth.core.ensemble import merge_absolute, merge_affine
from latentdepth.core.samplers import ddim
from latentdepth.core.schedule import Schedule, scaled_linear, zero_terminal_snr

SCHEDULE = Schedule(zero_terminal_snr(scaled_linear()))
NOISE = torch.randn(3, 4, 6, 5, generator=torch.Generator().manual_seed(0))


def gaussian(x: Tensor, t: Tensor, spread: Tensor | float, mean: float = 2.0) -> Tensor:
    """E[x0 | x_t] where x0 is normal with this mean and spread; its exact flow takes noise to mean + spread * noise."""
    signal, sigma = SCHEDULE.levels(t, x)
    variance = torch.as_tensor(spread).square()
    return mean + variance * signal / (variance * signal.square() + sigma.square()) * (x - signal * mean)


def measured(energy: list[float]) -> Complexity:
    row = torch.tensor(energy, dtype=torch.float64)
    return Complexity(row, row, row, row, row * 100)


def test_the_rule_by_hand():
    rule = StepRule(Calibration((0.0, 0.01), (1.0, 2.0)), least=1, most=5)
    # C = 0, 0.25, 0.5, 1, and 2 cut to 1; T = 1 + 4 C
    assert rule.steps(measured([0.0, 0.0025, 0.005, 0.01, 0.02])) == [1, 2, 3, 5, 5]
    # entropy alone: C = (100 energy - 1) / 1
    assert replace(rule, energy_share=0.0).steps(measured([0.0, 0.0125, 0.02])) == [1, 2, 5]
    # halfway between two counts goes up: C = 0.5, T = 1.5
    assert replace(rule, most=2).steps(measured([0.005])) == [2]


@pytest.mark.parametrize(("wrong", "message"), [({"least": 0}, "0 to 5"), ({"least": 6}, "6 to 5")])
def test_a_rule_without_range_is_refused(wrong: dict[str, int], message: str):
    with pytest.raises(ValueError, match=message):
        StepRule(Calibration((0.0, 1.0), (0.0, 1.0)), **{"most": 5, **wrong})


def test_buckets_keep_every_place():
    assert buckets([4, 1, 4, 2]) == {1: [1], 2: [3], 4: [0, 2]}


def test_convergence_stops_each_row_by_itself_and_hands_out_x0():
    spread = torch.tensor([0.0, 0.5, 0.0]).view(3, 1, 1, 1)  # rows 0 and 2: x0 is known from the start
    ended = until_converged(lambda x, t, rows: gaussian(x, t, spread[rows]), NOISE, SCHEDULE, 8, tolerance=1e-4)
    assert ended.calls.tolist() == [2, 8, 2]
    # stopped after 2 of 8 steps x_t is still mostly noise; what is handed out is clean
    torch.testing.assert_close(ended.latent[::2], torch.full_like(NOISE[::2], 2.0))
    alone = until_converged(lambda x, t, rows: gaussian(x, t, 0.5), NOISE[1:2], SCHEDULE, 8, tolerance=1e-4)
    torch.testing.assert_close(ended.latent[1:2], alone.latent, atol=0, rtol=0)
    assert float(ended.change[1]) > 1e-4


def test_convergence_that_never_stops_is_ddim():
    ended = until_converged(lambda x, t, rows: gaussian(x, t, 0.5), NOISE, SCHEDULE, 7, tolerance=0.0)
    full = ddim(lambda x, t: gaussian(x, t, 0.5), NOISE, SCHEDULE, 7)  # 7 doesn't divide 1000
    torch.testing.assert_close(ended.latent, full, atol=1e-6, rtol=0)
    assert ended.calls.tolist() == [7, 7, 7]


def test_patience_asks_for_calm_calls_in_a_row():
    for patience in (1, 2, 3):
        ended = until_converged(
            lambda x, t, rows: gaussian(x, t, 0.0), NOISE, SCHEDULE, 8, tolerance=1e-4, patience=patience
        )
        assert ended.calls.tolist() == [1 + patience] * 3


@pytest.mark.parametrize(
    ("wrong", "message"),
    [({"patience": 0}, "patience"), ({"tolerance": -1.0}, "tolerance"), ({"tolerance": math.nan}, "tolerance"),
     ({"steps": 0}, "1 to 1000"), ({"steps": 1001}, "1 to 1000")],
)  # fmt: skip
def test_convergence_refuses(wrong: dict[str, float], message: str):
    given = {"steps": 4, "tolerance": 0.1, "patience": 1, **wrong}
    with pytest.raises(ValueError, match=message):
        until_converged(lambda x, t, rows: x, NOISE, SCHEDULE, given.pop("steps"), **given)  # pyright: ignore


def test_rungs_double_and_end_at_the_most():
    assert [rungs(most) for most in (1, 2, 6, 8)] == [[1], [1, 2], [1, 2, 4, 6], [1, 2, 4, 8]]
    with pytest.raises(ValueError, match="most is 0"):
        rungs(0)


@pytest.mark.parametrize(("spacing", "calls"), [("trailing", [1, 2, 5, 12]), ("leading", [1, 3, 7, 15])])
def test_each_answer_of_doubling_is_that_of_the_fixed_steps(spacing: str, calls: list[int]):
    schedule = replace(SCHEDULE, spacing=spacing)
    made = 0

    def denoise(x: Tensor, t: Tensor) -> Tensor:
        nonlocal made
        made += 1
        return gaussian(x, t, 0.5)

    for rung, wanted in zip(doubling(denoise, NOISE, schedule, 8), calls, strict=True):
        assert rung.calls == made == wanted  # the one-step answer is there after one call
        fixed = ddim(lambda x, t: gaussian(x, t, 0.5), NOISE, schedule, rung.steps)
        torch.testing.assert_close(rung.latent, fixed, atol=0, rtol=0)


def test_the_change_between_rungs_is_the_error_left_in_the_finer_one():
    exact = 2 + 0.5 * NOISE
    found = [rung.latent for rung in doubling(lambda x, t: gaussian(x, t, 0.5), NOISE, SCHEDULE, 64)]
    left = [float((one - exact).abs().mean()) for one in found]
    moved = [float((after - before).abs().mean()) for before, after in itertools.pairwise(found)]
    assert left == sorted(left, reverse=True)
    # first order in the limit: the error halves, so what moved is what is left. From 16 steps on it is within a third
    for k in (4, 5):
        assert moved[k] == pytest.approx(left[k + 1], rel=0.35)


def test_change_ignores_what_the_kind_leaves_free():
    value = torch.rand(2, 1, 80, 70, generator=torch.Generator().manual_seed(1))
    # float32 members, fitted in float64: rounding only
    assert float(change(value, 0.5 * value + 0.2, merge_affine).max()) < 1e-5
    assert change(value, value + 0.25, merge_absolute).tolist() == pytest.approx([0.25, 0.25], abs=1e-6)


@pytest.mark.parametrize("count", [2, 3, 5, 12])
def test_standard_error_of_members_of_known_variance(count: int):
    members = 0.1 * torch.randn(1, count, 1, 63, 200, generator=torch.Generator().manual_seed(count))
    expected = math.sqrt(math.pi / 2) * 0.1 / math.sqrt(count)
    # 12,600 pixels: the mean over them is known to 1 %; the published factors are rounded to 0.1 %
    assert float(standard_error(members, merge_absolute)) == pytest.approx(expected, rel=0.03)


def test_one_member_has_no_standard_error():
    with pytest.raises(ValueError, match="two or more"):
        standard_error(torch.zeros(1, 1, 1, 8, 8), merge_absolute)


def noisy(asked: list[list[int]]):
    def draw(wanted: list[int]) -> Tensor:
        asked.append(wanted)
        return torch.stack([0.1 * torch.randn(1, 63, 200, generator=torch.Generator().manual_seed(k)) for k in wanted])[
            None
        ]

    return draw


def test_members_are_added_until_their_median_is_certain():
    asked: list[list[int]] = []
    found = until_certain(noisy(asked), merge_absolute, tolerance=0.05)
    # 1.2533 * 0.1 / sqrt(n) < 0.05 from n = 6.3 on, and members come in twos
    assert found.members.shape[1] == 8
    assert found.error < 0.05
    assert asked == [[0, 1, 2, 3], [4, 5], [6, 7]]


def test_members_stop_at_the_limit_and_say_what_was_reached():
    found = until_certain(noisy([]), merge_absolute, tolerance=1e-9, most=5)
    assert found.members.shape[1] == 5
    assert found.error == pytest.approx(1.2533 * 0.1 / math.sqrt(5), rel=0.03)
    with pytest.raises(ValueError, match="1 to 5"):
        until_certain(noisy([]), merge_absolute, tolerance=0.1, least=1, most=5)
