"""Programs run op by op: updates see old values, and many calls are so many calls."""

from __future__ import annotations

import numpy as np

from tinygrad_edu import ops
from tinygrad_edu.compiler.program import Program
from tinygrad_edu.compiler.reference import ALIGNMENT, build
from tinygrad_edu.graph.node import Abstract, Node


def leaf(*shape: int) -> Node:
    return Node(Abstract(shape, np.dtype(np.float32)))


def apply(op: ops.Op, *inputs: Node, **params: object) -> Node:
    return Node(Abstract(*op.infer(*inputs, **params)), False, op, inputs, params)


def swapping() -> tuple[Program, Node, Node]:
    """a and b change places, and a grows by the input."""
    a, b, x = Node(np.zeros(3, np.float32)), Node(np.ones(3, np.float32)), leaf(3)
    constant = Node(np.full(3, 2, np.float32))
    total = apply(ops.add, apply(ops.mul, x, constant), b)
    return Program((x,), (a, b), {a: total, b: a}, (a, total, x, constant, total)), a, b


def test_updates_see_old_values() -> None:
    program, a, b = swapping()
    plan = build(program)
    told = plan.run([np.full(3, 5, np.float32)])
    assert [t[0] for t in told] == [0, 11, 5, 2, 11]
    assert plan.state(a).tolist() == [11] * 3
    assert plan.state(b).tolist() == [0] * 3
    assert a.data.tolist() == [0] * 3  # the node is not touched
    told[0][...] = 9
    assert plan.state(a).tolist() == [11] * 3


def test_states_are_aligned_and_apart() -> None:
    program, a, b = swapping()
    plan = build(program)
    for node in (a, b):
        assert plan.state(node).ctypes.data % ALIGNMENT == 0
    plan.state(a)[...] = 4
    assert plan.state(b).tolist() == [1] * 3
    assert plan.arena_bytes == 24


def test_many_calls() -> None:
    program, a, b = swapping()
    one, many = build(program), build(program)
    data = np.random.default_rng(0).normal(size=(10, 3)).astype(np.float32)
    index = np.array([7, 2, 2, 9])
    wanted = [one.run([data[i]]) for i in index]
    for source in (data[index], (data, index)):
        many.state(a)[...], many.state(b)[...] = 0, 1
        told = many.run_many(4, [source])
        for k, stacked in enumerate(told):
            np.testing.assert_array_equal(stacked, [row[k] for row in wanted])
        np.testing.assert_array_equal(many.state(a), one.state(a))
    same = build(program).run_many(2, [data[0]])
    assert same[0].shape == (2, 3)


def test_instructions_and_time() -> None:
    program, _, _ = swapping()
    plan = build(program)
    assert [i.ops for i in plan.instructions] == [("mul",), ("add",)]
    assert plan.instructions[0].flop == 3
    assert plan.instructions[0].bytes == 36
    assert len(plan.measure([np.zeros(3, np.float32)])) == 2
