"""NumPy without its warnings: inf and nan are results here, as they are in torch.

``with np.errstate(all="ignore")`` says the same, but takes longer than adding two short vectors.
The setting it makes is a context variable, so a context in which it has been made once serves every
call after.
"""

from __future__ import annotations

import contextvars
import threading
from collections.abc import Callable
from typing import TypeVar

import numpy as np

T = TypeVar("T")

_silent = contextvars.ContextVar("silent", default=False)


class _Contexts(threading.local):
    """A context cannot be entered twice at a time, so each thread has its own."""

    def __init__(self) -> None:
        context = contextvars.copy_context()
        context.run(np.seterr, all="ignore")
        context.run(_silent.set, True)
        self.run = context.run


_contexts = _Contexts()


def silently(function: Callable[..., T], *args: object, **kwargs: object) -> T:
    """``function(*args, **kwargs)``, in which NumPy does not warn."""
    if _silent.get():
        return function(*args, **kwargs)
    return _contexts.run(function, *args, **kwargs)
