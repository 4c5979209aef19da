"""Steps that somebody wants to see: between two calls of a program they run as Python, on the state
of the program and to the same effect."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from tinygrad_edu.compiler.entry import Entry
from tinygrad_edu.compiler.tracing.arguments import with_tensors
from tinygrad_edu.derive.pytree import flatten
from tinygrad_edu.graph.node import Node
from tinygrad_edu.graph.tensor import Tensor, make


def in_python(
    step: Callable[..., Any], entry: Entry, args: Sequence[Any], kwargs: Mapping[str, Any]
) -> Any:
    """What a call of the program would return, up to rounding, by the step itself."""
    leaves = _leaves(step, entry, args, kwargs)
    return entry.results.rebuild(make(Node(x)) if isinstance(x, np.ndarray) else x for x in leaves)


def one_in_python(step: Callable[..., Any], entry: Entry, arrays: Sequence[np.ndarray]) -> Any:
    """What ``entry.run_many(1, ...)`` would return, up to rounding, by the step itself."""
    leaves = _leaves(step, entry, arrays, {})
    return entry.results.rebuild(x[None] if isinstance(x, np.ndarray) else x for x in leaves)


def _leaves(
    step: Callable[..., Any], entry: Entry, args: Sequence[Any], kwargs: Mapping[str, Any]
) -> list[Any]:
    """The leaves of the result; arrays where a program has outputs."""
    given, named = with_tensors(args, kwargs)
    found = flatten(step(*given, **named))[0]
    for leaf in entry.lifted.cleared:
        leaf.grad = None
    kinds = (kind for kind, _ in entry.results.leaves)
    return [_array(x) if kind == "output" else x for kind, x in zip(kinds, found, strict=True)]


def _array(x: Any) -> np.ndarray:
    """Of a tensor its values; a number that is a tensor only in a trace."""
    return x.node.snapshot() if isinstance(x, Tensor) else np.asarray(x)
