"""What runs on micrograd runs here with only the import changed, and gives the same numbers."""

from __future__ import annotations

from collections.abc import Callable
from types import ModuleType
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

import tinygrad_edu as tg
from benchmarks.scalar_step import make_model, make_points, train_step

Expression = Callable[..., Any]

# Every operator micrograd has, a number on either side of it, and an operand used twice.
EXPRESSIONS: dict[str, Expression] = {
    "a + b": lambda a, b: a + b,
    "a - b": lambda a, b: a - b,
    "a * b": lambda a, b: a * b,
    "a / b": lambda a, b: a / b,
    "a + 2": lambda a, b: a + 2,
    "2 + a": lambda a, b: 2 + a,
    "a - 2": lambda a, b: a - 2,
    "2 - a": lambda a, b: 2 - a,
    "a * 2": lambda a, b: a * 2,
    "2 * a": lambda a, b: 2 * a,
    "a / 2": lambda a, b: a / 2,
    "2 / a": lambda a, b: 2 / a,
    "a ** 1": lambda a, b: a**1,
    "a ** 2": lambda a, b: a**2,
    "a ** 3": lambda a, b: a**3,
    "a ** -1": lambda a, b: a**-1,
    "a ** -2.0": lambda a, b: a**-2.0,
    "-a": lambda a, b: -a,
    "relu": lambda a, b: a.relu(),
    "a + a": lambda a, b: a + a,
    "a * a": lambda a, b: a * a,
    "a / a": lambda a, b: a / a,
    "sum": lambda a, b: sum([a, b, a]),
    "relu of a product": lambda a, b: (a * b).relu() * a + (b - a).relu(),
    "quotients": lambda a, b: (a + 3) / (b * b + 1) - 10.0 / (a**2 + 0.5),
    "a long way": lambda a, b: ((a - b) ** 2 / 2.0 + (a * b + b**3).relu()) * (1 - a) + 10 / b,
}


def evaluate(
    value: type, expression: Expression, leaves: tuple[float, ...]
) -> tuple[float, tuple[float, ...]]:
    """The expression's value with an engine, and its derivative by each leaf."""
    inputs = tuple(value(leaf) for leaf in leaves)
    output = expression(*inputs)
    output.backward()
    return output.data, tuple(leaf.grad for leaf in inputs)


@pytest.fixture(scope="module")
def their_value(micrograd: ModuleType) -> type:
    value: type = micrograd.engine.Value
    return value


@pytest.mark.parametrize("name", EXPRESSIONS)
@pytest.mark.parametrize("leaves", [(-4.0, 2.0), (0.75, -1.5), (3.0, 0.3), (-0.2, -7.0)])
def test_every_operator(their_value: type, name: str, leaves: tuple[float, float]) -> None:
    expected, expected_gradients = evaluate(their_value, EXPRESSIONS[name], leaves)
    found, gradients = evaluate(tg.Value, EXPRESSIONS[name], leaves)
    assert found == pytest.approx(expected, rel=1e-14, abs=1e-14)
    assert gradients == pytest.approx(expected_gradients, rel=1e-13, abs=1e-13)


def test_relu_at_its_kink(their_value: type) -> None:
    relu = EXPRESSIONS["relu"]
    assert evaluate(tg.Value, relu, (0.0, 0.0)) == evaluate(their_value, relu, (0.0, 0.0))


def test_augmented_assignment(their_value: type) -> None:
    def expression(a: Any, b: Any) -> Any:
        c = a + b
        c += c + 1
        c *= b
        c -= a * 3
        c /= 4
        return c

    assert evaluate(tg.Value, expression, (-4.0, 2.0)) == evaluate(
        their_value, expression, (-4.0, 2.0)
    )


# Straight-line programs: each instruction reads two earlier results by their number and appends
# one. On integers of moderate size every sum and product is exact in any order, so that the two
# engines must agree to the last bit however they order their walks.
INSTRUCTIONS: list[Expression] = [
    lambda a, b: a + b,
    lambda a, b: a - b,
    lambda a, b: a * b,
    lambda a, b: 3 - a,
    lambda a, b: 2 * a + b,
    lambda a, b: -a,
    lambda a, b: a**2,
    lambda a, b: a.relu(),
]
EXACT_BELOW = 2**53
LEAVES = 3

instruction = st.tuples(st.sampled_from(INSTRUCTIONS), st.integers(0, 99), st.integers(0, 99))


def run(program: list[tuple[Expression, int, int]], *leaves: Any) -> Any:
    """The sum of everything the program computed, so that no instruction is without effect."""
    results = list(leaves)
    for operation, left, right in program:
        results.append(operation(results[left % len(results)], results[right % len(results)]))
    return sum(results)


def largest_term(program: list[tuple[Expression, int, int]], leaves: tuple[int, ...]) -> int:
    """A bound on every partial sum of value and gradient: the program on absolute values.

    Each result is a pair (bound of the value, bound of the sum of its derivative's terms).
    """

    class Bound:
        def __init__(self, value: int, slope: int) -> None:
            self.value, self.slope = value, slope

        def __add__(self, other: Any) -> Bound:
            other = other if isinstance(other, Bound) else Bound(abs(other), 0)
            return Bound(self.value + other.value, self.slope + other.slope)

        __radd__ = __sub__ = __rsub__ = __add__

        def __mul__(self, other: Any) -> Bound:
            other = other if isinstance(other, Bound) else Bound(abs(other), 0)
            return Bound(
                self.value * other.value, self.slope * other.value + self.value * other.slope
            )

        __rmul__ = __mul__

        def __pow__(self, exponent: int) -> Bound:
            assert exponent == 2
            return self * self

        def __neg__(self) -> Bound:
            return self

        relu = __neg__

    # A slope of 1 on every leaf bounds the gradients by all of them together.
    bound = run(program, *(Bound(abs(leaf), 1) for leaf in leaves))
    return int(max(bound.value, bound.slope))


@given(
    program=st.lists(instruction, min_size=1, max_size=15),
    leaves=st.tuples(*[st.integers(-3, 3)] * LEAVES),
)
def test_random_programs_agree_exactly(
    their_value: type, program: list[tuple[Expression, int, int]], leaves: tuple[int, ...]
) -> None:
    assume(largest_term(program, leaves) < EXACT_BELOW)

    def expression(*inputs: Any) -> Any:
        return run(program, *inputs)

    floats = tuple(map(float, leaves))
    assert evaluate(tg.Value, expression, floats) == evaluate(their_value, expression, floats)


def test_a_second_backward_adds_where_micrograd_compounds(their_value: type) -> None:
    def gradient_after_two(value: type) -> float:
        x = value(3.0)
        y = x * x
        z = y * y
        z.backward()
        z.backward()
        return float(x.grad)

    once = 4 * 3.0**3
    assert gradient_after_two(tg.Value) == 2 * once
    assert gradient_after_two(their_value) == 3 * once  # y keeps its gradient, and adds to it


def test_demo_takes_the_same_steps(micrograd: ModuleType) -> None:
    points, labels = make_points()
    theirs, ours = make_model(micrograd.nn.MLP), make_model(tg.scalar.MLP)
    assert [p.data for p in ours.parameters()] == [p.data for p in theirs.parameters()]
    for step in range(3):
        expected = train_step(theirs, micrograd.engine.Value, points, labels, step)
        assert train_step(ours, tg.Value, points, labels, step) == pytest.approx(expected, rel=1e-9)
        for attribute in ("grad", "data"):
            assert [getattr(p, attribute) for p in ours.parameters()] == pytest.approx(
                [getattr(p, attribute) for p in theirs.parameters()], rel=1e-9, abs=1e-9
            )


def test_zero_grad(micrograd: ModuleType) -> None:
    for mlp, value in ((micrograd.nn.MLP, micrograd.engine.Value), (tg.scalar.MLP, tg.Value)):
        model = make_model(mlp)
        model([value(1.0), value(-2.0)]).backward()
        assert any(p.grad for p in model.parameters())
        model.zero_grad()
        assert not any(p.grad for p in model.parameters())


def test_models_take_plain_numbers(micrograd: ModuleType) -> None:
    theirs, ours = make_model(micrograd.nn.MLP), make_model(tg.scalar.MLP)
    assert ours([1.0, -2.0]).data == pytest.approx(theirs([1.0, -2.0]).data, rel=1e-12)
    assert len(ours.parameters()) == len(theirs.parameters()) == 337
