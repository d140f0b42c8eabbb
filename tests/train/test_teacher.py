"""The teacher: it learns from frames, labels photos, and its labels are read back as training pairs."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from latentdepth.data.training import log_coded_pairs, manifest_pairs
from latentdepth.models.feedforward import DepthPyramid
from latentdepth.train import teacher


def test_taught_on_frames_it_labels_photos(frames: Path, tmp_path: Path):
    teach = teacher.Teach("train", frames=frames, out=tmp_path / "run", labels=tmp_path / "labels", steps=2, batch=2)
    teacher.train_teacher(teach)
    photos = tmp_path / "photos"
    photos.mkdir()
    for path in frames.glob("*.jpg"):
        shutil.copy(path, photos)
    teacher.label_photos(replace(teach, stage="label", photos=photos))
    pairs = manifest_pairs(tmp_path / "labels", min_agreement=-1.0)
    assert len(pairs) == 3
    sample = pairs[0].read()
    assert sample.image.shape == (3, 96, 128)
    assert bool(sample.valid.all())
    rows = [json.loads(line) for line in (tmp_path / "labels" / "manifest.jsonl").read_text().splitlines()]
    assert all(-1 <= row["agreement"] <= 1 for row in rows)
    assert len(manifest_pairs(tmp_path / "labels", min_agreement=1.01)) == 0


def test_sky_has_no_disparity(frames: Path):
    path = frames / "000000_0.png"
    with Image.open(path) as png:
        counts = np.array(png)
    counts[:40] = 0
    Image.fromarray(counts).save(path)
    batch = teacher.pixel_batches(log_coded_pairs(frames)[:1], 1, seed=0)(0)
    assert float(batch.truth.min()) == 0.0
    assert bool(torch.isfinite(batch.truth).all())
    assert bool(batch.valid.all())


def test_a_label_mirrors_with_its_photo():
    torch.manual_seed(0)
    network = DepthPyramid().eval()
    with torch.no_grad():  # random features of an untrained network can all die in the last ReLU
        for parameter in network.head.parameters():
            parameter.abs_()
    image = torch.rand(3, 64, 96)
    straight, agreement = teacher.label(network, image, long_side=128)
    mirrored, same = teacher.label(network, image.flip(-1), long_side=128)
    # bfloat16 activations: 8 bits of mantissa
    torch.testing.assert_close(mirrored.flip(-1), straight, atol=0.03, rtol=0)
    assert agreement == pytest.approx(same, abs=0.03)
    assert float(straight.min()) == 0.0
    assert float(straight.max()) == 1.0


def test_stages_say_what_they_miss(tmp_path: Path):
    with pytest.raises(SystemExit, match="--frames"):
        teacher.train_teacher(teacher.Teach("train", out=tmp_path))
    with pytest.raises(SystemExit, match="--photos"):
        teacher.label_photos(teacher.Teach("label", out=tmp_path))
