"""Things have the sizes of things, stand on the floor, and offer tops and seats where they are."""

from collections.abc import Callable

import numpy as np
import pytest

from latentdepth.synth import (
    animals,
    arrangements,
    clutter,
    flowers,
    furniture,
    heads,
    people,
    plants,
    storage,
    street_furniture,
    vehicles,
)
from latentdepth.synth.palette import Palette
from latentdepth.synth.pieces import Piece, Top
from latentdepth.synth.shapes import Parts, bounds
from latentdepth.synth.stage import footprint_of

# lowest, highest, widest extent in metres over many draws
SIZES: dict[str, tuple[Callable[[Palette], Parts | Piece], float, float, float]] = {
    "table": (furniture.table, 0.25, 0.85, 2.6),
    "chair": (furniture.chair, 0.4, 1.2, 0.8),
    "sofa": (furniture.sofa, 0.6, 1.0, 2.7),
    "bed": (furniture.bed, 0.5, 1.5, 2.3),
    "cupboard": (storage.cupboard, 0.35, 2.3, 2.3),
    "bookshelf": (storage.bookshelf, 0.8, 2.3, 2.0),
    "desk": (storage.desk, 0.7, 1.4, 2.0),
    "person": (lambda p: people.figure(p, "stand"), 0.95, 2.6, 2.2),
    "lying person": (lambda p: people.figure(p, "lie"), 0.1, 0.75, 2.6),
    "animal": (animals.quadruped, 0.1, 2.9, 4.2),
    "bird": (animals.bird, 0.05, 1.3, 1.3),
    "car": (vehicles.car, 1.35, 1.75, 5.0),
    "van": (vehicles.van, 2.0, 3.7, 12.1),
    "bicycle": (vehicles.bicycle, 0.9, 1.15, 1.9),
    "tree": (lambda p: plants.broadleaf(p, leaves=200), 3.0, 19.0, 19.0),
    "flower": (flowers.flower, 0.1, 0.75, 0.6),
    "table thing": (clutter.table_thing, 0.0008, 0.45, 0.8),
    "floor thing": (clutter.floor_thing, 0.0008, 0.6, 0.9),
    "lamp post": (street_furniture.lamp_post, 3.9, 9.6, 3.2),
}


@pytest.mark.parametrize("name", SIZES)
def test_true_size_and_on_the_floor(name: str) -> None:
    make, lowest_m, highest_m, widest_m = SIZES[name]
    for seed in range(5):
        made = make(Palette(np.random.default_rng(seed)))
        low, high = bounds(made.parts if isinstance(made, Piece) else made)
        # a slanting foot or trunk dips its rim a little into the ground
        assert -0.03 <= low[2] <= 0.02
        assert lowest_m <= high[2] <= highest_m
        assert (high - low)[:2].max() <= widest_m


def test_tops_lie_on_the_piece() -> None:
    for seed in range(8):
        piece = furniture.table(Palette(np.random.default_rng(seed)))
        low, high = bounds(piece.parts)
        for top in piece.tops:
            assert top.z_m == pytest.approx(high[2], abs=0.02)
            assert low[0] <= top.x_m[0] < top.x_m[1] <= high[0]
            assert low[1] <= top.y_m[0] < top.y_m[1] <= high[1]


def test_strewn_things_stay_on_the_top_and_apart() -> None:
    palette = Palette(np.random.default_rng(3))
    top = Top((-0.6, 0.6), (-0.4, 0.4), 0.75)
    parts = arrangements.strewn(palette, top, 25)
    low, high = bounds(parts)
    assert low[2] == pytest.approx(0.75, abs=1e-6)
    assert (low[:2] >= [-0.6 - 1e-9, -0.4 - 1e-9]).all()
    assert (high[:2] <= [0.6 + 1e-9, 0.4 + 1e-9]).all()
    assert len(parts) > 10


def test_headroom_is_kept() -> None:
    palette = Palette(np.random.default_rng(4))
    parts = arrangements.strewn(palette, Top((0, 1.0), (0, 0.4), 1.0, headroom_m=0.1), 30)
    assert bounds(parts)[1][2] <= 1.1 + 1e-9


def test_sitting_figure_sits_at_the_height_of_the_seat() -> None:
    for seed in range(5):
        parts = people.figure(Palette(np.random.default_rng(seed)), "sit", stature_m=1.7, seat_m=0.46)
        spot = footprint_of(parts)
        assert 0.0 <= spot.bottom_m < 0.15
        assert 1.05 < spot.top_m < 2.0


def test_fine_head_has_many_more_triangles_and_the_same_size() -> None:
    made = []
    for fine in (False, True):
        palette = Palette(np.random.default_rng(5))
        made.append(heads.head(palette, palette.skin(), fine=fine))
    coarse, fine_head = (sum(len(part.faces) for part in parts) for parts in made)
    assert fine_head > 4 * coarse
    for parts in made:
        low, high = bounds(parts[:1])
        np.testing.assert_allclose(high - low, [0.152, 0.2, 0.236], atol=0.02)
