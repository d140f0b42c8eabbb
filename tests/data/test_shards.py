"""Shards: what goes in comes out, nothing is scanned twice, and damage is named."""

import io
import json
import pickle
import tarfile
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from latentdepth.core.noise import generator
from latentdepth.core.types import Camera
from latentdepth.data.frames import Frames
from latentdepth.data.rasters import LOG_STEP, DepthCoding
from latentdepth.data.sample import Sample
from latentdepth.data.shard_index import index_shard
from latentdepth.data.shards import ShardFrames, ShardWriter, shard_path


def scene(k: int, h: int = 20, w: int = 24) -> Sample:
    """Depth from 0.06 m to 4 km with sky and a hole; smooth colours, which JPEG keeps."""
    draw = generator("shard scene", k)
    depth = torch.exp(torch.rand(1, h, w, generator=draw) * 11 - 2.8)
    valid = torch.ones(1, h, w, dtype=torch.bool)
    depth[0, :2], valid[0, 5:7, 3:9] = torch.inf, False
    normals = torch.nn.functional.normalize(torch.randn(3, h, w, generator=draw), dim=0)
    normals[:, 0, 0], normals[:, 0, 1] = 0, torch.tensor([0.0, 1.0, 0.0])
    image = torch.linspace(0, 1, w).expand(3, h, w) * torch.tensor([1.0, 0.5, 0.2])[:, None, None]
    return Sample(image.clone(), depth, valid, f"g{k // 2}", Camera(30.0, 31.0, 12.5, 9.0, w, h), normals)


def write(folder: Path, count: int = 5, per: int = 2, **options: str) -> Path:
    with ShardWriter(folder, samples_per_shard=per, **options) as writer:  # pyright: ignore[reportArgumentType]
        for k in range(count):
            writer.add(f"s-{k:03d}", scene(k), facts={"seed": k})
    return folder


def test_a_sample_comes_back_to_the_quantum(tmp_path: Path):
    frames = ShardFrames(write(tmp_path, photo="png"))
    assert isinstance(frames, Frames)
    assert (len(frames), frames.key(3), frames.facts(3)["seed"], frames.group(3)) == (5, "s-003", 3, "g1")
    for k in (0, 3, 4):
        read, made = frames[k], scene(k)
        assert (read.group, read.camera) == (made.group, made.camera)
        assert torch.equal(read.valid, made.valid)
        finite = made.valid & made.depth_m.isfinite()
        assert torch.equal(read.depth_m.isinf() & read.valid, made.depth_m.isinf() & made.valid)
        # rounding in the log code errs by half a step; 1e-6 for float32
        ratio = (read.depth_m[finite] / made.depth_m[finite]).log().abs()
        assert float(ratio.max()) < LOG_STEP / 2 + 1e-6
        assert float((read.image - made.image).abs().max()) <= 0.5 / 255 + 1e-6
        assert made.normals is not None
        assert read.normals is not None
        assert torch.equal(read.normals[:, 0, :2], made.normals[:, 0, :2])  # unknown and an axis are exact
        # three components off by 1/254 each at most, before renormalising
        assert float((read.normals - made.normals).norm(dim=0).max()) < 3**0.5 / 254 + 1e-4


def test_jpeg_photos_are_close(tmp_path: Path):
    read = ShardFrames(write(tmp_path, 1))[0]
    # a smooth ramp at quality 95: two counts of rounding in the transform and in the colour conversion each
    assert float((read.image - scene(0).image).abs().max()) < 4 / 255


def test_shards_are_numbered_full_and_of_equal_bytes(tmp_path: Path):
    for folder in "ab":
        write(tmp_path / folder)
    names = sorted(p.name for p in (tmp_path / "a").iterdir())
    assert names == [f"shard-{k:06d}.tar" for k in range(3)]
    for name in names:
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()
    assert [len(index_shard(tmp_path / "a" / n)) for n in names] == [2, 2, 1]


def test_an_interrupted_shard_leaves_nothing_and_a_finished_one_stays(tmp_path: Path):
    def interrupted() -> None:
        with ShardWriter(tmp_path, samples_per_shard=2) as writer:
            for k in range(3):
                writer.add(f"s{k}", scene(k))
            assert (tmp_path / "shard-000001.tar.part").exists()
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert [p.name for p in tmp_path.iterdir()] == ["shard-000000.tar"]
    before = shard_path(tmp_path, 0).read_bytes()
    with pytest.raises(FileExistsError, match=r"000000\.tar: is finished"), ShardWriter(tmp_path) as writer:
        writer.add("x", scene(0))
    with ShardWriter(tmp_path, first=1) as writer:
        writer.add("x", scene(5))
    assert shard_path(tmp_path, 0).read_bytes() == before
    assert len(ShardFrames(tmp_path)) == 3


def test_damaged_members_are_named(tmp_path: Path):
    path = shard_path(write(tmp_path, 2), 0)
    frames = ShardFrames(path)
    offset, size = index_shard(path)["s-001"]["depth.png"]
    with path.open("rb+") as file:
        file.seek(offset + 60)  # behind the header
        file.write(bytes(size - 60))
    with pytest.raises(ValueError, match=r"shard-000000\.tar: s-001\.depth\.png: truncated or damaged"):
        frames[1]
    frames[0]
    with path.open("rb+") as file:
        file.truncate(offset + 10)
    with pytest.raises(ValueError, match=r"s-001\.json: 0 of \d+ bytes; the shard was cut or replaced"):
        frames[1]


def tar_of(path: Path, members: dict[str, bytes]) -> Path:
    with tarfile.open(path, "w") as tar:
        for name, content in members.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            tar.addfile(entry, io.BytesIO(content))
    return path


def encoded(array: np.ndarray, form: str) -> bytes:
    buffer = io.BytesIO()
    if form == "npy":
        np.save(buffer, array)
    else:
        Image.fromarray(array).save(buffer, form)
    return buffer.getvalue()


def test_shards_of_other_makers(tmp_path: Path):
    photo, counts = encoded(np.full((4, 6, 3), 51, np.uint8), "PNG"), np.full((4, 6), 1500, np.uint16)
    counts[0, 0] = 0
    metres = np.full((4, 6), 2.5, np.float16)
    metres[0, :2] = np.nan, np.inf
    mask = np.full((4, 6), 255, np.uint8)
    mask[3] = 0
    tar_of(
        tmp_path / "x.tar",
        {
            "room/a.png": photo,
            "room/a.depth.png": encoded(counts, "PNG"),
            "room/a.mask.png": encoded(mask, "PNG"),
            "b.png": photo,
            "b.depth.npy": encoded(metres, "npy"),
            "b.json": json.dumps({"depth": {"unit": 1.0}, "group": 7}).encode(),
        },
    )
    frames = ShardFrames(str(tmp_path / "*.tar"), coding=DepthCoding(unit=0.001), name="other")
    a, b = frames[0], frames[1]
    assert (frames.name, a.group, b.group) == ("other", "room", "7")
    assert torch.equal(a.depth_m[a.valid], torch.full((17,), 1.5))
    assert not a.valid[0, 0, 0]
    assert not a.valid[0, 3].any()
    assert b.valid[0, 0, :3].tolist() == [False, True, True]
    assert b.depth_m[0, 0, 1:3].tolist() == [torch.inf, 2.5]


def test_bad_shards_are_refused(tmp_path: Path):
    with pytest.raises(ValueError, match="no shards"):
        ShardFrames(tmp_path)
    tar_of(tmp_path / "a.tar", {"k.jpg": b"x"})
    with pytest.raises(ValueError, match=r"a\.tar: sample k has no depth; it has jpg, needed is one of depth\.png"):
        ShardFrames(tmp_path)
    tar_of(tmp_path / "a.tar", {})
    with pytest.raises(ValueError, match="1 shards without a sample"):
        ShardFrames(tmp_path)
    tar_of(tmp_path / "a.tar", {"k.jpg": b"x", "k.depth.png": b"y", "k.json": b"{"})
    with pytest.raises(ValueError, match=r"a\.tar: k\.json: not JSON"):
        ShardFrames(tmp_path)[0]
    (tmp_path / "a.tar").write_bytes(b"not a tar" * 100)
    with pytest.raises(ValueError, match=r"a\.tar: no whole tar"):
        ShardFrames(tmp_path)


def test_bad_samples_are_refused_before_they_are_written(tmp_path: Path):
    good = scene(0)
    with ShardWriter(tmp_path) as writer:
        with pytest.raises(ValueError, match="without dots"):
            writer.add("a.b", good)
        with pytest.raises(ValueError, match="bad: depth is NaN or not above 0"):
            writer.add("bad", Sample(good.image, good.depth_m * 0, good.valid))
        with pytest.raises(ValueError, match="wide: depth from 1e-06 to"):
            writer.add(
                "wide",
                Sample(good.image, torch.where(good.depth_m == good.depth_m[0, 3, 0], 1e-6, good.depth_m), good.valid),
            )
        writer.add("good", good)
    assert len(ShardFrames(tmp_path)) == 1
    with pytest.raises(ValueError, match="samples_per_shard is 0"):
        ShardWriter(tmp_path, samples_per_shard=0)


def test_frames_travel_to_other_processes(tmp_path: Path):
    frames = pickle.loads(pickle.dumps(ShardFrames(write(tmp_path))))
    assert torch.equal(frames[2].valid, scene(2).valid)
