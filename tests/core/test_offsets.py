"""The joint fit against closed forms and dense least squares."""

from __future__ import annotations

import numpy as np
import torch

from latentdepth.core.offsets import Placed, Sightings, edge_trust, place

_POINTS = 60


def scene(seed: int = 0) -> tuple[torch.Tensor, Sightings, torch.Tensor, torch.Tensor]:
    """A consensus, five tiles of 20 points that share ten with the next, and the scales and shifts that they hide."""
    draw = torch.Generator().manual_seed(seed)
    truth = torch.rand(_POINTS, dtype=torch.float64, generator=draw)
    scale = 0.5 + torch.rand(5, dtype=torch.float64, generator=draw)
    shift = torch.rand(5, dtype=torch.float64, generator=draw) - 0.5
    tile = torch.arange(5).repeat_interleave(20)
    point = torch.cat([torch.arange(10 * k, 10 * k + 20) for k in range(5)])
    value = (truth[point] - shift[tile]) / scale[tile]
    return truth, Sightings(tile, point, value, torch.ones(100, dtype=torch.float64)), scale, shift


def check(found: Placed, scale: torch.Tensor, shift: torch.Tensor, within: float) -> None:
    torch.testing.assert_close(found.scale, scale, atol=within, rtol=0)
    torch.testing.assert_close(found.shift, shift, atol=within, rtol=0)


def test_scales_and_shifts_are_recovered():
    truth, seen, scale, shift = scene()
    # what remains is the ridge and where the iteration stops
    check(place(seen, truth, torch.ones(_POINTS), tiles=5), scale, shift, 1e-6)


def test_neighbours_place_a_tile_that_the_coarse_map_does_not_see():
    truth, seen, scale, shift = scene()
    trust = torch.ones(_POINTS)
    trust[20:40] = 0
    blind = truth.clone()
    blind[20:40] = 7.0
    check(place(seen, blind, trust, tiles=5), scale, shift, 1e-6)


def test_outliers_of_tiles_and_of_the_coarse_map_are_overruled():
    truth, seen, scale, shift = scene()
    coarse = truth.clone()
    coarse[[3, 17, 31, 45]] += 1.0
    value = seen.value.clone()
    value[[5, 28, 66]] -= 1.0
    found = place(Sightings(seen.tile, seen.point, value, seen.weight), coarse, torch.ones(_POINTS), tiles=5)
    check(found, scale, shift, 0.02)  # plain least squares is off by 0.3 and more


def test_scale_alone():
    truth, seen, scale, _ = scene()
    value = truth[seen.point] / scale[seen.tile]
    seen = Sightings(seen.tile, seen.point, value, seen.weight)
    found = place(seen, truth, torch.ones(_POINTS), tiles=5, freedom="scale")
    check(found, scale, torch.zeros(5, dtype=torch.float64), 1e-6)


def test_as_dense_least_squares():
    """One round with noise everywhere, against all unknowns (scales, shifts and consensus) in one dense system."""
    from latentdepth.core import offsets

    truth, seen, _, _ = scene()
    draw = torch.Generator().manual_seed(1)
    noisy = seen.value + 0.1 * torch.randn(100, dtype=torch.float64, generator=draw)
    weight = 0.2 + torch.rand(100, dtype=torch.float64, generator=draw)
    coarse = truth + 0.1 * torch.randn(_POINTS, dtype=torch.float64, generator=draw)
    trust = 0.05 + torch.rand(_POINTS, dtype=torch.float64, generator=draw)
    prior = (torch.rand(5, dtype=torch.float64, generator=draw), torch.rand(5, dtype=torch.float64, generator=draw))
    line = offsets._solve(Sightings(seen.tile, seen.point, noisy, weight), weight, coarse, trust, 5, "affine", prior)
    rows = np.zeros((105 + _POINTS, 10 + _POINTS))
    target = np.zeros(105 + _POINTS)
    for r in range(100):
        k, p, root = int(seen.tile[r]), int(seen.point[r]), float(weight[r]) ** 0.5
        rows[r, [2 * k, 2 * k + 1, 10 + p]] = root * float(noisy[r]), root, -root
    for p in range(_POINTS):
        rows[100 + p, 10 + p] = float(trust[p]) ** 0.5
        target[100 + p] = float(trust[p]) ** 0.5 * float(coarse[p])
    for k in range(5):
        root = float(prior[0][k]) ** 0.5
        rows[100 + _POINTS + k, 2 * k], target[100 + _POINTS + k] = root, root * float(prior[1][k])
    dense = np.linalg.lstsq(rows, target, rcond=None)[0][:10].reshape(5, 2)
    np.testing.assert_allclose(line.numpy(), dense, atol=1e-6)  # the ridge


def test_a_tile_that_contradicts_and_one_that_says_nothing_are_left_out():
    truth, seen, scale, shift = scene()
    value = torch.where(seen.tile == 2, -seen.value, seen.value)
    found = place(Sightings(seen.tile, seen.point, value, seen.weight), truth, torch.ones(_POINTS), tiles=6)
    assert found.scale.isnan().tolist() == [False, False, True, False, False, True]
    others = [0, 1, 3, 4]
    check(Placed(found.scale[others], found.shift[others]), scale[others], shift[others], 1e-4)


def test_a_constant_tile_is_left_out():
    truth, seen, scale, shift = scene()
    value = torch.where(seen.tile == 1, 0.5, seen.value)
    found = place(Sightings(seen.tile, seen.point, value, seen.weight), truth, torch.ones(_POINTS), tiles=5)
    assert found.scale.isnan().tolist() == [False, True, False, False, False]
    others = [0, 2, 3, 4]
    check(Placed(found.scale[others], found.shift[others]), scale[others], shift[others], 1e-6)


def test_disagreement_does_not_flatten():
    """Noise in every tile: the joint fit keeps the scales that each tile's own fit has, within a fifth."""
    truth, seen, scale, _ = scene()
    draw = torch.Generator().manual_seed(2)
    noisy = seen.value + 0.1 * torch.randn(100, dtype=torch.float64, generator=draw)
    found = place(Sightings(seen.tile, seen.point, noisy, seen.weight), truth, torch.ones(_POINTS), tiles=5)
    assert bool((found.scale > 0.8 * scale).all())


def test_edges_are_trusted_less():
    step = torch.zeros(1, 1, 9, 20)
    step[..., 10:] = 1
    trust = edge_trust(step)
    assert float(trust[..., 10].max()) < 0.05 < float(trust[..., 3].min())
    assert bool((edge_trust(torch.full((1, 1, 5, 5), 0.3)) == 1).all())
