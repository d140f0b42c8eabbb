"""Random views: photo and depth stay together, and draws repeat."""

import torch

from latentdepth.core.noise import generator
from latentdepth.data.augment import crop_and_flip, photometric
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
