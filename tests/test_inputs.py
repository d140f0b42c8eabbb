"""From names on the command line to photos and results."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from latentdepth.demo import sample_photos
from latentdepth.images import read
from latentdepth.inputs import find_photos, find_result


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in ("b.JPG", "a.png", "notes.txt", ".hidden.png", "sub/c.webp", ".cache/d.png", "a_depth.png"):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.touch()
    (tmp_path / "a.latentdepth.json").write_text(json.dumps({"files": {"a_depth.png": "x"}, "image": "a.png"}))
    (tmp_path / "strange.latentdepth.json").write_text("no JSON")
    return tmp_path


def test_a_folder_gives_its_photos_but_no_results_and_nothing_hidden(folder: Path) -> None:
    assert find_photos([str(folder)]) == [folder / "a.png", folder / "b.JPG"]


def test_recursive_looks_below(folder: Path) -> None:
    assert find_photos([str(folder)], recursive=True) == [folder / "a.png", folder / "b.JPG", folder / "sub" / "c.webp"]


def test_patterns_files_and_folders_count_once_in_the_order_given(folder: Path) -> None:
    given = [str(folder / "b.JPG"), str(folder / "*.png"), str(folder)]
    assert find_photos(given) == [folder / "b.JPG", folder / "a.png", folder / "a_depth.png"]


def test_a_file_named_like_a_pattern_is_that_file(tmp_path: Path) -> None:
    (tmp_path / "a[1].png").touch()
    assert find_photos([str(tmp_path / "a[1].png")]) == [tmp_path / "a[1].png"]


def test_a_missing_file_is_kept_to_be_reported(tmp_path: Path) -> None:
    assert find_photos([str(tmp_path / "no.png")]) == [tmp_path / "no.png"]


def test_nothing_found_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"no photos in .*--recursive"):
        find_photos([str(tmp_path), str(tmp_path / "*.png")])


@pytest.mark.parametrize("name", ["a.latentdepth.json", "a_depth.png", "a"])
def test_a_result_is_found_by_any_of_its_names(folder: Path, name: str) -> None:
    assert find_result(folder / name) == (folder / "a", folder / "a.png")


@pytest.mark.parametrize("name", ["b.JPG", "none.latentdepth.json", "sub/c"])
def test_what_is_no_result_is_said(folder: Path, name: str) -> None:
    with pytest.raises(ValueError, match="belongs to no result"):
        find_result(folder / name)


def test_sample_photos_are_installed_and_are_colour_photographs() -> None:
    photos = sample_photos()
    assert len(photos) == 6
    for path in photos.values():
        pixels = read(path).pixels
        assert min(pixels.shape[-2:]) >= 300
        # colour, and no flat picture: the channels differ, and each varies by more than noise would
        assert (pixels[:, 0] - pixels[:, 2]).abs().mean() > 0.02
        assert pixels.std() > 0.1
