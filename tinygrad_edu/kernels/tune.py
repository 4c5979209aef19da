"""The blocking of a matrix product, measured once per shape and machine.

OpenBLAS is fastest on products small enough for its small-matrix kernel and on operands that are
not transposed; which cut is best depends on the shape and the processor, so it is measured. The
results are kept in the folder of `kernels.cache`. ``$TINYGRAD_EDU_TUNE=0`` turns measuring off.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import itertools
import json
import os
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

from tinygrad_edu.kernels import cache, llvm, native

Blocks = tuple[int, int, int, bool]
"""Rows, columns and depth of a block; whether B is transposed first."""

_SMALL_KERNEL = 1_000_000
"""m n k up to which OpenBLAS takes its small-matrix kernel."""
_TOO_LARGE = 2e8
"""m n k from which OpenBLAS's own blocking is best, and measuring takes long."""
_SECONDS = 3e-4
"""What one measurement of one candidate should take."""


def blocks(
    ta: bool, tb: bool, m: int, n: int, k: int, dtype: np.dtype[Any], measure: bool = True
) -> Blocks:
    """The blocking to use for a product; see `native.GEMM_ARGUMENTS`."""
    whole: Blocks = (m, n, k, False)
    if m * n * k > _TOO_LARGE or m * n * k == 0:
        return whole
    key = f"{dtype.name} {int(ta)}{int(tb)} {m} {n} {k}"
    table = _table()
    if key not in table:
        if not measure or os.environ.get("TINYGRAD_EDU_TUNE") == "0":
            return whole
        table[key] = _best(ta, tb, m, n, k, dtype)
        _save(table)
    return table[key]


def _candidates(tb: bool, m: int, n: int, k: int, transposable: bool) -> list[Blocks]:
    found: set[Blocks] = {(m, n, k, False)}
    if tb and transposable:
        found.add((m, n, k, True))
    choices = ((m, 16, 32, 64, 128), (n, 16, 32, 64, 128, 256), (k, 64, 128, 256))
    least = min(m * n * k, 120_000)
    for mb, nb, kb in itertools.product(*choices):
        fits = mb <= m and nb <= n and kb <= k
        if fits and least <= mb * nb * kb <= _SMALL_KERNEL:
            found.add((mb, nb, kb, tb and transposable))
    return sorted(found)


def _best(ta: bool, tb: bool, m: int, n: int, k: int, dtype: np.dtype[Any]) -> Blocks:
    addresses = native.gemm(dtype)
    assert addresses is not None
    kernel, product, transpose = addresses
    rng = np.random.default_rng(0)
    a, b = rng.random(m * k).astype(dtype), rng.random(k * n).astype(dtype)
    c, work, half = np.zeros(m * n, dtype), np.zeros(k * n, dtype), np.full(1, 0.5, dtype)
    repeats = max(1, int(_SECONDS / (2 * m * n * k / 2e11 + 1e-7)))
    none = np.zeros((0, 2), np.int64)

    def seconds(t: Blocks) -> float:
        operands = (a.ctypes.data, m if ta else k, b.ctypes.data, k if tb else n)
        args = [int(ta), int(tb), m, n, k, *operands, c.ctypes.data, n, half.ctypes.data]
        args += [*t[:3], work.ctypes.data if t[3] else 0, 1, 0, 0, 0, product, transpose]
        code = np.array([kernel, len(args), *args], np.int64)
        stream = native.Stream(code, none, none, none)
        start = time.perf_counter()
        stream.run(0, repeats)
        return time.perf_counter() - start

    candidates = _candidates(tb, m, n, k, bool(transpose))
    seconds(candidates[0])
    first = sorted((min(seconds(t) for _ in range(2)), t) for t in candidates)[:4]
    return min((min(seconds(t) for _ in range(6)), t) for _, t in first)[1]


# ------------------------------------------------------------------------------ on disk


def _file() -> Path:
    """Results belong to a processor and to the code that they were measured with."""
    what = "\0".join((llvm.host().cpu, np.__version__, os.environ.get("OPENBLAS_CORETYPE", "")))
    return cache.folder() / f"gemm_{hashlib.sha256(what.encode()).hexdigest()[:16]}.json"


@functools.cache
def _tables() -> dict[Path, dict[str, Blocks]]:
    return {}


def _table() -> dict[str, Blocks]:
    try:
        file = _file()
    except RuntimeError:  # there is no home directory
        file = Path()
    tables = _tables()
    if file not in tables:
        tables[file] = _read(file)
    return tables[file]


def _read(file: Path) -> dict[str, Blocks]:
    """What was measured before; entries that make no sense are measured again."""
    try:
        stored = json.loads(file.read_text("utf-8"))
    except (OSError, ValueError):
        return {}
    if not isinstance(stored, dict):
        return {}
    return {key: tuple(entry) for key, entry in stored.items() if _sensible(key, entry)}


def _sensible(key: str, entry: Any) -> bool:
    parts = key.split()
    if len(parts) != 5 or not all(part.isdecimal() for part in parts[2:]):
        return False
    if not (isinstance(entry, list) and len(entry) == 4 and isinstance(entry[3], bool)):
        return False
    limits = [int(part) for part in parts[2:]]
    whole = all(type(x) is int for x in entry[:3])
    return whole and all(0 < x <= most for x, most in zip(entry[:3], limits, strict=True))


def _save(table: dict[str, Blocks]) -> None:
    """Keep the table with whatever other processes have added; failing to is no error."""
    with contextlib.suppress(OSError, RuntimeError):
        file = _file()
        file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        handle, aside = tempfile.mkstemp(dir=file.parent, prefix=file.name, suffix=".part")
        try:
            with os.fdopen(handle, "w", encoding="utf-8") as out:
                json.dump(_read(file) | table, out)
            os.replace(aside, file)
        except BaseException:
            os.unlink(aside)
            raise
