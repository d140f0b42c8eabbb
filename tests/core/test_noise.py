"""Noise: what it depends on, and its published statistics."""

import pytest
import torch

from latentdepth.core.noise import annealed_strength, generator, member_noise, multires_as_original, multires_as_paper


def test_member_noise_depends_on_seed_and_member_only():
    many = member_noise(7, [0, 1, 2, 3], (4, 6, 5))
    torch.testing.assert_close(member_noise(7, [3, 1], (4, 6, 5)), many[[3, 1]], atol=0, rtol=0)
    assert not torch.equal(member_noise(8, [0], (4, 6, 5)), many[:1])
    assert not torch.equal(many[0], many[1])


def test_the_global_generator_is_left_alone():
    torch.manual_seed(3)
    before = torch.get_rng_state()
    member_noise(1, [0], (4, 8, 8))
    multires_as_original((2, 4, 12, 16), 0.9, generator("x"))
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize("strategy", ["original", "every_layer", "power_of_two", "random_step"])
def test_original_strategies_have_unit_deviation_over_the_batch(strategy):
    noise = multires_as_original((3, 4, 60, 80), 0.9, generator(strategy), strategy=strategy)
    assert float(noise.std()) == pytest.approx(1, abs=1e-5)
    # coarse levels make neighbours alike: white noise would give about 0
    neighbours = (noise[..., 1:] * noise[..., :-1]).mean()
    assert float(neighbours) > 0.15


def test_original_form_couples_the_batch_and_the_paper_form_does_not():
    strengths = torch.tensor([0.0, 0.9])
    paper = multires_as_paper((2, 4, 24, 32), strengths, generator(1))
    torch.testing.assert_close(paper.std(dim=(1, 2, 3)), torch.ones(2))
    original = multires_as_original((2, 4, 24, 32), strengths, generator(1))
    assert float(original[1].std()) > 1.05 > 0.95 > float(original[0].std())


def test_strength_is_annealed_from_the_noisy_end():
    strength = annealed_strength(torch.tensor([0, 500, 1000]), 1000, 0.9)
    torch.testing.assert_close(strength, torch.tensor([0.0, 0.45, 0.9]))


def test_zero_strength_paper_noise_is_white():
    noise = multires_as_paper((1, 4, 64, 64), 0.0, generator(2))
    # 16384 products of independent unit normals: standard error 0.008
    assert abs(float((noise[..., 1:] * noise[..., :-1]).mean())) < 0.04
