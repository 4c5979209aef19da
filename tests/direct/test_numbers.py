"""Numbers worked out by hand, in case all helpers of the other tests are wrong in the same way."""

from __future__ import annotations

import tinygrad_edu as tg


def test_a_product() -> None:
    a = tg.tensor(2.0, requires_grad=True)
    b = tg.tensor(-3.0, requires_grad=True)
    y = a * b + a * a  # -6 + 4
    y.backward()
    assert y.item() == -2.0
    assert a.grad.item() == 1.0  # b + 2a
    assert b.grad.item() == 2.0  # a


def test_a_neuron() -> None:
    w = tg.tensor([1.0, -2.0], requires_grad=True)
    b = tg.tensor(0.5, requires_grad=True)
    x = tg.tensor([3.0, 1.0])
    y = tg.relu(w @ x + b)  # 3 - 2 + 0.5
    y.backward()
    assert y.item() == 1.5
    assert w.grad.tolist() == [3.0, 1.0]
    assert b.grad.item() == 1.0


def test_a_dead_neuron() -> None:
    w = tg.tensor([-1.0, -2.0], requires_grad=True)
    tg.relu(w @ tg.tensor([3.0, 1.0])).backward()
    assert w.grad.tolist() == [0.0, 0.0]


def test_a_layer() -> None:
    x = tg.tensor([[1.0, 2.0], [3.0, 4.0]], requires_grad=True)
    w = tg.tensor([[1.0, 0.0, -1.0], [2.0, 1.0, 0.0]], requires_grad=True)
    y = x @ w
    assert y.tolist() == [[5.0, 2.0, -1.0], [11.0, 4.0, -3.0]]
    y.sum().backward()
    assert x.grad.tolist() == [[0.0, 3.0], [0.0, 3.0]]  # the sums of w's rows
    assert w.grad.tolist() == [[4.0, 4.0, 4.0], [6.0, 6.0, 6.0]]  # the sums of x's columns


def test_broadcasting() -> None:
    x = tg.tensor([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]], requires_grad=True)
    b = tg.tensor([10.0, 20.0, 30.0], requires_grad=True)
    s = tg.tensor(2.0, requires_grad=True)
    y = (x + b) * s
    assert y.tolist() == [[22.0, 44.0, 66.0], [28.0, 50.0, 72.0]]
    y.sum().backward()
    assert x.grad.tolist() == [[2.0, 2.0, 2.0], [2.0, 2.0, 2.0]]
    assert b.grad.tolist() == [4.0, 4.0, 4.0]
    assert s.grad.item() == 141.0  # 11 + 22 + 33 + 14 + 25 + 36


def test_mean_and_variance() -> None:
    x = tg.tensor([1.0, 2.0, 6.0], requires_grad=True)
    assert x.mean().item() == 3.0
    assert x.var().item() == 7.0  # (4 + 1 + 9) / 2
    x.var().backward()
    assert x.grad.tolist() == [-2.0, -1.0, 3.0]  # 2 (x - 3) / 2


def test_softmax() -> None:
    x = tg.tensor([0.0, 0.0, 0.0, 0.0], requires_grad=True)
    y = tg.softmax(x, 0)
    assert y.tolist() == [0.25, 0.25, 0.25, 0.25]
    y[0].backward()
    assert x.grad.tolist() == [0.1875, -0.0625, -0.0625, -0.0625]


def test_indexing() -> None:
    x = tg.tensor([1.0, 2.0, 3.0], requires_grad=True)
    y = x[[0, 0, 2]] * tg.tensor([1.0, 10.0, 100.0])
    assert y.tolist() == [1.0, 10.0, 300.0]
    y.sum().backward()
    assert x.grad.tolist() == [11.0, 0.0, 100.0]


def test_a_second_derivative() -> None:
    x = tg.tensor(2.0, requires_grad=True)
    (first,) = tg.autograd.grad(x**3, x, create_graph=True)
    (second,) = tg.autograd.grad(first, x)
    assert first.item() == 12.0
    assert second.item() == 12.0


def test_five_steps_of_descent() -> None:
    x = tg.tensor(8.0, requires_grad=True)
    for _ in range(5):
        x.grad = None
        (x * x).backward()
        with tg.no_grad():
            x -= 0.25 * x.grad  # halves it
    assert x.item() == 0.25
