"""Threads that wait for work without Python's lock, so that waking them takes no time.

Each has a mailbox: a state, and the arguments of its next walk. While it is awake it looks at the
state again and again; whoever has work changes it, walks a stream too, and waits for the others,
all in one native call that no signal can interrupt half-way. A thread that has looked in vain for
long sleeps until Python wakes it.
"""

from __future__ import annotations

import atexit
import contextlib
import ctypes
import functools
import os
import platform
import threading
import time
from typing import Any

import numpy as np
from llvmlite import ir

from tinygrad_edu.kernels import llvm
from tinygrad_edu.kernels.control import I32, I64, function, loop
from tinygrad_edu.kernels.native import Stream, walker

LINE = 128
"""Bytes between what two threads write: processors fetch lines of 64 in pairs."""

_ASLEEP, _WAITING, _TAKEN, _POSTED = (I64(state) for state in range(4))
"""Of a mailbox: nobody looks; somebody looks; reserved by a caller; there is work."""

_SPINS = 1 << 14
"""How often a thread looks before it sleeps: a few tenths of a millisecond."""

_PATIENCE = 2e-4
"""Seconds that a caller waits for threads that it has woken."""

_ON_ARM = ("llvm.aarch64.hint", 1)
_PAUSES = {
    **dict.fromkeys(("x86_64", "AMD64"), ("llvm.x86.sse2.pause",)),
    **dict.fromkeys(("aarch64", "arm64"), _ON_ARM),
}
"""LLVM's instruction that tells a processor of a loop that only waits, and its argument."""


# ------------------------------------------------------------------------------ kernels


def pause(b: ir.IRBuilder) -> None:
    """Tell the processor that this loop only waits."""
    found = _PAUSES.get(platform.machine())
    if found:
        numbers = [I32(x) for x in found[1:]]
        kind = ir.FunctionType(ir.VoidType(), [I32] * len(numbers))
        callee = b.module.globals.get(found[0]) or ir.Function(b.module, kind, found[0])
        b.call(callee, numbers)


def _place(b: ir.IRBuilder, mailbox: Any, word: int = 0) -> Any:
    return b.inttoptr(b.add(mailbox, I64(8 * word)), I64.as_pointer())


def _walk(b: ir.IRBuilder, walk: Any, arguments: Any) -> None:
    kind = ir.FunctionType(ir.VoidType(), [I64.as_pointer()]).as_pointer()
    b.call(b.inttoptr(walk, kind), [b.inttoptr(arguments, I64.as_pointer())])


def _changed(b: ir.IRBuilder, mailbox: Any, old: Any, new: Any) -> Any:
    """Whether the state was `old`; then it is `new` now."""
    order = "seq_cst"
    return b.extract_value(b.cmpxchg(_place(b, mailbox), old, new, order, order), 1)


def _serve(name: str) -> str:
    """args: mailbox, the walk's kernel, spins. Does the work that comes until none has come for
    so many looks."""
    module, b, argument = function(name)
    mailbox, walk, spins = (argument(q) for q in range(3))
    state = _place(b, mailbox)
    b.store_atomic(_WAITING, state, "seq_cst", 8)
    before = b.block
    look, work, idle, tired, sleep = (b.append_basic_block() for _ in range(5))
    b.branch(look)
    b.position_at_end(look)
    count = b.phi(I64)
    count.add_incoming(I64(0), before)
    now = b.load_atomic(state, "acquire", 8)
    b.cbranch(b.icmp_signed("==", now, _POSTED), work, idle)
    b.position_at_end(work)
    _walk(b, walk, b.load(_place(b, mailbox, 1)))
    b.store_atomic(_WAITING, state, "release", 8)
    count.add_incoming(I64(0), b.block)
    b.branch(look)
    b.position_at_end(idle)
    pause(b)
    more = b.add(count, I64(1))
    count.add_incoming(more, b.block)
    b.cbranch(b.icmp_signed("<", more, spins), look, tired)
    b.position_at_end(tired)
    left = _changed(b, mailbox, _WAITING, _ASLEEP)
    count.add_incoming(more, b.block)
    b.cbranch(left, sleep, look)
    b.position_at_end(sleep)
    b.ret_void()
    return str(module)


def _together(name: str) -> str:
    """args: first mailbox, how many, the walk's kernel, arguments of this thread's walk, where to
    write whether it was done. Does nothing if one of the threads does not look."""
    module, b, argument = function(name)
    first, count, walk, own, done = (argument(q) for q in range(5))
    done = b.inttoptr(done, I64.as_pointer())

    def mailbox(k: Any) -> Any:
        return b.add(first, b.mul(k, I64(LINE)))

    b.store(I64(0), done)
    with loop(b, I64(0), count, 1) as k:
        there = _changed(b, mailbox(k), _WAITING, _TAKEN)
        with b.if_then(b.not_(there)):
            with loop(b, I64(0), k, 1) as reserved:
                b.store_atomic(_WAITING, _place(b, mailbox(reserved)), "release", 8)
            b.ret_void()
            b.position_at_end(b.append_basic_block())  # not reached
    with loop(b, I64(0), count, 1) as k:
        b.store_atomic(_POSTED, _place(b, mailbox(k)), "release", 8)
    _walk(b, walk, own)
    with loop(b, I64(0), count, 1) as k:
        look, wait, ready = (b.append_basic_block() for _ in range(3))
        b.branch(look)
        b.position_at_end(look)
        now = b.load_atomic(_place(b, mailbox(k)), "acquire", 8)
        b.cbranch(b.icmp_signed("==", now, _POSTED), wait, ready)
        b.position_at_end(wait)
        pause(b)
        b.branch(look)
        b.position_at_end(ready)
    b.store(I64(1), done)
    b.ret_void()
    return str(module)


@functools.cache
def _kernel(name: str) -> Any:
    write = {"serve": _serve, "together": _together}[name]
    address = llvm.address(f"{name} {platform.machine()}", write)
    return ctypes.CFUNCTYPE(None, ctypes.c_int64)(address)


# ------------------------------------------------------------------------------ threads


class _Crew:
    """Threads with their mailboxes."""

    def __init__(self, count: int) -> None:
        self.count, self.process = count, os.getpid()
        words = np.zeros((count + 1) * LINE // 8, np.int64)
        skip = -words.ctypes.data % LINE // 8
        self._mail = words[skip : skip + count * LINE // 8].reshape(count, -1)
        self._walk = ctypes.cast(walker(), ctypes.c_void_p).value or 0
        self._arguments = (ctypes.c_int64 * 6)(self._mail.ctypes.data, count, self._walk)
        self._here = ctypes.addressof(self._arguments)
        self._arguments[4] = self._here + 8 * 5
        self._go = [threading.Lock() for _ in range(count)]
        self._closing = False
        self._threads = []
        for mail, go in zip(self._mail, self._go, strict=True):
            go.acquire()
            arguments = (ctypes.c_int64 * 3)(mail.ctypes.data, self._walk, _SPINS)
            job = (_kernel("serve"), arguments, go)
            thread = threading.Thread(target=self._look, args=job, name="tinygrad_edu", daemon=True)
            thread.start()
            self._threads.append(thread)
        atexit.register(self.close)

    def _look(self, serve: Any, arguments: Any, go: threading.Lock) -> None:
        """What a thread does all its life."""
        while True:
            go.acquire()
            if self._closing:
                return
            serve(ctypes.addressof(arguments))

    def close(self) -> None:
        """Let the threads end: the kernels that they walk go with the process."""
        self._closing = True
        self.wake()
        for thread in self._threads:
            thread.join(timeout=1.0)

    def wake(self) -> None:
        """Let all threads look again."""
        for go in self._go:
            with contextlib.suppress(RuntimeError):  # it was told before
                go.release()

    def is_awake(self, count: int) -> bool:
        """Whether the first so many threads look for work."""
        waiting = _WAITING.constant
        return all(mail[0] == waiting for mail in self._mail[:count])

    def run(self, streams: list[Stream], first: int, last: int) -> bool:
        """Walk streams, the first in this thread. False if nothing was done, since a thread is
        asleep."""
        for mail, stream in zip(self._mail, streams[1:], strict=False):
            mail[1] = stream.bound(first, last)
        self._arguments[1] = len(streams) - 1
        self._arguments[3] = streams[0].bound(first, last)
        _kernel("together")(self._here)
        return bool(self._arguments[5])


_crew: _Crew | None = None
_busy = threading.Lock()


def _enlisted(count: int) -> _Crew:
    """A crew of at least so many threads. (They do not survive a fork.)"""
    global _crew
    if _crew is None or _crew.process != os.getpid() or _crew.count < count:
        _crew = _Crew(count)
    return _crew


def rouse(count: int) -> None:
    """Wake so many threads, unless another caller has them, and wait a moment until they look."""
    if not _busy.acquire(blocking=False):
        return
    try:
        crew = _enlisted(count)
        if crew.is_awake(count):
            return
        crew.wake()
        end = time.perf_counter() + _PATIENCE
        while not crew.is_awake(count) and time.perf_counter() < end:
            time.sleep(0)  # to let them have Python's lock
    finally:
        _busy.release()


def run_together(streams: list[Stream], first: int, last: int) -> bool:
    """Walk streams that meet at barriers, the first in this thread.

    False if nothing was done: the threads work for another caller, or they sleep (see `rouse`).
    """
    if not _busy.acquire(blocking=False):
        return False
    try:
        return _enlisted(len(streams) - 1).run(streams, first, last)
    finally:
        _busy.release()
