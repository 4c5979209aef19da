"""How many threads BLAS works with.

OpenBLAS shares a product among its threads from about 128 x 128 x 128 on, and they wait for each
other by spinning: on an idle machine that brings up to a factor of two, but if a core is busy with
something else a product of 70 us takes milliseconds (`benchmarks/blas_threads.py`). A network whose
products are small is therefore trained on one thread.
"""

from __future__ import annotations

import contextlib
import functools
from typing import Any

WORTH_SHARING = 3e7
"""FLOP of a product above which threads are worth the risk: 256 x 256 x 256 and up."""


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
