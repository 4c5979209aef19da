"""Elementwise ops of one variable, composed: a cluster of the graph is one function.

x * sigmoid(x), written in two ops, is one function of one Gaussian, and so is every other node that
is computed element by element from one pre-activation. A `Program` keeps such a cluster as a list
of instructions, runs it on arrays of values of its variable (with the derivative beside each), and
knows where the composed functions have kinks.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import sympy as sp

from analysis.errors import AnalysisError
from analysis.network.records import Array
from analysis.symbolic.namespace import exact, symbolic
from analysis.symbolic.pieces import kinks as kinks_of
from tinygrad_edu import ops
from tinygrad_edu.ops.kinds import Elementwise

Params = tuple[tuple[str, float], ...]

_SEARCHED = np.unique(
    np.concatenate([np.sinh(np.linspace(-12, 12, 4001)), np.linspace(-12, 12, 4801)])
)
"""Where sign changes of a branch condition are looked for, in units of the variable."""
_MOST_KINKS = 40

READER = ops.array_reader(np.dtype(np.float64))


class UnknownSwitch(AnalysisError):
    """A branch condition that cannot be followed through the function it is applied to."""


@dataclass(frozen=True)
class Instruction:
    """An op on earlier results (by position) and constants (arrays)."""

    op: Elementwise
    params: dict[str, Any]
    operands: tuple[int | Array, ...]


class Program:
    """Functions of one variable; number 0 is the variable itself."""

    def __init__(self) -> None:
        self.instructions: list[Instruction | None] = [None]
        self.kinks: list[tuple[float, ...]] = [()]

    def append(self, op: Elementwise, params: Any, operands: tuple[int | Array, ...]) -> int:
        """One more function; its number."""
        operands = tuple(o if isinstance(o, int) else _plain(o) for o in operands)
        instruction = Instruction(op, dict(params), operands)
        kinks = {k for x in operands if isinstance(x, int) for k in self.kinks[x]}
        kinks |= set(self._own_kinks(instruction))
        self.instructions.append(instruction)
        self.kinks.append(_distinct(kinks))
        return len(self.instructions) - 1

    def run(
        self, x: Array, last: int, done: list[tuple[Array, Array]] | None = None
    ) -> list[tuple[Array, Array]]:
        """Values and derivatives of functions 0 to `last`; `done` holds those known before."""
        results = [(x, np.ones_like(x))] if done is None else done
        for instruction in self.instructions[len(results) : last + 1]:
            assert instruction is not None
            results.append(self._step(instruction, results, x.shape))
        return results

    def _step(
        self, instruction: Instruction, results: list[tuple[Array, Array]], shape: Any
    ) -> tuple[Array, Array]:
        op, params = instruction.op, instruction.params
        xs = [results[o][0] if isinstance(o, int) else o for o in instruction.operands]
        value = np.asarray(op.forward(*xs, **params))
        slope = np.zeros(shape)
        for position, operand in enumerate(instruction.operands):
            if isinstance(operand, int):
                partial = partial_of(op, position, value, xs, params)
                if partial is not None:
                    inner = results[operand][1]
                    slope = slope + np.where(inner == 0, 0.0, partial * inner)
        return np.broadcast_to(value, shape), slope

    # ------------------------------------------------------------------------ kinks

    def _own_kinks(self, instruction: Instruction) -> list[float]:
        params = tuple(sorted(instruction.params.items()))
        op, operands = instruction.op, instruction.operands
        if operands == (0,):
            return list(_kinks(op, params))
        switches = _switches(op, params, len(operands))
        if not switches:
            return []
        x = _SEARCHED
        return sorted(r for switch in switches for r in self._crossings(switch, operands, x))

    def _crossings(
        self, switch: Callable[..., Array], operands: tuple[int | Array, ...], x: Array
    ) -> list[float]:
        """Where a branch condition changes sign, by bisection."""

        last = max((o for o in operands if isinstance(o, int)), default=0)
        earlier = [i.operands for i in self.instructions[1 : last + 1] if i is not None]
        if any(not isinstance(o, int) and o.size > 1 for os in (*earlier, operands) for o in os):
            raise UnknownSwitch("a kink that is elsewhere for every example")

        def at(points: Array) -> Array:
            results = self.run(points, last)
            xs = [results[o][0] if isinstance(o, int) else o for o in operands]
            with np.errstate(all="ignore"):
                return np.broadcast_to(np.asarray(switch(*xs), np.float64), points.shape)

        sign = np.sign(at(x))
        change = np.flatnonzero((sign[1:] != sign[:-1]) & np.isfinite(sign[1:] + sign[:-1]))
        if change.size > _MOST_KINKS:
            raise UnknownSwitch(f"more than {_MOST_KINKS} kinks")
        low, high = x[change].copy(), x[change + 1].copy()
        left = sign[change]
        for _ in range(64):
            middle = (low + high) / 2
            stay = np.sign(at(middle)) == left
            low, high = np.where(stay, middle, low), np.where(stay, high, middle)
        return [float(v) for v in (low + high) / 2]


def _plain(constant: Array) -> Array:
    """A constant that is the same for every case as one number."""
    constant = np.asarray(constant, np.float64)
    if constant.size and np.ptp(constant) <= 1e-13 * np.abs(constant).max():
        return np.asarray(constant.ravel()[0])
    return constant


def _distinct(kinks: set[float]) -> tuple[float, ...]:
    """In order, without what bisection found twice."""
    kept: list[float] = []
    for kink in sorted(kinks):
        if not kept or kink - kept[-1] > 1e-12 * max(abs(kink), 1e-3):
            kept.append(kink)
    return tuple(kept)


def partial_of(
    op: Elementwise, position: int, value: Array, xs: list[Array], params: dict[str, Any]
) -> Array | None:
    """The op's partial derivative by one operand, or None where it has none."""
    rule = op.partials[position]
    if rule is None:
        return None
    with np.errstate(all="ignore"):
        return np.asarray(rule(READER, value, *xs, **params), np.float64)


@functools.cache
def _kinks(op: Elementwise, params: Params) -> tuple[float, ...]:
    """Where the rule of one variable changes its formula, read off the rule itself."""
    x = sp.Symbol("x", real=True)
    rule = op.rule(symbolic, x, **dict(params))
    if isinstance(rule, sp.logic.boolalg.Boolean):
        rule = sp.Piecewise((1, rule), (0, True))
    return kinks_of(exact(rule), x)


@functools.cache
def _switches(op: Elementwise, params: Params, arity: int) -> tuple[Callable[..., Array], ...]:
    """Everything the rule compares with 0, as functions of its operands."""
    xs = sp.symbols(f"x:{arity}", real=True)
    try:
        rule = exact(op.rule(symbolic, *xs, **dict(params)))
    except TypeError:  # a condition among the operands; what it compared is a kink already
        return ()
    except AttributeError:
        raise UnknownSwitch(f"the rule of {op.name} cannot be read") from None
    if rule.has(*_JUMPING):
        raise UnknownSwitch(f"{op.name} has infinitely many pieces")
    return tuple(
        sp.lambdify(xs, relation.lhs - relation.rhs, "numpy")
        for relation in rule.atoms(sp.core.relational.Relational)
        if relation.free_symbols
    )


_JUMPING = (sp.floor, sp.ceiling, sp.Mod)
