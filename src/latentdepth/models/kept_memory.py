"""Memory that a network frees stays with the process for its next layer, instead of going back to the system.

glibc maps every block above 32 MiB anew, and the system hands its pages over one fault at a time: a fifth of the time
of a full-size decoder on a processor. Affects no numbers. Elsewhere than on Linux with glibc it does nothing.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import sys
import threading
from collections.abc import Iterator

_TRIM_THRESHOLD, _MMAP_THRESHOLD, _MMAP_MAX = -1, -3, -4  # parameters of mallopt(3)
_NEVER = 2**31 - 1
# What glibc's own adaptive rule arrives at once a process has freed one large block, and its default count.
_GLIBC_TRIM, _GLIBC_MMAP, _GLIBC_MMAPS = 64 * 2**20, 32 * 2**20, 65536

_inside = 0  # calls that are in ``kept_memory`` now, of all threads
_lock = threading.Lock()


@contextlib.contextmanager
def kept_memory() -> Iterator[None]:
    """Inside, freed blocks are kept for reuse; afterwards they are given back as usual, at a later free.

    May be nested and entered from several threads: the first to enter and the last to leave make the change. Someone
    who has set glibc's allocator by environment variables is left alone.
    """
    global _inside  # the allocator is one for the process, and so is this count
    malloc = _glibc()
    if malloc is None:
        yield
        return
    with _lock:
        _inside += 1
        if _inside == 1:
            malloc.mallopt(_MMAP_MAX, 0)
            malloc.mallopt(_TRIM_THRESHOLD, _NEVER)
    try:
        yield
    finally:
        with _lock:
            _inside -= 1
            if _inside == 0:
                malloc.mallopt(_MMAP_MAX, _GLIBC_MMAPS)
                malloc.mallopt(_MMAP_THRESHOLD, _GLIBC_MMAP)
                malloc.mallopt(_TRIM_THRESHOLD, _GLIBC_TRIM)


def give_back() -> None:
    """Hand memory that is free and kept to the system now."""
    malloc = _glibc()
    if malloc is not None:
        malloc.malloc_trim(0)


def _glibc() -> ctypes.CDLL | None:
    """The C library, where it is glibc and nobody has set its allocator from outside."""
    chosen = any(name.startswith("MALLOC_") for name in os.environ) or "malloc" in os.environ.get("GLIBC_TUNABLES", "")
    if sys.platform != "linux" or chosen:
        return None
    library = ctypes.CDLL(None)
    return library if hasattr(library, "gnu_get_libc_version") and hasattr(library, "mallopt") else None
