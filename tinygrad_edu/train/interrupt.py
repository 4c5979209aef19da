"""Ctrl-C between two steps of a training run, not within one."""

from __future__ import annotations

import signal
import threading
from types import FrameType
from typing import Any


class Interrupt:
    """While this context is open, Ctrl-C waits for the next `check`, which raises it.

    Python raises `KeyboardInterrupt` between any two instructions, so also when half of the
    parameters have been updated. A second Ctrl-C before the next `check` is raised at once, and
    `insisted` tells that something may be left half done.

    In other threads than the main one, which alone receive no signals, and where the program has a
    handler of its own, this does nothing.
    """

    def __init__(self) -> None:
        self.pressed = False
        self.insisted = False
        self._before: Any = None

    def __enter__(self) -> Interrupt:
        in_main_thread = threading.current_thread() is threading.main_thread()
        if in_main_thread and signal.getsignal(signal.SIGINT) is signal.default_int_handler:
            self._before = signal.signal(signal.SIGINT, self._note)
        return self

    def __exit__(self, *exception: object) -> None:
        if self._before is not None:
            signal.signal(signal.SIGINT, self._before)

    def _note(self, number: int, frame: FrameType | None) -> None:
        self.insisted = self.pressed
        self.pressed = True
        if self.insisted:
            raise KeyboardInterrupt

    def check(self) -> None:
        """Raise the `KeyboardInterrupt` that has been waiting, if any."""
        if self.pressed:
            raise KeyboardInterrupt
