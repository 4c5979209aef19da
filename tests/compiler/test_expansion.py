"""A program with its composites written out computes the same."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import tinygrad_edu as tg
from tinygrad_edu import nn, ops, optim
from tinygrad_edu.compiler.expansion import expanded
from tinygrad_edu.compiler.program import Program
from tinygrad_edu.compiler.reference import build
from tinygrad_edu.derive.walk import ordered
from tinygrad_edu.nn import functional as F


def program_of(step: Any, *args: Any) -> tuple[Program, list[np.ndarray]]:
    """The program of a step, and what its inputs were."""
    compiled = tg.compile(step)
    compiled(*args)
    entry = compiled.programs[0]
    return entry.lifted.program, [np.array(x) for x in entry.inputs]


def ops_of(program: Program) -> set[str]:
    order = ordered([*program.outputs, *program.updates.values()], constants=True)
    return {node.op.name for node in order if node.op is not None}


def agree(program: Program, inputs: list[np.ndarray]) -> Program:
    """Both run from the same state; every output and new state agrees."""
    written = expanded(program)
    one, other = build(program), build(written)
    for state in program.states:
        other.state(state)[...] = one.state(state)
    for a, b in zip(one.run(inputs), other.run(inputs), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6)
    for state in program.states:
        np.testing.assert_allclose(one.state(state), other.state(state), rtol=1e-5, atol=1e-6)
    return written


def test_a_training_step() -> None:
    model = nn.Sequential(nn.Linear(5, 4), nn.Tanh(), nn.Linear(4, 3))
    optimizer = optim.Adam(model.parameters(), lr=0.1)

    def step(x: tg.Tensor, y: tg.Tensor) -> tg.Tensor:
        loss = F.cross_entropy(model(x), y) + model(x).softmax(-1).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        return loss

    program, inputs = program_of(step, tg.randn(6, 5), tg.tensor([0, 1, 2, -100, 1, 1]))
    assert {"cross_entropy", "softmax", "linear", "mean"} <= ops_of(program)
    written = agree(program, inputs)
    left = ops_of(written)
    assert not any(isinstance(ops.TABLE[name], ops.Fused) for name in left)
    assert not left & {"getitem", "scatter"}


def test_lines_are_kept() -> None:
    def step(x: tg.Tensor) -> tg.Tensor:
        return x.softmax(-1)  # this line

    program, _ = program_of(step, tg.randn(2, 3))
    lines = {
        node.line.number for node in ordered(expanded(program).outputs, constants=True) if node.op
    }
    assert lines == {step.__code__.co_firstlineno + 1}


@pytest.mark.parametrize("labels", [[0, 2, 1], [-1, -3, 0]])
def test_elements_of_rows_by_label(labels: list[int]) -> None:
    w = tg.randn(3, 3, requires_grad=True)

    def step(labels: tg.Tensor) -> tg.Tensor:
        w.grad = None
        picked = (w * 2)[np.arange(3), labels]
        (picked * picked).sum().backward()
        return picked

    program, inputs = program_of(step, tg.tensor(labels))
    assert {"getitem", "scatter"} <= ops_of(program)
    assert not ops_of(agree(program, inputs)) & {"getitem", "scatter"}


def test_other_keys_stay() -> None:
    program, inputs = program_of(
        lambda x, i: (x[np.array([0, 2, 1]), i], x[:, i]), tg.randn(3, 3), tg.tensor([0, 1, 2])
    )
    assert "getitem" in ops_of(agree(program, inputs))
