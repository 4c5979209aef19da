"""Custom ops: torch's protocol, any order of derivative, and what is refused."""

from __future__ import annotations

import gc
import weakref
from typing import Any

import numpy as np
import pytest

import tinygrad_edu as tg
from tests.derive.functions import Exp, InNumPy, Scale, WithoutJvp, X, function, leaf
from tinygrad_edu import func
from tinygrad_edu.derive.autograd import Function, grad, gradcheck, gradgradcheck
from tinygrad_edu.errors import NoDerivativeError, TraceError
from tinygrad_edu.graph.tensor import abstract
from tinygrad_edu.ops import TABLE

# ------------------------------------------------------------------------------ gradients


def test_gradient() -> None:
    x = leaf()
    y = Exp.apply(x)
    np.testing.assert_array_equal(y.detach().numpy(), np.exp(X))
    assert "Exp" in repr(y)
    y.sum().backward()
    np.testing.assert_allclose(x.grad.numpy(), np.exp(X), rtol=1e-15)


def test_it_is_an_op_outside_the_table() -> None:
    before = dict(TABLE)

    class Exp(Function):
        """The same name again, and that of an op."""

    assert before == TABLE
    assert repr(Exp._op) == "<custom op Exp>"


@pytest.mark.parametrize("transform", [func.grad, func.jacfwd])
def test_every_order(transform: Any) -> None:
    third = transform(func.grad(transform(Exp.apply)))
    assert third(np.array(0.5)).item() == pytest.approx(np.exp(0.5), rel=1e-14)


def test_several_results() -> None:
    x = leaf()
    power, linear, positive = Scale.apply(x, 3)
    assert (power.dtype, linear.dtype, positive.dtype) == (np.float64, np.float32, np.bool_)
    np.testing.assert_array_equal(power.detach().numpy(), X**3)
    np.testing.assert_array_equal(linear.detach().numpy(), 3 * X)
    np.testing.assert_array_equal(positive.numpy(), X > 0)
    assert not positive.requires_grad
    (gradient,) = grad(power.sum() + 10 * linear.double().sum(), x, create_graph=True)
    np.testing.assert_allclose(gradient.detach().numpy(), 3 * X**2 + 30)
    np.testing.assert_allclose(grad(gradient.sum(), x)[0].numpy(), 6 * X)
    np.testing.assert_allclose(grad(linear.sum(), x)[0].numpy(), [3, 3, 3])


def test_backward_is_called_once_for_all_results() -> None:
    calls = []

    class Counted(Scale):
        @staticmethod
        def backward(ctx: Any, *gs: Any) -> Any:
            calls.append(gs)
            return Scale.backward(ctx, *gs)

    power, linear, _ = Counted.apply(leaf(), 2)
    (power.sum() + linear.sum()).backward()
    assert len(calls) == 1


def test_broadcast_arguments_may_get_a_broadcast_gradient() -> None:
    """As in torch: the axes along which an argument was repeated are summed."""

    class Add(Function):
        @staticmethod
        def forward(ctx: Any, a: Any, b: Any) -> Any:
            return a + b

        @staticmethod
        def backward(ctx: Any, g: Any) -> Any:
            return g, g

    a, b = leaf(), leaf(1.0)
    Add.apply(a, b).sum().backward()
    assert (a.grad.tolist(), b.grad.item()) == ([1, 1, 1], 3)


def test_gradients_take_the_dtype_of_the_argument() -> None:
    x = leaf()
    function(backward=lambda ctx, g: g.to("float32")).apply(x).sum().backward()
    assert x.grad.dtype == np.float64


def test_needs_input_grad() -> None:
    seen = []

    class Product(Function):
        @staticmethod
        def forward(ctx: Any, a: Any, n: float, b: Any) -> Any:
            seen.append(ctx.needs_input_grad)
            ctx.save_for_backward(a, b)
            return a * n * b

        @staticmethod
        def backward(ctx: Any, g: Any) -> Any:
            seen.append(ctx.needs_input_grad)
            a, b = ctx.saved_tensors
            return g * b * 2, None, g * a * 2

    a, b = leaf(), leaf()
    y = Product.apply(a, 2.0, b.detach()).sum() + Product.apply(a, 2.0, b).sum()
    assert seen == [(True, False, False), (True, False, True)]
    grad(y, b)
    assert seen[2:] == [(False, False, True)]


def test_mark_non_differentiable() -> None:
    class Both(Function):
        @staticmethod
        def forward(ctx: Any, x: Any) -> Any:
            rounded = x.floor()
            ctx.mark_non_differentiable(rounded)
            return x * 1, rounded

        @staticmethod
        def backward(ctx: Any, g: Any, h: Any) -> Any:
            assert not h.numpy().any()
            return g

    x = leaf()
    same, rounded = Both.apply(x)
    assert not rounded.requires_grad
    (same + rounded).sum().backward()
    assert x.grad.tolist() == [1, 1, 1]


def test_nothing_is_recorded_without_need() -> None:
    assert Exp.apply(tg.tensor(X)).node.op is None
    with tg.no_grad():
        assert not Exp.apply(leaf()).requires_grad
    power, *_ = Scale.apply(tg.tensor(X), 2)
    assert power.node.op is None


def test_what_forward_captures_has_no_gradient() -> None:
    w = leaf()
    assert not function(lambda ctx, x: x * w).apply(tg.tensor(X)).requires_grad


def test_forward_may_use_numpy() -> None:
    x = leaf()
    np.testing.assert_array_equal(InNumPy.apply(x).detach().numpy(), np.sin(X))
    assert gradcheck(InNumPy.apply, (x,))


def test_an_argument_may_be_returned() -> None:
    class Double(Function):
        @staticmethod
        def forward(ctx: Any, x: Any) -> Any:
            return x

        @staticmethod
        def backward(ctx: Any, g: Any) -> Any:
            return 2 * g

    x = leaf()
    Double.apply(x).sum().backward()
    assert x.grad.tolist() == [2, 2, 2]


def test_the_graph_is_let_go() -> None:
    x = leaf()
    y = Exp.apply(x)
    node = weakref.ref(y)
    context = weakref.ref(y.node.params["call"].ctx)
    grad(y.sum(), x, create_graph=True)
    del y
    gc.disable()
    try:
        assert node() is None
        assert context() is None, "a cycle keeps the saved tensors until the next collection"
    finally:
        gc.enable()


# ------------------------------------------------------------------------------ forward mode


def test_forward_mode_comes_from_a_differentiable_backward() -> None:
    t = np.array([1.0, -2.0, 0.5])
    np.testing.assert_allclose(func.jvp(Exp.apply, (X,), (t,))[1].numpy(), np.exp(X) * t)

    def both(x: Any) -> Any:
        return Scale.apply(x, 3)[:2]

    tangents = func.jvp(both, (X,), (t,))[1]
    np.testing.assert_allclose(tangents[0].numpy(), 3 * X**2 * t)
    np.testing.assert_allclose(tangents[1].numpy(), 3 * t)


def test_forward_mode_from_jvp() -> None:
    t = np.array([1.0, -2.0, 0.5])
    np.testing.assert_allclose(func.jvp(InNumPy.apply, (X,), (t,))[1].numpy(), np.cos(X) * t)


def test_jvp_of_several_arguments_and_results() -> None:
    class Pair(Function):
        @staticmethod
        def forward(ctx: Any, a: Any, n: int, b: Any) -> Any:
            ctx.save_for_backward(a, b)
            return a * b, a + b, a > b

        @staticmethod
        def jvp(ctx: Any, ta: Any, tn: Any, tb: Any) -> Any:
            a, b = ctx.saved_tensors
            assert tn is None
            return ta * b + a * tb, ta + tb, None

    def both(a: Any) -> Any:
        return Pair.apply(a, 1, tg.tensor(2 * X))[:2]

    product, total = func.jvp(both, (X,), (X,))[1]
    np.testing.assert_allclose(product.numpy(), 2 * X * X)
    np.testing.assert_allclose(total.numpy(), X)


def test_a_jvp_in_functions_of_tensors_can_be_differentiated() -> None:
    class Cube(Function):
        @staticmethod
        def forward(ctx: Any, x: Any) -> Any:
            ctx.save_for_forward(x)
            return x**3

        @staticmethod
        def jvp(ctx: Any, t: Any) -> Any:
            (x,) = ctx.saved_tensors
            return 3 * x**2 * t

    slope = func.grad(lambda x: func.jvp(Cube.apply, (x,), (tg.tensor(X),))[1].sum())
    np.testing.assert_allclose(slope(X).numpy(), 6 * X * X)


def test_tangents_of_several_arguments_add_up() -> None:
    class Product(Function):
        @staticmethod
        def forward(ctx: Any, a: Any, b: Any) -> Any:
            ctx.save_for_backward(a, b)
            return a * b

        @staticmethod
        def backward(ctx: Any, g: Any) -> Any:
            a, b = ctx.saved_tensors
            return g * b, g * a

    tangent = func.jvp(Product.apply, (X, 2 * X), (3 * X, 5 * X))[1]
    np.testing.assert_allclose(tangent.numpy(), 3 * X * 2 * X + X * 5 * X)


def test_without_either_forward_mode_is_refused() -> None:
    assert gradcheck(WithoutJvp.apply, (leaf(),))  # in reverse mode alone
    with pytest.raises(NoDerivativeError, match=r"WithoutJvp: forward mode needs jvp"):
        func.jvp(WithoutJvp.apply, (X,), (X,))


def test_a_backward_that_is_zero_is_no_mistake() -> None:
    class Stop(Function):
        @staticmethod
        def forward(ctx: Any, x: Any) -> Any:
            return x * 1

        @staticmethod
        def backward(ctx: Any, g: Any) -> Any:
            return tg.zeros_like(g)

    assert func.jvp(Stop.apply, (X,), (X,))[1].tolist() == [0, 0, 0]


def test_second_derivatives_of_a_backward_in_numpy_are_found_missing() -> None:
    """`create_graph` alone does not notice."""
    assert not gradgradcheck(InNumPy.apply, (leaf(),), raise_exception=False)
    assert gradgradcheck(Exp.apply, (leaf(),))


# ------------------------------------------------------------------------------ tracing


def test_shapes_are_traced_by_running_forward() -> None:
    x = abstract((3,), np.float64)
    x.requires_grad_()
    y = Exp.apply(x)
    assert (y.shape, y.node.is_abstract, y.node.op) == ((3,), True, Exp._op)
    assert y.node.inputs == (x.node,)
    (gradient,) = grad(y.sum(), x)
    assert (gradient.shape, gradient.node.is_abstract) == ((3,), True)
    power, linear, positive = Scale.apply(x, 2)
    assert [t.dtype for t in (power, linear, positive)] == [np.float64, np.float32, np.bool_]
    tangent = func.jvp(Exp.apply, (abstract((2,)),), (tg.ones(2),))[1]
    assert (tangent.shape, tangent.node.is_abstract) == ((2,), True)


def test_a_trace_can_be_run() -> None:
    """The recorded op computes on arrays what `apply` did, as an executor of the trace needs."""
    x = abstract((3,), np.float64)
    x.requires_grad_()
    node = Exp.apply(x).node
    np.testing.assert_array_equal(node.op.forward(X, **node.params), np.exp(X))
    assert node.op.infer(x.node, **node.params) == ((3,), np.float64)


def test_values_are_not_to_be_had_in_a_trace() -> None:
    with pytest.raises(TraceError, match="numpy"):
        InNumPy.apply(abstract((3,), np.float64))
