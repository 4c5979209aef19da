"""Ops with a kernel of their own in a program, against NumPy; and which ops are left to NumPy."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import tinygrad_edu as tg
from tests.ops.own import OWN
from tests.ops.structure import STRUCTURE
from tinygrad_edu.compiler.looped import space_of
from tinygrad_edu.compiler.plan import build
from tinygrad_edu.compiler.program import Program
from tinygrad_edu.graph.reader import apply
from tinygrad_edu.graph.tensor import abstract
from tinygrad_edu.ops.fused import Fused
from tinygrad_edu.ops.kinds import Elementwise
from tinygrad_edu.ops.structural import Key
from tinygrad_edu.ops.table import TABLE

LOOPED = ["cumsum", "argmax", "argmin", "argsort", "positions", "getitem", "scatter", "last_writer"]


@pytest.mark.parametrize("name", LOOPED)
@settings(max_examples=60, suppress_health_check=[HealthCheck.too_slow], deadline=None)
@given(data=st.data())
def test_against_numpy(name: str, data: st.DataObject) -> None:
    sample = data.draw(STRUCTURE[name].samples)
    leaves = [abstract(x.shape, x.dtype) for x in sample.xs]
    y = apply(TABLE[name], *leaves, **sample.params)
    plan = build(Program(tuple(x.node for x in leaves), (), {}, (y.node,)))
    (found,) = plan.run(list(sample.xs))
    expected = np.asarray(TABLE[name].forward(*sample.xs, **sample.params))
    assert (found.shape, found.dtype) == (expected.shape, expected.dtype)
    np.testing.assert_array_equal(found, expected)
    if all(x.size for x in (*sample.xs, expected)) and name != "last_writer":
        assert all(i.is_native for i in plan.instructions)


def test_the_space_of_a_key() -> None:
    """Index arrays apart from each other go in front, others stay in place."""
    array, everything = Key.ARRAY, slice(None)
    apart = space_of(Key((array, everything, 1)), (4, 5, 6), 8, [(3,)])
    assert apart.shape == (3, 5)
    assert (apart.offset, apart.distances) == (8, (240,))
    beside = space_of(Key((..., array, 1)), (4, 5, 6), 8, [(2, 3)])
    assert beside.shape == (4, 2, 3)
    assert beside.collapsed.shape == (4, 6)


# ------------------------------------------------------------------------------ what remains

LEFT = {"random"}
"""Ops that a compiled step calls NumPy for, or a Numba kernel by way of Python. Besides these only
integers to powers that are no constants, products that broadcast in part, and what `WINDOWED`
names."""

WINDOWED = {
    "avg_pool",
    "avg_pool_input",
    "convolution",
    "convolution_input",
    "convolution_weight",
    "max_pool",
    "max_pool_positions",
}
"""Ops with kernels for some shapes, which `tests/compiler/test_windowed.py` tries."""


def test_every_op_is_tried_here_or_left() -> None:
    """A new op of a kind that fusion cannot compute must appear in one of both lists."""
    structural = {name for name, op in OWN.items() if not isinstance(op, Elementwise | Fused)}
    assert structural <= set(STRUCTURE) | LEFT | WINDOWED


def example(name: str) -> Any:
    """A small sample of a structural op that has elements."""
    return STRUCTURE[name].samples.filter(lambda s: all(x.size for x in s.xs))


@pytest.mark.parametrize("name", sorted(set(STRUCTURE) - LEFT - WINDOWED - {"matmul"}))
@settings(max_examples=8, suppress_health_check=list(HealthCheck), deadline=None)
@given(data=st.data())
def test_no_other_op_is_left_to_numpy(name: str, data: st.DataObject) -> None:
    sample = data.draw(example(name))
    leaves = [abstract(x.shape, x.dtype) for x in sample.xs]
    y = apply(TABLE[name], *leaves, **sample.params)
    if not y.numel():
        return
    plan = build(Program(tuple(x.node for x in leaves), (), {}, (y.node,)))
    assert [i.ops for i in plan.instructions if not i.is_native] == []


def test_explain_counts_what_is_left_to_numpy() -> None:
    step = tg.compile(lambda x, n: (x**n).sum())
    step(tg.tensor([2, 3]), tg.tensor([1, 2]))
    assert "1 of them calls of NumPy (pow)" in str(tg.explain(step))
    step = tg.compile(lambda x: x.cumsum(0).sin())
    step(tg.ones(3))
    assert "NumPy" not in str(tg.explain(step))


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.int32, np.int64])
@pytest.mark.parametrize("n", [-2, -1, 0, 1, 2, 3, 4, 5, 11])
def test_whole_powers(dtype: Any, n: int) -> None:
    """Within two units in the last place, as `tests/kernels/test_whole_powers.py` has it, of what
    is within one itself; integers to the bit."""
    if n < 0 and np.dtype(dtype).kind == "i":
        return  # refused
    x = np.random.default_rng(0).integers(1, 9, 50).astype(dtype) * dtype(-1)
    step = tg.compile(lambda x: x**n)
    found, expected = step(x).numpy(), (tg.tensor(x) ** n).numpy()
    assert found.dtype == expected.dtype
    if found.dtype.kind == "i":
        np.testing.assert_array_equal(found, expected)
    else:
        np.testing.assert_allclose(found, expected, rtol=3 * np.finfo(dtype).eps)
    assert ("NumPy" in str(tg.explain(step))) == (found.dtype.kind == "i" and n == 0)
