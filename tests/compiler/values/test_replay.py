"""A replay on one sample computes what the operations compute one by one."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import tinygrad_edu as tg
from tests.compiler.values.expressions import Expression, expressions
from tinygrad_edu import Value
from tinygrad_edu.errors import GradientError

LEAVES = 3
numbers = st.lists(st.floats(-3, 3, width=32), min_size=LEAVES, max_size=LEAVES)

ROUNDING = 1e-12
"""Relative: libm's functions from Numba may differ in the last place from Python's, and the
cotangents of a Value that is used often are added in another order. A few units of 2^-53 for each
of a dozen steps, amplified by what the steps cancel."""


def same(a: float, b: float, scale: float = 1.0) -> bool:
    return (math.isnan(a) and math.isnan(b)) or math.isclose(
        a, b, rel_tol=ROUNDING, abs_tol=ROUNDING * scale
    )


@given(expressions(LEAVES), numbers, numbers)
def test_equal_to_the_operations_one_by_one(
    expression: Expression, traced_with: list[float], called_with: list[float]
) -> None:
    leaves = [Value(x) for x in traced_with]
    compiled = tg.compile(lambda x: expression([x, *leaves[1:]]))
    compiled(traced_with[0])
    for leaf, x in zip(leaves, called_with, strict=True):
        leaf.data = x
    result = compiled(leaves[0])
    result.backward()

    eager = [Value(x) for x in called_with]
    expected = expression(eager)
    expected.backward()
    assert same(result.data, expected.data)
    scale = max((abs(x.grad) for x in eager if math.isfinite(x.grad)), default=1.0)
    for leaf, reference in zip(leaves, eager, strict=True):
        assert same(leaf.grad, reference.grad, max(scale, abs(expected.data)))


def test_arithmetic_gives_the_same_bits() -> None:
    draw = np.random.default_rng(0)
    weights, xs = ([Value(x) for x in draw.normal(size=50)] for _ in range(2))
    b = Value(0.1)

    def neuron(scale: float) -> Value:
        return (sum((w * x for w, x in zip(weights, xs, strict=True)), b) * scale).relu() ** 3

    compiled = tg.compile(neuron)
    assert compiled(1.7).data == neuron(1.7).data
    assert compiled(-0.3).data == neuron(-0.3).data


def test_backward_adds_and_an_earlier_result_still_has_one() -> None:
    w = Value(2.0)
    cube = tg.compile(lambda x: x * w * w * w)
    first, second = cube(1.0), cube(10.0)
    assert (first.data, second.data) == (8.0, 80.0)
    first.backward()
    assert w.grad == 12.0
    second.backward()
    assert w.grad == 12.0 + 120.0


def test_an_argument_takes_its_grad() -> None:
    square = tg.compile(lambda x: x * x)
    for number in (3.0, -5.0):
        x = Value(number)
        square(x).backward()
        assert x.grad == 2 * number


def test_a_training_step_in_one_call() -> None:
    w, b = Value(0.5), Value(0.0)

    def step(x: Value, target: Value, learning_rate: Value) -> Value:
        loss = (w * x + b - target) ** 2
        w.grad = b.grad = 0.0
        loss.backward()
        for p in (w, b):
            p.data -= learning_rate * p.grad
        return loss.data

    compiled, history = tg.compile(step), []
    for x, target in [(1.0, 2.0), (2.0, 3.0), (-1.0, 0.0)] * 5:
        history.append((compiled(x, target, 0.1), w.data, b.data, w.grad))
    w.data, b.data = 0.5, 0.0
    for (x, target), seen in zip([(1.0, 2.0), (2.0, 3.0), (-1.0, 0.0)] * 5, history, strict=True):
        assert (step(Value(x), Value(target), 0.1), w.data, b.data, w.grad) == pytest.approx(seen)  # type: ignore[arg-type]


def test_grads_accumulate_unless_they_are_zeroed() -> None:
    w = Value(3.0)

    def step(x: Value) -> None:
        (w * x).backward()

    compiled = tg.compile(step)
    compiled(2.0)
    compiled(5.0)
    assert w.grad == 7.0


def test_only_what_a_result_depends_on_takes_part() -> None:
    """The other result has an infinite derivative at 0; 0 times that would be nan."""
    w = Value(0.0)
    both = tg.compile(lambda: (w * 2, w.sqrt()))
    twice, _ = both()
    twice.backward()
    assert w.grad == 2.0


@pytest.mark.parametrize("links", [1_000_000])
def test_a_chain_of_a_million(links: int) -> None:
    def chain(x: Value) -> Value:
        for _ in range(links // 2):
            x = (x + 1e-6) * 1.0
        return x

    compiled = tg.compile(chain)
    x = Value(0.25)
    y = compiled(x)
    y.backward()
    assert y.data == pytest.approx(0.75)
    assert x.grad == 1.0


def test_a_result_cannot_be_computed_with() -> None:
    square = tg.compile(lambda x: x * x)
    with pytest.raises(GradientError, match="inside of the function"):
        square(2.0) + 1
