"""Definitions over ops as compiled kernels, for arrays.

`run` computes what a definition says in one or a few passes over memory, where NumPy would take one
for each of its operations. The kernels are made by the compiler (`compiler/eager.py`, told to
`provide`), from the definition that everybody else reads; here is only kept what was made. Where
nothing can be made, `run` returns None and the caller computes with NumPy.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Protocol

import numpy as np

from tinygrad_edu.errors import TinygradError

Array = Any
Definition = Callable[..., Any]

LEAST = 256
"""Elements below which NumPy is as good, and no compiler need be loaded."""

_MOST_KEPT = 4096
"""Programs that are kept: one for each definition, with its parameters, and shapes."""


class Program(Protocol):
    """A definition ready to run on arrays of certain shapes and dtypes."""

    def __call__(self, *arrays: Array) -> list[Array]: ...


Maker = Callable[[Definition, Sequence[Array], Mapping[str, Any]], Program | None]

_make: Maker | None = None
_programs: dict[Any, Program | None] = {}
_on = True


def provide(make: Maker) -> None:
    """Who makes programs: ``make(definition, arrays, params)``; None where there can be none."""
    global _make
    _make = make


@contextlib.contextmanager
def numpy_only() -> Iterator[None]:
    """Run no compiled program inside a ``with`` block: to compare, or to measure."""
    global _on
    before, _on = _on, False
    try:
        yield
    finally:
        _on = before


def run(definition: Definition, arrays: Sequence[Array], **params: Any) -> list[Array] | None:
    """``definition(m, *terms, **params)`` of these arrays: its results, or None if NumPy should
    compute them. The definition must be the same object at each call."""
    key = (definition, *params.items(), *[(x.shape, x.dtype.char) for x in arrays])
    try:
        program = _programs[key]
    except KeyError:
        program = _made(key, definition, arrays, params)
    if program is None or not _on:
        return None
    return program(*arrays)


def _made(key: Any, definition: Definition, arrays: Sequence[Array], params: Any) -> Program | None:
    if _make is None or not _on:
        return None
    if len(_programs) >= _MOST_KEPT:
        _programs.clear()
    large = max(x.size for x in arrays) >= LEAST
    try:
        program = _make(definition, arrays, params) if large else None
    except (TinygradError, ImportError, RuntimeError):
        # Operands that do not fit, no llvmlite, LLVM fails: NumPy computes, or says what is wrong.
        program = None
    _programs[key] = program
    return program


def is_array(x: Any) -> bool:
    """Whether x is a plain array of floats that are computed with."""
    return x.__class__ is np.ndarray and x.dtype.char in "fd"
