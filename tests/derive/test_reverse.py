"""Reverse mode: what `backward` and `grad` give, keep, refuse and let go of."""

from __future__ import annotations

import gc
import math
import weakref
from typing import Any

import numpy as np
import pytest

import tinygrad_edu as tg
from tests.derive.functions import leaf
from tinygrad_edu.derive.autograd import grad
from tinygrad_edu.errors import DTypeError, GradientError, ShapeError

# ------------------------------------------------------------------------------ adding up


def test_backward_twice_adds_the_same_gradient_twice() -> None:
    """Cotangents are not kept on interior tensors, where a second walk would compound them."""
    a = leaf(2.0)
    b = a * a
    c = b * 3  # 3 a^2, derivative 12
    c.backward()
    c.backward()
    assert a.grad.item() == 24
    assert b.grad is None


def test_diamonds_wait_for_every_path() -> None:
    """b = a + a; c = b + b: a walk that pulls b back before both of its uses are in gives 2."""
    a = leaf(1.0)
    b = a + a
    c = b + b
    c.backward()
    assert a.grad.item() == 4


def test_deep_and_shallow_paths_meet() -> None:
    a = leaf(1.1)
    deep = a
    for _ in range(5):
        deep = deep * a
    (deep + a + deep * a).backward()
    # a^6 + a + a^7
    np.testing.assert_allclose(a.grad.item(), 6 * 1.1**5 + 1 + 7 * 1.1**6, rtol=1e-15)


def test_gradients_of_several_roots_add_up_in_leaves() -> None:
    a = leaf([1.0, 2.0])
    (a * 2).sum().backward()
    (a * a).sum().backward()
    assert a.grad.tolist() == [4, 6]


def test_a_leaf_is_its_own_root() -> None:
    a = leaf(3.0)
    a.backward()
    assert a.grad.item() == 1
    (g,) = grad(a, a)
    assert g.item() == 1


def test_the_seed_is_a_cotangent() -> None:
    a = leaf([1.0, 2.0])
    y = a * a
    y.backward(tg.tensor([10.0, 1.0], dtype="float64"))
    assert a.grad.tolist() == [20, 4]


def test_handles_of_results_are_independent() -> None:
    """The sum hands one cotangent to both operands; changing one gradient must not change the
    other, nor the seed."""
    for create_graph in (False, True):
        a, b, seed = leaf([1.0, 2.0]), leaf([3.0, 4.0]), tg.ones(2, dtype="float64")
        (a + b).backward(seed, create_graph=create_graph)
        with tg.no_grad():
            a.grad *= 5
        assert (a.grad.tolist(), b.grad.tolist(), seed.tolist()) == ([5, 5], [1, 1], [1, 1])
        ga, gb = grad(a + b, [a, b], seed, create_graph=create_graph)
        ga += 1
        assert (gb.tolist(), seed.tolist()) == ([1, 1], [1, 1])


def test_retain_grad() -> None:
    a = leaf(2.0)
    b = a * a
    b.retain_grad()
    c = b * 3
    c.backward()
    assert b.grad.item() == 3
    c.backward()
    assert (b.grad.item(), a.grad.item()) == (6, 24)
    with pytest.raises(GradientError, match="retain_grad"):
        tg.tensor(1.0).retain_grad()


def test_retain_graph_is_accepted() -> None:
    a = leaf(2.0)
    y = a * a
    y.backward(retain_graph=True)
    y.backward(retain_graph=False)  # graphs are kept anyway
    assert a.grad.item() == 8


# ------------------------------------------------------------------------------ any order


def test_third_derivative_of_tanh() -> None:
    """With t = tanh x: t' = 1 - t^2, t'' = -2 t t', t''' = -2 t'^2 - 2 t t''."""
    x = leaf([-0.7, 0.0, 0.3])
    t = np.tanh(x.detach().numpy())
    first = 1 - t * t
    second = -2 * t * first
    wanted = [first, second, -2 * first * first - 2 * t * second]
    y = x.tanh()
    for expected in wanted:
        (y,) = grad(y.sum(), x, create_graph=True)
        np.testing.assert_allclose(y.detach().numpy(), expected, rtol=1e-14, atol=1e-15)


def test_every_order_of_exp_and_of_a_power() -> None:
    x = leaf(1.5)
    y, z = x.exp(), x**6
    for order in range(1, 9):
        (y,) = grad(y, x, create_graph=True)
        np.testing.assert_allclose(y.item(), math.exp(1.5), rtol=1e-15)
        (z,) = grad(z, x, create_graph=True)
        wanted = math.perm(6, order) * 1.5 ** max(6 - order, 0)
        np.testing.assert_allclose(z.item(), wanted, rtol=1e-14)


def test_backward_with_create_graph() -> None:
    x = leaf(3.0)
    (x**3).backward(create_graph=True)
    first = x.grad
    assert first.requires_grad
    x.grad = None
    first.backward()
    assert x.grad.item() == 18


def test_gradient_penalty() -> None:
    """A loss made of a gradient, as in training: d/dw (d/dx (w x^2))^2 = d/dw (2 w x)^2."""
    w, x = leaf(1.5), leaf(2.0)
    (gx,) = grad(w * x * x, x, create_graph=True)
    (gx * gx).backward()
    assert w.grad.item() == 8 * 1.5 * 4
    assert x.grad.item() == 8 * 1.5**2 * 2


def test_mixed_derivatives_commute() -> None:
    a, b = leaf([0.3, -0.4]), leaf([0.5, 0.7])
    y = (tg.sin(a * b) + tg.exp(a) / (1 + b * b)).sum()
    ga, gb = grad(y, [a, b], create_graph=True)
    (ab,) = grad(ga.sum(), b)
    (ba,) = grad(gb.sum(), a)
    np.testing.assert_allclose(ab.numpy(), ba.numpy(), rtol=1e-14)


def test_without_create_graph_nothing_is_recorded() -> None:
    x = leaf(2.0)
    (g,) = grad(x**3, x)
    assert not g.requires_grad
    assert g.is_leaf


# ------------------------------------------------------------------------------ grad's arguments


def test_interior_inputs() -> None:
    x = leaf(2.0)
    h = x * x
    y = h * h + x
    gh, gx = grad(y, [h, x])
    assert (gh.item(), gx.item()) == (8, 33)
    assert x.grad is None
    assert h.grad is None


def test_only_the_way_to_the_inputs_is_walked() -> None:
    """What no input depends on is not computed: a stale part elsewhere is no matter."""
    x, other = leaf(2.0), leaf(1.0)
    y = x * x + other.log()
    other.data = tg.tensor(-1.0, dtype="float64")  # the derivative of log would now be wrong
    (g,) = grad(y, x)
    assert g.item() == 4


def test_several_outputs() -> None:
    x = leaf([1.0, 2.0])
    y, z = x * 2, (x * x).sum()
    (g,) = grad([y, z], x, [tg.tensor([1.0, 10.0], dtype="float64"), None])
    assert g.tolist() == [4, 24]
    (g,) = grad((z, z), (x,))
    assert g.tolist() == [4, 8]


def test_any_iterable_of_tensors() -> None:
    a, b = leaf(1.0), leaf(2.0)
    found = grad(a * b, (t for t in (a, b)))
    assert isinstance(found, tuple)
    assert [g.item() for g in found] == [2, 1]


def test_an_input_given_twice() -> None:
    x = leaf(3.0)
    first, second = grad(x * x, [x, x])
    assert first.item() == second.item() == 6


def test_unused_inputs() -> None:
    x, y, constant = leaf(1.0), leaf([1.0, 2.0]), tg.tensor(1.0)
    with pytest.raises(GradientError, match=r"input 1 of shape \(2,\) is not part.*allow_unused"):
        grad(x * 2, [x, y])
    with pytest.raises(GradientError, match=r"input 0 .* does not require grad"):
        grad(x * 2, constant)
    found = grad(x * 2, [y, x, constant], allow_unused=True)
    assert found[0] is None
    assert found[1].item() == 2
    assert found[2] is None


def test_an_input_behind_a_comparison_is_unused() -> None:
    x = leaf([1.0, -1.0])
    with pytest.raises(GradientError, match="does not require grad"):
        (x > 0).sum().backward()
    y = tg.where(x > 0, 1.0, 2.0)
    assert not y.requires_grad


# ------------------------------------------------------------------------------ refusals


def test_backward_needs_a_graph() -> None:
    x = leaf([1.0, 2.0])
    with tg.no_grad():
        y = (x * 2).sum()
    for root in (y, tg.tensor(1.0), x.detach().sum()):
        with pytest.raises(GradientError, match=r"backward: .*shape \(\).*requires_grad=True"):
            root.backward()
    assert x.grad is None


def test_backward_of_several_elements_needs_a_cotangent() -> None:
    x = leaf([1.0, 2.0])
    with pytest.raises(GradientError, match=r"backward: shape \(2,\) has 2 elements.*\.sum\(\)"):
        (x * 2).backward()
    assert x.grad is None


@pytest.mark.parametrize(
    ("cotangent", "error"),
    [
        (tg.ones(3, dtype="float64"), ShapeError),
        (tg.ones((), dtype="float64"), ShapeError),
        (tg.ones(2), ShapeError),
        (np.ones(2), DTypeError),
        (1.0, DTypeError),
    ],
)
def test_a_cotangent_that_does_not_fit(cotangent: Any, error: type[Exception]) -> None:
    x = leaf([1.0, 2.0])
    with pytest.raises(error, match="backward: the cotangent"):
        (x * 2).backward(cotangent)
    with pytest.raises(error, match=r"grad: (the cotangent|grad_outputs)"):
        grad(x * 2, x, cotangent)
    assert x.grad is None


def test_as_many_cotangents_as_outputs() -> None:
    x = leaf(1.0)
    with pytest.raises(GradientError, match="1 outputs but 2 grad_outputs"):
        grad([x * 2], x, [None, None])


# ------------------------------------------------------------------------------ size and memory


def test_a_chain_of_a_million_nodes() -> None:
    """Forward, backward and freeing: nothing recurses. (10 s; Python's own recursion would end at
    a thousandth of this.)"""
    n = 1_000_000
    x = leaf(0.5)
    one = tg.tensor(1.0, dtype="float64")
    y = x
    for _ in range(n):
        y = y + one
    assert y.item() == n + 0.5
    y.backward()
    assert x.grad.item() == 1
    del y


def test_recording_a_long_backward() -> None:
    x = leaf(1.0)
    y = x
    for _ in range(3000):
        y = y * x
    (g,) = grad(y, x, create_graph=True)
    assert g.item() == 3001
    (h,) = grad(g, x)
    assert h.item() == 3001 * 3000


def test_graphs_are_freed_without_the_garbage_collector() -> None:
    """A graph has no cycles, so its arrays go with the last name that holds them."""
    x = leaf(np.ones(10))
    gc.disable()
    try:
        y = (x * 2).exp()
        interior = weakref.ref(y)
        loss = y.sum()
        loss.backward()
        del y, loss
        assert interior() is None
    finally:
        gc.enable()


def test_backward_lets_go_of_interior_cotangents() -> None:
    """Memory during the walk is that of the cotangents still needed, not of all of them."""
    import tracemalloc

    size, depth = 100_000, 40
    x = leaf(np.ones(size))
    y = x
    for _ in range(depth):
        y = y.sin()
    y = y.sum()
    tracemalloc.start()
    y.backward()
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 8 * size * 10, "ten arrays, not forty"
