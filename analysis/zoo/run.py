"""The whole zoo over an executor, one task an architecture; what is done stays if it is stopped."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from concurrent.futures import Executor, Future, ProcessPoolExecutor, as_completed
from contextlib import contextmanager
from multiprocessing import get_context

from analysis.errors import InputError, no_such
from analysis.measurement.verify import FALSE_ALARM
from analysis.report.progress import watch
from analysis.zoo.architectures import ZOO
from analysis.zoo.drawn import number_of
from analysis.zoo.examine import MOST, Outcome, examine


class Serial(Executor):
    """Runs each task when it is submitted, in this process."""

    def submit(self, fn, /, *args, **kwargs):  # type: ignore[no-untyped-def]
        """The finished future of fn(*args, **kwargs)."""
        future: Future[object] = Future()
        try:
            future.set_result(fn(*args, **kwargs))
        except Exception as error:
            future.set_exception(error)
        return future


def run(
    names: Sequence[str] = (),
    executor: Executor | None = None,
    seed: int = 0,
    most: int = MOST,
    progress: bool | None = None,
) -> list[Outcome]:
    """Outcomes of the named architectures (of all, if none is named), in the order of the names;
    "drawn 7" is the random one of that number.

    executor  any of `concurrent.futures`' interface; None is a pool with a process for each
              processor. It must be able to import this package
    most      networks measured for each architecture, at most

    All verdicts of a run together raise a false alarm with probability `FALSE_ALARM`. Ctrl-C
    returns what is done. Raises `InputError` for a name that is not in the zoo.
    """
    names = tuple(names) or tuple(ZOO)
    for name in names:
        if name not in ZOO and number_of(name) is None:
            raise InputError(no_such("architecture", name, ZOO))
    share = FALSE_ALARM / len(names)
    done: dict[str, Outcome] = {}
    with _running(executor) as pool:
        futures: list[Future[Outcome]] = []
        try:
            with watch(len(names), "zoo", progress) as step:
                for name in names:
                    futures.append(pool.submit(examine, name, share, seed, most))
                for future in as_completed(futures):
                    outcome = future.result()
                    done[outcome.name] = outcome
                    step()
        except KeyboardInterrupt:
            for future in futures:
                future.cancel()
            finished = [f for f in futures if f.done() and not f.cancelled() and not f.exception()]
            done |= {f.result().name: f.result() for f in finished}
    return [done[name] for name in names if name in done]


@contextmanager
def _running(executor: Executor | None) -> Iterator[Executor]:
    """The given executor, which stays open, or a pool of processes for this run."""
    if executor is not None:
        yield executor
        return
    # new interpreters: a fork would inherit threads of BLAS in an unknown state
    with ProcessPoolExecutor(os.cpu_count(), mp_context=get_context("spawn")) as pool:
        yield pool
