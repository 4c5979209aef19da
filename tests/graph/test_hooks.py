"""What watches gradients: hooks of tensors, and the op behind one."""

from __future__ import annotations

from typing import Any

import pytest

import tinygrad_edu as tg
from tinygrad_edu.errors import GradientError, ShapeError, TraceError


def test_a_hook_sees_the_whole_gradient_and_may_change_it() -> None:
    x = tg.tensor([1.0, 2.0], requires_grad=True)
    y = x * 3
    seen: list[Any] = []
    handle = y.register_hook(lambda g: seen.append(g.tolist()))
    z = (y * y).sum() + y.sum()
    z.backward()
    assert seen == [[7, 13]]  # both ways in which y is used, once
    with y.register_hook(lambda g: g * 0):
        x.grad = None
        z.backward()
        assert x.grad.tolist() == [0, 0]
    handle.remove()
    handle.remove()
    x.grad = None
    z.backward()
    assert x.grad.tolist() == [21, 39]
    assert len(seen) == 2


def test_hooks_of_a_leaf_change_what_it_receives() -> None:
    w = tg.tensor([3.0], requires_grad=True)
    w.register_hook(lambda g: g.clamp(-1, 1))
    (w * 5).sum().backward()
    assert w.grad.tolist() == [1]  # type: ignore[union-attr]
    (g,) = tg.autograd.grad((w * w).sum(), [w], create_graph=True)
    assert g is not None
    assert g.tolist() == [1]
    assert g.requires_grad


def test_a_retained_gradient_is_the_changed_one() -> None:
    x = tg.tensor(2.0, requires_grad=True)
    y = x * x
    y.retain_grad()
    y.register_hook(lambda g: 10 * g)
    (3 * y).backward()
    assert y.grad is not None
    assert (y.grad.item(), x.grad.item()) == (30, 120)  # type: ignore[union-attr]


def test_what_cannot_be() -> None:
    with pytest.raises(GradientError):
        tg.ones(2).register_hook(print)
    x = tg.ones(2, requires_grad=True)
    handle = x.register_hook(lambda g: g.sum())
    with pytest.raises(ShapeError, match="the hook returned"):
        x.sum().backward()
    handle.remove()
    x.sum().backward()


def test_a_compiled_step_refuses_hooks_even_new_ones() -> None:
    x = tg.ones(2, requires_grad=True)

    def gradient() -> tg.Tensor:
        (g,) = tg.autograd.grad((x * x).sum(), [x])
        assert g is not None
        return g

    step = tg.compile(gradient)
    assert step().tolist() == [2, 2]
    with x.register_hook(lambda g: 0 * g), pytest.raises(TraceError, match="register_hook"):
        step()
    assert step().tolist() == [2, 2]


def test_the_op_behind_a_tensor() -> None:
    x = tg.tensor([1.0], requires_grad=True)
    assert x.grad_fn is None
    assert (tg.ones(1) * 2).grad_fn is None
    y = x.exp() * x
    assert repr(y.grad_fn) == "<mul>"
    assert y.grad_fn is not None
    assert y.grad_fn.name() == "mul"
    (first, _), (second, _) = y.grad_fn.next_functions
    assert repr(first) == "<exp>"
    assert second is None
