"""Arithmetic that changes a tensor under its name: ``x += y``, ``x[i] = y``, ``x.add_(y)``.

Nothing is written into memory that a graph may still need. The new value is computed as any other,
and the name stands for it from then on; only a leaf that asks for gradients, which keeps its
identity, is given a new value, and only under `no_grad`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tinygrad_edu.errors import InPlaceError, ShapeError
from tinygrad_edu.graph import functions, indexing, modes
from tinygrad_edu.graph.node import clock, tracing
from tinygrad_edu.ops.dtypes import category

if TYPE_CHECKING:
    from tinygrad_edu.graph.tensor import Operand, Tensor


def replace(x: Tensor, value: Tensor, what: str) -> Tensor:
    """Let the handle `x` stand for `value`; `what` is the way users wrote it. As in torch x keeps
    its dtype, and a result of a higher category (bool < integer < float) does not go into it."""
    if value.dtype != x.dtype and category(value.dtype) <= category(x.dtype):
        value = value.to(x.dtype)
    if value.shape != x.shape or value.dtype != x.dtype:
        instead = f"x.{what[:-1]}(...)" if what.endswith("_") else f"x {what[:-1]} y"
        raise ShapeError(
            f"{what}: the result {value.shape} {value.dtype} does not fit in place into "
            f"{x.shape} {x.dtype}; write x = {instead} instead."
        )
    if not x.requires_grad or (modes.state.recording and not x.is_leaf):
        now = tracing()
        if now is not None:
            now.rebinds(x)
        x.node = value.node
        clock.now += 1
    elif x.is_leaf and not modes.state.recording:
        x.node.take(value.node)
    elif x.is_leaf:
        raise InPlaceError(
            f"{what}: this leaf of shape {x.shape} requires grad, and changing it in place "
            "would lose its gradient; compute a new tensor, or update it under tg.no_grad()."
        )
    else:
        raise InPlaceError(
            f"{what}: under tg.no_grad() this would cut a computed tensor of shape "
            f"{x.shape} off from what it was computed from; change it while recording, or "
            "change a copy, x.detach()."
        )
    return x


# ------------------------------------------------------------------------------ operators


def iadd(x: Tensor, other: Operand) -> Tensor:
    """x += other"""
    return replace(x, x + other, "+=")


def isub(x: Tensor, other: Operand) -> Tensor:
    """x -= other"""
    return replace(x, x - other, "-=")


def imul(x: Tensor, other: Operand) -> Tensor:
    """x *= other"""
    return replace(x, x * other, "*=")


def itruediv(x: Tensor, other: Operand) -> Tensor:
    """x /= other"""
    return replace(x, x / other, "/=")


def ipow(x: Tensor, other: Operand) -> Tensor:
    """x **= other"""
    return replace(x, x**other, "**=")


def ifloordiv(x: Tensor, other: Operand) -> Tensor:
    """x //= other"""
    return replace(x, x // other, "//=")


def imod(x: Tensor, other: Operand) -> Tensor:
    """x %= other"""
    return replace(x, x % other, "%=")


def setitem(x: Tensor, key: Any, value: Operand) -> None:
    """x[key] = value"""
    replace(x, indexing.write(x, key, value), "x[i] =")


# ------------------------------------------------------------------------------ methods


def add_(x: Tensor, other: Operand, *, alpha: float = 1) -> Tensor:
    """x += alpha * other; returns x."""
    return replace(x, functions.add(x, other, alpha=alpha), "add_")


def sub_(x: Tensor, other: Operand, *, alpha: float = 1) -> Tensor:
    """x -= alpha * other; returns x."""
    return replace(x, functions.sub(x, other, alpha=alpha), "sub_")


def mul_(x: Tensor, other: Operand) -> Tensor:
    """x *= other; returns x."""
    return replace(x, x * other, "mul_")


def div_(x: Tensor, other: Operand) -> Tensor:
    """x /= other; returns x."""
    return replace(x, x / other, "div_")


def clamp_(x: Tensor, min: Operand | None = None, max: Operand | None = None) -> Tensor:
    """Limit x to [min, max]; returns x."""
    return replace(x, functions.clamp(x, min, max), "clamp_")


def copy_(x: Tensor, src: Operand) -> Tensor:
    """Give x the values of `src`, broadcast to its shape and in its dtype; returns x."""
    return _overwrite(x, src, "copy_")


def fill_(x: Tensor, value: Operand) -> Tensor:
    """Give every element of x this value; returns x."""
    return _overwrite(x, value, "fill_")


def zero_(x: Tensor) -> Tensor:
    """Give every element of x the value 0; returns x."""
    return _overwrite(x, 0, "zero_")


def _overwrite(x: Tensor, value: Operand, what: str) -> Tensor:
    """Nothing of x is left. As in torch, one that was computed still requires grad; what it was
    computed from gets the gradient 0."""
    new = indexing.fit(what, x, value, x.shape)
    if modes.state.recording and x.requires_grad and not x.is_leaf and not new.requires_grad:
        new = functions.where(False, x, new)
    return replace(x, new, what)
