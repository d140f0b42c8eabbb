"""Photos labelled by a teacher: what the labels are, and that they are read back as training pairs."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from latentdepth.data.training import manifest_pairs
from latentdepth.models.feedforward import DepthPyramid
from latentdepth.train.labelling import Labelling, label, label_photos, main
from latentdepth.train.tiny_networks import channels_last


@pytest.fixture
def network() -> DepthPyramid:
    torch.manual_seed(0)
    network = DepthPyramid().eval()
    with torch.no_grad():  # random features of an untrained network can all die in the last ReLU
        for parameter in network.head.parameters():
            parameter.abs_()
    return network


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    draw = np.random.default_rng(0)
    for name in ("a.jpg", "a.png", "below/b.jpg"):
        path = tmp_path / "photos" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(draw.integers(0, 255, (40, 60, 3), dtype=np.uint8)).save(path)
    return tmp_path / "photos"


def test_labels_are_read_back_as_pairs(network: DepthPyramid, photos: Path, tmp_path: Path):
    network.save(tmp_path / "teacher")
    assert label_photos(Labelling(tmp_path / "teacher", photos, tmp_path / "labels")) == 3
    pairs = manifest_pairs(tmp_path / "labels", min_agreement=-1.0)
    assert len(pairs) == 3
    sample = pairs[0].read()
    assert sample.image.shape == (3, 40, 60)
    assert bool(sample.valid.all())
    wanted, agreement = label(channels_last(network), sample.image)
    # half a count of 65535, where the least disparity is one count
    torch.testing.assert_close(1 / sample.depth_m[0], wanted * 65534 / 65535 + 1 / 65535, atol=1e-5, rtol=1e-4)
    rows = [json.loads(line) for line in (tmp_path / "labels/manifest.jsonl").read_text().splitlines()]
    assert rows[0]["agreement"] == pytest.approx(agreement, abs=1e-4)
    assert [row["depth"] for row in rows] == ["a.jpg.png", "a.png.png", "below/b.jpg.png"]
    assert len(manifest_pairs(tmp_path / "labels", min_agreement=1.01)) == 0


def test_a_label_mirrors_with_its_photo(network: DepthPyramid):
    image = torch.rand(3, 64, 96, generator=torch.Generator().manual_seed(0))
    straight, agreement = label(network, image, long_side_px=128)
    mirrored, same = label(network, image.flip(-1), long_side_px=128)
    # bfloat16 activations: 8 bits of mantissa
    torch.testing.assert_close(mirrored.flip(-1), straight, atol=0.03, rtol=0)
    assert agreement == pytest.approx(same, abs=0.03)
    assert float(straight.min()) == 0.0
    assert float(straight.max()) == 1.0


def test_the_command_says_what_is_missing(photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    words = ["--teacher", str(tmp_path), "--photos", str(photos), "--out", str(tmp_path / "labels")]
    monkeypatch.setattr(sys, "argv", ["labelling", *words])
    with pytest.raises(SystemExit, match=r"labelling: .*model\.safetensors is missing"):
        main()
    (tmp_path / "empty").mkdir()
    with pytest.raises(ValueError, match="holds no photos"):
        label_photos(Labelling(tmp_path, tmp_path / "empty", tmp_path / "labels"))
    assert not (tmp_path / "labels").exists()
