"""Rank correlations against SciPy and against cases whose answer is known."""

from __future__ import annotations

import csv
import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from scipy import stats

from latentdepth.core.complexity import Complexity
from latentdepth.evaluate.gain import correlation, draw_gains, gains, measured_complexity, ranks, write_gains


def _spearman(x: np.ndarray, y: np.ndarray) -> float:
    result: Any = stats.spearmanr(x, y)  # SciPy types this as a tuple
    return float(result.statistic)


def _complexity(values: np.ndarray) -> Complexity:
    one = torch.from_numpy(values).double()
    return Complexity(one, one**2, 1 - one, torch.zeros_like(one), 8 * one)


def test_ranks_and_rho_are_scipys_with_ties_too():
    draw = np.random.default_rng(0)
    x = draw.integers(0, 6, 40).astype(np.float64)
    y = x + draw.normal(0, 3, 40).round()
    assert ranks(x).tolist() == stats.rankdata(x).tolist()
    found = correlation(x, y, ["a"] * 20 + ["b"] * 20, draws=50)
    assert found.rho == pytest.approx(_spearman(x, y), abs=1e-12)
    assert (found.n, found.groups) == (40, 2)


def test_the_p_value_is_scipys_permutation_test():
    draw = np.random.default_rng(3)
    x = draw.normal(size=25)
    y = 0.35 * x + draw.normal(size=25)
    found = correlation(x, y, [str(k) for k in range(25)], draws=20_000)
    expected = stats.permutation_test(
        (x,), lambda a: _spearman(a, y), permutation_type="pairings", n_resamples=2000, rng=draw
    )
    # both estimate the same probability p = 0.1 or so; standard errors 0.007 and 0.002
    assert found.p == pytest.approx(float(expected.pvalue), abs=0.03)
    assert correlation(x, x, [str(k) for k in range(25)], draws=500).p == pytest.approx(1 / 501)


def test_the_interval_covers_the_true_correlation_of_independent_pairs_about_as_often_as_it_says():
    rho = 6 / math.pi * math.asin(0.5 / 2)  # Spearman's of a Gaussian pair with correlation 0.5
    draw, covered = np.random.default_rng(1), 0
    for _ in range(60):
        x = draw.normal(size=60)
        y = 0.5 * x + math.sqrt(0.75) * draw.normal(size=60)
        found = correlation(x, y, [str(k) for k in range(60)], draws=200)
        covered += found.low <= rho <= found.high
    assert 49 <= covered <= 60  # binomial(60, 0.95): fewer than 49 has a chance of 1e-4


def test_frames_of_few_scenes_give_a_wider_interval_than_independent_ones():
    draw = np.random.default_rng(2)
    scene = np.repeat(np.arange(6), 20)
    x = scene + draw.normal(0, 0.1, 120)
    y = draw.normal(size=6)[scene] + draw.normal(0, 0.1, 120)
    clustered = correlation(x, y, [str(k) for k in scene], draws=500)
    apart = correlation(x, y, [str(k) for k in range(120)], draws=500)
    assert clustered.rho == apart.rho
    assert clustered.high - clustered.low > 2 * (apart.high - apart.low)


def test_within_groups_removes_what_only_tells_the_groups_apart():
    draw = np.random.default_rng(4)
    scene = np.repeat(np.arange(4), 200)
    groups = [f"scene {k}" for k in scene]
    x, y = 10 * scene + draw.normal(size=800), 10 * scene + draw.normal(size=800)
    assert correlation(x, y, groups, draws=200).rho > 0.9
    inside = correlation(x, y, groups, within=True, draws=2000)
    assert abs(inside.rho) < 0.15  # four standard errors of 1 / sqrt(800)
    assert inside.p > 0.001
    # groups of one size: the mean of the groups' own correlations
    each = [_spearman(x[scene == k], y[scene == k]) for k in range(4)]
    assert inside.rho == pytest.approx(float(np.mean(each)), abs=1e-12)
    opposed = np.where(scene % 2 == 0, x, -x)
    assert correlation(x, np.where(scene % 2 == 0, opposed, -opposed), groups, within=True, draws=9).rho == 1


def test_what_has_no_correlation_is_nan_and_what_is_not_finite_is_left_out():
    x = np.arange(8.0)
    groups = ["a", "b"] * 4
    assert math.isnan(correlation(x, np.ones(8), groups).rho)
    assert math.isnan(correlation(x[:4], x[:4], groups[:4]).rho)
    holed = np.where(x == 3, np.nan, x)
    found = correlation(x, holed, groups, draws=50)
    assert (found.rho, found.n) == (1, 7)
    one = correlation(x, x**2, ["a"] * 8, draws=50)
    assert one.rho == 1
    assert math.isnan(one.low)
    assert math.isnan(one.high)


def test_gain_is_error_saved_and_its_correlation_is_found(tmp_path: Path):
    k = np.arange(20)
    busy = (k + 1) / 20
    errors = {1: 0.5 + 0 * busy, 4: 0.5 - 0.1 * busy, 2: 0.5 + 0.1 * busy}
    frames, groups = [f"f{i}" for i in k], [f"g{i % 4}" for i in k]
    found = gains(frames, groups, _complexity(busy), {n: row.tolist() for n, row in errors.items()}, draws=100)
    assert found.efforts == [2, 4]
    assert found.frames[19].gain(4) == pytest.approx(0.1)
    table = found.over_all
    assert (table["gradient_energy"][4].rho, table["gradient_energy"][2].rho) == pytest.approx((1, -1))
    assert table["laplacian_variance"][4].rho == pytest.approx(-1)
    assert table["mixed"][4].rho > 0.99  # the mixture is clipped at both ends, which makes a few ties
    assert math.isnan(table["edge_density"][4].rho)
    paths = write_gains(found, tmp_path, stem="one", varied="steps", figure="abs_rel")
    with paths[0].open() as file:
        rows = list(csv.DictReader(file))
    assert (len(rows), rows[9]["frame"], rows[9]["abs_rel_steps_1"]) == (20, "f9", "0.5")
    assert float(rows[9]["gain_steps_4"]) == pytest.approx(0.05)
    assert draw_gains(found, tmp_path / "one.png", varied="steps", figure="abs_rel").stat().st_size > 1000
    written = json.loads(paths[1].read_text())
    assert written["over_all"]["edge_density"]["4"]["rho"] is None
    assert written["calibration"]["entropy_bits"] == pytest.approx([8 * 0.0975, 8 * 0.9525])


def test_photos_of_several_sizes_make_one_batch():
    images = [torch.rand(3, 32, 48, generator=torch.Generator().manual_seed(0)), torch.zeros(3, 64, 32)]
    measured = measured_complexity(images)
    assert measured.gradient_energy.shape == (2,)
    assert float(measured.gradient_energy[1]) == 0


def test_bad_tables_are_refused():
    measured = _complexity(np.linspace(0, 1, 3))
    with pytest.raises(ValueError, match="1 level of effort"):
        gains(["a", "b", "c"], ["", "", ""], measured, {1: [0.1, 0.2, 0.3]})
    with pytest.raises(ValueError, match=r"lengths \[2, 3\]"):
        gains(["a", "b", "c"], ["", "", ""], measured, {1: [0.1, 0.2, 0.3], 2: [0.1, 0.2]})
