"""Numba kernels that are compiled once on a machine and loaded ever after.

A kernel is text: generated or hand-written source, complete in itself. It is written to a file
named by the hash of everything its machine code depends on, and imported as a module, which is what
Numba's own disk cache asks for. So an entry never goes stale: another source, Numba or CPU is
another file.

A source imports what it needs besides ``njit``, gives every kernel its signature, and passes on
`OPTIONS`, so that kernels are compiled or loaded while the source is imported:

    @njit("float64(float64[::1])", **OPTIONS)
    def total(x): ...

The folder is ``$TINYGRAD_EDU_CACHE``, or ``tinygrad_edu`` in the user's cache folder. Nothing has
to be kept: whatever is missing or damaged is compiled again, and where the folder cannot be written
kernels live in memory only.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import importlib.machinery
import importlib.util
import os
import sys
import tempfile
import threading
import time
import types
import warnings
from collections.abc import Iterator
from pathlib import Path

_PREAMBLE = """\
from numba import njit

# error_model: division by zero is inf, and the missing check lets loops vectorise.
# fastmath: only fused multiply-add; anything more breaks nan or reorders sums.
OPTIONS = dict(cache={cache}, error_model="numpy", nogil=True, fastmath={{"contract"}})

"""

_SLOW = 1.0
"""Seconds of compiling after which the user is told what takes so long."""

_lock = threading.RLock()
_loaded: dict[str, types.ModuleType] = {}


def folder() -> Path:
    """Where compiled kernels are kept."""
    own = os.environ.get("TINYGRAD_EDU_CACHE")
    if own:
        return Path(own)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "tinygrad_edu"


def load(source: str, name: str) -> types.ModuleType:
    """The module made of `source`, its kernels ready to call; `name` is for people to read.

    Compiles in the first process that asks, on this machine; later ones load what it left.
    """
    with _lock:
        key = f"{name}_{_digest(source)}"
        if key not in _loaded:
            with _say_when_slow(name):
                _loaded[key] = _from_disk(source, key)
        return _loaded[key]


def _digest(source: str) -> str:
    return hashlib.sha256("\0".join((_PREAMBLE, source, *_machine())).encode()).hexdigest()[:16]


@functools.cache
def _machine() -> tuple[str, ...]:
    """What machine code depends on besides its source."""
    import llvmlite
    import llvmlite.binding
    import numba
    import numpy as np

    cpu = llvmlite.binding.get_host_cpu_name()
    features = llvmlite.binding.get_host_cpu_features().flatten()
    tag = sys.implementation.cache_tag
    return numba.__version__, llvmlite.__version__, np.__version__, tag, cpu, features


def _from_disk(source: str, key: str) -> types.ModuleType:
    text = _PREAMBLE.format(cache=True) + source
    try:
        path = _write(folder(), f"{key}.py", text)
    except (OSError, RuntimeError) as error:  # RuntimeError: there is no home directory
        return _in_memory(source, key, error)
    try:
        return _import(path, key)
    except Exception:  # damaged files make Numba and the importer fail in many ways
        _remove_compiled(path)
    try:
        return _import(_write(folder(), f"{key}.py", text), key)  # it may have been cleared
    except Exception as error:  # an error of the source itself comes back from memory
        return _in_memory(source, key, error)


def _write(directory: Path, name: str, text: str) -> Path:
    """Make `directory / name` hold `text`; whoever looks sees the whole file or none.

    The text is written aside and moved into place. Its time stamp is always the same, because Numba
    takes a new stamp for new source, and two processes may both write the same file.
    """
    directory.mkdir(parents=True, exist_ok=True, mode=0o700)
    path = directory / name
    with contextlib.suppress(OSError, UnicodeDecodeError):
        if path.read_text("utf-8") == text and path.stat().st_mtime == 0:
            os.utime(path, (time.time(), 0))  # `housekeeping.py` removes what nobody uses
            return path
    handle, aside = tempfile.mkstemp(dir=directory, prefix=name, suffix=".part")
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(text)
        os.utime(aside, (time.time(), 0))
        os.replace(aside, path)
    except BaseException:
        os.unlink(aside)
        raise
    return path


def _import(path: Path, key: str) -> types.ModuleType:
    """Import a source file; its kernels have signatures, so they are compiled or loaded here."""
    loader = importlib.machinery.SourceFileLoader(f"_tinygrad_edu_{key}", str(path))
    spec = importlib.util.spec_from_loader(loader.name, loader)
    assert spec is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[loader.name] = module  # Numba looks kernels up by the name of their module
    try:
        loader.exec_module(module)
    except BaseException:
        del sys.modules[loader.name]
        raise
    return module


def _remove_compiled(path: Path) -> None:
    for file in path.parent.joinpath("__pycache__").glob(f"{path.stem}.*"):
        with contextlib.suppress(OSError):
            file.unlink()


def _in_memory(source: str, key: str, reason: Exception) -> types.ModuleType:
    """The module compiled for this process only."""
    warnings.warn(
        f"compiled kernels cannot be kept ({reason}), so every process compiles them again; set "
        "TINYGRAD_EDU_CACHE to a folder that can be written.",
        RuntimeWarning,
        stacklevel=2,
    )
    module = types.ModuleType(f"_tinygrad_edu_{key}")
    text = _PREAMBLE.format(cache=False) + source
    exec(compile(text, f"<{module.__name__}>", "exec"), module.__dict__)
    return module


@contextlib.contextmanager
def _say_when_slow(name: str) -> Iterator[None]:
    """One line to stderr if the block takes longer than `_SLOW`: a frozen prompt wants a reason."""
    message = f"tinygrad_edu: compiling {name} kernels, once on this machine ..."
    timer = threading.Timer(_SLOW, print, [message], {"file": sys.stderr})
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()
