"""Mistakes in an op of one's own are named."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

import tinygrad_edu as tg
from tests.derive.functions import Scale, X, function, leaf
from tinygrad_edu import func
from tinygrad_edu.derive.autograd import Function
from tinygrad_edu.errors import (
    DTypeError,
    GradientError,
    NoDerivativeError,
    ShapeError,
    StaleStorageError,
)


def pull(backward: Any, *args: Any) -> Callable[[], Any]:
    odd = function(lambda ctx, x, *args: x * 1, backward)
    return lambda: odd.apply(leaf(), *args).sum().backward()


@pytest.mark.parametrize(
    ("call", "error", "text"),
    [
        (pull(lambda ctx, g: (g, g)), GradientError, "Odd: backward returned 2.*for the 1"),
        (pull(lambda ctx, g: g, 7), GradientError, "returned 1 gradients for the 2"),
        (pull(lambda ctx, g: (g, g), 7), GradientError, "argument 1, which is no Tensor"),
        (pull(lambda ctx, g: g.numpy()), DTypeError, "gradient of argument 0.*not ndarray"),
        (pull(lambda ctx, g: g[:2]), ShapeError, r"gradient of argument 0.*\(2,\).*\(3,\)"),
        (pull(None), NoDerivativeError, r"Odd: defines no backward\(ctx"),
        (
            lambda: function(lambda ctx, x: 1.0).apply(leaf()),
            DTypeError,
            "forward must return.*float",
        ),
        (lambda: function(lambda ctx, x: [x]).apply(leaf()), DTypeError, "tuple of them, not list"),
        (
            lambda: function(lambda ctx, x: ctx.save_for_backward(3)).apply(leaf()),
            DTypeError,
            r"Odd: save_for_backward takes.*int.*ctx\.n = n",
        ),
        (
            lambda: func.jvp(function(jvp=lambda ctx, t: (t, t)).apply, (X,), (X,)),
            GradientError,
            "jvp returned 2 tangents for the 1",
        ),
        (
            lambda: func.jvp(function(jvp=lambda ctx, t: t[:2]).apply, (X,), (X,)),
            ShapeError,
            r"tangent of result 0.*\(2,\).*\(3,\)",
        ),
        (lambda: Function.apply(leaf()), NotImplementedError, "forward"),
    ],
)
def test_misuse(call: Callable[[], Any], error: type[Exception], text: str) -> None:
    with pytest.raises(error, match=text):
        call()


def test_extra_nones_are_allowed() -> None:
    pull(lambda ctx, g: (g, None, None))()


def test_errors_of_the_author_come_through_as_they_are() -> None:
    def forward(ctx: Any, x: Any) -> Any:
        raise ValueError("mine")

    with pytest.raises(ValueError, match=r"^mine$"):
        function(forward).apply(leaf())


def test_saved_tensors_that_changed_are_refused() -> None:
    x = leaf()
    y = Scale.apply(x, 2)[0]
    x.data = tg.tensor(2 * X)
    with pytest.raises(StaleStorageError, match="Scale: operand 0"):
        y.sum().backward()
