"""Sky: found over a landscape, not on a ceiling, in the place where it is; and parts that hang together."""

import numpy as np
import pytest
import torch
from scipy import ndimage

from latentdepth.core.sky import GRID, WEIGHTS, connected, cues, sky_mask

H, W = 96, 128
HORIZON = 40


def landscape(top: tuple[float, float, float], ground: float) -> tuple[torch.Tensor, torch.Tensor]:
    """A plain upper part at disparity 0 over dark speckled ground that comes nearer."""
    draw = torch.Generator().manual_seed(0)
    image = torch.rand(3, H, W, generator=draw) * 0.3 * ground
    image[:, :HORIZON] = torch.tensor(top)[:, None, None]
    near = torch.zeros(1, H, W)
    near[0, HORIZON:] = torch.linspace(0.2, 1, H - HORIZON)[:, None]
    return image, near


def test_a_bright_sky_is_found_where_it_is():
    image, near = landscape((0.75, 0.85, 0.95), 1.0)
    found = sky_mask(image, near)
    assert found.dtype == torch.bool
    assert bool(found[0, :HORIZON].all())
    assert not bool(found[0, HORIZON:].any())
    # what the map is in does not matter, as long as near is more
    assert torch.equal(sky_mask(image, 7 * near + 3), found)


def test_a_dark_ceiling_and_no_relief_are_no_sky():
    image, near = landscape((0.25, 0.2, 0.15), 1.0)
    assert not bool(sky_mask(image, near).any())
    sky, _ = landscape((0.75, 0.85, 0.95), 1.0)
    assert not bool(sky_mask(sky, torch.full((1, H, W), 0.3)).any())


def test_blue_that_does_not_reach_the_top_is_no_sky():
    image, near = landscape((0.75, 0.85, 0.95), 1.0)
    assert not bool(sky_mask(image.flip(1), near.flip(1)).any())


def test_sizes_are_any():
    image, near = landscape((0.75, 0.85, 0.95), 1.0)
    large = torch.nn.functional.interpolate(image[None], (300, 210), mode="bilinear")[0]
    found = sky_mask(large, torch.nn.functional.interpolate(near[None], (300, 210), mode="bilinear")[0])
    assert found.shape == (1, 300, 210)
    # within a cell and a half of the horizon: the mask is cut where the map steps
    assert float(found.float().mean()) == pytest.approx(HORIZON / H, abs=1.5 / H)


def test_every_weight_has_its_cue():
    image, near = landscape((0.5, 0.5, 0.5), 1.0)
    found = cues(image, near)
    assert found.keys() == WEIGHTS.keys()
    assert {cue.shape for cue in found.values()} == {torch.Size(GRID)}


def test_parts_are_those_of_scipy():
    mask = np.random.default_rng(0).random((30, 40)) < 0.55
    ours = connected(torch.from_numpy(mask)).numpy()
    theirs, count = ndimage.label(mask)  # pyright: ignore[reportGeneralTypeIssues]
    pairs = {(a, b) for a, b in zip(ours[mask].tolist(), theirs[mask].tolist(), strict=True)}
    assert len(pairs) == count  # one number of ours for each of theirs, and back
    assert len({a for a, _ in pairs}) == len({b for _, b in pairs}) == count
    assert not ours[~mask].any()


def test_nan_is_refused():
    image, near = landscape((0.5, 0.5, 0.5), 1.0)
    near[0, 0, 0] = torch.nan
    with pytest.raises(ValueError, match="nearness holds NaN"):
        sky_mask(image, near)
