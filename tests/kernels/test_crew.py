"""Threads that wait for work: awake, asleep, busy, more of them."""

from __future__ import annotations

import time

import numpy as np
import pytest

from tinygrad_edu.kernels import crew
from tinygrad_edu.kernels.native import Stream, fill_zero

PATIENCE = 30.0
"""Seconds until a thread that was woken must have come: another process may have the processor."""


@pytest.fixture(autouse=True, scope="module")
def own_cache(tmp_path_factory: pytest.TempPathFactory) -> object:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TINYGRAD_EDU_CACHE", str(tmp_path_factory.mktemp("crew")))
        yield


def clearing(x: np.ndarray) -> Stream:
    """A stream that zeroes an array."""
    code = np.array([fill_zero(), 2, x.ctypes.data, x.nbytes], np.int64)
    none = np.zeros((0, 2), np.int64)
    return Stream(code, none, np.zeros(0, np.int64), np.zeros(0, np.int64))


def until_done(streams: list[Stream]) -> bool:
    end = time.monotonic() + PATIENCE
    while time.monotonic() < end:
        crew.rouse(len(streams) - 1)
        if crew.run_together(streams, 0, 1):
            return True
    return False


@pytest.mark.parametrize("count", [2, 4, 3])
def test_every_stream_is_walked(count: int) -> None:
    for _ in range(20):
        parts = list(np.ones((count, 32)))
        assert until_done([clearing(x) for x in parts])
        np.testing.assert_array_equal(parts, 0)


def test_nothing_is_done_while_a_thread_sleeps(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(crew, "_crew", None)
    parts = list(np.ones((3, 32)))
    streams = [clearing(x) for x in parts]
    assert not crew.run_together(streams, 0, 1)  # nobody has woken the new ones
    np.testing.assert_array_equal(parts, 1)
    assert until_done(streams)
    time.sleep(0.2)  # far beyond the looks that it takes a thread to fall asleep
    parts[0][:] = 1
    while crew.run_together(streams, 0, 1):  # unless they had no processor till now
        time.sleep(0.5)
        parts[0][:] = 1
    np.testing.assert_array_equal(parts[0], 1)


def test_roused_threads_look_for_work(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(crew, "_crew", None)
    end = time.monotonic() + PATIENCE
    awake = False
    while not awake and time.monotonic() < end:
        crew.rouse(2)
        assert crew._crew is not None
        awake = crew._crew.is_awake(2)
    assert awake


def test_busy_for_another_caller() -> None:
    x = np.ones(32)
    with crew._busy:
        crew.rouse(1)  # does not wait for the other caller
        assert not crew.run_together([clearing(x)], 0, 1)
    np.testing.assert_array_equal(x, 1)
