"""One recorded call of a function, differentiable by its arguments: what transforms are made of.

Each argument is recorded as a new node of its own. So the derivative by an argument is not the one
by whatever the argument was computed from: in ``grad(lambda x: grad(lambda y: x * y)(x))`` the x
and the y are the same number, but two nodes.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import cached_property
from typing import Any

import numpy as np

from tinygrad_edu import ops
from tinygrad_edu.derive.forward import push_forward
from tinygrad_edu.derive.pytree import Rebuild, flatten, map_leaves
from tinygrad_edu.derive.reverse import pull_back
from tinygrad_edu.derive.walk import ordered
from tinygrad_edu.errors import DTypeError, TinygradError
from tinygrad_edu.graph import modes
from tinygrad_edu.graph.node import Node, tracing
from tinygrad_edu.graph.reader import as_tensor
from tinygrad_edu.graph.tensor import Tensor, make
from tinygrad_edu.ops.dtypes import is_float


class Argument(Node):
    """An argument of a call: a leaf, or a copy of the node it is connected to."""

    __slots__ = ()


class Call:
    """A function's results, and their derivatives in either direction, as often as one likes.

    `argnums` are the positions to differentiate by (None: all of them). Arguments and results may
    be trees; `inputs` and `outputs` are their leaves. With `has_aux` the function returns a pair,
    of which only the first is differentiated.
    """

    def __init__(
        self,
        name: str,
        function: Callable[..., Any],
        args: Sequence[Any],
        kwargs: Mapping[str, Any],
        argnums: Sequence[int] | None = None,
        has_aux: bool = False,
    ) -> None:
        self.name = name
        trees = {i: args[i] for i in (range(len(args)) if argnums is None else argnums)}
        leaves, self.like_inputs = flatten(trees)
        self.inputs = [_argument(name, leaf) for leaf in leaves]
        self._closed = [x for x in self.inputs if _asks(x)]
        own = self.like_inputs(map(make, self.inputs))
        outside = modes.is_grad_enabled()
        with self._open(), modes.enable_grad():
            result = function(*(own.get(i, arg) for i, arg in enumerate(args)), **kwargs)
            result, aux = _pair(name, result) if has_aux else (result, None)
            self.outputs, self.like_outputs = _results(name, result)
            self.result = self._hand_out(result, outside)
            self.aux = self._hand_out(aux, outside)

    def gradients(self, cotangents: Sequence[Tensor | None]) -> list[Tensor]:
        """The gradient by each input, given a cotangent of each output (None: zero)."""
        pairs = zip(self.outputs, cotangents, strict=True)
        seeds = [(y.node, cotangent) for y, cotangent in pairs if cotangent is not None]
        with self._open():
            again = self._differentiable(cotangent for _, cotangent in seeds)
            found = pull_back(seeds, self._order, set(self.inputs), again)
        return [found[x] if x in found else _zeros_like(x) for x in self.inputs]

    def tangents(self, directions: Sequence[Tensor | None]) -> list[Tensor]:
        """How fast each output changes as each input moves in a direction (None: it does not)."""
        pairs = zip(self.inputs, directions, strict=True)
        seeds: dict[Node, Tensor] = {x: along for x, along in pairs if along is not None}
        roots = [output.node for output in self.outputs]
        with self._open():
            again = self._differentiable(seeds.values())
            found = push_forward(seeds, self._order, roots, again)
        return [found[y] if y in found else _zeros_like(y) for y in roots]

    @contextlib.contextmanager
    def _open(self) -> Iterator[None]:
        """Inputs ask for gradients only meanwhile: nobody else shall find them in the graph."""
        for node in self._closed:
            node.requires_grad = True
        try:
            yield
        finally:
            for node in self._closed:
                node.requires_grad = False

    @cached_property
    def _order(self) -> list[Node]:
        return ordered([output.node for output in self.outputs], set(self.inputs))

    @cached_property
    def _reaches_out(self) -> bool:
        return self._depends_on_others(output.node for output in self.outputs)

    def _differentiable(self, given: Iterable[Tensor]) -> bool:
        """Whether derivatives must be recorded, as somebody may differentiate them again."""
        return modes.is_grad_enabled() and (
            any(t.requires_grad for t in given) or self._reaches_out
        )

    def _depends_on_others(self, roots: Iterable[Node]) -> bool:
        """Whether the roots depend on anything that asks for gradients besides the inputs."""
        own = set(self.inputs)
        return any(_asks(node) and node not in own for node in ordered(roots))

    def _hand_out(self, tree: Any, recording: bool) -> Any:
        """Results for the caller, who shall not see that the inputs asked for gradients."""

        def hand_out(leaf: Any) -> Any:
            if not isinstance(leaf, Tensor) or not leaf.requires_grad:
                return leaf
            keeps = recording and self._depends_on_others([leaf.node])
            return leaf if keeps else leaf.detach()

        return map_leaves(hand_out, tree)


def _asks(node: Node) -> bool:
    """Whether the node itself asks for gradients, not only for the sake of what is behind it."""
    asks = node.requires_grad and (node.op is None or isinstance(node, Argument))
    return asks and not any(x.requires_grad for x in node.inputs)


def _argument(name: str, value: Any) -> Argument:
    """The node that a function gets for this argument."""
    try:
        x = as_tensor(value)
    except TinygradError as error:
        raise DTypeError(f"{name}: cannot differentiate by an argument: {error}") from None
    if not is_float(x.dtype):
        raise DTypeError(
            f"{name}: cannot differentiate by an argument of dtype {x.dtype}, shape {x.shape}; "
            "convert it with .float(), or leave it out of argnums."
        )
    if x.requires_grad or x.node.is_abstract:
        now = tracing()
        value = x.node if now is None else x.detach().node
        argument = Argument(value.snapshot(), True, ops.reshape, (x.node,), {"shape": x.shape})
        if now is not None:
            now.same(argument, value)
        return argument
    return Argument(x.node.snapshot(), True)


def _results(name: str, tree: Any) -> tuple[list[Tensor], Rebuild]:
    """The leaves of what a function returned, which must be differentiable."""
    leaves, rebuild = flatten(tree)
    for leaf in leaves:
        if not isinstance(leaf, Tensor):
            raise DTypeError(
                f"{name}: the function must return Tensors, or tuples, lists and dicts of them, "
                f"not {type(leaf).__name__}; return anything else beside them with has_aux=True."
            )
        if not is_float(leaf.dtype):
            raise DTypeError(
                f"{name}: the function returned {leaf.dtype} of shape {leaf.shape}, and only "
                "floats have derivatives; return it beside them with has_aux=True."
            )
    return leaves, rebuild


def _pair(name: str, result: Any) -> tuple[Any, Any]:
    """What a function with has_aux returned."""
    if not isinstance(result, tuple) or len(result) != 2:
        raise DTypeError(
            f"{name}: with has_aux=True the function must return a pair (result, aux), not "
            f"{type(result).__name__}."
        )
    return result


def _zeros_like(node: Node) -> Tensor:
    return make(Node(np.zeros(node.shape, node.dtype)))
