"""DA-2K in miniature copies of its published form: row first, the nearer point, scenes, and every fault of a pair."""

import json
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from latentdepth.data.benchmarks.benchmark import Benchmark
from latentdepth.data.benchmarks.container import Missing
from latentdepth.data.benchmarks.da2k import Da2kBenchmark, open_da2k

PAIR = {"point1": [1, 4], "point2": [3, 0], "closer_point": "point1"}


def write(folder: Path, table: dict[str, Any] | str, *photos: str) -> Path:
    """The annotations, and photos of 4 rows and 6 columns."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "annotations.json").write_text(table if isinstance(table, str) else json.dumps(table))
    for photo in photos:
        (folder / photo).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.full((4, 6, 3), 60, np.uint8)).save(folder / photo)
    return folder


def test_points_are_x_y_with_the_nearer_first(tmp_path: Path, published: Callable[[Path, str], Path]):
    other = {"point1": [0, 5], "point2": [2, 2], "closer_point": "point2"}
    indoor, aerial = "images/indoor/a.jpg", "images/aerial/b.png"
    write(tmp_path / "set", {aerial: [PAIR, other], indoor: [PAIR]}, indoor, aerial)
    bench: Da2kBenchmark = pickle.loads(pickle.dumps(open_da2k(published(tmp_path / "set", "DA-2K.tar"))))
    assert isinstance(bench, Benchmark)
    assert [bench.frame(k) for k in range(len(bench))] == ["aerial/b", "indoor/a"]
    assert bench.notice is None
    sample = bench[0]
    assert tuple(sample.image.shape) == (3, 4, 6)
    # the centres of the pixels at (row, column): (1, 4) nearer than (3, 0), (2, 2) nearer than (0, 5)
    assert sample.nearer_px.tolist() == [[4.5, 1.5], [2.5, 2.5]]
    assert sample.farther_px.tolist() == [[0.5, 3.5], [5.5, 0.5]]
    assert sample.group == "aerial"


def test_without_a_word_the_first_point_is_nearer(tmp_path: Path):
    write(tmp_path / "DA-2K", {"indoor/a.jpg": [{k: PAIR[k] for k in ("point1", "point2")}]}, "indoor/a.jpg")
    assert open_da2k(tmp_path)[0].nearer_px.tolist() == [[4.5, 1.5]]


@pytest.mark.parametrize(
    ("paths", "frames", "scene"),
    [
        (["images/non_real_01.jpg", "images/object_02.jpg"], ["non_real/non_real_01", "object/object_02"], "non_real"),
        (["x/underwater/1/a.jpg", "x/underwater/2/a.jpg"], ["underwater/1/a", "underwater/2/a"], "underwater"),
        (["mine/a.jpg", "mine/b.jpg"], ["mine/a", "mine/b"], "mine"),
        (["a.jpg"], ["a"], ""),
    ],
)
def test_scenes_are_told_by_the_path(tmp_path: Path, paths: list[str], frames: list[str], scene: str):
    bench = open_da2k(write(tmp_path, {path: [PAIR] for path in paths}, *paths))
    assert [bench.frame(k) for k in range(len(bench))] == frames
    assert bench[0].group == scene


def test_what_is_left_out_is_said(tmp_path: Path):
    swapped = {"point1": [3, 0], "point2": [1, 4], "closer_point": "point2"}  # the same pair in other words
    table = {"indoor/a.jpg": [PAIR, PAIR, swapped], "indoor/gone.jpg": [PAIR]}
    bench = open_da2k(write(tmp_path, table, "indoor/a.jpg"))
    assert len(bench) == 1
    assert len(bench[0].nearer_px) == 1
    photos, pairs = "1 of 2 photos are not there, the first indoor/gone.jpg", "2 pairs stand twice in their photo"
    assert bench.notice == f"DA-2K: {photos}; {pairs} and count once"


@pytest.mark.parametrize(("row", "column", "inside"), [(3, 5, True), (4, 0, False), (0, 6, False), (-1, 0, False)])
def test_points_outside_the_photo(tmp_path: Path, row: int, column: int, inside: bool):
    pair = {**PAIR, "point2": [row, column]}
    bench = open_da2k(write(tmp_path, {"a.jpg": [PAIR, pair]}, "a.jpg"))
    if inside:
        assert bench[0].farther_px[1].tolist() == [column + 0.5, row + 0.5]
        return
    with pytest.raises(ValueError, match=rf"a\.jpg: 1 of 2 pairs .* 4 rows and 6 columns: .*\[{row}, {column}\]"):
        bench[0]


@pytest.mark.parametrize(
    ("table", "fault"),
    [
        ("{", "annotations.json: not JSON"),
        ("[1]", "no table of photos with their pairs"),
        ("{}", "no table of photos with their pairs"),
        ('{"a.jpg": {"point1": [0, 1]}}', "is no pair"),
        ({"a.jpg": []}, "a.jpg: has no pairs"),
        ({"a.jpg": [{"point1": [0, 1]}]}, "is no pair"),
        ({"a.jpg": [{**PAIR, "closer_point": "point3"}]}, "is no pair"),
        ({"a.jpg": [{**PAIR, "point2": [1, 2, 3]}]}, "is no pair"),
        ({"a.jpg": [{**PAIR, "point2": None}]}, "is no pair"),
        ({"a.jpg": [{**PAIR, "point2": PAIR["point1"]}]}, "is one point"),
        ({"a.jpg": [PAIR, {**PAIR, "closer_point": "point2"}]}, "is there the other way round, too"),
        ('{"a.jpg": [%s], "a.jpg": [%s]}' % (2 * (json.dumps(PAIR),)), "1 photos stand twice: a.jpg"),
    ],
)
def test_damaged_annotations(tmp_path: Path, table: dict[str, Any] | str, fault: str):
    with pytest.raises(ValueError, match=fault):
        open_da2k(write(tmp_path, table, "a.jpg"))


def test_nothing_there(tmp_path: Path):
    with pytest.raises(Missing, match=r"there is no annotations\.json"):
        open_da2k(tmp_path)
    with pytest.raises(Missing, match=r"none of the photos .*such as a\.jpg"):
        open_da2k(write(tmp_path, {"a.jpg": [PAIR]}))
