"""The compiler's own graph: terms, each made once, simplified while it is made.

A `Term` is a node of a program without what only tracing needs. Equal terms are the same object,
so common subexpressions vanish by themselves. Rules can be read with terms (`TermReader`), which is
how composites are expanded.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from tinygrad_edu.ops import dtypes
from tinygrad_edu.ops.fused import Fused
from tinygrad_edu.ops.structural import Key
from tinygrad_edu.ops.table import TABLE, Op, Reader

FOLDED = 4096
"""Constants are computed while compiling up to this many elements."""


class Term:
    """One value: `op` of `inputs`, or a leaf, which has a `value` if it is a constant."""

    __slots__ = (
        *("dtype", "graph", "index", "inputs", "name", "op", "params", "shape", "size", "value"),
    )
    __hash__ = object.__hash__

    graph: Graph
    op: Op | None
    inputs: tuple[Term, ...]
    params: Mapping[str, Any]
    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    value: np.ndarray | None
    index: int
    name: str
    """The op's name; empty for a leaf."""
    size: int
    """The number of elements."""

    @property
    def nbytes(self) -> int:
        """The memory it takes."""
        return self.size * self.dtype.itemsize

    @property
    def number(self) -> Any:
        """The number that a constant of one element is, else None."""
        return self.value.item() if self.value is not None and self.size == 1 else None

    def __repr__(self) -> str:
        return f"%{self.index} {self.name or 'leaf'} {self.dtype} {self.shape}"

    def _apply(self, name: str, *xs: Any) -> Term:
        return self.graph.apply(TABLE[name], *xs)

    def __add__(self, x: Any) -> Term:
        return self._apply("add", self, x)

    def __radd__(self, x: Any) -> Term:
        return self._apply("add", x, self)

    def __sub__(self, x: Any) -> Term:
        return self._apply("sub", self, x)

    def __rsub__(self, x: Any) -> Term:
        return self._apply("sub", x, self)

    def __mul__(self, x: Any) -> Term:
        return self._apply("mul", self, x)

    def __rmul__(self, x: Any) -> Term:
        return self._apply("mul", x, self)

    def __truediv__(self, x: Any) -> Term:
        return self._apply("div", self, x)

    def __rtruediv__(self, x: Any) -> Term:
        return self._apply("div", x, self)

    def __neg__(self) -> Term:
        return self._apply("neg", self)

    def __lt__(self, x: Any) -> Term:
        return self._apply("lt", self, x)

    def __le__(self, x: Any) -> Term:
        return self._apply("le", self, x)

    def __gt__(self, x: Any) -> Term:
        return self._apply("gt", self, x)

    def __ge__(self, x: Any) -> Term:
        return self._apply("ge", self, x)


class Graph:
    """Makes terms. `simplify(graph, op, xs, params, shape)` may return another term for one."""

    def __init__(self, simplify: Any = None) -> None:
        self._simplify = simplify
        self._known: dict[Any, Term] = {}
        self._count = itertools.count()
        self.raised: dict[Any, Term] = {}
        """Terms of elementwise ops under a shape with more axes, by the term and the shape."""
        self.depth: dict[Term, int] = {}
        """The number of elementwise ops one after another before each term that one computes."""

    def leaf(self, shape: tuple[int, ...], dtype: np.dtype[Any]) -> Term:
        """A leaf that is no constant."""
        return self._new(None, (), {}, shape, dtype, None)

    def constant(self, value: Any) -> Term:
        """The constant of this array. (A large one is not compared with others.)"""
        value = np.ascontiguousarray(value).reshape(np.shape(value))
        if value.size > FOLDED:
            return self._new(None, (), {}, value.shape, value.dtype, value)
        key = (value.dtype, value.shape, value.tobytes())
        if key not in self._known:
            self._known[key] = self._new(None, (), {}, value.shape, value.dtype, value)
        return self._known[key]

    def apply(self, op: Op, *xs: Any, **params: Any) -> Term:
        """What `op` of these terms, arrays and numbers is."""
        terms = self._lifted(op, xs)
        dtype = op.prepare(terms)
        if dtype is not None:
            terms = [
                t if i < op.selects or t.dtype == dtype else self.apply(_CAST, t, dtype=dtype)
                for i, t in enumerate(terms)
            ]
        if isinstance(op, Fused):
            expanded: Term = op.definition(TermReader(self, terms[0].dtype), *terms, **params)
            return expanded
        return self.make(op, tuple(terms), params, *op.infer(*terms, **params))

    def make(
        self,
        op: Op,
        xs: tuple[Term, ...],
        params: Mapping[str, Any],
        shape: tuple[int, ...],
        dtype: np.dtype[Any],
    ) -> Term:
        """The term of a known shape, simplified."""
        folded = self._fold(op, xs, params, shape)
        if folded is not None:
            return folded
        if self._simplify is not None:
            simpler: Term | None = self._simplify(self, op, xs, params, shape)
            if simpler is not None:
                return simpler
        return self.raw(op, xs, params, shape, dtype)

    def raw(
        self,
        op: Op,
        xs: tuple[Term, ...],
        params: Mapping[str, Any],
        shape: tuple[int, ...],
        dtype: np.dtype[Any],
    ) -> Term:
        """The term as it is."""
        key = (id(op), xs, freeze(params), shape, dtype)
        found = self._known.get(key)
        if found is None:
            found = self._known[key] = self._new(op, xs, params, shape, dtype, None)
            if op.kind in ("elementwise", "constant"):
                self.depth[found] = 1 + max((self.depth.get(x, 0) for x in xs), default=0)
        return found

    def _new(
        self, op: Any, xs: Any, params: Any, shape: Any, dtype: Any, value: np.ndarray | None
    ) -> Term:
        t = Term()
        t.graph, t.op, t.inputs, t.params = self, op, xs, params
        t.shape, t.dtype, t.value, t.index = tuple(shape), dtype, value, next(self._count)
        t.name, t.size = op.name if op is not None else "", math.prod(shape)
        return t

    def _fold(self, op: Op, xs: Sequence[Term], params: Any, shape: Any) -> Term | None:
        """Constants of constants. A number that is only repeated stays a number."""
        if any(x.value is None for x in xs) or math.prod(shape) > FOLDED:
            return None
        if op.name == "expand" and math.prod(shape) > 1:
            return None
        try:
            value = op.forward(*[x.value for x in xs], **params)
        except (ValueError, TypeError, IndexError):
            return None  # the program raises it when it runs, as the op's own error
        return self.constant(np.asarray(value).reshape(shape))

    def _lifted(self, op: Op, xs: Sequence[Any]) -> list[Term]:
        terms: list[Any] = [
            x if isinstance(x, Term) else self.constant(x) if hasattr(x, "dtype") else None
            for x in xs
        ]
        valued = [t for t in terms[op.selects :] if t is not None]
        near = None if not valued else dtypes.promote(valued)
        for i, x in enumerate(xs):
            if terms[i] is None:
                dtype = dtypes.of_number(x, None if i < op.selects else near)
                terms[i] = self.constant(np.array(x, dtype))
        return terms


_CAST = TABLE["cast"]


class TermReader(Reader):
    """Rules and definitions on terms."""

    def __init__(self, graph: Graph, dtype: np.dtype[Any]) -> None:
        super().__init__(graph.apply, dtype=dtype)
        self._graph = graph

    def where(self, condition: Any, a: Any, b: Any) -> Any:
        """As the op; two bare numbers take this reader's dtype."""
        if isinstance(a, int | float) and isinstance(b, int | float):
            a = np.array(a, self.dtype)
        return self._graph.apply(TABLE["where"], condition, a, b)

    @staticmethod
    def detach(x: Any) -> Any:
        """Nothing is differentiated here: the term itself."""
        return x

    def zeros_like(self, x: Any) -> Any:
        """Zeros of the shape and dtype of `x`."""
        zero = self._graph.constant(np.zeros((), x.dtype))
        return self._graph.apply(TABLE["expand"], zero, shape=x.shape)


def freeze(x: Any) -> Any:
    """A parameter as something hashable, equal only for parameters that mean the same."""
    if isinstance(x, Mapping):
        return tuple((k, freeze(v)) for k, v in sorted(x.items()))
    if isinstance(x, Key):
        return ("key", *(freeze(part) for part in x.parts))
    if isinstance(x, slice):
        return ("slice", x.start, x.stop, x.step)
    if isinstance(x, tuple | list):
        return tuple(freeze(part) for part in x)
    if isinstance(x, float):
        return ("float", x.hex())
    try:
        hash(x)
    except TypeError:
        return object()
    return (type(x).__name__, x)
