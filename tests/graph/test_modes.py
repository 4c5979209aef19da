"""Whether operations are recorded."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import pytest

import tinygrad_edu as tg


@pytest.fixture
def x() -> Any:
    return tg.tensor([1.0, 2.0], requires_grad=True)


def test_nothing_is_recorded_inside_no_grad(x: Any) -> None:
    with tg.no_grad():
        y = x * 2
        assert not tg.is_grad_enabled()
    assert tg.is_grad_enabled()
    assert not y.requires_grad
    assert y.is_leaf
    assert y.node.inputs == ()
    assert (x * 2).requires_grad


def test_nesting(x: Any) -> None:
    with tg.no_grad():
        with tg.enable_grad():
            assert (x * 2).requires_grad
            with tg.set_grad_enabled(False):
                assert not (x * 2).requires_grad
            assert (x * 2).requires_grad
        assert not (x * 2).requires_grad


def test_recording_is_restored_after_an_error(x: Any) -> None:
    with pytest.raises(ZeroDivisionError), tg.no_grad():
        raise ZeroDivisionError
    assert (x * 2).requires_grad


def test_a_function_can_be_decorated(x: Any) -> None:
    @tg.no_grad()
    def double(t: Any) -> Any:
        return t * 2

    assert not double(x).requires_grad
    assert not double(x).requires_grad  # more than once
    assert (x * 2).requires_grad


def test_each_thread_has_its_own_switch(x: Any) -> None:
    seen: list[bool] = []

    def work() -> None:
        seen.append((x * 2).requires_grad)
        with tg.no_grad():
            inside.set()
            leave.wait(5)

    inside, leave = threading.Event(), threading.Event()
    thread = threading.Thread(target=work)
    with tg.no_grad():
        thread.start()
        inside.wait(5)
    assert (x * 2).requires_grad, "while the other thread is inside no_grad"
    leave.set()
    thread.join()
    assert seen == [True]


@pytest.mark.parametrize(
    "act",
    [
        lambda t: t > 0,
        lambda t: t.long(),
        lambda t: t.argmax(),
        lambda t: t.sign(),
        lambda t: t.floor(),
        lambda t: t.detach(),
        lambda t: tg.zeros_like(t),
    ],
)
def test_results_without_a_derivative_do_not_require_grad(
    x: Any, act: Callable[[Any], Any]
) -> None:
    assert not act(x).requires_grad


def test_constants_keep_nothing_alive() -> None:
    a = tg.ones(3)
    assert ((a * 2).exp() + 1).node.inputs == ()


def test_modes_of_backward(x: Any) -> None:
    """Under no_grad a recorded graph can still be walked, and enable_grad does not make backward
    record: only create_graph does."""
    y = (x * x).sum()
    with tg.no_grad():
        y.backward()
    assert x.grad is not None
    assert not x.grad.requires_grad
    with tg.enable_grad():
        (first,) = tg.autograd.grad(y, x)
    assert not first.requires_grad
    with tg.no_grad():
        (recorded,) = tg.autograd.grad(y, x, create_graph=True)
    assert recorded.requires_grad
