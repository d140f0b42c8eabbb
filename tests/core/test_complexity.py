"""Complexity measures against closed forms: ramps, waves through known filters, checkerboards, noise."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from scipy import ndimage

from latentdepth.core.complexity import Calibration, Complexity, calibrate, complexity, entropy_bits, luma, mixed

_TAPS = np.exp(-0.5 * np.arange(-3, 4) ** 2)
_TAPS = _TAPS / _TAPS.sum()


def _grey(values: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(values).float().expand(1, 3, *values.shape)


def _blur_gain(omega: float) -> float:
    """What the 7-tap Gaussian leaves of a wave of ``omega`` radians per pixel."""
    return float((_TAPS * np.cos(omega * np.arange(-3, 4))).sum())


def _wave(omega: float, height: int = 128, width: int = 512, amplitude: float = 0.25) -> torch.Tensor:
    return _grey(np.broadcast_to(0.5 + amplitude * np.sin(omega * np.arange(width)), (height, width)).copy())


def _scene(longer: int) -> torch.Tensor:
    """The same smooth picture drawn at several sizes: waves of at most 24 periods across."""
    x = (np.arange(longer) + 0.5) / longer
    y = (np.arange(longer * 3 // 4) + 0.5)[:, None] / longer
    values = 0.5 + 0.2 * np.sin(2 * np.pi * (24 * x + 5 * y)) + 0.15 * np.sin(2 * np.pi * (3 * x - 17 * y))
    return _grey(values)


def test_one_colour_has_no_complexity_and_nothing_is_negative():
    flat = torch.tensor([0.2, 0.7, 0.4]).view(1, 3, 1, 1).expand(1, 3, 60, 80)
    for name, value in complexity(flat).named().items():
        # float32 filters of a constant leave rounding: (1e-7)^2 where squared, 1e-7 where not
        assert float(value) == pytest.approx(0, abs=1e-6), name
        assert float(value) >= 0


def test_a_ramp_has_its_slope_everywhere():
    slope = 1 / 600
    ramp = _grey(np.broadcast_to(0.05 + slope * np.arange(512), (300, 512)).copy())
    measured = complexity(ramp)
    # float32 values near 0.5 are off by 3e-8, derivatives by about as much: 2e-5 of this slope
    assert float(measured.mean_gradient) == pytest.approx(slope, rel=1e-4)
    assert float(measured.gradient_energy) == pytest.approx(slope**2, rel=2e-4)
    assert float(measured.laplacian_variance) == pytest.approx(0, abs=1e-12)
    assert float(measured.edge_density) == 0
    steep = _grey(np.broadcast_to(0.06 * np.arange(512), (300, 512)).copy())  # far outside [0, 1], but a ramp
    assert float(complexity(steep).edge_density) == 1


def test_a_diagonal_ramp_has_the_length_of_its_gradient():
    rows, columns = np.mgrid[:384, :512]
    measured = complexity(_grey(0.1 + 0.0008 * columns + 0.0006 * rows))
    assert float(measured.mean_gradient) == pytest.approx(0.001, rel=1e-4)  # 3-4-5 triangle


@pytest.mark.parametrize("periods", [8, 32, 64])
def test_a_wave_comes_out_as_the_filters_transfer_functions_say(periods: int):
    omega, amplitude = 2 * math.pi * periods / 512, 0.25
    measured = complexity(_wave(omega))
    # 504 of 512 columns are averaged: whole periods but for 8 columns, 1 part in 64 at worst
    energy = amplitude**2 / 2 * (_blur_gain(omega) * math.sin(omega)) ** 2
    laplacian = amplitude**2 / 2 * (_blur_gain(omega) * (2 - 2 * math.cos(omega))) ** 2
    assert float(measured.gradient_energy) == pytest.approx(energy, rel=1 / 60)
    assert float(measured.laplacian_variance) == pytest.approx(laplacian, rel=1 / 60)
    # the mean of |cos| over the columns themselves: eight samples a period are too few for 2 / pi
    rectified = np.abs(np.cos(omega * np.arange(4, 508))).mean()
    mean = amplitude * _blur_gain(omega) * math.sin(omega) * rectified
    assert float(measured.mean_gradient) == pytest.approx(mean, rel=1 / 60)


def test_a_checkerboard_of_single_pixels_is_what_the_blur_leaves_of_it():
    rows, columns = np.mgrid[:384, :512]
    board = ((rows + columns) % 2).astype(np.float64)
    measured = complexity(_grey(board))
    assert float(measured.gradient_energy) == pytest.approx(0, abs=1e-12)  # central differences are blind to it
    left = 0.5 * _blur_gain(math.pi) ** 2
    assert float(measured.laplacian_variance) == pytest.approx((8 * left) ** 2, rel=1e-3)
    assert float(measured.entropy_bits) == pytest.approx(1, abs=1e-9)


def test_a_coarse_checkerboard_agrees_with_scipy():
    rows, columns = np.mgrid[:384, :512]
    board = 0.2 + 0.6 * ((rows // 16 + columns // 16) % 2)
    smooth = ndimage.correlate1d(ndimage.correlate1d(board, _TAPS, axis=0), _TAPS, axis=1)
    right, down = ndimage.sobel(smooth, axis=1) / 8, ndimage.sobel(smooth, axis=0) / 8
    inner = (slice(4, -4), slice(4, -4))  # where neither filter reaches over the border
    slope = np.hypot(right, down)[inner]
    measured = complexity(_grey(board))
    assert float(measured.gradient_energy) == pytest.approx((slope**2).mean(), rel=1e-5)  # float32 against float64
    assert float(measured.mean_gradient) == pytest.approx(slope.mean(), rel=1e-5)
    assert float(measured.edge_density) == pytest.approx((slope > 0.05).mean(), abs=1e-3)
    laplacian = ndimage.laplace(smooth)[inner]
    assert float(measured.laplacian_variance) == pytest.approx(laplacian.var(), rel=1e-5)


def test_entropy_counts_levels():
    every = torch.arange(256).float().view(1, 1, 16, 16) / 255
    assert float(entropy_bits(every)) == pytest.approx(8, abs=1e-12)
    assert float(entropy_bits(torch.full((1, 1, 4, 4), 0.3))) == 0
    quarter = torch.tensor([0.0, 0.0, 0.0, 1.0]).view(1, 1, 2, 2)
    assert float(entropy_bits(quarter)) == pytest.approx(2 - 0.75 * math.log2(3), abs=1e-12)
    noise = torch.from_numpy(np.random.default_rng(0).integers(0, 256, (1, 1, 512, 512))).float() / 255
    # a histogram of N samples lacks (levels - 1) / (2 N ln 2) = 0.0007 bits on average
    assert float(entropy_bits(noise)) == pytest.approx(8, abs=2e-3)


def test_size_changes_the_measures_of_a_smooth_picture_by_three_per_cent_at_most():
    sizes = {longer: complexity(_scene(longer)).named() for longer in (384, 512, 1024, 1536)}
    for longer, measured in sizes.items():
        for name in ("gradient_energy", "mean_gradient", "entropy_bits"):
            assert float(measured[name]) == pytest.approx(float(sizes[512][name]), rel=0.03), (longer, name)


def test_a_batch_is_measured_image_by_image_and_turning_changes_nothing():
    images = torch.rand(3, 3, 48, 64, generator=torch.Generator().manual_seed(0))
    together = complexity(images).named()
    for k in range(3):
        for name, value in complexity(images[k : k + 1]).named().items():
            assert float(value) == pytest.approx(float(together[name][k]), rel=1e-6)
    for name, value in complexity(images.transpose(2, 3)).named().items():
        assert value.tolist() == pytest.approx(together[name].tolist(), rel=1e-4), name  # order of float32 sums


def test_luma_is_rec_601():
    primaries = torch.eye(3).view(3, 3, 1, 1)
    assert luma(primaries).flatten().tolist() == pytest.approx([0.299, 0.587, 0.114])


def test_calibration_takes_quantiles_and_mixing_clips():
    k = torch.arange(101).double()
    zero = torch.zeros_like(k)
    measured = Complexity(k / 100, zero, zero, zero, 8 * k / 100)
    calibration = calibrate(measured)
    assert calibration.gradient_energy == pytest.approx((0.05, 0.95))
    assert calibration.entropy_bits == pytest.approx((0.4, 7.6))
    score = mixed(measured, calibration)
    assert (float(score[0]), float(score[100])) == (0, 1)
    assert float(score[50]) == pytest.approx(0.5)
    assert float(mixed(measured, Calibration((0, 1), (0, 80)), energy_share=0.25)[100]) == pytest.approx(0.325)


def test_what_cannot_be_measured_is_refused():
    with pytest.raises(ValueError, match="8, and 9 are needed"):
        complexity(torch.zeros(1, 3, 16, 1024))
    assert float(complexity(torch.zeros(1, 3, 18, 1024)).gradient_energy) == 0
    same = complexity(torch.zeros(2, 3, 32, 32))
    with pytest.raises(ValueError, match="calibrate on photos that differ"):
        calibrate(same)
    with pytest.raises(ValueError, match=r"tails is 0\.5"):
        calibrate(same, tails=0.5)
    with pytest.raises(ValueError, match="energy_share is 2"):
        mixed(same, Calibration((0, 1), (0, 8)), energy_share=2.0)
