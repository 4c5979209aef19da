"""The registry of ops, and what reads them by name."""

from __future__ import annotations

import threading
import warnings

import numpy as np
import pytest

from tests.ops.own import OWN
from tinygrad_edu import ops
from tinygrad_edu.ops.kinds import Elementwise
from tinygrad_edu.ops.silence import silently
from tinygrad_edu.ops.table import TABLE, Op, array_reader

# ------------------------------------------------------------------------------ the table


def test_every_op_is_an_attribute_under_its_name() -> None:
    for name, op in OWN.items():
        assert op.name == name
        assert getattr(ops, name) is op
        assert name in ops.__all__
        assert op.__doc__


def test_a_name_is_taken_once() -> None:
    with pytest.raises(ValueError, match="'tanh' is registered already"):
        Op("tanh")
    assert isinstance(TABLE["tanh"], Elementwise)


def test_kinds_say_what_a_derivative_reads() -> None:
    """Staleness is judged by this: an op that reads nothing accepts changed operands."""
    free = {name for name, op in OWN.items() if op.differentiable and not op.reads}
    assert free == {"add", "sub", "neg", "sum", "expand", "reshape", "permute", "getitem",
                    "scatter", "concat", "cumsum", "cast", "mean", "avg_pool",
                    "avg_pool_input"}  # fmt: skip


def test_what_is_not_differentiable() -> None:
    flat = {name for name, op in OWN.items() if not op.differentiable}
    assert flat == {"lt", "le", "gt", "ge", "eq", "ne", "logical_and", "logical_or",
                    "logical_not", "sign", "floor", "floor_divide", "argmax", "argmin",
                    "argsort", "last_writer", "max_pool_positions", "positions",
                    "random"}  # fmt: skip


def test_readers_look_names_up() -> None:
    m = array_reader(np.dtype(np.float32))
    assert array_reader(np.dtype(np.float32)) is m
    assert m.sum(np.ones(3), axes=(0,), keepdims=False) == 3
    assert m.where(np.array([True, False]), 1, 0).dtype == np.float32
    with pytest.raises(AttributeError, match="'nonsense'"):
        _ = m.nonsense


# ------------------------------------------------------------------------------ silence


def overflow() -> np.ndarray:
    return np.exp(np.array([1000.0]))


def test_silence_ends_with_the_call() -> None:
    before = np.geterr()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert np.isinf(silently(overflow))
        assert np.isinf(silently(silently, overflow)), "nested"
        with pytest.raises(RuntimeWarning):
            overflow()
    assert np.geterr() == before


def test_silence_ends_with_an_error() -> None:
    with pytest.raises(ZeroDivisionError):
        silently(lambda: 1 // 0)
    assert np.isinf(silently(overflow)), "the context can be entered again"


def test_silence_in_several_threads_at_once() -> None:
    """Each is inside its own while the other is, too."""
    both = threading.Barrier(2, timeout=10)
    done: list[bool] = []

    def work() -> None:
        both.wait()
        done.append(bool(np.isinf(overflow())))
        both.wait()

    threads = [threading.Thread(target=silently, args=(work,)) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert done == [True, True]
