"""A real scene from two numbers: the same for ever, and its picture and its truth belong together."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from latentdepth.core.geometry import normals_from_depth
from latentdepth.synth.make import Made, Settings, make_scene, read_tiles, scene_name

SETTINGS = Settings(seed=3, width_px=48, height_px=36, views=2, samples=2, kinds=("corridor",))
make = partial(make_scene, threads=1, variant="scalar_rgb")


@pytest.fixture(scope="module")
def made() -> Made:
    return make(SETTINGS, 4)


def test_samples_are_whole(made: Made):
    assert made.kind == "corridor"
    assert len(made.frames) == 2
    for index, frame in enumerate(made.frames):
        sample = frame.sample
        assert sample.image.shape == (3, 36, 48)
        assert 0.02 < float(sample.image.mean()) < 0.98
        assert float(sample.image.std()) > 0.01
        assert sample.depth_m.shape == sample.valid.shape == (1, 36, 48)
        assert float(sample.valid.float().mean()) > 0.95
        assert sample.group == scene_name(SETTINGS, 4) == "synth-3-000004"
        assert sample.camera is not None
        assert 35 <= sample.camera.fov_deg <= 100
        facts = json.loads(json.dumps(frame.facts))
        assert (facts["seed"], facts["scene"], facts["view"]) == (3, 4, index)


def test_the_normals_are_those_of_the_depth(made: Made):
    for frame in made.frames:
        sample = frame.sample
        assert sample.normals is not None
        assert sample.camera is not None
        derived = normals_from_depth(sample.depth_m[None], sample.camera)[0]
        cosine = (derived * sample.normals).sum(0)[1:-1, 1:-1]
        # edges and small things aside, which at this size are many
        assert float((cosine > 0.99).float().mean()) > 0.3
        assert float(cosine.median()) > 0.9
        length = sample.normals.norm(dim=0)
        torch.testing.assert_close(length, sample.depth_m[0].isfinite().float(), atol=1e-5, rtol=0)
        assert (sample.normals[2][sample.depth_m[0].isfinite()] > -1).all()


def test_the_same_numbers_make_the_same_frames(made: Made):
    again = make(SETTINGS, 4)
    for one, two in zip(made.frames, again.frames, strict=True):
        assert torch.equal(one.sample.depth_m, two.sample.depth_m)
        assert torch.equal(one.sample.image, two.sample.image)
        assert one.facts == two.facts
    other = make(SETTINGS, 5)
    assert not torch.equal(made.frames[0].sample.depth_m, other.frames[0].sample.depth_m)


def test_textures_are_read_from_a_folder(tmp_path: Path):
    red = np.zeros((600, 300, 3), np.uint8)
    red[..., 0] = 200
    (tmp_path / "walls").mkdir()
    Image.fromarray(red).save(tmp_path / "walls/red.png")
    Image.fromarray(red[:64, :64]).save(tmp_path / "small.jpg")
    small, large = read_tiles(str(tmp_path))
    assert small.shape == (64, 64, 3)
    assert large.shape == (256, 128, 3)
    assert (large == [200, 0, 0]).all()
    (tmp_path / "zz.png").write_bytes(b"no picture")
    read_tiles.cache_clear()
    with pytest.raises(ValueError, match=r"zz\.png: can't be read as a picture"):
        read_tiles(str(tmp_path))
    with pytest.raises(ValueError, match="there are no pictures in it"):
        read_tiles(str(tmp_path / "nowhere"))


def test_more_samples_leave_the_truth_alone(made: Made):
    """Geometry, cameras and sensors draw from streams of their own."""
    finer = make(Settings(3, 48, 36, 2, 3, True, ("corridor",)), 4)
    for one, two in zip(made.frames, finer.frames, strict=True):
        assert torch.equal(one.sample.depth_m, two.sample.depth_m)
        assert one.facts["sensor"] == two.facts["sensor"]
