"""What a step did to Python objects while it was traced.

A tensor that a name or attribute stands for afterwards instead of another one of the same shape is
an update of state. Anything else would happen once, at the trace, and never again: an error that
names the line.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from types import FrameType
from typing import Any

from tinygrad_edu.compiler.tracing.scan import Watch, is_users, shown
from tinygrad_edu.compiler.tracing.trace import Tracer
from tinygrad_edu.errors import TraceError
from tinygrad_edu.graph.lines import PACKAGE, Line
from tinygrad_edu.graph.node import Node
from tinygrad_edu.graph.tensor import Tensor


class Locator:
    """While this context is open, notes the line of the user's code after which a watched place
    first held something else. A debugger that is there already keeps its place."""

    def __init__(self, watches: Sequence[Watch]) -> None:
        self.lines: dict[Watch, Line] = {}
        self._watches = watches
        self._last: Line | None = None
        self._active = False

    def __enter__(self) -> Locator:
        if sys.gettrace() is None:
            self._active = True
            sys.settrace(self._called)
        return self

    def __exit__(self, *error: object) -> None:
        if self._active:
            sys.settrace(None)
            self._look()

    def _called(self, frame: FrameType, event: str, arg: Any) -> Any:
        place = frame
        if frame.f_code.co_filename == "<string>" and frame.f_back is not None:
            place = frame.f_back  # generated for a named tuple or dataclass: its caller counts
        if place.f_code.co_filename.startswith(PACKAGE):
            return None
        return self._moved if is_users(place.f_globals.get("__name__")) else None

    def _moved(self, frame: FrameType, event: str, arg: Any) -> Any:
        if event == "line":
            self._look()
            self._last = Line(frame.f_code.co_filename, frame.f_lineno, frame.f_code.co_name)
        return self._moved

    def _look(self) -> None:
        for watch in self._watches:
            if watch not in self.lines and self._last is not None and not watch.holds():
                self.lines[watch] = self._last


def assigned_tensors(
    watches: Sequence[Watch], tracer: Tracer, lines: dict[Watch, Line]
) -> dict[Node, Node]:
    """For each tensor that a name stood for before the trace, the node of the one it stands for
    now. The trace has ended.

    Raises:
        TraceError: Anything but tensors changed.
    """
    found: dict[Node, Node] = {}
    for watch in watches:
        if watch.holds():
            continue
        differing = watch.differing()
        if differing is None:
            raise TraceError(_message(f"the entries of {watch.label}", None, lines.get(watch)))
        for _, name, old, new in differing:
            if not _is_update(old, new):
                raise TraceError(_message(name, (old, new), lines.get(watch)))
            found[old.node] = tracer.final_handles.get(new, new.node)
    return found


def _is_update(old: Any, new: Any) -> bool:
    return (
        isinstance(old, Tensor)
        and isinstance(new, Tensor)
        and (old.shape, old.dtype) == (new.shape, new.dtype)
        and not old.requires_grad
    )


def _message(name: str, change: tuple[Any, Any] | None, line: Line | None) -> str:
    what = f" from {shown(change[0])} to {shown(change[1])}" if change else ""
    return (
        f"The step changes {name}{what}. Python runs while a step is traced and not at the calls "
        "that follow, so this would happen once only. Return the value instead and keep it outside "
        f"the step; a count can be a tensor.{f'{chr(10)}{line}' if line else ''}"
    )
