"""The index of a tar: made once, remade when the tar changes, and no cut goes unnoticed."""

import tarfile
from pathlib import Path

import pytest
import torch

from latentdepth.core.noise import generator
from latentdepth.data.sample import Sample
from latentdepth.data.shard_index import index_shard
from latentdepth.data.shards import ShardFrames, ShardWriter, shard_path


def scene(k: int) -> Sample:
    draw = generator("indexed", k)
    everywhere = torch.ones(1, 16, 24, dtype=torch.bool)
    return Sample(torch.rand(3, 16, 24, generator=draw), 1 + torch.rand(1, 16, 24, generator=draw), everywhere)


def write(folder: Path, count: int = 2) -> Path:
    with ShardWriter(folder) as writer:
        for k in range(count):
            writer.add(f"s-{k:03d}", scene(k))
    return folder


def test_the_index_is_made_once_and_again_when_the_shard_changes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    path = shard_path(write(tmp_path), 0)
    first = index_shard(path)
    kept = path.with_name(path.name + ".index.json")
    assert kept.exists()
    real_open = tarfile.open

    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("the tar was scanned again")

    monkeypatch.setattr(tarfile, "open", refuse)
    assert index_shard(path) == first
    monkeypatch.setattr(tarfile, "open", real_open)
    kept.write_text("{broken")
    assert index_shard(path) == first
    path.unlink()
    with ShardWriter(tmp_path) as writer:
        writer.add("other", scene(1))
    assert list(index_shard(path)) == ["other"]


def test_the_index_goes_to_the_cache_when_the_folder_is_closed(tmp_path: Path):
    path = shard_path(write(tmp_path / "data"), 0)
    # a folder of the index's name can't be replaced by a file, whoever runs the test
    path.with_name(path.name + ".index.json").mkdir()
    first = index_shard(path, cache=tmp_path / "cache")
    assert len(list((tmp_path / "cache").glob("*.json"))) == 1
    assert not list((tmp_path / "data").glob("*.part"))
    assert index_shard(path, cache=tmp_path / "cache") == first


def test_offsets_point_at_the_members(tmp_path: Path):
    path = shard_path(write(tmp_path), 0)
    content = path.read_bytes()
    with tarfile.open(path) as tar:
        for key, members in index_shard(path).items():
            for suffix, (offset, size) in members.items():
                extracted = tar.extractfile(f"{key}.{suffix}")
                assert extracted is not None
                assert content[offset : offset + size] == extracted.read()


@pytest.mark.parametrize("share", [0.3, 0.7, 0.99])
def test_a_truncated_shard_is_named(tmp_path: Path, share: float):
    path = shard_path(write(tmp_path), 0)
    last = max(o + n for m in index_shard(path).values() for o, n in m.values())
    with path.open("rb+") as file:
        file.truncate(int(last * share))
    with pytest.raises(ValueError, match=r"shard-000000\.tar: .*damaged after s-00"):
        ShardFrames(tmp_path)


def test_a_cut_at_every_block_is_noticed(tmp_path: Path):
    path = shard_path(write(tmp_path, 1), 0)
    whole, last = path.read_bytes(), max(o + n for o, n in index_shard(path)["s-000"].values())
    for blocks in range(1, -(-last // 512)):
        path.write_bytes(whole[: blocks * 512])
        with pytest.raises(ValueError, match=r"shard-000000\.tar"):
            index_shard(path)
