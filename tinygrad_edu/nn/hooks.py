"""What watches a module: functions called before or after every forward, and what ends them."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

from tinygrad_edu.graph.node import clock

ForwardHook = Callable[[Any, tuple[Any, ...], Any], Any]
"""``hook(module, args, output)``; what it returns, unless None, replaces the output."""
ForwardPreHook = Callable[[Any, tuple[Any, ...]], Any]
"""``hook(module, args)``; what it returns, unless None, replaces the arguments."""

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
