"""What watches gradients pass: functions that a tensor calls during a backward walk, what ends
them, and the op behind a tensor as `grad_fn`; and who looks on while compiled steps run."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any, Protocol, runtime_checkable

from tinygrad_edu.graph.node import Node, clock

_numbers = itertools.count()


class HookHandle:
    """Ends a hook by `remove()`, or by leaving the ``with`` block that it heads."""

    def __init__(self, hooks: dict[int, Any], hook: Callable[..., Any]) -> None:
        self._hooks = hooks
        self._number = next(_numbers)
        hooks[self._number] = hook
        clock.now += 1  # a compiled step looks again at what it depends on

    def remove(self) -> None:
        """Stop calling the hook; a second call does nothing."""
        self._hooks.pop(self._number, None)
        clock.now += 1

    def __enter__(self) -> HookHandle:
        return self

    def __exit__(self, *exception: object) -> None:
        self.remove()


class _Registered:
    """How many hooks were ever registered: while none was, no walk looks for them."""

    on_any = 0
    on_leaves = 0


registered = _Registered()


def hook_on(node: Node, hook: Callable[[Any], Any]) -> HookHandle:
    """Call `hook` with the gradient of a node in every walk that passes it."""
    hooks: dict[int, Any] | None = getattr(node, "hooks", None)
    if hooks is None:
        hooks = node.hooks = {}
    registered.on_any += 1
    registered.on_leaves += node.op is None
    return HookHandle(hooks, hook)


@runtime_checkable
class Observer(Protocol):
    """Who counts the steps of a model and wants some of them run as Python, where there are values
    to see (`tinygrad_edu/train/probe.py`). It tells the trace of a step (`Tracer.observed_by`)."""

    @property
    def steps(self) -> int:
        """How many there were."""

    @property
    def until_next(self) -> int:
        """Steps that may be taken before one that it wants to see; 0: the next is one."""

    def passed(self, steps: int) -> None:
        """So many steps were taken that it has not seen; or taken back, by a negative number."""


def is_observers(hook: Callable[..., Any]) -> bool:
    """Whether a hook is a method of an observer."""
    return isinstance(getattr(hook, "__self__", None), Observer)


class GradientFunction:
    """The op that computed a tensor, as torch's `grad_fn` shows it."""

    __slots__ = ("_node",)

    def __init__(self, node: Node) -> None:
        self._node = node

    def name(self) -> str:
        """The name of the op in `tg.ops.TABLE`."""
        assert self._node.op is not None
        return self._node.op.name

    @property
    def next_functions(self) -> tuple[tuple[GradientFunction | None, int], ...]:
        """The ops that computed the operands (None for a leaf), each with the number of its output,
        which is 0."""
        return tuple((function_of(operand), 0) for operand in self._node.inputs)

    def __repr__(self) -> str:
        return f"<{self.name()}>"


def function_of(node: Node) -> GradientFunction | None:
    """The op that a gradient of a node would go back through; None for a leaf or a constant."""
    return None if node.op is None or not node.requires_grad else GradientFunction(node)
