"""Scales and shifts that make overlapping tiles agree with each other and with one coarse map, solved jointly.

Every tile k says x_kp at points p; the coarse map says y_p. First each tile alone is fitted to the coarse map, which
gives a scale a_k. Sought are then scale s_k and shift t_k of every tile, and one consensus m_p of every point, that
minimise

    sum_kp w_kp (s_k x_kp + t_k - m_p)^2 + anchor * sum_p v_p (m_p - y_p)^2 + sum_k u_k (s_k - a_k)^2,

u_k being the weighted variation of the tile. Without the last term tiles that disagree would agree best by all becoming
flat. m_p follows in closed form, and what is left is linear in (s, t): solved by conjugate gradients, preconditioned
with each tile's own 2 x 2 block, so thousands of tiles need no matrix. Where tiles or the coarse map disagree, weights
are then lowered, as a Cauchy error has it, and the system is solved again. Knows neither images nor windows.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn import functional as F

Freedom = Literal["affine", "scale"]
ANCHOR = 0.1
"""The coarse map says where a tile lies as a whole, its neighbours say how exactly: each point of a tile has ten times
the vote of the coarse map's."""
ROUNDS = 4
_LEAST_POINTS = 8
_FLAT = 1e-6  # root mean square below which a float32 tile holds rounding noise and no shape
_RIDGE = 1e-12  # keeps the blocks of tiles without neighbours or shape invertible
_CUT = 2.0  # of the median error: beyond, points count less than half
_EXACT = 1e-12
_STEPS = 2000


@dataclass(frozen=True)
class Sightings:
    """What tiles say at points of the coarse map, one row for each tile and point."""

    tile: Int[Tensor, " r"]
    point: Int[Tensor, " r"]
    value: Float[Tensor, " r"]
    weight: Float[Tensor, " r"]


@dataclass(frozen=True)
class Placed:
    """Scale and shift of every tile; NaN for tiles that contradict the coarse map or say nothing: leave them out."""

    scale: Float[Tensor, " k"]
    shift: Float[Tensor, " k"]


def place(
    seen: Sightings,
    coarse: Float[Tensor, " p"],
    trust: Float[Tensor, " p"],
    *,
    tiles: int,
    freedom: Freedom = "affine",
    anchor: float = ANCHOR,
) -> Placed:
    """Solve for ``tiles`` tiles. ``trust`` weighs the coarse map's points; ``freedom`` scale fixes the shifts at 0.

    Left out are tiles that are seen at fewer than 8 points, that are one value everywhere, or whose scale, alone or in
    the end, is 0 or below. A tile at which the coarse map can't be trusted anywhere is placed by its neighbours alone.
    Computes in float64.
    """
    seen = Sightings(seen.tile, seen.point, seen.value.double(), seen.weight.double())
    coarse, trust = coarse.double(), trust.double()
    alone, varies = _alone(seen, coarse, trust, tiles, freedom)
    says = torch.bincount(seen.tile, minlength=tiles) >= _LEAST_POINTS
    says &= _variation(seen, seen.weight, tiles, freedom) > _FLAT**2 * _sum(seen.weight, seen, tiles)
    used = says & ((varies <= 0) | (alone[:, 0] > 0))
    every = seen.weight * used[seen.tile]
    rows, points = every, trust * anchor
    line = alone
    for _ in range(ROUNDS):
        line = _solve(seen, rows, coarse, points, tiles, freedom, (varies, alone[:, 0]))
        placed = _placed(line, seen)
        middle = _consensus(placed, seen, rows, coarse, points)
        rows = every * _cauchy(placed - middle[seen.point], rows > 0)
        points = trust * anchor * _cauchy(middle - coarse, trust > 0)
    line = torch.where((used & (line[:, 0] > 0))[:, None], line, torch.nan)
    return Placed(line[:, 0], line[:, 1])


def _alone(
    seen: Sightings, coarse: Tensor, trust: Tensor, tiles: int, freedom: Freedom
) -> tuple[Float[Tensor, "k 2"], Float[Tensor, " k"]]:
    """Every tile fitted to the coarse map by itself, robustly, and its weighted variation where the map is trusted."""
    every = seen.weight * trust[seen.point]
    rows, y = every, coarse[seen.point]
    line = torch.zeros(tiles, 2, dtype=torch.float64)
    for _ in range(2 * ROUNDS):
        total = _sum(rows, seen, tiles).clamp_min(1e-30)
        mean_x, mean_y = (_sum(rows * v, seen, tiles) / total * (freedom == "affine") for v in (seen.value, y))
        x, aim = seen.value - mean_x[seen.tile], y - mean_y[seen.tile]
        line[:, 0] = _sum(rows * x * aim, seen, tiles) / _sum(rows * x * x, seen, tiles).clamp_min(1e-30)
        line[:, 1] = mean_y - line[:, 0] * mean_x
        rows = every * _cauchy(_placed(line, seen) - y, every > 0)
    return line, _variation(seen, every, tiles, freedom)


def _variation(seen: Sightings, rows: Tensor, tiles: int, freedom: Freedom) -> Float[Tensor, " k"]:
    """Weighted sum of squares of what each tile says, about its mean where shifts are free."""
    mean = _sum(rows * seen.value, seen, tiles) / _sum(rows, seen, tiles).clamp_min(1e-30) * (freedom == "affine")
    return _sum(rows * (seen.value - mean[seen.tile]) ** 2, seen, tiles)


def _sum(rows: Tensor, seen: Sightings, tiles: int) -> Float[Tensor, " k"]:
    return torch.zeros(tiles, dtype=torch.float64).index_add_(0, seen.tile, rows)


def edge_trust(value: Float[Tensor, "n 1 h w"]) -> Float[Tensor, "n 1 h w"]:
    """1 in smooth parts of a map, towards 0 where it jumps within a pixel.

    A coarse map's edges are blurred and displaced, so a fit had better look at what lies between them.
    """
    reach = F.max_pool2d(value, 3, 1, 1) + F.max_pool2d(-value, 3, 1, 1)
    usual = reach.mean((1, 2, 3), keepdim=True)
    return torch.where(usual > 0, 1 / (1 + (reach / (2 * usual).clamp_min(1e-12)) ** 2), torch.ones_like(value))


def _solve(
    seen: Sightings,
    rows: Tensor,
    coarse: Tensor,
    points: Tensor,
    tiles: int,
    freedom: Freedom,
    prior: tuple[Tensor, Tensor],
) -> Float[Tensor, "k 2"]:
    """The minimum for fixed weights, by conjugate gradients. ``prior``: u_k and a_k above."""
    share = _total(seen, rows, points)
    free = torch.tensor([1.0, 0.0 if freedom == "scale" else 1.0], dtype=torch.float64)

    def gathered(residual: Tensor) -> Tensor:
        both = torch.stack((residual * seen.value, residual), 1)
        return torch.zeros(tiles, 2, dtype=torch.float64).index_add_(0, seen.tile, both) * free

    own = rows * (1 - rows / share[seen.point])  # what a tile's row weighs after its own part of the consensus
    block = torch.zeros(tiles, 2, 2, dtype=torch.float64)
    for i, left in enumerate((seen.value, torch.ones_like(seen.value))):
        for j, right in enumerate((seen.value, torch.ones_like(seen.value))):
            block[:, i, j].index_add_(0, seen.tile, own * left * right * free[i] * free[j])
    ridge = _RIDGE * block.diagonal(dim1=1, dim2=2).sum(1)
    ridge = torch.stack((ridge + prior[0], ridge), 1)
    ridge = torch.where(ridge > 0, ridge, 1.0)
    inverse = torch.linalg.inv(block + torch.diag_embed(ridge)) * free[:, None] * free

    def applied(line: Tensor) -> Tensor:
        placed = _placed(line, seen)
        pulled = torch.zeros_like(coarse).index_add_(0, seen.point, rows * placed) / share
        return gathered(rows * (placed - pulled[seen.point])) + ridge * line

    residual = gathered(rows * (points * coarse / share)[seen.point])
    residual[:, 0] += prior[0] * prior[1]
    line = torch.zeros(tiles, 2, dtype=torch.float64)
    better = (inverse @ residual[..., None])[..., 0]
    direction, size = better, (residual * better).sum()
    start = size.clone()
    for _ in range(_STEPS):
        if float(size) <= _EXACT**2 * float(start):
            break
        along = applied(direction)
        step = size / (direction * along).sum()
        line, residual = line + step * direction, residual - step * along
        better = (inverse @ residual[..., None])[..., 0]
        before, size = size, (residual * better).sum()
        direction = better + size / before * direction
    return line


def _placed(line: Tensor, seen: Sightings) -> Float[Tensor, " r"]:
    return line[seen.tile, 0] * seen.value + line[seen.tile, 1]


def _total(seen: Sightings, rows: Tensor, points: Tensor) -> Float[Tensor, " p"]:
    """Weights of all that is known about each point; never 0."""
    return (points.clone().index_add_(0, seen.point, rows)).clamp_min(1e-30)


def _consensus(placed: Tensor, seen: Sightings, rows: Tensor, coarse: Tensor, points: Tensor) -> Float[Tensor, " p"]:
    return (points * coarse).index_add_(0, seen.point, rows * placed) / _total(seen, rows, points)


def _cauchy(error: Tensor, counts: Tensor) -> Float[Tensor, " r"]:
    """Weights of a Cauchy error: 1 at 0, a half at twice the median error."""
    used = error.abs()[counts]
    if not len(used):
        return torch.ones_like(error)
    # float32 maps in [0, 1]: less than 1e-6 is no error, and without a floor an exact fit would discard half its points
    usual = used.median().clamp_min(1e-6)
    return 1 / (1 + (error / (_CUT * usual)) ** 2)
