"""Streams side by side: barriers, and the choice between together and alone."""

from __future__ import annotations

import time

import numpy as np
import pytest

from tinygrad_edu.kernels import team
from tinygrad_edu.kernels.crew import LINE
from tinygrad_edu.kernels.native import fill_zero
from tinygrad_edu.kernels.team import TeamStream

N = 64
ROUNDS = 80
"""The numbers grow by the square of the golden ratio in each: not beyond float32."""


@pytest.fixture(autouse=True, scope="module")
def own_cache(tmp_path_factory: pytest.TempPathFactory) -> object:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TINYGRAD_EDU_CACHE", str(tmp_path_factory.mktemp("team")))
        yield


_kept: list[np.ndarray] = []
"""Counters whose addresses streams hold."""


def taking_turns(values: list[np.ndarray]) -> TeamStream:
    """Each thread adds the other's numbers to its own, one after the other: x += y, y += x."""
    counters = np.zeros(2 * LINE // 8, np.int64)
    _kept.append(counters)
    first = counters.ctypes.data
    add = team.accumulate(np.dtype(np.float32))
    turns = [[add, 3, a.ctypes.data, b.ctypes.data, N] for a, b in (values, values[::-1])]

    def meet(k: int) -> list[int]:
        return [team.barrier(), 4, first + k * LINE, first, 2, team.give_way()]

    codes = [([*turns[0], *meet(0), *meet(0)], []), ([*meet(1), *turns[1], *meet(1)], [])]
    return TeamStream(codes, ([*turns[0], *turns[1]], []), 0, 1e-6)


@pytest.mark.parametrize("together", [True, False])
def test_barriers_keep_the_order(together: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(team, "WORTH_WAKING", 0.0)
    if not together:
        monkeypatch.setattr(team, "run_together", lambda *_: False)
    x, y = np.ones((2, N), np.float32)
    stream = taking_turns([x, y])
    a = b = np.float32(1)
    for _ in range(ROUNDS):
        stream.run(0, 1)
        a += b
        b += a
    np.testing.assert_array_equal(x, a)
    np.testing.assert_array_equal(y, b)


def test_together_only_while_it_is_faster() -> None:
    stream = taking_turns(list(np.zeros((2, N), np.float32)))
    assert stream._next() == (team._TRIAL, True)
    stream._took = {False: 1.0e-4, True: 0.6e-4}
    assert stream._next() == (team._SLICE, True)
    stream._took[True] = 1.5e-4  # another process has taken a processor
    assert stream._next() == (team._SLICE, False)
    stream._since_trial = team._SOON
    assert stream._next() == (team._TRIAL, True)
    assert stream._next() == (team._SLICE, False)
    stream._since_trial = team._SOON  # the next trial comes later
    assert stream._next() == (team._SLICE, False)
    stream._took[True] = 0.6e-4  # unless what is faster has changed
    assert stream._next() == (team._TRIAL, False)
    stream._took = {False: 1.0, True: 0.6}  # a step takes longer than the time between two trials
    stream._since_trial = 10 * team._SOON
    assert stream._next() == (team._SLICE, True)


def test_waking_is_not_held_against_working_together(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(team, "WORTH_WAKING", 0.0)
    monkeypatch.setattr(team, "rouse", lambda count: time.sleep(0.2))
    monkeypatch.setattr(team, "run_together", lambda *_: True)
    stream = taking_turns(list(np.zeros((2, N), np.float32)))
    stream.run(0, 1)
    assert 0 < stream._took[True] < 0.1


def test_addresses_with_an_offset() -> None:
    """The second thread zeroes the second half of what moves with the step."""
    x = np.ones((3, 4), np.float32)
    codes = [([fill_zero(), 2, 0, 8], [(2, 0, 0)]), ([fill_zero(), 2, 0, 8], [(2, 0, 8)])]
    folded = [fill_zero(), 2, 0, 8], [(2, 0, 8)]
    stream = TeamStream(codes, folded, 1, 1e-9)
    stream.base[0], stream.stride[0] = x.ctypes.data, 16
    stream.run(1, 3)
    np.testing.assert_array_equal(x, [[1, 1, 1, 1], [1, 1, 0, 0], [1, 1, 0, 0]])
