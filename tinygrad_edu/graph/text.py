"""The text reader: an elementwise rule, read as the source of a Python or Numba expression.

What flows through the rule is `Text`, whose operators write themselves down. Numbers are written as
floats, so that the expression computes in double precision whoever compiles it.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

from tinygrad_edu.errors import TraceError
from tinygrad_edu.ops import floats
from tinygrad_edu.ops.kinds import Elementwise


class Text:
    """The source of an expression; `condition` if its value is true or false."""

    __slots__ = ("condition", "source")

    def __init__(self, source: str, condition: bool = False) -> None:
        self.source = source
        self.condition = condition

    def __bool__(self) -> bool:
        raise TraceError(
            f"a rule decided on {self.source} while it was read as text; write m.where, m.maximum, "
            "m.logical_and instead of if, max, and"
        )

    def __neg__(self) -> Text:
        return Text(f"(-{self.source})")


def _source(operand: Any) -> str:
    """An operand's source; numbers are floats ("inf" and "nan" are names the text may use)."""
    return operand.source if isinstance(operand, Text) else repr(float(operand))


def _infix(symbol: str, condition: bool = False) -> tuple[Callable[..., Text], Callable[..., Text]]:
    def forward(a: Any, b: Any) -> Text:
        return Text(f"({_source(a)} {symbol} {_source(b)})", condition)

    return forward, lambda a, b: forward(b, a)


for _name, _symbol in {"add": "+", "sub": "-", "mul": "*", "truediv": "/"}.items():
    _forward, _reflected = _infix(_symbol)
    setattr(Text, f"__{_name}__", _forward)
    setattr(Text, f"__r{_name}__", _reflected)
for _name, _symbol in {"lt": "<", "le": "<=", "gt": ">", "ge": ">="}.items():
    setattr(Text, f"__{_name}__", _infix(_symbol, condition=True)[0])


class TextReader:
    """The namespace of rules in which text flows: functions become calls of the same name."""

    eq = staticmethod(_infix("==", condition=True)[0])
    ne = staticmethod(_infix("!=", condition=True)[0])
    logical_and = staticmethod(_infix("and", condition=True)[0])
    logical_or = staticmethod(_infix("or", condition=True)[0])

    @staticmethod
    def logical_not(a: Any) -> Text:
        """The opposite condition."""
        return Text(f"(not {_source(a)})", condition=True)

    @staticmethod
    def where(condition: Any, a: Any, b: Any) -> Text:
        """A branch."""
        return Text(f"({_source(a)} if {_source(condition)} else {_source(b)})")

    def __getattr__(self, name: str) -> Any:
        primitive = getattr(floats, name)
        if isinstance(primitive, float):
            return primitive
        return lambda *xs: Text(f"{name}({', '.join(map(_source, xs))})")


reader = TextReader()


def rule(op: Elementwise, operands: list[str]) -> str:
    """The expression of the op's value."""
    return _source(op.rule(reader, *_operands(op, operands)))


def pull(op: Elementwise, i: int, g: str, y: str, operands: list[str]) -> str | None:
    """The expression of operand i's share of the cotangent `g`, or None if it gets none.

    A partial that is a condition lets `g` through or not; it must not multiply, as inf * 0 is nan.
    The same holds for the zeros of the partials of an op that `picks`.
    """
    partial = op.partials[i] if i < len(op.partials) else None
    if partial is None:
        return None
    factor = partial(reader, Text(y), *_operands(op, operands))
    if isinstance(factor, Text) and factor.condition:
        return f"({g} if {factor.source} else 0.0)"
    if not isinstance(factor, Text) and factor in (1, -1):
        return g if factor == 1 else f"-{g}"
    product = f"{g} * {_source(factor)}"
    return f"(0.0 if {_source(factor)} == 0.0 else {product})" if op.picks else product


def _operands(op: Elementwise, names: list[str]) -> list[Text]:
    """Operands in front of those with a derivative only select: they are read as conditions."""
    return [
        Text(f"({name} != 0.0)", condition=True) if i < op.selects else Text(name)
        for i, name in enumerate(names)
    ]


def primitives() -> str:
    """The source of the functions that expressions call: the bodies in `ops/floats.py`, marked by
    ``@primitive`` for whoever compiles them, and the same imports from `math`."""
    lines = ["import math", "from math import inf, nan"]
    functions = []
    for name in floats.__all__:
        function = getattr(floats, name)
        if inspect.isbuiltin(function):
            lines.append(f"from math import {function.__name__} as {name}")
        elif inspect.isfunction(function):
            functions.append("@primitive\n" + inspect.getsource(function))
    return "\n".join(lines) + "\n\n\n" + "\n\n".join(functions)
