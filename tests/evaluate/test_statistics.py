"""Intervals against the normal approximation, coverage by simulation, p-values against all sign patterns and SciPy."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from scipy import stats

from latentdepth.evaluate.statistics import by_source, mean_interval, paired


def test_interval_of_many_frames_is_the_normal_one() -> None:
    values = np.random.default_rng(0).normal(5, 2, 400)
    interval = mean_interval(values.tolist(), draws=8000)
    half = 1.959964 * values.std() / math.sqrt(400)
    assert interval.mean == pytest.approx(values.mean(), rel=1e-12)
    # a 2.5 % quantile of 8000 draws has a standard error of 2.7 % of sigma, 1.4 % of the half-width; four of them
    assert interval.low == pytest.approx(values.mean() - half, abs=0.06 * half)
    assert interval.high == pytest.approx(values.mean() + half, abs=0.06 * half)
    assert (interval.n, interval.groups) == (400, 400)


def test_interval_of_scenes_is_that_of_their_means() -> None:
    """40 scenes of 5 equal frames hold 40 numbers, not 200."""
    scenes = np.random.default_rng(1).normal(0, 1, 40)
    values, groups = np.repeat(scenes, 5).tolist(), [f"scene {k // 5}" for k in range(200)]
    by_scene, alone = mean_interval(values, groups), mean_interval(scenes.tolist())
    assert (by_scene.low, by_scene.high) == pytest.approx((alone.low, alone.high), abs=1e-12)
    frames = mean_interval(values)
    assert (by_scene.high - by_scene.low) / (frames.high - frames.low) == pytest.approx(math.sqrt(5), rel=0.1)
    assert (by_scene.n, by_scene.groups) == (200, 40)


def test_large_scenes_weigh_as_many_frames_as_they_have() -> None:
    values, groups = [1.0] * 9 + [2.0], ["a"] * 9 + ["b"]
    interval = mean_interval(values, groups)
    assert interval.mean == pytest.approx(1.1)
    # only aa, ab and bb can be drawn
    assert {round(interval.low, 9), round(interval.high, 9)} == {1.0, 2.0}


def test_interval_covers_the_true_mean_as_often_as_it_says() -> None:
    generator, hits, trials = np.random.default_rng(2), 0, 300
    for trial in range(trials):
        scenes = np.repeat(generator.normal(3, 1, 30), 3) + generator.normal(0, 0.5, 90)
        interval = mean_interval(scenes.tolist(), [str(k // 3) for k in range(90)], draws=400, seed=trial)
        hits += interval.low <= 3 <= interval.high
    # percentile intervals of 30 scenes cover about 93 %; binomial 4-sigma bounds of 300 trials
    assert 0.87 <= hits / trials <= 0.99


def test_interval_is_the_same_every_time_and_other_seeds_differ() -> None:
    values = np.random.default_rng(3).normal(size=50).tolist()
    assert mean_interval(values, seed=1) == mean_interval(values, seed=1)
    assert mean_interval(values, seed=1) != mean_interval(values, seed=2)


def test_one_scene_has_no_interval_and_no_frame_no_mean() -> None:
    alone = mean_interval([1.0, 2.0], ["a", "a"])
    assert alone.mean == 1.5
    assert math.isnan(alone.low)
    assert math.isnan(mean_interval([]).mean)
    assert mean_interval([1.0, 2.0], ["", ""]).groups == 2  # no name: a scene of its own


@pytest.mark.parametrize("values", [[1.0, math.nan], [math.inf]])
def test_nan_is_refused(values: list[float]) -> None:
    with pytest.raises(ValueError, match="are NaN or infinite; leave those frames out and count them"):
        mean_interval(values)


def test_lengths_must_agree() -> None:
    with pytest.raises(ValueError, match="2 values have 1 groups"):
        mean_interval([1.0, 2.0], ["a"])
    with pytest.raises(ValueError, match="2 values are compared with 1"):
        paired([1.0, 2.0], [1.0])
    with pytest.raises(ValueError, match="2 values have 1 sources"):
        by_source([1.0, 2.0], ["a"])


def test_p_of_few_scenes_is_that_of_all_sign_patterns() -> None:
    difference = [0.3, -0.1, 0.5, 0.2, 0.4, -0.05]
    seen = abs(sum(difference))
    patterns = list(itertools.product((1, -1), repeat=6))
    extreme = sum(abs(sum(s * d for s, d in zip(p, difference, strict=True))) >= seen - 1e-12 for p in patterns)
    assert paired(difference, [0.0] * 6).p == extreme / 64
    with_scipy = stats.permutation_test(
        (np.array(difference),), lambda x, axis: x.mean(axis), permutation_type="samples", n_resamples=10_000
    )
    assert paired(difference, [0.0] * 6).p == pytest.approx(with_scipy.pvalue, abs=1e-12)


def test_p_of_many_frames_is_that_of_the_t_test() -> None:
    generator = np.random.default_rng(4)
    a = generator.normal(0, 1, 200)
    b = a + generator.normal(0.12, 1, 200)
    p = paired(a.tolist(), b.tolist()).p
    # 10 000 flips: standard error sqrt(p (1 - p) / 10 000), at most 0.005; four of them, and t for flips
    assert p == pytest.approx(stats.ttest_rel(a, b).pvalue, abs=0.02)
    assert 0.01 < p < 0.6


def test_no_difference_is_found_where_there_is_none_as_often_as_chance_has_it() -> None:
    generator = np.random.default_rng(5)
    found = sum(
        paired(generator.normal(size=20).tolist(), generator.normal(size=20).tolist(), draws=10, flips=400, seed=k).p
        < 0.05
        for k in range(300)
    )
    assert found / 300 == pytest.approx(0.05, abs=0.05)  # four standard errors of a binomial


def test_a_sure_difference() -> None:
    compared = paired([0.9, 1.9, 2.9, 3.8] * 10, [1.0, 2.0, 3.0, 4.0] * 10)
    assert compared.difference.mean == pytest.approx(-0.125)
    assert compared.difference.high < 0
    assert compared.p == pytest.approx(1 / 10_001)
    assert (compared.wins, compared.losses) == (40, 0)
    same = paired([1.0, 2.0, 3.0], [1.0, 2.0, 3.0])
    assert (same.p, same.wins, same.losses) == (1.0, 0, 0)


def test_frames_of_one_scene_are_flipped_together() -> None:
    """Two scenes allow four patterns, so no p below a half, however many frames they have."""
    assert paired([0.0] * 100, [1.0] * 100, ["a"] * 50 + ["b"] * 50).p == 0.5
    assert math.isnan(paired([0.0] * 100, [1.0] * 100, ["a"] * 100).p)


def test_sources_weigh_the_same() -> None:
    means, mean = by_source([1.0, 1.0, 1.0, 5.0], ["large", "large", "large", "small"])
    assert means == {"large": 1.0, "small": 5.0}
    assert mean == 3.0
