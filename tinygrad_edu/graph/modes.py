"""Whether operations are recorded. The switch is per thread, as torch's is."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator
from typing import Any


class _State(threading.local):
    recording = True


state = _State()


def is_grad_enabled() -> bool:
    """Whether operations on tensors that require grad are recorded in this thread."""
    return state.recording


@contextlib.contextmanager
def set_grad_enabled(enabled: bool) -> Iterator[None]:
    """Switch recording on or off inside a ``with`` block (or a decorated function)."""
    before, state.recording = state.recording, enabled
    try:
        yield
    finally:
        state.recording = before


def no_grad() -> contextlib.AbstractContextManager[None]:
    """Compute without recording: results do not require grad and keep nothing alive."""
    return set_grad_enabled(False)


def enable_grad() -> contextlib.AbstractContextManager[None]:
    """Record again inside a `no_grad` block."""
    return set_grad_enabled(True)


_engine: list[Any] = []


def provide_derivatives(engine: Any) -> None:
    """`tinygrad_edu.derive`, which is built on the graph, offers itself to `Tensor.backward`."""
    _engine[:] = [engine]


def derivative_engine() -> Any:
    """The module that differentiates recorded graphs."""
    return _engine[0]
