"""`Value`: what it computes, what it compares to, what it refuses."""

from __future__ import annotations

import copy
import math
import pickle
from collections.abc import Callable
from fractions import Fraction
from typing import Any

import numpy as np
import pytest

from tests.graph.operands import OPERANDS, call
from tinygrad_edu import ops
from tinygrad_edu.errors import ArgumentError, DTypeError, InPlaceError
from tinygrad_edu.graph import recording
from tinygrad_edu.graph.modes import no_grad
from tinygrad_edu.graph.value import Value
from tinygrad_edu.ops.kinds import Elementwise

ELEMENTWISE = {name: op for name, op in ops.TABLE.items() if isinstance(op, Elementwise)}

# ------------------------------------------------------------------------------ every op


def same(a: float, b: float) -> bool:
    return a == b or (math.isnan(a) and math.isnan(b))


@pytest.mark.parametrize("name", ELEMENTWISE)
def test_every_op_is_a_method(name: str) -> None:
    assert callable(getattr(Value, name))
    assert getattr(Value, name).__doc__


@pytest.mark.parametrize("name", OPERANDS)
def test_value_is_the_rule_s(name: str) -> None:
    for xs in OPERANDS[name]:
        expected = float(ELEMENTWISE[name].forward(*map(np.float64, xs)))
        assert call(name, *map(Value, xs)).data == pytest.approx(expected, rel=1e-15, abs=1e-300)
        with no_grad():
            assert call(name, *map(Value, xs)).data == pytest.approx(expected, rel=1e-15)


EDGES = [0.0, -0.0, 1.0, -1.0, 0.5, -2.5, 3.0, 6.0, 710.0, -710.0, 1e308, -1e308, 5e-324]
EDGES += [math.inf, -math.inf, math.nan]


@pytest.mark.parametrize("name", OPERANDS)
@np.errstate(all="ignore")
def test_edge_values_are_ieee(name: str) -> None:
    """Where Python would raise, too; both ways to record agree to the bit."""
    op = ELEMENTWISE[name]
    arity = len(OPERANDS[name][0])
    for x in EDGES:
        others = EDGES if arity == 2 else [0.0]
        for other in others:
            if (name, x, other) == ("pow", -math.inf, 0.5):
                continue  # NumPy has nan, C's pow and Python's inf
            xs = (x, other, 2.0)[:arity]
            found = call(name, *map(Value, xs)).data
            assert isinstance(found, float)
            again = recording.record(op, *map(Value, xs))
            assert same(found, again.data)
            expected = float(op.forward(*map(np.float64, xs)))
            assert same(found, expected) or found == pytest.approx(expected, rel=1e-14), xs


@pytest.mark.parametrize("name", ["lt", "le", "gt", "ge", "eq", "ne"])
def test_comparisons_answer_with_a_bool(name: str) -> None:
    for a in (1.0, 2.0, math.nan):
        for b in (1.0, 2.0, math.nan):
            expected = getattr(float, f"__{name}__")(a, b)
            assert getattr(Value(a), name)(Value(b)) is expected
            assert getattr(Value(a), f"__{name}__")(b) is expected
    assert (1.0 < Value(2.0)) is True  # noqa: SIM300
    assert (np.float32(3.0) < Value(2.0)) in (False, np.False_)


def test_logical_ops_answer_with_a_bool() -> None:
    yes, no = Value(2.0), Value(0.0)
    assert yes.logical_and(yes) is True
    assert yes.logical_and(no) is False
    assert no.logical_or(yes) is True
    assert no.logical_or(False) is False
    assert no.logical_not() is True
    assert yes.logical_not() is False


def test_sign_and_floor_are_leaves() -> None:
    assert [Value(x).sign().data for x in (-2.0, 0.0, 3.0)] == [-1.0, 0.0, 1.0]
    assert [Value(x).floor().data for x in (-0.5, 0.0, 2.7, math.inf)] == [-1.0, 0.0, 2.0, math.inf]
    assert Value(1.0).sign().is_leaf
    assert Value(1.5).floor().is_leaf


# ------------------------------------------------------------------------------ operators


@pytest.mark.parametrize(
    "number",
    [3, 3.0, True, Fraction(1, 2), np.float64(3), np.float32(0.1), np.int64(3), np.bool_(1)],
)
def test_numbers_on_either_side(number: Any) -> None:
    x, plain = Value(2.0), float(number)
    for found, expected in [
        (x + number, 2.0 + plain),
        (number + x, 2.0 + plain),
        (x - number, 2.0 - plain),
        (number - x, plain - 2.0),
        (x * number, 2.0 * plain),
        (number * x, 2.0 * plain),
        (x / number, 2.0 / plain),
        (number / x, plain / 2.0),
        (x**number, 2.0**plain),
        (number**x, plain**2.0),
        (-x, -2.0),
        (abs(-x), 2.0),
    ]:
        assert isinstance(found, Value)
        assert found.data == pytest.approx(expected, rel=1e-15)


def test_arrays_of_values() -> None:
    x = Value(2.0)
    for found in (x * np.array([1.0, 3.0]), np.array([1.0, 3.0]) * x):
        assert [v.data for v in found] == [2.0, 6.0]
    assert np.exp(x).data == math.exp(2.0)
    assert (np.array(3.0) * x).data == 6.0


@pytest.mark.parametrize("other", ["3", None, [1.0], 1j])
def test_other_operands_are_refused(other: Any) -> None:
    operations: list[Callable[[Value], Any]] = [
        lambda x: x + other,
        lambda x: other * x if not isinstance(other, str | list) else x * other,
        lambda x: x**other,
        lambda x: x.maximum(other),
        lambda x: x.where(True, other),
    ]
    for operation in operations:
        with pytest.raises(DTypeError, match=type(other).__name__):
            operation(Value(2.0))
    with pytest.raises(TypeError, match="add"):
        Value(2.0) + other
    with pytest.raises(DTypeError, match="Value"):
        Value(other)
    with pytest.raises(TypeError):
        _ = Value(1.0) < other
    assert (Value(1.0) == other) is False


def test_options_mean_what_they_mean_in_torch() -> None:
    assert Value(-2.0).leaky_relu().data == -0.02
    assert Value(-2.0).leaky_relu(0.5).data == -1.0
    assert Value(-1.0).elu(2.0).data == 2 * math.expm1(-1)
    assert Value(-3.0).hardtanh(min_val=-2.0).data == -2.0
    assert Value(3.0).clamp(max=1).data == 1.0
    assert Value(3.0).clamp(min=4).data == 4.0
    assert Value(3.0).where(False, 1.0).data == 1.0
    assert Value(3.0).where(Value(1.0), 1.0).data == 3.0
    with pytest.raises(ArgumentError, match="clamp"):
        Value(3.0).clamp()


# ------------------------------------------------------------------------------ what it is


def test_repr_and_float() -> None:
    x = Value(3)
    assert repr(x) == "Value(data=3.0, grad=0.0)"
    assert float(x) == 3.0
    assert f"{float(x * 2):.2f}" == "6.00"
    assert isinstance(x.data, float)
    assert isinstance(x.relu().data, float)
    assert isinstance((-x).relu().data, float)


def test_op_and_operands_show_the_graph() -> None:
    x, y = Value(2.0), Value(3.0)
    z = (x * y).exp() + 1
    assert (x.op, z.op) == (None, "add")
    product, one = z.operands[0], z.operands[1]
    assert (product.op, product.data) == ("exp", math.exp(6.0))
    assert one.is_leaf
    assert one.data == 1.0
    (inner,) = product.operands
    assert inner.operands[0] is x
    assert inner.operands[1] is y
    assert x.operands == ()


def test_hash_is_identity() -> None:
    x, y = Value(2.0), Value(2.0)
    assert x == y
    assert len({x, y}) == 2
    assert {x: "x", y: "y"}[x] == "x"


def test_data_of_a_leaf_can_be_assigned() -> None:
    x = Value(2.0)
    y = x * x
    x.data = 5
    assert (x.data, y.data, (x * x).data) == (5.0, 4.0, 25.0)
    assert isinstance(x.data, float)
    y.backward()
    assert x.grad == 4.0  # the derivative where y was computed


def test_data_of_a_result_cannot() -> None:
    y = Value(2.0) * 3.0
    with pytest.raises(InPlaceError, match="mul"):
        y.data = 1.0
    assert y.data == 6.0


def test_grad_can_be_assigned() -> None:
    x = Value(2.0)
    x.grad = 1
    (x * 3.0).backward()
    assert x.grad == 4.0
    x.grad = 0
    assert isinstance(x.grad, float)


def test_without_recording_results_are_leaves() -> None:
    x = Value(2.0)
    with no_grad():
        y = (x * 3 + 1 - x).exp() ** 2 / 2
        z = 1 - x
    assert y.is_leaf
    assert z.is_leaf
    assert z.data == -1.0
    y.backward()
    assert (x.grad, y.grad) == (0.0, 1.0)


def test_leaves_can_be_copied() -> None:
    x = Value(2.0)
    (x * x).backward()
    for again in (copy.copy(x), copy.deepcopy([x])[0], pickle.loads(pickle.dumps(x))):
        assert (again.data, again.grad, again.is_leaf) == (2.0, 4.0, True)
        assert again is not x
    with pytest.raises(InPlaceError, match="copy"):
        copy.copy(x * x)


def test_tracebacks_show_the_line() -> None:
    """The methods are written by a template, and a debugger must find what was written."""
    import inspect

    source = inspect.getsource(Value.__mul__)
    assert "y = (x0 * x1)" in source


@pytest.mark.parametrize("xs", [[0.3, -2.0, 1.5], [0.3, 2, np.float64(-1.0)], []])
@pytest.mark.parametrize("numbers", [False, True])
def test_weighted_sum_is_the_sum(xs: list[Any], numbers: bool) -> None:
    xs = [x if numbers and i % 2 else Value(x) for i, x in enumerate(xs)]
    w, b = [Value(0.1), Value(-0.7), Value(1.9)][: len(xs)], Value(0.05)
    leaves = [v for v in (*w, *xs, b) if isinstance(v, Value)]
    gradients = []
    expected = sum((wi * xi for wi, xi in zip(w, xs, strict=True)), b)
    for y in (
        expected,
        recording.weighted_sum(w, xs, b),
        recording.weighted_sum(w, xs, b),
        recording.weighted_sum([*w, Value(1.0)], (x for x in xs), b),  # the shorter one counts
        recording.weighted_sum(w, [*xs, Value(1.0)], b),
    ):
        assert y.data == expected.data
        for v in leaves:
            v.grad = 0.0
        y.backward()
        gradients.append([v.grad for v in leaves])
    assert gradients == gradients[:1] * 5
    with no_grad():
        assert recording.weighted_sum(w, xs, b).is_leaf


def test_weighted_sum_records_single_operations() -> None:
    w, x, b = [Value(0.1), Value(-0.7)], [Value(0.3), Value(2.0)], Value(0.05)
    found = recording.weighted_sum(w, x, b)
    inner, product = found.operands
    assert (found.op, inner.op, product.op) == ("add", "add", "mul")
    assert product.operands[0] is w[1]
    assert inner.operands[0] is b
