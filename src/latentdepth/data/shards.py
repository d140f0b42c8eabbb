"""Tar shards in the WebDataset layout: written whole or not at all, read at random without scanning them again.

A sample is the members ``KEY.jpg|png|webp``, ``KEY.depth.png|npy|exr|tif``, and where there are any
``KEY.normals.png|npy|exr``, ``KEY.mask.png`` and ``KEY.json``. Shards of other makers work when their depth coding is
given. Knows nothing of networks, mixing or what is in the pictures.
"""

from __future__ import annotations

import glob
import io
import json
import os
import tarfile
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Literal

from latentdepth.data.rasters import (
    DEPTH_SUFFIXES,
    DepthCoding,
    camera_facts,
    camera_from_facts,
    decode_depth,
    decode_mask,
    decode_normals,
    decode_photo,
    encode_log_depth,
    encode_normals,
    encode_photo,
)
from latentdepth.data.sample import Sample, assembled, checked
from latentdepth.data.shard_index import Members, index_shard

_PHOTO_SUFFIXES = ("jpg", "jpeg", "png", "webp")
_NORMALS_CENTRE = 128.0


def shard_path(folder: Path, number: int, *, name: str = "shard") -> Path:
    """Where ``ShardWriter`` puts shard ``number``; it exists only when it is complete."""
    return folder / f"{name}-{number:06d}.tar"


class ShardWriter:
    """Collects samples into tar files of ``samples_per_shard`` each, numbered from ``first``.

    A shard is written under a temporary name (``.tar.part``), flushed to disk and renamed when it is full or the
    writer is closed; when the ``with`` block ends by an exception, the unfinished one is removed. A finished shard is
    never rewritten: FileExistsError instead. One shard number belongs to one process; to write in parallel, give each
    process its own numbers, and ask ``shard_path(...).exists()`` for what is done. Equal samples give equal bytes.

        with ShardWriter(folder, first=7) as writer:
            writer.add("scene-12-view-0", sample, facts={"seed": 3})
    """

    def __init__(
        self,
        folder: Path,
        *,
        samples_per_shard: int = 256,
        name: str = "shard",
        first: int = 0,
        photo: Literal["jpg", "png"] = "jpg",
        quality: int = 95,
    ) -> None:
        self.photo: Literal["jpg", "png"] = photo
        if samples_per_shard < 1:
            raise ValueError(f"samples_per_shard is {samples_per_shard}; allowed is 1 or more")
        self.folder, self.name, self.number, self.samples_per_shard = folder, name, first, samples_per_shard
        self.quality = quality
        self._keys: set[str] = set()
        self._tar: tarfile.TarFile | None = None

    def __enter__(self) -> ShardWriter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None:
            self.close()
        elif self._tar is not None:
            with suppress(OSError):  # a full disk refuses the last blocks too, and the first error is the one to see
                self._tar.close()
            self._tar = None
            self._part.unlink(missing_ok=True)

    @property
    def _part(self) -> Path:
        path = shard_path(self.folder, self.number, name=self.name)
        return path.with_name(path.name + ".part")

    def add(
        self,
        key: str,
        sample: Sample,
        *,
        facts: Mapping[str, Any] | None = None,
        extra: Mapping[str, bytes] | None = None,
    ) -> None:
        """Append one sample. ``key`` has no dots; ``facts`` (JSON values, such as the seed) are kept beside it.

        ``extra`` are further members, as they are, by suffix (``ShardFrames.member`` reads them).

        Depth is kept in the 16-bit log code of ``data.rasters`` (error at most 0.009 %), normals to 0.4 degrees, sky
        and invalid pixels exactly. Raises ValueError for a sample that can't be coded; the shard stays usable.
        """
        if not key or "." in key or key.startswith("/") or key in self._keys:
            raise ValueError(f"key {key!r}: allowed is a name without dots that this shard doesn't hold yet")
        sample = checked(sample, key)
        depth, coding = encode_log_depth(sample.depth_m, sample.valid, key)
        table: dict[str, Any] = {"group": sample.group, "depth": {"kind": "log", "near_m": coding.near_m}}
        table["depth"]["step"] = coding.step
        if sample.camera is not None:
            table["camera"] = camera_facts(sample.camera)
        members = {self.photo: encode_photo(sample.image, form=self.photo, quality=self.quality), "depth.png": depth}
        if sample.normals is not None:
            members["normals.png"] = encode_normals(sample.normals)
            table["normals"] = {"centre": _NORMALS_CENTRE}
        table["facts"] = dict(facts or {})
        if reserved := {*members, "json", "mask.png"} & set(extra or {}):
            raise ValueError(f"the member {min(reserved)} of {key} is the shard's own; call it otherwise")
        members |= extra or {}
        members["json"] = json.dumps(table, sort_keys=True).encode()
        tar = self._open()
        for suffix, content in members.items():
            entry = tarfile.TarInfo(f"{key}.{suffix}")
            entry.size, entry.mode = len(content), 0o644
            tar.addfile(entry, io.BytesIO(content))
        self._keys.add(key)
        if len(self._keys) == self.samples_per_shard:
            self.close()

    def _open(self) -> tarfile.TarFile:
        if self._tar is None:
            finished = shard_path(self.folder, self.number, name=self.name)
            if finished.exists():
                raise FileExistsError(
                    f"{finished}: is finished and won't be rewritten; start at another number (first=) or delete it"
                )
            self.folder.mkdir(parents=True, exist_ok=True)
            self._tar = tarfile.open(self._part, "w", format=tarfile.PAX_FORMAT)  # noqa: SIM115 closed by close()
        return self._tar

    def close(self) -> None:
        """Finish the present shard, if it holds anything; the next ``add`` begins another."""
        if self._tar is None:
            return
        self._tar.close()
        self._tar = None
        with self._part.open("rb+") as file:
            os.fsync(file.fileno())  # the name must not appear before the bytes
        os.replace(self._part, shard_path(self.folder, self.number, name=self.name))
        self.number, self._keys = self.number + 1, set()


@dataclass(frozen=True)
class _Place:
    shard: Path
    key: str
    members: Members

    def suffix(self, *allowed: str) -> str | None:
        return next((s for s in allowed if s in self.members), None)

    def read(self, suffix: str) -> bytes:
        offset, size = self.members[suffix]
        try:
            with self.shard.open("rb") as file:
                file.seek(offset)
                content = file.read(size)
        except OSError as error:
            raise ValueError(f"{self.shard}: can't be read ({error.strerror})") from error
        if len(content) != size:
            raise ValueError(f"{self.label(suffix)}: {len(content)} of {size} bytes; the shard was cut or replaced")
        return content

    def label(self, suffix: str) -> str:
        return f"{self.shard}: {self.key}.{suffix}"


class ShardFrames:
    """Samples of tar shards, in the order of the shards' names and of their members.

    ``source`` is a folder (all ``*.tar`` in it), a tar file, or a pattern with ``*``. ``coding`` says what depth
    counts mean where a sample's JSON doesn't. Raises ValueError when there are no shards or samples, a shard is no
    whole tar, or a sample lacks a photo or depth.
    """

    def __init__(
        self,
        source: str | Path,
        *,
        coding: DepthCoding | None = None,
        name: str | None = None,
        cache: Path | None = None,
    ) -> None:
        pattern = Path(source)
        paths = sorted(pattern.glob("*.tar")) if pattern.is_dir() else [Path(p) for p in sorted(glob.glob(str(source)))]
        if not paths:
            raise ValueError(
                f"{source}: no shards; give a folder with *.tar, a .tar file, or a pattern such as 'a/*.tar'"
            )
        self.name = name or (pattern.name if pattern.is_dir() else pattern.parent.resolve().name)
        self.coding = coding or DepthCoding()
        self._places = [_Place(p, k, m) for p in paths for k, m in index_shard(p, cache=cache).items()]
        if not self._places:
            raise ValueError(f"{source}: {len(paths)} shards without a sample")
        for place in self._places:
            for what, allowed in (("photo", _PHOTO_SUFFIXES), ("depth", _depth_members())):
                if place.suffix(*allowed) is None:
                    found = ", ".join(sorted(place.members))
                    raise ValueError(
                        f"{place.shard}: sample {place.key} has no {what}; it has {found}, needed is one of "
                        f"{', '.join(allowed)}"
                    )

    def __len__(self) -> int:
        return len(self._places)

    def key(self, index: int) -> str:
        """The name of sample ``index`` within its shard."""
        return self._places[index].key

    def group(self, index: int) -> str:
        """The scene of sample ``index``, without decoding its pictures."""
        place = self._places[index]
        return str(self._facts(place).get("group", place.key.rpartition("/")[0]))

    def facts(self, index: int) -> dict[str, Any]:
        """What ``ShardWriter.add`` was given beside the sample; empty for shards of other makers."""
        return dict(self._facts(self._places[index]).get("facts", {}))

    def member(self, index: int, suffix: str) -> bytes | None:
        """A further member of sample ``index``, as it is; None where there is none. ValueError names the shard."""
        place = self._places[index]
        return place.read(suffix) if suffix in place.members else None

    def label(self, index: int, suffix: str) -> str:
        """How errors name a member."""
        return self._places[index].label(suffix)

    def _facts(self, place: _Place) -> dict[str, Any]:
        if "json" not in place.members:
            return {}
        try:
            table = json.loads(place.read("json"))
        except (ValueError, UnicodeDecodeError) as error:
            if str(error).startswith(str(place.shard)):
                raise
            raise ValueError(f"{place.label('json')}: not JSON ({error})") from error
        if not isinstance(table, dict):
            raise ValueError(f"{place.label('json')}: a table is needed, found {type(table).__name__}")
        return table

    def __getitem__(self, index: int) -> Sample:
        """Decode one sample. ValueError names the shard and the member."""
        place = self._places[index]
        table = self._facts(place)
        photo_suffix, depth_suffix = place.suffix(*_PHOTO_SUFFIXES), place.suffix(*_depth_members())
        assert photo_suffix is not None  # checked at opening
        assert depth_suffix is not None
        photo = decode_photo(place.read(photo_suffix), f".{photo_suffix}", place.label(photo_suffix))
        camera = photo.camera
        if "camera" in table:
            camera = camera_from_facts(table["camera"], place.label("json"))
        coding = self.coding
        if "depth" in table:
            coding = DepthCoding.from_facts(table["depth"], place.label("json"))
        form, label = f".{depth_suffix.split('.')[-1]}", place.label(depth_suffix)
        depth_m, valid = decode_depth(place.read(depth_suffix), form, coding, camera, label)
        normals = None
        if (suffix := place.suffix("normals.png", "normals.npy", "normals.exr")) is not None:
            centre = float(table.get("normals", {}).get("centre", 127.5))
            form = f".{suffix.split('.')[-1]}"
            normals = decode_normals(place.read(suffix), form, place.label(suffix), centre=centre)
        mask = None
        if "mask.png" in place.members:
            mask = decode_mask(place.read("mask.png"), ".png", place.label("mask.png"))
        group = str(table.get("group", place.key.rpartition("/")[0]))
        name = f"{place.shard}: {place.key}"
        return assembled(
            photo.pixels[0], depth_m, valid, name=name, group=group, camera=camera, normals=normals, mask=mask
        )


def _depth_members() -> tuple[str, ...]:
    return tuple(f"depth{s}" for s in DEPTH_SUFFIXES)
