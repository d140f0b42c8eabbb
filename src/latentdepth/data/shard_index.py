"""Where each member of a tar lies: walked once, kept beside it, and read back by seeking.

Knows the WebDataset naming ``KEY.SUFFIX``, not what a member holds.
"""

from __future__ import annotations

import hashlib
import json
import os
import tarfile
from contextlib import suppress
from pathlib import Path

_INDEX_VERSION = 1
_BLOCK = 512

Members = dict[str, tuple[int, int]]


def index_shard(path: Path, *, cache: Path | None = None) -> dict[str, Members]:
    """Where each member of a shard lies: {key: {suffix: (offset, bytes)}}, in the tar's order.

    The tar is walked once; the answer is kept in ``NAME.tar.index.json`` beside it, or below ``cache`` (the user's
    cache folder unless given) where that can't be written. It holds as long as the tar's size and time of change do.
    Raises ValueError for what is no plain tar, or ends too early.
    """
    state = path.stat()
    stamp = [_INDEX_VERSION, state.st_size, state.st_mtime_ns]
    default = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "latentdepth" / "shards"
    elsewhere = hashlib.blake2b(str(path.resolve()).encode(), digest_size=16).hexdigest() + ".json"
    places = (path.with_name(path.name + ".index.json"), (cache or default) / elsewhere)
    for place in places:
        try:
            kept = json.loads(place.read_bytes())
            if kept["stamp"] == stamp:
                return {k: {s: (int(o), int(n)) for s, (o, n) in m.items()} for k, m in kept["samples"].items()}
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            continue  # absent, unreadable or damaged: it will be made again
    samples = _walk(path)
    for place in places:
        fresh = place.with_name(f"{place.name}.{os.getpid()}.part")
        try:
            place.parent.mkdir(parents=True, exist_ok=True)
            fresh.write_text(json.dumps({"stamp": stamp, "samples": samples}))
            os.replace(fresh, place)
            break
        except OSError:  # a read-only or full disk costs the next opening some time, nothing else
            with suppress(OSError):
                fresh.unlink(missing_ok=True)
    return samples


def _walk(path: Path) -> dict[str, Members]:
    samples: dict[str, Members] = {}
    last, end = "its beginning", 0
    try:
        with tarfile.open(path, "r:") as tar:
            for entry in tar:
                last, end = entry.name, entry.offset_data + -(-entry.size // _BLOCK) * _BLOCK
                folder, _, file = entry.name.removeprefix("./").rpartition("/")
                stem, dot, suffix = file.partition(".")
                if entry.isfile() and dot and stem:
                    samples.setdefault(f"{folder}/{stem}" if folder else stem, {})[suffix.lower()] = (
                        entry.offset_data,
                        entry.size,
                    )
    except tarfile.TarError as error:
        packed = " It is compressed; unpack it first." if path.suffix in (".gz", ".tgz", ".zst", ".xz") else ""
        raise ValueError(f"{path}: no whole tar, damaged after {last} ({error}).{packed}") from error
    with path.open("rb") as file:
        file.seek(end)
        # tarfile takes a cut or broken header for the end; a whole tar ends with a block of zeros
        if file.read(_BLOCK) != bytes(_BLOCK):
            raise ValueError(f"{path}: truncated or damaged after {last}; copy or make this shard again")
    return samples
