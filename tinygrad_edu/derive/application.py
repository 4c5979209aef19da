"""One use of a custom op: how a node of the graph runs a `Function`'s methods.

A node has one value. So several results are packed into one vector, of which each is a slice; then
one call of `backward` gets the cotangents of all. Results without a gradient are not in it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from tinygrad_edu.derive import reverse
from tinygrad_edu.errors import DTypeError, GradientError, NoDerivativeError, ShapeError
from tinygrad_edu.graph import modes
from tinygrad_edu.graph.creation import ones_like, zeros_like
from tinygrad_edu.graph.functions import cat
from tinygrad_edu.graph.node import Node
from tinygrad_edu.graph.reader import graph_reader
from tinygrad_edu.graph.tensor import Tensor, abstract, make
from tinygrad_edu.ops.dtypes import Spec, is_float
from tinygrad_edu.ops.kinds import sum_to
from tinygrad_edu.ops.table import Op, Reader


class Application:
    """A Function, its arguments and its context.

    `returned` is what `forward` returned; `run` may repeat it on other values.
    """

    def __init__(self, function: Any, args: Sequence[Any], ctx: Any) -> None:
        self.function = function
        self.ctx = ctx
        self._name = function.__name__
        self._places = [i for i, arg in enumerate(args) if isinstance(arg, Tensor)]
        self._others = [None if isinstance(arg, Tensor) else arg for arg in args]

    # -------------------------------------------------------------------------- forward

    def run(self, given: Sequence[Tensor]) -> Tensor | None:
        """Call `forward` on these tensors. The results that have a gradient, packed; None if there
        are none."""
        with modes.no_grad():
            self.returned = self.function.forward(self.ctx, *self._arguments(self._others, given))
            self._results = self.returned if self._several else (self.returned,)
            for result in self._results:
                if not isinstance(result, Tensor):
                    raise DTypeError(
                        f"{self._name}: forward must return a Tensor or a tuple of them, not "
                        f"{type(result).__name__}."
                    )
            self._given = given
            moving = [result for result in self._results if self._moves(result)]
            return self._pack(moving) if moving else None

    @property
    def _several(self) -> bool:
        return isinstance(self.returned, tuple)

    def _arguments(self, others: Sequence[Any], tensors: Sequence[Any]) -> list[Any]:
        """One thing for each argument: these in the tensors' places, among the others."""
        args = list(others)
        for i, tensor in zip(self._places, tensors, strict=True):
            args[i] = tensor
        return args

    def _moves(self, result: Tensor) -> bool:
        """Whether a result has a gradient."""
        return is_float(result.dtype) and not any(result is x for x in self.ctx.constant)

    def _pack(self, tensors: Sequence[Tensor]) -> Tensor:
        return cat([t.reshape(-1) for t in tensors]) if self._several else tensors[0]

    def unpack(self, packed: Tensor) -> Any:
        """What `forward` returned, with the parts of the packed value in it."""
        found = self._slices(packed, lambda result: result)
        return tuple(found) if self._several else found[0]

    def _slices(self, packed: Tensor, otherwise: Callable[[Tensor], Tensor]) -> list[Tensor]:
        """The part of each result, or `otherwise(result)` where it has none."""
        if not self._several:
            return [packed]
        parts, start = [], 0
        for result in self._results:
            if self._moves(result):
                end = start + result.numel()
                parts.append(packed[start:end].reshape(result.shape).to(result.dtype))
                start = end
            else:
                parts.append(otherwise(result))
        return parts

    # -------------------------------------------------------------------------- derivatives

    def pull(
        self, g: Tensor, y: Tensor, xs: Sequence[Tensor], wanted: Sequence[bool]
    ) -> list[Tensor | None]:
        """The gradients of the operands, by `backward`."""
        self.ctx.needs_input_grad = tuple(self._arguments([False] * len(self._others), wanted))
        with self.ctx.seen_as(*self._then_and_now(xs, y)):
            returned = self.function.backward(self.ctx, *self._slices(g, zeros_like))
        found = list(returned) if isinstance(returned, tuple) else [returned]
        n = len(self._others)
        if len(found) < n or any(extra is not None for extra in found[n:]):
            raise GradientError(
                f"{self._name}: backward returned {len(found)} gradients for the {n} arguments of "
                "forward; return one for each, None where there is none."
            )
        for i, gradient in enumerate(found[:n]):
            if gradient is not None and i not in self._places:
                raise GradientError(
                    f"{self._name}: backward returned a gradient for argument {i}, which is no "
                    "Tensor; return None for it."
                )
        return [
            self._fitting(f"the gradient of argument {i}", found[i], x)
            for i, x in zip(self._places, xs, strict=True)
        ]

    def push(self, tangents: Sequence[Any], y: Tensor, xs: Sequence[Tensor]) -> Tensor:
        """The tangent of the value, by `jvp`."""
        filled = [zeros_like(x) if t is None else t for t, x in zip(tangents, xs, strict=True)]
        nothing = [None] * len(self._others)
        with self.ctx.seen_as(*self._then_and_now(xs, y)):
            returned = self.function.jvp(self.ctx, *self._arguments(nothing, filled))
        found = returned if isinstance(returned, tuple) else (returned,)
        if len(found) != len(self._results):
            raise GradientError(
                f"{self._name}: jvp returned {len(found)} tangents for the {len(self._results)} "
                "results of forward; return one for each, None where there is none."
            )
        moving = []
        for i, (tangent, result) in enumerate(zip(found, self._results, strict=True)):
            if self._moves(result):
                fitting = self._fitting(f"the tangent of result {i}", tangent, result)
                moving.append(zeros_like(result) if fitting is None else fitting)
        return self._pack(moving)

    def _then_and_now(
        self, xs: Sequence[Tensor], y: Tensor
    ) -> tuple[Sequence[Tensor], Sequence[Tensor]]:
        """The tensors `forward` saw and made, and those that they are in the graph."""
        made = self._slices(y, lambda result: result)
        return (*self._given, *self._results), (*xs, *made)

    def _fitting(self, what: str, found: Any, like: Tensor) -> Tensor | None:
        """A gradient or tangent that the user computed, in the shape and dtype it must have. As in
        torch, axes along which an argument was broadcast are summed."""
        if found is None:
            return None
        if not isinstance(found, Tensor):
            raise DTypeError(
                f"{self._name}: {what} must be a Tensor or None, not {type(found).__name__}."
            )
        if found.shape != like.shape:
            try:
                broadcasts = np.broadcast_shapes(found.shape, like.shape) == found.shape
            except ValueError:
                broadcasts = False
            if not broadcasts:
                raise ShapeError(
                    f"{self._name}: {what} has shape {found.shape}, but what it belongs to has "
                    f"shape {like.shape}."
                )
            summed: Tensor = sum_to(graph_reader(found.dtype), found, like.shape)
            return summed.to(like.dtype)
        return found.to(like.dtype)


class CustomOp(Op):
    """The op of a Function. It is not in the table: its author answers for its derivative."""

    kind = "custom"

    def __init__(self, name: str, doc: str | None) -> None:
        self.name = name
        self.__doc__ = doc

    def forward(self, *xs: Any, **params: Any) -> Any:
        packed = params["call"].run([make(Node(x)) for x in xs])
        return packed.node.data

    def infer(self, *xs: Spec, **params: Any) -> tuple[tuple[int, ...], np.dtype[Any]]:
        packed = params["call"].run([abstract(x.shape, x.dtype) for x in xs])
        return packed.shape, packed.dtype

    def vjp(
        self, m: Reader, g: Any, y: Any, xs: Sequence[Any], wanted: Sequence[bool], **params: Any
    ) -> list[Any]:
        found = params["call"].pull(_tensor(g), _tensor(y), list(map(_tensor, xs)), wanted)
        return [_as(g, gradient) for gradient in found]

    def jvp(
        self, m: Reader, ts: Sequence[Any], y: Any, xs: Sequence[Any], **params: Any
    ) -> Any | None:
        call: Application = params["call"]
        tangents = [None if t is None else _tensor(t) for t in ts]
        operands, value = list(map(_tensor, xs)), _tensor(y)
        if call.function.jvp is not None:
            return _as(y, call.push(tangents, value, operands))
        return _as(y, self._transposed(call, tangents, value, operands))

    def _transposed(
        self, call: Application, tangents: Sequence[Tensor | None], y: Tensor, xs: Sequence[Tensor]
    ) -> Tensor | None:
        """J t as the derivative of <J^T g, t> by g. It is linear in g, so that any g will do."""
        again = modes.is_grad_enabled()
        wanted = [t is not None for t in tangents]
        missing = NoDerivativeError(
            f"{self.name}: forward mode needs jvp(ctx, ...), or a backward that is written in "
            "functions of tensors throughout."
        )
        with modes.enable_grad():
            g = ones_like(y).requires_grad_()
            try:
                pulled = call.pull(g, y, xs, wanted)
            except GradientError as error:  # numpy() of something that requires grad
                raise missing from error
            total = None
            for gradient, t in zip(pulled, tangents, strict=True):
                if gradient is None or t is None or not gradient.numel():
                    continue
                (part,) = (
                    reverse.grad((gradient * t).sum(), g, None, again, allow_unused=True)
                    if gradient.requires_grad
                    else (None,)
                )
                if part is None and _any(gradient):
                    raise missing
                if part is not None:
                    total = part if total is None else total + part
        return total


def _any(x: Tensor) -> bool:
    """Whether the tensor is anything but zeros, as far as one can tell."""
    return x.node.is_abstract or bool(np.any(x.node.data))


def _tensor(x: Any) -> Tensor:
    return x if isinstance(x, Tensor) else make(Node(np.asarray(x)))


def _as(like: Any, x: Tensor | None) -> Any:
    """An array where arrays flow."""
    return x if x is None or isinstance(like, Tensor) else x.node.data
