"""Learning rates against the published formula, and the bfloat16 optimiser against torch's."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn

from latentdepth.train.loop_config import OptimConfig
from latentdepth.train.optim import MasterAdamW, learning_rate, make_optimiser


def test_the_published_schedule_but_for_its_idle_first_step():
    config = OptimConfig(lr=3e-5, schedule="published", warmup=100, decay_steps=25_000, final=0.01)
    for step in (1, 50, 99):  # there the published multiplier is step / 100; ours is one step ahead
        assert learning_rate(config, step - 1, 30_000) == pytest.approx(3e-5 * step / 100)
    for step in (100, 5_000, 24_999, 25_000, 29_999):
        published = 3e-5 * 0.01 ** min(1, (step - 100) / 24_900)
        assert learning_rate(config, step, 30_000) == pytest.approx(published)
    assert learning_rate(config, 29_999, 30_000) == pytest.approx(3e-7)


@pytest.mark.parametrize("schedule", ["published", "cosine", "constant"])
@pytest.mark.parametrize("warmup", [0, 7])
def test_every_schedule_starts_above_0_rises_to_the_peak_and_ends_where_it_says(schedule: str, warmup: int):
    config = OptimConfig(lr=0.1, schedule=schedule, warmup=warmup, final=0.05)  # pyright: ignore[reportArgumentType]
    rates = [learning_rate(config, step, 201) for step in range(202)]
    assert min(rates) > 0
    assert max(rates) == pytest.approx(0.1)
    assert rates[201] == pytest.approx(0.1 if schedule == "constant" else 0.005)
    assert all(b <= a for a, b in zip(rates[warmup:], rates[warmup + 1 :], strict=False))
    middle = {"published": 0.1 * math.sqrt(0.05), "cosine": 0.1 * (0.05 + 0.95 / 2), "constant": 0.1}[schedule]
    assert learning_rate(config, warmup + (201 - warmup) // 2, 201) == pytest.approx(
        middle, rel=0.02
    )  # half a step off


def _steps(optimiser: torch.optim.Optimizer, weight: nn.Parameter, count: int = 20) -> torch.Tensor:
    draw = torch.Generator().manual_seed(0)
    for _ in range(count):
        weight.grad = torch.randn(weight.shape, generator=draw).to(weight.dtype)
        optimiser.step()
    return weight.detach()


def test_the_master_optimiser_is_adamw():
    settings = {"lr": 0.01, "betas": (0.8, 0.95), "eps": 1e-6, "weight_decay": 0.1}
    start = torch.randn(5, 3, generator=torch.Generator().manual_seed(1))
    ours, theirs = nn.Parameter(start.clone()), nn.Parameter(start.clone())
    a = _steps(MasterAdamW([ours], **settings), ours)
    b = _steps(torch.optim.AdamW([theirs], **settings, foreach=False), theirs)
    torch.testing.assert_close(a, b, rtol=1e-5, atol=1e-7)  # the same sums in another order, 20 times


def test_small_updates_reach_bfloat16_weights_only_through_the_master_copy():
    def moved(master: bool) -> float:
        weight = nn.Parameter(torch.ones(4, dtype=torch.bfloat16))
        optimiser = make_optimiser(OptimConfig(lr=1e-3, master=master), [weight])
        for _ in range(20):
            weight.grad = torch.ones_like(weight)
            optimiser.step()
        return float(1 - weight.detach()[0].float())

    # each step is 0.001, bfloat16 numbers below 1 are 0.0039 apart
    assert moved(False) == 0
    assert moved(True) == pytest.approx(0.02, abs=0.002)


def test_what_can_not_be_made_is_said():
    weight = nn.Parameter(torch.ones(1))
    with pytest.raises(ValueError, match="adamw8bit, which needs a CUDA device; this run is on cpu: take adamw"):
        make_optimiser(OptimConfig(name="adamw8bit"), [weight])
    with pytest.raises(ValueError, match=r"weight_decay is 0\.1, but adam has none"):
        make_optimiser(OptimConfig(name="adam", weight_decay=0.1), [weight])
    with pytest.raises(ValueError, match="every one is frozen"):
        make_optimiser(OptimConfig(), [])
