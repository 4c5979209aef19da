"""Kernels entered with arrays: the right memory, the arrays' lives, other threads."""

from __future__ import annotations

import sys
import threading

import numpy as np
import pytest

from tinygrad_edu.kernels import door, llvm
from tinygrad_edu.kernels.description import Kernel, Value
from tinygrad_edu.kernels.emit import emit

FLOAT = np.dtype(np.float32)


def doubling(count: int, source: int = 0, target: int = 1) -> door.Call:
    """A call of a kernel that doubles one array into another."""
    operand = Value("operand", FLOAT, (True,))
    values = (operand, Value("map", FLOAT, (True,), (0,), "twice", lambda m, x: x + x))
    kernel = Kernel(values, (1,))
    address = llvm.address(kernel.signature, lambda name: emit(kernel, llvm.host(), name))
    return door.Call(address, [count, 0, 0], [(1, source), (2, target)])


@pytest.mark.parametrize("elements", [10, 1 << 20])
def test_arrays_are_where_they_are(elements: int) -> None:
    """Also those that begin in the middle of another; a large kernel lets other threads run."""
    memory = np.arange(100, dtype=FLOAT)
    x, y = memory[7:57], np.zeros(50, FLOAT)
    ticket = door.ticket([doubling(50)], elements)
    assert door.enter()(ticket, x, y) is y
    np.testing.assert_array_equal(y, 2 * x)


def test_several_kernels_follow_each_other() -> None:
    x, y, z = np.arange(50, dtype=FLOAT), np.zeros(50, FLOAT), np.zeros(30, FLOAT)
    ticket = door.ticket([doubling(50), doubling(30, 1, 2), doubling(50, 1, 0)], 50)
    door.enter()(ticket, x, y, z)
    start = np.arange(50)
    for found, factor in ((x, 4), (y, 2), (z, 4)):
        np.testing.assert_array_equal(found, factor * start[: found.size])


def test_nothing_is_kept_or_lost() -> None:
    x, y = np.ones(50, FLOAT), np.zeros(50, FLOAT)
    ticket = door.ticket([doubling(50)], 50)
    before = [sys.getrefcount(a) for a in (ticket, x, y)]
    for _ in range(100):
        door.enter()(ticket, x, y)
    assert [sys.getrefcount(a) for a in (ticket, x, y)] == before


def test_threads_do_not_share_arguments() -> None:
    ticket = door.ticket([doubling(4096)], 1 << 20)
    wrong = []

    def work(number: int) -> None:
        x, y = np.full(4096, number, FLOAT), np.zeros(4096, FLOAT)
        for _ in range(300):
            y[:] = 0
            door.enter()(ticket, x, y)
            if (y != 2 * number).any():
                wrong.append(number)

    threads = [threading.Thread(target=work, args=(i,)) for i in range(1, 5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


def test_too_many_arguments_are_refused() -> None:
    with pytest.raises(door.NoDoor, match="65"):
        door.ticket([door.Call(0, [0] * 65, [])], 1)


def test_refuses_a_python_that_keeps_arrays_otherwise(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(door, "_keeps_address", lambda: False)
    door.enter.cache_clear()
    with pytest.raises(door.NoDoor, match="address"):
        door.enter()
    monkeypatch.undo()
    assert door.enter()
