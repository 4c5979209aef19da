"""Numbers of the host program: the same at one call and at many."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import tinygrad_edu as tg
from tinygrad_edu.compiler.tracing.host import Host
from tinygrad_edu.errors import TraceError


def bias(host: Host, kept: dict[str, Any]) -> tuple[Any, Any]:
    t = host.read("t", lambda: kept["t"]) + 1
    rate = host.read("lr", lambda: kept["lr"])
    return t, rate / (1 - 0.9**t) - 2 * (-rate) + t / 4


def expected(t: int, lr: float) -> float:
    return lr / (1 - 0.9**t) - 2 * (-lr) + t / 4


def test_arithmetic_is_done_at_each_call() -> None:
    host, kept = Host(), {"t": 0, "lr": 0.5}
    t, number = bias(host, kept)
    for step in range(1, 4):
        slots = host.run()
        assert slots[t.slot] == step
        assert slots[number.slot] == expected(step, 0.5)
        kept["t"] = slots[t.slot]
    kept["lr"] = 0.1
    assert host.run()[number.slot] == expected(4, 0.1)


@pytest.mark.parametrize("schedule", [False, True])
def test_many_calls_are_so_many_calls(schedule: bool) -> None:
    kept = {"t": 3, "lr": 0.5}
    host = Host()

    def decay() -> None:
        kept["lr"] /= 2

    t, number = bias(host, kept)
    if schedule:
        host.effect(decay)
    many = host.run_many(4, {host.slot_of("t"): t.slot})
    wanted = [expected(4 + i, 0.5 / (2**i if schedule else 1)) for i in range(4)]
    np.testing.assert_allclose(many[number.slot], wanted, rtol=1e-15)
    np.testing.assert_array_equal(many[t.slot], [4, 5, 6, 7])
    assert kept["lr"] == (0.5 / 16 if schedule else 0.5)


def test_a_count_that_does_not_grow_evenly() -> None:
    host, kept = Host(), {"t": 1}
    number = host.read("t", lambda: kept["t"]) * 2
    np.testing.assert_array_equal(host.run_many(4, {0: number.slot})[number.slot], [2, 4, 8, 16])


def test_equal_arithmetic_is_done_once() -> None:
    host = Host()
    a = host.read("a", lambda: 2.0)
    assert (a * 3) is (a * 3)
    assert (a * 3) is not (a * 4)
    assert (a * 1) is not (a * 1.0)  # int and float make different dtypes


def test_beside_tensors_it_is_an_input() -> None:
    host = Host()
    rate = host.read("lr", lambda: 0.5)
    node = rate.node_beside(tg.float64)
    assert node.shape == ()
    assert node.dtype == tg.float64
    assert rate.node_beside(tg.float64) is node
    assert rate.node_beside(tg.int64).dtype == tg.float32
    assert host.leaves[node] == rate.slot


@pytest.mark.parametrize("ask", [bool, float, int, lambda n: n > 0, lambda n: n == 0, round])
def test_decisions_are_refused(ask: Any) -> None:
    with pytest.raises(TraceError, match="read anew"):
        ask(Host().read("n", lambda: 1.0))
