"""Views per data set: chances hold, later draws don't depend on earlier chances, nonsense is refused."""

from dataclasses import replace
from typing import Any

import pytest
import torch

from latentdepth.core.noise import generator
from latentdepth.data.options import Augmentation
from latentdepth.data.sample import Sample
from latentdepth.data.views import PUBLISHED_NORMALS, view


def scene() -> Sample:
    depth = torch.linspace(1, 3, 32).expand(1, 24, 32).clone()
    return Sample(torch.rand(3, 24, 32, generator=generator("view")), depth, torch.ones(1, 24, 32, dtype=torch.bool))


def test_the_published_depth_recipe_stretches_and_mirrors_only():
    seen = [view(scene(), 16, 16, Augmentation(), generator("v", k)) for k in range(30)]
    rising = [bool(v.depth_m[0, 0, 0] < v.depth_m[0, 0, -1]) for v in seen]
    assert 8 <= sum(rising) <= 22  # binomial, 2.5 standard deviations
    upright = seen[rising.index(True)].image
    assert [torch.equal(v.image, upright) for v in seen] == rising


@pytest.mark.parametrize("name", ["motion_blur", "defocus", "recolour"])
def test_each_chance_changes_the_photo_alone(name: str):
    chances: dict[str, Any] = {name: 1.0}
    for colours in ("photometric", "jitter"):
        moved = 0.0
        for k in range(3):  # sigma may be drawn near 0
            plain = view(scene(), 24, 32, Augmentation(), generator("chance", k))
            changed = view(scene(), 24, 32, Augmentation(colours=colours, **chances), generator("chance", k))
            moved = max(moved, float((changed.image - plain.image).abs().max()))
            assert torch.equal(changed.depth_m, plain.depth_m)
            assert 0 <= float(changed.image.min()) <= float(changed.image.max()) <= 1
        assert moved > 0.05


def test_random_windows_and_equal_draws():
    random = Augmentation(window="random", motion_blur=0.5, defocus=0.5, recolour=0.5)
    a, b, c = (view(scene(), 16, 24, random, generator("w", k)) for k in (0, 0, 1))
    assert torch.equal(a.image, b.image)
    assert not torch.equal(a.depth_m, c.depth_m)


def test_turned_views_have_every_side_up():
    sky = torch.full((1, 24, 32), 2.0)
    sky[:, :6] = torch.inf  # a quarter of the picture, above
    scene_with_sky = Sample(torch.rand(3, 24, 32), sky, torch.ones(1, 24, 32, dtype=torch.bool))

    def side(k: int, turn: float) -> str:
        seen = view(scene_with_sky, 16, 24, Augmentation(window="random", smallest=1.0, turn=turn), generator("t", k))
        far = seen.depth_m[0].isinf()
        rows, columns = far.any(1), far.any(0)
        if bool(rows.all()):
            return "left" if bool(columns[0]) else "right"
        return "above" if bool(rows[0]) else "below"

    sides = [side(k, 1.0) for k in range(60)]
    assert {side(k, 0.0) for k in range(20)} == {"above"}
    assert set(sides) == {"left", "right", "below"}
    assert 18 <= sides.count("below") <= 42  # half of 60, three standard deviations


def test_the_published_normals_chances():
    assert (
        replace(Augmentation(), flip=0.5, motion_blur=0.3, defocus=0.3, recolour=0.3, colours="jitter")
        == PUBLISHED_NORMALS
    )


@pytest.mark.parametrize(
    "wrong", [{"flip": 1.5}, {"recolour": -0.1}, {"smallest": 0.0}, {"stretch": 0.9}, {"defocus": 2.0}, {"turn": 0.5}]
)
def test_nonsense_is_refused(wrong: dict[str, Any]):
    with pytest.raises(ValueError, match=next(iter(wrong))):
        Augmentation(**wrong)
