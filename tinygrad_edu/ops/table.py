"""The op table: every op once, by name, and the reader that turns names back into calls.

An op says what it computes (`forward`), what comes out of given shapes (`infer`), how a cotangent
travels back (`vjp`) and how a tangent travels on (`jvp`). All four are supplied by the op's *kind*
(`kinds.py`); an op's author writes only the rule and its derivative.

Rules never name NumPy. They call functions of a namespace `m`, and whoever reads the rule chooses
it: floats, arrays, the recording graph, Numba source text, SymPy symbols.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, ClassVar

import numpy as np

from tinygrad_edu.ops import arrays
from tinygrad_edu.ops.dtypes import Spec

TABLE: dict[str, Op] = {}
"""Every registered op by name."""


class Op:
    """One op. `kind` names the class of rules it follows; subclasses supply the methods."""

    kind: ClassVar[str] = "op"
    differentiable: ClassVar[bool] = True
    view: bool = False
    """The result may share memory with its operand."""
    reads: bool = True
    """The derivative reads the operands' values, not only their shapes."""
    selects: int = 0
    """How many leading operands only select (the condition of `where`) and keep their dtype."""

    def __init__(self, name: str, doc: str | None = None) -> None:
        if name in TABLE:
            raise ValueError(f"op {name!r} is registered already; choose another name")
        self.name = name
        self.__doc__ = doc
        TABLE[name] = self

    def __repr__(self) -> str:
        return f"<{self.kind} op {self.name}>"

    def prepare(self, specs: Sequence[Spec]) -> np.dtype[Any] | None:
        """The dtype all operands must be cast to first, or None where they are right already."""
        return None

    def forward(self, *xs: Any, **params: Any) -> Any:
        """The value: arrays in, array out."""
        raise NotImplementedError(f"{self!r} has no forward rule")

    def infer(self, *xs: Spec, **params: Any) -> tuple[tuple[int, ...], np.dtype[Any]]:
        """Shape and dtype of the result, from those of the operands; raises on a misfit."""
        raise NotImplementedError(f"{self!r} has no shape rule")

    def vjp(
        self, m: Reader, g: Any, y: Any, xs: Sequence[Any], wanted: Sequence[bool], **params: Any
    ) -> list[Any]:
        """Cotangents of the operands from the cotangent `g` of the result `y`; None where an
        operand is not `wanted` or has no influence. `m` decides whether arrays or recorded
        tensors flow."""
        raise NotImplementedError(f"{self!r} has no derivative")

    def jvp(
        self, m: Reader, ts: Sequence[Any], y: Any, xs: Sequence[Any], **params: Any
    ) -> Any | None:
        """The tangent of the result `y` from the tangents `ts` of the operands. None stands for a
        tangent that is zero; at least one of `ts` is not."""
        raise NotImplementedError(f"{self!r} has no forward mode")


class Reader:
    """A rule's namespace in which one kind of thing flows.

    `apply(op, *operands, **params)` runs an op on that thing; `primitives` overrides single names
    by something faster. `dtype` is what a bare number becomes where nothing beside it has one.
    """

    def __init__(
        self, apply: Callable[..., Any], primitives: Any = None, dtype: np.dtype[Any] | None = None
    ) -> None:
        self.apply = apply
        self._primitives = primitives
        self.dtype = dtype

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._primitives, name, None)
        if found is None:
            found = getattr(arrays, name, None) if name in ("pi", "sqrt2", "sqrtpi") else None
        if found is None:
            if name not in TABLE:
                raise AttributeError(f"no op or primitive is named {name!r}")
            found = partial(self.apply, TABLE[name])
        setattr(self, name, found)
        return found


class ArrayReader(Reader):
    """Derivative rules on plain arrays: nothing is recorded."""

    def __init__(self, dtype: np.dtype[Any]) -> None:
        super().__init__(_forward, arrays, dtype)

    def where(self, condition: Any, a: Any, b: Any) -> Any:
        """As `np.where`, but two bare numbers take this reader's dtype, not float64."""
        if isinstance(a, int | float) and isinstance(b, int | float):
            assert self.dtype is not None
            a = self.dtype.type(a)
        return arrays.where(condition, a, b)  # type: ignore[no-untyped-call]

    @staticmethod
    def detach(x: Any) -> Any:
        """Nothing is recorded here: the array itself."""
        return x

    @staticmethod
    def zeros_like(x: Any) -> Any:
        """Zeros of the shape and dtype of `x`."""
        return np.zeros(x.shape, x.dtype)


def _forward(op: Op, *xs: Any, **params: Any) -> Any:
    return op.forward(*xs, **params)


_array_readers: dict[np.dtype[Any], ArrayReader] = {}


def array_reader(dtype: np.dtype[Any]) -> ArrayReader:
    """The array reader for results of this dtype (one is kept for each)."""
    reader = _array_readers.get(dtype)
    if reader is None:
        reader = _array_readers[dtype] = ArrayReader(dtype)
    return reader
