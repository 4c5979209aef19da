"""`compile_values`: what it accepts, what it refuses, when it traces again."""

from __future__ import annotations

import numpy as np
import pytest

from tinygrad_edu import Value, autograd, no_grad
from tinygrad_edu.compiler.lanes import compile_values
from tinygrad_edu.errors import ArgumentError, GradientError, ShapeError, TraceError
from tinygrad_edu.scalar import batch_mean, batch_sum

REFUSED = {
    "a comparison": lambda x: x if x > 0 else -x,
    "max": lambda x: max(x, Value(0.0)),
    "float": lambda x: x * float(x),
    "float of data": lambda x: x * float(x.data),
    "a branch on data": lambda x: x if x.data > 0 else -x,
    "no_grad": no_grad()(lambda x: x * x),
    "an op without a derivative": lambda x: x.floor(),
    "autograd.grad": lambda x: autograd.grad(x * x, x)[0],
}


@pytest.mark.parametrize("what", REFUSED)
def test_what_would_decide_by_a_number(what: str) -> None:
    with pytest.raises(TraceError, match=r"(?s)trace.*test_lanes\.py"):
        compile_values(REFUSED[what])(1.0)


def test_after_an_error_values_are_as_before() -> None:
    w = Value(2.0)

    def bad(x: Value) -> Value:
        w.data = x * 3
        return x if x > 0 else w

    with pytest.raises(TraceError):
        compile_values(bad)(1.0)
    assert w.data == 2.0
    assert (w * 2).data == 4.0
    assert w > 1


def test_backward_twice_is_refused() -> None:
    w = Value(1.0)

    def twice(x: Value) -> None:
        (w * x).backward()
        (w + x).backward()

    with pytest.raises(TraceError, match="once"):
        compile_values(twice)(1.0)


def test_computing_with_what_was_assigned_is_refused() -> None:
    w = Value(1.0)

    def twice(x: Value) -> Value:
        w.data = w.data + x
        return w * x

    with pytest.raises(TraceError, match="assigned"):
        compile_values(twice)(1.0)


def test_another_number_in_the_closure_traces_again() -> None:
    w, power = Value(3.0), 2
    compiled = compile_values(lambda: w**power)
    assert compiled().data == 9.0
    power = 3
    assert compiled().data == 27.0
    power = 2
    assert compiled().data == 9.0


SLOPE = 0.5


def test_another_global_traces_again(monkeypatch: pytest.MonkeyPatch) -> None:
    compiled = compile_values(lambda xs: sum(x * SLOPE for x in xs))
    assert compiled([1.0, 2.0]).data == 1.5
    monkeypatch.setitem(globals(), "SLOPE", 2.0)
    assert compiled([1.0, 2.0]).data == 6.0


def test_arguments_of_any_kind() -> None:
    traces = []

    def function(name: str, pair: tuple[Value, Value], *, flip: bool = False) -> dict[str, Value]:
        traces.append(name)
        a, b = pair
        return {name: b - a if flip else a - b}

    compiled = compile_values(function)
    assert compiled("x", (3.0, 1.0))["x"].data == 2.0
    assert compiled("x", (Value(5.0), 1))["x"].data == 4.0
    assert compiled("x", (3.0, 7.0))["x"].data == -4.0
    assert compiled("y", (3.0, 1.0), flip=True)["y"].data == -2.0
    assert traces == ["x", "x", "y"]


def test_what_is_no_leaf_is_refused_as_an_argument() -> None:
    w = Value(1.0)
    compiled = compile_values(lambda x: w * x)
    with pytest.raises(GradientError, match=r"\.data"):
        compiled(w * 2)
    with pytest.raises(GradientError, match="not both"):
        compiled(w)


def test_arrays_that_do_not_fit() -> None:
    compiled = compile_values(lambda x, y: x * y)
    with pytest.raises(ShapeError, match="one length"):
        compiled(np.ones(3), np.ones(4))
    with pytest.raises(ArgumentError, match="no sample"):
        compiled(np.ones(0), np.ones(0))
    with pytest.raises(ArgumentError, match="numbers"):
        compiled(np.ones(3), np.array(["a", "b", "c"]))


def test_outside_of_lanes_a_sum_has_one_sample() -> None:
    x = Value(3.0)
    assert batch_mean(x) is x
    assert batch_sum(x) is x
    assert compile_values(lambda x: batch_mean(x * x) + batch_sum(x))(3.0).data == 12.0


def test_printing_is_allowed() -> None:
    assert compile_values(lambda x: x * len(repr(x)))(1.0).data == len("Value(data=1.0, grad=0.0)")
