"""Rows that aren't there, counts that differ from the published ones, lists of the user's, and the splits shipped."""

import re
from pathlib import Path

import pytest
import torch

from latentdepth.data.benchmarks.benchmark import Benchmark, Facts
from latentdepth.data.benchmarks.container import Container, Missing
from latentdepth.data.benchmarks.listed import Row, listed, read_split, rows_of_list
from latentdepth.data.sample import Sample

FACTS = Facts("toy", "Toy set", "depth", 3, 0.1, 10.0, None, "NAME.jpg", "https://example.org")


def decode(container: Container, row: Row) -> Sample:
    depth_m = torch.full((1, 2, 2), float(container.read(row.depth)))
    return Sample(torch.zeros(3, 2, 2), depth_m, depth_m > 0, row.group)


def rows(folder: Path, *names: str) -> list[Row]:
    for k, name in enumerate(names):
        (folder / f"{name}.jpg").write_bytes(b"photo")
        (folder / f"{name}.txt").write_text(str(k + 1))
    return [Row(name, f"{name}.jpg", f"{name}.txt", group="g") for name in names]


def test_a_whole_split_has_no_notice(tmp_path: Path):
    bench = listed(FACTS, tmp_path, Container(tmp_path), rows(tmp_path, "a", "b", "c"), decode)
    assert isinstance(bench, Benchmark)
    assert bench.notice is None
    assert [bench.frame(k) for k in range(len(bench))] == ["a", "b", "c"]
    assert bench[1].depth_m.unique().tolist() == [2.0]


def test_absent_files_are_counted_and_named(tmp_path: Path):
    wanted = rows(tmp_path, "a", "b")
    (tmp_path / "b.txt").unlink()
    bench = listed(FACTS, tmp_path, Container(tmp_path), wanted, decode, absent=["c*.jpg"])
    assert len(bench) == 1
    assert bench.notice == (
        "Toy set: 2 of 3 frames lack files, the first c*.jpg; frames here: 1, in the published split: 3; figures are "
        "not comparable with published ones"
    )


def test_nothing_there_is_missing_with_the_first_path(tmp_path: Path):
    with pytest.raises(Missing, match=r"none of its frames is in .*; looked for a\.jpg first"):
        listed(FACTS, tmp_path, Container(tmp_path), [Row("a", "a.jpg", "a.txt")], decode)
    with pytest.raises(Missing, match="none of its frames is in"):
        listed(FACTS, tmp_path, Container(tmp_path), [], decode)


def test_a_frame_counts_once(tmp_path: Path):
    with pytest.raises(ValueError, match="a is there twice"):
        listed(FACTS, tmp_path, Container(tmp_path), [*rows(tmp_path, "a"), *rows(tmp_path, "a")], decode)


def test_a_list_of_the_users(tmp_path: Path):
    path = tmp_path / "list.txt"
    path.write_text("s1/a.png s1/a_d.png 721.5\n\ns1/b.png None 721.5\n./s2/c.x.png s2/c_d.png 707.0\n")
    found = rows_of_list(path, columns=2, group=lambda photo: photo[:2])
    assert found == [
        Row("s1/a", "s1/a.png", "s1/a_d.png", group="s1"),
        Row("s2/c.x", "s2/c.x.png", "s2/c_d.png", group="s2"),
    ]
    path.write_text("a.png a_d.npy\n")
    with pytest.raises(ValueError, match=r"line 1 is .*a line holds the paths of photo, depth and mask"):
        rows_of_list(path, columns=3, group=str)
    wanted = [*rows(tmp_path, "a"), Row("b", "b.jpg", "b.txt"), Row("c", "c.jpg", "c.txt")]
    bench = listed(FACTS, tmp_path, Container(tmp_path), wanted, decode, list_file=path)
    assert bench.notice is not None
    assert f"2 of 3 frames that {path} names lack files, the first b.jpg" in bench.notice


@pytest.mark.parametrize(
    ("name", "scenes", "frames", "pattern"),
    [
        ("nyu", 1, 654, r"test"),
        ("kitti", 28, 652, r"2011_(09|10)_\d\d_drive_\d{4}"),
        ("scannet", 271, 800, r"scene0\d{3}_0\d"),
    ],
)
def test_the_published_splits(name: str, scenes: int, frames: int, pattern: str):
    split = read_split(name)
    assert len(split) == scenes
    assert all(re.fullmatch(pattern, scene) for scene in split)
    assert all(numbers == sorted(set(numbers)) for numbers in split.values())
    assert sum(map(len, split.values())) == frames


def test_known_frames_of_the_splits():
    nyu = read_split("nyu")["test"]
    assert (nyu[:4], nyu[-1]) == ([1, 2, 9, 14], 1449)
    kitti = read_split("kitti")
    assert 69 in kitti["2011_09_26_drive_0002"]
    # the improved ground truth leaves out the first five frames of every drive
    assert min(number for numbers in kitti.values() for number in numbers) == 5
    assert 300 in read_split("scannet")["scene0406_02"]
