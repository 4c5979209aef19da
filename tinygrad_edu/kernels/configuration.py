"""What this machine and installation give the engine: `show_config`, `clear_cache`."""

from __future__ import annotations

import platform
import sys
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from tinygrad_edu.errors import ArgumentError
from tinygrad_edu.kernels import blas, cache, housekeeping
from tinygrad_edu.kernels.threads import get_num_threads

_PACKAGES = ("tinygrad-edu", "numpy", "llvmlite", "numba", "scipy", "sympy")


def show_config(mode: str = "print") -> dict[str, dict[str, Any]] | None:
    """Print what speed depends on: versions, the processor and its vector instructions, the BLAS
    that NumPy loaded with its kernels and threads, the folder of compiled kernels.

    Args:
        mode: "print", or "dicts" to get it as a dictionary instead, as `numpy.show_config` has it.

    Raises:
        ArgumentError: Another mode.
    """
    if mode not in ("print", "dicts"):
        raise ArgumentError(f"show_config: mode is 'print' or 'dicts', not {mode!r}.")
    found = {
        "versions": _versions(),
        "processor": _processor(),
        "blas": blas.info(),
        "threads": {"number": get_num_threads()},
        "cache": _cache(),
    }
    if mode == "dicts":
        return found
    for title, entries in found.items():
        print(title)
        for name, value in entries.items():
            print(f"  {name}: {value}")
    return None


def clear_cache() -> int:
    """Remove compiled kernels and tuning results from the disk; returns the bytes this frees.

    What is loaded stays in use, in this process and others; whatever is missing later is compiled,
    or measured, again.
    """
    freed = housekeeping.clear()
    tune = sys.modules.get("tinygrad_edu.kernels.tune")
    if tune is not None:
        tune._tables.cache_clear()
    return freed


def _versions() -> dict[str, str]:
    found = {"python": platform.python_version()}
    for package in _PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:  # used from its source folder
            found[package] = "not installed"
    return found


def _processor() -> dict[str, Any]:
    from llvmlite import binding

    from tinygrad_edu.kernels import llvm

    target = llvm.host()
    vectors = [f for f in target.features.split(",") if f.startswith(("+avx", "+fma", "+sse4"))]
    return {
        "name": target.cpu,
        "machine": platform.machine(),
        "vector registers": f"{8 * target.vector_bytes} bits",
        "vector instructions": " ".join(sorted(name[1:] for name in vectors)),
        "llvm": ".".join(map(str, binding.llvm_version_info)),
    }


def _cache() -> dict[str, Any]:
    try:
        folder = str(cache.folder())
    except RuntimeError as error:
        return {"folder": f"none: {error}"}
    kernels = housekeeping.entries().values()
    return {
        "folder": folder,
        "kernels": len(kernels),
        "bytes": sum(entry.bytes for entry in kernels),
        "limit": housekeeping.LIMIT,
        "tuning results": len(housekeeping.tuning()),
    }
