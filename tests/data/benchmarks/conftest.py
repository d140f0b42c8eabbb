"""What the tests of benchmark readers share: a data set as a folder, and packed as the tar files are published."""

from __future__ import annotations

import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest


@pytest.fixture
def packed(tmp_path: Path) -> Callable[[Path, str], Path]:
    """Packs a folder's content into a tar of that name, with members ``./path`` as made from inside the folder."""

    def pack(folder: Path, name: str) -> Path:
        archive = tmp_path / "archives" / name
        archive.parent.mkdir(parents=True, exist_ok=True)
        with tarfile.open(archive, "w") as tar:
            tar.add(folder, arcname=".")
        return archive

    return pack


@pytest.fixture(params=["folder", "tar", "folder of the tar"])
def published(request: pytest.FixtureRequest, packed: Callable[[Path, str], Path]) -> Callable[[Path, str], Path]:
    """The root to open, in each of the forms in which a data set may lie on disk: (folder, name of the tar)."""

    def publish(folder: Path, name: str) -> Path:
        if request.param == "folder":
            return folder
        archive = packed(folder, name)
        return archive if request.param == "tar" else archive.parent

    return publish
