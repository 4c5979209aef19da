"""The folder of compiled kernels and tuning results: what is in it, and what has to go.

An entry is one kernel: an object file, or a Python source with what Numba made of it. The time of
its last use is its files' time of access, set by whoever loads it (modification times mean
something to Numba, and systems that do not keep times of access still let them be set). Once
everything together takes more than `LIMIT`, entries go, the one not used for longest first.

Any number of processes may do this at once, and load and write in the same folder: who finds a file
gone compiles it again, and one that is open stays readable until it is closed. Only files with
names as this package gives them are touched.
"""

from __future__ import annotations

import contextlib
import os
import re
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from tinygrad_edu.kernels import cache

LIMIT = 512 * 2**20
"""Bytes that kernels may take on disk: some ten thousand."""

SPARED = 0.8
"""How much of `LIMIT` is left after entries had to go, so that this is rare."""

_INTERVAL = 64
"""Kernels written by a process between two looks at the size."""

_ABANDONED = 24 * 3600
"""Seconds after which a file that was to be moved into place belongs to a process that has died."""

_KERNEL = re.compile(r"k[0-9a-f]{24}\.o|\w+_[0-9a-f]{16}\..*")
_TUNING = re.compile(r"gemm_[0-9a-f]{16}\.json")

_written = 0


@dataclass
class Entry:
    """A kernel's files, their size and when it was last used."""

    files: list[Path] = field(default_factory=list)
    bytes: int = 0
    used: float = 0.0


def entries() -> dict[str, Entry]:
    """The kernels in the folder."""
    found: dict[str, Entry] = {}
    for path, status in _files():
        if _KERNEL.fullmatch(path.name) and not _TUNING.fullmatch(path.name):
            entry = found.setdefault(path.name.partition(".")[0], Entry())
            entry.files.append(path)
            entry.bytes += status.st_size
            entry.used = max(entry.used, status.st_atime)
    return found


def tuning() -> list[Path]:
    """The files of tuning results."""
    return [path for path, _ in _files() if _TUNING.fullmatch(path.name)]


def used(path: Path) -> None:
    """Note that a kernel was loaded or written just now."""
    with contextlib.suppress(OSError):
        os.utime(path, (time.time(), path.stat().st_mtime))


def written() -> None:
    """Keep the folder within its size, after a kernel was written; most calls do nothing."""
    global _written
    if _written % _INTERVAL == 0:
        trim(LIMIT)
    _written += 1


def trim(limit: float) -> None:
    """Remove entries until the others take at most `SPARED` of `limit`, if they take more than
    `limit` now; and what processes left behind that died while writing."""
    now = time.time()
    for path, status in _files():
        if path.suffix == ".part" and now - status.st_mtime > _ABANDONED:
            _remove(path)
    kernels = entries()
    total = sum(entry.bytes for entry in kernels.values())
    if total <= limit:
        return
    for entry in sorted(kernels.values(), key=lambda entry: entry.used):
        if total <= SPARED * limit:
            break
        for path in entry.files:
            _remove(path)
        total -= entry.bytes


def clear() -> int:
    """Remove all kernels and tuning results; how many bytes they took."""
    files = [path for entry in entries().values() for path in entry.files] + tuning()
    return sum(map(_remove, files))


def _files() -> Iterator[tuple[Path, os.stat_result]]:
    """The files in the folder and in Python's own beneath it. Those that vanish are left out."""
    try:
        folder = cache.folder()
    except RuntimeError:  # there is no home directory
        return
    for directory in (folder, folder / "__pycache__"):
        with contextlib.suppress(OSError):
            for file in os.scandir(directory):
                with contextlib.suppress(OSError):
                    if file.is_file(follow_symlinks=False):
                        yield Path(file.path), file.stat(follow_symlinks=False)


def _remove(path: Path) -> int:
    """Remove a file; its size, or 0 if it is gone already or must not be removed."""
    try:
        size = path.stat().st_size
        path.unlink()
    except OSError:
        return 0
    return size
