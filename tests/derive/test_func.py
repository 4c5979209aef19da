"""The transforms of `tg.func`, against derivatives worked out by hand."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import pytest

import tinygrad_edu as tg
from tinygrad_edu import func
from tinygrad_edu.derive.autograd import grad as autograd_grad
from tinygrad_edu.errors import ArgumentError, DTypeError, GradientError, ShapeError
from tinygrad_edu.graph.tensor import abstract

X = np.array([0.5, -1.0, 2.0])
A = np.array([[1.0, 2.0, 0.0], [0.0, 3.0, -1.0]])


def close(found: Any, wanted: Any) -> None:
    np.testing.assert_allclose(found.numpy(), wanted, rtol=1e-14, atol=1e-300)


def cube(x: Any) -> Any:
    return x**3


def total_cube(x: Any) -> Any:
    return (x**3).sum()


# ------------------------------------------------------------------------------ gradients


def test_grad_of_a_number() -> None:
    gradient = func.grad(cube)(2.0)
    assert (gradient.item(), gradient.dtype, gradient.requires_grad) == (12, np.float32, False)


def test_grad_nests_to_any_order() -> None:
    fourth = func.grad(func.grad(func.grad(func.grad(lambda x: x**5 + x.sin()))))
    close(fourth(np.array(0.7)), 120 * 0.7 + math.sin(0.7))


@pytest.mark.parametrize("argnums", [0, 1, -1, (0, 1), (1, 0), (-1,)])
def test_argnums(argnums: Any) -> None:
    def product(a: Any, b: Any) -> Any:
        return (a * a * b).sum()

    a, b = np.array([1.0, 2.0]), np.array([3.0, -1.0])
    wanted = {0: 2 * a * b, 1: a * a, -1: a * a}
    found = func.grad(product, argnums)(a, b)
    if isinstance(argnums, int):
        close(found, wanted[argnums])
    else:
        assert isinstance(found, tuple)
        assert len(found) == len(argnums)
        for gradient, argnum in zip(found, argnums, strict=True):
            close(gradient, wanted[argnum])


def test_keywords_and_other_arguments_pass_through() -> None:
    def power(x: Any, how: str, *, n: int) -> Any:
        assert how == "power"
        return x**n

    assert func.grad(power)(2.0, "power", n=4).item() == 32


class Pair(NamedTuple):
    first: Any
    second: Any


def test_trees_of_arguments() -> None:
    def function(tree: Any) -> Any:
        return (tree["w"] * tree["layers"][0].first).sum() + tree["layers"][1] ** 2

    tree = {"w": X, "layers": [Pair(2 * X, None), 3.0], "nothing": None}
    gradient = func.grad(function)(tree)
    assert list(gradient) == ["w", "layers", "nothing"]
    close(gradient["w"], 2 * X)
    assert isinstance(gradient["layers"][0], Pair)
    close(gradient["layers"][0].first, X)
    assert gradient["layers"][0].second is None
    assert gradient["layers"][1].item() == 6
    assert gradient["nothing"] is None


def test_what_is_not_used_has_gradient_zero() -> None:
    found = func.grad(lambda a, b: a.sum(), (0, 1))(X, A)
    close(found[0], np.ones(3))
    close(found[1], np.zeros((2, 3)))
    assert func.grad(lambda x: tg.tensor(1.0))(2.0).item() == 0


def test_value_and_grad_gives_the_value_first() -> None:
    value, gradient = func.value_and_grad(total_cube)(X)
    close(value, (X**3).sum())
    close(gradient, 3 * X**2)
    assert not value.requires_grad


def test_aux() -> None:
    def function(x: Any) -> Any:
        y = x * x
        return y.sum(), {"y": y, "text": "kept"}

    gradient, aux = func.grad(function, has_aux=True)(X)
    close(gradient, 2 * X)
    close(aux["y"], X * X)
    assert aux["text"] == "kept"
    (value, aux), gradient = func.value_and_grad(function, has_aux=True)(X)
    close(value, (X * X).sum())
    close(aux["y"], X * X)
    jacobian, aux = func.jacrev(function, has_aux=True)(X)
    close(jacobian, 2 * X)
    jacobian, aux = func.jacfwd(function, has_aux=True)(X)
    close(jacobian, 2 * X)
    close(aux["y"], X * X)
    assert [len(f) for f in (func.vjp(function, X, has_aux=True),
                             func.jvp(function, (X,), (X,), has_aux=True))] == [3, 3]  # fmt: skip


# ------------------------------------------------------------------------------ products


def test_vjp() -> None:
    def function(a: Any, b: Any) -> Any:
        return {"product": a * b, "sum": a.sum()}

    result, pull = func.vjp(function, X, 2 * X)
    close(result["product"], 2 * X * X)
    for _ in range(2):  # as often as one likes
        by_a, by_b = pull({"product": np.array([1.0, 0.0, 2.0]), "sum": 10.0})
        close(by_a, [1 * 1.0 + 10, 10, 2 * 4.0 + 10])
        close(by_b, [0.5, 0, 4])


def test_jvp() -> None:
    result, tangent = func.jvp(lambda x, y: (x * y, y), (X, A), (np.ones(3), 2 * A))
    close(result[0], X * A)
    close(tangent[0], A + X * 2 * A)
    close(tangent[1], 2 * A)


def test_hvp_is_the_hessian_times_the_vector() -> None:
    def function(x: Any) -> Any:
        return (x[0] * x[1] * x[2]) ** 2

    v = np.array([1.0, -2.0, 0.5])
    wanted = func.hessian(function)(X).numpy() @ v
    close(func.hvp(function, (X,), (v,))[0], wanted)
    close(func.hvp(function, X, v), wanted)


def test_hvp_of_several_arguments() -> None:
    """f = sum a b: the Hessian swaps the tangents."""
    by_a, by_b = func.hvp(lambda a, b: (a * b).sum(), (X, 2 * X), (3 * X, 5 * X))
    close(by_a, 5 * X)
    close(by_b, 3 * X)


# ------------------------------------------------------------------------------ whole derivatives

both = pytest.mark.parametrize("jacobian", [func.jacrev, func.jacfwd])


@both
def test_jacobian_of_a_product(jacobian: Callable[..., Any]) -> None:
    close(jacobian(lambda x: tg.tensor(A) @ x)(X), A)


@both
def test_jacobian_shapes(jacobian: Callable[..., Any]) -> None:
    """Of the result, then of the argument; the result's tree outside."""
    found = jacobian(lambda a, x: {"y": a @ x, "a": a}, (0, 1))(A, X)
    assert found["y"][0].shape == (2, 2, 3)
    close(found["y"][0], np.einsum("ij,k->ijk", np.eye(2), X))
    close(found["y"][1], A)
    close(found["a"][0], np.eye(6).reshape(2, 3, 2, 3))
    close(found["a"][1], np.zeros((2, 3, 3)))


@both
@pytest.mark.parametrize(("result", "argument"), [((0,), (2,)), ((2,), (0,)), ((0,), (0,))])
def test_empty_jacobians(jacobian: Callable[..., Any], result: Any, argument: Any) -> None:
    found = jacobian(lambda x: tg.zeros(result) * x.sum())(tg.ones(argument))
    assert found.shape == result + argument


@pytest.mark.parametrize("outer", [func.jacrev, func.jacfwd])
@pytest.mark.parametrize("inner", [func.jacrev, func.jacfwd, func.grad])
def test_second_derivatives_every_way(outer: Any, inner: Any) -> None:
    wanted = np.diag(6 * X)
    close(outer(inner(total_cube))(X), wanted)
    close(func.hessian(total_cube)(X), wanted)


def test_hessian_of_two_arguments() -> None:
    blocks = func.hessian(lambda a, b: (a * a * b).sum(), (0, 1))(X, 2 * X)
    close(blocks[0][0], np.diag(4 * X))
    close(blocks[0][1], np.diag(2 * X))
    close(blocks[1][0], np.diag(2 * X))
    close(blocks[1][1], np.zeros((3, 3)))


def test_third_derivatives() -> None:
    third = func.jacfwd(func.hessian(total_cube))(X)
    wanted = np.zeros((3, 3, 3))
    wanted[range(3), range(3), range(3)] = 6
    close(third, wanted)


# ------------------------------------------------------------------------------ nesting


def test_an_argument_is_not_what_it_was_computed_from() -> None:
    """Inside, y is held apart from x although both are the same number: d(xy)/dy = x."""
    inner = func.grad(lambda x: func.grad(lambda y: x * y)(x))
    assert inner(3.0).item() == 1
    jvp_inner = func.grad(lambda x: func.jvp(lambda y: x * y, (x,), (tg.tensor(1.0),))[1])
    assert jvp_inner(3.0).item() == 1


def test_perturbations_are_not_confused() -> None:
    """d/dx (x * d/dy (x + y)) = 1: an engine that mixes the two up gives 2 (Siskind 2005)."""
    one = tg.tensor(1.0)

    def along(f: Any, x: Any) -> Any:
        return func.jvp(f, (x,), (one,))[1]

    assert along(lambda x: x * along(lambda y: x + y, one), one).item() == 1
    assert func.grad(lambda x: x * func.grad(lambda y: x + y)(one))(one).item() == 1
    assert along(lambda x: x * func.grad(lambda y: x + y)(one), one).item() == 1
    assert func.grad(lambda x: x * along(lambda y: x + y, one))(one).item() == 1


def test_captured_tensors_stay_differentiable() -> None:
    """A gradient penalty: the gradient's norm by a captured weight."""
    w = tg.tensor(3.0, requires_grad=True)
    penalty = func.grad(lambda x: w * x * x)(2.0) ** 2  # (2 w x)^2
    penalty.backward()
    assert w.grad is not None
    assert w.grad.item() == 8 * 3 * 4


def test_arguments_that_require_grad_stay_connected() -> None:
    x = tg.tensor(2.0, requires_grad=True)
    value, gradient = func.value_and_grad(cube)(x)
    assert autograd_grad(gradient, x)[0].item() == 12
    assert autograd_grad(value, x)[0].item() == 12
    assert x.grad is None
    value, pull = func.vjp(cube, x)
    assert autograd_grad(pull(1.0)[0], x)[0].item() == 12
    assert autograd_grad(func.jvp(cube, (x,), (1.0,))[1], x)[0].item() == 12


def test_nothing_is_recorded_under_no_grad() -> None:
    x = tg.tensor(2.0, requires_grad=True)
    with tg.no_grad():
        value, gradient = func.value_and_grad(cube)(x)
        assert func.grad(func.grad(cube))(x).item() == 12
    assert (value.item(), gradient.item()) == (8, 12)
    assert not value.requires_grad
    assert not gradient.requires_grad


def test_no_grad_inside_is_respected() -> None:
    def function(x: Any) -> Any:
        with tg.no_grad():
            constant = x**2
        return x**2 - constant

    assert func.grad(function)(2.0).item() == 4


@pytest.mark.parametrize("transform", [func.grad, func.jacrev, func.jacfwd, func.hessian])
def test_results_are_constants_however_deep(transform: Any) -> None:
    """No argument is left asking for gradients where the next transform finds it."""

    def function(x: Any) -> Any:
        return func.grad(lambda y: (x * y * y).sum())(x).sum()

    assert not transform(function)(tg.ones(2)).requires_grad


def test_an_argument_does_not_ask_for_gradients_after_an_error() -> None:
    kept: list[Any] = []

    def function(x: Any) -> Any:
        kept.append(x)
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        func.grad(function)(1.0)
    assert not kept[0].requires_grad


def test_a_second_cotangent_may_ask_for_gradients() -> None:
    _, pull = func.vjp(lambda x: x * x, X)
    v = tg.tensor(X, requires_grad=True)
    (product,) = pull(v)
    close(autograd_grad(product.sum(), v)[0], 2 * X)


def behind(result: Any, node: Any) -> bool:
    """Whether the graph of the result leads back to the node."""
    return result is node or any(behind(x, node) for x in result.inputs)


def test_shapes_can_be_traced() -> None:
    """And the trace knows where the values will come from."""
    x = abstract((2, 3))
    for transform in (func.grad, func.jacrev, func.jacfwd, func.hessian):
        traced = transform(total_cube)(x)
        real = transform(total_cube)(tg.ones(2, 3))
        assert traced.node.is_abstract
        assert traced.shape == real.shape
        assert behind(traced.node, x.node)
    value, _ = func.value_and_grad(total_cube)(x)
    assert value.node.is_abstract
    assert behind(value.node, x.node)


# ------------------------------------------------------------------------------ misuse


@pytest.mark.parametrize(
    ("call", "error", "text"),
    [
        (lambda: func.grad(lambda x: x * 2)(X), GradientError, r"one number.*\(3,\).*jacrev"),
        (lambda: func.grad(lambda x: (x, x))(1.0), GradientError, "one number.*a tree"),
        (lambda: func.grad(lambda x: 1.0)(X), DTypeError, "must return Tensors.*float.*has_aux"),
        (lambda: func.jacrev(lambda x: x > 0)(X), DTypeError, r"bool of shape \(3,\).*has_aux"),
        (lambda: func.grad(cube)(2), DTypeError, r"int64.*\.float\(\).*argnums"),
        (lambda: func.grad(cube)("2"), DTypeError, "cannot differentiate by an argument"),
        (lambda: func.grad(cube, 1)(2.0), ArgumentError, "argnums is 1.*1 positional"),
        (lambda: func.grad(cube, (0, 0))(2.0), ArgumentError, "twice"),
        (lambda: func.grad(cube, "x")(2.0), DTypeError, "argnums"),  # type: ignore[arg-type]
        (lambda: func.grad(cube, has_aux=True)(2.0), DTypeError, "pair"),
        (lambda: func.jvp(cube, 2.0, 1.0), DTypeError, "primals must be a tuple"),  # type: ignore[arg-type]
        (lambda: func.jvp(cube, (2.0,), ()), ShapeError, r"structure \(\*,\), not \(\)"),
        (lambda: func.jvp(cube, (X,), (A,)), ShapeError, r"\(2, 3\) float64.*\(3,\) float64"),
        (lambda: func.vjp(cube, X)[1](X.astype("f4")), ShapeError, "float32.*float64"),
        (lambda: func.vjp(cube, X)[1]({"y": X}), ShapeError, r"structure \*, not {'y': \*}"),
    ],
)
def test_misuse(call: Callable[[], Any], error: type[Exception], text: str) -> None:
    with pytest.raises(error, match=text):
        call()
