"""What the attributes of a Value answer while a function is traced."""

from __future__ import annotations

import pytest

from tinygrad_edu import Value
from tinygrad_edu.compiler.values.watch import COTANGENT, DATA, GRAD, Watch
from tinygrad_edu.errors import DTypeError, InPlaceError, TraceError
from tinygrad_edu.graph import modes


@pytest.fixture
def watch() -> Watch:
    return Watch()


def test_reading_gives_symbols_and_changes_nothing(watch: Watch) -> None:
    x = Value(3.0)
    x.grad = 0.5
    with modes.watched_by(watch):
        data, grad = x.data, x.grad
        assert x.data is data
    assert watch.symbols[data] == (DATA, x)
    assert watch.symbols[grad] == (GRAD, x)
    assert (x.data, x.grad) == (3.0, 0.5)


def test_what_was_assigned_is_read(watch: Watch) -> None:
    x = Value(3.0)
    with modes.watched_by(watch):
        x.data = x.data * 2
        x.grad = 0.0
        assert x.data is watch.assigned[x]
        assert watch.grads[x] == 0.0
    assert (x.data, x.grad) == (3.0, 0.0)


def test_the_grad_after_backward(watch: Watch) -> None:
    zeroed, other = Value(3.0), Value(4.0)
    with modes.watched_by(watch):
        zeroed.grad = 0.0
        (zeroed * other).backward()
        assert watch.symbols[zeroed.grad] == (COTANGENT, zeroed)
        assert other.grad.op == "add"  # type: ignore[attr-defined]
        assert other.grad is other.grad


def test_what_cannot_be_assigned(watch: Watch) -> None:
    x = Value(3.0)
    with modes.watched_by(watch):
        with pytest.raises(InPlaceError, match="leaf"):
            (x * 2).data = 1.0
        with pytest.raises(DTypeError, match="numbers"):
            x.data = "3"  # type: ignore[assignment]
        with pytest.raises(TraceError, match="grad"):
            (x * 2).grad = 1.0


def test_after_an_error_nobody_watches() -> None:
    with pytest.raises(ZeroDivisionError), modes.watched_by(Watch()):
        1 / 0  # noqa: B018
    assert Value(1.0) > 0
