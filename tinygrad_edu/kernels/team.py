"""Streams that threads walk side by side.

Each thread walks one of its own. Where one needs what another has made, all meet at a barrier,
which is an instruction like any other: whoever is early spins, and lets others have the processor
when that lasts.
"""

from __future__ import annotations

import ctypes
import functools
import platform
import time
from typing import Any

import numpy as np
from llvmlite import ir

from tinygrad_edu.kernels import llvm
from tinygrad_edu.kernels.control import I32, I64, function, loop
from tinygrad_edu.kernels.crew import LINE, pause, rouse, run_together
from tinygrad_edu.kernels.native import Stream

_SPINS = 4096
"""How often a thread looks before it lets others have the processor."""


def _barrier(name: str) -> str:
    """args: this thread's counter, the first counter, how many there are, `sched_yield` or 0.
    Counts up its own and waits until no other is behind."""
    module, b, argument = function(name)
    own, first, count, give_way = (argument(q) for q in range(4))
    place = b.inttoptr(own, I64.as_pointer())
    now = b.add(b.load(place), I64(1))
    b.store_atomic(now, place, "release", 8)
    with loop(b, I64(0), count, 1) as other:
        counter = b.inttoptr(b.add(first, b.mul(other, I64(LINE))), I64.as_pointer())
        before = b.block
        look, wait, rest, again, done = (b.append_basic_block() for _ in range(5))
        b.branch(look)
        b.position_at_end(look)
        spins = b.phi(I64)
        spins.add_incoming(I64(0), before)
        behind = b.icmp_signed("<", b.load_atomic(counter, "acquire", 8), now)
        b.cbranch(behind, wait, done)
        b.position_at_end(wait)
        pause(b)
        more = b.add(spins, I64(1))
        tired = b.icmp_signed(">", more, I64(_SPINS))
        b.cbranch(b.and_(tired, b.icmp_signed("!=", give_way, I64(0))), rest, again)
        b.position_at_end(rest)
        kind = ir.FunctionType(I32, [])
        b.call(b.inttoptr(give_way, kind.as_pointer()), [])
        b.branch(again)
        b.position_at_end(again)
        spins.add_incoming(more, again)
        b.branch(look)
        b.position_at_end(done)
    b.ret_void()
    return str(module)


def barrier() -> int:
    """Address of the kernel at which threads wait for each other."""
    return llvm.address(f"barrier {platform.machine()}", _barrier)


@functools.cache
def give_way() -> int:
    """Address of C's `sched_yield`; 0 where there is none."""
    try:
        found = ctypes.CDLL(None).sched_yield
    except (AttributeError, OSError, TypeError):
        return 0
    return ctypes.cast(found, ctypes.c_void_p).value or 0


def _accumulate(dtype: np.dtype[Any], name: str) -> str:
    """args: target, source, elements. Adds the source to the target."""
    module, b, argument = function(name)
    target, source, count = (argument(q) for q in range(3))
    real = ir.FloatType() if dtype.itemsize == 4 else ir.DoubleType()
    with loop(b, I64(0), count, 1) as i:
        places = [b.gep(b.inttoptr(x, real.as_pointer()), [i]) for x in (target, source)]
        b.store(b.fadd(*map(b.load, places)), places[0])
    b.ret_void()
    return str(module)


def accumulate(dtype: np.dtype[Any]) -> int:
    """Address of the kernel that adds one float array to another."""
    return llvm.address(f"accumulate {dtype}", functools.partial(_accumulate, dtype))


# ------------------------------------------------------------------------------ streams

WORTH_WAKING = 1.5e-4
"""Seconds of work below which waking the other threads takes longer than it saves."""

_SLICE, _TRIAL = 2e-2, 1e-3
"""Seconds of work after which it is asked again whether together or alone is faster, and seconds of
work in which the other one is tried: the first step of a trial is slow, since what it reads is in
another processor's cache."""

_SOON, _RARELY = 0.04, 0.4
"""Seconds of work between two trials: each trial that changes nothing doubles them. A virtual
machine's processors are moved from time to time, to two cores or to one core's two threads."""

_STEPS = 50
"""As many steps at least: a trial takes no more than a few hundredths of the time."""

Moving = list[tuple[int, int, int]]
"""Positions of moving addresses in a stream: (position, slot, offset in bytes)."""


class TeamStream:
    """The streams of all threads, used as one `native.Stream`. `folded` is the same work for one
    thread, without barriers; `seconds` is about how long a step takes in one thread.

    Where another process keeps a processor busy, threads that wait for each other take many times
    as long. So it is measured, again and again, which of both is faster now. The numbers that they
    compute are the same bit for bit.
    """

    def __init__(
        self,
        codes: list[tuple[list[int], Moving]],
        folded: tuple[list[int], Moving],
        slots: int,
        seconds: float,
    ) -> None:
        offsets = {(slot, at) for _, moving in (*codes, folded) for _, slot, at in moving if at}
        places = {key: slots + i for i, key in enumerate(sorted(offsets))}
        self._slots, self._seconds = slots, seconds
        self._of = np.array([slot for slot, _ in places], np.int64)
        self._offset = np.array([at for _, at in places], np.int64)
        self.base, self.stride = np.zeros((2, slots + len(places)), np.int64)

        def stream(words: list[int], moving: Moving) -> Stream:
            moves = [(p, places[slot, at] if at else slot) for p, slot, at in moving]
            table = np.array(moves, np.int64).reshape(-1, 2)
            return Stream(np.array(words, np.int64), table, self.base, self.stride)

        self._streams = [stream(*code) for code in codes]
        self._folded = stream(*folded)
        self._took = {False: 0.0, True: 0.0}  # seconds of a step, alone and together
        self._together = False  # what is faster, by all that is known
        self._since_trial, self._until_trial = 0.0, _SOON

    def run(self, first: int, last: int) -> None:
        """Walk all streams for the steps from `first` up to `last`."""
        self.base[self._slots :] = self.base[self._of] + self._offset
        self.stride[self._slots :] = self.stride[self._of]
        while first < last:
            seconds, together = self._next()
            stop = min(last, first + max(1, int(seconds / self._seconds)))
            if together and (stop - first) * self._seconds >= WORTH_WAKING:
                rouse(len(self._streams) - 1)  # not timed: they are awake as long as there is work
            began = time.perf_counter()
            if not (together and run_together(self._streams, first, stop)):
                together = False
                self._folded.run(first, stop)
            took = time.perf_counter() - began
            self._took[together] = took / (stop - first)
            self._since_trial += took
            first = stop

    def _next(self) -> tuple[float, bool]:
        """How many seconds to work next, and whether together."""
        alone, together = self._took[False], self._took[True]
        if not (alone and together):
            return _TRIAL, not together
        better = together < alone
        if better is not self._together:
            self._together, self._until_trial = better, _SOON
        if self._since_trial < max(self._until_trial, _STEPS * max(alone, together)):
            return _SLICE, better
        self._since_trial = 0.0
        self._until_trial = min(2 * self._until_trial, _RARELY)
        return _TRIAL, not better
