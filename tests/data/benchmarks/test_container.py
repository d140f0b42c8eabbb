"""One path, read from a folder or a tar: what is found, what isn't, and tars that are cut off."""

import pickle
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest

from latentdepth.data.benchmarks.benchmark import Facts
from latentdepth.data.benchmarks.container import Container, Missing, open_container

FACTS = Facts("toy", "Toy set", "depth", 2, 0.1, 10.0, None, "a/NAME.JPG\na/NAME.bin", "https://example.org")
FILES = {
    "a/x.JPG": b"photo x",
    "a/y.JPG": b"photo y",
    "a/x_depth.npy": b"depth",
    "b/deep/x.JPG": b"deep",
    "top.txt": b"t",
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name, content in FILES.items():
        (tmp_path / "set" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "set" / name).write_bytes(content)
    return tmp_path / "set"


def test_folder_and_tar_read_alike(folder: Path, published: Callable[[Path, str], Path]):
    box = open_container(published(folder, "toy.tar"), FACTS, "toy.tar")
    for name, content in FILES.items():
        assert box.has(name)
        assert box.read(name) == content
    assert not box.has("a/z.JPG")
    assert not box.has("a")
    assert [name.lower() for name in box.find("a/*.JPG")] == ["a/x.jpg", "a/y.jpg"]
    assert box.find("*/x_*.npy") == ["a/x_depth.npy"]
    # a star stays within one part of the path, and a dot is a dot
    assert [name.lower() for name in box.find("*/x.JPG")] == ["a/x.jpg"]
    assert box.find("a/x*npy.npy") == []
    assert box.find("*/*/*.txt") == []
    assert [box.read(name) for name in box.find("b/*/*.JPG")] == [b"deep"]


def test_it_travels_to_workers_and_holds_no_handle(folder: Path, packed: Callable[[Path, str], Path]):
    box = open_container(packed(folder, "toy.tar"), FACTS)
    copy = pickle.loads(pickle.dumps(box))
    assert copy == box
    assert copy.read("a/x.JPG") == b"photo x"


def test_a_tar_is_walked_once(folder: Path, packed: Callable[[Path, str], Path], monkeypatch: pytest.MonkeyPatch):
    archive = packed(folder, "toy.tar")
    open_container(archive, FACTS)

    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("the tar was walked again")

    monkeypatch.setattr(tarfile, "open", refuse)
    assert open_container(archive, FACTS).read("a/y.JPG") == b"photo y"


def test_errors_name_archive_and_member(folder: Path, packed: Callable[[Path, str], Path]):
    archive = packed(folder, "toy.tar")
    with pytest.raises(ValueError, match=r"toy\.tar: a/z\.JPG: there is no such member"):
        open_container(archive, FACTS).read("a/z.JPG")
    with pytest.raises(ValueError, match=r"set/a/z\.JPG: there is no such file; unpack or download it again"):
        Container(folder).read("a/z.JPG")


def test_a_tar_that_was_cut_off_is_an_error_at_once(folder: Path, packed: Callable[[Path, str], Path]):
    archive = packed(folder, "toy.tar")
    archive.write_bytes(archive.read_bytes()[:2600])
    with pytest.raises(ValueError, match=r"toy\.tar: .*(truncated|damaged)"):
        open_container(archive, FACTS)


def test_a_tar_cut_off_after_it_was_opened_names_the_member(folder: Path, packed: Callable[[Path, str], Path]):
    box = open_container(packed(folder, "toy.tar"), FACTS)
    members = box.members
    assert members is not None
    offset, size = members["a/x.jpg"]
    box.root.write_bytes(box.root.read_bytes()[: offset + 3])
    with pytest.raises(ValueError, match=rf"toy\.tar: a/x\.JPG: 3 of {size} bytes are there"):
        box.read("a/x.JPG")
    box.root.unlink()
    with pytest.raises(ValueError, match=r"toy\.tar: can't be read"):
        box.read("a/x.JPG")


def test_a_compressed_tar_says_what_to_do(folder: Path, tmp_path: Path):
    with tarfile.open(tmp_path / "val.tar.gz", "w:gz") as tar:
        tar.add(folder, arcname=".")
    with pytest.raises(ValueError, match="compressed; unpack it first"):
        open_container(tmp_path / "val.tar.gz", FACTS)


def test_a_missing_set_says_what_was_expected_and_where_it_is_had(tmp_path: Path):
    with pytest.raises(Missing) as caught:
        open_container(tmp_path / "nowhere", FACTS)
    travelled = pickle.loads(pickle.dumps(caught.value))
    assert isinstance(travelled, Missing)
    assert travelled.facts == FACTS
    text = str(travelled)
    assert "Toy set: there is no" in text
    assert "  a/NAME.JPG\n  a/NAME.bin\n" in text
    assert text.endswith("https://example.org")
