"""From an op to the method that computes it on Values and records it.

An op on Values takes a quarter of a microsecond, and calling its rule would add a quarter to that.
So the lines that do the work are written out for every op with the rule's own expression in place:
`_TEMPLATE` is what runs when two Values are added. `record` is the same in plain Python, for ops
that are called less often.
"""

from __future__ import annotations

import functools
import linecache
import math
import numbers
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from tinygrad_edu.errors import DTypeError
from tinygrad_edu.graph import tape, text
from tinygrad_edu.graph.modes import state
from tinygrad_edu.ops import arrays, floats
from tinygrad_edu.ops.elementwise import add, mul
from tinygrad_edu.ops.kinds import Elementwise

if TYPE_CHECKING:
    from tinygrad_edu.graph.value import Result, Value
else:
    Result = Value = None  # until `value.py`, which is built on this module, calls `connect`

Number = int | float | np.number[Any] | np.bool_

# x0, x1 are the operands' numbers, p0, p1 their positions on the tape. Where Python raises and IEEE
# arithmetic has a result, the rule is read with NumPy instead. Writing past a page's end is an
# IndexError, so looking out for a full page costs nothing.
_TEMPLATE = """\
def {function}({parameters}):
    if not state.recording:
        return compute(OPS[{code}], {operands})
    page = tape.page
    try:{reads}
        try:
            y = {rule}
        except (ArithmeticError, ValueError):
            y = evaluate(OPS[{code}].rule, {values})
        position = page.next()
        page.op[position] = {code}{writes}
        page.value[position] = y
    except IndexError:
        tape.turn(page)
        return {function}({parameters})
    result = Result()
    result._data = y
    result._page = page
    result._index = position
    return result
"""

_READ_VALUE = """
        x{i} = {name}._data
        p{i} = {name}._index if {name}._page is page else page.enter({name})"""

_READ_VALUE_OR_NUMBER = """
        if {name}.__class__ is float:
            x{i} = {name}
            p{i} = page.next()
            page.value[p{i}] = x{i}
        elif {name}.__class__ is Result or isinstance({name}, Value):
            x{i} = {name}._data
            p{i} = {name}._index if {name}._page is page else page.enter({name})
        elif isinstance({name}, ndarray):
            return NotImplemented
        else:
            x{i} = as_float(OPS[{code}], {name})
            p{i} = page.constant(x{i})"""

_WRITE = """
        page.{column}[position] = p{i}"""


def unary(op: Elementwise) -> Callable[[Value], Value]:
    """The method that computes `op` of a Value."""
    return _write(op, op.name, "self", {"self": _READ_VALUE})


def binary(op: Elementwise) -> Callable[[Value, Value | Number], Value]:
    """The operator with a Value on its left and a Value or a number on its right."""
    operands = {"self": _READ_VALUE, "other": _READ_VALUE_OR_NUMBER}
    return _write(op, op.name, "self, other", operands)


def reflected(op: Elementwise) -> Callable[[Value, Number], Value]:
    """The operator with a number on its left and a Value on its right."""
    operands = {"other": _READ_VALUE_OR_NUMBER, "self": _READ_VALUE}
    return _write(op, f"r{op.name}", "self, other", operands)


def _write(
    op: Elementwise, name: str, parameters: str, operands: dict[str, str]
) -> Callable[..., Value]:
    """The template, filled in and compiled; tracebacks and debuggers find its source."""
    code, values = tape.code_of(op), [f"x{i}" for i in range(len(operands))]
    reads = [
        read.format(i=i, name=operand, code=code)
        for i, (operand, read) in enumerate(operands.items())
    ]
    columns = ("left", "right")[: len(operands)]
    function = f"value_{name}"
    source = _TEMPLATE.format(
        function=function,
        parameters=parameters,
        operands=", ".join(operands),
        reads="".join(reads),
        rule=text.rule(op, values),
        values=", ".join(values),
        code=code,
        writes="".join(_WRITE.format(i=i, column=column) for i, column in enumerate(columns)),
    )
    file = f"<tinygrad_edu {function}>"
    linecache.cache[file] = len(source), None, source.splitlines(keepends=True), file
    exec(compile(source, file, "exec"), _namespace)
    method: Callable[..., Value] = _namespace[function]
    method.__name__, method.__doc__ = name, op.__doc__
    return method


def record(op: Elementwise, *operands: Any) -> Value:
    """Compute `op` of Values and numbers and record it: the template's way, for any op."""
    if not state.recording:
        return compute(op, *operands)
    page = tape.page
    try:
        places = [
            (x._index if x._page is page else page.enter(x))
            if isinstance(x, Value)
            else page.constant(as_float(op, x))
            for x in operands
        ]
        y = evaluate(op.rule, *(page.value[place] for place in places))
        position = page.next()
        page.op[position] = tape.code_of(op)
    except IndexError:
        tape.turn(page)
        return record(op, *operands)
    records = page.records
    for column, place in zip((records.left, records.right, records.third), places, strict=False):
        column[position] = place
    page.value[position] = y
    return Result.at(page, position)


def weighted_sum(weights: Sequence[Value], xs: Iterable[Any], start: Value) -> Value:
    """start + w0 x0 + w1 x1 + ..., added from left to right as ``sum`` does it; x may be numbers.

    The records are those of the single operations, but no Value is made of what lies between, and
    the ops' codes are written all at once. This takes consecutive records: where another came
    between, of a Value that entered the page or of another thread, all are written again. The
    first ones remain without a code, as constants that nobody uses.
    """
    xs = tuple(xs)
    n = len(xs)
    if n != len(weights) or not n or not state.recording:
        return _plain_sum(weights, xs, start)
    page = tape.page
    draw, left, right, value = page.next, page.left, page.right, page.value
    try:
        y, total = start._data, start._index if start._page is page else page.enter(start)
        mark = draw()
        for w, x in zip(weights, xs, strict=False):
            p0 = w._index if w._page is page else page.enter(w)
            p1 = x._index if x._page is page else page.enter(x)
            position, before = draw(), total
            left[position] = p0
            right[position] = p1
            value[position] = product = w._data * x._data
            total = draw()
            left[total] = before
            right[total] = position
            value[total] = y = y + product
    except AttributeError:  # there are numbers among the Values
        return _plain_sum(weights, xs, start)
    except IndexError:
        tape.turn(page)
        return weighted_sum(weights, xs, start)
    if total - mark != 2 * n:
        return weighted_sum(weights, xs, start)
    page.op[mark + 1 : total + 1] = _codes_of_weighted_sum(n)
    result = Result()  # type: ignore[call-arg]
    result._data = y
    result._page = page
    result._index = total
    return result


def _plain_sum(weights: Sequence[Value], xs: Iterable[Any], start: Value) -> Value:
    return sum((w * x for w, x in zip(weights, xs, strict=False)), start)


@functools.cache
def _codes_of_weighted_sum(n: int) -> bytes:
    return bytes([tape.code_of(mul), tape.code_of(add)] * n)


def compute(op: Elementwise, *operands: Any) -> Value:
    """Compute `op` of Values and numbers without recording: a new leaf."""
    if state.watcher is not None:
        state.watcher.refuse(f"{op.name} was computed without recording it of")
    xs = [x._data if isinstance(x, Value) else as_float(op, x) for x in operands]
    return Value(evaluate(op.rule, *xs))


def evaluate(rule: Callable[..., Any], *xs: float) -> Any:
    """A rule's number, or truth, for floats. It is read with NumPy where Python raises and IEEE
    arithmetic has inf or nan."""
    try:
        y = rule(floats, *xs)
    except (ArithmeticError, ValueError):
        with np.errstate(all="ignore"):
            y = np.asarray(rule(arrays, *map(np.float64, xs))).item()
    return y if isinstance(y, bool) else float(y)


def as_float(op: Elementwise, x: Any) -> float:
    """A number as an operand of `op`."""
    if is_number(x):
        return float(x)
    raise DTypeError(
        f"{op.name}: cannot use {type(x).__name__} together with a Value; pass a Value or a number."
    )


def is_number(x: Any) -> bool:
    """Whether x is a real number of Python's or NumPy's."""
    return isinstance(x, (float, int, numbers.Real, np.bool_))  # the frequent ones first


_namespace: dict[str, Any] = {name: getattr(floats, name) for name in floats.__all__}
_namespace.update(inf=math.inf, nan=math.nan, ndarray=np.ndarray)
_namespace.update(state=state, tape=tape, OPS=tape.OPS)
_namespace.update(compute=compute, evaluate=evaluate, as_float=as_float)


def connect(value_class: type[Value], result_class: type[Result]) -> None:
    """Tell what is recorded on: the classes that `value.py` makes of these methods."""
    global Result, Value
    Value, Result = value_class, result_class  # type: ignore[misc]
    _namespace.update(Value=Value, Result=Result)
