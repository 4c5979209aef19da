"""The forward sweep: from the records of an op's operands to the record of its result.

One rule an op, in `RULES`, filled by `analysis.network.rules`. A rule returns None where it cannot
speak, and says why; what follows is then unknown, never passed through. Formulas are derived in
`analysis.topics` (dense-forward, he, residual, ...); the corrections of order 1/width are explained
in `docs/finite-width.md`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np

from analysis.errors import AnalysisError, InputError
from analysis.network.context import Context, Parts, Record, UnknownSignal
from analysis.network.records import Numbers, Signal
from tinygrad_edu.graph.node import Node
from tinygrad_edu.ops.kinds import Elementwise

Rule = Callable[[Node, Sequence[Record], Context], Record]
RULES: dict[str, Rule] = {}
"""Rules by the op's name; they come before the general rule for elementwise ops."""
ELEMENTWISE: list[Rule] = []
"""The general rule for elementwise ops, entered by `rules.elementwise`."""
NUMBERS: list[Rule] = []
"""The rule where an operand is known by its numbers, entered by `rules.known`."""
WHOLE: set[str] = set()
"""Ops whose rule takes a concatenation as a whole; others take its parts one by one."""


def forward(node: Node, operands: Sequence[Record], context: Context) -> Record:
    """The record of one op's result."""
    assert node.op is not None
    if any(isinstance(operand, Numbers) for operand in operands):
        return _of_numbers(node, operands, context)
    if any(operand is None for operand in operands):
        return None
    rule = RULES.get(node.op.name)
    if rule is None and isinstance(node.op, Elementwise):
        rule = ELEMENTWISE[0]
    try:
        if rule is None:
            raise UnknownSignal(_WHY.get(node.op.name, f"no rule for the op {node.op.name!r} yet"))
        if node.op.name in WHOLE or not any(isinstance(o, Parts) for o in operands):
            return _checked(node, _laid_out(node, operands, rule(node, operands, context)))
        return _by_parts(node, rule, operands, context)
    except AnalysisError as error:
        context.part = 0
        context.unknown(node, str(error))
        return None


def _of_numbers(node: Node, operands: Sequence[Record], context: Context) -> Record:
    """With operands that are known: a number, or a rule of its own."""
    try:
        return _checked(node, _laid_out(node, operands, NUMBERS[0](node, operands, context)))
    except InputError:
        raise
    except AnalysisError as error:
        context.unknown(node, str(error))
        return None


def _laid_out(node: Node, operands: Sequence[Record], record: Record) -> Record:
    """A record of the same shape as an operand has its layout, unless its rule says another."""
    if not isinstance(record, Signal) or record.places == 1 or record.layout:
        return record
    for x, operand in zip(node.inputs, operands, strict=True):
        if isinstance(operand, Signal) and operand.places > 1 and x.shape == node.shape:
            return replace(record, layout=operand.layout)
    return record


_ALL_AT_ONCE = (
    "the largest of a row: it depends on all units at once; analyse the part of the network before"
)
_WHY = {"amax": _ALL_AT_ONCE, "logsumexp": _ALL_AT_ONCE}
"""What the rule of an op would have to follow, and what to do instead."""

_NUMBERS = ("mean", "second", "fourth", "shift", "size", "fluctuation", "excess")


def _checked(node: Node, record: Record) -> Record:
    """A record whose numbers exist."""
    if isinstance(record, Signal) and not all(
        np.isfinite(getattr(record, name)).all() for name in _NUMBERS
    ):
        assert node.op is not None
        raise UnknownSignal(f"{node.op.name}: a moment that does not exist or overflows")
    return record


def _by_parts(node: Node, rule: Rule, operands: Sequence[Record], context: Context) -> Record:
    """The rule for each part of concatenated operands, whose parts must begin and end together."""
    cuts = {tuple(s.units for s in o.signals) for o in operands if isinstance(o, Parts)}
    if len(cuts) > 1 or any(isinstance(o, Signal) for o in operands):
        raise UnknownSignal("operands that are concatenated in different ways")
    results = []
    for part in range(len(cuts.pop())):
        context.part = part + 1
        own = [o.signals[part] if isinstance(o, Parts) else o for o in operands]
        result = _checked(node, rule(node, own, context))
        context.part = 0
        if not isinstance(result, Signal):
            raise UnknownSignal("an op on a concatenation that mixes its parts")
        results.append(result)
    return Parts(tuple(results))
