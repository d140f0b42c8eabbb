"""Averages against their definitions, and the post-hoc one against the average it stands for."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from latentdepth.train import ema


@pytest.mark.parametrize("sigma_rel", [0.03, 0.05, 0.1, 0.25])
def test_gamma_gives_the_width_that_was_asked_for(sigma_rel: float):
    gamma, cells = ema.gamma_of(sigma_rel), 100_000
    tau = (np.arange(cells) + 0.5) / cells
    profile = (gamma + 1) * tau**gamma
    mean, square = np.mean(profile * tau), np.mean(profile * tau**2)
    assert np.sqrt(square - mean**2) == pytest.approx(sigma_rel, rel=1e-4)  # midpoint rule with 100 000 cells


def test_gamma_of_the_papers_example():
    assert ema.gamma_of(0.10) == pytest.approx(6.94, abs=0.01)  # section 3.1: gamma = 6.94 for a width of 10 %
    assert ema.gamma_of(0.05) == pytest.approx(16.97, abs=0.01)


def test_the_power_average_weighs_the_past_as_the_profile_says():
    sigma_rel, steps = 0.1, 400
    average = {"w": torch.zeros(steps)}
    for step in range(
        1, steps + 1
    ):  # the weights of step t are the t-th unit vector: the average shows its own weights
        ema.update(average, {"w": torch.eye(steps)[step - 1]}, ema.power_keep(sigma_rel, step))
    edges = (torch.arange(steps + 1) / steps) ** (ema.gamma_of(sigma_rel) + 1)
    # the product of (1 - 1/t)^(gamma + 1) telescopes, so this is exact up to float32
    torch.testing.assert_close(average["w"], edges.diff(), atol=1e-6, rtol=1e-4)
    assert float(average["w"].sum()) == pytest.approx(1, abs=1e-5)


def _walk(steps: int) -> Tensor:
    """Weights on their way: towards a goal, with noise, 16 of them."""
    draw = torch.Generator().manual_seed(3)
    time = torch.linspace(0, 1, steps)[:, None]
    return torch.rand(16, generator=draw) * (1 - (-4 * time).exp()) + 0.05 * torch.randn(steps, 16, generator=draw)


def _tracked(path: Tensor, sigma_rel: float) -> list[Tensor]:
    average, seen = {"w": path[0].clone()}, []
    for step, value in enumerate(path, 1):
        ema.update(average, {"w": value}, ema.power_keep(sigma_rel, step))
        seen.append(average["w"].clone())
    return seen


def test_the_post_hoc_average_approximates_the_exact_one(tmp_path: Path):
    path, kept = _walk(2000), []
    for width in (0.05, 0.1):
        averages = _tracked(path, width)
        for step in range(100, 2001, 100):
            file = ema.snapshot_path(tmp_path, step, width)
            save_file({"w": averages[step - 1], "count": torch.tensor(step)}, file)
    kept = ema.snapshots(tmp_path)
    assert len(kept) == 40
    noise = 0.05
    for width in (0.04, 0.075, 0.15):
        exact = _tracked(path, width)[-1]
        made = ema.posthoc_ema(kept, width)
        # 40 profiles fit the wanted one to a few per cent; what is missed is averaged noise, far below a step's own
        assert float((made["w"] - exact).abs().max()) < 0.05 * noise
        assert float((path[-1] - exact).abs().max()) > noise / 2  # the average is worth making
        assert int(made["count"]) == 2000
    same = ema.posthoc_ema(kept, 0.1)
    torch.testing.assert_close(same["w"], _tracked(path, 0.1)[-1], atol=1e-5, rtol=1e-5)  # an exact solution exists
    halfway = ema.posthoc_ema(kept, 0.1, step=1000)
    torch.testing.assert_close(halfway["w"], _tracked(path[:1000], 0.1)[-1], atol=1e-5, rtol=1e-5)


def test_the_exponential_average_starts_quickly_and_keeps_whole_numbers():
    assert ema.exponential_keep(0.999, 1) == 0.1
    assert ema.exponential_keep(0.9, 1000) == 0.9
    average = ema.new_average({"w": torch.zeros(2, dtype=torch.bfloat16), "count": torch.tensor(1)})
    assert average["w"].dtype == torch.float32
    ema.update(average, {"w": torch.ones(2, dtype=torch.bfloat16), "count": torch.tensor(7)}, 0.75)
    torch.testing.assert_close(average["w"], torch.full((2,), 0.25))
    assert int(average["count"]) == 7


def test_what_can_not_be_averaged_is_said(tmp_path: Path):
    with pytest.raises(ValueError, match=r"no snapshots.*--ema\.widths 0\.05 0\.1"):
        ema.posthoc_ema([], 0.1)
    save_file({"w": torch.ones(1)}, ema.snapshot_path(tmp_path, 10, 0.05))
    kept = ema.snapshots(tmp_path)
    with pytest.raises(ValueError, match=r"width is 0\.5; allowed is"):
        ema.posthoc_ema(kept, 0.5)
    with pytest.raises(ValueError, match="step 20 lies beyond the last snapshot, of step 10"):
        ema.posthoc_ema(kept, 0.1, step=20)
