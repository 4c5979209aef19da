"""How many threads compiled steps and BLAS work with.

OpenBLAS shares a product among its threads from about 128 x 128 x 128 on, and they wait for each
other by spinning: on an idle machine that brings up to a factor of two, but if a core is busy with
something else a product of 70 us takes milliseconds (`benchmarks/blas_threads.py`). A network whose
products are small is therefore trained on one thread.
"""

from __future__ import annotations

import contextlib
import functools
import os
from typing import Any

from tinygrad_edu.errors import ArgumentError

WORTH_SHARING = 3e7
"""FLOP of a product above which threads are worth the risk: 256 x 256 x 256 and up."""


chosen: int | None = None
"""What `set_num_threads` was given."""


def set_num_threads(n: int) -> None:
    """Let BLAS work with n threads, in this process and from now on, and compiled steps run on at
    most n, where that is measured to be faster than one. For the same number of threads a run is
    repeated bit for bit.

    Raises:
        ArgumentError: n is no integer of at least 1.
    """
    global chosen
    if isinstance(n, bool) or not isinstance(n, int) or n < 1:
        raise ArgumentError(f"set_num_threads: n must be an integer of at least 1, got {n!r}.")
    _controller.cache_clear()  # a BLAS may have been loaded since
    _controller().limit(limits=n, user_api="blas")
    chosen = n


def get_num_threads() -> int:
    """How many threads compiled steps may run on. If `set_num_threads` was not called, as many as
    this process may use processors, at most ``$OMP_NUM_THREADS`` and ``$OPENBLAS_NUM_THREADS``; but
    then short steps stay on one."""
    return _default() if chosen is None else chosen


def was_chosen() -> bool:
    """Whether `set_num_threads` was called."""
    return chosen is not None


@functools.cache
def _default() -> int:
    usable = getattr(os, "sched_getaffinity", None)
    counts = [len(usable(0)) if usable else os.cpu_count() or 1]
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
        value = os.environ.get(name, "")
        if value.isdecimal() and int(value) > 0:
            counts.append(int(value))
    return min(counts)


@functools.cache
def _controller() -> Any:
    from threadpoolctl import ThreadpoolController

    return ThreadpoolController()


def fitting(flop: float) -> contextlib.AbstractContextManager[Any]:
    """Limit BLAS to one thread while the largest product takes `flop` operations, if it is small.

    Args:
        flop: 2 m n k of the largest product that will be computed in the ``with`` block.
    """
    if flop >= WORTH_SHARING:
        return contextlib.nullcontext()
    limit: contextlib.AbstractContextManager[Any] = _controller().limit(limits=1, user_api="blas")
    return limit
