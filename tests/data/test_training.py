"""Readers of pairs: coded depth, masks, and licence flags."""

import json
import math
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from latentdepth.data.frames import Frames
from latentdepth.data.training import PairFrames, PhotoFrames, log_coded_pairs, manifest_pairs, photo_paths


def write_pair(folder: Path, name: str, counts: np.ndarray) -> None:
    Image.fromarray(np.full((*counts.shape, 3), 128, np.uint8)).save(folder / f"{name}.jpg")
    Image.fromarray(counts.astype(np.uint16)).save(folder / f"{name}.png")


def test_log_coded_depth_and_sky(tmp_path: Path):
    counts = np.array([[0, 1, 65535, 30000]])
    write_pair(tmp_path, "000007_1", counts)
    (pair,) = log_coded_pairs(tmp_path)
    sample = pair.read()
    assert sample.group == "000007"
    depth = sample.depth_m[0, 0].tolist()
    assert math.isinf(depth[0])
    assert depth[1] == pytest.approx(0.05)
    assert depth[2] == pytest.approx(400.0, rel=1e-5)  # 0.05 m * 8000
    assert depth[3] == pytest.approx(0.05 * math.exp(29999 / 65534 * math.log(8000)), rel=1e-5)
    assert bool(sample.valid.all())  # sky is an answer too: infinitely far


def manifest(tmp_path: Path) -> Path:
    write_pair(tmp_path, "a", np.array([[0, 1500], [2000, 3000]]))
    rows = [
        {
            "source": "one",
            "rgb": "a.jpg",
            "depth": "a.png",
            "kind": "depth",
            "value_per_count": 0.001,
            "group": 3,
            "may_train_shipped": True,
        },
        {
            "source": "two",
            "rgb": "a.jpg",
            "depth": "a.png",
            "kind": "disparity_affine",
            "value_per_count": 0.01,
            "group": "g",
            "may_train_shipped": False,
        },
    ]
    (tmp_path / "manifest.jsonl").write_text("\n".join(json.dumps(r) for r in rows))
    return tmp_path


def test_manifest_metres_and_invalid(tmp_path: Path):
    sample = manifest_pairs(manifest(tmp_path), sources=["one"])[0].read()
    assert sample.valid[0].tolist() == [[False, True], [True, True]]
    torch.testing.assert_close(sample.depth_m[0][sample.valid[0]], torch.tensor([1.5, 2.0, 3.0]))


def test_manifest_disparity_is_inverted(tmp_path: Path):
    sample = manifest_pairs(manifest(tmp_path), sources=["two"])[0].read()
    torch.testing.assert_close(sample.depth_m[0][sample.valid[0]], 1 / torch.tensor([15.0, 20.0, 30.0]))


def test_rows_that_shipped_weights_may_not_see_are_left_out(tmp_path: Path):
    assert [p.source for p in manifest_pairs(manifest(tmp_path), shipped_only=True)] == ["one"]


def test_what_is_wrong_with_a_pair_or_a_list_is_named(tmp_path: Path):
    Image.fromarray(np.zeros((4, 5, 3), np.uint8)).save(tmp_path / "x.jpg")
    Image.fromarray(np.zeros((4, 4), np.uint16)).save(tmp_path / "x.png")
    with pytest.raises(ValueError, match=r"x\.png: 4 x 4 pixels, but the photo x\.jpg has 5 x 4"):
        log_coded_pairs(tmp_path)[0].read()
    (tmp_path / "x.png").unlink()
    with pytest.raises(ValueError, match=r"of 2 files that it names, 1 are not in .*x\.png"):
        PairFrames(log_coded_pairs(tmp_path), folder=tmp_path, name="frames")
    with pytest.raises(ValueError, match=r"data frames: .* holds no pairs"):
        PairFrames([], folder=tmp_path, name="frames")
    with pytest.raises(ValueError, match=r"manifest\.jsonl: there is no such file; give the folder that holds it"):
        manifest_pairs(tmp_path)
    (tmp_path / "manifest.jsonl").write_text('{"source": "one"}')
    with pytest.raises(ValueError, match=r"line 1 is no row of a manifest \(KeyError\('kind'\)"):
        manifest_pairs(tmp_path)


def test_a_source_that_the_list_does_not_have(tmp_path: Path):
    with pytest.raises(ValueError, match="no rows of three; its sources are one, two"):
        manifest_pairs(manifest(tmp_path), sources=["one", "three"])


def test_pairs_and_photos_are_data_sets(tmp_path: Path):
    folder = manifest(tmp_path)
    pairs = PairFrames(manifest_pairs(folder), folder=folder, name="pairs")
    photos = PhotoFrames(folder, name="photos")
    for frames in (pairs, photos):
        assert isinstance(frames, Frames)
        assert len(frames) == 2  # the depth is a picture too, where photos are looked for
    assert pairs[1].group == "g"
    assert not bool(photos[0].valid.any())
    torch.testing.assert_close(photos[0].image, pairs[0].image)
    (folder / "a.jpg").write_bytes(b"no picture")
    with pytest.raises(ValueError, match=r"a\.jpg: not a picture"):
        photos[0]
    with pytest.raises(ValueError, match=r"data none: .*empty holds no photos \(\.jpg, "):
        PhotoFrames(tmp_path / "empty", name="none")


def test_photos_are_found_below_and_sorted(tmp_path: Path):
    (tmp_path / "b").mkdir()
    for name in ("b/z.JPG", "a.webp", "notes.txt"):
        (tmp_path / name).touch()
    assert [p.name for p in photo_paths(tmp_path)] == ["a.webp", "z.JPG"]
