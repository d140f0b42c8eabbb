"""Model names to folders, without network: the embedded ones, folders, and a hub cache written here by hand."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from huggingface_hub import constants

from latentdepth.models import source
from latentdepth.models.source import builtin_models, builtin_names, cached_models, card_summary, resolve
from latentdepth.models.student import Student, StudentFacts

COMMIT = "0123456789abcdef0123456789abcdef01234567"


@pytest.fixture
def hub_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty hub cache, and no network."""
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    (tmp_path / "hub").mkdir()
    return tmp_path / "hub"


def put_in_cache(hub_cache: Path, folder: Path, *, repo: str = "someone/tiny-depth") -> Path:
    """``folder`` in the layout in which huggingface_hub keeps a downloaded repository."""
    kept = hub_cache / f"models--{repo.replace('/', '--')}"
    shutil.copytree(folder, kept / "snapshots" / COMMIT)
    (kept / "blobs").mkdir()
    (kept / "refs").mkdir()
    (kept / "refs" / "main").write_text(COMMIT)
    return kept / "snapshots" / COMMIT


def test_a_folder_is_itself(tmp_path: Path) -> None:
    assert resolve(f"dir:{tmp_path}") == tmp_path


def test_a_missing_folder_and_a_file_are_named(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"nowhere does not exist; give dir:"):
        resolve(f"dir:{tmp_path / 'nowhere'}")
    (tmp_path / "file").touch()
    with pytest.raises(ValueError, match=r"file is a file; give dir:"):
        resolve(f"dir:{tmp_path / 'file'}")


@pytest.mark.parametrize("name", ["builtin", "", "marigold", "ftp:x/y", "C:/models"])
def test_a_bare_name_is_told_the_three_spellings(name: str) -> None:
    with pytest.raises(ValueError, match=r"builtin:NAME .*dir:PATH .*hub:ORG/REPO\[@REV\]"):
        resolve(name)


def test_a_bare_path_is_told_to_say_dir(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=f"did you mean dir:{tmp_path}"):
        resolve(str(tmp_path))


def test_a_bare_repository_is_told_to_say_hub() -> None:
    with pytest.raises(ValueError, match="did you mean hub:prs-eth/marigold-depth-v1-1"):
        resolve("prs-eth/marigold-depth-v1-1")


def test_embedded_models(tiny_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(source, "BUILTIN", tmp_path)
    shutil.copytree(tiny_folder, tmp_path / "tiny-diffusion")
    (tmp_path / "tiny-diffusion" / "README.md").write_text("# Tiny\n\nA tiny model. It is small.\n")
    (tmp_path / "not-a-model").mkdir()
    assert builtin_names() == ["tiny-diffusion"]
    assert resolve("builtin:tiny-diffusion") == tmp_path / "tiny-diffusion"
    (listed,) = builtin_models()
    weights = sum(p.stat().st_size for p in tiny_folder.rglob("*.safetensors"))
    assert listed.name == "builtin:tiny-diffusion"
    assert listed.summary == "A tiny model."
    assert listed.size_bytes > weights
    with pytest.raises(ValueError, match="did you mean builtin:tiny-diffusion"):
        resolve("builtin:tiny-difusion")
    with pytest.raises(ValueError, match="did you mean builtin:tiny-diffusion"):
        resolve("tiny-diffusion")


def test_names_that_no_hub_has() -> None:
    for name in ("hub:marigold", "hub:a/b/c", "hub:a/b@", "hub:../b c"):
        with pytest.raises(ValueError, match=r"wanted is hub:ORG/REPO"):
            resolve(name)
    with pytest.raises(ValueError, match="is no name of a hub repository"):
        resolve("hub:-a/b--c")


def test_a_cached_repository_needs_no_network(hub_cache: Path, tiny_folder: Path) -> None:
    kept = put_in_cache(hub_cache, tiny_folder)
    assert resolve("hub:someone/tiny-depth") == kept
    assert resolve("hub:someone/tiny-depth@main") == kept
    assert resolve(f"hub:someone/tiny-depth@{COMMIT}") == kept


@pytest.mark.parametrize("name", ["hub:someone/tiny-depth", "hub:someone/tiny-depth@v2"])
def test_without_network_and_cache_the_message_says_what_to_do(hub_cache: Path, name: str) -> None:
    with pytest.raises(ValueError, match="HF_HUB_OFFLINE is set") as caught:
        resolve(name)
    message = str(caught.value)
    assert str(hub_cache) in message
    assert "hf download someone/tiny-depth" in message
    assert ("--revision v2" in message) == name.endswith("v2")
    assert "dir:PATH/tiny-depth" in message


def test_an_unreachable_hub_is_said_plainly(
    hub_cache: Path, tiny_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No listener at this address: the connection is refused at once."""
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(constants, "ENDPOINT", "http://127.0.0.1:9")
    with pytest.raises(ValueError, match="the hub can't be reached"):
        resolve("hub:someone/other-depth")
    kept = put_in_cache(hub_cache, tiny_folder)
    assert resolve("hub:someone/tiny-depth") == kept


def test_pickled_weights_are_refused(hub_cache: Path, tiny_folder: Path, tmp_path: Path) -> None:
    shutil.copytree(tiny_folder, tmp_path / "old")
    for path in (tmp_path / "old").glob("*/*.safetensors"):
        path.rename(path.with_suffix(".bin"))
    put_in_cache(hub_cache, tmp_path / "old")
    with pytest.raises(ValueError, match="pickled weights are never loaded"):
        resolve("hub:someone/tiny-depth")


def test_cached_models_are_listed(hub_cache: Path, tiny_folder: Path, tmp_path: Path) -> None:
    assert cached_models() == []
    put_in_cache(hub_cache, tiny_folder)
    (tmp_path / "text").mkdir()
    (tmp_path / "text" / "config.json").write_text("{}")
    put_in_cache(hub_cache, tmp_path / "text", repo="someone/language-model")
    Student(StudentFacts(width=8)).save(tmp_path / "student")
    put_in_cache(hub_cache, tmp_path / "student", repo="someone/student")
    assert [model.name for model in cached_models()] == ["hub:someone/student", "hub:someone/tiny-depth"]
    assert (resolve("hub:someone/student") / "model.safetensors").is_file()


@pytest.mark.parametrize(
    ("card", "summary"),
    [
        ("---\nlicense: mit\n---\n# Name\n\nOne two\nthree. Four.\n", "One two three."),
        ("![picture](x.png)\n\n- list\n\nText", "Text"),
        ("# Only a title\n", ""),
    ],
)
def test_card_summary_is_the_first_sentence_of_text(card: str, summary: str, tmp_path: Path) -> None:
    (tmp_path / "README.md").write_text(card)
    assert card_summary(tmp_path) == summary
