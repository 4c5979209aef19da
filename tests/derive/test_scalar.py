"""Derivatives of Values: right for every op, to any order, the same from both walks."""

from __future__ import annotations

import math
import random
import struct
import time
from collections.abc import Callable
from typing import Any

import pytest

from tests.derive.values import central_difference, gradient
from tests.graph.operands import OPERANDS, call
from tinygrad_edu import ops
from tinygrad_edu.derive import scalar
from tinygrad_edu.derive.scalar import grad_values
from tinygrad_edu.graph import recording
from tinygrad_edu.graph.tape import OPS
from tinygrad_edu.graph.value import Value

# ------------------------------------------------------------------------------ every op


def differentiable_operands(name: str) -> list[int]:
    op = next(op for op in OPS if op is not None and op.name == name)
    return [i for i, partial in enumerate(op.partials) if partial is not None]


@pytest.mark.parametrize("name", OPERANDS)
def test_gradient_of_every_op(walk: str, name: str) -> None:
    for xs in OPERANDS[name]:
        for i in differentiable_operands(name):

            def f(x: float, i: int = i, xs: tuple[float, ...] = xs) -> float:
                return call(name, *map(Value, [*xs[:i], x, *xs[i + 1 :]])).data

            leaves = [Value(x) for x in xs]
            call(name, *leaves).backward()
            assert leaves[i].grad == pytest.approx(central_difference(f, xs[i]), rel=1e-8, abs=1e-9)


@pytest.mark.parametrize("order", [2, 3])
@pytest.mark.parametrize("name", OPERANDS)
def test_higher_order_of_every_op(name: str, order: int) -> None:
    """The derivative of order n against differences of the one of order n - 1."""

    def derivative(x: float, i: int, xs: tuple[float, ...], order: int) -> float:
        leaf = Value(x)
        y = call(name, *map(Value, xs[:i]), leaf, *map(Value, xs[i + 1 :])) * leaf
        for _ in range(order):
            (found,) = grad_values(y, leaf, create_graph=True, allow_unused=True)
            if found is None:
                return 0.0
            y = found
        return y.data

    for xs in OPERANDS[name]:
        for i in differentiable_operands(name):
            expected = central_difference(lambda x: derivative(x, i, xs, order - 1), xs[i])  # noqa: B023
            found = derivative(xs[i], i, xs, order)
            assert found == pytest.approx(expected, rel=1e-6, abs=1e-7)


def random_graph(generator: random.Random, nodes: int, leaves: list[Value], wild: bool) -> Value:
    """A graph over every op of the tape, its operands leaves, results and numbers. Unless `wild`,
    only results of moderate size are used again, so that not all is nan in the end."""
    values: list[Any] = [*leaves, 0.5, -2.0, 0.0]
    results = []
    while len(results) < nodes:
        op = generator.choice([op for op in OPS if op is not None and op.name in OPERANDS])
        xs = [generator.choice(values[-12:] + leaves) for _ in OPERANDS[op.name][0]]
        if op is ops.pow and not wild and float(xs[0]) <= 0:
            continue  # has nan as derivative by the exponent
        y = recording.record(op, *xs)
        if wild or 1e-3 < abs(y.data) < 1e3:
            values.append(y)
            results.append(y)
    return sum(results, Value(0.0))


def bits(x: float) -> bytes:
    return b"nan" if math.isnan(x) else struct.pack("d", x)


@pytest.mark.parametrize("wild", [False, True])
def test_both_walks_give_the_same_bits(monkeypatch: pytest.MonkeyPatch, wild: bool) -> None:
    finite = 0
    for seed in range(100):
        generator = random.Random(seed)
        leaves = [Value(generator.uniform(-3, 3)) for _ in range(5)]
        root = random_graph(generator, 100, leaves, wild)
        gradients = []
        for left in (math.inf, 0):
            monkeypatch.setattr(scalar._NumberFlow, "left", left)
            for leaf in leaves:
                leaf.grad = 0.0
            root.backward()
            gradients.append([leaf.grad for leaf in leaves])
        assert [*map(bits, gradients[0])] == [*map(bits, gradients[1])]
        finite += sum(map(math.isfinite, gradients[0]))
    assert wild or finite > 250


# ------------------------------------------------------------------------------ backward


def test_a_graph_that_is_not_a_tree(walk: str) -> None:
    a = Value(3.0)
    b = a + a
    c = b + b
    c.backward()
    assert a.grad == 4.0


def test_one_value_on_both_sides(walk: str) -> None:
    for operation, expected in [
        (lambda x: x * x, 6.0),
        (lambda x: x / x, 0.0),
        (lambda x: x - x, 0.0),
        (lambda x: x**x, 27.0 * (math.log(3.0) + 1)),
        (lambda x: x.maximum(x), 1.0),
    ]:
        x = Value(3.0)
        operation(x).backward()
        assert x.grad == pytest.approx(expected, abs=1e-15)


def test_backward_twice_adds_the_same_again(walk: str) -> None:
    x = Value(3.0)
    y = x * x
    z = y * y
    z.backward()
    once = x.grad
    z.backward()
    assert (once, x.grad) == (108.0, 216.0)


def test_backward_from_two_results(walk: str) -> None:
    x = Value(2.0)
    h = x.exp()
    (h * 3.0).backward()
    (h * h).backward()
    assert x.grad == pytest.approx(3 * math.exp(2) + 2 * math.exp(4))


def test_backward_of_a_leaf() -> None:
    x = Value(2.0)
    x.backward()
    assert x.grad == 1.0


def test_only_what_the_root_depends_on_is_reached(walk: str) -> None:
    x, y = Value(2.0), Value(3.0)
    used = x * 2.0
    (y.log() * used).exp()  # newer than `used`, and no part of its graph
    (x - 5.0).backward()
    assert (x.grad, y.grad) == (1.0, 0.0)


def test_results_keep_no_gradient_unless_told(walk: str) -> None:
    x = Value(2.0)
    y, z = x * x, x.exp()
    y.retain_grad()
    root = y * y * z
    root.retain_grad()
    root.backward()
    root.backward()
    assert (root.grad, z.grad) == (2.0, 0.0)
    assert y.grad == pytest.approx(2 * 2 * 4.0 * math.exp(2))
    y.grad = 0.0
    z.grad = 0.0  # which retains it, too
    root.backward()
    assert y.grad == pytest.approx(2 * 4.0 * math.exp(2))
    assert z.grad == pytest.approx(16.0)


def test_conditions_select_and_do_not_multiply(walk: str) -> None:
    y = Value(-1.0)
    (y.relu() * math.inf).backward()
    assert y.grad == 0.0
    a, b = Value(1.0), Value(2.0)
    (a.maximum(b) * math.inf).backward()
    assert (a.grad, b.grad) == (0.0, math.inf)
    condition = Value(1.0)
    (a.where(condition, b) * math.inf).backward()
    assert (condition.grad, a.grad, b.grad) == (0.0, math.inf, math.inf)


def test_what_only_selects_takes_no_gradient(walk: str) -> None:
    condition, a, b = Value(1.0), Value(2.0), Value(3.0)
    y = a.where(condition, b)
    for create_graph in (False, True):
        found = grad_values(y, [condition, a], create_graph=create_graph, allow_unused=True)
        assert found == (None, Value(1.0))


def test_conditions_select_in_derivatives_that_are_recorded() -> None:
    for operation in (Value.relu, Value.relu6, lambda x: x.clamp(0, 1), lambda x: x.maximum(0.0)):
        x = Value(-1.0)
        assert gradient(operation(x) * math.inf, x, create_graph=True) == 0.0


def test_zero_times_infinity_is_nan(walk: str) -> None:
    """As in torch: what was reached counts, even with a cotangent of 0."""
    x = Value(0.0)
    (x.sqrt() * 0.0).backward()
    assert math.isnan(x.grad)
    y = Value(0.0)
    y.sqrt().where(y > 0.0, 1.0).backward()
    assert math.isnan(y.grad)


def test_infinite_derivatives(walk: str) -> None:
    cases: list[tuple[Callable[[Value], Value], float, float]] = [
        (Value.sqrt, 0.0, math.inf),
        (Value.log, 0.0, math.inf),
        (lambda x: 1.0 / x, 0.0, -math.inf),
        (lambda x: x**-1, 0.0, -math.inf),
        (lambda x: x**0, 0.0, 0.0),
        (lambda x: x**2, 0.0, 0.0),
        (Value.exp, 1000.0, math.inf),
        (Value.asin, 1.0, math.inf),
        (Value.cosh, 1000.0, math.inf),
    ]
    for operation, at, expected in cases:
        x = Value(at)
        operation(x).backward()
        assert x.grad == expected


def test_an_exponent_that_is_a_number_takes_no_gradient(walk: str) -> None:
    """The one of a Value would need the logarithm of -3."""
    x, n = Value(-3.0), Value(2.0)
    (x**2).backward()
    assert x.grad == -6.0
    (x**n).backward()
    assert x.grad == -12.0
    assert math.isnan(n.grad)


def test_a_leaf_that_changes_within_a_graph(walk: str) -> None:
    x = Value(2.0)
    y = x * x
    x.data = 5.0
    z = y + x * x
    z.backward()
    assert x.grad == 2 * 2.0 + 2 * 5.0


def test_across_pages(small_pages: None, walk: str) -> None:
    x, w = Value(0.3), Value(0.9)
    early = x * w
    early.retain_grad()
    y = early
    for _ in range(50):
        y = y * w + early.sin() * 0.1
    y.backward()

    def f(w: float) -> float:
        early = 0.3 * w
        y = early
        for _ in range(50):
            y = y * w + math.sin(early) * 0.1
        return y

    assert w.grad == pytest.approx(central_difference(f, 0.9), rel=1e-8)
    assert early.grad == pytest.approx(x.grad / 0.9, rel=1e-14)


def test_every_page_is_walked_once(small_pages: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """Though all of them import from the first one, too."""
    x = Value(0.3)
    early = x * 2.0
    y = early
    for _ in range(50):
        y = (y + early).tanh()
    walked = []
    pull = scalar._pull_numbers
    monkeypatch.setattr(
        scalar,
        "_pull_numbers",
        lambda records, *args: walked.append(records) or pull(records, *args),
    )
    y.backward()
    assert len(walked) == len(set(walked)) > 5


def test_the_workspace_is_left_clean(small_pages: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scalar._NumberFlow, "left", 0)
    x = Value(0.3)
    unused = x * 2.0
    y = x
    for _ in range(50):
        y = (y * 3.0 + unused).tanh()
    first = gradient(y, x, create_graph=True)  # makes Values of constants on other pages
    first.backward()
    assert grad_values(x * 3.0, [unused], allow_unused=True) == (None,)
    for work in scalar._spare:
        assert not work.state.any()
        assert not work.cotangent.any()


def test_a_million_steps() -> None:
    start = time.perf_counter()
    x = Value(1.0)
    y = x
    for _ in range(1_000_000):
        y = y * 1.0000001
    y.backward()
    seconds = time.perf_counter() - start
    assert x.grad == pytest.approx(math.exp(0.1), rel=1e-7)
    assert seconds < 10  # half a second on an idle machine
