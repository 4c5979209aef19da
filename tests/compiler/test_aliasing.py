"""A compiled step owns the memory of the state, and nobody sees it change what was read before."""

from __future__ import annotations

import numpy as np
import pytest

import tinygrad_edu as tg
from tests.compiler.networks import descending, numbers
from tinygrad_edu import nn
from tinygrad_edu.errors import GradientError


def test_what_was_read_of_a_parameter_stays() -> None:
    net = nn.Linear(2, 2)
    step = descending(net)
    x = numbers(3, 2)
    step(x)
    w = net.weight
    kept = [w.detach(), w.data, net.state_dict()["weight"]]
    with tg.no_grad():
        kept += [w.T.T, w.reshape(4).reshape(2, 2), w[:], w.expand(2, 2)]
    array = w.detach().numpy()
    before = array.copy()
    step(x)
    assert (w.detach().numpy() != before).all()
    for tensor in kept:
        np.testing.assert_array_equal(tensor.detach().numpy(), before)
    np.testing.assert_array_equal(array, before)


def test_a_gradient_that_was_kept_stays() -> None:
    w = tg.ones(2, requires_grad=True)

    @tg.compile
    def step(x: tg.Tensor) -> None:
        w.grad = None
        (w * x).sum().backward()

    step(tg.full((2,), 3.0))
    kept = w.grad
    step(tg.full((2,), 5.0))
    assert kept is not None
    assert kept.tolist() == [3, 3]
    assert w.grad is not None
    assert w.grad.tolist() == [5, 5]
    assert w.grad is not kept


def test_two_models_do_not_share_memory() -> None:
    a, b = nn.Linear(2, 1), nn.Linear(2, 1)
    step = descending(a)
    step(numbers(3, 2))
    b.weight.data = a.weight
    before = b.weight.detach().numpy().copy()
    step(numbers(3, 2))
    np.testing.assert_array_equal(b.weight.detach().numpy(), before)


def test_graphs_of_before_are_stale() -> None:
    net = nn.Linear(2, 1)
    step = descending(net)
    step(numbers(3, 2))
    x = tg.ones(3, 2, requires_grad=True)
    y = net(x).sum()
    step(numbers(3, 2))
    with pytest.raises(GradientError, match="changed after"):
        y.backward()


def test_states_that_change_places() -> None:
    a, b = tg.zeros(2), tg.ones(2)

    @tg.compile
    def swap() -> None:
        old = a.detach()
        a.data = b
        b.data = old

    for first, second in ((1, 0), (0, 1), (1, 0)):
        swap()
        assert (a[0].item(), b[0].item()) == (first, second)


def test_an_update_reads_what_the_step_wrote_before() -> None:
    a = tg.ones(1)

    @tg.compile
    def twice(x: tg.Tensor) -> tg.Tensor:
        a.data = a.data + x
        y = a * 10
        a.data = a.data * 2
        return y + a

    b = tg.ones(1)
    for _ in range(3):
        b.data = b.data + 1
        y = b * 10
        b.data = b.data * 2
        assert twice(tg.ones(1)).item() == (y + b).item()
        assert a.item() == b.item()
