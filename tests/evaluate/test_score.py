"""A perfect predictor scores 0 and 1, and known mistakes score what pen and paper say, under every protocol."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch

from latentdepth.core.types import Invariance, Kind, Prediction, Quantity
from latentdepth.data.benchmarks.benchmark import Facts, OrdinalSample, Truth
from latentdepth.data.sample import Sample
from latentdepth.evaluate.protocol import PROTOCOLS, default_rule, protocol, refusal
from latentdepth.evaluate.score import score

DEPTH_RULES = [key for key in PROTOCOLS if key not in ("ordinal", "normals")]
DEPTH_KINDS = [Kind(q, i) for q in Quantity if q is not Quantity.NORMALS for i in Invariance]


def kind(words: str) -> Kind:
    invariance, quantity = words.split("-")
    return Kind(Quantity(quantity), Invariance(invariance))


def facts(truth: Truth = "depth", far_m: float | None = 80.0) -> Facts:
    return Facts("here", "Here", truth, None, 1e-3, far_m, None, "", "")


def sample_of(depth_m: torch.Tensor, valid: torch.Tensor | None = None) -> Sample:
    h, w = depth_m.shape[-2:]
    return Sample(torch.zeros(3, h, w), depth_m, torch.ones(1, h, w, dtype=torch.bool) if valid is None else valid)


def told(depth_m: torch.Tensor, what: Kind) -> Prediction:
    """The truth in the words of ``what``: any scale and shift that it leaves open is used."""
    value = {
        Quantity.DEPTH: depth_m,
        Quantity.DISPARITY: 1 / depth_m,
        Quantity.LOG_DEPTH: depth_m.log(),
        Quantity.NORMALS: depth_m,
    }[what.quantity][None]
    scale, shift = {"affine": (0.07, 0.3), "scale": (0.07, 0.0), "metric": (1.0, 0.0)}[what.invariance.value]
    return Prediction(scale * value + shift, what)


RAMP = torch.linspace(1, 9, 48).view(1, 6, 8)


@pytest.mark.parametrize("key", DEPTH_RULES)
@pytest.mark.parametrize("what", DEPTH_KINDS, ids=str)
def test_the_truth_scores_nothing_wrong(key: str, what: Kind) -> None:
    rule = PROTOCOLS[key]
    if refusal(rule, what, "depth") is not None:
        with pytest.raises(ValueError, match=r"here: the prediction is"):
            score(told(RAMP, what), sample_of(RAMP), facts(), rule)
        return
    scored = score(told(RAMP, what), sample_of(RAMP), facts(), rule)
    # predictions are float32: 1e-7 of their largest value, magnified by the fit; RANSAC and L1 refit exactly
    for name in ("abs_rel", "sq_rel", "rmse", "rmse_log", "log10", "i_rmse"):
        assert scored.figures[name] == pytest.approx(0, abs=2e-5), name
    for name in ("delta1", "delta2", "delta3"):
        assert scored.figures[name] == 1
    assert (scored.fault, scored.valid_pixels) == (None, 48)
    assert scored.depth_m is not None
    torch.testing.assert_close(scored.depth_m[0], RAMP, rtol=2e-5, atol=2e-5)


def test_which_kinds_a_protocol_takes() -> None:
    takes = {key: {str(w) for w in DEPTH_KINDS if refusal(PROTOCOLS[key], w, "depth") is None} for key in DEPTH_RULES}
    everything = {str(w) for w in DEPTH_KINDS}
    metric = {"metric depth", "metric disparity", "metric log_depth"}
    zero = metric | {"scale-invariant depth", "scale-invariant disparity"}
    assert takes == {
        "marigold": everything,
        "disparity": zero | {"affine-invariant disparity"},
        "log-ransac": zero | {"affine-invariant log_depth", "scale-invariant log_depth"},
        "median": zero,
        "scale": zero,
        "metric": metric,
        "moge": zero | {"affine-invariant depth"},
    }


@pytest.mark.parametrize(
    ("key", "words"), [("metric", "metric-depth"), ("metric", "metric-disparity"), ("metric", "metric-log_depth")]
)
def test_a_tenth_too_far_is_abs_rel_of_a_tenth_without_alignment(key: str, words: str) -> None:
    scored = score(told(RAMP * 1.1, kind(words)), sample_of(RAMP), facts(), PROTOCOLS[key])
    # |1.1 g - g| / g = 0.1, |log10 1.1|, |ln 1.1|, every ratio 1.1 < 1.25; float32 predictions: 6e-8
    assert scored.figures["abs_rel"] == pytest.approx(0.1, rel=2e-6)
    assert scored.figures["log10"] == pytest.approx(math.log10(1.1), rel=2e-6)
    assert scored.figures["rmse_log"] == pytest.approx(math.log(1.1), rel=2e-6)
    assert scored.figures["si_log"] == pytest.approx(0, abs=1e-4)
    assert scored.figures["sq_rel"] == pytest.approx(0.01 * float(RAMP.mean()), rel=2e-6)
    assert scored.figures["delta1"] == 1


@pytest.mark.parametrize("key", ["marigold", "disparity", "log-ransac", "median", "scale", "moge"])
def test_a_wrong_scale_costs_nothing_where_the_scale_is_fitted(key: str) -> None:
    scored = score(told(RAMP * 1.1, kind("metric-depth")), sample_of(RAMP), facts(), PROTOCOLS[key])
    assert scored.figures["abs_rel"] == pytest.approx(0, abs=2e-6)


def test_a_wrong_shift_costs_what_the_protocol_leaves_of_it() -> None:
    """Half the pixels at 1 m, a quarter at 2 m and at 4 m; the prediction is 1 m too far everywhere."""
    truth = torch.tensor([1.0] * 8 + [2.0] * 4 + [4.0] * 4).view(1, 4, 4)
    predicted = told(truth + 1, kind("metric-depth"))

    def abs_rel(key: str) -> float:
        return score(predicted, sample_of(truth), facts(), PROTOCOLS[key]).figures["abs_rel"]

    assert abs_rel("metric") == pytest.approx((8 * 1 + 4 / 2 + 4 / 4) / 16)
    # the lower of the two middle values: medians 1 and 2, so a factor of 1/2: 2 -> 1, 3 -> 1.5, 5 -> 2.5
    assert abs_rel("median") == pytest.approx((8 * 0 + 4 * 0.25 + 4 * 0.375) / 16)
    # sum(p g) / sum(p p) = (8*2 + 4*6 + 4*20) / (8*4 + 4*9 + 4*25) = 120 / 168
    s = 120 / 168
    assert abs_rel("scale") == pytest.approx(
        (8 * abs(2 * s - 1) + 4 * abs(3 * s - 2) / 2 + 4 * abs(5 * s - 4) / 4) / 16, rel=1e-6
    )
    for key in ("marigold", "moge"):
        assert abs_rel(key) == pytest.approx(0, abs=1e-6)
    # in disparity 1/2, 1/3, 1/5 against 1, 1/2, 1/4: no line through three points, so the error stays
    x, y, n = [1 / 2, 1 / 3, 1 / 5], [1.0, 1 / 2, 1 / 4], [8, 4, 4]
    mean_x, mean_y = (sum(c * v for c, v in zip(n, values, strict=True)) / 16 for values in (x, y))
    slope = sum(c * (u - mean_x) * (v - mean_y) for c, u, v in zip(n, x, y, strict=True))
    slope /= sum(c * (u - mean_x) ** 2 for c, u in zip(n, x, strict=True))
    fitted = [max(mean_y + slope * (u - mean_x), 1 / 4) for u in x]
    expected = sum(c * abs(1 / f - 1 / v) * v for c, f, v in zip(n, fitted, y, strict=True)) / 16
    assert expected > 0.03
    assert abs_rel("disparity") == pytest.approx(expected, rel=1e-5)


def test_wrong_pixels_count_by_their_share_where_the_fit_ignores_them() -> None:
    """A tenth of the pixels says twice the depth: robust fits find the rest exact."""
    truth = torch.linspace(1, 9, 100).view(1, 10, 10)
    wrong = torch.zeros(100, dtype=torch.bool)
    wrong[::10] = True
    metric = told(torch.where(wrong.view(1, 10, 10), truth * 2, truth), kind("metric-depth"))
    for key in ("log-ransac", "moge", "metric"):
        scored = score(metric, sample_of(truth), facts(), PROTOCOLS[key])
        # a tenth of the pixels is off by the whole truth; fits are exact up to float32
        assert scored.figures["abs_rel"] == pytest.approx(0.1, rel=1e-5), key
        assert scored.figures["delta1"] == pytest.approx(0.9), key
    # least squares is drawn towards them
    assert score(metric, sample_of(truth), facts(), PROTOCOLS["marigold"]).figures["delta1"] < 0.9


def test_known_wrong_pixels_of_a_disparity_are_clamped() -> None:
    """One pixel lies behind infinity; it takes the farthest truth, 9 m, where the truth is 1 m."""
    truth = torch.linspace(1, 9, 400).view(1, 20, 20)
    disparity = 1 / truth[None]
    disparity[0, 0, 0, 0] = -50.0
    plain = kind("affine-disparity")
    scored = score(Prediction(disparity, plain), sample_of(truth), facts(), PROTOCOLS["disparity"])
    assert scored.depth_m is not None
    assert float(scored.depth_m.max()) <= 9 + 1e-5
    free = score(Prediction(disparity, plain), sample_of(truth), facts(far_m=None), PROTOCOLS["marigold"])
    assert free.depth_m is not None
    # Marigold's clamp is at 1e-3 / m and the benchmark has no far end here
    assert float(free.depth_m.max()) <= 1000 * (1 + 1e-6)
    clipped = score(Prediction(disparity, plain), sample_of(truth), facts(), PROTOCOLS["marigold"])
    assert clipped.depth_m is not None
    assert float(clipped.depth_m.max()) <= 80


def test_depth_is_clipped_to_the_benchmarks_range_where_the_protocol_says_so() -> None:
    truth = torch.full((1, 4, 4), 10.0)
    predicted = told(torch.full((1, 4, 4), 200.0), kind("metric-depth"))
    assert score(predicted, sample_of(truth), facts(), PROTOCOLS["metric"]).figures["abs_rel"] == pytest.approx(7.0)
    unlimited = score(predicted, sample_of(truth), facts(far_m=None), PROTOCOLS["metric"])
    assert unlimited.figures["abs_rel"] == pytest.approx(19.0)


def test_sky_and_invalid_pixels_do_not_count() -> None:
    truth = RAMP.clone()
    truth[0, 0] = math.inf
    valid = torch.ones(1, 6, 8, dtype=torch.bool)
    valid[0, 1] = False
    predicted = RAMP.clone()
    predicted[0, :2] = torch.nan  # where nothing counts, anything may stand
    scored = score(told(predicted, kind("metric-depth")), sample_of(truth, valid), facts(), PROTOCOLS["metric"])
    assert (scored.valid_pixels, scored.fault) == (32, None)
    assert scored.figures["abs_rel"] == pytest.approx(0, abs=1e-7)


def faulty(name: str) -> tuple[Prediction, Sample]:
    predicted, truth, valid = RAMP[None].clone(), RAMP.clone(), torch.ones(1, 6, 8, dtype=torch.bool)
    if name == "size":
        predicted = torch.ones(1, 1, 8, 6)
    elif name == "not_finite":
        predicted[0, 0, 2, 3] = math.nan
    elif name == "no_truth":
        valid[:] = False
    elif name == "few_pixels":
        valid.view(-1)[9:] = False
    elif name == "no_fit":
        predicted = torch.zeros(1, 1, 6, 8)
        predicted[0, 0, 0, 0] = 1e-30
    return Prediction(predicted, kind("metric-depth")), sample_of(truth, valid)


@pytest.mark.parametrize("key", DEPTH_RULES)
@pytest.mark.parametrize("fault", ["size", "not_finite", "no_truth", "few_pixels"])
def test_faults_are_named_and_score_nan(fault: str, key: str) -> None:
    scored = score(*faulty(fault), facts(), PROTOCOLS[key])
    assert scored.fault == fault
    assert scored.note
    assert scored.depth_m is None
    assert scored.figures
    assert all(math.isnan(value) for value in scored.figures.values())


def test_a_median_of_zero_fits_nothing() -> None:
    scored = score(*faulty("no_fit"), facts(), PROTOCOLS["median"])
    assert scored.fault == "no_fit"
    assert math.isnan(scored.figures["abs_rel"])


def test_ten_pixels_are_enough() -> None:
    valid = torch.zeros(1, 6, 8, dtype=torch.bool)
    valid.view(-1)[:10] = True
    scored = score(told(RAMP, kind("affine-depth")), sample_of(RAMP, valid), facts(), PROTOCOLS["marigold"])
    assert (scored.fault, scored.valid_pixels) == (None, 10)


def test_a_constant_prediction_is_scored_and_flagged() -> None:
    constant = Prediction(torch.full((1, 1, 6, 8), 0.4), kind("affine-depth"))
    scored = score(constant, sample_of(RAMP), facts(), PROTOCOLS["marigold"])
    assert scored.fault == "constant"
    # the best constant in the least-squares sense is the mean of the truth
    expected = float(((RAMP.mean() - RAMP).abs() / RAMP).mean())
    assert scored.figures["abs_rel"] == pytest.approx(expected, rel=1e-5)


def test_near_and_far_swapped_is_scored_and_flagged() -> None:
    swapped = Prediction(10 - RAMP[None], kind("affine-depth"))
    scored = score(swapped, sample_of(RAMP), facts(), PROTOCOLS["marigold"])
    assert scored.fault == "flipped"
    assert scored.figures["abs_rel"] == pytest.approx(0, abs=2e-5)


@pytest.mark.parametrize(("words", "sign"), [("affine-depth", 1.0), ("affine-disparity", -1.0)])
def test_point_pairs_are_counted_by_what_near_means(words: str, sign: float) -> None:
    value = sign * torch.arange(12.0).view(1, 1, 3, 4)  # near at the top left
    nearer, farther = (
        torch.tensor([[0.5, 0.5], [1.5, 0.5], [3.5, 2.5]]),
        torch.tensor([[1.5, 0.5], [0.5, 2.5], [0.5, 0.5]]),
    )
    pairs = OrdinalSample(torch.zeros(3, 3, 4), nearer, farther)
    scored = score(Prediction(value, kind(words)), pairs, facts("point_pairs"), PROTOCOLS["ordinal"])
    assert scored.figures["ordinal"] == pytest.approx(2 / 3)
    assert scored.figures["whdr"] == pytest.approx(1 / 3)
    assert scored.valid_pixels == 3


def test_pairs_faults() -> None:
    none = torch.zeros(0, 2)
    empty = OrdinalSample(torch.zeros(3, 4, 4), none, none)
    ramp = Prediction(torch.arange(16.0).view(1, 1, 4, 4), kind("affine-depth"))
    assert score(ramp, empty, facts("point_pairs"), PROTOCOLS["ordinal"]).fault == "no_truth"
    one = torch.tensor([[1.0, 1.0]])
    constant = Prediction(torch.ones(1, 1, 4, 4), kind("affine-depth"))
    scored = score(
        constant, OrdinalSample(torch.zeros(3, 4, 4), one, one * 3), facts("point_pairs"), PROTOCOLS["ordinal"]
    )
    assert (scored.fault, scored.figures["ordinal"]) == ("constant", 0.0)  # a tie is a miss
    small = score(ramp, OrdinalSample(torch.zeros(3, 8, 8), one, one * 3), facts("point_pairs"), PROTOCOLS["ordinal"])
    assert small.fault == "size"
    assert math.isnan(small.figures["ordinal"])


def test_normals_turned_by_a_known_angle() -> None:
    truth = torch.zeros(3, 4, 6)
    truth[2] = 1
    sample = Sample(torch.zeros(3, 4, 6), torch.ones(1, 4, 6), torch.ones(1, 4, 6, dtype=torch.bool), normals=truth)
    angles = torch.tensor([0.0] * 12 + [20.0] * 12).deg2rad().view(4, 6)
    turned = torch.stack((angles.sin(), angles * 0, angles.cos()))[None]
    scored = score(Prediction(turned, kind("metric-normals")), sample, facts("normals"), PROTOCOLS["normals"])
    # half at 0 and half at 20 degrees; float32 sines are good to 1e-5 degrees
    assert scored.figures["mean_deg"] == pytest.approx(10, abs=1e-4)
    assert scored.figures["median_deg"] == pytest.approx(10, abs=1e-4)
    assert (scored.figures["below_11.25"], scored.figures["below_22.5"]) == (0.5, 1.0)
    perfect = score(Prediction(truth[None], kind("metric-normals")), sample, facts("normals"), PROTOCOLS["normals"])
    assert (perfect.figures["mean_deg"], perfect.figures["below_5"], perfect.fault) == (0.0, 1.0, None)


def test_refusals_say_what_to_take_instead() -> None:
    assert "metric predictions alone" in str(refusal(PROTOCOLS["metric"], kind("affine-depth"), "depth"))
    assert "median or scale" in str(refusal(PROTOCOLS["metric"], kind("metric-depth"), "scaled_depth"))
    assert "no disparity; take protocol marigold" in str(refusal(PROTOCOLS["disparity"], kind("affine-depth"), "depth"))
    assert "nothing to compare" in str(refusal(PROTOCOLS["normals"], kind("metric-normals"), "depth"))
    assert "doesn't apply" in str(refusal(PROTOCOLS["marigold"], kind("affine-depth"), "point_pairs"))
    assert "only protocol normals" in str(refusal(PROTOCOLS["marigold"], kind("affine-depth"), "normals"))
    assert "doesn't apply" in str(refusal(PROTOCOLS["ordinal"], kind("affine-depth"), "depth"))
    with pytest.raises(ValueError, match="protocol is 'lstsq'; allowed are marigold, disparity"):
        protocol("lstsq")


@pytest.mark.parametrize(
    ("truth", "words", "expected"),
    [
        ("depth", "affine-depth", "marigold"),
        ("depth", "affine-disparity", "marigold"),
        ("depth", "metric-depth", "metric"),
        ("scaled_depth", "metric-depth", "marigold"),
        ("point_pairs", "metric-depth", "ordinal"),
        ("normals", "metric-normals", "normals"),
    ],
)
def test_defaults(truth: Any, words: str, expected: str) -> None:
    rule = default_rule(truth, kind(words))
    assert rule.key == expected
    assert refusal(rule, kind(words), truth) is None
