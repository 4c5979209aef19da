"""The entrance: what it takes for the same call again, what it hands over, what it leaves alone."""

from __future__ import annotations

import sys
import types
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from tinygrad_edu.kernels import llvm
from tinygrad_edu.kernels.door import NoDoor
from tinygrad_edu.kernels.values import entrance
from tinygrad_edu.kernels.values.entrance import Like
from tinygrad_edu.kernels.values.interpreter import address_of

COUNTING = """define void @{}(ptr %x) {{
  %a = load i64, ptr %x
  %b = add i64 %a, 1
  store i64 %b, ptr %x
  ret void
}}"""
"""A driver that adds 1 to the first number of its table."""


class Bench:
    """A call with a float, a matrix and a vector of integers, in a closure over one name."""

    def __init__(self) -> None:
        self.meaning = ["what the name stands for"]
        self.cell = types.CellType(self.meaning[0])
        self.table, self.targets = np.zeros(1, np.int64), np.full(3, -1, np.int64)
        self.like = (0.5, np.ones((3, 2), np.float32), np.arange(3))
        driver = llvm.address("test counting", lambda name: COUNTING.format(name))
        likes = [Like(x, address_of(self.targets) + 8 * i) for i, x in enumerate(self.like)]
        self.ticket = entrance.ticket([self.cell], likes, driver, address_of(self.table))

    def call(self, *args: Any) -> bool:
        """Enter, and hold that the driver ran where it said so, and nothing changed otherwise."""
        before = self.table[0], self.targets.copy()
        done = entrance.enter()(self.ticket, *args)
        assert self.table[0] == before[0] + done
        if not done:
            np.testing.assert_array_equal(self.targets, before[1])
        return done


def test_arguments_are_handed_over() -> None:
    bench = Bench()
    x, y = np.zeros((3, 2), np.float32), np.arange(10)[4:7]
    assert bench.call(0.25, x, y) is True
    assert bench.targets[:1].view(float)[0] == 0.25
    assert bench.targets[1:].tolist() == [address_of(x), address_of(y)]


ANOTHER: dict[str, Callable[[float, np.ndarray, np.ndarray], tuple[Any, ...]]] = {
    "number": lambda a, x, y: (a, x),
    "more": lambda a, x, y: (a, x, y, y),
    "integer": lambda a, x, y: (1, x, y),
    "float of NumPy": lambda a, x, y: (np.float64(a), x, y),
    "type": lambda a, x, y: (x, x, y),
    "none": lambda a, x, y: (a, None, y),
    "list": lambda a, x, y: (a, x.tolist(), y),
    "dtype": lambda a, x, y: (a, x.astype(float), y),
    "byte order": lambda a, x, y: (a, x.astype(">f4"), y),
    "length": lambda a, x, y: (a, x[:2], y),
    "columns": lambda a, x, y: (a, np.ones((3, 3), np.float32), y),
    "axes": lambda a, x, y: (a, x[:, 0].copy(), y),
    "order": lambda a, x, y: (a, np.asfortranarray(x), y),
    "gaps": lambda a, x, y: (a, np.ones((3, 4), np.float32)[:, ::2], y),
    "subclass": lambda a, x, y: (a, x.view(np.recarray), y),
    "alignment": lambda a, x, y: (a, np.frombuffer(bytes(25), "f4", 6, 1).reshape(3, 2), y),
    "vector": lambda a, x, y: (a, x, y.reshape(3, 1)),
}


@pytest.mark.parametrize("what", ANOTHER)
def test_another_call_is_refused(what: str) -> None:
    bench = Bench()
    assert bench.call(*bench.like)
    assert bench.call(*ANOTHER[what](*bench.like)) is False
    assert bench.call(*bench.like)


def test_another_meaning_is_refused() -> None:
    bench = Bench()
    bench.cell.cell_contents = "something else"
    assert not bench.call(*bench.like)
    del bench.cell.cell_contents
    assert not bench.call(*bench.like)
    bench.cell.cell_contents = bench.meaning[0]
    assert bench.call(*bench.like)


def test_nothing_is_kept_or_lost() -> None:
    bench = Bench()
    held = [bench.ticket, *bench.like, *bench.meaning, True, False]
    before = [sys.getrefcount(x) for x in held]
    for _ in range(100):
        bench.call(*bench.like)
        bench.call()
    assert [sys.getrefcount(x) for x in held] == before


@pytest.mark.parametrize("x", [1, None, np.zeros(()), np.zeros((2, 2, 2)), np.zeros((4, 4))[::2]])
def test_what_cannot_be_recognised(x: Any) -> None:
    assert not entrance.suits(x)
    with pytest.raises(NoDoor, match=type(x).__name__):
        entrance.ticket([], [Like(x, 0)], 0, 0)


def test_refuses_a_python_of_another_layout(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(entrance, "_as_expected", lambda: False)
    entrance.enter.cache_clear()
    with pytest.raises(NoDoor):
        entrance.enter()
    monkeypatch.undo()
    entrance.enter.cache_clear()
    assert entrance.enter()
