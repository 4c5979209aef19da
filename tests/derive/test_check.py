"""`gradcheck` accepts what is right, and says of what is wrong which element it is."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import tinygrad_edu as tg
from tests.derive.functions import leaf
from tests.ops.cases import CASES
from tests.ops.checks import influential
from tinygrad_edu.derive.autograd import Function, gradcheck, gradgradcheck
from tinygrad_edu.errors import ArgumentError, DTypeError, GradcheckError, KinkError
from tinygrad_edu.graph.reader import apply
from tinygrad_edu.ops import TABLE

X = [[0.5, -1.0], [2.0, 0.25]]


# ------------------------------------------------------------------------------ what is right


@pytest.mark.parametrize("name", [n for n in sorted(CASES) if TABLE[n].differentiable])
@settings(max_examples=2)
@given(data=st.data())
def test_every_op_passes(name: str, data: st.DataObject) -> None:
    op, sample = TABLE[name], data.draw(CASES[name].samples)
    which = influential(op, sample)
    xs = [tg.tensor(x, requires_grad=i in which) for i, x in enumerate(sample.xs)]
    assert gradcheck(lambda *xs: apply(op, *xs, **sample.params), xs)


def test_several_inputs_and_results() -> None:
    def function(a: Any, n: float, b: Any, c: Any) -> Any:
        return a @ b * n, (a > 0), (c * b).exp(), 3

    constant = tg.tensor(X, dtype="float64")
    assert gradcheck(function, (leaf(X), 2.0, leaf(X), constant))
    assert gradgradcheck(function, (leaf(X), 2.0, leaf(X), constant))


def test_functions_that_take_derivatives() -> None:
    def slope(x: Any) -> Any:
        return tg.autograd.grad((x**4).sum(), x, create_graph=True)[0]

    assert gradcheck(slope, leaf(X))
    assert gradcheck(lambda x: tg.func.jvp(tg.exp, (x,), (x,)), leaf(X))


def test_empty_and_zero_dimensional() -> None:
    assert gradcheck(tg.exp, leaf(0.5))
    assert gradcheck(tg.exp, leaf(np.zeros((0, 2))))
    assert gradcheck(lambda x: x.sum(), leaf(np.zeros((0, 2))))


def test_inputs_are_left_as_they_are() -> None:
    x = leaf(X)
    gradcheck(tg.exp, (x,))
    assert x.tolist() == X
    assert x.grad is None


def test_captured_tensors_may_require_grad() -> None:
    w = leaf(X)
    assert gradcheck(lambda x: x * w, leaf(X))


def test_second_derivatives_with_given_cotangents() -> None:
    assert gradgradcheck(lambda x: (x**3, x.sin()), leaf(X), (leaf(X), leaf(X)))
    assert gradgradcheck(lambda x: x * 2, leaf(X))  # whose second derivative is zero


def test_second_derivatives_where_something_does_not_depend() -> None:
    constant = tg.ones(2, dtype="float64")
    assert gradgradcheck(lambda x, y: (x**3, constant), (leaf(X), leaf(X)))
    assert gradgradcheck(lambda x: constant, leaf(X))


# ------------------------------------------------------------------------------ what is wrong


class Planted(Function):
    """x^2 y, with mistakes where `wrong` says."""

    wrong = ""

    @staticmethod
    def forward(ctx: Any, x: Any, y: Any) -> Any:
        ctx.save_for_backward(x, y)
        return x * x * y

    @classmethod
    def backward(cls, ctx: Any, g: Any) -> Any:  # type: ignore[override]
        x, y = ctx.saved_tensors
        by_x, by_y = 2 * g * x * y, g * x * x
        if cls.wrong == "sign":
            return -by_x, by_y
        if cls.wrong == "factor":
            return by_x, by_y * 1.01
        if cls.wrong == "one element":
            by_x[1, 0] = 7 * g[1, 0]
            return by_x, by_y
        if cls.wrong == "second order":
            return 2 * g * (x * y).detach(), by_y
        if cls.wrong == "nan":
            return by_x, by_y * np.nan
        return by_x, by_y

    @classmethod
    def jvp(cls, ctx: Any, tx: Any, ty: Any) -> Any:
        x, y = ctx.saved_tensors
        return 2 * x * tx * y + (1 + 1e-6 * (cls.wrong == "forward")) * x * x * ty


def planted(wrong: str) -> Any:
    return type("Planted", (Planted,), {"wrong": wrong}).apply


INPUTS = (leaf(X), leaf([[1.0, 2.0], [3.0, 4.0]]))


@pytest.mark.parametrize(
    ("wrong", "text"),
    [
        ("sign", r"result 0\[0, 0\] by input 0\[0, 0\] at 0\.5: expected 1 .*got -1 \(reverse"),
        ("factor", r"by input 1\[0, 0\] at 1: expected 0\.25 .*got 0\.2525"),
        ("one element", r"result 0\[1, 0\] by input 0\[1, 0\] at 2: expected 12 .*got 7"),
        ("nan", r"by input 1\[0, 0\] .*got nan"),
        ("forward", r"by input 1\[0, 0\] .*forward mode gives 0\.25000025, reverse mode 0\.25\."),
    ],
)
def test_planted_mistakes(wrong: str, text: str) -> None:
    assert gradcheck(planted(""), INPUTS)
    with pytest.raises(GradcheckError, match="^gradcheck: .*" + text) as caught:
        gradcheck(planted(wrong), INPUTS)
    assert not isinstance(caught.value, KinkError)
    assert not gradcheck(planted(wrong), INPUTS, raise_exception=False)


def test_a_planted_mistake_of_second_order() -> None:
    assert gradgradcheck(planted(""), INPUTS)
    assert gradcheck(planted("second order"), INPUTS)
    with pytest.raises(GradcheckError, match=r"^gradgradcheck: result 0\[0, 0\] by input 0"):
        gradgradcheck(planted("second order"), INPUTS)


def test_tolerances() -> None:
    off = type("Planted", (Planted,), {"wrong": "factor", "jvp": None}).apply
    assert gradcheck(off, INPUTS, rtol=0.02)
    assert gradcheck(off, INPUTS, atol=0.1)
    assert not gradcheck(off, INPUTS, rtol=0.005, atol=0, raise_exception=False)


def test_randomness_is_not_a_wrong_gradient() -> None:
    with pytest.raises(GradcheckError, match="another value each time"):
        gradcheck(lambda x: x * tg.rand(2, 2, dtype="float64"), leaf(X))


# ------------------------------------------------------------------------------ kinks


@pytest.mark.parametrize("function", [abs, lambda x: tg.maximum(x, 0.0)])
def test_the_mean_of_both_slopes_passes_at_a_kink(function: Any) -> None:
    """It is what central differences give."""
    assert gradcheck(function, leaf([1.5, 0.0]))


@pytest.mark.parametrize(
    ("function", "slopes"),
    [
        (tg.relu, "slopes 0 to the left, 1 to the right"),
        (lambda x: x.clamp(min=0), "slopes 0 to the left, 1 to the right"),
        (lambda x: tg.leaky_relu(x, 0.1), "slopes 0.1 to the left, 1 to the right"),
        (tg.floor, r"slopes 1\.024e\+09 to the left, 0 to the right"),
    ],
)
def test_a_kink_is_called_one(function: Any, slopes: str) -> None:
    with pytest.raises(KinkError, match=rf"result 0\[1\] by input 0\[1\] at 0: .*kink.*{slopes}"):
        gradcheck(function, leaf([1.5, 0.0]))
    assert not gradcheck(function, leaf([1.5, 0.0]), raise_exception=False)


@pytest.mark.parametrize("x", [3e-7, -3e-7, 2e-9])
def test_close_to_a_kink_smaller_steps_decide(x: float) -> None:
    """The differences over 1e-6 reach across the kink, and are off by a half."""
    assert gradcheck(tg.relu, leaf([x]))


def test_a_wrong_gradient_close_to_a_kink_is_found() -> None:
    class Wrong(Function):
        @staticmethod
        def forward(ctx: Any, x: Any) -> Any:
            ctx.save_for_backward(x)
            return x.relu()

        @staticmethod
        def backward(ctx: Any, g: Any) -> Any:
            (x,) = ctx.saved_tensors
            return 0.5 * g * (x > 0).double()

    with pytest.raises(GradcheckError, match=r"expected 1 .*got 0\.5") as caught:
        gradcheck(Wrong.apply, leaf([3e-7]))
    assert not isinstance(caught.value, KinkError)


def test_a_gradient_beyond_both_slopes_is_wrong_at_a_kink_too() -> None:
    class Wrong(Function):
        @staticmethod
        def forward(ctx: Any, x: Any) -> Any:
            return x.relu()

        @staticmethod
        def backward(ctx: Any, g: Any) -> Any:
            return -g

    with pytest.raises(GradcheckError, match="got -1") as caught:
        gradcheck(Wrong.apply, leaf([0.0]))
    assert not isinstance(caught.value, KinkError)


def test_the_end_of_the_domain() -> None:
    with pytest.raises(GradcheckError, match=r"not finite next to this point.*move the input"):
        gradcheck(tg.sqrt, leaf([0.0]))


# ------------------------------------------------------------------------------ misuse


def test_float32_is_refused() -> None:
    with pytest.raises(DTypeError, match=r"input 1 is float32 of shape \(2,\).*\.double\(\)"):
        gradcheck(tg.mul, (leaf([1.0, 2.0]), tg.ones(2, requires_grad=True)))
    with pytest.raises(DTypeError, match="result 0 is float32"):
        gradcheck(lambda x: x.float(), leaf([1.0]))


def test_something_must_require_grad() -> None:
    for check in (gradcheck, gradgradcheck):
        with pytest.raises(ArgumentError, match="none of the inputs requires grad"):
            check(tg.exp, (tg.ones(2, dtype="float64"), 3))
