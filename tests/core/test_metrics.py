"""Metrics against loops over pixels in NumPy, and at the corners of their definitions."""

from __future__ import annotations

import math

import jaxtyping
import numpy as np
import pytest
import torch
from torch import Tensor

from latentdepth.core import metrics, pixels
from latentdepth.core.align import fit_depth


def maps(seed: int = 0, images: int = 3) -> tuple[Tensor, Tensor, Tensor]:
    """Prediction, truth (metres, some missing) and mask [n 1 14 18]."""
    generator = torch.Generator().manual_seed(seed)
    truth = 0.5 + 9 * torch.rand(images, 1, 14, 18, generator=generator)
    prediction = truth * (1 + 0.3 * torch.randn(truth.shape, generator=generator)).clamp_min(0.1)
    valid = torch.rand(truth.shape, generator=generator) > 0.3
    valid[..., 0, :3] = True
    truth[..., 0, 0], truth[..., 0, 1], truth[..., 0, 2] = torch.nan, 0.0, -1.0
    prediction[..., 0, :3] = 1.0
    return prediction, truth, valid


def naive(prediction: np.ndarray, truth: np.ndarray, valid: np.ndarray) -> dict[str, float]:
    """The definitions, one pixel after the other."""
    pairs = [
        (float(p), float(g))
        for p, g, v in zip(prediction.flat, truth.flat, valid.flat, strict=True)
        if v and math.isfinite(g) and g > 0
    ]
    count = len(pairs)
    logs = [math.log(p) - math.log(g) for p, g in pairs]
    mean_log = sum(logs) / count
    return {
        "abs_rel": sum(abs(p - g) / g for p, g in pairs) / count,
        "sq_rel": sum((p - g) ** 2 / g for p, g in pairs) / count,
        "rmse": math.sqrt(sum((p - g) ** 2 for p, g in pairs) / count),
        "rmse_log": math.sqrt(sum(e * e for e in logs) / count),
        "log10": sum(abs(math.log10(p) - math.log10(g)) for p, g in pairs) / count,
        "si_log": 100 * math.sqrt(sum(e * e for e in logs) / count - mean_log**2),
        "i_rmse": math.sqrt(sum((1 / p - 1 / g) ** 2 for p, g in pairs) / count),
        "mae": sum(abs(p - g) for p, g in pairs) / count,
        "i_mae": sum(abs(1 / p - 1 / g) for p, g in pairs) / count,
        "delta05": sum(max(p / g, g / p) < 1.25**0.5 for p, g in pairs) / count,
        **{f"delta{k}": sum(max(p / g, g / p) < 1.25**k for p, g in pairs) / count for k in (1, 2, 3)},
    }


# Each float32 error is rounded by 1e-7 or so; sums are float64, which leaves 1e-12 of float64 maps.
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 2e-7), (torch.float64, 1e-12)])
@pytest.mark.parametrize("shape", ["one piece", "many pieces"])
def test_all_depth_metrics_equal_a_loop(
    dtype: torch.dtype, tolerance: float, shape: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pixels, "_PIECE", {"one piece": 10_000, "many pieces": 7}[shape])
    prediction, truth, valid = maps()
    prediction, truth = prediction.to(dtype), truth.to(dtype)
    found = metrics.depth_metrics(prediction, truth, valid)
    for k in range(3):
        expected = naive(prediction[k].double().numpy(), truth[k].double().numpy(), valid[k].numpy())
        assert found.keys() == expected.keys()
        for name, value in expected.items():
            assert float(found[name][k]) == pytest.approx(value, rel=tolerance), name


def test_errors_of_many_sizes_equal_numpy() -> None:
    """Ratios from 1 + 1e-6 to 1e7, where differences of logarithms lose their digits at either end."""
    truth = torch.full((1, 1, 1, 1), 3.0)
    valid = torch.ones_like(truth, dtype=torch.bool)
    for ratio in (1 + 1e-6, 1.001, 1.3, 8.9, 9.1, 1e3, 1e6):
        for factor in (ratio, 1 / ratio):
            prediction = truth * factor
            p, g = float(prediction), float(truth)
            found = metrics.depth_metrics(prediction, truth, valid)
            expected = {
                "rmse_log": abs(math.log(p / g)),
                "log10": abs(math.log10(p / g)),
                "i_mae": abs(1 / p - 1 / g),
                "sq_rel": (p - g) ** 2 / g,
            }
            for name, value in expected.items():
                # float32; relative even where the error is a millionth
                assert float(found[name]) == pytest.approx(value, rel=5e-7), (name, factor)


def test_equal_errors_do_not_add_up_roundings() -> None:
    truth = torch.full((1, 1, 200, 300), 3.0)
    prediction = truth * 1.1
    expected = float(prediction[0, 0, 0, 0]) / 3 - 1
    found = metrics.abs_rel(prediction, truth, torch.ones_like(truth, dtype=torch.bool))
    assert float(found) == pytest.approx(expected, rel=1e-7)  # one float32 division; a float32 sum would be off by 5e-7


def test_an_error_in_one_piece_costs_no_digits() -> None:
    """The logarithms of a first piece that is off by half must not drown those of hundreds that are right."""
    generator = torch.Generator().manual_seed(13)
    truth = 1 + torch.rand(1, 1, 800, 1000, generator=generator)
    prediction = truth * (1 + 1e-4 * torch.rand(truth.shape, generator=generator))
    prediction[:, :, :2] = truth[:, :, :2] * 1.5
    found = metrics.depth_metrics(prediction, truth, torch.ones_like(truth, dtype=torch.bool))
    error = np.log(prediction.double().numpy()) - np.log(truth.double().numpy())
    # float32 of each logarithm
    assert float(found["rmse_log"]) == pytest.approx(np.sqrt(np.mean(error**2)), rel=5e-7)
    assert float(found["si_log"]) == pytest.approx(100 * np.std(error), rel=5e-7)


def test_sparse_truth_costs_no_digits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pixels, "_PIECE", 16)
    prediction, truth, _ = maps(12)
    valid = torch.zeros_like(truth, dtype=torch.bool)
    valid[:, :, 5, 3:5] = valid[:, :, 13, 17] = True  # most pieces hold nothing
    for k in range(3):
        expected = naive(prediction[k].double().numpy(), truth[k].double().numpy(), valid[k].numpy())
        for name, value in metrics.depth_metrics(prediction, truth, valid).items():
            assert float(value[k]) == pytest.approx(expected[name], rel=5e-7), name  # float32


def test_single_metrics_equal_the_table() -> None:
    prediction, truth, valid = maps(1)
    table = metrics.depth_metrics(prediction, truth, valid)
    for name in ("abs_rel", "sq_rel", "mae", "rmse", "rmse_log", "log10", "si_log", "i_mae", "i_rmse"):
        assert torch.equal(getattr(metrics, name)(prediction, truth, valid), table[name]), name
    assert torch.equal(metrics.delta(prediction, truth, valid), table["delta1"])
    assert torch.equal(metrics.delta(prediction, truth, valid, 1.25**3), table["delta3"])


def test_perfect_prediction() -> None:
    _, truth, valid = maps(2)
    for name, value in metrics.depth_metrics(truth, truth, valid).items():
        assert torch.equal(value, torch.full((3,), 1.0 if name.startswith("delta") else 0.0).double()), name


def test_si_log_ignores_scale_and_keeps_its_digits() -> None:
    prediction, truth, valid = maps(3)
    before, after = (metrics.si_log(p, truth, valid) for p in (prediction, prediction * 8))  # 8: exact in float32
    torch.testing.assert_close(before, after, rtol=1e-6, atol=0)  # logarithms in float32
    # Only roundings are left: that of the product, 100 * 6e-8, and those of float32 logarithms near 6.9, 100 * 5e-7.
    assert metrics.si_log(truth * 1000, truth, valid).max() < 5e-5
    wide = truth.double()
    assert metrics.si_log(wide * 1000, wide, valid).max() < 1e-12


def test_metrics_after_alignment_ignore_affine_maps() -> None:
    prediction, truth, valid = maps(4)
    truth = truth.nan_to_num().clamp_min(0.1)
    first = metrics.abs_rel(fit_depth(prediction, truth, valid)[0], truth, valid)
    second = metrics.abs_rel(fit_depth(prediction * 0.5 + 3, truth, valid)[0], truth, valid)
    torch.testing.assert_close(first, second, rtol=1e-5, atol=0)  # float32 of the map


def test_image_without_valid_pixels_is_nan_and_spares_the_others() -> None:
    prediction, truth, valid = maps(5)
    whole = metrics.depth_metrics(prediction, truth, valid)
    valid[1] = False
    for name, value in metrics.depth_metrics(prediction, truth, valid).items():
        assert torch.isnan(value[1]), name
        assert torch.equal(value[[0, 2]], whole[name][[0, 2]]), name


def test_bad_predictions_count_against_the_prediction() -> None:
    truth = torch.full((1, 1, 2, 2), 2.0)
    valid = torch.ones_like(truth, dtype=torch.bool)
    prediction = torch.tensor([2.0, 2.0, 2.0, torch.nan]).view(1, 1, 2, 2)
    assert torch.isnan(metrics.abs_rel(prediction, truth, valid)).all()
    assert float(metrics.delta(prediction, truth, valid)) == 0.75
    prediction[0, 0, 1, 1] = -1.0
    assert float(metrics.delta(prediction, truth, valid)) == 0.75
    # Logarithms read -1 as 1e-6; one of four pixels is off by ln(2e6).
    assert float(metrics.rmse_log(prediction, truth, valid)) == pytest.approx(math.log(2e6) / 2)
    prediction[0, 0, 1, 1], valid[0, 0, 1, 1] = torch.nan, False
    assert float(metrics.abs_rel(prediction, truth, valid)) == 0


def test_wrong_sizes_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    # The type checker that the tests run under would stop the call first; users run without it.
    monkeypatch.setattr(jaxtyping.config, "jaxtyping_disable", True)
    prediction, truth, valid = maps(6)
    with pytest.raises(ValueError, match="resize the prediction to the truth"):
        metrics.abs_rel(prediction[..., 1:], truth, valid)
    with pytest.raises(ValueError, match="n x 1 x h x w"):
        metrics.depth_metrics(prediction[0], truth[0], valid[0])


@pytest.mark.parametrize("width", [10, 11])  # an even and an odd count may have different medians
def test_angles_equal_a_loop(width: int) -> None:
    generator = torch.Generator().manual_seed(7)
    truth = torch.nn.functional.normalize(torch.randn(2, 3, 9, width, generator=generator), dim=1)
    noisy = truth + 0.2 * torch.randn(truth.shape, generator=generator)
    prediction = torch.nn.functional.normalize(noisy, dim=1)
    valid = torch.rand(2, 1, 9, width, generator=generator) > 0.2
    truth[:, :, 0, 0] = 0  # no normal there
    found = metrics.normals_metrics(prediction, truth, valid)
    for k in range(2):
        angles = []
        for y in range(9):
            for x in range(width):
                a, b = prediction[k, :, y, x].double().numpy(), truth[k, :, y, x].double().numpy()
                if valid[k, 0, y, x] and b.any():
                    cosine = a @ b / np.linalg.norm(a) / np.linalg.norm(b)
                    angles.append(math.degrees(math.acos(min(1.0, cosine))))
        # acos loses digits near zero, where these angles are not; the rest is float64.
        assert float(found["mean"][k]) == pytest.approx(np.mean(angles), rel=1e-8)
        assert float(found["median"][k]) == pytest.approx(np.median(angles), rel=1e-8)
        for limit in (5, 7.5, 11.25, 22.5, 30):
            assert float(found[f"below_{limit:g}"][k]) == pytest.approx(np.mean(np.array(angles) < limit), abs=1e-12)
        assert 0 < found["below_11.25"][k] < 1
    assert torch.equal(metrics.angular_error(prediction, truth, valid), found["mean"])


def test_angles_of_equal_and_opposite_normals_are_exact() -> None:
    normals = torch.nn.functional.normalize(torch.randn(1, 3, 5, 5, generator=torch.Generator().manual_seed(8)), dim=1)
    valid = torch.ones(1, 1, 5, 5, dtype=torch.bool)
    assert float(metrics.angular_error(normals, normals, valid)) == 0
    assert float(metrics.angular_error(normals, -normals, valid)) == 180
    assert all(torch.isnan(value).all() for value in metrics.normals_metrics(normals, normals, ~valid).values())
