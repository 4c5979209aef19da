"""What watches a module: functions called before or after every forward."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tinygrad_edu.graph.hooks import HookHandle

__all__ = ["ForwardHook", "ForwardPreHook", "HookHandle"]

ForwardHook = Callable[[Any, tuple[Any, ...], Any], Any]
"""``hook(module, args, output)``; what it returns, unless None, replaces the output."""
ForwardPreHook = Callable[[Any, tuple[Any, ...]], Any]
"""``hook(module, args)``; what it returns, unless None, replaces the arguments."""
