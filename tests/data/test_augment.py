"""Random views: photo, depth, normals and camera stay together, and draws repeat."""

import pytest
import torch

from latentdepth.core.geometry import rays, unproject
from latentdepth.core.noise import generator
from latentdepth.core.types import Camera
from latentdepth.data.augment import colour_jitter, crop_and_flip, cut, mirrored, photometric, resized, turned
from latentdepth.data.sample import Sample


def scene() -> Sample:
    """A photo whose red is the depth, so that any misalignment shows."""
    depth = torch.linspace(0.1, 0.9, 60)[None, None, :].expand(1, 48, 60) * torch.linspace(0.5, 1, 48)[None, :, None]
    return Sample(depth.expand(3, -1, -1).clone(), depth.clone(), torch.ones(1, 48, 60, dtype=torch.bool), "s")


def test_photo_and_depth_are_cut_alike():
    for k in range(8):
        view = crop_and_flip(scene(), 24, 32, generator("crop", k))
        assert view.image.shape == (3, 24, 32)
        # bilinear against nearest: half a source pixel of a ramp that rises 0.014 per pixel
        assert float((view.image[:1] - view.depth_m).abs().max()) < 0.03


def test_flips_happen_and_draws_repeat():
    rising = [
        bool(v.depth_m[0, 5, -1] > v.depth_m[0, 5, 0])
        for v in (crop_and_flip(scene(), 24, 32, generator(k)) for k in range(20))
    ]
    assert 3 < sum(rising) < 17
    a, b = (crop_and_flip(scene(), 24, 32, generator("same")) for _ in range(2))
    assert torch.equal(a.image, b.image)


def test_invalid_pixels_stay_invalid():
    s = scene()
    valid = s.valid.clone()
    valid[:, :, :30] = False
    view = crop_and_flip(Sample(s.image, s.depth_m, valid), 24, 32, generator(0), smallest=0.99)
    assert 0.3 < float(view.valid.float().mean()) < 0.7


def test_colours_stay_in_range_and_vary():
    image = torch.rand(3, 24, 32, generator=generator("photo"))
    views = [photometric(image, generator("colour", k)) for k in range(6)]
    for view in views:
        assert view.shape == image.shape
        assert float(view.min()) >= 0
        assert float(view.max()) <= 1
    assert len({round(float(v.mean()), 4) for v in views}) == 6


NORMAL_CV = torch.nn.functional.normalize(torch.tensor([0.3, -0.5, -0.8]), dim=0)
"""Of the plane below, in camera axes; NORMAL has y up and z towards the viewer instead."""
NORMAL = NORMAL_CV * torch.tensor([1.0, -1.0, -1.0])
OFFSET_M = -3.0


def plane(h: int = 48, w: int = 60) -> Sample:
    """A slanted plane n . X = d, seen by a camera whose centre and focal lengths are askew."""
    camera = Camera(70.0, 64.0, 27.3, 21.8, w, h)
    depth = OFFSET_M / (rays(camera)[0] * NORMAL_CV[:, None, None]).sum(0, keepdim=True)
    assert float(depth.min()) > 0
    everywhere = torch.ones(1, h, w, dtype=torch.bool)
    normals = NORMAL[:, None, None].expand(3, h, w).clone()
    return Sample(torch.zeros(3, h, w), depth, everywhere, "plane", camera, normals)


def distance_from_plane(view: Sample) -> float:
    """Largest |n . X - d| of the view's points, with the view's own normals and camera."""
    assert view.camera is not None
    assert view.normals is not None
    points = unproject(view.depth_m[None], view.camera)[0]
    normals_cv = view.normals * torch.tensor([1.0, -1.0, -1.0])[:, None, None]
    return float(((points * normals_cv).sum(0) - OFFSET_M).abs().max())


def test_a_plane_stays_the_same_plane_through_cut_and_mirror():
    # float32 of metres
    for view in (plane(), mirrored(plane()), cut(plane(), 7, 5, 30, 20), mirrored(cut(plane(), 7, 5, 30, 20))):
        assert distance_from_plane(view) < 1e-5
    flipped = mirrored(plane()).normals
    assert flipped is not None
    torch.testing.assert_close(flipped[:, 3, 4], NORMAL * torch.tensor([-1.0, 1.0, 1.0]))


def test_a_plane_stays_the_same_plane_through_every_turn():
    for quarters in range(-1, 5):
        view = turned(plane(), quarters)
        assert view.image.shape[-2:] == ((48, 60) if quarters % 2 == 0 else (60, 48))
        # float32 of metres; the plane's distance doesn't change as the camera rolls, its normal does
        assert distance_from_plane(view) < 1e-5
    once = turned(plane(), 1)
    assert once.normals is not None
    x, y, z = NORMAL.tolist()
    torch.testing.assert_close(once.normals[:, 3, 4], torch.tensor([-y, x, z]))
    assert torch.equal(once.depth_m[0, -1], plane().depth_m[0, :, 0])  # counter-clockwise: left has become below


def test_whole_pixel_stretches_keep_the_plane_to_half_a_source_pixel():
    view = resized(plane(), 96, 180)
    # nearest depth is that of a pixel up to half a pixel away: 0.5 / 64 of a ray times a depth of at most 10 m
    assert distance_from_plane(view) < 10 * 0.5 / 64 * 2**0.5
    # the middle of every group of 2 x 3 new pixels sees exactly what one old pixel saw
    assert view.camera is not None
    middles = view.depth_m[:, :, 1::3]
    assert torch.equal(middles[:, ::2], plane().depth_m)
    old_rays, new_rays = rays(plane().camera)[0], rays(view.camera)[0]  # pyright: ignore[reportArgumentType]
    torch.testing.assert_close(new_rays[0, 0, 1::3], old_rays[0, 0], atol=1e-6, rtol=1e-5)


def test_random_windows_keep_the_plane():
    for k in range(12):
        view = crop_and_flip(plane(), 24, 32, generator("plane", k))
        assert view.group == "plane"
        # at most half a source pixel of shift, as above
        assert distance_from_plane(view) < 10 * 0.5 / 64 * 2**0.5


def test_chances_of_flipping():
    for chance, expected in ((0.0, False), (1.0, True)):
        view = crop_and_flip(plane(), 24, 32, generator(3), flip=chance)
        assert view.normals is not None
        assert bool(view.normals[0, 0, 0] < 0) == expected


def test_windows_outside_are_refused():
    with pytest.raises(ValueError, match=r"40 x 20 at \(30, 0\) is not inside 60 x 48"):
        cut(plane(), 30, 0, 40, 20)


def test_jitter_turns_hue_and_keeps_grey():
    draws = [generator("jitter", k) for k in range(8)]
    grey = torch.full((3, 4, 4), 0.5)
    for draw in draws:
        turned = colour_jitter(grey, draw)
        # a rotation about the grey axis moves no grey
        torch.testing.assert_close(turned[0], turned[1], atol=1e-5, rtol=0)
    red = torch.tensor([0.6, 0.3, 0.3])[:, None, None].expand(3, 4, 4)
    seen = [colour_jitter(red, generator("hue", k))[:, 0, 0] for k in range(8)]
    assert len({round(float(c[1] - c[2]), 3) for c in seen}) == 8
