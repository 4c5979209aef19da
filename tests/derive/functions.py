"""Ops of one's own, and a leaf for them."""

from __future__ import annotations

from typing import Any

import numpy as np

import tinygrad_edu as tg
from tinygrad_edu.derive.autograd import Function

X = np.array([0.5, -1.0, 2.0])


def leaf(data: Any = X) -> Any:
    return tg.tensor(data, dtype="float64", requires_grad=True)


class Exp(Function):
    """Saves its result."""

    @staticmethod
    def forward(ctx: Any, x: Any) -> Any:
        y = x.exp()
        ctx.save_for_backward(y)
        return y

    @staticmethod
    def backward(ctx: Any, g: Any) -> Any:
        (y,) = ctx.saved_tensors
        return g * y


class Scale(Function):
    """Takes a number besides, and saves an argument; several results, one of them no float."""

    @staticmethod
    def forward(ctx: Any, x: Any, n: int, y: Any = None) -> Any:
        ctx.n = n
        ctx.save_for_backward(x, None, y)
        return x**n, (x * n).to("float32"), (x > 0)

    @staticmethod
    def backward(ctx: Any, power: Any, linear: Any, mask: Any) -> Any:
        x, nothing, _ = ctx.saved_tensors
        assert nothing is None
        assert mask.dtype == np.bool_
        return power * ctx.n * x ** (ctx.n - 1) + linear.double() * ctx.n, None, None


class InNumPy(Function):
    """sin, in NumPy, with both derivatives."""

    @staticmethod
    def forward(ctx: Any, x: Any) -> Any:
        ctx.save_for_backward(x)
        return tg.tensor(np.sin(x.numpy()))

    @staticmethod
    def backward(ctx: Any, g: Any) -> Any:
        (x,) = ctx.saved_tensors
        return tg.tensor(np.cos(x.detach().numpy()) * g.detach().numpy())

    @staticmethod
    def jvp(ctx: Any, t: Any) -> Any:
        (x,) = ctx.saved_tensors
        return tg.tensor(np.cos(x.detach().numpy()) * t.detach().numpy())


class WithoutJvp(InNumPy):
    jvp = None


# ------------------------------------------------------------------------------ misuse


def function(forward: Any = None, backward: Any = None, jvp: Any = None) -> type[Function]:
    """A Function of these methods, of one argument."""
    methods = {"forward": forward or (lambda ctx, x: x * 1), "backward": backward, "jvp": jvp}
    return type("Odd", (Function,), {k: staticmethod(f) for k, f in methods.items() if f})
