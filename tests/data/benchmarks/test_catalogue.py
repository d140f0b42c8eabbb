"""The catalogue: every word opens its data set, below a common folder or at its own place, or says what is missing."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from latentdepth.data.benchmarks.catalogue import described, listing, open_benchmark
from latentdepth.data.benchmarks.container import Missing
from latentdepth.data.benchmarks.folder import FOLDER
from latentdepth.data.benchmarks.shard_frames import SHARDS

DOCS = Path(__file__).parents[3] / "docs/benchmarks.md"
PHOTO = np.full((2, 3, 3), 50, np.uint8)
WORDS = [facts.key for facts in listing() if facts not in (FOLDER, SHARDS)]


def write_da2k(folder: Path) -> None:
    folder.mkdir(parents=True)
    Image.fromarray(PHOTO).save(folder / "a.png")
    pair = {"point1": [0, 0], "point2": [1, 1], "closer_point": "point1"}
    (folder / "annotations.json").write_text(json.dumps({"a.png": [pair]}))


def write_normals(folder: Path) -> None:
    folder.mkdir(parents=True)
    Image.fromarray(PHOTO).save(folder / "a_img.png")
    np.save(folder / "a_normal.npy", np.ones((2, 3, 3)))


def test_words_are_unique_and_all_facts_are_told():
    facts = listing()
    assert len({one.key for one in facts}) == len(facts)
    assert len({one.title for one in facts}) == len(facts)
    for one in facts:
        assert one.layout
        assert one.source
        assert one.far_m is None or one.near_m < one.far_m


@pytest.mark.parametrize("word", WORDS)
def test_a_missing_data_set_says_what_it_needs(tmp_path: Path, word: str):
    with pytest.raises(Missing, match=rf"is in {tmp_path}\nexpected in ") as error:
        open_benchmark(word, tmp_path)
    assert error.value.facts.key == word
    for part in (error.value.facts.source, *error.value.facts.layout.splitlines()):
        assert part in str(error.value)
    # and so at a place of its own
    with pytest.raises(Missing) as error:
        open_benchmark(f"{word}={tmp_path / 'gone'}")
    assert error.value.facts.key == word
    assert str(tmp_path / "gone") in str(error.value)


def test_published_places_and_own_ones(tmp_path: Path):
    write_da2k(tmp_path / "sets/DA-2K")
    write_normals(tmp_path / "sets/nyuv2/test")
    write_da2k(tmp_path / "elsewhere")
    assert open_benchmark("da2k", tmp_path / "sets").facts.key == "da2k"
    assert open_benchmark("nyu-normals", tmp_path / "sets").frame(0) == "a_img"
    assert len(open_benchmark(f"da2k={tmp_path / 'elsewhere'}", tmp_path / "sets")) == 1


def test_another_data_set_of_that_name_is_passed_over(tmp_path: Path):
    write_normals(tmp_path / "sintel/alley_1")  # what the archive of normals unpacks
    depth = tmp_path / "MPI-Sintel/training/depth/alley_1/frame_0001.dpt"
    photo = tmp_path / "MPI-Sintel/training/final/alley_1/frame_0001.png"
    for path in (depth, photo):
        path.parent.mkdir(parents=True)
        path.touch()
    assert open_benchmark("sintel", tmp_path).frame(0) == "alley_1/frame_0001"
    assert open_benchmark("sintel-normals", tmp_path).frame(0) == "alley_1/a_img"
    with pytest.raises(Missing, match="clean pass"):
        open_benchmark("sintel-clean", tmp_path)


def test_folders(tmp_path: Path):
    for name in ("a", "b+c#d"):
        for kind in ("rgb", "depth"):
            (tmp_path / name / kind).mkdir(parents=True)
        Image.fromarray(PHOTO).save(tmp_path / name / "rgb/x.png")
        np.save(tmp_path / name / "depth/x.npy", np.full((2, 3), 2.0))
    assert open_benchmark(f"folder:{tmp_path / 'a'}").frame(0) == "a/x"
    # a folder may be called anything
    assert open_benchmark(f"folder:{tmp_path / 'b+c#d'}").frame(0) == "b+c#d/x"
    (tmp_path / "b+c#d").rename(tmp_path / "b")
    assert len(open_benchmark(f"folder:{tmp_path / 'a'}+{tmp_path / 'b'}")) == 2
    chosen = open_benchmark(f"folder:{tmp_path / 'a'}+{tmp_path / 'b'}#b")
    assert (chosen.facts.key, len(chosen), chosen.frame(0)) == ("folder:a+b#b", 1, "b/x")


@pytest.mark.parametrize(
    ("word", "fault"),
    [
        ("nyuv2", r"there is no benchmark 'nyuv2'; allowed are nyu, kitti, .*, folder:PATH"),
        ("", "there is no benchmark ''"),
        ("folder", "there is no benchmark 'folder'"),
        ("folder:", "'folder:' names no folder"),
        ("folder:#a", "names no folder"),
        ("nyu=", "'nyu=' names no place; say nyu=PATH"),
        ("nyu", "'nyu' needs the folder that holds the data sets, or its own place: nyu=PATH"),
    ],
)
def test_words_that_name_nothing(word: str, fault: str):
    with pytest.raises(ValueError, match=fault):
        open_benchmark(word)


def test_the_document_is_what_the_code_says():
    assert DOCS.read_text(encoding="utf-8").endswith(described())
