"""Ctrl-C waits for the next check; a second one does not."""

from __future__ import annotations

import signal
import threading

import pytest

from tinygrad_edu.train.interrupt import Interrupt


def test_waits_for_the_check() -> None:
    with Interrupt() as interrupt:
        interrupt.check()
        signal.raise_signal(signal.SIGINT)
        assert interrupt.pressed
        with pytest.raises(KeyboardInterrupt):
            interrupt.check()
    assert not interrupt.insisted
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_the_second_does_not_wait() -> None:
    with Interrupt() as interrupt:
        signal.raise_signal(signal.SIGINT)
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
    assert interrupt.insisted


def test_a_handler_of_the_programs_own_is_left_alone() -> None:
    calls: list[int] = []
    before = signal.signal(signal.SIGINT, lambda number, frame: calls.append(number))
    try:
        with Interrupt() as interrupt:
            signal.raise_signal(signal.SIGINT)
            interrupt.check()
    finally:
        signal.signal(signal.SIGINT, before)
    assert calls == [signal.SIGINT]


def test_other_threads_have_no_signals() -> None:
    failures: list[BaseException] = []

    def use() -> None:
        try:
            with Interrupt() as interrupt:
                interrupt.check()
        except BaseException as failure:
            failures.append(failure)

    thread = threading.Thread(target=use)
    thread.start()
    thread.join()
    assert not failures
