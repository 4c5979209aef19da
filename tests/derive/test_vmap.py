"""`vmap`: axes, trees, nesting, and what it refuses."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import tinygrad_edu as tg
from tinygrad_edu import nn
from tinygrad_edu.derive.func import functional_call, grad, hessian, jacfwd, jacrev, jvp, vmap
from tinygrad_edu.errors import ArgumentError, AxisError, DTypeError, ShapeError, TraceError

RNG = np.random.default_rng(0)
X, Y = RNG.standard_normal((5, 3)), RNG.standard_normal((5, 3))
W = RNG.standard_normal((3, 4))


def close(found: Any, wanted: Any) -> None:
    """Equal up to the order of a dozen terms of size 1."""
    np.testing.assert_allclose(found.detach().numpy(), wanted, rtol=0, atol=1e-14)


# ------------------------------------------------------------------------------ axes


@pytest.mark.parametrize(
    ("in_dims", "a", "b"),
    [(0, X, Y), ((1, 0), X.T, Y), ((0, -1), X, Y.T), ([1, 1], X.T, Y.T)],
)
def test_in_dims(in_dims: Any, a: Any, b: Any) -> None:
    close(vmap(lambda a, b: (a * b).sum(), in_dims)(a, b), (X * Y).sum(1))


def test_an_argument_for_all() -> None:
    close(vmap(lambda a, b: (a * b).sum(), (0, None))(X, Y[0]), X @ Y[0])
    close(vmap(lambda a, b: a.sum(), (None, 0))(X[0], Y), np.full(5, X[0].sum()))


def test_out_dims() -> None:
    assert vmap(lambda a: tg.outer(a, a), out_dims=1)(X).shape == (3, 5, 3)
    assert vmap(lambda a: tg.outer(a, a), out_dims=-1)(X).shape == (3, 3, 5)
    first, second = vmap(lambda a: (a, tg.outer(a, a)), out_dims=(1, 2))(X)
    assert (first.shape, second.shape) == ((3, 5), (3, 3, 5))


def test_trees() -> None:
    def f(batch: dict[str, Any], scale: Any) -> dict[str, Any]:
        return {"sum": batch["x"] + batch["y"], "scaled": [batch["x"] * scale]}

    found = vmap(f, in_dims=({"x": 0, "y": None}, None))({"x": X, "y": Y[0]}, 2.0)
    close(found["sum"], X + Y[0])
    close(found["scaled"][0], 2 * X)
    close(vmap(lambda a, *, b: a + b)(X, b=Y), X + Y)


@pytest.mark.parametrize("chunk_size", [1, 2, 5, 7])
def test_chunks(chunk_size: int) -> None:
    def f(a: Any, b: Any) -> Any:
        return a @ b, a

    product, same = vmap(f, (0, None), out_dims=(1, 0), chunk_size=chunk_size)(X, W)
    close(product, (X @ W).T)
    close(same, X)


def test_no_examples() -> None:
    assert vmap(lambda a: a @ tg.tensor(W))(X[:0]).shape == (0, 4)
    assert vmap(lambda a: a @ tg.tensor(W), chunk_size=2)(X[:0]).shape == (0, 4)


# ------------------------------------------------------------------------------ with others


def test_nested() -> None:
    close(vmap(lambda a: vmap(lambda b: (a * b).sum())(Y))(X), X @ Y.T)
    close(vmap(vmap(lambda a: a.exp()))(X), np.exp(X))


def test_of_derivatives() -> None:
    def f(a: Any) -> Any:
        return (a**3).sum()

    close(vmap(grad(f))(X), 3 * X**2)
    close(vmap(hessian(f))(X), np.stack([np.diag(6 * row) for row in X]))
    close(vmap(jacfwd(jacrev(f)))(X), np.stack([np.diag(6 * row) for row in X]))
    close(vmap(lambda a, t: jvp(f, (a,), (t,))[1])(X, Y), (3 * X**2 * Y).sum(1))


def test_derivatives_of() -> None:
    def total(w: Any) -> Any:
        return vmap(lambda a: (a @ w).exp().sum())(X).sum()

    close(grad(total)(W), X.T @ np.exp(X @ W))
    x = tg.tensor(X, requires_grad=True)
    w = tg.tensor(W, requires_grad=True)  # captured, not an argument
    vmap(lambda a: (a @ w).exp().sum())(x).sum().backward()
    assert x.grad is not None
    assert w.grad is not None
    close(x.grad, np.exp(X @ W) @ W.T)
    close(w.grad, X.T @ np.exp(X @ W))


def test_what_is_not_differentiated_inside_is_not_outside() -> None:
    x = tg.tensor(X, requires_grad=True)

    def f(a: Any) -> Any:
        with tg.no_grad():
            factor = a * 2
        return (factor * a.detach() * a).sum()

    vmap(f)(x).sum().backward()
    assert x.grad is not None
    close(x.grad, 2 * X**2)
    with tg.no_grad():
        assert not vmap(f)(x).requires_grad


def test_gradients_of_each_example() -> None:
    model = nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 2)).double()
    parameters = {name: p.detach() for name, p in model.named_parameters()}
    labels = tg.tensor(np.array([0, 1, 1, 0, 1]))

    def loss(parameters: Any, x: Any, label: Any) -> Any:
        scores = functional_call(model, parameters, (x.unsqueeze(0),))
        return nn.functional.cross_entropy(scores, label.unsqueeze(0))

    found = vmap(grad(loss), (None, 0, 0))(parameters, X, labels)
    nn.functional.cross_entropy(model(tg.tensor(X)), labels).backward()
    for name, p in model.named_parameters():
        assert p.grad is not None
        close(found[name].mean(0), p.grad.numpy())


def test_a_batch_of_networks() -> None:
    model = nn.Sequential(nn.Linear(3, 4, dtype=tg.float64), nn.ReLU())
    weights = RNG.standard_normal((7, 4, 3))
    stacked = {"0.weight": tg.tensor(weights), "0.bias": tg.zeros(7, 4, dtype=tg.float64)}
    found = vmap(lambda p, x: functional_call(model, p, (x,)), (0, None))(stacked, X)
    close(found, np.maximum(X @ weights.transpose(0, 2, 1), 0))


def test_assignment_inside() -> None:
    def f(a: Any, i: Any) -> Any:
        a = a * 1
        a[i] = 7.0
        return a

    positions = np.array([0, 1, 2, 0, 1])
    wanted = X.copy()
    wanted[np.arange(5), positions] = 7
    close(vmap(f)(X, positions), wanted)


# ------------------------------------------------------------------------------ refusals


def test_random_draws() -> None:
    with pytest.raises(ArgumentError, match="vmap: the function drew random numbers"):
        vmap(lambda a: a + tg.randn(3))(X)
    shifted = vmap(lambda a: a + tg.randn(3, dtype=tg.float64), randomness="same")(X) - X
    close(shifted - shifted[0], np.zeros((5, 3)))


def test_decisions_on_values() -> None:
    with pytest.raises(TraceError, match="a condition asks for the values"):
        vmap(lambda a: a if a.sum() > 0 else -a)(X)


@pytest.mark.parametrize(
    ("act", "error", "text"),
    [
        (lambda: vmap(lambda a: a, randomness="maybe"), ArgumentError, "randomness"),
        (lambda: vmap(lambda a: a, chunk_size=0), ArgumentError, "chunk_size"),
        (lambda: vmap(lambda a: a, (0, 0))(X), ArgumentError, "2 entries for 1 positional"),
        (lambda: vmap(lambda a: a, ((0, 0),))(X), ArgumentError, "in_dims .* structure"),
        (lambda: vmap(lambda a: a, None)(X), ArgumentError, "no argument has an axis"),
        (lambda: vmap(lambda a: a, 2)(X), AxisError, "vmap"),
        (lambda: vmap(lambda a: a)(1.0), ShapeError, "no axis of examples"),
        (lambda: vmap(lambda a, b: a)(X, X.T), ShapeError, "3 and 5 examples"),
        (lambda: vmap(lambda a: 1.0)(X), DTypeError, "must return Tensors.* not float"),
        (lambda: vmap(lambda a: a, out_dims=None)(X), ArgumentError, "out_dims"),
        (lambda: vmap(lambda a: a, out_dims=3)(X), AxisError, "vmap"),
    ],
)
def test_misuse(act: Any, error: Any, text: str) -> None:
    with pytest.raises(error, match=f"^vmap.*{text}|{text}"):
        act()


def test_every_example_draws_its_own() -> None:
    tg.manual_seed(0)
    drawn = vmap(lambda a: (a * 0).float() + tg.randn(3), randomness="different")(tg.tensor(X))
    tg.manual_seed(0)
    assert drawn.tolist() == tg.randn(len(X), 3).tolist()


def test_draws_inside_of_two_vmaps() -> None:
    x = tg.zeros(2, 5)
    outer = vmap(
        vmap(lambda a: a + tg.rand(4), randomness="different", in_dims=0),
        randomness="different",
    )(x)
    assert outer.shape == (2, 5, 4)
    assert len(set(outer.flatten().tolist())) == 40
    same = vmap(vmap(lambda a: a + tg.rand(4), randomness="same"), randomness="different")(x)
    assert all(len(set(column)) == 1 for block in same.tolist() for column in zip(*block))  # noqa: B905
    assert same[0, 0].tolist() != same[1, 0].tolist()


def test_every_example_has_its_own_dropout_and_order() -> None:
    ones = tg.ones(6, 50)
    kept = vmap(lambda a: tg.nn.functional.dropout(a, 0.5), randomness="different")(ones)
    assert len({tuple(row) for row in kept.tolist()}) == 6
    kept = vmap(lambda a: tg.nn.functional.dropout(a, 0.5), randomness="same")(ones)
    assert len({tuple(row) for row in kept.tolist()}) == 1
    order = vmap(lambda a: a[tg.randperm(50)], randomness="different")(
        tg.arange(50).expand(6, 50)
    ).tolist()
    assert len({tuple(row) for row in order}) == 6
    assert all(sorted(row) == list(range(50)) for row in order)


def test_dropout_is_refused_unless_randomness_is_chosen() -> None:
    with pytest.raises(ArgumentError, match="different"):
        vmap(lambda a: tg.nn.functional.dropout(a, 0.5))(tg.ones(2, 3))


def test_draws_of_each_example_in_a_compiled_step() -> None:
    @tg.compile
    def noisy(x: tg.Tensor) -> tg.Tensor:
        return vmap(lambda a: a + tg.rand(3), randomness="different")(x)

    first, second = noisy(tg.zeros(4, 3)), noisy(tg.zeros(4, 3))
    assert len({*first.flatten().tolist(), *second.flatten().tolist()}) == 24


def test_gradients_of_a_convolution_for_each_example() -> None:
    images, filters = tg.randn(5, 2, 6, 6), tg.randn(3, 2, 3, 3)

    def loss(w: tg.Tensor, image: tg.Tensor) -> tg.Tensor:
        y = tg.conv2d(image.unsqueeze(0), w, padding=1).relu()
        return tg.max_pool2d(y, 2).sum()

    together = vmap(grad(loss), in_dims=(None, 0))(filters, images)
    for i in range(5):
        one = grad(loss)(filters, images[i])
        np.testing.assert_allclose(together[i].numpy(), one.numpy(), rtol=1e-4, atol=1e-5)
