"""The vector reader: an elementwise rule, read as LLVM instructions.

What flows through the rule is `Number` and `Condition` (`kernels/vector_math/arithmetic.py`).
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

from tinygrad_edu.kernels import vector_math
from tinygrad_edu.kernels.vector_math.arithmetic import Condition, Number
from tinygrad_edu.ops import floats
from tinygrad_edu.ops.kinds import Elementwise


class VectorReader:
    """The namespace of rules in which vectors flow. Functions that the vector library does not have
    become LLVM's intrinsics, which call libm for each lane."""

    pi, sqrt2, sqrtpi = floats.pi, floats.sqrt2, floats.sqrtpi

    def __init__(self, like: Number) -> None:
        self._like = like

    def __getattr__(self, name: str) -> Callable[..., Number]:
        if name in vector_math.SUPPORTED:
            return lambda x: x.of(vector_math.emit(name, x.builder, self._number(x).value))
        return lambda x, *others: self._number(x).intrinsic(name, *others)

    def _number(self, x: Any) -> Number:
        return x if isinstance(x, Number) else self._like.constant(float(x))

    def abs(self, x: Number) -> Number:
        """Without its sign."""
        return x.abs()

    def where(self, condition: Condition | bool, a: Any, b: Any) -> Number:
        """`a` where the condition holds, else `b`."""
        if isinstance(condition, bool):
            return self._number(a if condition else b)
        return condition.select(self._number(a), self._number(b))

    def maximum(self, a: Any, b: Any) -> Number:
        """The larger operand; nan if either is nan."""
        x, y = self._number(a), self._number(b)
        return (x > y).or_(x.differs(x)).select(x, y)

    def minimum(self, a: Any, b: Any) -> Number:
        """The smaller operand; nan if either is nan."""
        x, y = self._number(a), self._number(b)
        return (x < y).or_(x.differs(x)).select(x, y)

    def eq(self, a: Any, b: Any) -> Condition:
        """a == b"""
        return self._number(a).is_equal(b)

    def ne(self, a: Any, b: Any) -> Condition:
        """a != b"""
        return self._number(a).differs(b)

    def logical_and(self, a: Condition, b: Condition) -> Condition:
        """Both hold."""
        return a.and_(b)

    def logical_or(self, a: Condition, b: Condition) -> Condition:
        """At least one holds."""
        return a.or_(b)

    def logical_not(self, a: Condition) -> Condition:
        """Does not hold."""
        return a.not_()

    def sign(self, x: Number) -> Number:
        """-1, 0 or 1; nan stays nan."""
        return (x > 0.0).select(1.0, (x < 0.0).select(-1.0, x * 0.0))

    def remainder(self, a: Any, b: Any) -> Number:
        """a - b floor(a / b), with the sign of b: what C has, a - b trunc(a / b), and b more where
        that has the other sign."""
        x, y = self._number(a), self._number(b)
        rest = x.of(x.builder.frem(x.value, y.value))
        opposite = (rest < 0.0).and_(y > 0.0).or_((rest > 0.0).and_(y < 0.0))
        return opposite.select(rest + y, rest)

    def floor_divide(self, a: Any, b: Any) -> Number:
        """floor(a / b), of the exact quotient."""
        x, y = self._number(a), self._number(b)
        return ((x - self.remainder(x, y)) / y).intrinsic("rint")


def arity(op: Elementwise) -> int:
    """How many operands an op has."""
    return len(inspect.signature(op.rule).parameters) - 1


def value(op: Elementwise, xs: list[Number]) -> Number:
    """The op of its operands."""
    reader = VectorReader(xs[0])
    return reader._number(op.rule(reader, *_operands(op, xs)))


def pull(op: Elementwise, i: int, g: Number, y: Number, xs: list[Number]) -> Number:
    """Operand i's share of the cotangent g. A condition lets it through or not, and so do the zeros
    of an op that `picks`: inf times 0 would be nan."""
    reader, partial = VectorReader(g), op.partials[i]
    assert partial is not None
    factor: Any = partial(reader, y, *_operands(op, xs))
    if isinstance(factor, Condition):
        return factor.select(g, 0.0)
    if factor in (1, -1) and not isinstance(factor, Number):
        return g if factor == 1 else -g
    product = g * factor
    return reader._number(factor).is_equal(0.0).select(0.0, product) if op.picks else product


def _operands(op: Elementwise, xs: list[Number]) -> list[Any]:
    """Operands in front of those with a derivative only select: they are read as conditions."""
    return [x.differs(0.0) if i < op.selects else x for i, x in enumerate(xs)]
