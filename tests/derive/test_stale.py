"""Storage that changed between forward and backward is noticed."""

from __future__ import annotations

from typing import Any

import pytest

import tinygrad_edu as tg
from tests.derive.functions import leaf
from tinygrad_edu.derive.autograd import grad
from tinygrad_edu.errors import DTypeError, StaleStorageError


def change_by_data(x: Any) -> None:
    x.data = x.data + 1


def change_as_optimizers_do(x: Any) -> None:
    with tg.no_grad():
        x -= 0.1


@pytest.mark.parametrize("change", [change_by_data, change_as_optimizers_do])
@pytest.mark.parametrize(
    ("name", "function"),
    [
        ("mul", lambda x: x * x),
        ("exp", lambda x: x.exp()),
        ("matmul", lambda x: x @ x),
        ("pow", lambda x: x**2),
        ("amax", lambda x: x.amax()),
        ("div", lambda x: 1 / x),
        ("relu", lambda x: x.relu()),
    ],
)
def test_changed_operands_are_noticed(change: Any, name: str, function: Any) -> None:
    x = leaf([[1.0, 2.0], [3.0, 4.0]])
    y = function(x).sum()
    change(x)
    with pytest.raises(StaleStorageError, match=rf"^{name}: operand \d of shape \(2, 2\).*again"):
        y.backward()
    assert x.grad is None
    function(x).sum().backward()  # computed again, it is right
    assert x.grad is not None


@pytest.mark.parametrize(
    "function",
    [
        lambda x: x + 1,
        lambda x: x - 3,
        lambda x: -x,
        lambda x: x.reshape(2, 1),
        lambda x: x[::-1],
        lambda x: x[[0, 0]],
        lambda x: x.expand(3, 2),
        lambda x: x.double(),
        lambda x: tg.cat([x, x]),
        lambda x: x.sum(),
        lambda x: x.mean(),
    ],
)
def test_changed_operands_that_no_derivative_reads(function: Any) -> None:
    x = leaf([1.0, 2.0])
    y, untouched = function(x).sum(), leaf([1.0, 2.0])
    function(untouched).sum().backward()
    change_by_data(x)
    y.backward()
    assert x.grad.tolist() == untouched.grad.tolist()


def test_a_view_keeps_the_values_it_was_made_from() -> None:
    """Slices and reshapes are values: what was computed from them is not stale."""
    x = leaf([1.0, 2.0])
    y = (x.reshape(2, 1) * x[::-1].reshape(2, 1)).sum()  # 2 x0 x1
    change_by_data(x)
    y.backward()
    assert x.grad.tolist() == [4, 2]


def test_tensors_are_asked_for() -> None:
    x = leaf(1.0)
    for act in (lambda: grad(1.0, x), lambda: grad(x * 2, "x"), lambda: grad(x * 2, [x, None])):
        with pytest.raises(DTypeError, match=r"grad: (outputs|inputs) are Tensors"):
            act()


def test_a_changed_result_is_noticed() -> None:
    """exp keeps no operand: its derivative is its own result."""
    x = leaf(1.0)
    y = x.exp()
    y.data = tg.tensor(5.0, dtype="float64")
    with pytest.raises(StaleStorageError, match="exp: the result"):
        y.backward()


def test_a_change_after_backward_is_no_matter() -> None:
    x = leaf(2.0)
    for _ in range(3):
        x.grad = None
        (x * x).backward()
        with tg.no_grad():
            x -= 0.25 * x.grad
    assert x.item() == 2 * 0.5**3


def test_a_result_made_after_the_change_is_fresh() -> None:
    x = leaf(2.0)
    stale = x * x
    change_by_data(x)
    (x * x).backward()
    assert x.grad.item() == 6
    with pytest.raises(StaleStorageError):
        (stale + x * x).backward()
    assert x.grad.item() == 6, "nothing was added before the error"
