"""`grad` of Values, of any order."""

from __future__ import annotations

import math

import pytest

from tests.derive.values import central_difference, gradient
from tinygrad_edu.derive import scalar
from tinygrad_edu.derive.scalar import grad_values
from tinygrad_edu.errors import DTypeError, GradientError
from tinygrad_edu.graph.modes import is_grad_enabled, no_grad
from tinygrad_edu.graph.value import Value


def test_grad_leaves_grad_alone() -> None:
    x, y = Value(2.0), Value(3.0)
    found = grad_values(x * x * y, [x, y])
    assert [g.data for g in found if g is not None] == [12.0, 4.0]
    assert (x.grad, y.grad) == (0.0, 0.0)
    assert all(g is not None and g.is_leaf for g in found)


def test_grad_by_results_and_of_several_outputs(walk: str) -> None:
    x = Value(2.0)
    h = x.exp()
    a, b = h * h, h * 3.0
    e2 = math.exp(2)
    assert gradient([a, b], h).data == pytest.approx(2 * e2 + 3)
    (weighted,) = grad_values([a, b], [h], grad_outputs=[0.5, Value(2.0)])
    assert float(weighted or 0) == pytest.approx(e2 + 6)
    assert gradient(h, h).data == 1.0


def test_grad_of_a_leaf_by_itself() -> None:
    x = Value(2.0)
    assert gradient(x, x).data == 1.0
    (both,) = grad_values([x, x * x], x, grad_outputs=[10, 1])
    assert both == 14.0


def test_grad_refuses_what_it_cannot_do() -> None:
    x, y = Value(2.0), Value(3.0)
    with pytest.raises(GradientError, match="input 1"):
        grad_values(x * x, [x, y])
    assert grad_values(x * x, [y, x], allow_unused=True)[0] is None
    with pytest.raises(GradientError, match="1 outputs but 2"):
        grad_values(x * x, x, grad_outputs=[1.0, 1.0])
    with pytest.raises(DTypeError, match="str"):
        grad_values(x * x, x, grad_outputs="1")
    with pytest.raises(DTypeError, match="float"):
        grad_values(x * x, 2.0)  # type: ignore[arg-type]


def test_grad_of_grad() -> None:
    x, y = Value(0.7), Value(-1.2)
    z = (x * y).sin() * x**3
    dx, dy = grad_values(z, [x, y], create_graph=True)
    assert dx is not None
    assert dy is not None
    dxy, dyx = gradient(dx, y), gradient(dy, x)
    assert dxy.data == pytest.approx(dyx.data, rel=1e-14)
    (dx * dx + dy).backward()
    expected = 2 * dx.data * gradient(dx, x).data + dyx.data
    assert x.grad == pytest.approx(expected, rel=1e-13)


def test_sixth_derivative_of_a_polynomial() -> None:
    x = Value(1.5)
    y = x**7 + 2 * x**6
    for _ in range(6):
        y = gradient(y, x, create_graph=True)
    assert y.data == pytest.approx(5040 * 1.5 + 2 * 720, rel=1e-13)


def test_higher_order_across_pages(small_pages: None) -> None:
    """Most pages are kept by imports alone, and the walk makes new Values on them."""

    def derivative(at: float, order: int) -> float:
        x = Value(at)
        y = x * x
        for _ in range(30):
            y = (y * 0.9).sin() + x * 0.3
        for _ in range(order):
            y = gradient(y, x, create_graph=True)
        return y.data

    for order in (1, 2, 3):
        expected = central_difference(lambda x, n=order: derivative(x, n - 1), 0.4)
        assert derivative(0.4, order) == pytest.approx(expected, rel=1e-7)


def test_division_by_a_number_that_is_zero() -> None:
    x = Value(2.0)
    assert gradient(x / 0.0, x, create_graph=True).data == math.inf


def test_a_derivative_that_is_a_number_is_a_leaf() -> None:
    x = Value(2.0)
    for y, expected in [(x * 3.0, 3.0), (x + x, 2.0), (-x, -1.0)]:
        found = gradient(y, x, create_graph=True)
        assert (found.is_leaf, found.data) == (True, expected)


def test_recording_is_as_it_was() -> None:
    x = Value(2.0)
    with no_grad():
        gradient(x, x, create_graph=True)
        assert not is_grad_enabled()
    gradient(x * x, x)
    assert is_grad_enabled()


def test_numba_waits_until_there_is_work(monkeypatch: pytest.MonkeyPatch) -> None:
    """A first example answers at once, but what is walked in Python is limited."""
    compiled = []
    monkeypatch.setattr(scalar, "_pull_compiled", lambda *args: compiled.append(args) or {})
    monkeypatch.setattr(scalar._NumberFlow, "left", 100)
    for _ in range(30):
        x = Value(2.0)
        (x * x + x).exp().backward()  # five partials
    assert len(compiled) == 10
