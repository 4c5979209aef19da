"""Expressions of Values, drawn at random, for the tests of compiled functions."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from hypothesis import strategies as st

from tinygrad_edu.compiler.values.vector_reader import arity
from tinygrad_edu.graph.recording import record
from tinygrad_edu.graph.tape import OPS
from tinygrad_edu.graph.value import Value

DIFFERENTIABLE = [op for op in OPS if op is not None]
FREQUENT = [op for op in DIFFERENTIABLE if op.name in {"add", "mul"}]

Expression = Callable[[Sequence[Value]], Value]


@st.composite
def expressions(draw: Any, leaves: int, longest: int = 12) -> Expression:
    """A function of some Values: ops of the table, each applied to Values and numbers before it;
    sums and products are the most frequent, so that there are sums of products."""
    steps = []
    for i in range(draw(st.integers(1, longest))):
        op = draw(st.sampled_from(DIFFERENTIABLE) | st.sampled_from(FREQUENT))
        known = st.integers(0, leaves + i - 1)
        number = st.floats(-2, 2, width=16)
        first = draw(known)
        others = [draw(known | number) for _ in range(arity(op) - 1)]
        steps.append((op, [first, *others]))

    def expression(values: Sequence[Value]) -> Value:
        known = list(values)
        for op, operands in steps:
            xs = [known[x] if isinstance(x, int) else x for x in operands]
            known.append(record(op, *xs))
        return sum(known[len(values) + 1 :], known[len(values)])

    return expression
