"""What a plan is fed with: arrays as they were traced, and where their memory is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from tinygrad_edu.compiler.term import Term
from tinygrad_edu.errors import DTypeError, ShapeError
from tinygrad_edu.ops.positions import look as look_at

Source = np.ndarray | tuple[np.ndarray, np.ndarray]
"""An array, or an array and which of its rows."""


def steps_of(source: Source) -> int:
    """How many steps it feeds."""
    return len(source[1] if isinstance(source, tuple) else source)


def first_of(source: Source) -> np.ndarray:
    """What the first of many steps is fed with."""
    found: np.ndarray = source[0][source[1][0]] if isinstance(source, tuple) else source[0]
    return found


def leading(source: Source, steps: int) -> Source:
    """What the first so many steps are fed with."""
    return (source[0], source[1][:steps]) if isinstance(source, tuple) else source[:steps]


def checked(
    x: np.ndarray, t: Term, i: int, leading: tuple[int, ...] = (), skip: int = 0
) -> np.ndarray:
    """Source x of input t, contiguous; `leading` stands before its shape without the first `skip`
    axes.

    Raises:
        ShapeError, DTypeError: It is not what was traced.
    """
    plain = x.__class__ is np.ndarray and not leading
    if plain and x.shape == t.shape and x.dtype is t.dtype and x.flags.c_contiguous:
        return x  # as nearly always, and fast
    if x.shape != (*leading, *t.shape[skip:]):
        raise ShapeError(f"run: input {i} has shape {x.shape}, but {t.shape} was traced.")
    if x.dtype != t.dtype:
        raise DTypeError(f"run: input {i} has dtype {x.dtype}, but {t.dtype} was traced.")
    if isinstance(x, np.ndarray) and x.flags.c_contiguous:
        return x
    return np.array(x, order="C")  # NumPy's scalars have no memory that lasts


def look(positions: Sequence[tuple[int, Mapping[str, Any]]], sources: Sequence[Source]) -> None:
    """Raise for positions among the inputs that do not exist: so nothing is computed, of many steps
    none is done, and no thread stops while others wait for it. Each is the number of an input, and
    the parameters of the op `positions`."""
    for i, params in positions:
        source = sources[i]
        if isinstance(source, tuple):
            data, index = source
            source = data[index]
        look_at(np.asarray(source), **params)
