"""Whether operations are recorded. The switch is per thread, as torch's is."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator
from typing import Any, NoReturn, Protocol


class Watcher(Protocol):
    """Who is asked, while a function of Values is traced, for what would read or assign a number
    (`tinygrad_edu/compiler/values/watch.py`)."""

    def refuse(self, what: str) -> NoReturn:
        """Raise the error for what a trace cannot hold."""

    def data_of(self, x: Any) -> Any:
        """`x.data`"""

    def assign_data(self, x: Any, data: Any) -> None:
        """``x.data = data``"""

    def grad_of(self, x: Any) -> Any:
        """`x.grad`"""

    def assign_grad(self, x: Any, grad: Any) -> None:
        """``x.grad = grad``"""

    def backward(self, root: Any) -> None:
        """``root.backward()``"""

    def batch_mean(self, x: Any) -> Any:
        """The mean over the samples."""

    def batch_sum(self, x: Any) -> Any:
        """The sum over the samples."""


class _State(threading.local):
    recording = True
    watcher: Watcher | None = None


state = _State()


def is_grad_enabled() -> bool:
    """Whether operations on tensors that require grad are recorded in this thread."""
    return state.recording


class set_grad_enabled(contextlib.ContextDecorator):
    """Switch recording on or off inside a ``with`` block (or a decorated function)."""

    __slots__ = ("_before", "_enabled")

    def __init__(self, enabled: bool) -> None:
        self._enabled = enabled
        self._before: list[bool] = []  # a stack: a decorated function may call itself

    def __enter__(self) -> None:
        self._before.append(state.recording)
        state.recording = self._enabled

    def __exit__(self, *error: object) -> None:
        state.recording = self._before.pop()


def no_grad() -> set_grad_enabled:
    """Compute without recording: results do not require grad and keep nothing alive."""
    return set_grad_enabled(False)


def enable_grad() -> set_grad_enabled:
    """Record again inside a `no_grad` block."""
    return set_grad_enabled(True)


_walks: dict[str, Callable[..., None]] = {}


def provide_backward(kind: str, walk: Callable[..., None]) -> None:
    """`tinygrad_edu.derive`, which is built on the graph, offers its walks to `Tensor.backward`
    ("tensor") and `Value.backward` ("value")."""
    _walks[kind] = walk


def backward(kind: str) -> Callable[..., None]:
    """The walk that adds gradients to leaves."""
    return _walks[kind]


@contextlib.contextmanager
def watched_by(watcher: Watcher | None) -> Iterator[None]:
    """Let what reads or assigns the number or the grad of a Value ask `watcher`; None: nobody."""
    before, state.watcher = state.watcher, watcher
    try:
        yield
    finally:
        state.watcher = before
