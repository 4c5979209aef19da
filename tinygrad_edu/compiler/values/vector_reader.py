"""An elementwise rule and its partials as LLVM instructions, for every op of the scalar engine.

What flows through a rule is `kernels.lanes.Lanes`, read with that module's namespace.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from tinygrad_edu.compiler.rules import fingerprint
from tinygrad_edu.graph.tape import OPS
from tinygrad_edu.kernels import llvm
from tinygrad_edu.kernels.lanes import BOOL, Lanes, Namespace
from tinygrad_edu.kernels.values.interpreter import Case
from tinygrad_edu.ops.kinds import Elementwise


class Reader(Namespace):
    """The namespace of rules, in which bare numbers and conditions may stand alone."""

    @classmethod
    def beside(cls, x: Lanes) -> Reader:
        """The reader for a rule of such operands."""
        return cls(x.builder, getattr(x.value.type, "count", 1), x.dtype, type(x))

    def lanes(self, x: Any) -> Lanes:
        """A rule's result: lanes, or a bare number in every lane."""
        return x if isinstance(x, Lanes) else self.number(x, self._dtype)

    def where(self, condition: Lanes | bool, a: Any, b: Any) -> Lanes:
        """`a` where the condition holds, else `b`."""
        if isinstance(condition, bool):
            return self.lanes(a if condition else b)
        return super().where(condition, a, b)

    def pow(self, x: Any, n: Any) -> Lanes:
        """x to the power n. Of one number the C library's is as quick, and it is Python's."""
        if self._count > 1:
            return super().pow(x, n)
        return self.lanes(x).call("pow", n)


def arity(op: Elementwise) -> int:
    """How many operands an op has."""
    return len(inspect.signature(op.rule).parameters) - 1


def value(op: Elementwise, xs: list[Lanes]) -> Lanes:
    """The op of its operands."""
    reader = Reader.beside(xs[0])
    return reader.lanes(op.rule(reader, *_operands(op, xs)))


def pull(op: Elementwise, i: int, g: Lanes, y: Lanes, xs: list[Lanes]) -> Lanes:
    """Operand i's share of the cotangent g. A condition lets it through or not, and so do the zeros
    of an op that `picks`: inf times 0 would be nan."""
    reader, partial = Reader.beside(g), op.partials[i]
    assert partial is not None
    factor: Any = partial(reader, y, *_operands(op, xs))
    if not isinstance(factor, Lanes):
        if factor in (1, -1):
            return g if factor == 1 else -g
        factor = reader.lanes(factor)
    if factor.dtype == BOOL:
        return reader.where(factor, g, 0.0)
    product = g * factor
    return reader.where(factor.compare("==", 0.0), 0.0, product) if op.picks else product


def _operands(op: Elementwise, xs: list[Lanes]) -> list[Any]:
    """Operands in front of those with a derivative only select: they are read as conditions."""
    return [x.compare("!=", 0.0) if i < op.selects else x for i, x in enumerate(xs)]


# ------------------------------------------------------------------------------ kernels


def kernel(what: str, emit: Callable[[Sequence[Case], str], str], codes: Iterable[int]) -> int:
    """The address of a machine's kernel for some ops of the tape, compiled or loaded: `emit` writes
    it for cases, as a function of some name."""
    listed = sorted(codes)
    signature = [f"{what} {_own_source()}", *(f"{code} {_signature(code)}" for code in listed)]
    cases = functools.partial(emit, [_case(code) for code in listed])
    return llvm.address("\n".join(signature), cases, optimise=True)


@functools.cache
def _own_source() -> str:
    return fingerprint(value) + fingerprint(pull) + inspect.getsource(Reader)


def _op(code: int) -> Elementwise:
    op = OPS[code]
    assert op is not None
    return op


@functools.cache
def _signature(code: int) -> str:
    op = _op(code)
    partials = [partial and fingerprint(partial) for partial in op.partials]
    return f"{op.name} {op.selects} {op.picks} {fingerprint(op.rule)} {partials}"


def _case(code: int) -> Case:
    op = _op(code)
    partials = [*op.partials, *[None] * (arity(op) - len(op.partials))]
    pulls = tuple(
        None if partial is None else functools.partial(pull, op, i)
        for i, partial in enumerate(partials)
    )
    return Case(code, functools.partial(value, op), pulls)
