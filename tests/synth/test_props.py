"""What of a furniture library stands in a scene: what fits where, how often, and who is credited."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from test_library import facts, library, pictured, shown

from latentdepth.synth.compose import compose
from latentdepth.synth.library import Entry, read_library
from latentdepth.synth.props import KINDS, Props
from latentdepth.synth.scene import Mesh, SceneKind
from latentdepth.synth.shapes import bounds


@pytest.fixture(scope="module")
def household(tmp_path_factory: pytest.TempPathFactory) -> tuple[Entry, ...]:
    """A few models of the sizes of furniture, crockery, people and cars."""
    sizes = (
        ("Chair", "Living room", (45, 50, 90)),
        ("Table", "Living room", (140, 80, 74)),
        ("Wardrobe", "Bedroom", (120, 60, 200)),
        ("Mug", "Kitchen", (9, 9, 10)),
        ("Female", "Characters", (50, 40, 170)),
        ("Saloon", "Vehicles", (180, 430, 150)),
        ("Hydrant", "Exterior", (35, 30, 70)),
        ("Socket", "Miscellaneous", (8, 1, 8)),
    )
    catalogue = "".join(
        facts(
            number,
            name=name,
            category=category,
            width=str(w),
            depth=str(d),
            height=str(h),
            elevation="30" if name == "Socket" else "",
            dropOnTopElevation="45" if name == "Chair" else "",
        )
        for number, (name, category, (w, d, h)) in enumerate(sizes, 1)
    )
    return read_library(str(library(tmp_path_factory.mktemp("household") / "a.sh3f", catalogue)))


def textures_in(meshes: Sequence[Mesh], entries: tuple[Entry, ...]) -> set[str]:
    """Names of the entries whose picture is among the meshes."""
    there = {id(mesh.material.texture) for mesh in meshes if mesh.material.texture is not None}
    return {entry.name for entry in entries if id(pictured(shown(entry)).material.texture) in there}


def test_each_kind_takes_what_fits_it(household: tuple[Entry, ...]) -> None:
    fitting = {name: {entry.name for entry in household if kind.admits(entry)} for name, kind in KINDS.items()}
    assert fitting["chair"] == {"Chair"}
    assert fitting["table"] == {"Table"}
    assert fitting["cupboard"] == {"Wardrobe"}
    assert fitting["small"] == {"Mug"}
    assert fitting["person"] == {"Female"}
    assert fitting["car"] == {"Saloon"}
    assert fitting["outdoors"] == {"Hydrant"}
    assert fitting["on wall"] == {"Socket"}
    assert fitting["indoors"] == {"Chair", "Table", "Wardrobe"}


def test_loans_come_at_their_share_and_end_when_the_scene_is_full(household: tuple[Entry, ...]) -> None:
    def props(seed: int) -> Props:
        return Props(household, np.random.default_rng(seed))

    # four standard deviations of a binomial around 0.6
    assert abs(sum(props(seed).lend("chair", 0.6) is not None for seed in range(400)) - 240) < 40
    assert props(0).lend("chair", 1.0, most_faces=11) is None
    one = props(1)
    lent = [one.lend("chair", 1.0) for _ in range(160_000 // 12 + 1)]
    assert lent[-2] is not None
    assert lent[-1] is None


def test_what_hangs_is_lent_at_its_height_and_seats_where_one_sits(household: tuple[Entry, ...]) -> None:
    props = Props(household, np.random.default_rng(0))
    socket, chair, table = (props.lend(kind, 1.0) for kind in ("on wall", "chair", "table"))
    assert socket is not None
    assert bounds(socket.parts)[0][2] == pytest.approx(0.3)
    assert chair is not None
    assert [z for _, _, z in chair.seats] == [pytest.approx(0.45)]
    assert not chair.tops
    assert table is not None
    assert [top.z_m for top in table.tops] == [pytest.approx(0.744)]


def test_a_room_holds_models_and_their_credits(household: tuple[Entry, ...]) -> None:
    scene = compose(6, 12, kind="room", library=household)
    names = textures_in(scene.meshes, household)
    assert len(names) >= 3
    assert names == {credit.partition(" by ")[0] for credit in scene.credits}


def test_the_same_numbers_give_the_same_scene(household: tuple[Entry, ...]) -> None:
    once, again = (compose(4, 2, kind="corridor", library=household) for _ in range(2))
    assert len(once.credits) > 0
    assert once.credits == again.credits
    for a, b in zip(once.meshes, again.meshes, strict=True):
        np.testing.assert_array_equal(a.vertices, b.vertices)


@pytest.mark.parametrize("kind", ["room", "corridor"])
def test_what_a_library_decides_moves_nothing_else(
    tmp_path: Path, household: tuple[Entry, ...], kind: SceneKind
) -> None:
    """Chance has a stream of its own: with models that can't be read a scene is what it is without a library."""
    unread = tuple(
        Entry(str(tmp_path / "gone.sh3f"), e.model, e.name, e.category, e.size_m, e.elevation_m) for e in household
    )
    with_it, without = (compose(6, 6, kind=kind, library=entries) for entries in (unread, ()))
    assert with_it.credits == without.credits == ()
    for a, b in zip(with_it.meshes, without.meshes, strict=True):
        np.testing.assert_array_equal(a.vertices, b.vertices)
