"""The reference executor: updates see old values, many calls are calls one after another."""

from __future__ import annotations

import numpy as np

from tinygrad_edu.compiler.program import Program
from tinygrad_edu.compiler.reference import Reference
from tinygrad_edu.graph.tensor import abstract


def test_every_read_sees_the_old_value() -> None:
    a, b, x = (abstract((2,)) for _ in range(3))
    program = Program(
        (x.node,), (a.node, b.node), {a.node: b.node, b.node: (a + x).node}, ((a * b).node, a.node)
    )
    reference = Reference(program)
    reference.state(a.node)[...] = [1, 2]
    reference.state(b.node)[...] = [3, 4]
    product, old = reference.run([np.array([10, 20], np.float32)])
    np.testing.assert_array_equal(product, [3, 8])
    np.testing.assert_array_equal(old, [1, 2])
    np.testing.assert_array_equal(reference.state(a.node), [3, 4])
    np.testing.assert_array_equal(reference.state(b.node), [11, 22])


def test_many_calls() -> None:
    total, x, rate = abstract((2,)), abstract((2,)), abstract(())
    program = Program(
        (x.node, rate.node), (total.node,), {total.node: (total + x * rate).node}, (total.node,)
    )
    data, index = np.arange(5, dtype=np.float32), np.array([[0, 1], [2, 3], [4, 4]])
    reference = Reference(program)
    (found,) = reference.run_many(3, [(data, index), np.array([1, 10, 100], np.float32)])
    np.testing.assert_array_equal(found, [[0, 0], [0, 1], [20, 31]])
    np.testing.assert_array_equal(reference.state(total.node), [420, 431])
    assert reference.run_many(0, [data[:2], np.float32(1).reshape(())])[0].shape == (0, 2)
